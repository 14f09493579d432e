package http_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	stdhttp "net/http"
	"strings"
	"testing"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/http"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// A site is a server of a few methods behind HTTP.
type site struct {
	*transport.Listener
	server *rpc.Server
	addr   string
	gate   chan struct{} // what Wait waits for
	began  chan string   // what Wait says when it begins
	ended  chan error    // and when its ctx has ended
}

// newSite serves until the test ends.
func newSite(t *testing.T, own *http.Options, o *transport.ListenOptions) *site {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{gate: make(chan struct{}), began: make(chan string, 1000), ended: make(chan error, 1000)}
	s.Listener, s.addr = transport.NewListener(ln, http.New(own), o), ln.Addr().String()
	s.server = rpc.NewServer(s.mux(), nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.server.Serve(context.Background(), s.Listener)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.server.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		<-done
	})
	return s
}

func (s *site) mux() *rpc.Mux {
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Echo", func(_ context.Context, p json.RawMessage) (json.RawMessage, error) { return p, nil })
	rpc.Handle(mux, "Who", func(ctx context.Context, _ struct{}) (string, error) { return whoIs(ctx), nil })
	rpc.Handle(mux, "Wait", func(ctx context.Context, p []string) (string, error) {
		s.began <- strings.Join(p, "")
		select {
		case <-s.gate:
			return "done", nil
		case <-ctx.Done():
			s.ended <- context.Cause(ctx)
			return "", ctx.Err()
		}
	})
	return mux
}

// within receives from a channel, or fails the test.
func within[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("%s: nothing came in %v", what, patience)
	}
	return v
}

// browser returns a client of net/http, and what a POST to the site comes to.
func browser(t *testing.T, tr *stdhttp.Transport) *stdhttp.Client {
	t.Helper()
	t.Cleanup(tr.CloseIdleConnections)
	return &stdhttp.Client{Transport: tr, Timeout: patience}
}

// A reply is what came of a request.
type reply struct {
	status int
	header stdhttp.Header
	body   string
	proto  string
}

// ask sends a request.
func ask(t *testing.T, c *stdhttp.Client, method, url, body string, header ...string) reply {
	t.Helper()
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	r, err := stdhttp.NewRequestWithContext(t.Context(), method, url, content)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
			continue
		}
		r.Header.Add(header[i], header[i+1])
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return reply{resp.StatusCode, resp.Header, string(b), resp.Proto}
}

var asJSON = []string{"Content-Type", "application/json"}

// raw connects by TCP.
func (s *site) raw(t *testing.T) (net.Conn, *bufio.Reader) {
	t.Helper()
	nc, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	return nc, bufio.NewReader(nc)
}

// next reads a response.
func next(t *testing.T, in *bufio.Reader) reply {
	t.Helper()
	resp, err := stdhttp.ReadResponse(in, nil)
	if err != nil {
		t.Fatalf("response: %v", err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("body: %v", err)
	}
	_ = resp.Body.Close()
	return reply{resp.StatusCode, resp.Header, string(b), resp.Proto}
}

// echo is a request of Echo with a body of its own length.
func echo(n int) string {
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"Echo","params":[%d]}`, n, n)
	return fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// echoed is the answer to it.
func echoed(n int) string { return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":[%d]}`, n, n) }

// certificates returns the configurations of a server and of a client that trusts
// it and has a certificate for name.
func certificates(t *testing.T, name string) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	own := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	server = &tls.Config{Certificates: []tls.Certificate{own}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool, MinVersion: tls.VersionTLS13}
	return server, &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS13}
}

// whoIs returns the user of the request that is being served.
func whoIs(ctx context.Context) string {
	r, _ := rpc.FromContext(ctx)
	return r.Info.User
}
