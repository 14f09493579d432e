package rpc

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/polyport/polyport/transport"
)

// A Pool lets the clients and the services of one process share connections: one
// for each server, wire and user. It is safe for concurrent use. Whoever has what it
// returned closes it; the last one closes the connection.
type Pool struct {
	o PoolOptions

	mu     sync.Mutex // protects the fields below
	shared map[string][]*shared
	dialed uint64
}

// PoolOptions adjust a [Pool]. A nil pointer means the defaults.
type PoolOptions struct {
	// Client adjusts the connections, as for [Dial], and so holds for all clients of the
	// pool. Its InFlight bounds the calls in flight on one connection; AutoBatch does
	// nothing. Nil means the defaults.
	Client *ClientOptions
	// Share is how many calls one client may have in flight; further ones wait. Where
	// the connection has no place left for calls, the clients that wait take turns. Zero
	// means half of what the connection may have, so that no client alone can
	// take all.
	Share int
}

// PoolStats are the numbers of a [Pool].
type PoolStats struct {
	// Connections is how many there are now: shared ones, of which each stands for
	// up to [ClientOptions].Conns on a wire in lock-step. Dialed is how many ever were.
	Connections int
	Dialed      uint64
	// Users is how many clients and consumers have them, Waiting how many calls of these wait
	// for a place.
	Users, Waiting int
}

// NewPool returns a pool without connections.
func NewPool(o *PoolOptions) *Pool {
	p := &Pool{shared: make(map[string][]*shared)}
	if o != nil {
		p.o = *o
	}
	var c ClientOptions
	if p.o.Client != nil {
		c = *p.o.Client
	}
	c.InFlight, c.AutoBatch = or(c.InFlight, 1024), 0
	p.o.Client = &c
	p.o.Share = or(p.o.Share, max(1, c.InFlight/2))
	return p
}

// Dial is [Dial] over a connection of the pool, which is dialed if there is none
// yet to that server, by that wire, for that user and with that query. Where messages name
// their destination ([transport.Info].Addressed), clients of several destinations share
// one, if their paths have two words or more, as /queue/calc has; else those of one path do.
//
// The client is one of its own but for the connection: calls are bounded and take
// turns as [PoolOptions] have it, and Close ends its calls and subscriptions, and no others.
// Done and Err are about the connection.
func (p *Pool) Dial(ctx context.Context, rawURL string) (*Client, error) {
	s, to, err := p.join(ctx, rawURL)
	if err != nil {
		return nil, err
	}
	return &Client{s: s.client.s, to: to, durable: s.client.durable, view: &view{shared: s, user: s.turns.user(p.o.Share)}}, nil
}

// Stats returns the present numbers.
func (p *Pool) Stats() PoolStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := PoolStats{Dialed: p.dialed}
	for _, all := range p.shared {
		for _, s := range all {
			if s.client != nil {
				n.Connections++
				n.Users += s.users
				n.Waiting += s.turns.waits()
			}
		}
	}
	return n
}

// A shared is a connection that several use.
type shared struct {
	pool  *Pool
	key   string
	path  string
	made  chan struct{} // closed when it was dialed
	turns *turns

	// The fields below are protected by pool.mu until made is closed.
	client  *Client // nil if dialing failed
	hearing *hearings
	users   int // protected by pool.mu
}

// join returns a connection to rawURL with one user more, and the destination that it
// names there, "" if that is the connection's own.
func (p *Pool) join(ctx context.Context, rawURL string) (s *shared, to string, err error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, "", &transport.OpError{Op: "dial", Err: err}
	}
	path := strings.Trim(cmp.Or(u.RawPath, u.Path), "/")
	server := *u
	server.Path, server.RawPath, server.Fragment = "", "", ""
	key := server.String()
	for {
		s, found := p.find(key, path)
		if !found {
			return s, "", p.dial(ctx, s, rawURL)
		}
		select {
		case <-s.made:
		case <-ctx.Done():
			return nil, "", &transport.OpError{Op: "dial", Scheme: u.Scheme, Addr: u.Host, Err: context.Cause(ctx)}
		}
		if s.enter(path) {
			if path != s.path {
				to = "/" + path
			}
			return s, to, nil
		}
	}
}

