package transport_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/url"
	"strings"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

// pipes is the network of the scheme "pipe".
var pipes mem.Network

func init() { //nolint:gochecknoinits // wires register when their package is imported
	transport.Register(transport.Scheme{Name: "line", Port: "4", Transport: lineWire{}})
	transport.Register(transport.Scheme{Name: "lines", Port: "5", Transport: lineWire{}, TLS: true})
	transport.Register(transport.Scheme{Name: "pipe", Transport: lineWire{}, Network: pipeNetwork{}})
}

type pipeNetwork struct{}

// Dial connects to a listener in memory, which says of itself that it is on
// another machine if its name begins so.
func (pipeNetwork) Dial(ctx context.Context, addr string) (net.Conn, error) {
	nc, err := pipes.Dial(ctx, addr)
	if err == nil && strings.HasPrefix(addr, "192.0.2.") {
		nc = elsewhere{nc}
	}
	return nc, err
}

// elsewhere is a connection whose peer is on another machine.
type elsewhere struct{ net.Conn }

func (elsewhere) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4711} }

func (pipeNetwork) Listen(addr string) (net.Listener, error) { return pipes.Listen(addr) }

// lineWire is a wire for tests of what is below one: a message is a line, and
// an empty line a sign of life. The client says hello, with the user and
// destination of the URL, and the server welcome; anything else is refused.
type lineWire struct{}

func (lineWire) Client(ctx context.Context, nc net.Conn, u *url.URL, o *transport.DialOptions) (transport.Conn, error) {
	c := newLineConn(nc, &o.WithDefaults().Options)
	if err := c.Send(ctx, &transport.Message{Body: []byte("hello " + u.User.Username() + u.Path)}); err != nil {
		return nil, err
	}
	m, err := c.next()
	if err != nil {
		return nil, err
	}
	if string(m.Body) != "welcome" {
		return nil, transport.WithReason(transport.ErrRefused, string(m.Body))
	}
	return c, nil
}

func (lineWire) Server(ctx context.Context, nc net.Conn, o *transport.ListenOptions) (transport.Conn, error) {
	c := newLineConn(nc, &o.WithDefaults().Options)
	m, err := c.next()
	if err != nil {
		return nil, err
	}
	hello, ok := strings.CutPrefix(string(m.Body), "hello ")
	if !ok {
		return nil, transport.WithReason(transport.ErrProtocol, "no hello")
	}
	c.info.User, _, _ = strings.Cut(hello, "/")
	if err := c.Send(ctx, &transport.Message{Body: []byte("welcome")}); err != nil {
		return nil, err
	}
	return c, nil
}

type lineConn struct {
	*transport.Stream
	info transport.Info
}

func newLineConn(nc net.Conn, o *transport.Options) *lineConn {
	c := &lineConn{Stream: transport.NewStream(nc, "line", o, 64<<10)}
	c.info = transport.Info{Scheme: "line", Local: nc.LocalAddr(), Remote: nc.RemoteAddr()}
	if s, ok := nc.(*tls.Conn); ok {
		state := s.ConnectionState()
		c.info.TLS = &state
	}
	return c
}

func (c *lineConn) Send(ctx context.Context, m *transport.Message) error {
	return c.Write(ctx, "send", len(m.Body)+1, func(dst []byte) []byte {
		return append(append(dst, m.Body...), '\n')
	})
}

func (c *lineConn) Recv(ctx context.Context) (*transport.Message, error) {
	return c.Receive(ctx, c.next)
}

func (c *lineConn) next() (*transport.Message, error) {
	for {
		buf := c.Reader.Buffered()
		switch i := bytes.IndexByte(buf, '\n'); {
		case i > 0:
			m := &transport.Message{Body: bytes.Clone(buf[:i])}
			c.Reader.Discard(i + 1)
			c.FrameDone()
			return m, nil
		case i == 0:
			c.Reader.Discard(1)
			continue
		case len(buf) > 0:
			c.MidFrame()
		}
		if err := c.Reader.Fill(); err != nil {
			return nil, err
		}
	}
}

func (c *lineConn) Close() error          { return c.Stream.Close(text("bye\n")) }
func (c *lineConn) Info() *transport.Info { return &c.info }

// line returns a message for lineWire.
func line(s string) *transport.Message { return &transport.Message{Body: []byte(s)} }
