package acceptor

import (
	"github.com/polyport/polyport/transport/amqp/internal/frames"
)

// window is how many transfer frames a peer may send in a session before it is
// told that it may send more.
const window = 2048

// A session is one of the peer's (section 2.5). Ours has the same channel
// number, and the links in it the same handles in both directions: the peer
// never uses one twice at a time. The connection's mu protects it.
type session struct {
	conn    *conn
	channel uint16
	// ended says that we have ended it, and the peer has not yet.
	ended bool
	links map[uint32]*link
	// handleMax is the highest handle that the peer lets us use.
	handleMax uint32

	// What we send. peerWindow is how many transfer frames the peer can take.
	nextOut, peerWindow uint32
	nextDelivery        uint32
	sent                deliveries[*sent]
	backlog             backlog

	// What we receive. inWindow is how many more transfer frames the peer may
	// send.
	nextIn, inWindow uint32
	lastDelivery     uint32
	anyDelivery      bool // has come
	received         deliveries[*inlet]

	isDirty  bool // it is in the connection's list
	echo     bool // the peer is to be told of the session's state
	settled  []settlement
	speaking []*link // to be told of a link's state
}

// begin handles a begin (section 2.5.1): the peer's sessions are the only ones.
func (c *conn) begin(f *frame) error {
	var b frames.BeginFrame
	b.Parse(&f.fields)
	if err := f.fields.Err(); err != nil {
		return malformed("begin", err)
	}
	c.mu.Lock()
	_, used := c.sessions[f.Channel]
	c.mu.Unlock()
	switch {
	case b.Answer:
		return broken(notAllowed, "begin answers channel %d, on which nothing was begun", b.RemoteChannel)
	case f.Channel >= maxSessions:
		return broken(framingError, "channel %d is over the maximum, %d", f.Channel, maxSessions-1)
	case used:
		return broken(notAllowed, "channel %d has a session", f.Channel)
	}
	s := &session{
		conn: c, channel: f.Channel, links: make(map[uint32]*link), handleMax: b.HandleMax,
		peerWindow: b.IncomingWindow, nextIn: b.NextOutgoingID, inWindow: window,
	}
	c.say(func(dst []byte) []byte {
		c.sessions[s.channel] = s
		ours := frames.BeginFrame{
			Answer: true, RemoteChannel: s.channel, IncomingWindow: window, OutgoingWindow: window, HandleMax: c.handleMax(),
		}
		return ours.Append(dst, s.channel)
	})
	return nil
}

// handleMax is the highest handle that peers may use: there is one for each link
// of both roles, and some whose detachment is under way.
func (c *conn) handleMax() uint32 { return uint32(4*c.o.Limits.Subscriptions - 1) }

// session returns the one that a frame is for; nil if it is to be ignored.
func (c *conn) session(f *frame) (*session, error) {
	s, ok := c.sessions[f.Channel]
	switch {
	case !ok:
		return nil, broken(notAllowed, "channel %d has no session", f.Channel)
	case s.ended:
		return nil, nil
	}
	return s, nil
}

// ended handles the peer's end of a session.
func (c *conn) ended(f *frame) error {
	_ = frames.ParseClose(&f.fields)
	if err := f.fields.Err(); err != nil {
		return malformed("end", err)
	}
	c.mu.Lock()
	s, ok := c.sessions[f.Channel]
	c.mu.Unlock()
	if !ok {
		return broken(notAllowed, "channel %d has no session", f.Channel)
	}
	var dones []func(error)
	c.say(func(dst []byte) []byte {
		if !s.ended {
			dones = s.leave()
			s.ended = true
			dst = frames.AppendEnd(dst, s.channel, nil)
		}
		delete(c.sessions, s.channel)
		return dst
	})
	tell(dones, c.unreceived("the peer ended the session"))
	return nil
}

// end ends a session whose peer broke the rules; it goes on to exist until the
// peer has ended it, too.
func (c *conn) end(s *session, why *frames.Error) {
	var dones []func(error)
	c.say(func(dst []byte) []byte {
		if s.ended {
			return dst
		}
		dones = s.leave()
		s.ended = true
		return frames.AppendEnd(dst, s.channel, why)
	})
	tell(dones, c.unreceived(why.Description))
}

// leave forgets all that a session has, and returns who is to be told that its
// deliveries have no outcome.
func (s *session) leave() []func(error) {
	dones := s.forgetSent(nil)
	for _, l := range s.links {
		dones = l.withdraw(dones)
		l.forget()
	}
	clear(s.links)
	s.received, s.settled, s.speaking, s.echo = deliveries[*inlet]{}, nil, nil, false
	s.conn.backlog -= s.backlog.drop()
	s.conn.wake()
	return dones
}

// dirtied puts s into the connection's list of those with something to say.
func (s *session) dirtied() {
	if !s.isDirty {
		s.isDirty = true
		s.conn.dirty = append(s.conn.dirty, s)
	}
}

// speaks has l's state told to the peer.
func (s *session) speaks(l *link) {
	if !l.speaking {
		l.speaking = true
		s.speaking = append(s.speaking, l)
	}
	s.dirtied()
}

// appendPending appends what s has to say: the outcomes of deliveries, the
// states of links, its own, and transfers that waited for the peer's window.
func (s *session) appendPending(dst []byte) []byte {
	if s.ended {
		return dst
	}
	dst = s.appendSettled(dst)
	for _, l := range s.speaking {
		l.speaking = false
		if l.state != attached {
			continue
		}
		f := s.state()
		l.fill(&f)
		dst = f.Append(dst, s.channel)
		s.echo = false
	}
	clear(s.speaking)
	s.speaking = s.speaking[:0]
	if s.echo {
		s.echo = false
		f := s.state()
		dst = f.Append(dst, s.channel)
	}
	return s.appendBacklog(dst)
}

// state is a flow frame with the session's part, which opens the window anew.
func (s *session) state() frames.Flow {
	s.inWindow = window
	return frames.Flow{
		NextIncomingID: s.nextIn, IncomingWindow: window, NextOutgoingID: s.nextOut, OutgoingWindow: window,
	}
}

// flow handles a flow frame (section 2.5.6, 2.6.7).
func (c *conn) flow(f *frame) error {
	var x frames.Flow
	x.Parse(&f.fields)
	if err := f.fields.Err(); err != nil {
		return malformed("flow", err)
	}
	c.mu.Lock()
	s, err := c.session(f)
	if s == nil {
		c.mu.Unlock()
		return err
	}
	var l *link
	if x.HasHandle {
		l = s.links[x.Handle]
		if l == nil {
			c.mu.Unlock()
			c.end(s, refusal(unattachedHandle, "flow on handle %d, which is not attached", x.Handle))
			return nil
		}
	}
	s.opened(&x)
	if l != nil && l.state == attached {
		l.flowed(&x)
	} else if x.Echo {
		s.echo = true
		s.dirtied()
	}
	c.wake()
	c.mu.Unlock()
	return nil
}

// opened takes in the peer's window.
func (s *session) opened(x *frames.Flow) {
	until := x.IncomingWindow // counted from the id 0, which is our first
	if x.HasNextIncomingID {
		until += x.NextIncomingID
	}
	s.peerWindow = until - s.nextOut
	if s.peerWindow > 1<<31 { // it has shrunk below what is under way
		s.peerWindow = 0
	}
	if s.backlog.frames != nil && s.peerWindow > 0 {
		s.dirtied()
	}
}
