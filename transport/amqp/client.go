package amqp

import (
	"context"
	"net"
	"net/url"

	"github.com/polyport/polyport/transport"
)

// Client is not there yet.
func (Transport) Client(context.Context, net.Conn, *url.URL, *transport.DialOptions) (transport.Conn, error) {
	return nil, transport.ErrUnsupported
}
