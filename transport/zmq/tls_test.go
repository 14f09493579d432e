package zmq_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/polyport/polyport/transport"
)

// newCertificate returns a certificate for 127.0.0.1 and the pool that knows it.
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

// listen echoes on rawURL, and hands each connection to the test first.
func listen(t *testing.T, rawURL string, o *transport.ListenOptions) (l *transport.Listener, accepted <-chan transport.Conn) {
	t.Helper()
	l, err := transport.Listen(t.Context(), rawURL, o)
	if err != nil {
		t.Fatal(err)
	}
	conns := make(chan transport.Conn, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			conns <- c
			echo(c)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		for {
			select {
			case c := <-conns:
				_ = c.Close()
			default:
				return
			}
		}
	})
	return l, conns
}

// call has a question answered.
func call(t *testing.T, c transport.Conn, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := c.Send(ctx, &transport.Message{Body: []byte(body)}); err != nil {
		t.Fatalf("Send = %v", err)
	}
	if m, err := c.Recv(ctx); err != nil || string(m.Body) != body {
		t.Fatalf("Recv = %v, %v, want %.40q", m, err, body)
	}
}

func TestTLS(t *testing.T) {
	cert, pool := newCertificate(t)
	o := &transport.ListenOptions{Authenticator: byCertificate{}}
	o.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool}
	l, accepted := listen(t, "zmqs://127.0.0.1:0", o)
	addr := "zmqs://" + l.Addr().String()

	d := &transport.DialOptions{}
	d.TLS = &tls.Config{RootCAs: pool}
	for _, user := range []string{"", "ann:right@"} {
		c, err := transport.Dial(t.Context(), strings.Replace(addr, "//", "//"+user, 1), d)
		if !errors.Is(err, transport.ErrRefused) || !strings.Contains(err.Error(), "access refused") {
			t.Errorf("Dial as %q without a certificate = %v, %v, want access refused", user, c, err)
		}
	}
	d.TLS.Certificates = []tls.Certificate{cert}
	for _, socket := range []string{"dealer", "req"} {
		c, err := transport.Dial(t.Context(), addr+"?socket="+socket, d)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			call(t, c, "ping")
		}
		call(t, c, strings.Repeat("x", 1<<20))
		server := <-accepted
		if i := server.Info(); c.Info().TLS == nil || i.TLS == nil || i.TLS.Version != tls.VersionTLS13 || i.User != "host-7" {
			t.Errorf("server's Info: %+v, client's TLS %v, want TLS 1.3 and the name in the certificate", i, c.Info().TLS)
		}
		if err := c.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
		_ = server.Close()
	}
}

// TestPLAINOverTLS: users and passwords as they are meant to be used.
func TestPLAINOverTLS(t *testing.T) {
	cert, pool := newCertificate(t)
	o := &transport.ListenOptions{Authenticator: transport.Users(map[string]string{"ann": "right"})}
	o.Linger = 50 * time.Millisecond
	o.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	l, accepted := listen(t, "zmqs://127.0.0.1:0", o)
	d := &transport.DialOptions{}
	d.TLS = &tls.Config{RootCAs: pool}
	if c, err := transport.Dial(t.Context(), "zmqs://ann:wrong@"+l.Addr().String(), d); !errors.Is(err, transport.ErrRefused) {
		t.Errorf("Dial with a wrong password = %v, %v, want ErrRefused", c, err)
	}
	c, err := transport.Dial(t.Context(), "zmqs://ann:right@"+l.Addr().String(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	call(t, c, "ping")
	server := <-accepted
	defer server.Close()
	if got := server.Info().User; got != "ann" {
		t.Errorf("User = %q, want ann", got)
	}
}

// TestMismatchedTLS: TLS to a plain port, and the reverse, fail and do not wait.
func TestMismatchedTLS(t *testing.T) {
	cert, pool := newCertificate(t)
	secure := &transport.ListenOptions{}
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	d := &transport.DialOptions{}
	d.TLS = &tls.Config{RootCAs: pool}
	for _, c := range []struct {
		name, dial, listen string
		o                  *transport.ListenOptions
	}{{"TLS to a plain port", "zmqs", "zmq", nil}, {"plain to a TLS port", "zmq", "zmqs", secure}} {
		t.Run(c.name, func(t *testing.T) {
			l, _ := listen(t, c.listen+"://127.0.0.1:0", c.o)
			start := time.Now()
			conn, err := transport.Dial(t.Context(), c.dial+"://"+l.Addr().String(), d)
			if err == nil || time.Since(start) > 5*time.Second {
				t.Errorf("Dial = %v, %v after %v, want an error soon", conn, err, time.Since(start))
			}
			if err != nil && strings.Contains(err.Error(), "zmq4") {
				t.Errorf("Dial = %v, which a person cannot know", err)
			}
		})
	}
}

// TestDialGivesUp: a server that says nothing is no reason to wait longer than
// ctx, whose error comes out.
func TestDialGivesUp(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	mine := errors.New("mine")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		_, _ = nc.Read(make([]byte, 1)) // the greeting has begun
		cancel(mine)
		_, _ = io.Copy(io.Discard, nc) // until the client goes
	}()
	if c, err := transport.Dial(ctx, "zmq://"+ln.Addr().String(), nil); !errors.Is(err, mine) {
		t.Errorf("Dial = %v, %v, want the cause of ctx", c, err)
	}
	late := &transport.DialOptions{Timeout: 50 * time.Millisecond}
	if c, err := transport.Dial(t.Context(), "zmq://"+ln.Addr().String(), late); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "right port") {
		t.Errorf("Dial = %v, %v, want DeadlineExceeded with a hint", c, err)
	}
}

