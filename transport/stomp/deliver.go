package stomp

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/go-stomp/stomp/v3/frame"

	"github.com/polyport/polyport/transport"
)

// Send hands m to one subscription whose destination is m.To.
func (c *serverConn) Send(ctx context.Context, m *transport.Message) error {
	size, err := check(c.v, m, c.info.Limits)
	if err != nil {
		return c.notSent("send", err)
	}
	if c.friend.Load() {
		return c.answer(ctx, m, size)
	}
	s := c.find(m.To)
	switch {
	case m.To == "" || s == nil && c.session == nil:
		return c.notSent("send", noSubscription(m.To))
	case s == nil:
		return c.pass(ctx, m)
	}
	return c.hand(ctx, m, size, s)
}

// hand hands m to one subscription.
func (c *serverConn) hand(ctx context.Context, m *transport.Message, size int, s *subscription) error {
	if s.ack != transport.AckNone {
		return c.deliver(ctx, m, size, nil, s)
	}
	return c.stream.Write(ctx, "send", size, func(dst []byte) []byte {
		c.mu.Lock()
		c.lastID++
		id := c.lastID
		c.mu.Unlock()
		return c.appendDelivery(dst, s, id, m)
	})
}

// SendConfirmed is Send for a subscription that acknowledges; done is told of
// the ACK or NACK.
func (c *serverConn) SendConfirmed(ctx context.Context, m *transport.Message, done func(error)) error {
	size, err := check(c.v, m, c.info.Limits)
	if err != nil {
		return c.notSent("send", err)
	}
	s := c.find(m.To)
	switch {
	case m.To == "" || s == nil && (c.session == nil || c.friend.Load()):
		return c.notSent("send", noSubscription(m.To))
	case s == nil:
		return c.passConfirmed(ctx, m, done)
	case s.ack == transport.AckNone:
		return c.notSent("send", transport.WithReason(transport.ErrUnsupported, "the subscription does not acknowledge"))
	}
	return c.deliver(ctx, m, size, done, s)
}

// Publish hands m to every subscription whose destination is m.To, or to none. An
// event for a client of oVirt's goes to those to jms.queue.events.
func (c *serverConn) Publish(ctx context.Context, m *transport.Message) error {
	if isEvent(m.To) && c.friend.Load() {
		m = event(m)
	}
	size, err := check(c.v, m, c.info.Limits)
	if err != nil {
		return c.notSent("send", err)
	}
	subs := c.subscribedTo(m.To)
	if len(subs) == 0 {
		return c.notSent("send", noSubscription(m.To))
	}
	return c.deliver(ctx, m, size*len(subs), nil, subs...)
}

// subscribedTo returns the subscriptions to a destination, but not those that are the
// broker's alone.
func (c *serverConn) subscribedTo(to string) (subs []*subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.subs {
		if s.destination == to && c.feeds(s) {
			subs = append(subs, s)
		}
	}
	return subs
}

// feeds reports whether this end may send by a subscription. Those to a broker's
// destinations are the broker's, but with clients of oVirt's, where they are both's.
func (c *serverConn) feeds(s *subscription) bool {
	return c.session == nil || s.private || c.friend.Load()
}

func noSubscription(to string) error {
	return noRoute("the peer has no subscription to %.100q", to)
}

// deliver writes a MESSAGE for each of subs in one go. Ids are given in the
// order of the wire, because a cumulative ACK goes by it.
func (c *serverConn) deliver(ctx context.Context, m *transport.Message, size int, done func(error), subs ...*subscription) error {
	if err := c.reserveAll(ctx, subs); err != nil {
		return c.notSent("send", err)
	}
	var gone []*subscription
	var ids []uint64
	err := c.stream.Write(ctx, "send", size, func(dst []byte) []byte {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, s := range subs {
			if s.gone {
				gone = append(gone, s)
				continue
			}
			c.lastID++
			if s.ack != transport.AckNone {
				ids = append(ids, c.lastID)
				c.unsettled.add(delivery{id: c.lastID, sub: s, done: done})
			}
			dst = c.appendDelivery(dst, s, c.lastID, m)
		}
		return dst
	})
	c.free(gone)
	switch {
	case err != nil && ids == nil && gone == nil:
		c.free(subs) // it was not even tried
	case err != nil:
		return c.undelivered(ids, done, err)
	case len(gone) == len(subs):
		return c.notSent("send", noSubscription(m.To))
	}
	return err
}

