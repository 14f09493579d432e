package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"os"
	"time"
)

// Dial connects to the server or broker at rawURL and shakes hands. The URL is
// SCHEME://[USER:PASSWORD@]HOST[:PORT][/DESTINATION]. ctx bounds the dialing
// and the handshake together with the options' Timeout, not the connection. All
// errors mean that nothing was sent but a handshake. A nil o means the
// defaults.
func Dial(ctx context.Context, rawURL string, o *DialOptions) (Conn, error) {
	u, s, err := lookup(rawURL)
	if err != nil {
		return nil, &OpError{Op: "dial", Err: err}
	}
	return dial(ctx, u, s, o.WithDefaults())
}

// dial owns o.
func dial(ctx context.Context, u *url.URL, s Scheme, o *DialOptions) (Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	addr := s.address(u)
	var err error
	if o.Profile, err = s.profile(u, o.Profile); err != nil {
		return nil, &OpError{Op: "dial", Scheme: s.Name, Addr: addr, Err: err}
	}
	nc, err := connect(ctx, s, addr, o)
	if err != nil {
		return nil, &OpError{Op: "dial", Scheme: s.Name, Addr: addr, Err: explain(ctx, err)}
	}
	if err := mayShow(u, nc, o); err != nil {
		_ = nc.Close()
		return nil, &OpError{Op: "dial", Scheme: s.Name, Addr: addr, Err: err}
	}
	var c Conn
	err = shake(ctx, nc, func() (err error) {
		c, err = s.Transport.Client(ctx, nc, u, o)
		return err
	})
	if err != nil {
		return nil, &OpError{Op: "handshake", Scheme: s.Name, Addr: addr, Err: explain(ctx, cause(err))}
	}
	return c, nil
}

// connect makes the byte stream, with TLS if the scheme has it.
func connect(ctx context.Context, s Scheme, addr string, o *DialOptions) (net.Conn, error) {
	if s.Network != nil {
		return s.Network.Dial(ctx, addr)
	}
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil || !s.TLS {
		return nc, err
	}
	conf := tlsConfig(o.TLS, o.Profile)
	if conf.ServerName == "" {
		conf.ServerName, _, _ = net.SplitHostPort(addr)
	}
	secured := tls.Client(nc, conf)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = nc.Close()
		return nil, err
	}
	return secured, nil
}

// tlsConfig returns a copy of c, which may be nil, that asks for TLS 1.3 unless
// c says otherwise, and is fit for the peers that p is for.
func tlsConfig(c *tls.Config, p Profile) *tls.Config {
	if c == nil {
		c = new(tls.Config)
	}
	c = c.Clone()
	if c.MinVersion == 0 {
		c.MinVersion = tls.VersionTLS13
	}
	c.DynamicRecordSizingDisabled = c.DynamicRecordSizingDisabled || p.WholeRecords()
	return c
}

// shake runs a protocol's handshake on nc, whose reads and writes fail when ctx
// ends, and closes nc if it fails.
func shake(ctx context.Context, nc net.Conn, hands func() error) (err error) {
	fired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = nc.SetDeadline(time.Unix(1, 0))
		close(fired)
	})
	err = hands()
	if !stop() {
		<-fired
		if err == nil {
			err = context.Cause(ctx)
		}
	}
	if err != nil {
		CloseNow(nc)
		return err
	}
	return nil
}

// cause unwraps an OpError, whose fields the caller is about to say anew.
func cause(err error) error {
	if e, ok := errors.AsType[*OpError](err); ok {
		return e.Err
	}
	return err
}

// explain says in words what ended an attempt in time.
func explain(ctx context.Context, err error) error {
	var timeout net.Error
	late := errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
	if late && errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return WithReason(context.DeadlineExceeded, "no answer in time; is this the right port and protocol?")
	}
	if late && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
