package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A Listener accepts connections and shakes hands with many peers at a time, so
// that a silent one holds up nobody. Its methods are safe for concurrent use.
type Listener struct {
	ln     net.Listener
	scheme Scheme
	host   Host        // of a Multiplexer, else nil
	tls    *tls.Config // nil without TLS
	o      *ListenOptions
	ready  chan Conn
	hands  chan struct{} // a slot for each handshake under way
	open   chan struct{} // a slot for each open connection
	ctx    context.Context
	cancel context.CancelCauseFunc
	// closing is set when Close has begun.
	closing atomic.Bool
	wg      sync.WaitGroup
}

// Listen accepts connections of the wire and at the address that rawURL names.
// Port 0 picks a free one. ctx bounds the set-up only. A nil o means the
// defaults; a scheme with TLS needs a certificate in o.TLS.
func Listen(ctx context.Context, rawURL string, o *ListenOptions) (*Listener, error) {
	u, s, err := lookup(rawURL)
	if err != nil {
		return nil, &OpError{Op: "listen", Err: err}
	}
	o = o.WithDefaults()
	if o.Profile, err = s.profile(u, o.Profile); err != nil {
		return nil, &OpError{Op: "listen", Scheme: s.Name, Addr: u.Host, Err: err}
	}
	if s.TLS && !hasCertificate(o.TLS) {
		err := errors.New("transport: TLS needs a certificate and its key")
		return nil, &OpError{Op: "listen", Scheme: s.Name, Addr: u.Host, Err: err}
	}
	var ln net.Listener
	if s.Network != nil {
		ln, err = s.Network.Listen(u.Host)
	} else {
		ln, err = new(net.ListenConfig).Listen(ctx, "tcp", s.address(u))
	}
	if err != nil {
		return nil, &OpError{Op: "listen", Scheme: s.Name, Addr: u.Host, Err: err}
	}
	return newListener(ln, s, o), nil
}

func hasCertificate(c *tls.Config) bool {
	return c != nil && (len(c.Certificates) > 0 || c.GetCertificate != nil || c.GetConfigForClient != nil)
}

// NewListener accepts the connections of ln, which it owns, as those of wire t,
// with TLS if o.TLS is set.
func NewListener(ln net.Listener, t Transport, o *ListenOptions) *Listener {
	o = o.WithDefaults()
	return newListener(ln, Scheme{Transport: t, TLS: o.TLS != nil}, o)
}

func newListener(ln net.Listener, s Scheme, o *ListenOptions) *Listener {
	l := &Listener{
		ln: ln, scheme: s, o: o, ready: make(chan Conn),
		hands: make(chan struct{}, o.Handshakes), open: make(chan struct{}, o.Connections),
	}
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	if s.TLS {
		l.tls = tlsConfig(o.TLS, o.Profile)
		if n, ok := s.Transport.(Negotiator); ok && len(l.tls.NextProtos) == 0 {
			l.tls.NextProtos = n.Protocols()
		}
	}
	if m, ok := s.Transport.(Multiplexer); ok {
		l.host = m.Host(o, l.offer)
	}
	l.wg.Go(l.accept)
	return l
}

// Accept returns the next connection whose handshake is over. It returns an
// error that wraps [ErrClosed] once the listener is closed, or ctx's.
func (l *Listener) Accept(ctx context.Context) (Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.ctx.Done():
		return nil, &OpError{Op: "accept", Scheme: l.scheme.Name, Addr: l.Addr().String(), Err: context.Cause(l.ctx)}
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Addr returns the address that the listener is bound to.
func (l *Listener) Addr() net.Addr { return l.ln.Addr() }

// Close stops accepting, ends the handshakes under way, and returns when its
// goroutines have ended; or after 50 ms, if so many connections have to be closed
// that it takes longer. Connections that Accept has returned live on.
func (l *Listener) Close() error {
	l.closing.Store(true)
	err := l.ln.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	ended := make(chan error, 1)
	go func() {
		l.cancel(ErrClosed) // it tells all handshakes before it returns
		l.wg.Wait()
		var err error
		if l.host != nil {
			err = l.host.Close()
		}
		ended <- err
	}()
	late := time.NewTimer(closePatience)
	defer late.Stop()
	select {
	case also := <-ended:
		return errors.Join(err, also)
	case <-late.C:
		return err
	}
}

// closePatience is how long Close waits: to close a connection takes some 25 µs, and
// whoever listens may allow many at once.
const closePatience = 50 * time.Millisecond

func (l *Listener) accept() {
	pause := time.Duration(0)
	for {
		select {
		case l.hands <- struct{}{}:
		case <-l.ctx.Done():
			return
		}
		nc, err := l.ln.Accept()
		if err != nil {
			<-l.hands
			if pause = l.rest(err, pause); pause == 0 {
				return
			}
			continue
		}
		pause = 0
		l.wg.Go(func() {
			defer func() { <-l.hands }()
			l.greet(nc)
		})
	}
}

// rest waits a while after a failure to accept, such as one for want of file
// descriptors, and returns how long; 0 when the listener is closed.
func (l *Listener) rest(err error, last time.Duration) time.Duration {
	switch {
	case l.closing.Load():
		return 0 // Close cancels
	case l.ctx.Err() != nil || errors.Is(err, net.ErrClosed):
		l.cancel(WithReason(ErrClosed, err.Error()))
		return 0
	}
	d := min(max(2*last, 5*time.Millisecond), time.Second)
	l.o.Logger.Warn("cannot accept connections", "err", err, "retry", d)
	select {
	case <-time.After(d):
		return d
	case <-l.ctx.Done():
		return 0
	}
}

// greet makes a Conn of nc and hands it to Accept.
func (l *Listener) greet(nc net.Conn) {
	select {
	case l.open <- struct{}{}:
	default:
		l.o.Logger.Warn("connection refused: too many are open", "remote", nc.RemoteAddr(), "limit", cap(l.open))
		_ = nc.Close()
		return
	}
	nc = &countedConn{Conn: nc, release: sync.OnceFunc(func() { <-l.open })}
	ctx, cancel := context.WithTimeout(l.ctx, l.o.HandshakeTimeout)
	defer cancel()
	var c Conn
	err := shake(ctx, nc, func() error {
		stream := nc
		if l.tls != nil {
			secured := tls.Server(nc, l.tls)
			if err := secured.HandshakeContext(ctx); err != nil {
				return err
			}
			stream = secured
		}
		var err error
		if l.host != nil {
			c, err = l.host.Serve(ctx, stream)
		} else {
			c, err = l.scheme.Transport.Server(ctx, stream, l.o)
		}
		return err
	})
	if err != nil {
		l.o.Logger.Info("handshake failed", "remote", nc.RemoteAddr(), "err", explain(ctx, cause(err)))
		return
	}
	if c != nil {
		l.offer(c)
	}
}

// offer hands c to Accept.
func (l *Listener) offer(c Conn) {
	select {
	case l.ready <- c:
	case <-l.ctx.Done():
		_ = c.Close()
	}
}

// countedConn gives its slot back when it is closed.
type countedConn struct {
	net.Conn
	release func()
}

func (c *countedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

func (c *countedConn) CloseWrite() error { return closeWrite(c.Conn) }

// SyscallConn is that of the connection below, if it has one.
func (c *countedConn) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.Conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}
