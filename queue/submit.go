package queue

import (
	"context"
	"fmt"
	"sync/atomic"
)

// Submit queues run in lane l and returns the future of its result. It waits no
// longer than the queue's policy says, and it never fails itself: when run
// cannot be queued, the future is already complete, with an error that wraps
// [ErrNotRun] and what [Lane.Submit] returned.
//
// ctx bounds the work. If it ends while run waits for its turn, the future
// fails at once with an error that wraps ErrNotRun and the cause, and run is
// never called; if it ends later, run, which gets a context derived from it, is
// expected to return. Canceling the future ends run's context with the cause of
// the cancel.
//
// When [Queue.Close] gives up while run runs, its context ends with [ErrClosed]
// and the future fails with it; ErrNotRun is not wrapped then. A panic of run
// becomes a [PanicError]; the queue neither logs nor counts it. Errors of run
// are passed on as they are.
func Submit[T any](ctx context.Context, l *Lane, run func(context.Context) (T, error)) *Future[T] {
	t := &task[T]{run: run}
	t.unstarted = ErrNotRun
	return t.submit(ctx, l, t)
}

// A task is the job of [Submit].
type task[T any] struct {
	call[T]
	run func(context.Context) (T, error)
}

func (t *task[T]) Run(ctx context.Context) {
	defer t.release()
	if t.begin(ctx) {
		t.finish(func() (T, error) { return t.run(ctx) })
	}
}

// A call is what jobs behind a future have in common.
type call[T any] struct {
	Promise[T]
	unstarted error // wrapped by the error of a call that was not begun
	phase     atomic.Int32
	cancel    context.CancelCauseFunc
	unwatch   func() bool // nil if ctx can only end by cancel
}

// The phases of a call. It leaves the first one once, so that a call whose
// future says that it was not begun never is.
const (
	unbegun = iota
	begun
	skipped
)

// submit queues j, which embeds c.
func (c *call[T]) submit(ctx context.Context, l *Lane, j Job) *Future[T] {
	watch := ctx.Done() != nil
	ctx, c.cancel = context.WithCancelCause(ctx)
	c.OnCancel(c.cancel)
	if watch {
		c.unwatch = context.AfterFunc(ctx, func() { c.skip(context.Cause(ctx)) })
	}
	if err := l.Submit(ctx, j); err != nil {
		c.Drop(err)
	}
	return c.Future()
}

// begin reports whether the call is to be made, which the end of its context
// may have decided already.
func (c *call[T]) begin(ctx context.Context) bool {
	if c.unwatch != nil {
		c.unwatch()
	}
	if err := ended(ctx); err != nil {
		c.skip(err)
	}
	return c.phase.CompareAndSwap(unbegun, begun)
}

// skip fails a call that was not begun.
func (c *call[T]) skip(err error) {
	if c.phase.CompareAndSwap(unbegun, skipped) {
		c.Reject(fmt.Errorf("%w: %w", c.unstarted, err))
	}
}

// Drop implements [Job].
func (c *call[T]) Drop(err error) {
	defer c.release()
	if c.unwatch != nil {
		c.unwatch()
	}
	c.skip(err)
}

// abort implements aborter. It fails the future before it ends the context, or
// the error of a function that obeys would come first, now and then.
func (c *call[T]) abort(err error) {
	c.skip(err)
	if c.phase.Load() == begun {
		c.Reject(err)
	}
	c.cancel(err)
}

// release frees what ctx holds for the call.
func (c *call[T]) release() { c.cancel(nil) }
