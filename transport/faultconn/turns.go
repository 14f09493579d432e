package faultconn

import "slices"

// turns is the order in which concurrent calls of one direction are served.
// It is no mutex, because a call that waits must see deadlines and Close.
type turns struct {
	queue []uint64
	last  uint64
}

func (t *turns) join() uint64 {
	t.last++
	t.queue = append(t.queue, t.last)
	return t.last
}

func (t *turns) first(ticket uint64) bool { return t.queue[0] == ticket }

func (t *turns) leave(ticket uint64) {
	i := slices.Index(t.queue, ticket)
	t.queue = slices.Delete(t.queue, i, i+1)
}
