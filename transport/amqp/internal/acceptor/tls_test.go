package acceptor_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"

	goamqp "github.com/Azure/go-amqp"

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

// TestExternal: EXTERNAL is offered to a peer with a certificate that was
// verified, over TLS, and to no other.
func TestExternal(t *testing.T) {
	cert, pool := newCertificate(t)
	for _, c := range []struct {
		name   string
		with   bool
		verify tls.ClientAuthType
		sasl   goamqp.SASLType
		user   string // "" if it is to be turned away
	}{
		{"with a certificate", true, tls.VerifyClientCertIfGiven, goamqp.SASLTypeExternal(""), "host-7"},
		{"with one that nobody has verified", true, tls.RequestClientCert, goamqp.SASLTypeExternal(""), ""},
		{"without a certificate", false, tls.VerifyClientCertIfGiven, goamqp.SASLTypeExternal(""), ""},
		{"anonymous without a certificate", false, tls.VerifyClientCertIfGiven, goamqp.SASLTypeAnonymous(), ""},
		{"no SASL, with a certificate", true, tls.VerifyClientCertIfGiven, nil, "host-7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := &transport.ListenOptions{Authenticator: byCertificate{}}
			o.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: c.verify, ClientCAs: pool}
			r := newTCPRig(t, o, echo)
			conf := &tls.Config{RootCAs: pool}
			if c.with {
				conf.Certificates = []tls.Certificate{cert}
			}
			nc, err := tls.Dial("tcp", r.l.Addr().String(), conf)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			conn, err := goamqp.NewConn(soon(t), nc, &goamqp.ConnOptions{SASLType: c.sasl, HostName: "host"})
			if (err == nil) != (c.user != "") {
				t.Fatalf("NewConn: %v", err)
			}
			if err != nil {
				return
			}
			defer conn.Close()
			s, err := conn.NewSession(soon(t), nil)
			if err != nil {
				t.Fatal(err)
			}
			in := newReceiver(t, s, "a", nil)
			m := goamqp.NewMessage([]byte("x"))
			m.Properties = &goamqp.MessageProperties{ReplyTo: new("a")}
			if err := newSender(t, s, "rpc", nil).Send(soon(t), m, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := in.Receive(soon(t), nil); err != nil {
				t.Error(err)
			}
			if i := r.all()[0].Info(); i.User != c.user || i.TLS == nil {
				t.Errorf("Info = %+v, want the user %q", i, c.user)
			}
		})
	}
}
