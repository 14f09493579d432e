package amqp

import (
	"context"
	"net"

	"github.com/polyport/polyport/transport"
)

// Transport speaks AMQP 1.0. The zero value is ready for use.
type Transport struct{}

func init() {
	transport.Register(transport.Scheme{Name: scheme, Port: "5672", Transport: Transport{}})
	transport.Register(transport.Scheme{Name: "amqps", Port: "5671", TLS: true, Transport: Transport{}})
}

const scheme = "amqp"

// Server is not there yet.
func (Transport) Server(context.Context, net.Conn, *transport.ListenOptions) (transport.Conn, error) {
	return nil, transport.ErrUnsupported
}
