package conformance_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

// A crook stands between clients and a sound server and spoils what they say to
// one another. Fields that are nil are right.
type crook struct {
	ask    func(body string) string   // what the server gets
	answer func(body string) []string // what the client gets for an answer
	// instead answers in the server's place, if ok.
	instead func(body string) (answers []string, ok bool)
	recv    func(c *crooked, m *transport.Message, err error) (*transport.Message, error)
	close   func(c *crooked) error
	info    func(i *transport.Info)
	dial    func(left int) error // left is how many have left
	raw     func(t conformance.TB) net.Conn

	mu   sync.Mutex // protects the fields below
	left int
	seen int
}

// crooked is a client's connection to the crook.
type crooked struct {
	transport.Conn
	k *crook

	mu      sync.Mutex // protects the field below
	pending []*transport.Message
}

// spoil has a harness go by the crook.
func (k *crook) spoil(h conformance.Harness) conformance.Harness {
	server, dial := *h.Server, h.Server.Dial
	server.Dial = func(ctx context.Context, o *transport.DialOptions) (transport.Conn, error) {
		if k.dial != nil {
			k.mu.Lock()
			left := k.left
			k.mu.Unlock()
			if err := k.dial(left); err != nil {
				return nil, err
			}
		}
		c, err := dial(ctx, o)
		if err != nil {
			return nil, err
		}
		return &crooked{Conn: c, k: k}, nil
	}
	h.Server = &server
	if k.raw != nil {
		h.RawDial = k.raw
	}
	return h
}

func (c *crooked) Unwrap() transport.Conn { return c.Conn }

func (c *crooked) Send(ctx context.Context, m *transport.Message) error {
	own := *m
	if c.k.instead != nil {
		if answers, ok := c.k.instead(string(m.Body)); ok {
			c.put(answers)
			return nil
		}
	}
	if c.k.ask != nil {
		own.Body = []byte(c.k.ask(string(m.Body)))
	}
	return c.Conn.Send(ctx, &own)
}

func (c *crooked) put(answers []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range answers {
		c.pending = append(c.pending, &transport.Message{Body: []byte(a)})
	}
}

func (c *crooked) take() *transport.Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending) == 0 {
		return nil
	}
	m := c.pending[0]
	c.pending = c.pending[1:]
	return m
}

func (c *crooked) Recv(ctx context.Context) (*transport.Message, error) {
	for {
		if m := c.take(); m != nil {
			return m, nil
		}
		m, err := c.Conn.Recv(ctx)
		if c.k.recv != nil {
			m, err = c.k.recv(c, m, err)
		}
		if err != nil || c.k.answer == nil {
			return m, err
		}
		c.put(c.k.answer(string(m.Body)))
	}
}

func (c *crooked) Close() error {
	c.k.mu.Lock()
	c.k.left++
	c.k.mu.Unlock()
	if c.k.close != nil {
		return c.k.close(c)
	}
	return c.Conn.Close()
}

func (c *crooked) Info() *transport.Info {
	i := *c.Conn.Info()
	if c.k.info != nil {
		c.k.info(&i)
	}
	return &i
}

// nth counts answers from 1.
func (k *crook) nth() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seen++
	return k.seen
}

// TestBrokenServer tests the rules about servers as TestBroken does those about
// wires; that they hold for a sound server TestServer says.
func TestBrokenServer(t *testing.T) {
	h := serveRPC(t, "mem://server", mem.Transport{}, echoMux())
	h.Patience = 500 * time.Millisecond
	untried := map[string]bool{}
	for _, r := range conformance.ServerRules() {
		untried[r.Name] = true
	}
	got := make([]conformance.Result, len(serverDefects))
	var tried sync.WaitGroup
	room := make(chan struct{}, 8) // at a time: they wait most of the time
	for i, d := range serverDefects {
		delete(untried, d.rule)
		tried.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			rule, _ := conformance.Lookup(d.rule)
			spoiled := d.crook().spoil(h)
			got[i] = rule.Alone(t.Context(), &spoiled)
		})
	}
	tried.Wait()
	for i, d := range serverDefects {
		t.Run(d.rule+"/"+d.name, func(t *testing.T) {
			if got[i].Verdict != conformance.Failed {
				t.Errorf("%s of a server that %s: %s %s, want %s", d.rule, d.name, got[i].Verdict, got[i].Log, conformance.Failed)
			}
			t.Logf("%s", got[i].Log)
		})
	}
	for name := range untried {
		t.Errorf("no defect breaks the rule %s", name)
	}
}

// keepsOpen is a peer that never closes.
func keepsOpen(t conformance.TB) net.Conn {
	client, server := conformance.TCP(t)
	t.Cleanup(func() { _ = server.Close() })
	return client
}

func closedBy(reason string) error {
	return &transport.OpError{Op: "recv", Err: fmt.Errorf("%w: %s", transport.ErrClosed, reason)}
}
