package amqp

import (
	"context"
	"slices"

	goamqp "github.com/Azure/go-amqp"

	"github.com/polyport/polyport/transport"
)

// A parcel is a received message with what its settlement needs.
type parcel struct {
	in      *inlet
	link    *goamqp.Receiver
	shelf   *shelf
	raw     *goamqp.Message
	size    int // bytes on the shelf
	message *transport.Message
	err     error // why the connection ends, in place of a message
}

// leave makes room for more.
func (p *parcel) leave() {
	p.in.c.guard.taken.Add(1)
	p.shelf.left(p.size)
}

// handOut is called when Recv returns the message.
func (p *parcel) handOut() {
	p.leave()
	if p.in.manual {
		p.message.SetSettler(p, 0)
		return
	}
	p.in.renew(p.link, 1)
}

// SettleMessage tells the peer what became of the message, where it waits for
// that, and renews the credit.
func (p *parcel) SettleMessage(_ uint64, o transport.Outcome) error {
	all := p.covered()
	if o != transport.Accepted || p.in.sub.Ack == transport.AckNone {
		return p.settle(all, o)
	}
	p.in.c.afterSent(func() { _ = p.settle(all, o) })
	return nil
}

func (p *parcel) settle(all []*parcel, o transport.Outcome) error {
	for _, each := range all {
		if p.in.sub.Ack == transport.AckNone {
			break
		}
		if err := each.dispose(o); err != nil {
			return p.in.c.opError("settle", linkErr(err))
		}
	}
	p.in.renew(p.link, len(all))
	return nil
}

// covered are the messages that the settlement of p covers.
func (p *parcel) covered() []*parcel {
	in := p.in
	if in.sub.Ack != transport.AckUpTo {
		return []*parcel{p}
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	i := slices.Index(in.waiting, p)
	all := in.waiting[:i+1]
	in.waiting = in.waiting[i+1:]
	return all
}

// dispose sends a disposition (part 3, section 3.4), unless the message came
// settled or is somebody else's by now.
func (p *parcel) dispose(o transport.Outcome) error {
	p.in.settling.RLock()
	defer p.in.settling.RUnlock()
	if !p.in.has(p.link) {
		return nil
	}
	ctx := context.Background()
	switch {
	case o == transport.Accepted:
		return p.link.AcceptMessage(ctx, p.raw)
	case o == transport.Released:
		return p.link.ReleaseMessage(ctx, p.raw)
	case o.IsRejected():
		return p.link.RejectMessage(ctx, p.raw, &goamqp.Error{Condition: goamqp.ErrCondNotAllowed, Description: o.Reason()})
	}
	return p.link.ModifyMessage(ctx, p.raw, &goamqp.ModifyMessageOptions{DeliveryFailed: true})
}
