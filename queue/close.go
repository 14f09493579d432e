package queue

import (
	"context"
	"fmt"
)

// Close refuses new jobs at once, blocked submitters included, lets the jobs
// that wait and run go on, and returns nil when the last has ended and every
// goroutine of the queue with it. A paused lane stays paused; Close waits for
// its Resume or its Close.
//
// If ctx ends first, Close gives up: it drops the jobs that wait with
// [ErrClosed], ends [Queue.Context] and tells the jobs of [Submit] and
// [Lockstep] that still run. It does not wait for running jobs then, as there
// may be one that never ends, but returns an error that wraps the cause of
// ctx's end, unless nothing was left. Each goroutine ends when its job does;
// to wait for that, call Close again.
//
// Close may be called any number of times, also at the same time. A job that
// closes its own queue waits for itself until ctx ends.
func (q *Queue) Close(ctx context.Context) error {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		q.refuseBlocked()
	}
	wake := q.settle()
	q.mu.Unlock()
	wake.start(q)

	select {
	case <-q.gone:
	case <-ctx.Done():
		if err := q.abort(ctx); err != nil {
			return err
		}
	}
	q.cancel(ErrClosed)
	return nil
}

// refuseBlocked turns away every blocked submitter. A lane that has one is on
// the hungry list or, if the lane itself lacks room, on the holding list.
// Callers hold mu.
func (q *Queue) refuseBlocked() {
	for q.hungry.head != nil {
		q.hungry.head.turnAway()
	}
	for l := q.holding.head; l != nil; l = q.holding.next(l) {
		l.turnAway()
	}
}

// abort ends what is left after Close has given up, and returns the error that
// says so, or nil if nothing was left.
func (q *Queue) abort(ctx context.Context) error {
	q.mu.Lock()
	dropped, running := q.waiting+q.dropping, q.running
	var old []*node
	for l := q.holding.head; l != nil; l = q.holding.head {
		old = append(old, l.detach(l.waiting, &q.count.dropped))
	}
	calls := make([]aborter, 0, running)
	for _, w := range q.workers {
		if c, ok := w.job.(aborter); ok {
			calls = append(calls, c)
		}
	}
	wake := q.settle()
	q.mu.Unlock()
	wake.start(q)

	for _, n := range old {
		q.dropAll(n, ErrClosed)
	}
	if dropped == 0 && running == 0 {
		<-q.gone // the workers are on their way out, and nobody else's code is in that way
		return nil
	}
	q.cancel(ErrClosed)
	for _, c := range calls {
		c.abort(ErrClosed)
	}
	return fmt.Errorf("queue: close gave up with %d jobs dropped and %d running: %w", dropped, running, context.Cause(ctx))
}

// An aborter is a job that can be told, while it runs, that the queue waits for
// it no longer. It may be told when it has just ended. Only jobs of this
// package are, for a job of another one may be reused after its end.
type aborter interface{ abort(err error) }
