package amqp

import (
	"cmp"
	"context"
	"time"

	goamqp "github.com/Azure/go-amqp"
)

// fresh is how long a link that has just taken a message counts as alive.
const fresh = 20 * time.Millisecond

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
		o.c.undelivered(o.target, o.c.lost(linkErr(err)))
	}
}

// alive reports whether there is a link.
func (o *outlet) alive() bool {
	return o.sender != nil && (time.Since(o.last) < fresh || o.lost() == nil)
}

// lost returns why there is no link any more, or nil. To hand in a delivery tag
// that is too long sends nothing: it is refused, unless the link has ended,
// which is told first.
func (o *outlet) lost() error {
	if o.sender == nil {
		return nil
	}
	_, err := o.sender.SendWithReceipt(context.Background(), overlong, nil)
	if isLoss(err) {
		return err
	}
	return nil
}

// overlong is a message whose delivery tag is over the limit of 32 bytes.
var overlong = &goamqp.Message{DeliveryTag: make([]byte, 33)}

// transfer hands a letter to go-amqp, and returns when it is written.
func (o *outlet) transfer(l *letter) error {
	if l.done == nil && o.settles && l.size < o.c.inOne {
		err := o.sender.Send(context.Background(), l.msg, &goamqp.SendOptions{Settled: true})
		if err == nil || isLoss(err) || isOwn(err) {
			return err
		}
		o.settles = false // nothing was sent: the link is for unsettled messages only
	}
	receipt, err := o.sender.SendWithReceipt(context.Background(), l.msg, nil)
	if err == nil && l.done != nil {
		o.c.pumps.Go(func() { l.done(o.c.outcome(receipt)) })
	}
	return err
}

// outcome waits for the outcome of a message.
func (c *clientConn) outcome(r goamqp.SendReceipt) error {
	state, err := r.Wait(c.ctx)
	switch {
	case err != nil:
		return c.lost(cmp.Or(context.Cause(c.ctx), linkErr(err)))
	case state == nil: // the peer settled without saying how
		return nil
	}
	if err := outcomeError(state); err != nil {
		return c.opError("send", err)
	}
	return nil
}

// attach gets a link in a session of its own.
func (o *outlet) attach() error {
	if err := o.c.patiently(context.Background(), o.open); err != nil {
		return linkErr(err)
	}
	o.settles, o.last = true, time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.limit = o.sender.MaxMessageSize()
	return nil
}

// open asks for the link.
func (o *outlet) open(ctx context.Context) error {
	address, durable := o.target, o.target != "" && o.c.peer.declares(o.target)
	for {
		s, err := o.c.ownSeat(ctx)
		if err != nil {
			return err
		}
		var opts goamqp.SenderOptions
		if durable {
			opts.TargetDurability = goamqp.DurabilityConfiguration
		}
		if isTopic(address) && o.c.peer.rabbit == 0 {
			opts.TargetCapabilities = []string{"topic"}
		}
		sender, err := s.NewSender(ctx, address, &opts)
		if err == nil {
			o.seat, o.sender = s, sender
			return nil
		}
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
	if o.seat == nil {
		return
	}
	ctx, cancel := context.WithTimeout(o.c.ctx, endPatience)
	defer cancel()
	if o.c.peer.rabbit == 0 {
		_ = o.sender.Close(ctx)
	}
	o.c.leave(ctx, o.seat)
	o.seat, o.sender = nil, nil
}
