package odl_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pavlo-v-chernykh/keystore-go/v4"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/polyport/polyport/internal/issuer"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/rpc/odl"
	"github.com/polyport/polyport/transport"
)

// stores are files with keys and certificates: of a server and a client, and of those who
// have signed them.
type stores struct {
	t    *testing.T
	dir  string
	root *x509.Certificate
	a    *issuer.Authority
}

func newStores(t *testing.T) *stores {
	t.Helper()
	a, err := issuer.New("test")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(a.PEM())
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return &stores{t: t, dir: t.TempDir(), root: root, a: a}
}

// write writes a file and returns its name, as it stands in a query.
func (s *stores) write(name string, data []byte) string {
	s.t.Helper()
	name = filepath.Join(s.dir, name)
	if err := os.WriteFile(name, data, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return url.QueryEscape(name)
}

// issue issues a certificate; no host means a client's.
func (s *stores) issue(name string, hosts ...string) tls.Certificate {
	s.t.Helper()
	c, err := s.a.Issue(name, hosts...)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// jks writes keys by their aliases, and the authority, to a JKS file.
func (s *stores) jks(file, password string, keys map[string]tls.Certificate) string {
	s.t.Helper()
	store := keystore.New()
	if err := store.SetTrustedCertificateEntry("ca", keystore.TrustedCertificateEntry{
		CreationTime: time.Now(), Certificate: keystore.Certificate{Type: "X509", Content: s.root.Raw},
	}); err != nil {
		s.t.Fatal(err)
	}
	for alias, c := range keys {
		der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
		if err != nil {
			s.t.Fatal(err)
		}
		entry := keystore.PrivateKeyEntry{CreationTime: time.Now(), PrivateKey: der}
		for _, raw := range [][]byte{c.Certificate[0], s.root.Raw} {
			entry.CertificateChain = append(entry.CertificateChain, keystore.Certificate{Type: "X509", Content: raw})
		}
		if err := store.SetPrivateKeyEntry(alias, entry, []byte(password)); err != nil {
			s.t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := store.Store(&b, []byte(password)); err != nil {
		s.t.Fatal(err)
	}
	return s.write(file, b.Bytes())
}

// p12 writes a key to a PKCS12 file, as keytool has done since Java 9.
func (s *stores) p12(file, password string, c tls.Certificate) string {
	s.t.Helper()
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		s.t.Fatal(err)
	}
	data, err := pkcs12.Modern.Encode(c.PrivateKey, leaf, []*x509.Certificate{s.root}, password)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.write(file, data)
}

// TestTLS: what the options of TLS do. Each row is a server and a client that may call
// it, or that is turned away, with words.
func TestTLS(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	here, away, ann := s.issue("server", "127.0.0.1"), s.issue("server", "example.org"), s.issue("ann")
	server := "?keystore-file=" + s.jks("server.jks", "changeit", map[string]tls.Certificate{"server": here})
	second := "?keystore-file=" + s.jks("two.jks", "changeit", map[string]tls.Certificate{"here": here, "away": away})
	elsewhere := "?keystore-file=" + s.jks("away.jks", "changeit", map[string]tls.Certificate{"server": away})
	p12 := "?keystore-file=" + s.p12("server.p12", "hush", here) + "&keystore-password=hush"
	trustJKS := "truststore-file=" + s.jks("trust.jks", "changeit", nil)
	anchors, err := pkcs12.Modern.EncodeTrustStore([]*x509.Certificate{s.root}, "hush")
	if err != nil {
		t.Fatal(err)
	}
	trustP12 := "truststore-file=" + s.write("trust.p12", anchors) + "&truststore-password=hush"
	client := "keystore-type=PKCS12&keystore-file=" + s.p12("ann.p12", "changeit", ann)
	stranger := newStores(t)
	unknown := "keystore-file=" + stranger.jks("eve.jks", "changeit", map[string]tls.Certificate{"eve": stranger.issue("eve")})

	for name, row := range map[string]struct{ server, client, words string }{
		"JKS":                             {server, trustJKS, ""},
		"PKCS12, by any type":             {p12 + "&keystore-type=JKS", trustP12, ""},
		"an alias":                        {second + "&certificate-alias=HERE", trustJKS, ""},
		"a server that nobody has signed": {server, "", "certificate"},
		"a server by another name":        {elsewhere, trustJKS, "127.0.0.1"},
		"ignored":                         {elsewhere, "cert-validation-policy=ignore", ""},
		"optional, without":               {server + "&client-verify=OPTIONAL&" + trustJKS, trustJKS, ""},
		"optional, with":                  {server + "&client-verify=OPTIONAL&" + trustJKS, trustJKS + "&" + client, ""},
		"optional, with a stranger's":     {server + "&client-verify=OPTIONAL&" + trustJKS, trustJKS + "&" + unknown, "certificate"},
		"required, without":               {server + "&client-verify=REQUIRE&" + trustJKS, trustJKS, "certificate"},
		"required, with":                  {server + "&client-verify=REQUIRE&" + trustJKS, trustJKS + "&" + client, ""},
		"required, a stranger's ignored":  {server + "&client-verify=REQUIRE&cert-validation-policy=ignore", trustJKS + "&" + unknown, ""},
		"required, none and ignored":      {server + "&client-verify=REQUIRE&cert-validation-policy=ignore", trustJKS, "certificate"},
		"none asked, a stranger's":        {server, trustJKS + "&" + unknown, ""},
		"a server's chain too long":       {server, trustJKS + "&server-chain-max-length=1", "a chain of 2 certificates; server-chain-max-length is 1"},
		"a server's chain just right":     {server, trustJKS + "&server-chain-max-length=2", ""},
		"too long though ignored":         {server, "cert-validation-policy=ignore&server-chain-max-length=1", "server-chain-max-length is 1"},
		"a client's chain too long":       {server + "&client-verify=REQUIRE&client-chain-max-length=1&" + trustJKS, trustJKS + "&" + client, "tls"},
		"one protocol in common":          {server + "&protocols=TLSv1.2", trustJKS, ""},
		"no protocol in common":           {server + "&protocols=TLSv1.3", trustJKS + "&protocols=TLSv1.2", "protocol version"},
		"no cipher in common, so 1.2": {
			server + "&ciphers=TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
			trustJKS + "&ciphers=TLS_AES_128_GCM_SHA256", "protocol version",
		},
		"a cipher in common": {
			server + "&ciphers=TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", trustJKS, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, port := serve(t, "https://127.0.0.1:0"+row.server, calc(), nil)
			c, err := dial(t, "https://127.0.0.1:PORT?proxyRetryCount=0&"+row.client, port, nil)
			if err == nil {
				_, err = rpc.Call[int](t.Context(), c, "add", 1) // when a client of TLS 1.3 hears of it
			}
			switch {
			case row.words != "":
				refused(t, err, row.words)
			case err != nil:
				t.Error(err)
			default:
				adds(t, c)
			}
		})
	}
	t.Run("wss", func(t *testing.T) {
		t.Parallel()
		_, port := serve(t, "wss://127.0.0.1:0"+server, calc(), nil)
		c, err := dial(t, "wss://127.0.0.1:PORT?"+trustJKS, port, nil)
		if err != nil {
			t.Fatal(err)
		}
		adds(t, c)
	})
	t.Run("the options' own TLS counts", func(t *testing.T) {
		t.Parallel()
		o := &transport.ListenOptions{}
		o.TLS = &tls.Config{Certificates: []tls.Certificate{here}, MinVersion: tls.VersionTLS13}
		_, port := serve(t, "https://127.0.0.1:0", calc(), o)
		d := &transport.DialOptions{}
		d.TLS = &tls.Config{RootCAs: s.a.Pool(), MinVersion: tls.VersionTLS13}
		c, err := dial(t, "https://127.0.0.1:PORT", port, &rpc.ClientOptions{Transport: d})
		if err != nil {
			t.Fatal(err)
		}
		adds(t, c)
		if d.Profile != "" {
			t.Error("the caller's options were changed")
		}
	})
	t.Run("a warning", func(t *testing.T) {
		t.Parallel()
		var said bytes.Buffer
		d := &transport.DialOptions{}
		d.Logger = slog.New(slog.NewTextHandler(&said, nil))
		_, port := serve(t, "https://127.0.0.1:0"+p12, calc(), nil)
		if _, err := dial(t, "https://127.0.0.1:PORT?cert-validation-policy=ignore&keystore-password=hush", port, &rpc.ClientOptions{Transport: d}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(said.Bytes(), []byte("WARN")) || !bytes.Contains(said.Bytes(), []byte("not verified")) || bytes.Contains(said.Bytes(), []byte("hush")) {
			t.Errorf("the log has %s", said.Bytes())
		}
	})
}

// TestStores: files that are of no use, and what is said of them.
func TestStores(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	ann := s.issue("ann")
	two := s.jks("two.jks", "changeit", map[string]tls.Certificate{"a": ann, "b": ann})
	none := s.jks("none.jks", "changeit", nil)
	p12 := s.p12("ann.p12", "changeit", ann)
	text := s.write("text", []byte("-----BEGIN CERTIFICATE-----"))
	empty := keystore.New()
	var b bytes.Buffer
	if err := empty.Store(&b, []byte("changeit")); err != nil {
		t.Fatal(err)
	}
	nobody := s.write("nobody.jks", b.Bytes())
	for query, words := range map[string]string{
		"keystore-file=" + two:                                     "expected certificate-alias to be one of a, b",
		"keystore-file=" + two + "&certificate-alias=c":            "no key called c; expected certificate-alias to be one of a, b",
		"keystore-file=" + none:                                    "has no key",
		"keystore-file=" + two + "&keystore-password=hush":         "cannot be read with keystore-password",
		"keystore-file=" + p12 + "&keystore-password=hush":         "cannot be read with keystore-password",
		"keystore-file=" + text:                                    "neither JKS nor PKCS12; expected what keytool writes",
		"keystore-file=" + url.QueryEscape(t.TempDir()):            "keystore-file: read",
		"truststore-file=" + none + "&truststore-password=hush":    "cannot be read with truststore-password",
		"truststore-file=" + p12:                                   "cannot be read with truststore-password",
		"truststore-file=" + text:                                  "neither JKS nor PKCS12",
		"truststore-file=" + nobody:                                "no trusted certificate; expected one that keytool -importcert",
		"keystore-file=" + s.write("cut.jks", b.Bytes()[:9]):       "cannot be read",
		"keystore-file=" + s.write("cut.p12", []byte{0x30, 0x82}):  "cannot be read",
		"keystore-file=" + s.write("big", make([]byte, 8<<20+100)): "more than 8388608 bytes",
	} {
		_, err := parse(t, "https://127.0.0.1:1?"+query).Dial(t.Context(), nil)
		refused(t, err, words)
	}
	if _, err := odl.Parse("https://127.0.0.1?keystore-file=" + two); err != nil {
		t.Errorf("Parse has looked into files: %v", err)
	}
}
