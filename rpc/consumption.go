package rpc

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"sync"

	"github.com/polyport/polyport/transport"
)

// hearings are a connection that several hear: messages that come by a subscription
// of a consumption go there, all others to the client.
type hearings struct {
	transport.Conn
	sub transport.Subscriber

	mu   sync.Mutex // protects the fields below
	last int
	byID map[string]*consumption
}

func newHearings(conn transport.Conn) *hearings {
	h := &hearings{Conn: conn, byID: make(map[string]*consumption)}
	h.sub, _ = transport.As[transport.Subscriber](conn)
	return h
}

// Unwrap returns the connection.
func (h *hearings) Unwrap() transport.Conn { return h.Conn }

// Recv returns what is for the client. A consumption whose inbox is full holds up
// all: the broker gives it no more than its credit, if it acknowledges.
func (h *hearings) Recv(ctx context.Context) (*transport.Message, error) {
	for {
		m, err := h.Conn.Recv(ctx)
		switch {
		case err != nil && ctx.Err() != nil && errors.Is(err, context.Cause(ctx)):
			return nil, err
		case err != nil:
			h.tell(err)
			return nil, err
		}
		h.mu.Lock()
		c := h.byID[m.Subscription]
		h.mu.Unlock()
		if c == nil {
			return m, nil
		}
		c.put(m)
	}
}

// tell tells all that hear of the connection's loss, or its end.
func (h *hearings) tell(err error) {
	h.mu.Lock()
	all := make(map[*consumption]struct{}, len(h.byID))
	for _, c := range h.byID {
		all[c] = struct{}{}
	}
	h.mu.Unlock()
	for c := range all {
		c.lose(err)
	}
}

// add gives c a subscription id of its own.
func (h *hearings) add(c *consumption) (id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	id = "consumer-" + strconv.Itoa(h.last)
	h.byID[id] = c
	return id
}

// remove reports whether id was one of c.
func (h *hearings) remove(c *consumption, id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byID[id] != c {
		return false
	}
	delete(h.byID, id)
	return true
}

func (h *hearings) of(c *consumption) (ids []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, o := range h.byID {
		if o == c {
			ids = append(ids, id)
		}
	}
	return ids
}

// inbox is how many messages may wait for a consumption without credit.
const inbox = 1024

// A consumption is a connection that has only subscriptions of a shared one.
type consumption struct {
	shared *shared
	h      *hearings
	to     string

	some   chan struct{} // has a token if there may be something to receive
	closed chan struct{}

	mu      sync.Mutex // protects the fields below
	waiting []*transport.Message
	most    int
	room    chan struct{} // closed when there is some; nil if nobody waits
	lost    error         // comes out of Recv once
	ended   error         // comes out of Recv for ever
	once    sync.Once
}

func newConsumption(s *shared, to string) *consumption {
	return &consumption{shared: s, h: s.hearing, to: to, most: inbox, some: make(chan struct{}, 1), closed: make(chan struct{})}
}

// put lets a message wait to be received.
func (c *consumption) put(m *transport.Message) {
	c.mu.Lock()
	for c.ended == nil && len(c.waiting) >= c.most {
		if c.room == nil {
			c.room = make(chan struct{})
		}
		room := c.room
		c.mu.Unlock()
		select {
		case <-room:
		case <-c.closed:
		}
		c.mu.Lock()
	}
	defer c.mu.Unlock()
	if c.ended != nil {
		_ = m.Settle(transport.Released)
		return
	}
	c.waiting = append(c.waiting, m)
	c.signal()
}

// signal needs mu.
func (c *consumption) signal() {
	select {
	case c.some <- struct{}{}:
	default:
	}
}

// lose says that the connection was lost, or has ended.
func (c *consumption) lose(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(err, transport.ErrReconnecting) {
		c.lost = err
	} else {
		c.ended = cmp.Or(c.ended, err)
	}
	c.signal()
}

// Recv implements [transport.Conn].
func (c *consumption) Recv(ctx context.Context) (*transport.Message, error) {
	for {
		if m, err, ok := c.next(); ok {
			return m, err
		}
		select {
		case <-c.some:
		case <-c.closed:
			return nil, c.opError("receive", transport.ErrClosed)
		case <-ctx.Done():
			return nil, c.opError("receive", context.Cause(ctx))
		}
	}
}

func (c *consumption) next() (m *transport.Message, err error, ok bool) { //nolint:revive // ok goes last, as for a map or a channel
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) > 0 {
		m, c.waiting[0] = c.waiting[0], nil
		c.waiting = c.waiting[1:]
		if c.room != nil {
			close(c.room)
			c.room = nil
		}
		c.signal()
		return m, nil, true
	}
	if err = c.lost; err != nil {
		c.lost = nil
		return nil, err, true
	}
	return nil, c.ended, c.ended != nil
}

func (c *consumption) opError(op string, err error) error {
	return &transport.OpError{Op: op, Scheme: c.Info().Scheme, Err: err}
}

// Send implements [transport.Conn].
func (c *consumption) Send(ctx context.Context, m *transport.Message) error {
	if m.To == "" && c.to != "" {
		own := *m
		own.To = c.to
		m = &own
	}
	return c.h.Send(ctx, m)
}

// Subscribe implements [transport.Subscriber]. The id is always chosen here.
func (c *consumption) Subscribe(ctx context.Context, s transport.Subscription) (id string, err error) {
	s.Destination = cmp.Or(s.Destination, c.to)
	c.mu.Lock()
	c.most = max(c.most, s.Credit)
	c.mu.Unlock()
	s.ID = c.h.add(c)
	if _, err := c.h.sub.Subscribe(ctx, s); err != nil {
		c.h.remove(c, s.ID)
		return "", err
	}
	return s.ID, nil
}

// Unsubscribe implements [transport.Subscriber]. What has come by it can still be
// received.
func (c *consumption) Unsubscribe(ctx context.Context, id string) error {
	if !c.h.remove(c, id) {
		return nil
	}
	return c.h.sub.Unsubscribe(ctx, id)
}

// Flush implements [transport.Flusher].
func (c *consumption) Flush(ctx context.Context) error {
	if f, ok := transport.As[transport.Flusher](c.h.Conn); ok {
		return f.Flush(ctx)
	}
	return nil
}

// Info implements [transport.Conn].
func (c *consumption) Info() *transport.Info { return c.h.Info() }

// Close unsubscribes, and gives back what was not received. The connection lives on for
// the others.
func (c *consumption) Close() error {
	c.once.Do(func() {
		close(c.closed)
		for _, id := range c.h.of(c) {
			_ = c.Unsubscribe(noWait, id) // or the connection ends
		}
		c.mu.Lock()
		rest := c.waiting
		c.waiting, c.ended = nil, c.opError("receive", transport.ErrClosed)
		c.mu.Unlock()
		for _, m := range rest {
			_ = m.Settle(transport.Released)
		}
		c.shared.leave()
	})
	return nil
}
