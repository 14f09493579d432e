package rpc

import (
	"context"
	"runtime/debug"
	"sync/atomic"

	"github.com/polyport/polyport/queue"
)

// Go sends a call and returns a future for its result at once. A call that
// could not be sent is an already failed future. ctx bounds the call, not the
// wait for the future: the error of a call that ctx ended is a [*CallError], that
// of a wait which ended wraps [queue.ErrWait]. Canceling the future takes the call
// back: the peer is told that nobody waits for it any more.
//
// Go waits only for a place in flight and room in the send buffer, within ctx,
// and for what interceptors do before the request is sent.
//
// The future is complete when the answer has come. The result is decoded by
// whoever asks for it first.
func Go[R any](ctx context.Context, c *Client, method string, params any) *queue.Future[R] {
	if len(c.s.interceptors) > 0 || c.gathers() || !c.s.conn.Info().Headers && !c.s.plain {
		return goWaiting[R](ctx, c, method, params)
	}
	f := &pending[R]{client: c, method: method}
	f.waiter.future, f.waiter.until = f, ctx
	f.SetSource(f)
	if err := c.start(ctx, &f.waiter, nil, method, params); err != nil {
		return queue.Failed[R](err)
	}
	if !c.s.receiving.lent.Load() {
		c.s.receiving.follow()
	}
	return f.Future()
}

// A pending is a call behind a future, for which no goroutine waits.
type pending[R any] struct {
	queue.Promise[R]
	waiter

	client   *Client
	method   string
	answered atomic.Bool
	lent     atomic.Bool                        // by somebody who waits
	stop     atomic.Pointer[context.CancelFunc] // of him
}

// Lend receives for the session, if nobody does, as a caller of [Client.Call]
// would: it is a pity to wake one goroutine by another.
func (f *pending[R]) Lend(ctx context.Context) {
	f.lent.Store(true)
	r := &f.client.s.receiving
	if !r.vacant() {
		return
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	f.stop.Store(&stop)
	if _, _, complete := f.Future().TryGet(); !complete {
		r.lead(ctx, &f.waiter)
	}
}

// ended ends Lend: the future is complete without an answer.
func (f *pending[R]) ended() {
	if stop := f.stop.Load(); stop != nil {
		(*stop)()
	}
}

// delivered reports whether the answer is there.
func (f *pending[R]) delivered() bool { return f.answered.Load() }

// deliver gets the answer, and reports whether whoever waits for it could have
// received it. It is called with the lock of the calls held.
func (f *pending[R]) deliver(a answer) (lent bool) {
	lent = f.lent.Load()
	f.client.s.receiving.lent.Store(lent)
	f.client.release(1)
	f.answered.Store(true)
	f.answer = a
	f.ResolveFromSource()
	return lent
}

// Result decodes the answer.
func (f *pending[R]) Result() (r R, err error) {
	err = f.client.decode(f.answer, f.method, &r)
	return r, err
}

// expired is called when ctx has ended.
func (f *pending[R]) expired() {
	c := f.client
	outcome := c.s.revoke(f.until, f.waiter.id)
	if c.s.calls.abandon(&f.waiter) {
		c.release(1)
		f.Reject(&CallError{Method: f.method, Outcome: outcome, Err: context.Cause(f.until)})
		f.ended()
		c.takeBack(noWait, &f.waiter)
	}
}

// Cancelled is called when the future has been canceled.
func (f *pending[R]) Cancelled(error) {
	c := f.client
	f.ended()
	_ = c.s.revoke(f.until, f.waiter.id) // the future has its error
	if c.s.calls.abandon(&f.waiter) {
		c.release(1)
		c.takeBack(noWait, &f.waiter)
	}
}

// goWaiting is Go with a goroutine that waits for the answer: interceptors run
// around the whole call, and one that a peer refuses for its metadata is made
// again.
func goWaiting[R any](ctx context.Context, c *Client, method string, params any) *queue.Future[R] {
	ctx, cancel := context.WithCancelCause(ctx)
	p := queue.NewPromise[R]()
	p.OnCancel(cancel)
	started := make(chan struct{}, 1)
	start := func() {
		select {
		case started <- struct{}{}:
		default: // it is made again
		}
	}
	go func() {
		var r R
		var err error
		returned := false
		defer func() {
			if !returned {
				v := recover()
				if v == nil {
					v = queue.ErrGoexit
				}
				err = &queue.PanicError{Value: v, Stack: debug.Stack()}
			}
			complete(p, r, err)
			cancel(nil)
			start()
		}()
		o := &outgoingCall{Invocation: Invocation{Method: method, Params: params, Result: &r}, started: start}
		err = c.intercepted(ctx, o)
		returned = true
	}()
	<-started
	return p.Future()
}

func complete[R any](p *queue.Promise[R], r R, err error) {
	if err != nil {
		p.Reject(err)
		return
	}
	p.Resolve(r)
}
