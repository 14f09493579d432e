package amqp

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goamqp "github.com/Azure/go-amqp"

	"github.com/polyport/polyport/transport"
)

// Client opens an AMQP connection with the server or broker at the other end of
// nc.
func (Transport) Client(ctx context.Context, nc net.Conn, u *url.URL, o *transport.DialOptions) (transport.Conn, error) {
	o = o.WithDefaults()
	below := o.Options
	below.Linger /= 4     // the rest is for what waits to be sent
	below.SendBuffer /= 8 // messages wait before go-amqp, each address by itself
	s := transport.NewStream(nc, scheme, &below, frameSize)
	receiving, stop := context.WithCancel(context.Background())
	g := newGuard(receiving, s, o, hostOf(u, o))
	conn, err := goamqp.NewConn(context.WithoutCancel(ctx), g, connOptions(nc, u, o))
	if err != nil {
		stop()
		return nil, handshakeFailed(g, err)
	}
	g.running.Store(true)
	c := newClientConn(nc, u, o, g, conn)
	c.receiving, c.stop = receiving, stop
	s.OnEnd(func(err error) { c.cancel(g.reason(err)) })
	s.StartHeartbeat(cmp.Or(c.info.Beat, g.said().idle), c.info.PeerBeat, empty[:])
	lost := c.probe
	g.lost.Store(&lost)
	c.pumps.Go(c.watch)
	return c, nil
}

// watch waits for the end of go-amqp's connection, as the first and last of the
// pumps.
func (c *clientConn) watch() {
	<-c.conn.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = true
}

// connOptions says how the connection is to be opened (part 2, section 2.7.1).
func connOptions(nc net.Conn, u *url.URL, o *transport.DialOptions) *goamqp.ConnOptions {
	c := &goamqp.ConnOptions{
		ContainerID:  "polyport-" + rand.Text(),
		HostName:     hostOf(u, o),
		IdleTimeout:  -1,
		MaxFrameSize: frameSize,
		Properties:   map[string]any{"product": "polyport"},
		WriteTimeout: -1,
		SASLType:     mechanism(nc, u, o),
	}
	if o.Heartbeat > 0 {
		c.IdleTimeout = 2 * o.Heartbeat // of which go-amqp promises half
	}
	return c
}

// hostOf is the virtual host that the peer is asked for.
func hostOf(u *url.URL, o *transport.DialOptions) string {
	return cmp.Or(o.VirtualHost, u.Query().Get("host"), u.Hostname())
}

// mechanism chooses how to log in: by the URL's user, by the certificate that
// TLS has shown, or as nobody (part 5, section 5.3).
func mechanism(nc net.Conn, u *url.URL, o *transport.DialOptions) goamqp.SASLType {
	if u.User != nil {
		password, _ := u.User.Password()
		return goamqp.SASLTypePlain(u.User.Username(), password)
	}
	if transport.TLSState(nc) == nil || o.TLS == nil || len(o.TLS.Certificates) == 0 && o.TLS.GetClientCertificate == nil {
		return goamqp.SASLTypeAnonymous()
	}
	return func(c *goamqp.Conn) error { // what the server names first
		return errors.Join(goamqp.SASLTypeExternal("")(c), goamqp.SASLTypeAnonymous()(c))
	}
}

// handshakeFailed ends the stream, and says why in words.
func handshakeFailed(g *guard, err error) error {
	ended := g.stream.Err()
	if errors.Is(ended, transport.ErrClosed) && strings.HasPrefix(err.Error(), "no supported auth mechanism") {
		ended = transport.WithReason(transport.ErrRefused, "the peer lets nobody in by the credentials at hand: "+err.Error())
	}
	g.stream.Fail(err)
	if reason := g.reason(nil); reason != nil {
		return reason
	}
	return cmp.Or(ended, transport.WithReason(transport.ErrProtocol, err.Error()))
}

// destinationOf returns the address that the path of a URL names. A slash
// within a name stays %2F, as RabbitMQ has it.
func destinationOf(u *url.URL) string {
	p := strings.Trim(cmp.Or(u.RawPath, u.Path), "/")
	if strings.Contains(p, "/") {
		return "/" + p
	}
	return cmp.Or(p, transport.DefaultDestination)
}

// clientConn is the end that dialed. Each address to send to has an outlet, each
// subscription an inlet, and each of these a goroutine of its own between the
// peer, who may keep us waiting as long as it likes, and our callers, who wait no
// longer than they want.
type clientConn struct {
	guard  *guard
	conn   *goamqp.Conn
	info   transport.Info
	peer   peer
	to     string // where messages without a destination go
	buffer int64  // bytes that may wait for one address
	linger time.Duration
	log    *slog.Logger

	// ctx ends with the connection, by its cause.
	ctx    context.Context
	cancel context.CancelCauseFunc
	// pumps are the goroutines of outlets and inlets.
	pumps   sync.WaitGroup
	closing atomic.Bool   // Close has begun
	closed  chan struct{} // closed when Close is over

	// receiving ends when nothing more is to come out of Recv.
	receiving context.Context
	stop      context.CancelFunc

	inbox parcelQueue
	// idle is closed when the connection has ended and inbox gets no more.
	idle func() <-chan struct{}

	confirms chan struct{} // one for each message that waits for its outcome
	replies  replies

	mu       sync.Mutex // protects the fields below
	outlets  map[string]*outlet
	inlets   map[string]*inlet
	lastID   uint64
	sessions sessions
	dead     bool // no more pumps
}

