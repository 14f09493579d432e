package acceptor

import (
	"errors"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/frames"
)

// partials is how many of the largest messages may be under way at once, in
// parts, by all links of a connection.
const partials = 4

// An inlet is a link by which the peer sends. The connection's mu protects it.
type inlet struct {
	*link
	address string // what it sends to; "" if each message says so
	node    string // the same in words for the broker; "" if that has no part in it

	// received, done and limit count deliveries from the link's attachment on:
	// those that have come, that the application is done with, and that may
	// come, as the peer has been told. Only what is done makes room for more.
	received, done, limit uint32

	// The delivery under way, if it takes several transfers.
	partial bool
	id      uint32
	settled bool
	payload []byte

	// handed is how many messages wait for the broker's word. Once the link is
	// orphaned they are counted by the connection.
	handed   int
	orphaned bool
}

// credit is how many deliveries the peer may have under way by one link: a
// share of what the limits allow the connection.
func (c *conn) credit() uint32 {
	return uint32(max(1, c.o.Limits.Unsettled/max(1, c.inletCount)))
}

// grant has the peer told of its credit if that is used up by half.
func (l *inlet) grant() {
	credit := l.session.conn.credit()
	limit := l.done + credit
	if left := l.limit - l.received; int32(limit-l.limit) > 0 && left <= credit/2 {
		l.limit = limit
		l.session.speaks(l.link)
	}
}

// fill adds the link's state to a flow frame.
func (l *link) fill(f *frames.Flow) {
	f.Handle, f.HasHandle = l.handle, true
	if l.in != nil {
		f.DeliveryCount, f.LinkCredit = l.in.received, l.in.limit-l.in.received
		return
	}
	f.DeliveryCount, f.LinkCredit, f.Drain = l.out.count, l.out.credit, l.out.drain
}

// flowed handles a flow frame about an attached link.
func (l *link) flowed(x *frames.Flow) {
	if l.out != nil {
		l.out.flowed(x)
	}
	if x.Echo {
		l.session.speaks(l)
	}
}

// transfer handles a transfer (section 2.7.5), and returns the message that it
// completes.
func (c *conn) transfer(f *frame) (*transport.Message, error) {
	var t frames.Transfer
	t.Parse(&f.fields)
	if err := f.fields.Err(); err != nil {
		return nil, malformed("transfer", err)
	}
	c.mu.Lock()
	s, err := c.session(f)
	if s == nil {
		c.mu.Unlock()
		return nil, err
	}
	if s.inWindow == 0 {
		c.mu.Unlock()
		c.end(s, refusal(windowViolation, "a transfer while the session's window of %d was shut", window))
		return nil, nil
	}
	s.nextIn++
	if s.inWindow--; s.inWindow == window/2 {
		s.echo = true
		s.dirtied()
	}
	l := s.links[t.Handle]
	if l == nil {
		c.mu.Unlock()
		c.end(s, refusal(unattachedHandle, "transfer on handle %d, which is not attached", t.Handle))
		return nil, nil
	}
	if l.state != attached {
		c.mu.Unlock()
		return nil, nil
	}
	why, err := l.take(&t, f)
	c.mu.Unlock()
	switch {
	case err != nil:
		return nil, err
	case why != nil:
		c.expel(l, why)
		return nil, nil
	case l.in.partial:
		return nil, nil
	}
	if t.Aborted {
		return nil, l.in.SettleMessage(uint64(l.in.id), transport.Accepted)
	}
	return c.message(l.in, f)
}

