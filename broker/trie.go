package broker

import "slices"

// A trie finds the subscriptions that a topic is for, by its words: their number
// does not matter, only how many of them could still match. It is not safe for
// concurrent use, save that several may match at a time.
type trie struct {
	next map[string]*trie // by word; * and # among them
	subs []*queue         // whose filter ends here
}

// add adds a subscription.
func (n *trie) add(filter string, q *queue) {
	for rest, more := filter, true; more; {
		var word string
		word, rest, more = nextWord(rest)
		child := n.next[word]
		if child == nil {
			if n.next == nil {
				n.next = make(map[string]*trie)
			}
			child = new(trie)
			n.next[word] = child
		}
		n = child
	}
	n.subs = append(n.subs, q)
}

// remove removes a subscription, and what nobody needs any more.
func (n *trie) remove(filter string, q *queue) {
	word, rest, more := nextWord(filter)
	child := n.next[word]
	switch {
	case child == nil:
		return
	case more:
		child.remove(rest, q)
	default:
		child.subs = slices.DeleteFunc(child.subs, func(o *queue) bool { return o == q })
	}
	if len(child.subs) == 0 && len(child.next) == 0 {
		delete(n.next, word)
	}
}

// match returns the subscriptions that a topic is for, each once.
func (n *trie) match(topic string) (subs []*queue) {
	var here, there states
	here.enter(n)
	for rest, more := topic, true; more; {
		var word string
		word, rest, more = nextWord(rest)
		there.clear()
		for _, s := range here.list {
			if s.stays {
				there.add(s)
			}
			if child := s.node.next[word]; child != nil && !isWild(word) {
				there.enter(child)
			}
			if child := s.node.next["*"]; child != nil {
				there.enter(child)
			}
		}
		here, there = there, here
	}
	for _, s := range here.list {
		subs = append(subs, s.node.subs...)
	}
	return subs
}

// A state is a place in the trie that the words so far have led to; stays says that
// it is a #, which may take in the next word as well.
type state struct {
	node  *trie
	stays bool
}

// states are those of one step, each once.
type states struct {
	list []state
	seen map[*trie]bool // only if there are many
}

const fewStates = 16

func (s *states) clear() { s.list, s.seen = s.list[:0], nil }

// enter adds a node, and the # behind it, which may stand for no word at all.
func (s *states) enter(n *trie) {
	s.add(state{node: n})
	if child := n.next["#"]; child != nil {
		s.add(state{node: child, stays: true})
	}
}

// add adds a state unless it is there. What can be reached from a # without a
// word is a # only.
func (s *states) add(st state) {
	if s.has(st) {
		return
	}
	s.list = append(s.list, st)
	if s.seen != nil {
		s.seen[st.node] = true
	}
	if st.stays {
		if child := st.node.next["#"]; child != nil {
			s.add(state{node: child, stays: true})
		}
	}
}

func (s *states) has(st state) bool {
	if s.seen == nil && len(s.list) < fewStates {
		return slices.Contains(s.list, st)
	}
	if s.seen == nil {
		s.seen = make(map[*trie]bool)
		for _, o := range s.list {
			s.seen[o.node] = true
		}
	}
	return s.seen[st.node]
}
