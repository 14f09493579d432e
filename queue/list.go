package queue

import "context"

// A node is one waiting job. Nodes are recycled by their queue, so that a
// queue which has once been full allocates no more.
type node struct {
	next *node
	ctx  context.Context
	job  Job
}

// A chain is a first-in first-out list of nodes. The zero chain is empty.
type chain struct{ head, tail *node }

func (c *chain) push(n *node) {
	if c.tail == nil {
		c.head = n
	} else {
		c.tail.next = n
	}
	c.tail = n
}

// cut takes the first n nodes off, in order. There must be as many.
func (c *chain) cut(n int) *node {
	first, last := c.head, c.head
	for range n - 1 {
		last = last.next
	}
	c.head, last.next = last.next, nil
	if c.head == nil {
		c.tail = nil
	}
	return first
}

// slab is how many nodes are allocated at once.
const slab = 64

// newNode takes a node from the free list. Callers hold mu.
func (q *Queue) newNode(ctx context.Context, j Job) *node {
	if q.free == nil {
		nodes := make([]node, min(slab, q.depth))
		for i := range nodes {
			nodes[i].next, q.free = q.free, &nodes[i]
		}
	}
	n := q.free
	q.free = n.next
	n.next, n.ctx, n.job = nil, ctx, j
	return n
}

// freeNode puts a node back and lets go of what it held. Callers hold mu.
func (q *Queue) freeNode(n *node) {
	n.next, n.ctx, n.job = q.free, nil, nil
	q.free = n
}

// The lists that a lane may be on, each for a reason of its own.
const (
	onReady   = iota // has a waiting job that may start
	onHungry         // has a blocked submitter whose jobs the lane itself has room for
	onHolding        // has a waiting job
	laneLists
)

// A laneLink is the place of a lane on one list.
type laneLink struct {
	prev, next *Lane
	on         bool
}

// A laneList is a doubly linked list of lanes, threaded through their links.
type laneList struct {
	kind       int
	head, tail *Lane
}

// set puts l at the end of the list or takes it off. A lane that is on the list
// already keeps its place.
func (s *laneList) set(l *Lane, on bool) {
	if link := &l.links[s.kind]; link.on == on {
		return
	}
	if on {
		s.push(l)
	} else {
		s.remove(l)
	}
}

func (s *laneList) push(l *Lane) {
	l.links[s.kind] = laneLink{prev: s.tail, on: true}
	if s.tail == nil {
		s.head = l
	} else {
		s.tail.links[s.kind].next = l
	}
	s.tail = l
}

func (s *laneList) remove(l *Lane) {
	link := l.links[s.kind]
	if link.prev == nil {
		s.head = link.next
	} else {
		link.prev.links[s.kind].next = link.next
	}
	if link.next == nil {
		s.tail = link.prev
	} else {
		link.next.links[s.kind].prev = link.prev
	}
	l.links[s.kind] = laneLink{}
}

// next returns the lane after l on the list.
func (s *laneList) next(l *Lane) *Lane { return l.links[s.kind].next }
