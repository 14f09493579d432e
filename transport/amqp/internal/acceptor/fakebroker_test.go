package acceptor_test

import (
	"fmt"
	"sync"

	"github.com/polyport/polyport/transport"
)

// A fakeBroker notes what connections do with it.
type fakeBroker struct {
	// done says whether a message is taken now, or refused; nil leaves it to the
	// test.
	done func(m *transport.Message) (now bool, err error)
	// refuse says why a subscription is refused; nil refuses none.
	refuse func(transport.Subscription) error
	// may says whether a link may send to an address; nil allows all.
	may func(to string) error

	mu       sync.Mutex // protects the field below
	sessions []*fakeSession
}

// Join notes a connection.
func (b *fakeBroker) Join(info *transport.Info) transport.BrokerSession {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &fakeSession{broker: b, info: info}
	b.sessions = append(b.sessions, s)
	return s
}

// last is the connection that joined last.
func (b *fakeBroker) last() *fakeSession {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sessions[len(b.sessions)-1]
}

type fakeSession struct {
	broker *fakeBroker
	info   *transport.Info

	mu        sync.Mutex // protects the fields below
	got       []handed
	consumers []*fakeConsumer
	left      int
}

type handed struct {
	m    *transport.Message
	done func(error)
}

func (s *fakeSession) MaySend(to string) error {
	if s.broker.may == nil {
		return nil
	}
	return s.broker.may(to)
}

func (s *fakeSession) Send(m *transport.Message, done func(error)) {
	s.mu.Lock()
	s.got = append(s.got, handed{m, done})
	s.mu.Unlock()
	if s.broker.done != nil {
		if now, err := s.broker.done(m); now {
			done(err)
		}
	}
}

// take returns what has come since the last call.
func (s *fakeSession) take() []handed {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.got
	s.got = nil
	return got
}

func (s *fakeSession) Attach(sub transport.Subscription, out transport.Outlet) (transport.Consumer, error) {
	if s.broker.refuse != nil {
		if err := s.broker.refuse(sub); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &fakeConsumer{sub: sub, out: out, address: sub.Destination}
	if sub.Destination == "" || len(sub.Destination) > 12 && sub.Destination[:12] == "/temp-queue/" {
		c.address = fmt.Sprintf("/reply-queue/%d", len(s.consumers))
	}
	if out.Deliver(&transport.Message{Body: []byte("too early")}, 99) {
		panic("a message was delivered before the link was attached")
	}
	s.consumers = append(s.consumers, c)
	return c, nil
}

func (s *fakeSession) Leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left++
}

func (s *fakeSession) consumer(i int) *fakeConsumer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.consumers[i]
}

// gone is how often Leave was called.
func (s *fakeSession) gone() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left
}

type fakeConsumer struct {
	sub     transport.Subscription
	out     transport.Outlet
	address string

	mu       sync.Mutex // protects the fields below
	waiting  []*transport.Message
	next     uint64
	readies  int
	settled  []string
	detached int
}

func (c *fakeConsumer) Address() string { return c.address }

// Ready delivers what waits.
func (c *fakeConsumer) Ready() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readies++
	for len(c.waiting) > 0 && c.out.Deliver(c.waiting[0], c.next) {
		c.waiting = c.waiting[1:]
		c.next++
	}
}

// deliver has messages delivered when there is room.
func (c *fakeConsumer) deliver(all ...*transport.Message) {
	c.mu.Lock()
	c.waiting = append(c.waiting, all...)
	c.mu.Unlock()
	c.Ready()
}

func (c *fakeConsumer) Settled(token uint64, o transport.Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settled = append(c.settled, fmt.Sprintf("%d %v%s", token, o, o.Reason()))
}

func (c *fakeConsumer) Detach() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.detached++
}

// state is how many messages wait, and what has become of the others.
func (c *fakeConsumer) state() (waiting int, settled []string, detached int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting), append([]string(nil), c.settled...), c.detached
}

// readiness is how often Ready was called.
func (c *fakeConsumer) readiness() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.readies
}
