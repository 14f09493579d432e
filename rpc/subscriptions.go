package rpc

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/polyport/polyport/rpc/internal/envelope"
	"github.com/polyport/polyport/transport"
)

// subscriptions are those of this end of a connection. Events are sorted out by
// the goroutine that receives, and wait in their subscriptions, which are
// bounded by their windows.
type subscriptions struct {
	s    *session
	used atomic.Bool // there has been one
	wg   sync.WaitGroup

	mu     sync.Mutex // protects the fields below, and is taken before that of a Subscription
	byID   map[string]*Subscription
	last   uint64
	closed error
}

// add makes a subscription known, before the server is asked for it: events may
// come before the answer.
func (t *subscriptions) add(c *Client, filter string, window int) (*Subscription, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed != nil {
		return nil, t.closed
	}
	t.last++
	name := strconv.FormatUint(t.last, 10)
	s := &Subscription{
		c: c, name: name, id: name, filter: filter, words: t.s.filterWords(filter), window: window,
		some: make(chan struct{}, 1),
	}
	s.ctx, s.cancel = context.WithCancel(t.s.ctx)
	if t.byID == nil {
		t.byID = make(map[string]*Subscription)
	}
	t.byID[s.id] = s
	t.used.Store(true)
	return s, nil
}

func (t *subscriptions) find(id string) *Subscription {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[id]
}

func (t *subscriptions) forget(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byID, id)
}

// takes hands an event to its subscription. A notification that names none is
// none of ours.
func (t *subscriptions) takes(m *transport.Message, msg *envelope.Message) bool {
	if msg.Kind != envelope.Notification || !t.used.Load() {
		return false
	}
	var id []byte
	envelope.Members(msg.Metadata, func(name, value []byte) bool {
		if string(name) == "subscription" && len(value) > 2 && value[0] == '"' {
			id = value[1 : len(value)-1]
		}
		return id == nil
	})
	if id == nil {
		return false
	}
	t.mu.Lock()
	sub := t.byID[string(id)]
	t.mu.Unlock()
	if sub != nil { // else it was given up meanwhile
		sub.came(Event{Topic: string(msg.Method), Params: msg.Params, codec: t.s.codec, metadata: msg.Metadata})
	}
	t.s.settle(m, transport.Accepted)
	return true
}

// lost has all subscriptions made anew, because the connection is.
func (t *subscriptions) lost() {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.byID
	t.byID = make(map[string]*Subscription, len(all))
	for _, s := range all {
		t.rename(s)
	}
}

// remake has one made anew, unless it was since it had that id.
func (t *subscriptions) remake(s *Subscription, id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID[id] == s && t.closed == nil {
		delete(t.byID, id)
		t.rename(s)
	}
}

// rename needs mu.
func (t *subscriptions) rename(s *Subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.lost()
		t.byID[s.id] = s
	}
}

// keep lengthens a lease on a goroutine of its own.
func (t *subscriptions) keep(s *Subscription, lease time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed == nil {
		t.wg.Go(func() { s.lengthen(lease) })
	}
}

// end ends all subscriptions, and returns when none of their goroutines is
// left.
func (t *subscriptions) end(err error) {
	t.mu.Lock()
	t.closed = err
	all := t.byID
	t.byID = nil
	t.mu.Unlock()
	for _, s := range all {
		s.fail(err)
	}
	t.wg.Wait()
}

// tell sends a notification that belongs to a subscription. Where a connection
// carries many callers, its reply address says whose.
func (c *Client) tell(ctx context.Context, method string, params any) error {
	replyTo, err := c.replyAddress(ctx)
	if err != nil {
		return err
	}
	out := c.outgoing()
	defer out.free()
	out.msg.ReplyTo, out.msg.Durable = replyTo, false
	if out.msg.Body, err = c.appendRequest(out.msg.Body, nil, method, params, nil); err != nil {
		return err
	}
	return c.s.conn.Send(ctx, &out.msg)
}

// serveGap is called by the publisher.
func serveGap(r *request, p gapParams) (bool, error) {
	s := r.session.subscriptions.find(p.Subscription)
	if s == nil {
		return false, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tellLoss()
	s.gap(p.Dropped)
	return true, nil
}

// serveEnd is called by the publisher.
func serveEnd(r *request, p endParams) (bool, error) {
	t := &r.session.subscriptions
	s := t.find(p.Subscription)
	if s == nil {
		return false, nil
	}
	s.mu.Lock()
	s.tellLoss()
	s.gap(p.Dropped)
	s.mu.Unlock()
	s.fail(&Error{Code: p.Code, Message: p.Message})
	t.forget(p.Subscription)
	return true, nil
}
