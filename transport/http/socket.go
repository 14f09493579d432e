package http

import (
	"context"
	"net"
	"net/http"
	"net/url"

	"github.com/polyport/polyport/transport"
)

// openSocket makes a WebSocket of the request's connection. info is that of the
// conversation, with User set and Scheme "http"; it is openSocket's to change.
func (h *host) openSocket(w http.ResponseWriter, _ *http.Request, _ *transport.Info) {
	refuse(w, http.StatusNotImplemented, "WebSocket is not served here.")
}

// dialSocket opens a WebSocket.
func dialSocket(context.Context, net.Conn, *url.URL, *transport.DialOptions) (transport.Conn, error) {
	return nil, transport.WithReason(transport.ErrUnsupported, "WebSocket is not there yet")
}
