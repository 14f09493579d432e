package acceptor

import (
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/frames"
)

// subscribe attaches an outlet to the broker. It runs on the goroutine that
// reads, before the link is known.
func (c *conn) subscribe(l *link, answer *frames.Attach) *frames.Error {
	src, out := &answer.Source, l.out
	s := transport.Subscription{Ack: transport.AckEach}
	if !src.Dynamic {
		s.Destination = node(src)
	}
	if out.mode == frames.SendSettled {
		s.Ack = transport.AckNone
	}
	c.mu.Lock()
	why := c.room(l)
	c.mu.Unlock()
	if why != nil {
		return why
	}
	consumer, err := transport.Consumer(nil), transport.ErrClosed
	c.broker.with(func(b transport.BrokerSession) { consumer, err = b.Attach(s, out) })
	if err != nil {
		return brokers(err)
	}
	global := consumer.Address()
	if src.Copy && !isTopic(global) {
		consumer.Detach()
		return refusal(notImplemented, "a queue cannot be browsed: the distribution-mode copy is for topics")
	}
	if src.Dynamic {
		src.Address, src.HasAddress = []byte(global), true
	}
	src.Capabilities = honoured(src.Capabilities, global)
	c.mu.Lock()
	defer c.mu.Unlock()
	out.consumer, out.global, out.address = consumer, global, string(src.Address)
	return nil
}

// withdraw adds to dones what tells the broker that the link is gone. It needs
// mu.
func (l *link) withdraw(dones []func(error)) []func(error) {
	if l.out == nil || l.out.consumer == nil || l.out.over {
		return dones
	}
	l.out.over = true
	detach := l.out.consumer.Detach
	return append(dones, func(error) { detach() })
}

// Deliver is that of transport.Outlet.
func (l *outlet) Deliver(m *transport.Message, token uint64) bool {
	c := l.session.conn
	c.mu.Lock()
	can := l.can(1)
	c.mu.Unlock()
	if !can {
		return false
	}
	x := sending{brokered: true, token: token}
	var err error
	if x.size, err = check(m, c.info.Limits); err == nil {
		x.size += headerSize
		err = l.fits(m, &x)
	}
	if err != nil {
		l.unsaid(token, err)
		return true
	}
	x.frames = 1 + x.size/(c.frameSize-frames.MaxTransferHead)
	asked := false
	transfer := func(dst []byte) []byte {
		c.mu.Lock()
		defer c.mu.Unlock()
		asked = true
		if x.sent = l.can(x.frames); x.sent {
			dst = l.append(dst, m, &x)
		}
		return dst
	}
	if !c.stream.Offer(x.size, transfer) && !asked {
		// Room that comes from now on is heard of; what has come is there.
		c.crowd(l)
		_ = c.stream.Offer(x.size, transfer)
	}
	return x.sent
}

// fits judges a message's size by what the peer takes.
func (l *outlet) fits(m *transport.Message, x *sending) error {
	if l.most == 0 || uint64(x.size) <= l.most {
		return nil
	}
	if x.size = len(appendDelivered(nil, m)); uint64(x.size) > l.most {
		return oversize("a message of %d bytes, the receiver takes %d", x.size, l.most)
	}
	return nil
}

// unsaid gives up a message that this wire or this peer can never take.
func (l *outlet) unsaid(token uint64, why error) {
	c := l.session.conn
	c.o.Logger.Warn("a message cannot be delivered", "address", shown(l.address), "peer", c.info.Remote.String(), "err", why)
	if l.mode != frames.SendSettled {
		go l.consumer.Settled(token, transport.Rejected(transport.Reason(why)))
	}
}

// can reports whether a delivery of so many frames may be sent now. If it is not
// for want of credit, which has to come by a flow of its own, then the link is
// remembered. It needs mu.
func (l *outlet) can(frames int) bool {
	s := l.session
	c := s.conn
	if !l.known || l.state != attached || s.ended || l.credit == 0 {
		return false
	}
	if s.peerWindow > 0 && s.backlog.frames == nil && (c.backlog == 0 || frames <= int(s.peerWindow)) &&
		(c.unsettled < c.info.Limits.Unsettled || l.settles(&sending{brokered: true})) {
		return true
	}
	c.starve(l)
	return false
}

// End is that of transport.Outlet.
func (l *outlet) End(why error) {
	c := l.session.conn
	c.mu.Lock()
	l.over = true
	reason := brokers(why)
	if !l.known {
		l.ended = reason // the answer to its attach comes first
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	c.expel(l.link, reason)
}

// starve notes an outlet that wants to send. It needs mu.
func (c *conn) starve(l *outlet) {
	if !l.hungry {
		l.hungry = true
		c.hungry = append(c.hungry, l)
	}
}

// crowd notes an outlet that has found no room in the send buffer.
func (c *conn) crowd(l *outlet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !l.crowded {
		l.crowded = true
		c.crowded = append(c.crowded, l)
	}
}

// roomy is called when there is room in the send buffer again, on a goroutine of
// its own.
func (c *conn) roomy() {
	c.mu.Lock()
	for _, l := range c.crowded {
		l.crowded = false
		c.starve(l)
	}
	clear(c.crowded)
	c.crowded, c.stirred = c.crowded[:0], true
	c.mu.Unlock()
	c.feed()
	c.flush()
}

// feed tells the broker of outlets that may have room again, if anything has
// changed. It is called by those who hold no lock, of the broker's neither.
func (c *conn) feed() {
	if c.broker == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stirred {
		return
	}
	c.stirred = false
	for n := len(c.hungry); n > 0 && len(c.hungry) > 0; n-- {
		l := c.hungry[0]
		c.hungry[0], c.hungry = nil, c.hungry[1:]
		l.hungry = false
		if !l.can(1) {
			continue
		}
		c.mu.Unlock()
		l.consumer.Ready()
		c.mu.Lock()
		l.drained()
	}
}

// drainPause is how long a broker that could send has to send nothing, in order to
// have nothing: it may do so on a goroutine of its own.
const drainPause = 2 * time.Millisecond

// drained uses up the credit of a peer that has asked for that, if the broker had
// nothing more to send although it could. It is called after the broker was told
// that it can, and needs mu.
func (l *outlet) drained() {
	switch {
	case !l.drain || l.credit == 0 || l.hungry || l.crowded || l.state != attached || l.pausing:
	case l.paused && l.pausedAt == l.count:
		l.paused = false
		l.count += l.credit
		l.credit = 0
		l.session.speaks(l.link)
	default:
		l.paused, l.pausing, l.pausedAt = true, true, l.count
		time.AfterFunc(drainPause, l.resume)
	}
}

// resume asks the broker once more.
func (l *outlet) resume() {
	c := l.session.conn
	c.mu.Lock()
	l.pausing = false
	c.starve(l)
	c.mu.Unlock()
	c.roomy()
}

// headerSize is how many bytes appendDelivered adds to appendMessage, at most.
const headerSize = 24

// left is how many milliseconds a message has to live, or 0 if that is not
// bounded.
func left(m *transport.Message) uint32 {
	if m.Expires.IsZero() {
		return 0
	}
	return uint32(min(max(time.Until(m.Expires).Milliseconds(), 1), 1<<32-1))
}
