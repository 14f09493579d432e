package app_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/internal/issuer"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

// A vault is a directory with the files of a server that has TLS.
type vault struct {
	t    *testing.T
	dir  string
	conf app.TLSConfig
}

func newVault(t *testing.T) *vault {
	t.Helper()
	dir := t.TempDir()
	return &vault{t: t, dir: dir, conf: app.TLSConfig{
		Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), ClientCA: filepath.Join(dir, "clients.pem"),
	}}
}

func (v *vault) write(name string, text []byte) {
	v.t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		v.t.Fatal(err)
	}
}

// server puts a new certificate into the vault.
func (v *vault) server(a *issuer.Authority, name string) {
	v.t.Helper()
	cert, key := pemOf(v.t, a, name, "localhost", "127.0.0.1")
	v.write(v.conf.Cert, cert)
	v.write(v.conf.Key, key)
}

func newAuthority(t *testing.T) *issuer.Authority {
	t.Helper()
	a, err := issuer.New("authority")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func pemOf(t *testing.T, a *issuer.Authority, name string, hosts ...string) (cert, key []byte) {
	t.Helper()
	made, err := a.Issue(name, hosts...)
	if err != nil {
		t.Fatal(err)
	}
	if cert, key, err = issuer.PEM(made); err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// meet shakes hands as "ann" of an authority, and returns the session, and the
// name that the server showed. The error is that of either side.
func meet(t *testing.T, server *tls.Config, roots *x509.CertPool, of *issuer.Authority) (client *tls.Conn, name string, err error) {
	t.Helper()
	ann, err := of.Issue("ann")
	if err != nil {
		t.Fatal(err)
	}
	a, b := mem.Pipe()
	client = tls.Client(a, &tls.Config{RootCAs: roots, ServerName: "localhost", Certificates: []tls.Certificate{ann}})
	far := tls.Server(b, server)
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	shaken := make(chan error, 1)
	go func() { shaken <- far.Handshake() }()
	err = errors.Join(client.Handshake(), <-shaken)
	if err != nil {
		return nil, "", err
	}
	go func() { // an echo, once
		one := make([]byte, 1)
		if _, err := far.Read(one); err == nil {
			_, _ = far.Write(one)
		}
	}()
	return client, client.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

func TestCertificatesRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, ours, theirs, others := newVault(t), newAuthority(t), newAuthority(t), newAuthority(t)
		v.server(ours, "first")
		v.write(v.conf.ClientCA, theirs.PEM())
		var log buffer
		o, err := app.NewListenOptions(app.Config{TLS: v.conf}, slog.New(slog.NewJSONHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		expect := func(when, name string, clients *issuer.Authority) *tls.Conn {
			t.Helper()
			c, got, err := meet(t, o.TLS, ours.Pool(), clients)
			if err != nil || got != name {
				t.Errorf("%s: the server shows %q, %v, want %q", when, got, err, name)
			}
			return c
		}
		refuse := func(when string, clients *issuer.Authority) {
			t.Helper()
			if _, _, err := meet(t, o.TLS, ours.Pool(), clients); err == nil {
				t.Errorf("%s: a client's certificate of the wrong authority was taken", when)
			}
		}
		old := expect("at first", "first", theirs)
		v.server(ours, "second")
		expect("within a second", "first", theirs)
		time.Sleep(time.Second)
		expect("a second later", "second", theirs)
		refuse("before its authority is known", others)

		v.write(v.conf.ClientCA, others.PEM())
		time.Sleep(time.Second)
		expect("with other authorities", "second", others)
		refuse("when its authority is no longer known", theirs)

		v.write(v.conf.Key, []byte("no key"))
		time.Sleep(time.Second)
		expect("with a wrong key", "second", others)
		time.Sleep(time.Hour)
		expect("with a wrong key for long", "second", others)
		if err := os.Remove(v.conf.Cert); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		expect("without a file", "second", others)
		v.server(ours, "third")
		time.Sleep(time.Second)
		expect("when all is well again", "third", others)

		if n := len(log.records(t, "certificates read anew")); n != 3 {
			t.Errorf("%d records of new certificates, want 3:\n%s", n, log.String())
		}
		if n := len(log.records(t, "the changed certificates cannot be used; the last ones stay in use")); n != 2 {
			t.Errorf("%d records of unusable certificates, want one for each reason:\n%s", n, log.String())
		}
		if _, err := old.Write([]byte("x")); err != nil {
			t.Errorf("the first session: %v, want it to live on", err)
		}
		if _, err := old.Read(make([]byte, 1)); err != nil {
			t.Errorf("the first session: %v, want it to live on", err)
		}
	})
}

func TestTLSVersions(t *testing.T) {
	v, ours := newVault(t), newAuthority(t)
	v.server(ours, "server")
	v.conf.ClientCA = ""
	for _, tt := range []struct {
		least app.TLSVersion
		most  uint16
		ok    bool
	}{
		{"", tls.VersionTLS13, true},
		{"", tls.VersionTLS12, false},
		{"1.3", tls.VersionTLS12, false},
		{"1.2", tls.VersionTLS12, true},
		{"1.2", tls.VersionTLS13, true},
		{"1.2", tls.VersionTLS11, false},
	} {
		v.conf.MinVersion = tt.least
		r := start(t, app.Config{Listen: []string{"stomps://127.0.0.1:0"}, TLS: v.conf})
		o := new(transport.DialOptions)
		o.TLS = &tls.Config{RootCAs: ours.Pool(), MinVersion: tls.VersionTLS10, MaxVersion: tt.most}
		c, err := transport.Dial(t.Context(), r.url(), o)
		if (err == nil) != tt.ok {
			t.Errorf("min_version %q, a client with %s: %v, want let in: %v", tt.least, tls.VersionName(tt.most), err, tt.ok)
		}
		if err == nil {
			_ = c.Close()
		}
	}
}
