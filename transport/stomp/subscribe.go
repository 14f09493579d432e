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
	conn            *serverConn
	id, destination string
	ack             transport.AckMode
	named           bool          // the client gave an id, as all but 1.0 must
	private         bool          // its destination is the client's own
	dotted          bool          // its destination is a name of oVirt's, which a broker has as a topic
	slots           chan struct{} // one for each unsettled message, if the client limits them

	// The fields below are protected by the connection's mu.

	gone     bool               // unsubscribed
	consumer transport.Consumer // the broker's; nil without one
	turned   bool               // a message of the broker was turned down, see consume.go
}

func (c *serverConn) subscribe(f *frame.Frame) error {
	s := &subscription{conn: c, destination: f.Header.Get(frame.Destination)}
	s.private = strings.HasPrefix(s.destination, tempPrefix)
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
	friend := c.friend.Load()
	s.dotted = friend && !strings.HasPrefix(s.destination, "/")
	if s.destination == "" || s.id == "" {
		if friend {
			return malformed(noDestinationOrID)
		}
		return malformed("SUBSCRIBE needs the headers destination and id")
	}
	credit := prefetch(f)
	if credit > 0 && s.ack != transport.AckNone {
		s.slots = make(chan struct{}, min(credit, c.o.Limits.Unsettled))
	}
	if err := c.enter(s); err != nil || c.session == nil {
		return err
	}
	return c.consume(s, f, credit)
}

// enter adds a subscription to the client's.
func (c *serverConn) enter(s *subscription) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.ContainsFunc(c.subs, func(o *subscription) bool { return o.id == s.id }) {
		if c.friend.Load() {
			return malformed(idExists)
		}
		return malformed("subscription id %.40q is in use", s.id)
	}
	if len(c.subs)+len(c.temps) >= c.o.Limits.Subscriptions {
		return tooLarge("more than %d subscriptions on a connection", c.o.Limits.Subscriptions)
	}
	c.subs = append(c.subs, s)
	if s.destination == eventQueue {
		c.listening++
	}
	return nil
}

// prefetch returns how many unsettled messages the client allows, or 0.
func prefetch(f *frame.Frame) int {
	for _, name := range [...]string{prefetchCount, prefetchSize} {
		if n, err := strconv.Atoi(f.Header.Get(name)); err == nil && n > 0 {
			return n
		}
	}
	return 0
}

func (c *serverConn) unsubscribe(f *frame.Frame) error {
	id := f.Header.Get(frame.Id)
	if id == "" && c.v == v10 {
		id = f.Header.Get(frame.Destination)
	}
	friend := c.friend.Load()
	if id == "" && friend {
		return malformed(noID)
	}
	c.mu.Lock()
	i := slices.IndexFunc(c.subs, func(s *subscription) bool { return s.id == id })
	if i < 0 {
		c.mu.Unlock()
		if friend {
			return nil
		}
		return malformed("UNSUBSCRIBE of the unknown id %.40q", id)
	}
	gone := c.subs[i]
	settled := c.leave(gone)
	c.adopt(settled)
	c.mu.Unlock()
	if gone.consumer != nil {
		gone.consumer.Detach() // that is what becomes of the unsettled
		defer c.roomy()
	}
	c.release(settled, transport.Released, transport.WithReason(transport.ErrNoRoute, "the subscriber left without acknowledging"))
	return nil
}

// leave takes a subscription out, and returns what was not settled. It needs mu.
func (c *serverConn) leave(gone *subscription) []delivery {
	gone.gone = true
	if gone.destination == eventQueue {
		c.listening--
	}
	c.subs = slices.DeleteFunc(c.subs, func(s *subscription) bool { return s == gone })
	settled := c.unsettled.take(nil, c.lastID, func(d *delivery) bool { return d.sub == gone })
	disown(settled)
	return settled
}

// disown takes deliveries off the broker's, which knows of them.
func disown(settled []delivery) {
	for i := range settled {
		settled[i].brokered = false
	}
}

