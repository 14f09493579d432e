package http

import (
	"context"
	"net"
	"net/http"
	"strings"

	"github.com/polyport/polyport/transport"
)

// host serves the byte streams of one listener.
type host struct {
	o     *transport.ListenOptions
	own   *Options
	ready func(transport.Conn)
}

// Host returns what serves the byte streams of a listener.
func (t Transport) Host(o *transport.ListenOptions, ready func(transport.Conn)) transport.Host {
	return &host{o: o, own: t.options(), ready: ready}
}

// Server accepts the first conversation of a byte stream.
func (t Transport) Server(context.Context, net.Conn, *transport.ListenOptions) (transport.Conn, error) {
	return nil, transport.ErrUnsupported
}

// Serve takes a byte stream over.
func (h *host) Serve(context.Context, net.Conn) error { return transport.ErrUnsupported }

// Close ends the byte streams.
func (h *host) Close() error { return nil }

// ServeHTTP finds out which conversation a request belongs to.
func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	info := new(transport.Info)
	switch {
	case isUpgrade(r):
		h.openSocket(w, r, info)
	case r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/event-stream"):
		h.openFeed(w, r, info)
	case r.Method == http.MethodPost && strings.HasPrefix(r.Header.Get("Content-Type"), "text/xml"):
		h.serveXML(w, r, info)
	}
}

// body reads the body of r within the limits. If it cannot, it has answered, and
// ok is false.
func (h *host) body(w http.ResponseWriter, r *http.Request) (body []byte, ok bool) {
	return nil, false
}

// exchange has a message answered on a lane of its connection. If it cannot be, it
// has answered the request itself, and the answer is nil.
func (h *host) exchange(w http.ResponseWriter, r *http.Request, info *transport.Info, m *transport.Message) *transport.Message {
	return nil
}

// isUpgrade reports whether r asks for another protocol.
func isUpgrade(r *http.Request) bool {
	return r.Header.Get("Upgrade") != "" || r.Method == http.MethodConnect && r.ProtoMajor == 2
}

// refuse answers with a status and a sentence for a person.
func refuse(w http.ResponseWriter, status int, why string) {
	http.Error(w, why, status)
}
