package rpc

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"github.com/polyport/polyport/transport"
)

// subscribers are the subscriptions of the peer of one connection or, where it
// carries many callers, of all of them. They cost a connection without any
// nothing.
type subscribers struct {
	s   *session
	hub *hub // nil for the session of a client, which publishes nothing
	wg  sync.WaitGroup
	// ctx ends when no goodbye is waited for any more.
	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex // protects the fields below
	byKey  map[string]*subscriber
	feed   *subscriber // the only one, where the wire is a feed
	closed *Error      // why no more are taken
}

// shared reports whether the connection is one to a broker, which carries the
// requests of callers that come and go unseen.
func (t *subscribers) shared() bool {
	_, asks := transport.As[transport.Subscriber](t.s.conn)
	return asks && t.s.conn.Info().Addressed
}

// key is what a subscription is known by. Callers that share a connection are
// told apart by their reply addresses.
func (t *subscribers) key(to, id string) string {
	if t.shared() {
		return to + "\n" + id
	}
	return id
}

// subscribe adds a subscription, or renews the one of the same name.
func (t *subscribers) subscribe(to string, p subscribeParams) (*subscriber, error) {
	if p.Subscription == "" {
		p.Subscription = rand.Text()
	}
	s, err := t.add(to, p)
	switch {
	case err != nil:
		return nil, err
	case p.Filter != "" && p.Filter != s.filter:
		return nil, Errorf(CodeConflict, "subscription %q has another filter", p.Subscription)
	case !s.renew():
		return nil, Errorf(CodeUnknownHandle, "subscription %q has just ended", p.Subscription)
	}
	return s, nil
}

// add adds a subscription, unless there is one of that name.
func (t *subscribers) add(to string, p subscribeParams) (*subscriber, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := t.key(to, p.Subscription)
	switch s := t.byKey[key]; {
	case s != nil:
		return s, nil
	case p.Filter == "":
		return nil, Errorf(CodeUnknownHandle, "there is no subscription %q to renew", p.Subscription)
	case t.closed != nil:
		return nil, t.closed
	case len(t.byKey) >= t.hub.o.Subscriptions:
		return nil, Errorf(CodeBusy, "this connection has %d subscriptions already, which is the limit", len(t.byKey))
	}
	s := t.make(key, to, p)
	t.hub.add(s)
	return s, nil
}

// make needs mu.
func (t *subscribers) make(key, to string, p subscribeParams) *subscriber {
	if t.byKey == nil {
		t.byKey = make(map[string]*subscriber)
		t.ctx, t.cancel = context.WithCancel(t.s.ctx)
	}
	s := &subscriber{
		of: t, key: key, id: p.Subscription, filter: p.Filter, to: to,
		tail: tailFor(p.Subscription, p.Window != nil), windowed: p.Window != nil,
	}
	if s.windowed {
		s.credit = *p.Window
	}
	s.ctx, s.cancel = context.WithCancel(t.s.ctx)
	if t.shared() {
		s.lease = time.AfterFunc(t.hub.o.Lease, func() { s.end(nil) })
	}
	t.byKey[key] = s
	return s
}

// find returns a subscription of a peer, or nil.
func (t *subscribers) find(to, id string) *subscriber {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byKey[t.key(to, id)]
}

// forget makes room for another subscription.
func (t *subscribers) forget(s *subscriber) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byKey[s.key] == s {
		delete(t.byKey, s.key)
	}
}

// refuse takes no more subscriptions.
func (t *subscribers) refuse(why *Error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed == nil {
		t.closed = why
	}
}

// close ends all subscriptions, telling why unless it is nil, and returns when
// none of their goroutines is left. It waits for no peer.
func (t *subscribers) close(why *Error) {
	t.refuse(shuttingDown())
	t.mu.Lock()
	if t.cancel != nil {
		t.cancel()
	}
	all := make([]*subscriber, 0, len(t.byKey))
	for _, s := range t.byKey {
		all = append(all, s)
	}
	t.mu.Unlock()
	for _, s := range all {
		s.end(why)
	}
	t.wg.Wait()
}

func shuttingDown() *Error {
	return &Error{Code: CodeShuttingDown, Message: "the server is shutting down"}
}
