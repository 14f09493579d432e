package stomp

import (
	"slices"
	"strconv"
	"strings"

	"github.com/go-stomp/stomp/v3/frame"

	"github.com/polyport/polyport/transport"
)

// A subscription is what a client's SUBSCRIBE asked for.
type subscription struct {
	id, destination string
	ack             transport.AckMode
	named           bool          // the client gave an id, as all but 1.0 must
	slots           chan struct{} // one for each unsettled message, if the client limits them
	gone            bool          // unsubscribed; protected by the connection's mu
}

// A delivery is a message that waits for its ACK.
type delivery struct {
	id   uint64
	sub  *subscription
	done func(error) // may be nil
}

func (c *serverConn) subscribe(f *frame.Frame) error {
	s := &subscription{destination: f.Header.Get(frame.Destination)}
	s.id, s.named = f.Header.Contains(frame.Id)
	switch mode := f.Header.Get(frame.Ack); mode {
	case "", "auto":
	case "client-individual":
		s.ack = transport.AckEach
	case "client":
		s.ack = transport.AckUpTo
	default:
		return malformed("unknown ack mode %.30q; expected auto, client or client-individual", mode)
	}
	if !s.named && c.v == v10 {
		s.id = s.destination
	}
	if s.destination == "" || s.id == "" {
		return malformed("SUBSCRIBE needs the headers destination and id")
	}
	if n, err := strconv.Atoi(f.Header.Get(prefetchCount)); err == nil && n > 0 && s.ack != transport.AckNone {
		s.slots = make(chan struct{}, min(n, c.o.Limits.Unsettled))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.ContainsFunc(c.subs, func(o *subscription) bool { return o.id == s.id }) {
		return malformed("subscription id %.40q is in use", s.id)
	}
	if len(c.subs) >= c.o.Limits.Subscriptions {
		return tooLarge("more than %d subscriptions on a connection", c.o.Limits.Subscriptions)
	}
	c.subs = append(c.subs, s)
	return nil
}

func (c *serverConn) unsubscribe(f *frame.Frame) error {
	id := f.Header.Get(frame.Id)
	if id == "" && c.v == v10 {
		id = f.Header.Get(frame.Destination)
	}
	c.mu.Lock()
	i := slices.IndexFunc(c.subs, func(s *subscription) bool { return s.id == id })
	if i < 0 {
		c.mu.Unlock()
		return malformed("UNSUBSCRIBE of the unknown id %.40q", id)
	}
	gone := c.subs[i]
	gone.gone = true
	c.subs = slices.Delete(c.subs, i, i+1)
	settled := c.settle(func(d delivery) bool { return d.sub == gone })
	c.adopt(settled)
	c.mu.Unlock()
	c.release(settled, transport.WithReason(transport.ErrNoRoute, "the subscriber left without acknowledging"))
	return nil
}

// adopt remembers deliveries that an UNSUBSCRIBE settled. It needs mu.
func (c *serverConn) adopt(settled []delivery) {
	if c.orphans == nil || len(c.orphans)+len(settled) > c.o.Limits.Unsettled {
		c.orphans = make(map[uint64]struct{}, len(settled))
	}
	for _, d := range settled {
		c.orphans[d.id] = struct{}{}
	}
}

// acknowledge handles ACK, or NACK with why it is one.
func (c *serverConn) acknowledge(f *frame.Frame, nack error) error {
	if _, in := f.Header.Contains(frame.Transaction); in {
		return malformed("%s in a transaction: transactions are not supported", f.Command)
	}
	name := frame.MessageId
	if c.v == v12 {
		name = frame.Id
	}
	text := f.Header.Get(name)
	if text == "" {
		return malformed("%s without the header %s", f.Command, name)
	}
	id, _ := strconv.ParseUint(text, 10, 64)
	c.mu.Lock()
	i := slices.IndexFunc(c.unsettled, func(d delivery) bool { return d.id == id })
	if i < 0 {
		_, crossed := c.orphans[id]
		delete(c.orphans, id)
		c.mu.Unlock()
		if crossed {
			return nil
		}
		return malformed("%s of %.40q, which was acknowledged before or never needed it", f.Command, text)
	}
	sub := c.unsettled[i].sub
	settled := c.settle(func(d delivery) bool {
		return d.id == id || sub.ack == transport.AckUpTo && d.sub == sub && d.id < id
	})
	c.mu.Unlock()
	c.release(settled, nack)
	return nil
}

// settle takes deliveries out of unsettled. It needs mu.
func (c *serverConn) settle(which func(delivery) bool) (settled []delivery) {
	c.unsettled = slices.DeleteFunc(c.unsettled, func(d delivery) bool {
		if which(d) {
			settled = append(settled, d)
			return true
		}
		return false
	})
	return settled
}

// release gives back the slots of what was settled and tells its senders.
func (c *serverConn) release(settled []delivery, err error) {
	for _, d := range settled {
		<-c.unsettledSlots
		if d.sub.slots != nil {
			<-d.sub.slots
		}
		if d.done != nil {
			d.done(err)
		}
	}
}

// ended tells those whose messages were not acknowledged.
func (c *serverConn) ended(err error) {
	c.mu.Lock()
	settled := c.settle(func(delivery) bool { return true })
	c.mu.Unlock()
	c.release(settled, c.lost(err))
}

// find returns the subscription that a message to a destination goes by.
func (c *serverConn) find(to string) *subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.subs {
		if s.destination == to {
			return s
		}
	}
	if !strings.HasPrefix(to, tempPrefix) {
		return nil
	}
	if c.temp == nil || c.temp.destination != to {
		c.temp = &subscription{id: to, destination: to, named: true}
	}
	return c.temp
}