// TestRedial: a connection that is cut is made anew, with its handshake.
func TestRedial(t *testing.T) {
	for _, c := range []struct{ name, user, query string }{
		{"DEALER", "", ""},
		{"REQ", "", "?socket=req"},
		{"PLAIN", "ann:right@", ""}, // zmq4's own PLAIN could log in once only
	} {
		t.Run(c.name, func(t *testing.T) {
			o := &transport.ListenOptions{}
			if c.user != "" {
				o.Authenticator = transport.Users(map[string]string{"ann": "right"})
			}
			o.Linger = 50 * time.Millisecond
			l, accepted := listen(t, "zmq://127.0.0.1:0", o)
			conn, err := transport.Redial(t.Context(), "zmq://"+c.user+l.Addr().String()+c.query, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			got, lost := make(chan string, 10), make(chan error, 10)
			go func() { // which makes the connection anew
				for {
					m, err := conn.Recv(context.Background())
					switch {
					case err == nil:
						got <- string(m.Body)
					case errors.Is(err, transport.ErrReconnecting):
						lost <- err
					default:
						return
					}
				}
			}()
			for range 4 {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				if err := conn.Send(ctx, &transport.Message{Body: []byte("ping")}); err != nil {
					t.Fatalf("Send = %v", err)
				}
				cancel()
				if m := <-got; m != "ping" {
					t.Fatalf("Recv = %q, want ping", m)
				}
				server := <-accepted
				_ = server.Close()
				if err := <-lost; !errors.Is(err, transport.ErrClosed) {
					t.Fatalf("Recv = %v, want ErrReconnecting because of ErrClosed", err)
				}
			}
		})
	}
}

// TestRedialSubscriptions: a SUB that is cut off asks for its topics again.
func TestRedialSubscriptions(t *testing.T) {
	l, err := transport.Listen(t.Context(), "zmq://127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := transport.Redial(t.Context(), "zmq://"+l.Addr().String()+"?socket=sub", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s, _ := transport.As[transport.Subscriber](conn)
	if _, err := s.Subscribe(t.Context(), transport.Subscription{ID: "s", Destination: "a"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	received := make(chan *transport.Message, 10)
	go func() {
		defer close(received)
		for {
			switch m, err := conn.Recv(ctx); {
			case err == nil:
				received <- m
			case !errors.Is(err, transport.ErrReconnecting):
				return
			}
		}
	}()
	for range 3 {
		server, err := l.Accept(ctx)
		if err != nil {
			t.Fatal(err)
		}
		in := receive(server)
		a, _ := transport.As[transport.Audience](server)
		eventually(t, "the server knows of the subscription", func() bool { return a.Wants("ab") })
		if err := server.Send(ctx, &transport.Message{To: "ab"}); err != nil {
			t.Errorf("Send = %v", err)
		}
		if m := <-received; m == nil || m.To != "ab" || m.Subscription != "s" {
			t.Fatalf("Recv = %+v, want ab by s", m)
		}
		_ = server.Close()
		<-in.over
	}
	_ = conn.Close()
	for range received {
		t.Error("an event came that was not sent")
	}
}
