package transport_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/polyport/polyport/transport/mem"
)

// issued is a throw-away certificate for "server" and 127.0.0.1 that is its own
// authority. It is valid in virtual time, too, which begins in the year 2000.
var issued = sync.OnceValues(func() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "polyport test"},
		NotBefore:    time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC),
		DNSNames:     []string{"server"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
})

// serverTLS returns the configuration of a server with that certificate.
func serverTLS(t *testing.T) *tls.Config {
	t.Helper()
	cert, err := issued()
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}}
}

// clientTLS returns the configuration of a client that trusts it.
func clientTLS(t *testing.T) *tls.Config {
	t.Helper()
	cert, err := issued()
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	return &tls.Config{RootCAs: roots}
}

// tlsPipe returns a TLS session in memory that holds n bytes each way, and the
// raw connection below its client. Its records have full size from the start.
func tlsPipe(t *testing.T, n int) (client, server *tls.Conn, raw net.Conn) {
	t.Helper()
	a, b := mem.PipeSize(n)
	conf := clientTLS(t)
	conf.ServerName, conf.DynamicRecordSizingDisabled = "server", true
	client, server = tls.Client(a, conf), tls.Server(b, serverTLS(t))
	shaken := make(chan error)
	go func() { shaken <- server.Handshake() }()
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.ReadFull(client, make([]byte, 1)) }() // takes the session tickets
	t.Cleanup(func() { a.Close(); b.Close() })
	return client, server, a
}
