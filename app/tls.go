package app

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/polyport/polyport/transport/port"
)

// A TLSVersion is a version of TLS: "1.2" or "1.3". Empty means 1.3.
type TLSVersion string

// number is the version on the wire.
func (v TLSVersion) number() uint16 {
	return cmp.Or(map[TLSVersion]uint16{"1.2": tls.VersionTLS12}[v], tls.VersionTLS13)
}

func (v TLSVersion) known() bool { return v == "" || v == "1.2" || v == "1.3" }

func (v TLSVersion) unknown() error { return fmt.Errorf("expected 1.2 or 1.3, got %q", string(v)) }

// clientCerts are the values of [TLSConfig].ClientCerts.
var clientCerts = map[string]port.ClientCert{"off": port.Off, "optional": port.Optional, "required": port.Required}

// mutual reports whether every client has to show a certificate.
func (c TLSConfig) mutual() bool {
	return c.ClientCA != "" && !c.ClientOptional && len(c.ClientCerts) == 0
}

// certs returns what a wire asks for, if it is not what all ask for in the TLS
// handshake.
func (c TLSConfig) certs(wire string) (certs port.ClientCert, ok bool) {
	switch own, named := c.ClientCerts[wire]; {
	case len(c.ClientCerts) == 0:
		return port.AsTLS, false
	case named:
		return clientCerts[own], true
	case c.ClientOptional:
		return port.Optional, true
	}
	return port.Required, true
}

// validate returns a [*ConfigError] about the first setting that cannot be used.
func (c TLSConfig) validate() error {
	switch {
	case (c.Cert == "") != (c.Key == ""):
		return &ConfigError{Key: "tls", Err: errors.New("cert and key go together")}
	case !c.MinVersion.known():
		return &ConfigError{Key: "tls.min_version", Err: c.MinVersion.unknown()}
	case c.Cert == "" && c.ClientCA != "":
		return &ConfigError{Key: "tls.client_ca", Err: errors.New("is of no use without tls.cert and tls.key")}
	case c.Cert == "" && c.Only:
		return &ConfigError{Key: "tls.only", Err: errors.New("needs tls.cert and tls.key")}
	case c.ClientCA == "" && len(c.ClientCerts) > 0:
		return &ConfigError{Key: "tls.client_certs", Err: errors.New("needs tls.client_ca, the authorities of the certificates")}
	}
	for _, wire := range slices.Sorted(maps.Keys(c.ClientCerts)) {
		key, asked := "tls.client_certs."+wire, c.ClientCerts[wire]
		if _, ok := clientCerts[asked]; !ok {
			return &ConfigError{Key: key, Err: fmt.Errorf("expected off, optional or required, got %q", asked)}
		}
		if !slices.Contains(sharing(), wire) {
			return &ConfigError{Key: key, Err: fmt.Errorf("no such wire; there are %q", sharing())}
		}
	}
	return nil
}

// validateFor says whether an address of that scheme can be listened at.
func (c TLSConfig) validateFor(scheme string) error {
	switch {
	case IsTLS(scheme) && c.Cert == "":
		return &ConfigError{Key: "tls.cert", Err: errors.New("an address with TLS needs a certificate and its key")}
	case c.Only && scheme != "" && !IsTLS(scheme) && slices.Contains(Wires(), scheme) && canShare(scheme):
		return &ConfigError{Key: "tls.only", Err: fmt.Errorf("forbids to listen at %s://, which is without TLS", scheme)}
	}
	return nil
}
