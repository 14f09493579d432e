// Package port serves many wires on one listening port.
package port

import (
	"context"
	"errors"

	"github.com/polyport/polyport/transport"
)

// Options adjust [Listen]. A nil pointer means the defaults.
type Options struct {
	// ListenOptions are those of every wire. With its TLS set the port takes TLS and
	// plain connections alike.
	transport.ListenOptions
	// Wires are the schemes of the wires served, without their TLS forms: "stomp",
	// "http". None means all that are registered and can share a port.
	Wires []string
	// TLSOnly refuses connections without TLS.
	TLSOnly bool
	// ClientCerts says, by wire, what is asked of the client's certificate on a
	// connection with TLS.
	ClientCerts map[string]ClientCert
}

// ClientCert is what a wire asks of a client's certificate.
type ClientCert uint8

const (
	// AsTLS leaves it to the ClientAuth of the TLS configuration.
	AsTLS ClientCert = iota
	// Optional verifies one that is given.
	Optional
	// Required refuses a client without.
	Required
)

// Listen accepts connections of several wires at addr, a host and a port.
func Listen(ctx context.Context, addr string, o *Options) (*transport.Listener, error) {
	return nil, errors.New("port: not yet")
}
