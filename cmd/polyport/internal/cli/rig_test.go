package cli_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
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
	"github.com/polyport/polyport/cmd/polyport/internal/cli"
	"github.com/polyport/polyport/transport"
)

// A buffer may be written and read at the same time, and waited for.
type buffer struct {
	mu      sync.Mutex
	b       bytes.Buffer
	waiting chan struct{} // closed by the next Write
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting != nil {
		close(b.waiting)
		b.waiting = nil
	}
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// await waits until b contains text, and returns all that is there.
func (b *buffer) await(t *testing.T, text string) string {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		b.mu.Lock()
		got := b.b.String()
		if b.waiting == nil {
			b.waiting = make(chan struct{})
		}
		more := b.waiting
		b.mu.Unlock()
		if strings.Contains(got, text) {
			return got
		}
		select {
		case <-more:
		case <-late:
			t.Fatalf("%q did not come within 20 s; there is %q", text, got)
		}
	}
}

// An outcome is what a command line came to.
type outcome struct {
	code           int
	stdout, stderr string
}

// run runs a command line, given by words.
func run(t *testing.T, args ...string) outcome {
	t.Helper()
	return runWith(t, "", args...)
}

// runWith runs a command line with standard input.
func runWith(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	var stdout, stderr buffer
	code := cli.Run(t.Context(), args, strings.NewReader(stdin), &stdout, &stderr)
	return outcome{code, stdout.String(), stderr.String()}
}

// A command is one that runs beside the test.
type command struct {
	stdout, stderr *buffer
	interrupt      context.CancelFunc
	code           chan int
}

func begin(t *testing.T, args ...string) *command {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &command{stdout: new(buffer), stderr: new(buffer), interrupt: cancel, code: make(chan int, 1)}
	go func() { c.code <- cli.Run(ctx, args, strings.NewReader(""), c.stdout, c.stderr) }()
	return c
}

// end interrupts the command and returns what it came to.
func (c *command) end() outcome {
	c.interrupt()
	return outcome{<-c.code, c.stdout.String(), c.stderr.String()}
}

// serve starts a server with the sample services, and returns its URL.
func serve(t *testing.T, c app.Config, more ...fx.Option) string {
	t.Helper()
	if c.Listen == nil {
		c.Listen = []string{"127.0.0.1:0"}
	}
	var s *app.Server
	a := app.New(c, app.Output{}, append(more, fx.Populate(&s))...)
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	e := s.Endpoints()[0]
	for _, wire := range []string{"stomp", "stomps"} {
		if slices.Contains(e.Wires, wire) {
			return e.URL(wire)
		}
	}
	return e.URL(e.Wires[0])
}

// peer accepts TCP connections and leaves each to handle, until the test ends.
func peer(t *testing.T, handle func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer nc.Close()
				handle(nc)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

// wirePeer accepts connections of the wire stomp and leaves each to handle.
func wirePeer(t *testing.T, handle func(transport.Conn)) (url string) {
	t.Helper()
	l, err := transport.Listen(t.Context(), "stomp://127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				handle(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return "stomp://" + l.Addr().String()
}

// refusing returns an address at which nobody listens.
func refusing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
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

// certificate makes a certificate for 127.0.0.1 that is its own authority, and
// returns the names of its files.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "polyport test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:        true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
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
