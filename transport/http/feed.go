package http

import (
	"context"
	"net"
	"net/http"
	"net/url"

	"github.com/polyport/polyport/transport"
)

// openFeed answers with a stream of Server-Sent Events, until the peer goes or the
// conversation is closed. info is as for openSocket.
func (h *host) openFeed(w http.ResponseWriter, _ *http.Request, _ *transport.Info) {
	refuse(w, http.StatusNotImplemented, "Server-Sent Events are not served here.")
}

// dialFeed opens a stream of Server-Sent Events.
func dialFeed(context.Context, net.Conn, *url.URL, *transport.DialOptions) (transport.Conn, error) {
	return nil, transport.WithReason(transport.ErrUnsupported, "Server-Sent Events are not there yet")
}
