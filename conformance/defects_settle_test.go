package conformance_test

import (
	"context"
	"sync/atomic"

	"github.com/polyport/polyport/transport"
)

var settleDefects = []defect{
	{"does not settle", "SettleReleases", inMessage(func(m *transport.Message) {
		m.SetSettler(settler(func(uint64, transport.Outcome) error { return nil }), 0)
	})},
	{"settles what was not asked for", "SettleReleases", inMessage(func(m *transport.Message) {
		if m.Subscription != "" {
			_ = m.Settle(transport.Accepted)
		}
	})},
	{"has no limit of what is unsettled", "UnsettledLimit", inOptions(func(o *transport.Options) { o.Limits.Unsettled = 100 })},
	{"settles each where it is up to", "SettleUpTo", inSubscribe(func(inner transport.Subscriber) subscriber {
		return subscriber{subscribe: func(ctx context.Context, s transport.Subscription) (string, error) {
			s.Ack = min(s.Ack, transport.AckEach)
			return inner.Subscribe(ctx, s)
		}}
	})},
	{"settles each twice", "SettleAgain", func() *broken {
		return &broken{client: func(c *conn) {
			granter, _ := transport.As[transport.Crediter](c.Conn)
			c.recv = func(ctx context.Context) (*transport.Message, error) {
				m, err := c.Conn.Recv(ctx)
				if err == nil && m.Subscription != "" {
					inner := *m
					m.SetSettler(settler(func(_ uint64, o transport.Outcome) error {
						_ = granter.Grant(ctx, inner.Subscription, 1)
						return inner.Settle(o)
					}), 0)
				}
				return m, err
			}
		}}
	}},
	{"cannot settle what needs none", "SettleNothing", inMessage(func(m *transport.Message) {
		if m.Subscription == "" {
			m.SetSettler(settler(func(uint64, transport.Outcome) error { return transport.ErrUnsupported }), 0)
		}
	})},
	{"ends over a late settlement", "SettleAfterUnsubscribe", func() *broken {
		return &broken{client: func(c *conn) {
			var gone atomic.Bool
			inner, _ := transport.As[transport.Subscriber](c.Conn)
			c.own = subscriber{Conn: c.Conn, inner: inner, unsubscribe: func(ctx context.Context, id string) error {
				gone.Store(true)
				return inner.Unsubscribe(ctx, id)
			}}
			c.recv = func(ctx context.Context) (*transport.Message, error) {
				m, err := c.Conn.Recv(ctx)
				if err != nil || m.Subscription == "" {
					return m, err
				}
				own := *m
				m.SetSettler(settler(func(_ uint64, o transport.Outcome) error {
					if gone.Load() {
						_ = c.nc.Close()
					}
					return own.Settle(o)
				}), 0)
				return m, nil
			}
		}}
	}},
	{"settles by its own numbers", "SettleUpToRace", func() *broken {
		return &broken{client: func(c *conn) {
			var held *transport.Message
			c.recv = func(ctx context.Context) (*transport.Message, error) {
				if m := held; m != nil {
					held = nil
					return m, nil
				}
				m, err := c.Conn.Recv(ctx)
				if err != nil || m.Subscription == "" || c.next() != 50 {
					return m, err
				}
				if held, err = c.Conn.Recv(ctx); err != nil {
					return nil, err
				}
				a, b := *m, *held
				m.SetSettler(settler(func(_ uint64, o transport.Outcome) error { return b.Settle(o) }), 0)
				held.SetSettler(settler(func(_ uint64, o transport.Outcome) error { return a.Settle(o) }), 0)
				return m, nil
			}
		}}
	}},
	{"hangs over a late settlement", "SettleAfterClose", inMessage(func(m *transport.Message) {
		m.SetSettler(settler(func(uint64, transport.Outcome) error { wait(tooLong); return nil }), 0)
	})},
	{"ignores grants", "Grant", func() *broken {
		return &broken{client: func(c *conn) {
			c.own = crediter{Conn: c.Conn, grant: func(context.Context, string, int) error { return nil }}
		}}
	}},
	{"does not renew credit", "SettleRenewsCredit", inMessage(func(m *transport.Message) { m.SetSettler(nil, 0) })},
	{"grants to nobody", "GrantUnknown", func() *broken {
		return &broken{client: func(c *conn) {
			inner, _ := transport.As[transport.Crediter](c.Conn)
			c.own = crediter{Conn: c.Conn, grant: func(ctx context.Context, id string, n int) error {
				_ = inner.Grant(ctx, id, n)
				return nil
			}}
		}}
	}},
}
