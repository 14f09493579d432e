package transport_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport"
)

func TestDialURLErrors(t *testing.T) {
	tests := []struct{ name, url, want string }{
		{"empty", "", `dial: transport: "" is not a URL; expected SCHEME://HOST:PORT with a scheme of line, lines, mem, memtcp, pipe`},
		{"host only", "localhost", `dial: transport: "localhost" is not a URL; expected SCHEME://HOST:PORT with`},
		{"host and port", "localhost:61613", `dial: transport: "localhost:61613" is not a URL; expected`},
		{"address and port", "127.0.0.1:61613", "dial: transport: cannot parse the URL: first path segment in URL cannot contain colon"},
		{"no slashes", "line:localhost", `dial: transport: "line:localhost" is not a URL`},
		{"no scheme", "//localhost", `dial: transport: "//localhost" is not a URL`},
		{"unknown scheme", "amqps://localhost", `dial: transport: unknown scheme "amqps"; known are line, lines, mem, memtcp, pipe`},
		{"no host", "line:///queue", "dial: transport: line URL without a host"},
		{"no host but a user", "line://me:secret@/queue", "dial: transport: line URL without a host"},
		{"bad port", "line://localhost:port", `dial: transport: cannot parse the URL: invalid port ":port" after host`},
		{"bad address", "line://[::1", "dial: transport: cannot parse the URL: missing ']' in host"},
		{"password with a slash", "line://me:sec/ret@localhost", "cannot parse the URL; are the special characters of user and password percent-encoded?"},
		{"password with a hash", "line://me:sec#ret@localhost", "percent-encoded?"},
		{"password with a percent", "line://me:sec%ret@localhost", "percent-encoded?"},
		{"password with a space", "line://me:sec ret@localhost", "percent-encoded?"},
		{"password with a control", "line://me:sec\x00ret@localhost", "percent-encoded?"},
		{"password without a scheme", "me:secret@localhost:61613", "dial: transport: the address is not a URL"},
		{"password without scheme and host", "//me:secret@localhost", "dial: transport: the address is not a URL"},
		{"password for an unknown scheme", "carrier-pigeon://me:secret@coop", `unknown scheme "carrier-pigeon"`},
		{"password before a bad port", "line://me:secret@localhost:port", "percent-encoded?"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := transport.Dial(t.Context(), tt.url, nil)
			if c != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Dial(%q) = %v, %v, want an error with %q", tt.url, c, err, tt.want)
			}
			if !transport.NotSent(err) {
				t.Errorf("NotSent(%v) = false, want true", err)
			}
			if strings.Contains(tt.name, "password") && (strings.Contains(err.Error(), "sec") || strings.Contains(err.Error(), "ret")) {
				t.Errorf("Dial(%q) = %v, want an error without the password", tt.url, err)
			}
		})
	}
}

// checkDialErr expects an OpError with everything about a failed Dial.
func checkDialErr(t *testing.T, err error, op, scheme, addr string, want error) {
	t.Helper()
	e, ok := errors.AsType[*transport.OpError](err)
	if !ok || e.Op != op || e.Scheme != scheme || e.Addr != addr || !errors.Is(err, want) || !transport.NotSent(err) {
		t.Errorf("Dial = %v, want an OpError of %s %s://%s with %v that says NotSent", err, op, scheme, addr, want)
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("Dial = %v, want an error without the password", err)
	}
}

func TestDialRefused(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	for _, scheme := range []string{"line", "lines"} {
		_, err = transport.Dial(t.Context(), scheme+"://me:secret@"+addr+"/queue", nil)
		checkDialErr(t, err, "dial", scheme, addr, syscall.ECONNREFUSED)
	}
}

