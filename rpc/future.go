package rpc

import (
	"context"

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
func Go[R any](ctx context.Context, c *Client, method string, params any) *queue.Future[R] {
	if len(c.s.interceptors) > 0 {
		return goIntercepted[R](ctx, c, method, params)
	}
	w, err := c.start(ctx, nil, method, params)
	if err != nil {
		return queue.Failed[R](err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	p := queue.NewPromise[R]()
	p.OnCancel(cancel)
	go func() {
		defer cancel(nil)
		var r R
		metadata := w.metadata
		err := c.finish(ctx, w, method, &r)
		if metadata {
			err = c.s.learn(err, func() error { return c.call(ctx, nil, method, params, &r) })
		}
		complete(p, r, err)
	}()
	return p.Future()
}

// goIntercepted is Go with interceptors: they run around the whole call, so on
// the goroutine that waits for the answer.
func goIntercepted[R any](ctx context.Context, c *Client, method string, params any) *queue.Future[R] {
	ctx, cancel := context.WithCancelCause(ctx)
	p := queue.NewPromise[R]()
	p.OnCancel(cancel)
	started := make(chan struct{}, 1)
	start := func() {
		select {
		case started <- struct{}{}:
		default: // an interceptor makes the call again
		}
	}
	go func() {
		defer cancel(nil)
		defer start()
		var r R
		err := c.intercepted(ctx, &outgoingCall{Invocation: Invocation{Method: method, Params: params, Result: &r}, started: start})
		complete(p, r, err)
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
