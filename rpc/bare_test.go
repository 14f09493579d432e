package rpc_test

import (
	"context"
	"testing"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// A bareConn is a connection of a wire that has no place for headers.
type bareConn struct{ transport.Conn }

func (c bareConn) Unwrap() transport.Conn { return c.Conn }

func (c bareConn) Send(ctx context.Context, m *transport.Message) error {
	bare := *m
	bare.Headers = nil
	return c.Conn.Send(ctx, &bare)
}

func (c bareConn) Info() *transport.Info {
	info := *c.Conn.Info()
	info.Headers = false
	return &info
}

// bareScripted is scripted on a wire without headers.
func bareScripted(tb testing.TB, w wire, o *rpc.ClientOptions) (*rpc.Client, *peer) {
	tb.Helper()
	l := w.open(tb, &transport.ListenOptions{Options: still()})
	tb.Cleanup(func() { _ = l.Close() })
	conn, err := l.dial(tb.Context(), &transport.DialOptions{Options: still()})
	if err != nil {
		tb.Fatal(err)
	}
	c := rpc.NewClient(bareConn{conn}, o)
	tb.Cleanup(func() { _ = c.Close() })
	far, err := l.Accept(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	p := newPeer(tb, far)
	if conn.Info().Addressed {
		a, _ := transport.As[transport.ReplyAddresser](conn)
		p.to, _ = a.ReplyAddress(tb.Context())
	}
	return c, p
}

// bareClient returns a client of h, and h's end of its connection, which both
// have no headers.
func bareClient(tb testing.TB, w wire, mux *rpc.Mux, so *rpc.ServerOptions, co *rpc.ClientOptions) *rpc.Client {
	tb.Helper()
	l := w.open(tb, &transport.ListenOptions{Options: still()})
	server := rpc.NewServer(mux, so)
	conn, err := l.dial(tb.Context(), &transport.DialOptions{Options: still()})
	if err != nil {
		tb.Fatal(err)
	}
	far, err := l.Accept(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.ServeConn(bareConn{far}) }()
	c := rpc.NewClient(bareConn{conn}, co)
	tb.Cleanup(func() {
		_ = c.Close()
		<-served
		_ = l.Close()
		_ = server.Shutdown(context.Background())
	})
	return c
}

// hearMessage returns the next message whole.
func (p *peer) hearMessage() *transport.Message {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	m, err := p.conn.Recv(ctx)
	if err != nil {
		p.t.Fatalf("hear: %v", err)
	}
	if m.ReplyTo != "" {
		p.to = m.ReplyTo
	}
	p.about = m.CorrelationID
	return m
}

// tell sends a body with headers.
func (p *peer) tell(body string, headers ...transport.Header) {
	p.t.Helper()
	m := &transport.Message{To: p.to, ReplyTo: p.back, Headers: headers, Body: []byte(body)}
	if err := p.conn.Send(p.t.Context(), m); err != nil {
		p.t.Fatal(err)
	}
}
