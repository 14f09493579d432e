package amqp

import (
	"cmp"
	"context"
	"crypto/rand"

	goamqp "github.com/Azure/go-amqp"

	"github.com/polyport/polyport/transport"
)

// probe has all outlets look whether they have a link.
func (c *clientConn) probe() {
	for _, o := range c.allOutlets() {
		o.mark(&letter{probe: true})
	}
}

// probe looks whether there is a link. If there is none, what was sent last may
// be lost.
func (o *outlet) probe() {
	if err := o.lost(); err != nil {
		o.detach()
		o.c.undelivered(o.target, o.c.lost(err))
	}
}

// alive reports whether there is a link.
func (o *outlet) alive() bool { return o.spout != nil && o.spout.lost() == nil }

// lost returns why there is no link any more, or nil.
func (o *outlet) lost() error {
	if o.spout == nil {
		return nil
	}
	return o.spout.lost()
}

// attach gets a link in a session of its own.
func (o *outlet) attach() error { return o.c.patiently(context.Background(), o.open) }

// open asks for the link.
func (o *outlet) open(ctx context.Context) error {
	address, durable := o.target, o.target != "" && o.c.peer.declares(o.target)
	for {
		s, err := o.c.ownSeat(ctx)
		if err != nil {
			return err
		}
		opts := goamqp.SenderOptions{Name: rand.Text()}
		if durable {
			opts.TargetDurability = goamqp.DurabilityConfiguration
		}
		if isTopic(address) && o.c.peer.rabbit == 0 {
			opts.TargetCapabilities = []string{"topic"}
		}
		spout := newSpout(o.c)
		o.c.guard.spouts.expect(opts.Name, spout)
		sender, err := s.NewSender(ctx, address, &opts)
		if err == nil {
			o.seat, o.sender = s, sender
			o.mu.Lock()
			o.spout, o.limit = spout, sender.MaxMessageSize()
			o.mu.Unlock()
			return nil
		}
		o.c.guard.spouts.forget(opts.Name)
		o.c.leaveSoon(s)
		if !durable || !isCondition(err, goamqp.ErrCondPreconditionFailed) {
			return err
		}
		address, durable = o.c.peer.existing(address), false
	}
}

// detach ends the link and its session. Proton forgets what it has not yet
// looked at when a session ends before its links; RabbitMQ 3 never answers the
// end of a link alone.
func (o *outlet) detach() {
	o.release()
	if o.seat == nil {
		return
	}
	o.spout.stop(transport.ErrClosed) // before the link's end is said
	ctx, cancel := context.WithTimeout(o.c.ctx, endPatience)
	defer cancel()
	if o.c.peer.rabbit == 0 {
		_ = o.sender.Close(ctx)
	}
	o.c.leave(ctx, o.seat)
	o.spout.end(cmp.Or(context.Cause(o.c.ctx), transport.ErrClosed))
	o.seat, o.sender = nil, nil
	o.mu.Lock()
	defer o.mu.Unlock()
	o.spout = nil
}