func TestDialDefaultPort(t *testing.T) {
	tests := []struct{ url, addr string }{
		{"line://127.0.0.1", "127.0.0.1:4"},
		{"line://127.0.0.1:/queue", "127.0.0.1:4"},
		{"lines://127.0.0.1/queue", "127.0.0.1:5"},
		{"line://[::1]/queue", "[::1]:4"},
		{"line://127.0.0.1:6", "127.0.0.1:6"},
		{"LINE://127.0.0.1", "127.0.0.1:4"},
	}
	for _, tt := range tests {
		_, err := transport.Dial(ended(t), tt.url, nil) // never gets there
		if e, ok := errors.AsType[*transport.OpError](err); !ok || e.Addr != tt.addr {
			t.Errorf("Dial(%q) = %v, want an error about %s", tt.url, err, tt.addr)
		}
	}
}

// listenRaw returns a listener of the scheme "pipe" that has no wire.
func listenRaw(t *testing.T, name string) net.Listener {
	t.Helper()
	ln, err := pipes.Listen(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func TestDialNoAnswer(t *testing.T) {
	const timeout = 3 * time.Second
	tests := []struct {
		name   string
		answer string // each second
	}{
		{"silent", ""},
		{"trickling", "x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ln := listenRaw(t, "deaf")
				background(t, func() {
					nc, err := ln.Accept()
					if err != nil {
						return
					}
					for range 10 {
						_, _ = io.WriteString(nc, tt.answer)
						time.Sleep(time.Second)
					}
					if got := readAll(t, nc); got != "hello me/queue\n" {
						t.Errorf("the server got %q, want a hello and the end", got)
					}
				})
				start := time.Now()
				_, err := transport.Dial(t.Context(), "pipe://me:secret@deaf/queue", &transport.DialOptions{Timeout: timeout})
				checkDialErr(t, err, "handshake", "pipe", "deaf", context.DeadlineExceeded)
				if want := "no answer in time; is this the right port and protocol?"; transport.Reason(err) != want {
					t.Errorf("Reason(%v) = %q, want %q", err, transport.Reason(err), want)
				}
				checkTook(t, "Dial", start, timeout)
			})
		})
	}
}

// The backlog of a listener that does not accept is full at some time.
func TestDialNotAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listenRaw(t, "full")
		for range 128 {
			nc, err := pipes.Dial(t.Context(), "full")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { nc.Close() })
		}
		start := time.Now()
		_, err := transport.Dial(t.Context(), "pipe://full", nil)
		checkDialErr(t, err, "dial", "pipe", "full", context.DeadlineExceeded)
		checkTook(t, "Dial", start, 10*time.Second)
	})
}

func TestDialContext(t *testing.T) {
	mine := errors.New("mine")
	tests := []struct {
		name string
		ctx  func(context.Context) (context.Context, context.CancelFunc)
		want error
	}{
		{"cancelled", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(time.Second, func() { cancel(mine) })
			return ctx, func() { cancel(nil) }
		}, mine},
		{"deadline", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		}, context.DeadlineExceeded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ln := listenRaw(t, "deaf")
				ctx, cancel := tt.ctx(t.Context())
				defer cancel()
				start := time.Now()
				_, err := transport.Dial(ctx, "pipe://deaf", nil)
				checkDialErr(t, err, "handshake", "pipe", "deaf", tt.want)
				checkTook(t, "Dial", start, time.Second)
				nc, err := ln.Accept()
				if err != nil {
					t.Fatal(err)
				}
				if got := readAll(t, nc); got != "hello \n" {
					t.Errorf("the server got %q, want a hello and the end", got)
				}
			})
		})
	}
}

func TestDialTurnedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := listenRaw(t, "picky")
		background(t, func() {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			say(t, nc, "go away\n")
			_ = readAll(t, nc) // until Dial has closed
		})
		_, err := transport.Dial(t.Context(), "pipe://me:secret@picky", nil)
		checkDialErr(t, err, "handshake", "pipe", "picky", transport.ErrRefused)
		if got := transport.Reason(err); got != "go away" {
			t.Errorf("Reason(%v) = %q, want that of the wire", err, got)
		}
	})
}

