package stomp

import (
	"github.com/go-stomp/stomp/v3/frame"

	"github.com/polyport/polyport/transport"
)

// consume asks the broker for what a SUBSCRIBE wants, which the connection has
// entered.
func (c *serverConn) consume(s *subscription, f *frame.Frame, credit int) error {
	err := c.consumable(s, f)
	if err == nil {
		want := transport.Subscription{ID: s.id, Destination: s.destination, Ack: s.ack, Credit: credit, Headers: others(f)}
		err = c.attach(s, want)
	}
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.leave(s)
	}
	return err
}

// consumable reports what is wrong with a wish before the broker is asked.
func (c *serverConn) consumable(s *subscription, f *frame.Frame) error {
	if c.serves(s.destination) {
		return transport.WithReason(transport.ErrRefused,
			s.destination+" is the request queue of a service here; it is for sending only")
	}
	if text, in := f.Header.Contains(selector); in && text != "" {
		return transport.WithReason(transport.ErrUnsupported,
			"selectors are not supported; subscribe without the header selector, or to a narrower topic")
	}
	return nil
}

// others returns the header lines of a SUBSCRIBE that are not this package's.
func others(f *frame.Frame) (hs []transport.Header) {
	for i := range f.Header.Len() {
		switch name, value := f.Header.GetAt(i); name {
		case frame.Id, frame.Destination, frame.Ack, frame.Receipt, prefetchCount, prefetchSize, selector:
		default:
			hs = append(hs, transport.Header{Name: name, Value: value})
		}
	}
	return hs
}

// attach attaches a subscription to the broker. A private one gets an address of
// the broker's.
func (c *serverConn) attach(s *subscription, want transport.Subscription) error {
	switch {
	case s.private:
		want.Destination = ""
	case s.dotted:
		want.Destination = filterOf(s.destination)
	}
	consumer, err := c.session.Attach(want, s)
	if err != nil {
		return err
	}
	c.mu.Lock()
	s.consumer = consumer
	turned := s.turned
	s.turned = false
	c.mu.Unlock()
	if turned {
		consumer.Ready()
	}
	return nil
}

// own returns the subscription to a name below tempPrefix, by a SUBSCRIBE or
// without one, attached to the broker.
func (c *serverConn) own(name string) (*subscription, error) {
	c.mu.Lock()
	for _, s := range c.subs {
		if s.destination == name {
			c.mu.Unlock()
			return s, nil
		}
	}
	s, known := c.temps[name]
	if !known && len(c.subs)+len(c.temps) < c.o.Limits.Subscriptions {
		s = newTemp(c, name)
		if c.temps == nil {
			c.temps = make(map[string]*subscription)
		}
		c.temps[name] = s
	}
	c.mu.Unlock()
	switch {
	case known:
		return s, nil
	case s == nil:
		return nil, tooLarge("more than %d subscriptions and names below %s on a connection", c.o.Limits.Subscriptions, tempPrefix)
	}
	return s, c.attach(s, transport.Subscription{ID: name})
}

// Deliver sends a MESSAGE that the broker has for the client, if there is room for
// it. It is noted that it was turned down before it is tried once more, so that
// room that comes back meanwhile is not overlooked.
func (s *subscription) Deliver(m *transport.Message, token uint64) bool {
	return s.conn.offer(s, m, token) || s.conn.turnDown(s) && s.conn.offer(s, m, token)
}

// End ends the connection, for STOMP has no word for the end of a subscription.
func (s *subscription) End(why error) { s.conn.expel(why, "", false) }

// offer sends a MESSAGE if there is room now.
func (c *serverConn) offer(s *subscription, m *transport.Message, token uint64) bool {
	if !c.reserveNow(s) {
		return false
	}
	taken := false
	c.stream.Offer(sizeOf(m), func(dst []byte) []byte {
		c.mu.Lock()
		defer c.mu.Unlock()
		if s.gone {
			return dst
		}
		taken = true
		c.lastID++
		if s.ack != transport.AckNone {
			c.unsettled.add(delivery{id: c.lastID, sub: s, token: token, brokered: true})
		}
		return c.appendDelivery(dst, s, c.lastID, m)
	})
	if !taken {
		c.freeOne(s)
	}
	return taken
}

// reserveNow is reserve without waiting.
func (c *serverConn) reserveNow(s *subscription) bool {
	if s.ack == transport.AckNone {
		return true
	}
	select {
	case c.unsettledSlots <- struct{}{}:
	default:
		return false
	}
	if s.slots == nil {
		return true
	}
	select {
	case s.slots <- struct{}{}:
		return true
	default:
		<-c.unsettledSlots
		return false
	}
}

// turnDown notes that the broker is to be told of room, and returns true, unless
// the subscription has ended.
func (c *serverConn) turnDown(s *subscription) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.gone || c.over {
		return false
	}
	if !s.turned {
		s.turned = true
		c.turned = append(c.turned, s)
	}
	return true
}

// roomy tells the broker that there may be room again for what was turned down.
func (c *serverConn) roomy() {
	c.mu.Lock()
	if len(c.turned) == 0 || c.over {
		c.mu.Unlock()
		return
	}
	var few [8]transport.Consumer
	ready := few[:0]
	for _, s := range c.turned {
		if s.consumer != nil && !s.gone { // else attach will see to it
			s.turned = false
			ready = append(ready, s.consumer)
		}
	}
	clear(c.turned)
	c.turned = c.turned[:0]
	c.mu.Unlock()
	for _, consumer := range ready {
		consumer.Ready()
	}
}
