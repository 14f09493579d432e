package app_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// A buffer may be written and read at the same time.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// records returns the JSON log records with the given message.
func (b *buffer) records(t *testing.T, message string) (found []map[string]any) {
	t.Helper()
	for line := range strings.Lines(b.String()) {
		var r map[string]any
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		if r["msg"] == message {
			found = append(found, r)
		}
	}
	return found
}

// A running is a started application.
type running struct {
	*app.Server
	fx     *fx.App
	out    *buffer
	log    *buffer
	config app.Config
}

// start starts c with what more says, on loopback unless c says where. It is
// stopped with the test, if not before.
func start(t *testing.T, c app.Config, more ...fx.Option) *running {
	t.Helper()
	if c.Listen == nil {
		c.Listen = []string{"127.0.0.1:0"}
	}
	c.Log.Format = "json"
	r := &running{out: new(buffer), log: new(buffer), config: c}
	r.fx = app.New(c, app.Output{Stdout: r.out, Log: r.log}, append(more, fx.Populate(&r.Server))...)
	if err := r.fx.Start(t.Context()); err != nil {
		t.Fatalf("Start() = %v", err)
	}
	t.Cleanup(func() { _ = r.stop() })
	return r
}

func (r *running) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), r.fx.StopTimeout())
	defer cancel()
	return r.fx.Stop(ctx)
}

// url is where the first address is reached.
func (r *running) url() string {
	e := r.Endpoints()[0]
	for _, wire := range []string{"stomp", "stomps"} {
		if slices.Contains(e.Wires, wire) {
			return e.URL(wire)
		}
	}
	return e.URL(e.Wires[0])
}

func dial(t *testing.T, url string, o *transport.DialOptions) *rpc.Client {
	t.Helper()
	c, err := rpc.Dial(t.Context(), url, &rpc.ClientOptions{Transport: o})
	if err != nil {
		t.Fatalf("Dial(%s) = %v", url, err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// file writes text into a new file and returns its name.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// certificate makes a certificate for 127.0.0.1 and localhost that is its own
// authority, and returns the names of its files.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "polyport test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return file(t, "cert.pem", encode("CERTIFICATE", der)), file(t, "key.pem", encode("PRIVATE KEY", pkcs8))
}
