package queue

import (
	"context"
	"sync"
)

// A conn is one connection of a [Lockstep]. It belongs to one exchange at a
// time, or is idle.
type conn[Req, Resp any] struct {
	ex   Exchanger[Req, Resp]
	once sync.Once
	err  error
}

// close closes the connection once. Every caller waits until it is closed.
func (c *conn[Req, Resp]) close() error {
	c.once.Do(func() {
		attempt(func() (struct{}, error) { return struct{}{}, c.ex.Close() }, func(_ struct{}, err error) { c.err = err })
	})
	return c.err
}

// alive reports whether the connection can be used for all that it says itself.
func (c *conn[Req, Resp]) alive() bool {
	a, ok := c.ex.(interface{ Alive() bool })
	return !ok || a.Alive()
}

// idlest returns the idle connection that was used last, or nil.
func (l *Lockstep[Req, Resp]) idlest() *conn[Req, Resp] {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.idle)
	if n == 0 {
		return nil
	}
	c := l.idle[n-1]
	l.idle = l.idle[:n-1]
	return c
}

// take returns an idle connection or opens one. As there are no more workers
// than connections allowed, whoever finds none idle may open one.
func (l *Lockstep[Req, Resp]) take(ctx context.Context) (*conn[Req, Resp], error) {
	for c := l.idlest(); c != nil; c = l.idlest() {
		if c.alive() {
			return c, nil
		}
		l.done(c, false)
		_ = c.close() // nobody waits for anything from it
	}
	ex, err := l.open(ctx)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count.Open++
	l.count.Opened++
	return &conn[Req, Resp]{ex: ex}, nil
}

// put makes c idle, or closes it if no one will need it again.
func (l *Lockstep[Req, Resp]) put(c *conn[Req, Resp]) {
	l.mu.Lock()
	if !l.closed {
		l.idle = append(l.idle, c)
		l.mu.Unlock()
		return
	}
	l.count.Open--
	l.mu.Unlock()
	_ = c.close() // its exchange went well: no one is left to be told of an error
}

// An exchange is the job of [Lockstep.Do].
type exchange[Req, Resp any] struct {
	call[Resp]
	l   *Lockstep[Req, Resp]
	req Req
}

func (x *exchange[Req, Resp]) Run(ctx context.Context) {
	defer x.release()
	ctx, cancel := context.WithTimeoutCause(ctx, x.l.timeout, ErrTimeout)
	defer cancel()

	var c *conn[Req, Resp]
	attempt(func() (*conn[Req, Resp], error) { return x.l.take(ctx) }, func(got *conn[Req, Resp], err error) {
		c = got
		if err == nil {
			return
		}
		if cause := ended(ctx); cause != nil {
			err = cause
		}
		x.skip(err)
	})
	switch {
	case c == nil:
	case !x.begin(ctx):
		x.l.put(c)
	default:
		x.send(ctx, c)
	}
}

// send makes the exchange over c. The end of ctx fails the future and closes c,
// whether Exchange obeys ctx or not.
func (x *exchange[Req, Resp]) send(ctx context.Context, c *conn[Req, Resp]) {
	unwatch := context.AfterFunc(ctx, func() {
		x.Reject(context.Cause(ctx))
		_ = c.close() // the exchange has failed already: its error is the one to tell
	})
	attempt(func() (Resp, error) { return c.ex.Exchange(ctx, x.req) }, func(v Resp, err error) {
		intact := unwatch() && err == nil && !x.f.complete.Load()
		if cause := ended(ctx); cause != nil && err != nil {
			err = cause // as the watch has it, which may not have come so far
		}
		x.l.done(c, intact)
		if !x.complete(v, err) && err == nil {
			x.l.late()
		}
		if !intact {
			_ = c.close() // the future has its error already
		}
	})
}

// done counts c out if it is not intact, and makes it idle if it is.
func (l *Lockstep[Req, Resp]) done(c *conn[Req, Resp], intact bool) {
	if intact {
		l.put(c)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count.Open--
	l.count.Replaced++
}

func (l *Lockstep[Req, Resp]) late() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count.Late++
}
