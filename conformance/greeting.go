package conformance

import (
	"context"
	"errors"
	"net"
	"net/url"

	"github.com/polyport/polyport/transport"
)

// Greeting returns t with a handshake made of its first exchange. It is for a wire
// in lock-step on which nobody says anything before the first message, as plain
// HTTP: there, a server knows of a connection, and a client of being let in, when a
// message has been answered. Both ends have to use it. Connections that are not in
// lock-step are left as they are.
func Greeting(t transport.Transport) transport.Transport { return greeting{t} }

type greeting struct{ wire transport.Transport }

// Client says hello, and waits for the answer.
func (g greeting) Client(ctx context.Context, nc net.Conn, u *url.URL, o *transport.DialOptions) (transport.Conn, error) {
	c, err := g.wire.Client(ctx, nc, u, o)
	if err != nil || !c.Info().Lockstep {
		return c, err
	}
	if err = c.Send(ctx, &transport.Message{Body: []byte(`{"jsonrpc":"2.0","method":"hello"}`)}); err == nil {
		_, err = c.Recv(ctx)
	}
	return met(c, err)
}

// Server waits for the hello, and answers with nothing.
func (g greeting) Server(ctx context.Context, nc net.Conn, o *transport.ListenOptions) (transport.Conn, error) {
	c, err := g.wire.Server(ctx, nc, o)
	if err != nil || !c.Info().Lockstep {
		return c, err
	}
	if _, err = c.Recv(ctx); err == nil {
		err = c.Send(ctx, &transport.Message{})
	}
	return met(c, err)
}

// met returns c, or closes it if the ends have not met.
func met(c transport.Conn, err error) (transport.Conn, error) {
	if err == nil {
		return c, nil
	}
	_ = c.Close()
	if e, ok := errors.AsType[*transport.OpError](err); ok { // it is the handshake that has failed
		err = e.Err
	}
	return nil, err
}
