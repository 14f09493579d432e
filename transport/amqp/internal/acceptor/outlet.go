package acceptor

import (
	"context"
	"errors"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/frames"
)

// An outlet is a link by which the peer receives. The connection's mu protects
// it.
type outlet struct {
	*link
	address string
	mode    uint8  // the settlement mode of this end, the sender
	most    uint64 // bytes of a message that the peer takes; 0 means any number

	// count is the delivery-count, credit how many more the peer takes.
	count, credit uint32
	drain         bool // the peer has asked to have its credit used up

	// What the broker knows of it. consumer is nil if it knows nothing, and else
	// set before the link is known. global is what others send to in order to
	// reach it.
	consumer        transport.Consumer
	global          string
	known           bool
	over            bool          // the broker has been told of its end, or told us
	ended           *frames.Error // why, before it was known
	hungry, crowded bool          // see those of the connection

	// While the peer drains: the delivery-count when the broker was asked, and
	// whether it is asked again in a moment.
	pausedAt        uint32
	paused, pausing bool
}

// sent is a delivery that waits for the peer's outcome.
type sent struct {
	out  *outlet
	done func(error) // told of it, or nil

	brokered bool // the broker is told, by its token
	token    uint64
}

// flowed takes in the credit that the peer gives (section 2.6.7). Unless the
// broker has something, nothing waits here to be sent, so that one who wants its
// credit used up gets it back.
func (l *outlet) flowed(x *frames.Flow) {
	if x.HasLinkCredit {
		l.credit = x.LinkCredit
		if x.HasDeliveryCount {
			l.credit += x.DeliveryCount - l.count
		} else {
			l.credit -= l.count
		}
		if l.credit > 1<<31 { // it is less than what is under way
			l.credit = 0
		}
	}
	l.drain, l.paused = x.Drain, false
	if l.consumer != nil && l.credit > 0 {
		l.session.conn.starve(l)
		return
	}
	if l.drain {
		l.count += l.credit
		l.credit = 0
		l.session.speaks(l.link)
	}
}

// Send hands m to the first link by which the peer receives from m.To.
func (c *conn) Send(ctx context.Context, m *transport.Message) error {
	return c.deliver(ctx, m, &sending{})
}

// SendConfirmed is Send, and tells done of the outcome.
func (c *conn) SendConfirmed(ctx context.Context, m *transport.Message, done func(error)) error {
	return c.deliver(ctx, m, &sending{done: done})
}

// Publish hands m to every link by which the peer receives from m.To, or to
// none.
func (c *conn) Publish(ctx context.Context, m *transport.Message) error {
	return c.deliver(ctx, m, &sending{all: true})
}

// A sending is one message on its way to one link or several.
type sending struct {
	all    bool
	done   func(error) // what the outcome is told to, or nil
	size   int         // of the message, at most; exactly, if that matters
	frames int         // that it takes, at most

	brokered bool // the broker sends it, and knows it by its token
	token    uint64

	sent    bool
	changed chan struct{} // when it has to wait
}

// deliver sends m when the peer has room for it.
func (c *conn) deliver(ctx context.Context, m *transport.Message, x *sending) (err error) {
	if x.size, err = check(m, c.info.Limits); err != nil {
		return c.notSent(err)
	}
	x.frames = 1 + x.size/(c.frameSize-frames.MaxTransferHead)
	for {
		c.mu.Lock()
		links, err := c.ready(m, x)
		c.mu.Unlock()
		switch {
		case c.broker != nil && m.To != "" && !x.all && errors.Is(err, transport.ErrNoRoute):
			return c.forward(m, x.done)
		case err != nil:
			return c.notSent(err)
		case x.changed != nil:
			if err := c.wait(ctx, x.changed); err != nil {
				return c.notSent(err)
			}
			continue
		}
		var failed error
		err = c.stream.Write(ctx, "send", x.size*len(links), func(dst []byte) []byte {
			c.mu.Lock()
			defer c.mu.Unlock()
			if links, failed = c.ready(m, x); failed != nil || x.changed != nil {
				return dst // while this waited for room
			}
			for _, l := range links {
				dst = l.append(dst, m, x)
			}
			x.sent = true
			return dst
		})
		switch {
		case failed != nil:
			return c.notSent(failed)
		case x.sent && x.done != nil:
			return nil // should the write have failed, then done is told
		case x.sent || err != nil:
			return err
		}
	}
}

