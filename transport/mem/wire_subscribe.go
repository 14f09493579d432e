package mem

import (
	"slices"

	"github.com/polyport/polyport/transport"
)

// A subscription is what a client's subscribe frame asked for.
type subscription struct {
	conn            *serverConn
	id, destination string
	ack             transport.AckMode
	limited         bool // by credit
	credit          int  // protected by flow.mu
	gone            bool // as credit: nobody need wait for more

	// The fields below are protected by subsMu.

	left     bool               // what is sent by it would never be settled
	consumer transport.Consumer // the broker's; nil without one
	turned   bool               // a message of the broker was turned down
}

func appendSubscription(dst []byte, s *transport.Subscription) []byte {
	dst = appendText(appendText(dst, s.ID), s.Destination)
	dst = appendNumber(appendNumber(dst, uint64(s.Ack)), uint64(min(s.Credit, maxCredit)))
	return appendHeaders(dst, s.Headers)
}

// subscribe handles subscribe. The headers are a broker's.
func (c *serverConn) subscribe(f frame) error {
	in := &f.head
	s := &subscription{conn: c, id: in.text(), destination: in.text()}
	s.ack = transport.AckMode(in.number(uint64(transport.AckUpTo)))
	s.credit = int(in.number(maxCredit))
	s.limited = s.credit > 0
	var headers []transport.Header
	if err := in.headers(&headers, c.info.Limits.Headers); err != nil {
		return err
	}
	if err := in.end(f.kind); err != nil {
		return err
	}
	if s.id == "" || len(s.id) > maxName {
		return malformed("a subscription needs an id of at most %d bytes", maxName)
	}
	if c.socket == socketSub && (s.ack != transport.AckNone || s.limited) {
		return malformed("a subscription with acknowledgements or credit from a client that only listens")
	}
	want := transport.Subscription{ID: s.id, Destination: s.destination, Ack: s.ack, Credit: s.credit, Headers: headers}
	if err := c.enter(s); err != nil || c.session == nil {
		return err
	}
	return c.consume(s, want)
}

// enter adds a subscription to the client's.
func (c *serverConn) enter(s *subscription) error {
	c.subsMu.Lock()
	defer c.subsMu.Unlock()
	if slices.ContainsFunc(c.subs, func(o *subscription) bool { return o.id == s.id }) {
		return malformed("subscription id %.40q is in use", s.id)
	}
	if len(c.subs) >= c.info.Limits.Subscriptions {
		return tooLarge("more than %d subscriptions on a connection", c.info.Limits.Subscriptions)
	}
	c.subs = append(c.subs, s)
	return nil
}

// unsubscribe handles unsubscribe. What the client did not settle will not be.
func (c *serverConn) unsubscribe(f frame) error {
	id := f.head.text()
	if err := f.head.end(f.kind); err != nil {
		return err
	}
	c.subsMu.Lock()
	i := slices.IndexFunc(c.subs, func(s *subscription) bool { return s.id == id })
	if i < 0 {
		c.subsMu.Unlock()
		return malformed("unsubscribe of the unknown id %.40q", id)
	}
	gone := c.subs[i]
	gone.left = true
	c.subs = slices.Delete(c.subs, i, i+1)
	settled := c.takeOut(len(c.unsettled), func(d delivery) bool { return d.sub == gone })
	c.subsMu.Unlock()
	c.flow.drop(gone)
	if gone.consumer != nil {
		gone.consumer.Detach() // that is what becomes of the unsettled
	}
	c.release(settled, transport.WithReason(transport.ErrNoRoute, "the subscriber left without settling"))
	return nil
}

// grant handles grant. It may have crossed an unsubscribe.
func (c *serverConn) grant(f frame) error {
	id, n := f.head.text(), f.head.number(maxCredit)
	if err := f.head.end(f.kind); err != nil {
		return err
	}
	c.subsMu.Lock()
	i := slices.IndexFunc(c.subs, func(s *subscription) bool { return s.id == id })
	var s *subscription
	if i >= 0 {
		s = c.subs[i]
	}
	c.subsMu.Unlock()
	if s != nil && s.limited {
		c.flow.grant(s, int(n))
	}
	return nil
}

// find returns the first subscription to a destination, or nil.
func (c *serverConn) find(to string) *subscription {
	c.subsMu.Lock()
	defer c.subsMu.Unlock()
	for _, s := range c.subs {
		if s.destination == to {
			return s
		}
	}
	return nil
}

// findAll returns the subscriptions to a destination in the order made.
func (c *serverConn) findAll(to string) (subs []*subscription) {
	c.subsMu.Lock()
	defer c.subsMu.Unlock()
	for _, s := range c.subs {
		if s.destination == to {
			subs = append(subs, s)
		}
	}
	return subs
}
