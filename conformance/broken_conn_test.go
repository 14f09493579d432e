package conformance_test

import (
	"context"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

// tooLong is longer than a rule waits, and then ends, so that what is broken
// leaves nothing behind.
const tooLong = 15 * time.Second

func wait(d time.Duration) { <-time.After(d) }

// broken is a wire with something wrong with it. Fields that are
// nil are right.
type broken struct {
	wire    transport.Transport // nil: the reference wire
	query   string              // of the URL
	stream  func(net.Conn) net.Conn
	options func(*transport.Options)
	listen  func(*transport.ListenOptions)
	// conn breaks either end, client and server one of them.
	conn, client, server func(c *conn)
	failed               func(net.Conn) // a server's handshake did
	hostile              [][]byte       // openings that are tried as well
}

func (b *broken) base() transport.Transport {
	if b.wire == nil {
		return mem.Transport{}
	}
	return b.wire
}

func (b *broken) url() string {
	if b.wire == nil {
		return "mem://conformance?" + b.query
	}
	return "stomp://conformance"
}

func (b *broken) Client(ctx context.Context, nc net.Conn, u *url.URL, o *transport.DialOptions) (transport.Conn, error) {
	own := *o
	if b.options != nil {
		b.options(&own.Options)
	}
	if b.stream != nil {
		nc = b.stream(nc)
	}
	c, err := b.base().Client(ctx, nc, u, &own)
	return b.wrap(c, nc, err, b.client)
}

func (b *broken) Server(ctx context.Context, nc net.Conn, o *transport.ListenOptions) (transport.Conn, error) {
	own := *o
	if b.options != nil {
		b.options(&own.Options)
	}
	if b.listen != nil {
		b.listen(&own)
	}
	if b.stream != nil {
		nc = b.stream(nc)
	}
	c, err := b.base().Server(ctx, nc, &own)
	if err != nil && b.failed != nil {
		b.failed(nc)
	}
	return b.wrap(c, nc, err, b.server)
}

func (b *broken) wrap(inner transport.Conn, nc net.Conn, err error, end func(*conn)) (transport.Conn, error) {
	if err != nil {
		return nil, err
	}
	c := &conn{
		Conn: inner, nc: nc,
		send: inner.Send, recv: inner.Recv, close: inner.Close, info: inner.Info, own: inner,
	}
	for _, f := range []func(*conn){b.conn, end} {
		if f != nil {
			f(c)
		}
	}
	return c, nil
}

// conn is a Conn whose methods can be replaced. Abilities of its own come
// before those of the Conn inside.
type conn struct {
	transport.Conn
	nc    net.Conn
	send  func(context.Context, *transport.Message) error
	recv  func(context.Context) (*transport.Message, error)
	close func() error
	info  func() *transport.Info
	own   transport.Conn // has the abilities

	mu sync.Mutex // protects the field below
	n  int        // counts, for replacements that do
}

// next counts from 1.
func (c *conn) next() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return c.n
}

func (c *conn) Send(ctx context.Context, m *transport.Message) error { return c.send(ctx, m) }
func (c *conn) Recv(ctx context.Context) (*transport.Message, error) { return c.recv(ctx) }
func (c *conn) Close() error                                         { return c.close() }
func (c *conn) Info() *transport.Info                                { return c.info() }

// Unwrap leads to the abilities.
func (c *conn) Unwrap() transport.Conn { return c.own }

// The following replace one ability each and leave the others to the Conn
// inside.
type (
	subscriber struct {
		transport.Conn
		inner       transport.Subscriber
		subscribe   func(context.Context, transport.Subscription) (string, error)
		unsubscribe func(context.Context, string) error
	}
	publisher struct {
		transport.Conn
		publish func(context.Context, *transport.Message) error
	}
	confirmer struct {
		transport.Conn
		confirm func(context.Context, *transport.Message, func(error)) error
	}
	crediter struct {
		transport.Conn
		grant func(context.Context, string, int) error
	}
	addresser struct {
		transport.Conn
		address func(context.Context) (string, error)
	}
	flusher struct {
		transport.Conn
		flush func(context.Context) error
	}
)

// A hoarder holds back all that is sent after Gather, and forgets it.
type hoarder struct {
	transport.Conn
	gathers *atomic.Bool
}

func (h hoarder) Unwrap() transport.Conn { return h.Conn }
func (h hoarder) Gather()                { h.gathers.Store(true) }
func (hoarder) Release()                 {}

func (s subscriber) Unwrap() transport.Conn { return s.Conn }
func (p publisher) Unwrap() transport.Conn  { return p.Conn }
func (c confirmer) Unwrap() transport.Conn  { return c.Conn }
func (c crediter) Unwrap() transport.Conn   { return c.Conn }
func (a addresser) Unwrap() transport.Conn  { return a.Conn }
func (f flusher) Unwrap() transport.Conn    { return f.Conn }

func (s subscriber) Subscribe(ctx context.Context, sub transport.Subscription) (string, error) {
	if s.subscribe != nil {
		return s.subscribe(ctx, sub)
	}
	return s.inner.Subscribe(ctx, sub)
}

func (s subscriber) Unsubscribe(ctx context.Context, id string) error {
	if s.unsubscribe != nil {
		return s.unsubscribe(ctx, id)
	}
	return s.inner.Unsubscribe(ctx, id)
}

func (p publisher) Publish(ctx context.Context, m *transport.Message) error { return p.publish(ctx, m) }

func (c confirmer) SendConfirmed(ctx context.Context, m *transport.Message, done func(error)) error {
	return c.confirm(ctx, m, done)
}

func (c crediter) Grant(ctx context.Context, id string, n int) error { return c.grant(ctx, id, n) }
func (f flusher) Flush(ctx context.Context) error                    { return f.flush(ctx) }

func (a addresser) ReplyAddress(ctx context.Context) (string, error) { return a.address(ctx) }
