package port_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
)

// An authority signs certificates that are valid in virtual time, too, which begins
// in the year 2000.
type authority struct {
	tls.Certificate
	roots *x509.CertPool
}

var authorities sync.Map // by name: keys cost time

// newAuthority returns the authority called name.
func newAuthority(tb testing.TB, name string) authority {
	tb.Helper()
	if a, ok := authorities.Load(name); ok {
		return a.(authority)
	}
	a := authority{Certificate: issue(tb, name, nil), roots: x509.NewCertPool()}
	a.roots.AddCert(a.Leaf)
	authorities.Store(name, a)
	return a
}

// sign returns a certificate for name.
func (a authority) sign(tb testing.TB, name string) tls.Certificate {
	tb.Helper()
	return issue(tb, name, &a.Certificate)
}

func issue(tb testing.TB, name string, by *tls.Certificate) tls.Certificate {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC),
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	parent, signer := template, any(key)
	if by == nil {
		template.IsCA, template.BasicConstraintsValid = true, true
	} else {
		parent, signer = by.Leaf, by.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		tb.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// serverTLS is the configuration of a server of the authority "us", which trusts
// the clients of the authority "them" and asks none for a certificate.
func serverTLS(tb testing.TB) *tls.Config {
	tb.Helper()
	return &tls.Config{
		Certificates: []tls.Certificate{newAuthority(tb, "us").sign(tb, "server")},
		ClientCAs:    newAuthority(tb, "them").roots,
	}
}

// clientTLS is that of a client that trusts it, with a certificate for name unless
// that is empty.
func clientTLS(tb testing.TB, name string) *tls.Config {
	tb.Helper()
	conf := &tls.Config{RootCAs: newAuthority(tb, "us").roots, ServerName: "localhost"}
	if name != "" {
		conf.Certificates = []tls.Certificate{newAuthority(tb, "them").sign(tb, name)}
	}
	return conf
}