// ready returns the links by which a message can be sent now. It sets changed if
// that has to be waited for. It needs mu.
func (c *conn) ready(m *transport.Message, x *sending) (links []*outlet, err error) {
	links = c.outlets[m.To]
	x.changed = nil
	switch {
	case m.To == "" || len(links) == 0:
		return nil, noRoute(m.To)
	case !x.all:
		links = links[:1]
	}
	unsettled, now := 0, true
	for _, l := range links {
		if l.most > 0 && uint64(x.size) > l.most {
			if x.size = len(appendMessage(nil, m)); uint64(x.size) > l.most {
				return nil, oversize("a message of %d bytes, the receiver takes %d", x.size, l.most)
			}
		}
		if x.done != nil && l.mode == frames.SendSettled {
			return nil, transport.WithReason(transport.ErrUnsupported, "the receiver takes settled messages, which are not confirmed")
		}
		if !l.settles(x) {
			unsettled++
		}
		s := l.session
		now = now && l.credit > 0 && s.peerWindow > 0 && s.backlog.frames == nil &&
			(c.backlog == 0 || x.frames*len(links) <= int(s.peerWindow))
	}
	switch most := c.info.Limits.Unsettled; {
	case unsettled > most:
		return nil, transport.WithReason(transport.ErrBusy, "more receivers than messages that may wait for their outcome")
	case now && unsettled+c.unsettled <= most || unsettled == 0 && now:
		return links, nil
	}
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	x.changed = c.changed
	return links, nil
}

func noRoute(to string) error {
	return transport.WithReason(transport.ErrNoRoute, "the peer does not receive from "+shown(to))
}

// settles reports whether a message is sent settled by l: so that nobody asks
// for its outcome.
func (l *outlet) settles(x *sending) bool {
	return l.mode == frames.SendSettled || l.mode == frames.SendMixed && x.done == nil && !x.brokered
}

// append appends the transfers of a delivery; those for which the peer has no
// window wait.
func (l *outlet) append(dst []byte, m *transport.Message, x *sending) []byte {
	s := l.session
	t := frames.Transfer{Handle: l.handle, ID: s.nextDelivery, Settled: l.settles(x)}
	s.nextDelivery++
	l.credit--
	l.count++
	if !t.Settled {
		s.conn.unsettled++
		s.sent.add(t.ID, &sent{out: l, done: x.done, brokered: x.brokered, token: x.token})
	}
	sections := appendMessage
	if x.brokered {
		sections = appendDelivered
	}
	if x.frames == 1 && s.peerWindow > 0 {
		dst, at := frames.BeginTransfer(dst, s.channel, &t, true)
		s.passed()
		return l.used(frames.End(sections(dst, m), at), x)
	}
	rest := sections(make([]byte, 0, x.size), m)
	for first := true; first || len(rest) > 0; first = false {
		n := min(len(rest), s.conn.frameSize-frames.MaxTransferHead)
		t.More = n < len(rest)
		if s.peerWindow > 0 {
			dst = appendTransfer(dst, s.channel, &t, first, rest[:n])
			s.passed()
		} else {
			waits := appendTransfer(nil, s.channel, &t, first, rest[:n])
			s.backlog.add(l.link, waits)
			s.conn.backlog += len(waits)
		}
		rest = rest[n:]
	}
	return l.used(dst, x)
}

// used tells a peer that drains that the broker has used up its credit.
func (l *outlet) used(dst []byte, x *sending) []byte {
	if !x.brokered || !l.drain || l.credit > 0 {
		return dst
	}
	f := l.session.state()
	l.fill(&f)
	return f.Append(dst, l.session.channel)
}

func appendTransfer(dst []byte, channel uint16, t *frames.Transfer, first bool, part []byte) []byte {
	dst, at := frames.BeginTransfer(dst, channel, t, first)
	return frames.End(append(dst, part...), at)
}

// passed counts a transfer frame that we send.
func (s *session) passed() {
	s.nextOut++
	s.peerWindow--
}

// A backlog is the rest of a message for which the peer's window has no room
// yet. Nothing else is sent in the session meanwhile.
type backlog struct {
	link   *link
	frames [][]byte
}

func (b *backlog) add(l *link, frame []byte) {
	b.link = l
	b.frames = append(b.frames, frame)
}

// drop forgets it, and returns its size.
func (b *backlog) drop() (n int) {
	for _, f := range b.frames {
		n += len(f)
	}
	*b = backlog{}
	return n
}

// appendBacklog appends as much of the backlog as the peer has room for.
func (s *session) appendBacklog(dst []byte) []byte {
	b := &s.backlog
	for len(b.frames) > 0 && s.peerWindow > 0 {
		dst = append(dst, b.frames[0]...)
		s.conn.backlog -= len(b.frames[0])
		s.passed()
		b.frames[0], b.frames = nil, b.frames[1:]
	}
	if len(b.frames) == 0 && b.link != nil {
		*b = backlog{}
		s.conn.wake()
	}
	return dst
}

// wait waits until a sender may look again.
func (c *conn) wait(ctx context.Context, changed <-chan struct{}) error {
	if ctx.Err() == nil {
		select {
		case <-changed:
			return nil
		case <-c.stream.Ending():
			return c.endOf()
		case <-ctx.Done():
		}
	}
	return transport.WithReason(transport.ErrBusy,
		"the peer has given no room for more: neither credit nor window, or no outcomes of what it has")
}

// endOf is why the stream has ended.
func (c *conn) endOf() error {
	if err := c.stream.Err(); err != nil {
		return err
	}
	return transport.ErrClosed
}
