package conformance_test

import (
	"context"
	"net"
	"slices"
	"testing"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/transport"
)

// A defect is something wrong with a wire, and the rule whose sentence it
// breaks.
type defect struct {
	name, rule string
	broken     func() *broken
}

// inSend, inRecv and so on are a wire whose ends do one thing differently.
func inSend(f func(c *conn, ctx context.Context, m *transport.Message) error) func() *broken {
	return func() *broken {
		return &broken{conn: func(c *conn) {
			c.send = func(ctx context.Context, m *transport.Message) error { return f(c, ctx, m) }
		}}
	}
}

func inRecv(f func(c *conn, ctx context.Context) (*transport.Message, error)) func() *broken {
	return func() *broken {
		return &broken{conn: func(c *conn) {
			c.recv = func(ctx context.Context) (*transport.Message, error) { return f(c, ctx) }
		}}
	}
}

// inMessage changes each message that is received.
func inMessage(f func(m *transport.Message)) func() *broken {
	return inRecv(func(c *conn, ctx context.Context) (*transport.Message, error) {
		m, err := c.Conn.Recv(ctx)
		if err == nil {
			f(m)
		}
		return m, err
	})
}

func inClose(f func(c *conn) error) func() *broken {
	return func() *broken {
		return &broken{conn: func(c *conn) { c.close = func() error { return f(c) } }}
	}
}

func inInfo(f func(c *conn, i *transport.Info)) func() *broken {
	return func() *broken {
		return &broken{conn: func(c *conn) {
			c.info = func() *transport.Info {
				i := *c.Conn.Info()
				f(c, &i)
				return &i
			}
		}}
	}
}

func inConfirm(f func(c *conn, inner transport.Confirmer, ctx context.Context, m *transport.Message, done func(error)) error) func() *broken {
	return func() *broken {
		return &broken{conn: func(c *conn) {
			inner, _ := transport.As[transport.Confirmer](c.Conn)
			c.own = confirmer{Conn: c.Conn, confirm: func(ctx context.Context, m *transport.Message, done func(error)) error {
				return f(c, inner, ctx, m, done)
			}}
		}}
	}
}

func inPublish(f func(c *conn, inner transport.Publisher, ctx context.Context, m *transport.Message) error) func() *broken {
	return func() *broken {
		return &broken{server: func(c *conn) {
			inner, _ := transport.As[transport.Publisher](c.Conn)
			c.own = publisher{Conn: c.Conn, publish: func(ctx context.Context, m *transport.Message) error { return f(c, inner, ctx, m) }}
		}}
	}
}

func inSubscribe(f func(inner transport.Subscriber) subscriber) func() *broken {
	return func() *broken {
		return &broken{client: func(c *conn) {
			inner, _ := transport.As[transport.Subscriber](c.Conn)
			s := f(inner)
			s.Conn, s.inner = c.Conn, inner
			c.own = s
		}}
	}
}

func inOptions(f func(*transport.Options)) func() *broken {
	return func() *broken { return &broken{options: f} }
}

func inListen(f func(*transport.ListenOptions)) func() *broken {
	return func() *broken { return &broken{listen: f} }
}

func inStream(f func(net.Conn) net.Conn) func() *broken {
	return func() *broken { return &broken{stream: f} }
}

// settlers replace what settles received messages.
type settler func(token uint64, o transport.Outcome) error

func (s settler) SettleMessage(token uint64, o transport.Outcome) error { return s(token, o) }

// TestBroken tests the suite: each defect is found by the rule that it breaks,
// which holds for the wire that the defect was built into, and each rule finds
// some defect.
func TestBroken(t *testing.T) {
	untried := map[string]bool{}
	for _, r := range conformance.Rules() {
		untried[r.Name] = true
	}
	for _, d := range slices.Concat(messageDefects, orderDefects, sendDefects, recvDefects, closeDefects, lossDefects,
		timeDefects, routeDefects, settleDefects, confirmDefects, lockstepDefects, feedDefects, accessDefects, hubDefects) {
		delete(untried, d.rule)
		t.Run(d.rule+"/"+d.name, func(t *testing.T) {
			rule, ok := conformance.Lookup(d.rule)
			if !ok {
				t.Fatalf("there is no rule %s", d.rule)
			}
			b := d.broken()
			h := conformance.Harness{Transport: b, URL: b.url(), Hub: &conformance.Hub{}, Hostile: b.hostile}
			got := rule.Try(t, &h)
			if got.Verdict != conformance.Failed {
				t.Errorf("%s of a wire that %s: %s %s, want %s", d.rule, d.name, got.Verdict, got.Log, conformance.Failed)
			}
			t.Logf("%s", got.Log)
			h.Transport = (&broken{wire: b.wire}).base()
			if got := rule.Try(t, &h); got.Verdict != conformance.Passed {
				t.Errorf("%s of the wire without the defect: %s %s", d.rule, got.Verdict, got.Log)
			}
		})
	}
	for _, d := range brokerDefects {
		delete(untried, d.rule)
	}
	for name := range untried {
		t.Errorf("no defect breaks the rule %s", name)
	}
}
