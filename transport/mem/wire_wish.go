package mem

import (
	"cmp"
	"context"
	"strconv"

	"github.com/polyport/polyport/transport"
)

// Subscribe asks for the messages of a destination.
func (c *clientConn) Subscribe(ctx context.Context, s transport.Subscription) (string, error) {
	s.Destination = cmp.Or(s.Destination, c.to)
	if len(s.ID) > maxName || s.Ack > transport.AckUpTo || s.Credit < 0 {
		return "", c.notSent("subscribe", invalid("ID over %d bytes, unknown ack mode or negative credit", maxName))
	}
	size := 64 + textLen(s.ID) + textLen(s.Destination)
	for _, h := range s.Headers {
		size += textLen(h.Name) + textLen(h.Value)
	}
	if size > c.may.HeaderBytes || len(s.Headers) > c.may.Headers {
		err := tooLarge("the subscription is over the limit of %d headers in %d bytes", c.may.Headers, c.may.HeaderBytes)
		return "", c.notSent("subscribe", err)
	}
	if err := c.wish(&s); err != nil {
		return "", c.notSent("subscribe", err)
	}
	err := c.stream.Write(ctx, "subscribe", size, func(dst []byte) []byte {
		return appendFrame(dst, kindSubscribe, func(dst []byte) []byte { return appendSubscription(dst, &s) })
	})
	if err != nil {
		c.forget(s.ID)
		return "", err
	}
	return s.ID, nil
}

// wish notes a subscription, with a name if it has none.
func (c *clientConn) wish(s *transport.Subscription) error {
	c.subsMu.Lock()
	defer c.subsMu.Unlock()
	if c.subs[s.ID] != nil {
		return invalid("subscription id %q is in use", s.ID)
	}
	if len(c.subs) >= c.may.Subscriptions {
		return tooLarge("more than %d subscriptions", c.may.Subscriptions)
	}
	for s.ID == "" || c.subs[s.ID] != nil {
		c.lastID++
		s.ID = strconv.FormatUint(c.lastID, 10)
	}
	c.subs[s.ID] = &wish{c: c, id: s.ID, limited: s.Credit > 0}
	return nil
}

// find returns a subscription, or nil.
func (c *clientConn) find(id string) *wish {
	c.subsMu.Lock()
	defer c.subsMu.Unlock()
	return c.subs[id]
}

// forget reports whether there was a subscription.
func (c *clientConn) forget(id string) (known bool) {
	c.subsMu.Lock()
	defer c.subsMu.Unlock()
	known = c.subs[id] != nil
	delete(c.subs, id)
	return known
}

// Unsubscribe ends a subscription. What came by it and is not settled counts
// as settled.
func (c *clientConn) Unsubscribe(ctx context.Context, id string) error {
	if c.find(id) == nil {
		return c.notSent("subscribe", invalid("no subscription %q", id))
	}
	return c.stream.Write(ctx, "subscribe", 64+len(id), func(dst []byte) []byte {
		if !c.forget(id) {
			return dst // somebody was faster
		}
		return appendFrame(dst, kindUnsubscribe, func(dst []byte) []byte { return appendText(dst, id) })
	})
}

// Grant lets the peer send n more messages by a subscription with Credit.
func (c *clientConn) Grant(_ context.Context, subscription string, n int) error {
	w := c.find(subscription)
	if w == nil || n < 1 || n > maxCredit {
		return c.notSent("subscribe", invalid("grant of %d messages to subscription %q", n, subscription))
	}
	return w.grant("subscribe", n)
}

// A wish is a subscription as the end that made it sees it. It settles the
// messages that come by it.
type wish struct {
	c       *clientConn
	id      string
	limited bool // by credit
}

// SettleMessage tells the peer, which will send the next message in place of
// this one.
func (w *wish) SettleMessage(token uint64, o transport.Outcome) error {
	switch {
	case w.c.find(w.id) != w:
		return nil // the peer counts it as settled since Unsubscribe
	case token == 0:
		return w.grant("settle", 1)
	}
	return w.c.control("settle", kindSettle, func(dst []byte) []byte {
		dst = appendNumber(dst, token)
		return appendText(appendNumber(dst, outcomeNumber(o)), o.Reason()[:min(len(o.Reason()), maxReason)])
	})
}

func (w *wish) grant(op string, n int) error {
	return w.c.control(op, kindGrant, func(dst []byte) []byte {
		return appendNumber(appendText(dst, w.id), uint64(n))
	})
}