// undelivered settles deliveries whose write failed.
func (c *serverConn) undelivered(ids []uint64, done func(error), err error) error {
	c.mu.Lock()
	settled := c.unsettled.take(nil, c.lastID, func(d *delivery) bool { return slices.Contains(ids, d.id) })
	c.mu.Unlock()
	if done != nil && len(settled) == 0 {
		return nil // done has been told
	}
	for i := range settled {
		settled[i].done = nil // the error is returned
	}
	c.release(settled, transport.Released, err)
	return err
}

// reserveAll is reserve for each of subs, or for none.
func (c *serverConn) reserveAll(ctx context.Context, subs []*subscription) error {
	if len(subs) > 1 {
		const why = "another message for several subscriptions waits for acknowledgements"
		if err := c.acquire(ctx, c.several, why); err != nil {
			return err
		}
		defer func() { <-c.several }()
	}
	need := 0
	for _, s := range subs {
		if s.ack != transport.AckNone {
			need++
		}
	}
	if need > cap(c.unsettledSlots) {
		return transport.WithReason(transport.ErrBusy, "more subscriptions than messages that may wait for acknowledgement")
	}
	for i, s := range subs {
		if err := c.reserve(ctx, s); err != nil {
			c.free(subs[:i])
			return err
		}
	}
	return nil
}

// reserve waits until a subscription may have one more message unsettled.
func (c *serverConn) reserve(ctx context.Context, s *subscription) error {
	if s.ack == transport.AckNone {
		return nil
	}
	const why = "the subscriber has not acknowledged earlier messages"
	if err := c.acquire(ctx, c.unsettledSlots, why); err != nil || s.slots == nil {
		return err
	}
	err := c.acquire(ctx, s.slots, why)
	if err != nil {
		<-c.unsettledSlots
	}
	return err
}

// free gives back what reserve took.
func (c *serverConn) free(subs []*subscription) {
	for _, s := range subs {
		c.freeOne(s)
	}
	if len(subs) > 0 && c.session != nil {
		c.roomy()
	}
}

func (c *serverConn) freeOne(s *subscription) {
	if s.ack == transport.AckNone {
		return
	}
	<-c.unsettledSlots
	if s.slots != nil {
		<-s.slots
	}
}

func (c *serverConn) appendDelivery(dst []byte, s *subscription, id uint64, m *transport.Message) []byte {
	if c.friend.Load() {
		c.nudges.frame()
	}
	dst = appendCommand(dst, frame.MESSAGE)
	if s.named {
		dst = c.v.appendOwn(dst, frame.Subscription, s.id)
	}
	dst = append(dst, "message-id:"...)
	dst = append(strconv.AppendUint(dst, id, 10), '\n')
	if s.ack != transport.AckNone && c.v == v12 {
		dst = append(dst, "ack:"...)
		dst = append(strconv.AppendUint(dst, id, 10), '\n')
	}
	if m.Attempt > 0 {
		dst = append(dst, "redelivered:true\nx-delivery-count:"...)
		dst = append(strconv.AppendInt(dst, int64(m.Attempt), 10), '\n')
	}
	to := m.To
	if s.private || !s.named { // the client knows it by its own name alone
		to = s.destination
	} else if s.dotted {
		to = strings.TrimPrefix(to, topicPrefix)
	}
	return appendMessage(dst, c.v, to, m)
}
