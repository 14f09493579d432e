package conformance_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/polyport/polyport/transport"
)

var accessDefects = []defect{
	{"has another Info each time", "Info", inInfo(func(c *conn, i *transport.Info) { i.Version = strconv.Itoa(c.next()) })},
	{"does not say its limits", "Info", inInfo(func(_ *conn, i *transport.Info) { i.Limits = transport.Limits{} })},
	{"does not say that it has TLS", "InfoTLS", inInfo(func(_ *conn, i *transport.Info) { i.TLS = nil })},
	{"lets everybody in", "Authentication", inListen(func(o *transport.ListenOptions) { o.Authenticator = nil })},
	{"lets in without a password", "Authentication", inListen(func(o *transport.ListenOptions) {
		if o.Authenticator != nil {
			o.Authenticator = lenient{o.Authenticator}
		}
	})},
	{"tells why it refuses", "Credentials", func() *broken {
		return &broken{listen: func(o *transport.ListenOptions) {
			if o.Authenticator == nil {
				return
			}
			if _, err := o.Authenticator.Authenticate(context.Background(), transport.Credentials{}); err != nil {
				o.VirtualHosts = []string{err.Error()}
			}
		}}
	}},
	{"takes passwords in the clear", "PlaintextPassword", inListen(func(o *transport.ListenOptions) { o.PlaintextPasswords = true })},
	{"serves every virtual host", "VirtualHost", inListen(func(o *transport.ListenOptions) { o.VirtualHosts = nil })},
	{"ends for good at a loss", "Redial", inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		m, err := c.Conn.Recv(ctx)
		if errors.Is(err, transport.ErrClosed) {
			wait(tooLong)
		}
		return m, err
	})},
	{"sends again what was lost", "RedialSend", func() *broken {
		var mu sync.Mutex
		var last *transport.Message
		return &broken{client: func(c *conn) {
			mu.Lock()
			defer mu.Unlock()
			if last != nil {
				_ = c.Conn.Send(context.Background(), last)
			}
			c.send = func(ctx context.Context, m *transport.Message) error {
				mu.Lock()
				defer mu.Unlock()
				last = &transport.Message{Body: slices.Clone(m.Body)}
				return c.Conn.Send(ctx, m)
			}
		}}
	}},
	{"subscribes once only", "RedialSubscriptions", func() *broken {
		var conns atomic.Int32
		return &broken{client: func(c *conn) {
			if conns.Add(1) == 1 {
				return
			}
			c.own = subscriber{Conn: c.Conn, subscribe: func(_ context.Context, s transport.Subscription) (string, error) { return s.ID, nil }}
		}}
	}},
	{"closes a lost connection slowly", "RedialClose", inClose(func(c *conn) error {
		wait(tooLong)
		return c.Conn.Close()
	})},
}

// lenient takes an empty password for the right one.
type lenient struct{ transport.Authenticator }

func (l lenient) Authenticate(ctx context.Context, c transport.Credentials) (string, error) {
	if c.Password == "" {
		return c.User, nil
	}
	return l.Authenticator.Authenticate(ctx, c)
}
