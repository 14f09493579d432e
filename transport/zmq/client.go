package zmq

import (
	"cmp"
	"context"
	"net"
	"net/url"
	"strings"

	"github.com/go-zeromq/zmq4"

	"github.com/polyport/polyport/transport"
)

// Client opens a conversation with the socket at the other end of nc.
func (Transport) Client(_ context.Context, nc net.Conn, u *url.URL, o *transport.DialOptions) (transport.Conn, error) {
	o = o.WithDefaults()
	socket, err := socketOf(u, o.Profile)
	if err != nil {
		return nil, err
	}
	c := &clientConn{conn: newConn(nc, &o.Options)}
	if err := shaken(c.shake(nc, u, socket, o)); err != nil {
		c.stream.Fail(err)
		return nil, err
	}
	switch patternOf(socket) {
	case lockstep:
		return transport.NewAsker(c, c.stream, nil), nil
	case feed:
		if c.odl() {
			return newOpenReader(c.conn), nil
		}
		return newReader(c.conn), nil
	default:
		return c, nil
	}
}

// clientConn is the end that dialed, of a DEALER or REQ.
type clientConn struct {
	*conn
	dialed string // destination
}

func (c *clientConn) shake(nc net.Conn, u *url.URL, socket zmq4.SocketType, o *transport.DialOptions) error {
	c.dialed = cmp.Or(strings.TrimPrefix(u.Path, "/"), transport.DefaultDestination)
	s := &security{
		mechanism: zmq4.NullSecurity,
		mine: metadata{socket: socket, ours: &hello{
			software: software, virtualHost: cmp.Or(o.VirtualHost, u.Hostname()), beat: o.Heartbeat, limits: o.Limits,
		}},
		meet: func(_, _ string, peer metadata) error {
			if c.odl() {
				peer.ours = nil
			}
			if c.peer = peer; !socket.IsCompatible(peer.socket) {
				return refused("the peer's socket is a %.20q, which does not go with %s; there is ?socket=dealer, req and sub",
					peer.socket, socket)
			}
			return nil
		},
	}
	if o.Profile == transport.OpenDaylight {
		s.mine.ours = nil
		c.likeODL()
	}
	if u.User != nil {
		s.mechanism, s.user = zmq4.PlainSecurity, u.User.Username()
		s.password, _ = u.User.Password()
		c.info.User = s.user
		if len(s.user) > 255 || len(s.password) > 255 {
			return invalid("user and password may have 255 bytes each")
		}
	}
	g := &guard{Conn: nc, in: c.stream.Reader}
	if err := open(g, s, socket, false); err != nil {
		if g.greeted {
			return mismatch(err, g.theirs.mechanism, s.mechanism)
		}
		return err
	}
	c.info.Lockstep = socket == zmq4.Req
	// A REP wants an empty frame before each message, and so do most programs
	// behind a ROUTER, as long as they are none of ours.
	c.delimited = socket == zmq4.Req || c.peer.ours == nil && c.peer.socket != zmq4.Dealer
	if c.peer.ours == nil && socket == zmq4.Dealer {
		c.arrange = c.unpackAnswer
	}
	c.agree(&o.Options, g.theirs.minor)
	return nil
}

// mismatch says which mechanism the peer wants, where that is why err came.
func mismatch(err error, wanted, ours zmq4.SecurityType) error {
	switch wanted {
	case ours:
		return err
	case zmq4.PlainSecurity:
		return refused("the peer wants a user and a password; put them into the URL")
	case zmq4.NullSecurity:
		return refused("the peer knows no users; leave user and password out of the URL")
	}
	return refused("the peer wants the mechanism %.20q; spoken are NULL and PLAIN, over TLS if need be", wanted)
}

// unpackAnswer is unpack for a DEALER at a REP, or at one behind devices: it
// answers everything, and with an empty body where there is nothing to say, as to
// a notification. Nobody waits for that.
func (c *clientConn) unpackAnswer(m *transport.Message, parts []byte, ends []int) error {
	if len(m.Body) == 0 {
		return errNothing
	}
	return c.unpack(m, parts, ends)
}

// Send sends m to its destination, or that of the URL.
func (c *clientConn) Send(ctx context.Context, m *transport.Message) error {
	to := m.To
	if _, answer := cutEnvelope(to); !answer {
		to = cmp.Or(to, c.dialed)
		switch ours := c.peer.ours; {
		case ours == nil && to != c.dialed:
			return c.notSent("send", noRoute("the peer has no destinations but the one that was dialed, so there is no %.60q", to))
		case ours != nil && !ours.serves(to):
			return c.notSent("send", noRoute("the peer serves no destination %.60q", to))
		case ours != nil && to == ours.destinations[0]:
			to = "" // which it means to the peer
		}
	}
	return c.send(ctx, m, to)
}
