package mem

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/polyport/polyport/transport"
)

// Server accepts a conversation from the client at the other end of nc.
func (t Transport) Server(ctx context.Context, nc net.Conn, o *transport.ListenOptions) (transport.Conn, error) {
	o = o.WithDefaults()
	c := &serverConn{conn: newConn(nc, &o.Options), o: o, duplex: t.Duplex}
	c.handle = c.act
	if err := c.accept(ctx); err != nil {
		if refusable(err) {
			c.refuse(err)
		}
		c.stream.Fail(err)
		return nil, err
	}
	switch c.socket {
	case socketReq:
		return newAnswerer(c), nil
	case socketSub:
		return newFeedServer(c), nil
	}
	if o.Broker != nil {
		c.join(o.Broker)
	}
	return c, nil
}

// serverConn is the end that was dialed.
type serverConn struct {
	*conn
	o      *transport.ListenOptions
	duplex bool   // and nothing else
	socket string // that the client wants

	// session is the broker's view of the connection. It is nil without a broker,
	// and then so are the two below.
	session  transport.BrokerSession
	handing  chan struct{} // one for each message that the broker has not decided on
	expelled atomic.Pointer[error]

	subsMu sync.Mutex // protects the fields below
	// subs are the peer's subscriptions in the order made.
	subs []*subscription
	// unsettled are the messages that the peer is to settle, in the order sent.
	unsettled []delivery
	lastID    uint64 // of a delivery
	gone      bool   // the connection has ended
}

// accept reads the hello and answers it.
func (c *serverConn) accept(ctx context.Context) error {
	c.frames.head = helloHead
	f, err := c.frames.next()
	if err != nil {
		return err
	}
	h, err := parseHello(f)
	if err != nil {
		return err
	}
	if h.oldest > version || h.newest < version {
		return malformed("no common version: you offer %d to %d, supported is %d", h.oldest, h.newest, version)
	}
	if err := c.admit(ctx, h); err != nil {
		return err
	}
	if !c.speaks(h.socket) {
		return c.turnAway(transport.WithReason(transport.ErrRefused, fmt.Sprintf("socket=%.60q is not spoken here", h.socket)))
	}
	c.socket = h.socket
	w := welcome{version: version, software: software, beat: c.o.Heartbeat, limits: c.o.Limits, destinations: c.o.Destinations}
	if c.o.Broker != nil && c.socket == "" {
		w.destinations = append(slices.Clip(w.destinations), anywhere)
	}
	if len(w.destinations) > maxDestinations || w.headLen() > welcomeHead {
		return tooLarge("the destinations served do not fit in a welcome")
	}
	err = c.stream.Write(ctx, "handshake", w.headLen(), func(dst []byte) []byte {
		return appendFrame(dst, kindWelcome, w.append)
	})
	if err != nil {
		return err
	}
	c.agree(h.software, c.o.Heartbeat, h.beat, h.limits)
	c.stream.OnEnd(c.left)
	return nil
}

// speaks reports whether this end talks in the way that the client wants.
func (c *serverConn) speaks(socket string) bool {
	return socket == "" || !c.duplex && (socket == socketReq || socket == socketSub)
}

// admit checks the virtual host and the credentials.
func (c *serverConn) admit(ctx context.Context, h hello) error {
	if len(c.o.VirtualHosts) > 0 && !slices.Contains(c.o.VirtualHosts, h.virtualHost) {
		return c.turnAway(transport.WithReason(transport.ErrRefused, fmt.Sprintf("no virtual host %.60q here", h.virtualHost)))
	}
	user, err := c.o.Admit(ctx, &c.info, transport.Credentials{User: h.user, Password: h.password, VirtualHost: h.virtualHost})
	if err != nil {
		return c.turnAway(err)
	}
	c.info.User = user
	return nil
}

// turnAway tells the peer why it is not let in.
func (c *serverConn) turnAway(why error) error {
	c.refuse(why)
	return why
}

// act handles what only a client sends.
func (c *serverConn) act(f frame) (*transport.Message, error) {
	switch {
	case c.socket == socketReq && f.kind != kindMessage:
		return nil, malformed("unexpected %v frame from a client in lock-step", f.kind)
	case c.socket == socketSub && f.kind != kindSubscribe && f.kind != kindUnsubscribe:
		return nil, malformed("unexpected %v frame from a client that only listens", f.kind)
	}
	switch f.kind {
	case kindMessage:
		m, r, err := c.take(f)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(c.o.Destinations, m.To) {
			if c.session != nil {
				c.handOver(m, r)
				return nil, nil
			}
			return nil, transport.WithReason(transport.ErrNoRoute, fmt.Sprintf("no destination %.60q here", m.To))
		}
		c.took(r)
		return m, nil
	case kindSubscribe:
		return nil, c.subscribe(f)
	case kindUnsubscribe:
		return nil, c.unsubscribe(f)
	case kindSettle:
		return nil, c.settle(f)
	case kindGrant:
		return nil, c.grant(f)
	}
	return nil, malformed("unexpected %v frame from a client", f.kind)
}

// Send hands m to the first subscription whose destination is m.To or, if
// there is none, to the peer as it is.
func (c *serverConn) Send(ctx context.Context, m *transport.Message) error {
	return c.SendConfirmed(ctx, m, nil)
}

// SendConfirmed is Send. By a subscription that acknowledges done is told the
// outcome of the peer's Settle, else that the peer's Recv has taken m.
func (c *serverConn) SendConfirmed(ctx context.Context, m *transport.Message, done func(error)) error {
	size, err := c.check(m, m.To)
	if err != nil {
		return c.notSent("send", err)
	}
	if s := c.find(m.To); s != nil && c.session == nil {
		return c.deliver(ctx, []*subscription{s}, m, size, done)
	}
	return c.send(ctx, m, size, m.To, done)
}

// Publish hands m to every subscription whose destination is m.To, or to none
// if it fails.
func (c *serverConn) Publish(ctx context.Context, m *transport.Message) error {
	size, err := c.check(m, m.To)
	if err != nil {
		return c.notSent("send", err)
	}
	subs := c.findAll(m.To)
	if len(subs) == 0 || c.session != nil { // those are the broker's
		return c.notSent("send", transport.WithReason(transport.ErrNoRoute, fmt.Sprintf("the peer has no subscription to %.60q", m.To)))
	}
	return c.deliver(ctx, subs, m, size*len(subs), nil)
}
