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
func newAuthority(t testing.TB, name string) authority {
	t.Helper()
	if a, ok := authorities.Load(name); ok {
		return a.(authority)
	}
	a := authority{Certificate: issue(t, name, nil), roots: x509.NewCertPool()}
	a.roots.AddCert(a.Leaf)
	authorities.Store(name, a)
	return a
}

// sign returns a certificate for name.
func (a authority) sign(t testing.TB, name string) tls.Certificate {
	t.Helper()
	return issue(t, name, &a.Certificate)
}

func issue(t testing.TB, name string, by *tls.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
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
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// serverTLS is the configuration of a server of the authority "us", which trusts
// the clients of the authority "them" and asks none for a certificate.
func serverTLS(t testing.TB) *tls.Config {
	t.Helper()
	return &tls.Config{
		Certificates: []tls.Certificate{newAuthority(t, "us").sign(t, "server")},
		ClientCAs:    newAuthority(t, "them").roots,
	}
}

// clientTLS is that of a client that trusts it, with a certificate for name unless
// that is empty.
func clientTLS(t testing.TB, name string) *tls.Config {
	t.Helper()
	conf := &tls.Config{RootCAs: newAuthority(t, "us").roots, ServerName: "localhost"}
	if name != "" {
		conf.Certificates = []tls.Certificate{newAuthority(t, "them").sign(t, name)}
	}
	return conf
}
