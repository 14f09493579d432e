package transport_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/polyport/polyport/transport"
)

// A stubConn is a Conn without a wire, that a test ends as it likes.
type stubConn struct {
	name string
	in   chan *transport.Message // what Recv returns
	// sendErr, subscribeErr are what Send and Subscribe return when they are
	// not nil and the connection has not ended.
	sendErr, subscribeErr error

	mu     sync.Mutex // protects the fields below
	err    error      // why it ended
	over   chan struct{}
	closes int
	log    []string // what was sent and subscribed
}

func newStub(name string) *stubConn {
	return &stubConn{name: name, in: make(chan *transport.Message), over: make(chan struct{})}
}

// lose ends the connection because of err.
func (c *stubConn) lose(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		close(c.over)
	}
}

func (c *stubConn) opError(op string, err error) error {
	return &transport.OpError{Op: op, Scheme: "stub", Addr: c.name, Err: err}
}

// do notes what is done, unless the connection has ended.
func (c *stubConn) do(op, what string, err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return c.opError(op, c.err)
	case err != nil:
		return err
	}
	c.log = append(c.log, what)
	return nil
}

func (c *stubConn) Send(_ context.Context, m *transport.Message) error {
	return c.do("send", string(m.Body), c.sendErr)
}

func (c *stubConn) Recv(ctx context.Context) (*transport.Message, error) {
	select {
	case m := <-c.in:
		return m, nil
	case <-c.over:
		return nil, c.opError("receive", c.err)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (c *stubConn) Subscribe(_ context.Context, s transport.Subscription) (string, error) {
	return s.ID, c.do("subscribe", "+"+s.ID+"="+s.Destination, c.subscribeErr)
}

func (c *stubConn) Unsubscribe(_ context.Context, id string) error {
	return c.do("subscribe", "-"+id, nil)
}

func (c *stubConn) Close() error {
	c.lose(transport.ErrClosed)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closes++
	return nil
}

func (c *stubConn) Info() *transport.Info { return &transport.Info{Peer: c.name} }

// done returns what was sent and subscribed.
func (c *stubConn) done() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.log)
}

func (c *stubConn) closed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closes > 0
}

var errDown = errors.New("the network is down")

// A dialer is what a test gives to Redial: connections, and errors in between.
type dialer struct {
	conns []transport.Conn // in the order dialed; nil is errDown, also beyond the end
	times []time.Time      // of the attempts
}

func (d *dialer) dial(context.Context) (transport.Conn, error) {
	d.times = append(d.times, time.Now())
	if n := len(d.times); n <= len(d.conns) && d.conns[n-1] != nil {
		return d.conns[n-1], nil
	}
	return nil, errDown
}

// redial returns a Redial connection over those of d.
func (d *dialer) redial(t *testing.T, o transport.RedialOptions) transport.Conn {
	t.Helper()
	o.Dial = d.dial
	r, err := transport.Redial(t.Context(), "pipe://stub", &o)
	if err != nil {
		t.Fatalf("Redial = %v, want nil", err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// checkLost expects Recv to tell of a loss.
func checkLost(t *testing.T, c transport.Conn) {
	t.Helper()
	err := checkRecvErr(t, c, transport.ErrReconnecting)
	if op, ok := errors.AsType[*transport.OpError](err); !ok || op.Op != "receive" || op.Scheme != "pipe" || op.Addr != "stub" {
		t.Errorf("Recv = %#v, want an OpError with op, scheme and address", err)
	}
}
