package mem

import (
	"cmp"
	"context"
	"slices"

	"github.com/polyport/polyport/transport"
)

// A delivery is a message that waits to be settled.
type delivery struct {
	id   uint64
	sub  *subscription
	done func(error) // may be nil

	token    uint64 // the broker's, if it is brokered
	brokered bool
}

// deliver sends m once by each of subs. Nothing is sent before all have room
// for it.
func (c *serverConn) deliver(ctx context.Context, subs []*subscription, m *transport.Message, size int, done func(error)) error {
	if err := c.flow.take(ctx, c.over, subs, slots(subs, done)); err != nil {
		return c.notSent("send", err)
	}
	var gone []*subscription // while this waited for room
	ran := false
	err := c.stream.Write(ctx, "send", size, func(dst []byte) []byte {
		ran = true
		for _, s := range subs {
			if r, ok := c.route(m.To, delivery{sub: s, done: done}); ok {
				dst = appendMessage(dst, m, r)
			} else {
				gone = append(gone, s)
			}
		}
		return dst
	})
	if !ran {
		gone = subs
	}
	if len(gone) > 0 {
		c.flow.give(gone, slots(gone, done))
	}
	switch {
	case ran && len(gone) == len(subs):
		return c.notSent("send", transport.WithReason(transport.ErrNoRoute, "the subscriber has left"))
	case ran && done != nil:
		return nil // should the write have failed, then done is told
	}
	return err
}

// slots is how many messages, one by each of subs, are to be settled or
// confirmed.
func slots(subs []*subscription, done func(error)) (n int) {
	for _, s := range subs {
		if s.ack != transport.AckNone || done != nil {
			n++
		}
	}
	return n
}

// route notes a message in the order of writing, unless its subscription has
// ended.
func (c *serverConn) route(to string, d delivery) (r routing, ok bool) {
	s := d.sub
	c.subsMu.Lock()
	defer c.subsMu.Unlock()
	if s.left {
		return r, false
	}
	r = routing{to: to, subscription: s.id}
	switch {
	case s.ack != transport.AckNone:
		c.lastID++
		r.delivery = c.lastID
		d.id = r.delivery
		c.unsettled = append(c.unsettled, d)
	case d.done != nil:
		c.confirm.add(d.done)
		r.confirm = true
	}
	return r, true
}

// settle handles settle. A message may have been settled together with a
// later one, or by unsubscribe.
func (c *serverConn) settle(f frame) error {
	id, number, reason := f.head.number(1<<64-1), f.head.number(maxOutcome), f.head.text()
	if err := f.head.end(f.kind); err != nil {
		return err
	}
	c.subsMu.Lock()
	if id > c.lastID {
		c.subsMu.Unlock()
		return malformed("settle of message %d, which was not sent", id)
	}
	i, found := slices.BinarySearchFunc(c.unsettled, id, func(d delivery, id uint64) int {
		return cmp.Compare(d.id, id)
	})
	if !found {
		c.subsMu.Unlock()
		return nil
	}
	s := c.unsettled[i].sub
	settled := c.takeOut(i+1, func(d delivery) bool {
		return d.id == id || s.ack == transport.AckUpTo && d.sub == s
	})
	c.subsMu.Unlock()
	for i := range settled {
		if d := &settled[i]; d.brokered {
			d.sub.consumer.Settled(d.token, outcomeOf(number, reason))
		}
	}
	c.release(settled, refusal(number, reason))
	return nil
}

// takeOut takes the deliveries that match out of the first n. It needs subsMu.
func (c *serverConn) takeOut(n int, match func(delivery) bool) (out []delivery) {
	kept := c.unsettled[:0]
	for _, d := range c.unsettled[:n] {
		if match(d) {
			out = append(out, d)
		} else {
			kept = append(kept, d)
		}
	}
	c.unsettled = slices.Delete(c.unsettled, len(kept), n)
	return out
}

// release lets the next messages go and tells the senders of those settled.
func (c *serverConn) release(settled []delivery, err error) {
	for _, d := range settled {
		c.flow.give([]*subscription{d.sub}, 1)
	}
	for _, d := range settled {
		if d.done != nil {
			d.done(err)
		}
	}
}

// left tells those whose messages were not settled that they will not be.
func (c *serverConn) left(err error) {
	c.subsMu.Lock()
	c.gone = true
	settled := c.takeOut(len(c.unsettled), func(delivery) bool { return true })
	c.subsMu.Unlock()
	c.release(settled, &transport.OpError{Op: "send", Scheme: scheme, Addr: c.info.Remote.String(), MaybeSent: true, Err: err})
}
