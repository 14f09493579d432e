package broker

// What the tests look at from outside.
var (
	Matches  = matches
	Overlap  = overlap
	BadWords = badWords
)

// TrieMatch puts filters into a trie and returns those that a topic is for, each
// as often as the trie finds it.
func TrieMatch(filters []string, topic string) (found []string) {
	var root trie
	for _, f := range filters {
		root.add(f, &queue{name: f})
	}
	for _, q := range root.match(topic) {
		found = append(found, q.name)
	}
	return found
}

// TrieLeft is how many words a trie remembers when what was added is removed.
func TrieLeft(filters []string) int {
	var root trie
	var all []*queue
	for _, f := range filters {
		q := &queue{name: f}
		root.add(f, q)
		all = append(all, q)
	}
	for _, q := range all {
		root.remove(q.name, q)
	}
	return len(root.next) + len(root.subs)
}