// find returns a connection that may be there for path, or is being made; else a
// new one, to be dialed.
func (p *Pool) find(key, path string) (s *shared, found bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.shared[key] {
		if s.carries(path) {
			return s, true
		}
	}
	s = &shared{pool: p, key: key, path: path, made: make(chan struct{}), turns: newTurns(p.o.Client.InFlight), users: 1}
	p.shared[key] = append(p.shared[key], s)
	return s, false
}

// carries reports whether s can be used for a path, as far as is known. It needs
// pool.mu.
func (s *shared) carries(path string) bool {
	return s.client == nil || path == s.path || s.client.Info().Addressed && strings.Contains(path, "/")
}

// dial makes the connection of s.
func (p *Pool) dial(ctx context.Context, s *shared, rawURL string) error {
	defer close(s.made)
	conn, err := dial(ctx, rawURL, p.o.Client)
	if err != nil {
		p.forget(s)
		return err
	}
	_, hears := transport.As[transport.Subscriber](conn)
	var hearing *hearings
	if hears && conn.Info().Addressed {
		hearing = newHearings(conn)
		conn = hearing
	}
	client := newClient(conn, p.o.Client, hostOf(rawURL))
	p.mu.Lock()
	s.client, s.hearing = client, hearing
	s.turns = newTurns(client.s.own.window(conn, p.o.Client.InFlight))
	p.dialed++
	p.mu.Unlock()
	context.AfterFunc(client.s.ctx, func() { p.forget(s) })
	return nil
}

// forget lets nobody join s any more.
func (p *Pool) forget(s *shared) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shared[s.key] = slices.DeleteFunc(p.shared[s.key], func(o *shared) bool { return o == s })
	if len(p.shared[s.key]) == 0 {
		delete(p.shared, s.key)
	}
}

// enter adds a user, unless the connection failed, has ended, or is of no use for the
// path.
func (s *shared) enter(path string) bool {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	if s.client == nil || !s.carries(path) || !slices.Contains(s.pool.shared[s.key], s) {
		return false
	}
	s.users++
	return true
}

// leave takes a user away, and closes the connection after the last.
func (s *shared) leave() {
	s.pool.mu.Lock()
	s.users--
	last := s.users == 0
	s.pool.mu.Unlock()
	if last {
		s.pool.forget(s)
		_ = s.client.Close()
	}
}

// A view is what a client of a pool has of its own.
type view struct {
	*user
	shared *shared
	once   sync.Once
}

// close ends the calls and subscriptions of c.
func (v *view) close(c *Client) {
	v.once.Do(func() {
		v.user.close()
		c.s.calls.closeView(v)
		c.s.subscriptions.closeOf(c)
		v.shared.leave()
	})
}

// closeView ends the calls of a client that shares the connection with others.
func (c *calls) closeView(v *view) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.waiting {
		if w.view == v && w.sent { // the others will learn from Send
			c.settle(w, answer{err: ErrClosed, outcome: Unknown})
		}
	}
}

// closeOf ends the subscriptions of one client.
func (t *subscriptions) closeOf(c *Client) {
	t.mu.Lock()
	var all []*Subscription
	for _, s := range t.byID {
		if s.c == c {
			all = append(all, s)
		}
	}
	t.mu.Unlock()
	for _, s := range all {
		s.fail(ErrClosed)
		t.forget(s.id)
		_ = c.tell(noWait, unsubscribeMethod, unsubscribeParams{Subscription: s.id}) // a lease ends by itself
	}
}

// Consume subscribes over a connection of the pool, as [Pool.Dial] finds it, and returns
// what [Server.ServeConn] serves: what comes by the subscription, and the answers. An empty
// destination is the one that the URL names. Closing it unsubscribes, and gives back what
// was not looked at. A handler cannot call its caller: answers belong to the clients of
// the connection. The wire has to be one to a broker, or the error wraps
// [transport.ErrUnsupported].
func (p *Pool) Consume(ctx context.Context, rawURL string, sub transport.Subscription) (transport.Conn, error) {
	s, to, err := p.join(ctx, rawURL)
	if err != nil {
		return nil, err
	}
	if s.hearing == nil {
		s.leave()
		err = transport.WithReason(transport.ErrUnsupported, "queues are consumed from brokers")
		return nil, &transport.OpError{Op: "subscribe", Err: err}
	}
	c := newConsumption(s, to)
	if _, err := c.Subscribe(ctx, sub); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}
