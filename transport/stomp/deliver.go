package stomp

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/go-stomp/stomp/v3/frame"

	"github.com/polyport/polyport/transport"
)

// Send hands m to one subscription whose destination is m.To.
func (c *serverConn) Send(ctx context.Context, m *transport.Message) error {
	return c.SendConfirmed(ctx, m, nil)
}

// SendConfirmed is Send for a subscription that acknowledges; done is told of
// the ACK or NACK. For one that does not it is told at once.
func (c *serverConn) SendConfirmed(ctx context.Context, m *transport.Message, done func(error)) error {
	size, err := check(c.v, m, c.info.Limits)
	if err != nil {
		return c.notSent("send", err)
	}
	s := c.find(m.To)
	if m.To == "" || s == nil {
		return c.notSent("send", transport.WithReason(transport.ErrNoRoute, fmt.Sprintf("the peer has no subscription to %q", m.To)))
	}
	return c.deliver(ctx, s, m, size, done)
}

// Publish hands m to every subscription whose destination is m.To.
func (c *serverConn) Publish(ctx context.Context, m *transport.Message) error {
	size, err := check(c.v, m, c.info.Limits)
	if err != nil {
		return c.notSent("send", err)
	}
	c.mu.Lock()
	subs := slices.Clone(c.subs)
	c.mu.Unlock()
	subs = slices.DeleteFunc(subs, func(s *subscription) bool { return s.destination != m.To })
	if len(subs) == 0 {
		return c.notSent("send", transport.WithReason(transport.ErrNoRoute, fmt.Sprintf("the peer has no subscription to %q", m.To)))
	}
	for _, s := range subs {
		if err := c.deliver(ctx, s, m, size, nil); err != nil {
			return err
		}
	}
	return nil
}

// deliver writes a MESSAGE for a subscription.
func (c *serverConn) deliver(ctx context.Context, s *subscription, m *transport.Message, size int, done func(error)) error {
	if s.ack != transport.AckNone {
		if err := c.reserve(ctx, s); err != nil {
			return c.notSent("send", err)
		}
	}
	c.mu.Lock()
	c.lastID++
	id := c.lastID
	if s.ack != transport.AckNone {
		c.unsettled = append(c.unsettled, delivery{id: id, sub: s, done: done})
	}
	c.mu.Unlock()
	err := c.stream.Write(ctx, "send", size, func(dst []byte) []byte {
		return c.appendDelivery(dst, s, id, m)
	})
	switch {
	case s.ack == transport.AckNone && err == nil && done != nil:
		done(nil)
	case s.ack != transport.AckNone && err != nil:
		c.mu.Lock()
		settled := c.settle(func(d delivery) bool { return d.id == id })
		c.mu.Unlock()
		for i := range settled {
			settled[i].done = nil // the error is returned
		}
		c.release(settled, err)
	}
	return err
}

// reserve waits until the subscription may have one more message unsettled.
func (c *serverConn) reserve(ctx context.Context, s *subscription) error {
	if err := c.acquire(ctx, c.unsettledSlots); err != nil || s.slots == nil {
		return err
	}
	err := c.acquire(ctx, s.slots)
	if err != nil {
		<-c.unsettledSlots
	}
	return err
}

func (c *serverConn) acquire(ctx context.Context, slots chan struct{}) error {
	select {
	case slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case slots <- struct{}{}:
		return nil
	case <-c.stream.Done():
		return c.stream.Err()
	case <-ctx.Done():
		return transport.WithReason(transport.ErrBusy, "the subscriber has not acknowledged earlier messages")
	}
}

func (c *serverConn) appendDelivery(dst []byte, s *subscription, id uint64, m *transport.Message) []byte {
	dst = appendCommand(dst, frame.MESSAGE)
	if s.named {
		dst = c.v.appendHeader(dst, frame.Subscription, s.id)
	}
	dst = append(dst, "message-id:"...)
	dst = append(strconv.AppendUint(dst, id, 10), '\n')
	if s.ack != transport.AckNone && c.v == v12 {
		dst = append(dst, "ack:"...)
		dst = append(strconv.AppendUint(dst, id, 10), '\n')
	}
	return appendMessage(dst, c.v, cmp.Or(m.To, s.destination), m)
}
