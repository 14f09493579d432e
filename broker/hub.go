package broker

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/polyport/polyport/transport"
)

// A Hub is a broker in memory. It implements [transport.Broker]. It is safe for
// concurrent use.
type Hub struct {
	o Options

	// Locks are taken in this order: mu, then that of a queue. None is held while an
	// Outlet or a done is called.
	mu       sync.RWMutex // protects the fields below
	queues   map[string]*queue
	private  map[string]*queue // by the name in its address
	topics   map[string]*topic
	root     trie
	subs     map[*queue]struct{} // those in root
	version  uint64              // of root
	sessions map[*session]struct{}
	sweeper  *time.Timer // nil until there is something to sweep
	closed   bool

	consumers atomic.Int64 // of all kinds
	retained  struct{ topics, bytes atomic.Int64 }
	memory    atomic.Int64 // that queues have reserved
	waiting   atomic.Int64 // bytes of what waits for room
	count     counters
	own       *session       // for those in this process without a connection
	helpers   sync.WaitGroup // the goroutines that deliver
}

// New makes a Hub. [Hub.Close] ends it. A nil o means the defaults.
func New(o *Options) *Hub {
	h := &Hub{
		o:        o.withDefaults(),
		queues:   make(map[string]*queue),
		private:  make(map[string]*queue),
		topics:   make(map[string]*topic),
		subs:     make(map[*queue]struct{}),
		sessions: make(map[*session]struct{}),
	}
	h.own = h.join(&transport.Info{Scheme: scheme, Headers: true}, true)
	return h
}

// Join tells of a connection. See [transport.Broker].
func (h *Hub) Join(info *transport.Info) transport.BrokerSession { return h.join(info, false) }

func (h *Hub) join(info *transport.Info, local bool) *session {
	s := &session{hub: h, info: info, local: local, consumers: make(map[*consumer]struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		s.left = true
	} else {
		h.sessions[s] = struct{}{}
	}
	return s
}

// errClosed is for whoever comes after Close.
func errClosed() error { return because(transport.ErrNoRoute, "the broker has been closed") }

// Close ends all subscriptions, telling the peers why, and fails what waits for
// room. What is in the queues is lost. It returns when no Outlet is called any
// more. So it must not be called from within one.
func (h *Hub) Close() error {
	h.mu.Lock()
	h.closed = true
	if h.sweeper != nil {
		h.sweeper.Stop()
	}
	var all []*session
	for s := range h.sessions {
		all = append(all, s)
	}
	h.mu.Unlock()
	for _, s := range all {
		s.end(errClosed())
		s.Leave()
	}
	h.mu.Lock()
	var left []*queue
	for name, q := range h.queues {
		left = append(left, q)
		delete(h.queues, name)
	}
	clear(h.topics)
	h.mu.Unlock()
	for _, q := range left {
		q.close(errClosed())
	}
	h.helpers.Wait()
	return nil
}

// queue returns the queue of a name, which is made if there is none.
func (h *Hub) queue(name string) (*queue, error) {
	h.mu.RLock()
	q := h.queues[name]
	h.mu.RUnlock()
	if q != nil {
		return q, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if q := h.queues[name]; q != nil {
		return q, nil
	}
	dead := name == h.o.DeadLetters
	switch {
	case h.closed:
		return nil, errClosed()
	case len(h.queues) >= h.o.Queues && !dead:
		return nil, because(transport.ErrBusy, "the broker has %d queues, which is all it may have", h.o.Queues)
	}
	q = newQueue(h, shared, name)
	if dead {
		q.slow, q.dead = DropOldest, true
	}
	h.queues[name] = q
	h.sweepLater()
	return q, nil
}

// find says what a bare name means: the topic if it has subscribers and there is
// no queue of that name.
func (h *Hub) find(d Destination) Destination {
	if d.Kind != Any {
		return d
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.queues[d.Name] == nil && badWords(d.Name) == "" {
		// Those who subscribe by wild words, as to everything, do not make a topic of it.
		if slices.ContainsFunc(h.match(d.Name), func(q *queue) bool { return q.name == d.Name }) {
			return Destination{Kind: Topic, Name: d.Name}
		}
	}
	return Destination{Kind: Queue, Name: d.Name}
}

// send puts a message where it belongs. d is no longer Any or Temporary.
func (h *Hub) send(d Destination, m *transport.Message, done func(error)) {
	m.Subscription, m.Attempt = "", 0
	switch d.Kind {
	case Topic:
		h.publish(d.Name, m, done)
	case Reply:
		h.mu.RLock()
		q := h.private[d.Name]
		h.mu.RUnlock()
		if q == nil || !h.hand(q, m, done) {
			h.count.unroutable.Add(1)
			done(because(transport.ErrNoRoute, "nobody has the private address %.100q; its connection has ended", m.To))
		}
	default:
		if h.o.TTL > 0 && m.Expires.IsZero() {
			m.Expires = time.Now().Add(h.o.TTL)
		}
		for { // again if the queue is forgotten at this very moment
			q, err := h.queue(d.Name)
			if err != nil {
				done(err)
				return
			}
			if h.hand(q, m, done) {
				return
			}
		}
	}
}

// hand puts m into q and has done told, unless q is gone.
func (h *Hub) hand(q *queue, m *transport.Message, done func(error)) bool {
	if m.To != q.address {
		m.To = q.address
	}
	switch q.put(newItem(m), done, true) {
	case gone:
		return false
	case full:
		done(because(transport.ErrBusy, "%s is full, and too many messages wait for room in it already", q.address))
	}
	return true
}