// take adds a transfer to the delivery that it belongs to. The delivery is
// complete when partial is false.
func (l *link) take(t *frames.Transfer, f *frame) (why *frames.Error, err error) {
	in, s := l.in, l.session
	switch {
	case in == nil:
		return refusal(notAllowed, "a transfer by a link whose sender is at the other end"), nil
	case t.Resume:
		return refusal(notImplemented, "deliveries cannot be resumed"), nil
	case t.ReceiveMode != 0:
		return refusal(notImplemented, "rcv-settle-mode second is not supported"), nil
	case t.Format != 0:
		return refusal(notImplemented, "the message format %#x is not supported", t.Format), nil
	case in.partial && t.HasID && t.ID != in.id:
		return refusal(notAllowed, "delivery %d began before delivery %d was complete", t.ID, in.id), nil
	case !in.partial:
		if why := in.first(t); why != nil {
			return why, nil
		}
	}
	in.settled = in.settled || t.Settled
	most := s.conn.maxMessage()
	switch {
	case uint64(len(in.payload)+len(f.payload)) > most:
		return nil, tooLarge(messageSize, "a message has over %d bytes, which is the limit", most)
	case t.More && uint64(s.conn.partial+len(f.payload)) > partials*most:
		return refusal(resourceLimit, "too many large deliveries of the connection's links are under way"), nil
	}
	wasPartial := in.partial
	s.conn.partial -= len(in.payload)
	in.partial = t.More && !t.Aborted
	switch {
	case t.Aborted:
		in.payload = nil
	case in.partial && !wasPartial && f.owned:
		in.payload = f.payload
	case in.partial || wasPartial:
		in.payload = append(in.payload, f.payload...)
	}
	if in.partial {
		s.conn.partial += len(in.payload)
	}
	if !in.partial && !in.settled && !t.Aborted {
		s.received.add(in.id, in)
	}
	return nil, nil
}

// first begins a delivery.
func (l *inlet) first(t *frames.Transfer) *frames.Error {
	s := l.session
	switch {
	case l.received == l.limit:
		return refusal(transferLimit, "a delivery without credit; %d have come and %d are done with", l.received, l.done)
	case !t.HasID:
		return refusal(invalidField, "the first transfer of a delivery has no delivery-id")
	case len(t.Tag) > 32:
		return refusal(invalidField, "a delivery-tag of %d bytes; the most is 32", len(t.Tag))
	case s.anyDelivery && int32(t.ID-s.lastDelivery) <= 0:
		return refusal(invalidField, "the delivery-id %d comes after %d", t.ID, s.lastDelivery)
	}
	s.anyDelivery, s.lastDelivery = true, t.ID
	l.received++
	l.id, l.settled, l.payload = t.ID, false, nil
	return nil
}

// message makes a message of a complete delivery, or refuses it.
func (c *conn) message(l *inlet, f *frame) (*transport.Message, error) {
	payload, owned := f.payload, f.owned
	if l.payload != nil {
		payload, owned = l.payload, true
		l.payload = nil
	}
	m, err := c.reader.read(payload, owned)
	if _, ends := errors.AsType[*fault](err); ends {
		return nil, err
	}
	var why *frames.Error
	if err != nil {
		why = refusal(decodeError, "%v", err)
	} else if to, ok := c.brokered(l, m); ok {
		c.hand(l, m, to)
		return nil, nil
	} else if why = c.route(l, m); why == nil && c.reader.kind == asValue {
		why = refusal(decodeError, "the body is neither data nor a string or binary value, which is what this server understands")
	}
	if why != nil {
		return nil, c.reject(l, why)
	}
	if !l.settled {
		m.SetUnsettled()
	}
	m.SetSettler(l, uint64(l.id))
	return m, nil
}

// route finds out what a message is sent to, and whether its answer can come
// back.
func (c *conn) route(l *inlet, m *transport.Message) *frames.Error {
	if l.address != "" {
		m.To = l.address
	}
	if !c.serves(m.To) {
		return refusal(notFound, "no address %.60q; this server serves %s", m.To, c.served())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.ReplyTo != "" && len(c.outlets[m.ReplyTo]) == 0 && c.broker == nil {
		return refusal(notFound, "reply-to %.60q is not attached on this connection; attach a receiver to it first", m.ReplyTo)
	}
	return nil
}

// reject refuses one delivery: by its outcome if the peer wants to know, else by
// detaching the link.
func (c *conn) reject(l *inlet, why *frames.Error) error {
	if l.settled {
		c.expel(l.link, why)
		return nil
	}
	return l.settle(l.id, settlement{outcome: frames.Rejected, why: why})
}

// reset forgets the delivery under way.
func (l *inlet) reset() {
	if l.partial {
		l.session.conn.partial -= len(l.payload)
	}
	l.partial, l.payload = false, nil
}
