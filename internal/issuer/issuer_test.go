package issuer_test

import (
	"crypto/tls"
	"crypto/x509"
	"testing"

	"github.com/polyport/polyport/internal/issuer"
)

func authority(t *testing.T, name string) *issuer.Authority {
	t.Helper()
	a, err := issuer.New(name)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestIssue(t *testing.T) {
	a, other := authority(t, "one"), authority(t, "two")
	c, err := a.Issue("server", "127.0.0.1", "::1", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "::1", "localhost"} {
		for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
			o := x509.VerifyOptions{DNSName: host, Roots: a.Pool(), KeyUsages: []x509.ExtKeyUsage{use}}
			if _, err := c.Leaf.Verify(o); err != nil {
				t.Errorf("%s: %v", host, err)
			}
			o.Roots = other.Pool()
			if _, err := c.Leaf.Verify(o); err == nil {
				t.Errorf("%s: another authority vouches for it", host)
			}
		}
	}
	if _, err := c.Leaf.Verify(x509.VerifyOptions{DNSName: "example.org", Roots: a.Pool()}); err == nil {
		t.Error("the certificate is good for a host that it was not issued for")
	}
	if got := c.Leaf.Subject.CommonName; got != "server" {
		t.Errorf("the common name is %q, want server", got)
	}
}

func TestPEM(t *testing.T) {
	a := authority(t, "one")
	made, err := a.Issue("server", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := issuer.PEM(made)
	if err != nil {
		t.Fatal(err)
	}
	read, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(a.PEM()) {
		t.Fatal("the authority's certificate cannot be read")
	}
	if _, err := read.Leaf.Verify(x509.VerifyOptions{DNSName: "localhost", Roots: roots}); err != nil {
		t.Error(err)
	}
}
