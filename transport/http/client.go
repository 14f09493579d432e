package http

import (
	"net"
	"net/url"

	"github.com/polyport/polyport/transport"
)

// newAsker returns the end that asks, by JSON-RPC or what translate makes of it.
func newAsker(net.Conn, *url.URL, *transport.DialOptions, translator) (transport.Conn, error) {
	return nil, transport.ErrUnsupported
}
