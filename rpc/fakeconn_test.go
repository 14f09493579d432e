package rpc_test

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// A fakeConn is a connection that does exactly what a test tells it to. Its
// zero hooks accept everything.
type fakeConn struct {
	// send is called for each Send, on the goroutine that sends.
	send func(ctx context.Context, m *transport.Message) error
	// replyAddress makes it a wire that needs addresses.
	replyAddress func() (string, error)

	in     chan any // what Recv returns: a *transport.Message or an error
	once   sync.Once
	closed chan struct{}
}

func newFakeConn() *fakeConn {
	return &fakeConn{in: make(chan any, 64), closed: make(chan struct{})}
}

// fakeClient returns a client over c.
func fakeClient(tb testing.TB, c *fakeConn, o *rpc.ClientOptions) *rpc.Client {
	tb.Helper()
	client := rpc.NewClient(c, o)
	tb.Cleanup(func() { _ = client.Close() })
	return client
}

// receive makes Recv return a body, or an error.
func (c *fakeConn) receive(body string) { c.in <- &transport.Message{Body: []byte(body)} }

func (c *fakeConn) fail(err error) { c.in <- err }

func (c *fakeConn) Send(ctx context.Context, m *transport.Message) error {
	select {
	case <-c.closed:
		return c.opError("send", transport.ErrClosed)
	default:
	}
	if c.send != nil {
		return c.send(ctx, m)
	}
	return nil
}

func (c *fakeConn) Recv(ctx context.Context) (*transport.Message, error) {
	select {
	case v := <-c.in:
		if err, bad := v.(error); bad {
			return nil, err
		}
		return v.(*transport.Message), nil
	case <-c.closed:
		return nil, c.opError("receive", transport.ErrClosed)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *fakeConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

func (c *fakeConn) Info() *transport.Info {
	return &transport.Info{Scheme: "fake", Local: &net.IPAddr{}, Remote: &net.IPAddr{}, Addressed: c.replyAddress != nil}
}

func (c *fakeConn) ReplyAddress(context.Context) (string, error) {
	if c.replyAddress == nil {
		return "", nil
	}
	return c.replyAddress()
}

func (c *fakeConn) opError(op string, err error) error {
	return &transport.OpError{Op: op, Scheme: "fake", Err: err}
}

// sendFails is a send that fails, before or after a part of the message left.
func sendFails(err error, maybeSent bool) func(context.Context, *transport.Message) error {
	return func(context.Context, *transport.Message) error {
		return &transport.OpError{Op: "send", Scheme: "fake", MaybeSent: maybeSent, Err: err}
	}
}
