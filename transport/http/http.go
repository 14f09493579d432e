package http

import (
	"context"
	"fmt"
	"net"
	"net/url"

	"github.com/polyport/polyport/transport"
)

// Options adjust the server's side of HTTP. A nil pointer means the defaults.
type Options struct {
	// Origins are those of web pages, "https://app.example.org", that may use the
	// server from a browser besides pages that the server's own host served. "*"
	// lets every page in, and never sends it the user's credentials. None means
	// that no other page may.
	Origins []string
	// NoXMLRPC refuses calls of XML-RPC.
	NoXMLRPC bool
	// Compat takes in what older clients do against the rules of HTTP: requests of
	// HTTP/1.1 without a Host header. It is so in the profile
	// [transport.OpenDaylight] as well.
	Compat bool
}

// Transport speaks HTTP/1.1 and HTTP/2, and what travels in them: JSON-RPC by
// POST, XML-RPC, WebSocket, Server-Sent Events. The zero value is ready for use.
// Transports made by one New are equal.
type Transport struct{ o *Options }

// New returns a Transport whose servers do as o says.
func New(o *Options) Transport {
	if o == nil {
		return Transport{}
	}
	own := *o
	own.Origins = append([]string(nil), o.Origins...)
	return Transport{o: &own}
}

func init() {
	for name, port := range map[string]string{schemeHTTP: "80", schemeSocket: "80", "https": "443", "wss": "443"} {
		transport.Register(transport.Scheme{
			Name: name, Port: port, TLS: port == "443", Transport: Transport{},
			Profiles: []transport.Profile{transport.OpenDaylight},
		})
	}
}

// The schemes, as Info tells them.
const (
	schemeHTTP   = "http"
	schemeSocket = "ws"
)

// options returns t's options, which are never nil.
func (t Transport) options() *Options {
	if t.o == nil {
		return new(Options)
	}
	return t.o
}

// Client opens a conversation of the kind that u asks for.
func (t Transport) Client(ctx context.Context, nc net.Conn, u *url.URL, o *transport.DialOptions) (transport.Conn, error) {
	o = o.WithDefaults()
	if u.Scheme == "ws" || u.Scheme == "wss" {
		return dialSocket(ctx, nc, u, o)
	}
	switch f := u.Query().Get("format"); f {
	case "", "json":
		return newAsker(nc, u, o, nil)
	case "xmlrpc":
		return newAsker(nc, u, o, newXMLTranslator(o.Limits))
	case "sse":
		return dialFeed(ctx, nc, u, o)
	default:
		return nil, invalid("format=%.60q: there is format=json (the default), xmlrpc and sse", f)
	}
}

// invalid is the error for what cannot be said on this wire.
func invalid(format string, args ...any) error {
	return transport.WithReason(transport.ErrInvalid, fmt.Sprintf(format, args...))
}

// tooLarge is the error for what is over a limit.
func tooLarge(format string, args ...any) error {
	return transport.WithReason(transport.ErrTooLarge, fmt.Sprintf(format, args...))
}

// malformed is the error for what breaks the rules of HTTP.
func malformed(format string, args ...any) error {
	return transport.WithReason(transport.ErrProtocol, fmt.Sprintf(format, args...))
}
