package conformance

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"sync"
	"time"
)

// A certificate is one for "conformance", with its key, that nobody else knows.
type certificate struct {
	tls   tls.Certificate
	roots *x509.CertPool
}

func newCertificate(r *rig) certificate {
	r.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		r.Fatalf("%v", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"conformance"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		r.Fatalf("%v", err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		r.Fatalf("%v", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return certificate{tls: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots: roots}
}

func (c certificate) client(nc net.Conn) *tls.Conn {
	return tls.Client(nc, &tls.Config{ServerName: "conformance", RootCAs: c.roots, MinVersion: tls.VersionTLS13})
}

func (c certificate) server(nc net.Conn) *tls.Conn {
	return tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{c.tls}, MinVersion: tls.VersionTLS13})
}

// secure puts TLS on the byte stream of o.
func (r *rig) secure(o *PairOptions) {
	r.Helper()
	cert := newCertificate(r)
	client, server := cert.client(o.Client), cert.server(o.Server)
	var shaken sync.WaitGroup
	shaken.Go(func() {
		if err := server.HandshakeContext(r.soon()); err != nil {
			r.Errorf("TLS handshake: %v", err)
		}
	})
	if err := client.HandshakeContext(r.soon()); err != nil {
		r.Errorf("TLS handshake: %v", err)
	}
	shaken.Wait()
	o.Client, o.Server = client, server
}
