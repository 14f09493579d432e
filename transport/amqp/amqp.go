package amqp

import (
	"context"
	"net"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/acceptor"
)

// Transport speaks AMQP 1.0. The zero value is ready for use.
type Transport struct{}

const scheme = "amqp"

func init() {
	transport.Register(transport.Scheme{Name: scheme, Port: "5672", Transport: Transport{}})
	transport.Register(transport.Scheme{Name: "amqps", Port: "5671", TLS: true, Transport: Transport{}})
}

// Server accepts a connection from the peer at the other end of nc.
func (Transport) Server(ctx context.Context, nc net.Conn, o *transport.ListenOptions) (transport.Conn, error) {
	return acceptor.Serve(ctx, nc, o)
}
