package amqp

import (
	"cmp"
	"context"
	"errors"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/polyport/polyport/transport"
)

// errEvicted: the outlet has made way for another since it was looked up.
var errEvicted = errors.New("amqp: the link was given up")

// Send sends m to its address, or that of the URL.
func (c *clientConn) Send(ctx context.Context, m *transport.Message) error {
	return c.send(ctx, m, nil)
}

// SendConfirmed sends m unsettled; done is told of the outcome.
func (c *clientConn) SendConfirmed(ctx context.Context, m *transport.Message, done func(error)) error {
	if err := c.awaitConfirm(ctx); err != nil {
		return c.opError("send", err)
	}
	err := c.send(ctx, m, func(err error) {
		<-c.confirms
		done(err)
	})
	if err != nil {
		<-c.confirms
	}
	return err
}

// awaitConfirm takes one of confirms.
func (c *clientConn) awaitConfirm(ctx context.Context) error {
	select {
	case c.confirms <- struct{}{}:
		return nil
	default:
	}
	select {
	case c.confirms <- struct{}{}:
		return nil
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	case <-ctx.Done():
		return busy(ctx, "too many messages wait for their confirmation")
	}
}

func busy(ctx context.Context, why string) error {
	return errors.Join(transport.WithReason(transport.ErrBusy, why), context.Cause(ctx))
}

func (c *clientConn) send(ctx context.Context, m *transport.Message, done func(error)) error {
	size, err := check(m, &c.info.Limits)
	if err == nil {
		err = c.peer.check(m)
	}
	if err != nil {
		return c.opError("send", err)
	}
	to := cmp.Or(m.To, c.to)
	r := c.peer.route(to, c.to, m.Subject)
	l := &letter{m: m, to: to, subject: cmp.Or(r.subject, m.Subject), need: min(int64(size), c.buffer), size: size, done: done}
	for err = errEvicted; errors.Is(err, errEvicted); {
		var o *outlet
		if o, err = c.outlet(r.target); err == nil {
			err = o.put(ctx, l)
		}
	}
	if _, told := errors.AsType[*transport.OpError](err); err != nil && !told {
		err = c.opError("send", err)
	}
	return err
}

// outlet finds the outlet of a link's address, or makes it.
func (c *clientConn) outlet(target string) (*outlet, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.over(); err != nil || c.dead {
		return nil, cmp.Or(err, transport.ErrClosed)
	}
	o := c.outlets[target]
	if o == nil {
		o = &outlet{
			c: c, target: target, room: semaphore.NewWeighted(c.buffer),
			wake: make(chan struct{}, 1), up: make(chan struct{}), gone: make(chan struct{}),
		}
		o.taking, o.refuse = context.WithCancel(c.ctx)
		c.outlets[target] = o
		c.pumps.Go(o.run)
	}
	return o, nil
}

func (c *clientConn) allOutlets() (all []*outlet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.outlets {
		all = append(all, o)
	}
	return all
}

// evict has the outlet go that was not used for the longest time, so that its
// session becomes free, and waits until it has.
func (c *clientConn) evict(ctx context.Context) error {
	var oldest *outlet
	var since time.Time
	for _, o := range c.allOutlets() {
		if used, idle := o.idle(); idle && (oldest == nil || used.Before(since)) {
			oldest, since = o, used
		}
	}
	if oldest == nil {
		return transport.WithReason(transport.ErrBusy, "all sessions that the peer allows are in use")
	}
	c.mu.Lock()
	delete(c.outlets, oldest.target)
	c.mu.Unlock()
	oldest.seal(errEvicted)
	select {
	case <-oldest.gone:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// undelivered is told of what Send has accepted and is lost. One who serves
// must not be lost to all for an answer to somebody who has gone; one who only
// calls has to learn that nobody will answer.
func (c *clientConn) undelivered(target string, err error) {
	if c.over() != nil {
		return
	}
	c.mu.Lock()
	serves := len(c.inlets) > 0
	c.mu.Unlock()
	if target == c.to && !serves {
		c.fail(err)
		return
	}
	c.log.Warn("a message could not be sent", "to", target, "remote", c.info.Remote, "err", err)
}