func newClientConn(nc net.Conn, u *url.URL, o *transport.DialOptions, g *guard, conn *goamqp.Conn) *clientConn {
	said := g.said()
	product, _ := conn.Properties()["product"].(string)
	version, _ := conn.Properties()["version"].(string)
	c := &clientConn{
		guard: g, conn: conn, peer: peerOf(conn.Properties(), said), to: destinationOf(u),
		buffer: int64(o.SendBuffer), linger: o.Linger - o.Linger/4, log: o.Logger, closed: make(chan struct{}),
		inbox:    parcelQueue{ready: make(chan struct{}, 1)},
		confirms: make(chan struct{}, o.Limits.Unsettled),
		outlets:  map[string]*outlet{}, inlets: map[string]*inlet{},
		info: transport.Info{
			Scheme: scheme, Version: "1.0", Peer: strings.Trim(product+"/"+version, "/"),
			Local: nc.LocalAddr(), Remote: nc.RemoteAddr(), Limits: o.Limits,
			Beat: said.idle, PeerBeat: max(0, o.Heartbeat), Addressed: true, Headers: true,
		},
	}
	switch {
	case o.Heartbeat < 0:
		c.info.Beat = 0 // they are sent all the same, if the peer insists
	case product == "polyport": // which says half of what was agreed on
		c.info.Beat = 2 * said.idle
		c.info.PeerBeat = c.info.Beat
	}
	c.info.Peer = cmp.Or(c.info.Peer, said.container)
	if u.User != nil {
		c.info.User = u.User.Username()
	}
	c.info.TLS = transport.TLSState(nc)
	c.sessions.most = min(said.channelMax+1, mostSessions)
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.idle = sync.OnceValue(func() <-chan struct{} {
		done := make(chan struct{})
		go func() {
			c.pumps.Wait()
			close(done)
		}()
		return done
	})
	return c
}

// Info returns what was negotiated.
func (c *clientConn) Info() *transport.Info { return &c.info }

// Recv returns the next message of any subscription.
func (c *clientConn) Recv(ctx context.Context) (*transport.Message, error) {
	p, err := c.nextParcel(ctx)
	switch {
	case err != nil:
		return nil, err
	case p.err != nil:
		c.fail(p.err)
		return nil, c.opError("receive", p.err)
	}
	p.handOut()
	return p.message, nil
}

// nextParcel waits for one. What has come before the connection ended comes out
// first, but nothing after Close.
func (c *clientConn) nextParcel(ctx context.Context) (*parcel, error) {
	if c.closing.Load() {
		return nil, c.opError("receive", transport.ErrClosed)
	}
	for {
		if p := c.inbox.pop(); p != nil {
			return p, nil
		}
		select {
		case <-c.inbox.ready:
			continue
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-c.ctx.Done():
		}
		select {
		case <-c.inbox.ready:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-c.receiving.Done():
			return nil, c.opError("receive", context.Cause(c.ctx))
		case <-c.idle():
			if p := c.inbox.pop(); p != nil {
				return p, nil
			}
			return nil, c.opError("receive", context.Cause(c.ctx))
		}
	}
}

// Close hands over what waits to be sent, and closes the connection (part 2,
// section 2.4.3).
func (c *clientConn) Close() error {
	if c.closing.Swap(true) {
		<-c.closed
		return nil
	}
	defer close(c.closed)
	if c.ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(c.ctx, c.linger)
		done := c.guard.hold.hurry()
		c.farewell(ctx)
		done()
		cancel()
	}
	c.stop()
	c.cancel(transport.ErrClosed)
	_ = c.guard.stream.Close(goodbye)
	_ = c.conn.Close() // which has nobody to talk to
	c.guard.partings.Wait()
	c.pumps.Wait()
	return nil
}

// farewell has all outlets finish, each with an end of its session that the
// peer confirms: a peer whose sessions are apart from its connection may
// otherwise forget what it has not yet looked at.
func (c *clientConn) farewell(ctx context.Context) {
	var finished sync.WaitGroup
	for _, o := range c.allOutlets() {
		finished.Go(func() { o.finish(ctx) })
	}
	finished.Wait()
}

// Flush waits until what was sent is with the operating system.
func (c *clientConn) Flush(ctx context.Context) error {
	for _, o := range c.allOutlets() {
		if err := o.flush(ctx); err != nil {
			return c.opError("flush", err)
		}
	}
	return c.guard.stream.Flush(ctx)
}

// fail ends the connection at once because of err.
func (c *clientConn) fail(err error) { c.guard.stream.Fail(err) }

// over is the error for who comes when the connection has ended or is being
// closed, or nil.
func (c *clientConn) over() error {
	if c.closing.Load() {
		return cmp.Or(context.Cause(c.ctx), transport.ErrClosed)
	}
	return context.Cause(c.ctx)
}
