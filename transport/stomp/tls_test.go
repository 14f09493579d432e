package stomp_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/polyport/polyport/transport"
)

// newCertificate returns a certificate for 127.0.0.1 and the pool that knows
// it.
func newCertificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "host-7"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// byCertificate knows peers by the common name of their certificate.
type byCertificate struct{}

func (byCertificate) Authenticate(_ context.Context, c transport.Credentials) (string, error) {
	if c.TLS == nil || len(c.TLS.PeerCertificates) == 0 {
		return "", transport.ErrRefused
	}
	return c.TLS.PeerCertificates[0].Subject.CommonName, nil
}

func TestTLS(t *testing.T) {
	cert, pool := newCertificate(t)
	o := &transport.ListenOptions{Authenticator: byCertificate{}}
	o.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool}
	r := newTCPRig(t, o, echo)
	addr := "stomps://" + r.l.Addr().String()

	d := &transport.DialOptions{}
	d.TLS = &tls.Config{RootCAs: pool}
	if c, err := transport.Dial(t.Context(), addr, d); err == nil || !strings.Contains(err.Error(), "access refused") {
		t.Errorf("Dial without a certificate = %v, %v, want access refused", c, err)
	}
	d.TLS.Certificates = []tls.Certificate{cert}
	c, err := transport.Dial(t.Context(), addr, d)
	if err != nil {
		t.Fatal(err)
	}
	n := &neighbour{c, "/temp-queue/a"}
	for range 20 {
		n.call(t)
	}
	i := r.sessions()[0].Info()
	if c.Info().TLS == nil || i.TLS == nil || i.TLS.Version != tls.VersionTLS13 || i.User != "host-7" {
		t.Errorf("server's Info: %+v, client's TLS %v, want TLS 1.3 and the name in the certificate", i, c.Info().TLS)
	}
	if err := c.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
}

// TestDisconnectOverTLS: the RECEIPT arrives here, too, before the end, though
// every write goes by way of another goroutine.
func TestDisconnectOverTLS(t *testing.T) {
	cert, pool := newCertificate(t)
	o := &transport.ListenOptions{}
	o.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	r := newTCPRig(t, o, nil)
	for range 20 {
		nc, err := tls.Dial("tcp", r.l.Addr().String(), &tls.Config{RootCAs: pool})
		if err != nil {
			t.Fatal(err)
		}
		_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = io.WriteString(nc, hello+"SEND\ndestination:rpc\nreceipt:1\n\n\x00DISCONNECT\nreceipt:2\n\n\x00")
		b, err := io.ReadAll(nc)
		_ = nc.Close()
		if all, _ := frames(t, string(b)); err != nil || len(all) != 3 || all[2].Header.Get("receipt-id") != "2" {
			t.Fatalf("got\n%s\nerr = %v, want CONNECTED, two RECEIPTs and the end", printable(string(b)), err)
		}
	}
}

// TestMismatchedTLS: TLS to a plain port, and the reverse, fail and do not
// wait.
func TestMismatchedTLS(t *testing.T) {
	cert, pool := newCertificate(t)
	secure := &transport.ListenOptions{}
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	d := &transport.DialOptions{}
	d.TLS = &tls.Config{RootCAs: pool}
	for _, c := range []struct {
		name, scheme string
		o            *transport.ListenOptions
	}{{"TLS to a plain port", "stomps", nil}, {"plain to a TLS port", "stomp", secure}} {
		t.Run(c.name, func(t *testing.T) {
			r := newTCPRig(t, c.o, nil)
			start := time.Now()
			conn, err := transport.Dial(t.Context(), c.scheme+"://"+r.l.Addr().String(), d)
			if err == nil || time.Since(start) > 5*time.Second {
				t.Errorf("Dial = %v, %v after %v, want an error soon", conn, err, time.Since(start))
			}
		})
	}
}
