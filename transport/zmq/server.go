package zmq

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/go-zeromq/zmq4"

	"github.com/polyport/polyport/transport"
)

// Server accepts a conversation from the socket at the other end of nc: a
// DEALER, a REQ, or a SUB or XSUB.
func (Transport) Server(ctx context.Context, nc net.Conn, o *transport.ListenOptions) (transport.Conn, error) {
	o = o.WithDefaults()
	c := &serverConn{conn: newConn(nc, &o.Options), o: o}
	if err := shaken(c.shake(ctx, nc)); err != nil {
		c.stream.Fail(err)
		return nil, err
	}
	switch patternOf(c.peer.socket) {
	case lockstep:
		if c.odl() {
			return transport.NewPatientAnswerer(c, c.stream), nil
		}
		return transport.NewAnswerer(c, c.stream, nil), nil
	case feed:
		if c.odl() {
			return newOpenPublisher(c.conn), nil
		}
		return newPublisher(c.conn), nil
	default:
		return c, nil
	}
}

// serverConn is the end that was dialed, by a DEALER or REQ.
type serverConn struct {
	*conn
	o *transport.ListenOptions
}

// shake learns which mechanism the peer wants before it says its own: two peers
// must name the same.
func (c *serverConn) shake(ctx context.Context, nc net.Conn) error {
	c.to = c.o.Destinations[0]
	g := &guard{Conn: nc, in: c.stream.Reader}
	if err := g.open(); err != nil {
		return err
	}
	if err := g.greet(); err != nil {
		return err
	}
	wanted := g.theirs.mechanism
	s := &security{mechanism: zmq4.NullSecurity}
	if wanted == zmq4.PlainSecurity {
		s.mechanism = wanted
	}
	s.meet = func(user, password string, peer metadata) error {
		s.mine = metadata{socket: answering(peer.socket), ours: &hello{
			software: software, destinations: c.o.Destinations, beat: c.o.Heartbeat, limits: c.o.Limits,
		}}
		if c.o.Profile == transport.OpenDaylight && mayBeODL(peer) {
			s.mine.ours = nil
			c.likeODL()
		}
		return c.meet(ctx, user, password, peer)
	}
	if err := open(g, s, zmq4.Router, true); err != nil {
		if wanted != s.mechanism {
			return refused("the peer wants the mechanism %.20q; spoken are NULL and PLAIN, over TLS if need be", wanted)
		}
		return err
	}
	c.info.Lockstep = c.peer.socket == zmq4.Req
	c.delimited = c.info.Lockstep
	c.agree(&c.o.Options, g.theirs.minor)
	return nil
}

// answering returns the socket that goes with one that dialed, or "".
func answering(dialer zmq4.SocketType) zmq4.SocketType {
	switch dialer {
	case zmq4.Dealer:
		return zmq4.Router
	case zmq4.Req:
		return zmq4.Rep
	case zmq4.Sub:
		return zmq4.Pub
	case zmq4.XSub:
		return zmq4.XPub
	}
	return ""
}

// meet looks at what the peer said of itself, and lets it in or not.
func (c *serverConn) meet(ctx context.Context, user, password string, peer metadata) error {
	c.peer = peer
	if answering(peer.socket) == "" {
		return refused("a %.20q is not served here; there are DEALER, REQ, SUB and XSUB", peer.socket)
	}
	host := ""
	if peer.ours != nil {
		host = peer.ours.virtualHost
	}
	if len(c.o.VirtualHosts) > 0 && !slices.Contains(c.o.VirtualHosts, host) {
		return refused("no virtual host %.60q here", host)
	}
	name, err := c.o.Admit(ctx, &c.info, transport.Credentials{User: user, Password: password, VirtualHost: host})
	if errors.Is(err, transport.ErrPlaintext) || errors.Is(err, transport.ErrCertificateRequired) {
		return err
	}
	if err != nil {
		return errDenied // for which the wire has a number, and no words
	}
	c.info.User = name
	return nil
}

// Recv returns the next message.
func (c *serverConn) Recv(ctx context.Context) (*transport.Message, error) {
	return c.stream.Receive(ctx, func() (*transport.Message, error) {
		m, err := c.nextMessage()
		if err == nil && !slices.Contains(c.o.Destinations, m.To) {
			return nil, noRoute("no destination %.60q here", m.To)
		}
		return m, err
	})
}

// Send sends m to the peer; to which asker behind it, if there are several, the
// ReplyTo of the question says.
func (c *serverConn) Send(ctx context.Context, m *transport.Message) error {
	return c.send(ctx, m, m.To)
}

// noRoute is the error for a destination that there is not.
func noRoute(format string, args ...any) error {
	return transport.WithReason(transport.ErrNoRoute, fmt.Sprintf(format, args...))
}