// The time limit is that of dialing, not of the connection.
func TestDialConnOutlivesTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := transport.Listen(t.Context(), "pipe://:0", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		c, err := transport.Dial(ctx, "pipe://me@"+l.Addr().String(), &transport.DialOptions{Timeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		server, err := l.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		background(t, func() {
			time.Sleep(time.Hour)
			if err := server.Send(t.Context(), line("late")); err != nil {
				t.Errorf("Send = %v, want nil", err)
			}
		})
		checkRecv(t, c, "late")
		if err := c.Send(t.Context(), line("answer")); err != nil {
			t.Errorf("Send = %v, want nil", err)
		}
		checkRecv(t, server, "answer")
		background(t, func() { c.Close() })
		server.Close()
	})
}

// listenTLS serves the scheme "lines" on the loopback interface and closes what
// it accepts.
func listenTLS(t *testing.T, change func(*tls.Config)) *transport.Listener {
	t.Helper()
	o := withTLS(t)
	change(o.TLS)
	l, err := transport.Listen(t.Context(), "lines://127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	background(t, func() {
		for {
			c, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			c.Close()
		}
	})
	t.Cleanup(func() { l.Close() })
	return l
}

func TestDialTLS(t *testing.T) {
	isAuthority := func(err error) bool { _, ok := errors.AsType[x509.UnknownAuthorityError](err); return ok }
	isHostname := func(err error) bool { _, ok := errors.AsType[x509.HostnameError](err); return ok }
	isVersion := func(err error) bool { return strings.Contains(err.Error(), "protocol version") }
	tests := []struct {
		name   string
		server func(*tls.Config)
		client func(*tls.Config)
		fails  func(error) bool // nil: it does not
	}{
		{"trusted", func(*tls.Config) {}, func(*tls.Config) {}, nil},
		{"unknown authority", func(*tls.Config) {}, func(c *tls.Config) { c.RootCAs = x509.NewCertPool() }, isAuthority},
		{"own server name", func(*tls.Config) {}, func(c *tls.Config) { c.ServerName = "server" }, nil},
		{"wrong server name", func(*tls.Config) {}, func(c *tls.Config) { c.ServerName = "another" }, isHostname},
		{"old server", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }, func(*tls.Config) {}, isVersion},
		{
			"old server, allowed",
			func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 },
			func(c *tls.Config) { c.MinVersion = tls.VersionTLS12 }, nil,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := listenTLS(t, tt.server)
			o := &transport.DialOptions{}
			o.TLS = clientTLS(t)
			tt.client(o.TLS)
			name := o.TLS.ServerName
			c, err := transport.Dial(t.Context(), "lines://me:secret@"+l.Addr().String(), o)
			switch {
			case err == nil:
				if c.Info().TLS == nil {
					t.Error("Info().TLS = nil, want the state of the session")
				}
				c.Close()
				if tt.fails != nil {
					t.Error("Dial = nil, want an error")
				}
			case tt.fails == nil || !tt.fails(err):
				t.Errorf("Dial = %v, want success %v", err, tt.fails == nil)
			default:
				checkDialErr(t, err, "dial", "lines", l.Addr().String(), err)
			}
			if o.TLS.ServerName != name {
				t.Error("the caller's tls.Config was changed")
			}
		})
	}
}

// A server that is plain, or silent, where TLS is due.
func TestDialTLSToPlain(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	background(t, func() {
		for i := range 2 {
			nc, err := ln.Accept()
			if err != nil {
				t.Errorf("Accept = %v, want nil", err)
				return
			}
			if i == 0 {
				_, _ = io.WriteString(nc, "220 ready\r\n")
			}
			_, _ = io.Copy(io.Discard, nc)
			nc.Close()
		}
	})
	addr := ln.Addr().String()
	_, err = transport.Dial(t.Context(), "lines://"+addr, nil)
	checkDialErr(t, err, "dial", "lines", addr, err)
	_, err = transport.Dial(t.Context(), "lines://"+addr, &transport.DialOptions{Timeout: 50 * time.Millisecond})
	checkDialErr(t, err, "dial", "lines", addr, context.DeadlineExceeded)
	if !strings.Contains(err.Error(), "is this the right port and protocol?") {
		t.Errorf("Dial = %v, want an error with a hint", err)
	}
}
