package port

import (
	"crypto/tls"
	"slices"
)

// newTLS returns the configuration of the port's TLS handshakes: conf, with what
// each wire asks of ALPN and of client certificates. whole is that of
// [transport.Profile.WholeRecords].
//
// A client that names only protocols of ALPN that nobody here has is let in as one
// that names none: its first bytes tell the wire.
func newTLS(conf *tls.Config, wires []wire, whole bool) *tls.Config {
	conf = conf.Clone()
	conf.DynamicRecordSizingDisabled = conf.DynamicRecordSizingDisabled || whole
	outer := conf.Clone()
	ready := map[string]*tls.Config{"": adjust(conf, wires, nil, "")}
	for i, w := range wires {
		for _, p := range w.protocols {
			ready[p] = adjust(conf, wires, &wires[i], p)
		}
	}
	outer.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		w, protocol := choose(wires, hello.SupportedProtos)
		if conf.GetConfigForClient != nil {
			switch own, err := conf.GetConfigForClient(hello); {
			case err != nil:
				return nil, err
			case own != nil:
				own = adjust(own, wires, w, protocol)
				own.DynamicRecordSizingDisabled = own.DynamicRecordSizingDisabled || whole
				return own, nil
			}
		}
		return ready[protocol], nil
	}
	return outer
}

// choose finds the wire that the client asks for by ALPN, if it is served.
func choose(wires []wire, offered []string) (w *wire, protocol string) {
	for i := range wires {
		for _, p := range wires[i].protocols {
			if slices.Contains(offered, p) {
				return &wires[i], p
			}
		}
	}
	return nil, ""
}

// adjust returns conf for a client that asked for w by protocol, or for one of wires
// if w is nil.
func adjust(conf *tls.Config, wires []wire, w *wire, protocol string) *tls.Config {
	conf = conf.Clone()
	conf.GetConfigForClient = nil
	if conf.MinVersion == 0 {
		conf.MinVersion = tls.VersionTLS13
	}
	most := strictest(wires)
	wanted := most
	conf.NextProtos = nil
	if w != nil {
		conf.NextProtos, wanted = []string{protocol}, *w
	}
	switch wanted.certs {
	case AsTLS: // all of them
	case Off:
		if wanted.ruled {
			conf.ClientAuth = tls.NoClientCert
		}
		// A session that was begun without a certificate is not to be resumed where
		// one is wanted.
		conf.SessionTicketsDisabled = conf.SessionTicketsDisabled || most.certs != Off
	case Optional:
		if wanted.ruled || !demands(conf.ClientAuth) {
			conf.ClientAuth = tls.VerifyClientCertIfGiven
		}
	case Required:
		conf.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return conf
}

// demands reports whether the TLS handshake fails without a certificate. What a
// GetConfigForClient demands beyond the configuration that the rules were taken from
// is left to it.
func demands(as tls.ClientAuthType) bool {
	return as == tls.RequireAnyClientCert || as == tls.RequireAndVerifyClientCert
}

// strictest returns one of the wires that ask the most.
func strictest(wires []wire) wire {
	return slices.MaxFunc(wires, func(a, b wire) int { return int(a.certs) - int(b.certs) })
}
