package queue

import (
	"context"
	"time"
)

// A submitter is a blocked Submit or SubmitAll.
type submitter struct {
	prev, next *submitter
	lane       *Lane // nil when it is not blocked, or no longer
	ctx        context.Context
	jobs       []Job
	answer     chan error // holds the one answer
}

// submitters is the list of a lane's blocked submitters, oldest first.
type submitters struct {
	head, tail *submitter
	n          int
}

// await waits until b is admitted, refused or tired of waiting. It must be
// called without mu.
func (q *Queue) await(b *submitter, p Policy) error {
	ctx := b.ctx // b's own until its answer is taken
	var late <-chan time.Time
	if p == BlockFor {
		t := time.NewTimer(q.blockFor)
		defer t.Stop()
		late = t.C
	}
	var err error
	select {
	case err = <-b.answer:
		q.mu.Lock()
		q.retire(b)
		q.mu.Unlock()
		return err
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-late:
		err = ErrFull
	}
	return q.giveUp(b, err)
}

// giveUp ends a wait that was not answered. An answer that came all the same
// stands: the jobs are accepted then.
func (q *Queue) giveUp(b *submitter, err error) error {
	q.mu.Lock()
	if b.lane == nil {
		err = <-b.answer
		q.retire(b)
		q.mu.Unlock()
		return err
	}
	l := b.lane
	q.count.rejected += uint64(len(b.jobs))
	q.unblock(b)
	q.refresh(l)
	q.retire(b)
	wake := q.settle() // b may have stood in the way of smaller ones
	q.mu.Unlock()
	wake.start(q)
	return err
}

// turnAway refuses all of the lane's blocked submitters. Callers hold mu.
func (l *Lane) turnAway() {
	for b := l.blocked.head; b != nil; b = l.blocked.head {
		l.q.count.rejected += uint64(len(b.jobs))
		l.q.unblock(b)
		b.answer <- ErrClosed
	}
	l.q.refresh(l)
}

// spares is how many submitters a queue keeps for reuse.
const spares = 64

// newSubmitter puts a submitter at the end of l's list. Callers hold mu.
func (q *Queue) newSubmitter(ctx context.Context, l *Lane, jobs []Job) *submitter {
	var b *submitter
	if n := len(q.spare); n > 0 {
		b, q.spare = q.spare[n-1], q.spare[:n-1]
	} else {
		b = &submitter{answer: make(chan error, 1)}
	}
	b.lane, b.ctx, b.prev = l, ctx, l.blocked.tail
	b.jobs = append(b.jobs, jobs...)
	if b.prev == nil {
		l.blocked.head = b
	} else {
		b.prev.next = b
	}
	l.blocked.tail = b
	l.blocked.n++
	q.blocked++
	q.refresh(l)
	return b
}

// unblock takes b off its lane's list. Callers hold mu and refresh the lane.
func (q *Queue) unblock(b *submitter) {
	s := &b.lane.blocked
	if b.prev == nil {
		s.head = b.next
	} else {
		b.prev.next = b.next
	}
	if b.next == nil {
		s.tail = b.prev
	} else {
		b.next.prev = b.prev
	}
	b.prev, b.next, b.lane = nil, nil, nil
	s.n--
	q.blocked--
}

// retire keeps b for reuse. Its answer must have been taken. Callers hold mu.
func (q *Queue) retire(b *submitter) {
	clear(b.jobs)
	b.ctx, b.jobs = nil, b.jobs[:0]
	if len(q.spare) < spares && cap(b.jobs) <= slab {
		q.spare = append(q.spare, b)
	}
}
