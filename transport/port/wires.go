package port

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/polyport/polyport/transport"
)

// A wire is one that the port serves.
type wire struct {
	transport.Matcher
	name      string
	protocols []string // of ALPN
	certs     ClientCert
	ruled     bool // by Options.ClientCerts, not by TLS
}

// wires returns those that o asks for, by name.
func (o *Options) wires() ([]wire, error) {
	names, asked := o.Wires, len(o.Wires) > 0
	if !asked {
		names = slices.Concat(transport.Schemes(), slices.Collect(maps.Keys(o.Transports)))
	}
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	var found []wire
	for _, name := range names {
		t, err := o.transport(name)
		switch {
		case err != nil && (asked || o.Transports[name] != nil):
			return nil, err
		case err != nil:
			continue
		case slices.ContainsFunc(found, func(w wire) bool { return w.Matcher == t }):
			continue // one Transport of several schemes, as http and ws
		}
		w := wire{Matcher: t, name: name, certs: o.ClientCerts[name]}
		w.ruled = w.certs != AsTLS
		if n, ok := t.(transport.Negotiator); ok {
			w.protocols = n.Protocols()
		}
		found = append(found, w)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("port: no wire to serve: none of those registered (%s) can share a port; import some, as transport/stomp",
			strings.Join(transport.Schemes(), ", "))
	}
	return found, o.checkCerts(found)
}

// transport returns the one that speaks the wire called name.
func (o *Options) transport(name string) (transport.Matcher, error) {
	t := o.Transports[name]
	if t == nil {
		s, ok := transport.Lookup(name)
		switch {
		case !ok:
			return nil, fmt.Errorf("port: unknown wire %q; registered are %s", name, strings.Join(transport.Schemes(), ", "))
		case s.TLS:
			return nil, fmt.Errorf("port: %q is a wire with TLS; name the one without, and set TLS for the port", name)
		}
		t = s.Transport
	}
	m, ok := t.(transport.Matcher)
	if !ok {
		return nil, fmt.Errorf("port: the wire %q cannot share a port: its first bytes do not tell it from others", name)
	}
	return m, nil
}

// checkCerts finds rules about certificates that cannot be kept.
func (o *Options) checkCerts(served []wire) error {
	for name, c := range o.ClientCerts {
		switch {
		case !slices.ContainsFunc(served, func(w wire) bool { return w.name == name }):
			return fmt.Errorf("port: client certificates are asked of the wire %q, which is not served as such", name)
		case c == Required && o.TLS == nil:
			return fmt.Errorf("port: the wire %q requires client certificates, which need TLS", name)
		}
	}
	switch {
	case o.TLS == nil && o.TLSOnly:
		return errors.New("port: TLSOnly needs TLS")
	case o.TLS != nil && len(o.TLS.Certificates) == 0 && o.TLS.GetCertificate == nil && o.TLS.GetConfigForClient == nil:
		return errors.New("port: TLS needs a certificate and its key")
	}
	if o.TLS == nil {
		return nil
	}
	return resolve(served, o.TLS.ClientAuth)
}

// resolve turns AsTLS into what asks the same.
func resolve(served []wire, as tls.ClientAuthType) error {
	rule, ok := map[tls.ClientAuthType]ClientCert{
		tls.NoClientCert: Off, tls.VerifyClientCertIfGiven: Optional, tls.RequireAndVerifyClientCert: Required,
	}[as]
	switch {
	case ok:
	case slices.ContainsFunc(served, func(w wire) bool { return w.ruled }):
		return fmt.Errorf("port: wires with rules for certificates, and a TLS configuration that does not verify them (%v)", as)
	default:
		return nil
	}
	for i := range served {
		if !served[i].ruled {
			served[i].certs = rule
		}
	}
	return nil
}
