package mem

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"sync"

	"github.com/polyport/polyport/transport"
)

// Client opens a conversation with the server at the other end of nc.
func (Transport) Client(ctx context.Context, nc net.Conn, u *url.URL, o *transport.DialOptions) (transport.Conn, error) {
	o = o.WithDefaults()
	c := &clientConn{conn: newConn(nc, &o.Options), to: destinationOf(u), subs: make(map[string]*wish)}
	c.handle = c.act
	socket, err := socketOf(u)
	if err == nil {
		err = c.connect(ctx, u, socket, o)
	}
	if err != nil {
		c.stream.Fail(err)
		return nil, err
	}
	switch socket {
	case socketReq:
		return newAsker(c), nil
	case socketSub:
		return newFeedClient(c), nil
	}
	return c, nil
}

// clientConn is the end that dialed.
type clientConn struct {
	*conn
	to     string   // where messages without a destination go
	served []string // what the peer has destinations for

	subsMu sync.Mutex // protects the fields below
	subs   map[string]*wish
	lastID uint64
}

func (c *clientConn) connect(ctx context.Context, u *url.URL, socket string, o *transport.DialOptions) error {
	h := hello{
		oldest: version, newest: version, software: software,
		user: u.User.Username(), virtualHost: cmp.Or(o.VirtualHost, u.Hostname()), beat: o.Heartbeat, limits: o.Limits,
		socket: socket,
	}
	h.password, _ = u.User.Password()
	c.info.User = h.user
	if h.headLen() > helloHead {
		return tooLarge("user, password and virtual host have over %d bytes", helloHead)
	}
	err := c.stream.Write(ctx, "handshake", h.headLen(), func(dst []byte) []byte {
		return appendFrame(dst, kindHello, h.append)
	})
	if err != nil {
		return err
	}
	c.frames.head = welcomeHead
	f, err := c.frames.next()
	if err != nil {
		return err
	}
	switch f.kind {
	case kindWelcome:
	case kindRefuse:
		return transport.WithReason(transport.ErrRefused, f.head.text())
	default:
		return malformed("expected a welcome frame, got a %v frame", f.kind)
	}
	w, err := parseWelcome(f)
	if err != nil {
		return err
	}
	c.served = w.destinations
	c.agree(w.software, o.Heartbeat, w.beat, w.limits)
	return nil
}

// act handles what only a server sends.
func (c *clientConn) act(f frame) (*transport.Message, error) {
	if f.kind != kindMessage {
		return nil, malformed("unexpected %v frame from a server", f.kind)
	}
	m, r, err := c.take(f)
	if err != nil {
		return nil, err
	}
	c.took(r)
	w := c.find(m.Subscription)
	if w != nil && (r.delivery != 0 || w.limited) {
		m.SetSettler(w, r.delivery)
	}
	return m, nil
}

// Send sends m to its destination, or that of the URL.
func (c *clientConn) Send(ctx context.Context, m *transport.Message) error {
	return c.SendConfirmed(ctx, m, nil)
}

// SendConfirmed is Send; done is told when the peer's Recv has taken m.
func (c *clientConn) SendConfirmed(ctx context.Context, m *transport.Message, done func(error)) error {
	to := cmp.Or(m.To, c.to)
	size, err := c.check(m, to)
	if err == nil && !slices.Contains(c.served, to) && !slices.Contains(c.served, anywhere) {
		err = transport.WithReason(transport.ErrNoRoute, fmt.Sprintf("the peer serves no destination %.60q", to))
	}
	if err != nil {
		return c.notSent("send", err)
	}
	return c.send(ctx, m, size, to, done)
}
