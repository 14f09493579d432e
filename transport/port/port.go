package port

import (
	"context"
	"net"
	"time"

	"github.com/polyport/polyport/transport"
)

// Options adjust [Listen]. A nil pointer means the defaults.
type Options struct {
	// ListenOptions are those of every wire. With its TLS set the port takes TLS and
	// plain connections alike. The NextProtos of TLS are the port's to set; its
	// GetCertificate and GetConfigForClient are asked anew for each connection, so
	// that certificates can be exchanged while the port is open.
	transport.ListenOptions
	// Wires are the schemes of the wires served, without their TLS forms: "stomp",
	// "http". None means all that are registered and can share a port.
	Wires []string
	// Transports speak wires in place of the registered ones, by their schemes: as an
	// http.New with options of its own. Each must be a [transport.Matcher].
	Transports map[string]transport.Transport
	// TLSOnly refuses connections without TLS.
	TLSOnly bool
	// ClientCerts says, by scheme, what a wire asks of the client's certificate. A
	// wire that is missing asks what [AsTLS] means.
	ClientCerts map[string]ClientCert
	// DetectionTimeout bounds the time from accept, and after TLS from the end of its
	// handshake, until the first bytes have told the wire. Zero means 5 s. The
	// HandshakeTimeout runs all the while.
	DetectionTimeout time.Duration
}

// ClientCert is what a wire asks of the client's certificate, which the ClientCAs
// of the TLS configuration must have signed.
type ClientCert uint8

const (
	// AsTLS asks what the ClientAuth of the TLS configuration says: Off, Optional or
	// Required. Those values of it that do not verify certificates are left to the
	// TLS handshake, and cannot stand beside other rules. So is what the result of a
	// GetConfigForClient demands beyond that.
	AsTLS ClientCert = iota
	// Off takes no notice of certificates, and does not show them to anybody.
	Off
	// Optional verifies one that is given. One that does not hold fails in the TLS
	// handshake.
	Optional
	// Required refuses a client without, and so all without TLS, in words that the
	// wire can carry: see [transport.ErrCertificateRequired].
	Required
)

// Listen accepts connections of several wires at addr, a host and a port of TCP.
// Port 0 picks a free one. ctx bounds the set-up only. A nil o means the defaults:
// every wire that is registered, without TLS.
func Listen(ctx context.Context, addr string, o *Options) (*transport.Listener, error) {
	t, err := newTransport(o)
	if err != nil {
		return nil, &transport.OpError{Op: "listen", Addr: addr, Err: err}
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, &transport.OpError{Op: "listen", Addr: addr, Err: err}
	}
	return t.listen(ln), nil
}

// NewListener is [Listen] for the connections of ln, which it owns if it returns no
// error.
func NewListener(ln net.Listener, o *Options) (*transport.Listener, error) {
	t, err := newTransport(o)
	if err != nil {
		return nil, &transport.OpError{Op: "listen", Addr: ln.Addr().String(), Err: err}
	}
	return t.listen(ln), nil
}

// withDefaults returns a copy of o, which may be nil, with its zero fields set.
func (o *Options) withDefaults() *Options {
	var p Options
	if o != nil {
		p = *o
	}
	p.ListenOptions = *p.ListenOptions.WithDefaults()
	if p.DetectionTimeout <= 0 {
		p.DetectionTimeout = 5 * time.Second
	}
	return &p
}
