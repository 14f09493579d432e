package conformance_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/transport"
)

// A middleman is a broker in this process that needs no wire: queues, topics
// and reply addresses. It does all that a [conformance.Broker] can declare.
// Fields that are nil are right.
type middleman struct {
	copies   func(n int) int // how often the nth message sent is kept
	credit   func(of int) int
	outcome  func(transport.Outcome) transport.Outcome
	attempt  func(int) int
	keeps    func() bool // what its consumer left unsettled
	replyTo  func(string) string
	toNobody func(from *client)
	headers  func([]transport.Header) []transport.Header

	mu      sync.Mutex // protects what follows, and the clients
	queues  map[string]*store
	topics  map[string][]*subscription
	replies map[string]*client
	last    int // number given to a client, subscription or message
	sent    int
}

// largest is the largest body that a middleman takes.
const largest = 1 << 20

// broker is what the middleman has to declare.
func (b *middleman) broker() *conformance.Broker {
	b.queues, b.topics, b.replies = map[string]*store{}, map[string][]*subscription{}, map[string]*client{}
	return &conformance.Broker{
		Dial: b.dial, Topic: func(name string) string { return "topic:" + name },
		Largest: largest, Renames: true, HeaderSet: true, Adds: []string{"seen"}, HoldsReleased: true,
	}
}

// A store has the messages of a queue or for one subscription to a topic.
type store struct {
	waiting []*transport.Message
	subs    []*subscription // in the order of their turns
}

type subscription struct {
	transport.Subscription
	of        *client
	store     *store
	unsettled map[uint64]*transport.Message
	released  map[uint64]*transport.Message // held until the client has gone
}

// A client is a connection to a middleman.
type client struct {
	b     *middleman
	name  string
	queue string
	info  transport.Info
	subs  map[string]*subscription
	in    []*transport.Message
	more  chan struct{} // tells Recv to look
	over  chan struct{}
}

func (b *middleman) dial(_ context.Context, queue string, o *transport.DialOptions) (transport.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	c := &client{
		b: b, name: fmt.Sprint("client-", b.last), queue: queue, subs: map[string]*subscription{},
		more: make(chan struct{}, 1), over: make(chan struct{}),
		info: transport.Info{Scheme: "middle", Addressed: true, Local: &net.TCPAddr{}, Remote: &net.TCPAddr{}, Limits: o.Limits.WithDefaults()},
	}
	if o.Heartbeat > 0 {
		c.info.Beat = max(o.Heartbeat, time.Second)
		c.info.PeerBeat = c.info.Beat
	}
	return c, nil
}

func (c *client) Info() *transport.Info { return &c.info }

func notSent(err error) error { return &transport.OpError{Op: "send", Err: err} }

func (c *client) closed() bool {
	select {
	case <-c.over:
		return true
	default:
		return false
	}
}

func (c *client) Send(_ context.Context, m *transport.Message) error {
	size := len(m.Subject)
	for _, h := range m.Headers {
		size += len(h.Name) + len(h.Value)
	}
	if l := c.info.Limits; len(m.Body) > min(l.Message, largest) || len(m.Headers) > l.Headers || size > l.HeaderBytes {
		return notSent(transport.ErrTooLarge)
	}
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	if c.closed() {
		return notSent(transport.ErrClosed)
	}
	own := *m
	own.Body = slices.Clone(m.Body)
	own.To = cmp.Or(m.To, c.queue)
	if own.ReplyTo != "" {
		own.ReplyTo = strings.Replace(own.ReplyTo, "me-", "him-", 1)
		if c.b.replyTo != nil {
			own.ReplyTo = c.b.replyTo(own.ReplyTo)
		}
	}
	own.Headers = set(m.Headers)
	if c.b.headers != nil {
		own.Headers = c.b.headers(own.Headers)
	}
	own.Headers = append(own.Headers, transport.Header{Name: "seen", Value: "yes"})
	c.b.sent++
	n := 1
	if c.b.copies != nil {
		n = c.b.copies(c.b.sent)
	}
	for range n {
		c.b.route(c, own)
	}
	return nil
}

// set is headers in another order, and the first of each name.
func set(all []transport.Header) (left []transport.Header) {
	for _, h := range all {
		if !slices.ContainsFunc(left, func(o transport.Header) bool { return o.Name == h.Name }) {
			left = append(left, h)
		}
	}
	slices.Reverse(left)
	return left
}

// route brings a message to where it belongs.
func (b *middleman) route(from *client, m transport.Message) {
	if name, ok := strings.CutPrefix(m.To, "him-"); ok {
		if to := b.replies[name]; to != nil {
			m.To = "me-" + name
			to.receive(&m)
		} else if b.toNobody != nil {
			b.toNobody(from)
		}
		return
	}
	if strings.HasPrefix(m.To, "topic:") {
		for _, s := range b.topics[m.To] {
			own := m
			own.Body = slices.Clone(m.Body)
			s.store.waiting = append(s.store.waiting, &own)
			b.pump(s.store)
		}
		return
	}
	q := b.queue(m.To)
	q.waiting = append(q.waiting, &m)
	b.pump(q)
}