// manyOrphans is how many settled ids are worth remembering in any case.
const manyOrphans = 1 << 10

// adopt remembers deliveries that an UNSUBSCRIBE settled. It needs mu.
func (c *serverConn) adopt(settled []delivery) {
	if c.orphans == nil || len(c.orphans)+len(settled) > max(c.o.Limits.Unsettled, manyOrphans) {
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
	d := c.unsettled.find(id)
	if d == nil {
		_, crossed := c.orphans[id]
		delete(c.orphans, id)
		c.mu.Unlock()
		if crossed {
			return nil
		}
		return malformed("%s of %.40q, which was acknowledged before or never needed it", f.Command, text)
	}
	var few [8]delivery
	settled := few[:0]
	if sub := d.sub; sub.ack == transport.AckUpTo {
		settled = c.unsettled.take(settled, id, func(d *delivery) bool { return d.sub == sub })
	} else {
		settled = append(settled, c.unsettled.takeOne(d))
	}
	c.mu.Unlock()
	c.settle(settled, outcome(f), nack)
	if c.session != nil && c.thirsty(settled[0].sub) {
		c.roomy()
	}
	return nil
}

// thirsty reports whether it is time to tell the broker of the room that an ACK has
// made: when half of what a subscription may have unsettled is free, or nothing
// more has come that could make more. To tell of each costs as much as a delivery.
func (c *serverConn) thirsty(s *subscription) bool {
	return len(c.stream.Reader.Buffered()) == 0 ||
		len(c.unsettledSlots) <= cap(c.unsettledSlots)/2 && len(s.slots) <= cap(s.slots)/2
}

// outcome is what an ACK or NACK says of a message. As RabbitMQ has it, NACK
// leaves it to be tried again unless the header requeue forbids it.
func outcome(f *frame.Frame) transport.Outcome {
	switch {
	case f.Command != frame.NACK:
		return transport.Accepted
	case f.Header.Get(requeue) == "false":
		return transport.Rejected("the subscriber sent NACK with requeue:false")
	}
	return transport.Failed
}

// release is settle, and tells the broker of the room.
func (c *serverConn) release(settled []delivery, o transport.Outcome, err error) {
	c.settle(settled, o, err)
	if len(settled) > 0 && c.session != nil {
		c.roomy()
	}
}

// settle gives back the slots of what was settled and tells its senders: a broker
// the outcome, and others err.
func (c *serverConn) settle(settled []delivery, o transport.Outcome, err error) {
	for i := range settled {
		d := &settled[i]
		<-c.unsettledSlots
		if d.sub.slots != nil {
			<-d.sub.slots
		}
		switch {
		case d.brokered:
			d.sub.consumer.Settled(d.token, o)
		case d.done != nil:
			d.done(err)
		}
	}
}

// ended tells those whose messages were not acknowledged.
func (c *serverConn) ended(err error) {
	c.mu.Lock()
	c.over = true
	c.nudges.stop()
	settled := c.unsettled.take(nil, c.lastID, func(*delivery) bool { return true })
	c.mu.Unlock()
	disown(settled)
	c.release(settled, transport.Released, c.lost(err))
}

// find returns the subscription that a message to a destination goes by. Those to
// a broker's destinations are the broker's.
func (c *serverConn) find(to string) *subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.subs {
		if s.destination == to && c.feeds(s) {
			return s
		}
	}
	if !strings.HasPrefix(to, tempPrefix) {
		return nil
	}
	if s := c.temps[to]; s != nil {
		return s
	}
	if c.temp == nil || c.temp.destination != to {
		c.temp = newTemp(c, to)
	}
	return c.temp
}

// newTemp returns the subscription to a name below tempPrefix that needs no
// SUBSCRIBE.
func newTemp(c *serverConn, name string) *subscription {
	return &subscription{conn: c, id: name, destination: name, named: true, private: true}
}
