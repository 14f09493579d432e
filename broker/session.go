package broker

import (
	"crypto/rand"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/polyport/polyport/transport"
)

// A session is one connection. It implements [transport.BrokerSession].
type session struct {
	hub   *Hub
	info  *transport.Info
	local bool // in this process: it may do everything
	last  atomic.Pointer[spelling]

	mu        sync.Mutex // protects the fields below
	consumers map[*consumer]struct{}
	private   map[string]*consumer // by the peer's own name
	left      bool
}

// Send hands over a message.
func (s *session) Send(m *transport.Message, done func(error)) {
	if done == nil {
		done = func(error) {}
	}
	d, err := s.resolve(m.To)
	if err == nil && d.Kind != Reply {
		err = s.may(Send, d)
	}
	if err != nil {
		done(err)
		return
	}
	s.hub.send(d, m, done)
}

// A spelling is a destination in the words of a peer.
type spelling struct {
	text string
	is   Destination
}

// parse is ParseDestination, which is not asked again for the queue or topic that
// the peer has sent to last.
func (s *session) parse(text string) (Destination, error) {
	if l := s.last.Load(); l != nil && l.text == text {
		return l.is, nil
	}
	d, err := ParseDestination(text)
	if err == nil && (d.Kind == Queue || d.Kind == Topic) {
		text = strings.Clone(text) // which may be a part of a large message
		d, err = ParseDestination(text)
		s.last.Store(&spelling{text, d})
	}
	return d, err
}

// resolve says what a peer's words mean to it.
func (s *session) resolve(text string) (Destination, error) {
	d, err := s.parse(text)
	if err != nil {
		return d, err
	}
	switch d.Kind {
	case Any:
		return s.hub.find(d), nil
	case Temporary:
		s.mu.Lock()
		c := s.private[d.Name]
		s.mu.Unlock()
		if c == nil {
			return d, because(transport.ErrNoRoute, "this connection has no private address %s; subscribe to it first", d)
		}
		return Destination{Kind: Reply, Name: c.q.name}, nil
	}
	return d, nil
}

// may asks whether the peer may do something.
func (s *session) may(a Action, d Destination) error {
	if s.local || s.hub.o.Access == nil {
		return nil
	}
	err := s.hub.o.Access.May(s.info, a, d)
	if err != nil {
		s.hub.count.denied.Add(1)
	}
	return err
}

// Attach begins a subscription.
func (s *session) Attach(sub transport.Subscription, out transport.Outlet) (transport.Consumer, error) {
	d := Destination{Kind: Temporary}
	if sub.Destination != "" {
		var err error
		if d, err = ParseDestination(sub.Destination); err != nil {
			return nil, err
		}
		if d.Kind == Any && hasWild(d.Name) {
			d, err = ParseDestination(topicPrefix + d.Name)
			if err != nil {
				return nil, err
			}
		}
		d = s.hub.find(d)
	}
	c := &consumer{session: s, out: out, acks: sub.Ack != transport.AckNone}
	if s.hub.consumers.Add(1) > int64(s.hub.o.Consumers) {
		s.hub.consumers.Add(-1)
		return nil, because(transport.ErrBusy, "the broker has %d consumers, which is all it may have", s.hub.o.Consumers)
	}
	if err := s.begin(c, d); err != nil {
		s.hub.consumers.Add(-1)
		return nil, err
	}
	if err := s.keep(c); err != nil {
		_ = c.detach()
		return nil, err
	}
	s.hub.open(c)
	return c, nil
}

// begin finds or makes the queue for a consumer.
func (s *session) begin(c *consumer, d Destination) error {
	switch d.Kind {
	case Temporary:
		q := newQueue(s.hub, private, rand.Text())
		c.q, c.own, q.only, q.consumers = q, d.Name, c, 1
		return nil
	case Reply:
		return because(transport.ErrRefused, "%s is the private address of a connection, and nobody else can consume from it", d)
	case Topic:
		if err := s.may(Subscribe, d); err != nil {
			return err
		}
		q := newQueue(s.hub, subscription, d.Name)
		c.q, q.only, q.consumers = q, c, 1
		return nil
	}
	if err := s.may(Consume, d); err != nil {
		return err
	}
	for {
		q, err := s.hub.queue(d.Name)
		if err != nil {
			return err
		}
		if again, err := q.join(c); !again {
			return err
		}
	}
}

// join makes c a consumer of a queue that has a name. again says that the queue is
// no more.
func (q *queue) join(c *consumer) (again bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gone {
		return true, nil
	}
	s := c.session
	if q.hub.o.Access == nil && !q.free(s) {
		q.hub.count.denied.Add(1)
		return false, refused(s.info, Consume, Destination{Queue, q.name}, "it belongs to another user, "+
			"who consumes from it; use a queue of another name, or give the broker rules that allow it")
	}
	q.owner = owner{user: s.info.User, local: s.local}
	c.q = q
	q.consumers++
	return false, nil
}

// free reports whether the queue belongs to nobody else. It needs mu.
func (q *queue) free(s *session) bool {
	if s.local || q.owner.user == s.info.User && !q.owner.local {
		return true
	}
	return q.consumers == 0 && !time.Now().Before(q.owner.until)
}

// keep makes a consumer one of the session, and known.
func (s *session) keep(c *consumer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left {
		return because(transport.ErrNoRoute, "the connection has ended, or the broker has been closed")
	}
	if c.q.use == private {
		if c.own != "" && s.private[c.own] != nil {
			return because(transport.ErrRefused, "this connection has a private address /temp-queue/%s already", c.own)
		}
		if s.private == nil {
			s.private = make(map[string]*consumer)
		}
		if c.own != "" {
			s.private[c.own] = c
		}
	}
	s.consumers[c] = struct{}{}
	return nil
}

// open lets a consumer have messages.
func (h *Hub) open(c *consumer) {
	switch q := c.q; q.use {
	case private:
		h.mu.Lock()
		if !c.hasLeft() {
			h.private[q.name] = q
			h.sweepLater()
		}
		h.mu.Unlock()
	case subscription:
		h.subscribe(q)
	}
	c.Ready()
}

// forget takes a consumer out of the session.
func (s *session) forget(c *consumer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.consumers, c)
	if c.own != "" && s.private[c.own] == c {
		delete(s.private, c.own)
	}
}

// take takes all consumers out.
func (s *session) take() (all []*consumer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.consumers {
		all = append(all, c)
	}
	clear(s.consumers)
	clear(s.private)
	return all
}

// end ends all consumers from this side.
func (s *session) end(why error) {
	for _, c := range s.take() {
		c.end(why)
	}
}

// Leave says that the connection has ended.
func (s *session) Leave() {
	s.mu.Lock()
	s.left = true
	s.mu.Unlock()
	for _, c := range s.take() {
		_ = c.detach()
	}
	s.hub.mu.Lock()
	delete(s.hub.sessions, s)
	s.hub.mu.Unlock()
}