func (b *middleman) queue(name string) *store {
	if b.queues[name] == nil {
		b.queues[name] = &store{}
	}
	return b.queues[name]
}

// pump gives out what waits to those with credit, in turns.
func (b *middleman) pump(q *store) {
	for len(q.waiting) > 0 {
		i := slices.IndexFunc(q.subs, (*subscription).room)
		if i < 0 {
			return
		}
		s := q.subs[i]
		q.subs = append(slices.Delete(q.subs, i, i+1), s)
		m := *q.waiting[0]
		q.waiting = q.waiting[1:]
		m.Subscription = s.ID
		if s.Ack != transport.AckNone {
			b.last++
			token := uint64(b.last)
			kept := m
			s.unsettled[token] = &kept
			m.SetSettler(settler(func(token uint64, o transport.Outcome) error { return s.settle(token, o) }), token)
		}
		s.of.receive(&m)
	}
}

func (s *subscription) room() bool {
	credit := s.Credit
	if s.of.b.credit != nil {
		credit = s.of.b.credit(credit)
	}
	return s.Ack == transport.AckNone || len(s.unsettled)+len(s.released) < cmp.Or(credit, s.of.info.Limits.Unsettled)
}

func (s *subscription) settle(token uint64, o transport.Outcome) error {
	b := s.of.b
	b.mu.Lock()
	defer b.mu.Unlock()
	m := s.unsettled[token]
	if m == nil {
		return nil
	}
	if b.outcome != nil {
		o = b.outcome(o)
	}
	if o == transport.Released || o == transport.Failed {
		s.released[token] = m
	}
	delete(s.unsettled, token)
	if s.Ack == transport.AckUpTo {
		maps.DeleteFunc(s.unsettled, func(t uint64, _ *transport.Message) bool { return t < token })
	}
	b.pump(s.store)
	return nil
}

// receive is called with the middleman's lock.
func (c *client) receive(m *transport.Message) {
	c.in = append(c.in, m)
	select {
	case c.more <- struct{}{}:
	default:
	}
}

func (c *client) Recv(ctx context.Context) (*transport.Message, error) {
	for {
		c.b.mu.Lock()
		if c.closed() {
			c.b.mu.Unlock()
			return nil, notSent(transport.ErrClosed)
		}
		if len(c.in) > 0 {
			m := c.in[0]
			c.in = c.in[1:]
			c.b.mu.Unlock()
			if len(m.Body) > c.info.Limits.Message {
				_ = c.Close()
				return nil, transport.ErrTooLarge
			}
			return m, nil
		}
		c.b.mu.Unlock()
		select {
		case <-c.more:
		case <-c.over:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (c *client) Close() error {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	if c.closed() {
		return nil
	}
	close(c.over)
	delete(c.b.replies, c.name)
	for _, s := range c.subs {
		s.end()
	}
	return nil
}

// end gives back what a subscription has not settled.
func (s *subscription) end() {
	b := s.of.b
	back := maps.Clone(s.released)
	maps.Copy(back, s.unsettled)
	s.store.subs = slices.DeleteFunc(s.store.subs, func(o *subscription) bool { return o == s })
	b.topics[s.Destination] = slices.DeleteFunc(b.topics[s.Destination], func(o *subscription) bool { return o == s })
	var first []*transport.Message
	for _, token := range slices.Sorted(maps.Keys(back)) {
		m := back[token]
		m.Attempt++
		if b.attempt != nil {
			m.Attempt = b.attempt(m.Attempt)
		}
		if b.keeps == nil || b.keeps() {
			first = append(first, m)
		}
	}
	s.store.waiting = append(first, s.store.waiting...)
	b.pump(s.store)
}

func (c *client) Subscribe(_ context.Context, s transport.Subscription) (string, error) {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	if c.subs[s.ID] != nil || len(c.subs) >= c.info.Limits.Subscriptions {
		return "", notSent(transport.ErrInvalid)
	}
	if s.ID == "" {
		c.b.last++
		s.ID = fmt.Sprint("sub-", c.b.last)
	}
	s.Destination = cmp.Or(s.Destination, c.queue)
	sub := &subscription{Subscription: s, of: c, unsettled: map[uint64]*transport.Message{}, released: map[uint64]*transport.Message{}}
	if strings.HasPrefix(s.Destination, "topic:") {
		sub.store = &store{}
		c.b.topics[s.Destination] = append(c.b.topics[s.Destination], sub)
	} else {
		sub.store = c.b.queue(s.Destination)
	}
	sub.store.subs = append(sub.store.subs, sub)
	c.subs[s.ID] = sub
	c.b.pump(sub.store)
	return s.ID, nil
}

func (c *client) Unsubscribe(_ context.Context, id string) error {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	s := c.subs[id]
	if s == nil {
		return notSent(transport.ErrInvalid)
	}
	delete(c.subs, id)
	s.end()
	return nil
}

func (c *client) ReplyAddress(context.Context) (string, error) {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	c.b.replies[c.name] = c
	return "me-" + c.name, nil
}
