package app

import (
	"context"
	"net/url"
	"strings"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/http"
	"github.com/polyport/polyport/transport/port"
)

// canShare reports whether a wire can share a port with others, which those can
// that are spoken over a network.
func canShare(wire string) bool {
	s, ok := transport.Lookup(wire)
	if !ok || s.Network != nil {
		return false
	}
	_, ok = s.Transport.(transport.Matcher)
	return ok
}

// sharing returns the wires that share a port, each by one name: ws is http.
func sharing() (wires []string) {
	seen := map[transport.Transport]bool{}
	for _, name := range Wires() {
		if s, _ := transport.Lookup(name); canShare(name) && !seen[s.Transport] {
			seen[s.Transport] = true
			wires = append(wires, name)
		}
	}
	return wires
}

// open listens at u, an address of the configuration, and returns what is spoken
// there.
func (s *Server) open(ctx context.Context, u *url.URL) (*transport.Listener, []string, error) {
	if u.Scheme != "" && !canShare(u.Scheme) {
		l, err := transport.Listen(ctx, u.String(), s.options(u))
		return l, []string{u.Scheme}, err
	}
	o := s.portOptions(u)
	l, err := port.Listen(ctx, address(u), o)
	if u.Scheme != "" {
		return l, []string{u.Scheme}, err
	}
	return l, spoken(o, s.p.Config.TLS.mutual()), err
}

// portOptions returns the options of a port for one wire, or for all if u has no
// scheme.
func (s *Server) portOptions(u *url.URL) *port.Options {
	c, scheme := s.p.Config, u.Scheme
	o := &port.Options{
		ListenOptions: *s.options(u), TLSOnly: c.TLS.Only,
		DetectionTimeout: c.Limits.DetectionTimeout, ClientCerts: map[string]port.ClientCert{},
	}
	compat := c.HTTP.Compat || o.Profile == transport.OpenDaylight
	web := http.New(&http.Options{Origins: c.HTTP.Origins, NoXMLRPC: c.HTTP.NoXMLRPC, Compat: compat})
	o.Transports = map[string]transport.Transport{"http": web, "ws": web}
	if scheme != "" {
		wire := scheme
		if o.TLSOnly = IsTLS(scheme); o.TLSOnly {
			wire = strings.TrimSuffix(scheme, "s")
		} else {
			o.TLS = nil
		}
		o.Wires = []string{wire}
	}
	if o.TLS == nil {
		return o
	}
	for _, wire := range sharing() {
		name := wire
		if wire == "http" && scheme == "wss" {
			name = "ws" // the same, as it is called here
		}
		if certs, ok := c.TLS.certs(wire); ok && (scheme == "" || o.Wires[0] == name) {
			o.ClientCerts[name] = certs
		}
	}
	return o
}

// spoken returns the schemes of all that a port understands: those without TLS,
// then those with it. Where every client has to show a certificate, all have it.
func spoken(o *port.Options, mutual bool) []string {
	var plain, secured []string
	for _, wire := range Wires() {
		if !canShare(wire) {
			continue
		}
		plain, secured = append(plain, wire), append(secured, wire+"s")
	}
	switch {
	case o.TLS == nil:
		return plain
	case o.TLSOnly, mutual:
		return secured
	}
	return append(plain, secured...)
}

// address is the host and port of u.
func address(u *url.URL) string {
	if s, ok := transport.Lookup(u.Scheme); ok && u.Port() == "" {
		return u.Host + ":" + s.Port
	}
	return u.Host
}
