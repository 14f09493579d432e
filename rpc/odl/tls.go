package odl

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// tls reports whether the scheme has it.
func (e *Endpoint) tls() bool { return e.Scheme == "https" || e.Scheme == "wss" }

// clientTLS is TLS for who dials the endpoint.
func (e *Endpoint) clientTLS(log *slog.Logger) (*tls.Config, error) {
	conf, err := e.commonTLS(e.ServerChain, "server-chain-max-length")
	if err != nil {
		return nil, err
	}
	if conf.RootCAs, err = e.trusted(); err != nil {
		return nil, err
	}
	if e.Validation == Ignore {
		conf.InsecureSkipVerify = true
		warn(log, "anybody can pass for the server", e)
	}
	return conf, nil
}

// serverTLS is TLS for a listener at the endpoint.
func (e *Endpoint) serverTLS(log *slog.Logger) (*tls.Config, error) {
	conf, err := e.commonTLS(e.ClientChain, "client-chain-max-length")
	switch {
	case err != nil:
		return nil, err
	case len(conf.Certificates) == 0:
		return nil, fmt.Errorf("odl: listening at %s needs the option keystore-file, or a certificate in the options' TLS", e)
	}
	if conf.ClientCAs, err = e.trusted(); err != nil {
		return nil, err
	}
	strict, lax := tls.VerifyClientCertIfGiven, tls.RequestClientCert
	switch e.ClientVerify {
	case VerifyOptional:
	case VerifyRequire:
		strict, lax = tls.RequireAndVerifyClientCert, tls.RequireAnyClientCert
	default:
		return conf, nil
	}
	conf.ClientAuth = strict
	if e.Validation == Ignore {
		conf.ClientAuth = lax
		warn(log, "any client can make one", e)
	}
	return conf, nil
}

func warn(log *slog.Logger, what string, e *Endpoint) {
	if log != nil {
		log.Warn("odl: certificates are not verified", "why", "cert-validation-policy=ignore", "so", what, "endpoint", e)
	}
}

// commonTLS is what both ends have: this end's certificate, versions, ciphers, and the
// most certificates that the other may show.
func (e *Endpoint) commonTLS(chain int, option string) (*tls.Config, error) {
	offer, err := e.offer()
	if err != nil {
		return nil, err
	}
	conf := &tls.Config{
		MinVersion: offer.least, MaxVersion: offer.most, CipherSuites: offer.suites,
		VerifyConnection: func(s tls.ConnectionState) error {
			if n := len(s.PeerCertificates); n > chain {
				return fmt.Errorf("odl: the peer shows a chain of %d certificates; %s is %d", n, option, chain)
			}
			return nil
		},
	}
	if e.KeystoreFile != "" {
		own, err := e.keyPair()
		if err != nil {
			return nil, err
		}
		conf.Certificates = []tls.Certificate{own}
	}
	return conf, nil
}

// An offer is what TLS may be.
type offer struct {
	least, most uint16
	suites      []uint16 // nil means Go's
}

// versions of TLS by the names that Java gives them, in order.
var versions = []struct {
	name   string
	number uint16
}{
	{"TLSv1", tls.VersionTLS10},
	{"TLSv1.1", tls.VersionTLS11},
	{"TLSv1.2", tls.VersionTLS12},
	{"TLSv1.3", tls.VersionTLS13},
}

func protocolNames() []string {
	names := make([]string, len(versions))
	for i, v := range versions {
		names[i] = v.name
	}
	return names
}

func cipherNames() []string {
	suites := tls.CipherSuites()
	names := make([]string, len(suites))
	for i, s := range suites {
		names[i] = s.Name
	}
	return names
}

// offer is what Ciphers and Protocols leave. Go knows a range of versions, so they must
// be one; and takes no choice among the ciphers of TLS 1.3, so without any of them there
// is no TLS 1.3.
func (e *Endpoint) offer() (offer, error) {
	var o offer
	var named []*tls.CipherSuite
	for _, s := range tls.CipherSuites() {
		if slices.Contains(e.Ciphers, s.Name) {
			named = append(named, s)
			if !slices.Contains(s.SupportedVersions, tls.VersionTLS13) {
				o.suites = append(o.suites, s.ID)
			}
		}
	}
	usable := func(version uint16) bool {
		return len(e.Ciphers) == 0 || slices.ContainsFunc(named, func(s *tls.CipherSuite) bool {
			return slices.Contains(s.SupportedVersions, version)
		})
	}
	for _, v := range versions {
		asked := slices.Contains(e.Protocols, v.name) || len(e.Protocols) == 0 && v.number >= tls.VersionTLS12
		switch {
		case !asked || !usable(v.number):
		case o.most != 0 && o.most != v.number-1:
			return o, fmt.Errorf("odl: protocols=%s with these ciphers leaves out one between others; expected versions without a gap",
				strings.Join(e.Protocols, ","))
		default:
			o.most = v.number
			if o.least == 0 {
				o.least = v.number
			}
		}
	}
	if o.least == 0 {
		return o, fmt.Errorf("odl: none of the ciphers %s is for a version of protocols=%s; expected ciphers for at least one",
			strings.Join(e.Ciphers, ","), strings.Join(e.Protocols, ","))
	}
	return o, nil
}
