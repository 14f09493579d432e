package mem

import (
	"cmp"
	"context"
	"os"
	"slices"

	"github.com/polyport/polyport/transport"
)

// anywhere, in a welcome, says that messages to all other destinations are taken,
// too.
const anywhere = ""

// join introduces the connection to the broker, whose handshake is over.
func (c *serverConn) join(b transport.Broker) {
	c.handing = make(chan struct{}, c.o.Limits.Unsettled)
	c.before = c.ready
	c.flow.more = c.roomy
	c.stream.OnRoom(c.roomy)
	c.session = b.Join(&c.info)
	// Not at once: it may be a Deliver that finds out that the connection has ended,
	// and Leave waits for that.
	c.stream.OnEnd(func(error) { go c.session.Leave() })
}

// handOver gives a message to the broker, and confirms it when that has it. A
// message that it refuses ends the connection.
func (c *serverConn) handOver(m *transport.Message, r routing) {
	m.Subscription, m.Attempt = "", 0
	c.handing <- struct{}{} // for which ready has waited
	c.session.Send(m, func(err error) {
		if err != nil {
			c.expel(err)
		} else {
			c.took(r)
		}
		<-c.handing
	})
}

// ready waits, before the next frame is read, until the broker could be given
// another message.
func (c *serverConn) ready(ctx context.Context) error {
	if why := c.expelled.Load(); why != nil {
		c.refuse(*why)
		return *why
	}
	if len(c.handing) < cap(c.handing) {
		return nil
	}
	c.stream.Release() // it may be our messages that the broker waits for
	select {
	case c.handing <- struct{}{}:
		<-c.handing
		return nil
	case <-c.stream.Ending():
		return cmp.Or(c.stream.Err(), transport.ErrClosed)
	case <-ctx.Done():
		return os.ErrDeadlineExceeded // as a read would
	}
}

// expel is refuse for who may not wait.
func (c *serverConn) expel(why error) {
	if c.expelled.CompareAndSwap(nil, &why) {
		go c.stream.CloseFor(why, refusalOf(why))
	}
}

// consume asks the broker for what a subscription wants, which has been noted.
func (c *serverConn) consume(s *subscription, want transport.Subscription) error {
	if slices.Contains(c.o.Destinations, s.destination) {
		return transport.WithReason(transport.ErrRefused, s.destination+" is the request queue of a service here; it is for sending only")
	}
	consumer, err := c.session.Attach(want, s)
	if err != nil {
		return err
	}
	c.subsMu.Lock()
	s.consumer = consumer
	turned := s.turned
	s.turned = false
	c.subsMu.Unlock()
	if turned {
		consumer.Ready()
	}
	return nil
}

// Deliver sends a message of the broker, if there is room for it. It is noted that
// it was turned down before it is tried once more, so that room that comes back
// meanwhile is not overlooked.
func (s *subscription) Deliver(m *transport.Message, token uint64) bool {
	if s.conn.offer(s, m, token) {
		return true
	}
	s.conn.subsMu.Lock()
	s.turned = true
	s.conn.subsMu.Unlock()
	return s.conn.offer(s, m, token)
}

// End ends the connection, for this wire has no frame for the end of a
// subscription.
func (s *subscription) End(why error) { s.conn.expel(why) }

// offer sends a message if there is room now.
func (c *serverConn) offer(s *subscription, m *transport.Message, token uint64) bool {
	subs, n := []*subscription{s}, 0
	if s.ack != transport.AckNone {
		n = 1
	}
	if changed, err := c.flow.try(subs, n); changed != nil || err != nil {
		return false
	}
	taken := false
	c.stream.Offer(prefixLen+headLen(m, m.To)+maxName+len(m.Body), func(dst []byte) []byte {
		var r routing
		if r, taken = c.route(m.To, delivery{sub: s, token: token, brokered: true}); !taken {
			return dst
		}
		return appendMessage(dst, m, r)
	})
	if !taken {
		c.flow.giveBack(subs, n)
	}
	return taken
}

// roomy tells the broker that there may be room again for what was turned down.
func (c *serverConn) roomy() {
	var ready []transport.Consumer
	c.subsMu.Lock()
	for _, s := range c.subs {
		if s.turned && s.consumer != nil && !c.gone { // else consume will see to it
			s.turned = false
			ready = append(ready, s.consumer)
		}
	}
	c.subsMu.Unlock()
	for _, consumer := range ready {
		consumer.Ready()
	}
}
