package transport_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport"
)

func withTLS(t *testing.T) *transport.ListenOptions {
	t.Helper()
	o := &transport.ListenOptions{HandshakeTimeout: handshakeTimeout}
	o.TLS = serverTLS(t)
	return o
}

func TestListenerTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPort(t, withTLS(t))
		conf := clientTLS(t)
		conf.ServerName = "server"
		nc := tls.Client(p.dial(t), conf)
		say(t, nc, "hello me\n")
		c := p.accept(t)
		state := c.Info().TLS
		if state == nil || state.Version != tls.VersionTLS13 || !state.HandshakeComplete {
			t.Errorf("Info().TLS = %+v, want a session of TLS 1.3", state)
		}
		if got := readN(t, nc, 8); got != "welcome\n" {
			t.Errorf("the peer got %q, want welcome", got)
		}
		say(t, nc, "secret\n")
		checkRecv(t, c, "secret")
		background(t, func() { c.Close() })
		if got, want := readAll(t, nc), "bye\n"; got != want { // and no truncation
			t.Errorf("the peer got %q, want %q", got, want)
		}
		nc.Close()
	})
}

func TestListenerTLSHandshakeDeadline(t *testing.T) {
	tests := []struct {
		name string
		peer func(*testing.T, net.Conn)
	}{
		{"silent", func(*testing.T, net.Conn) {}},
		{"trickling", func(_ *testing.T, nc net.Conn) {
			for range 20 {
				_, _ = io.WriteString(nc, "\x16\x03\x01\x02\x00"[:1])
				time.Sleep(time.Second)
			}
		}},
		{"silent after TLS", func(t *testing.T, nc net.Conn) {
			t.Helper()
			conf := clientTLS(t)
			conf.ServerName = "server"
			if err := tls.Client(nc, conf).Handshake(); err != nil {
				t.Errorf("Handshake = %v, want nil", err)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := openPort(t, withTLS(t))
				nc := p.dial(t)
				start := time.Now()
				background(t, func() { tt.peer(t, nc) })
				if _, err := p.Accept(contextFor(t, handshakeTimeout+time.Second)); err == nil {
					t.Error("Accept returned a connection without a handshake")
				}
				buf := make([]byte, 64<<10)
				for {
					if _, err := nc.Read(buf); err != nil {
						break
					}
				}
				if took := time.Since(start); took > handshakeTimeout+time.Second {
					t.Errorf("the peer was cut after %v, want %v", took, handshakeTimeout)
				}
			})
		})
	}
}

func TestListenerTLSRefusesPlain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPort(t, withTLS(t))
		nc := p.dial(t)
		start := time.Now()
		say(t, nc, "hello me\n")
		_, _ = io.Copy(io.Discard, nc)
		checkTook(t, "refusing a plain peer", start, 0)
	})
}

func TestListenerTLSVersion(t *testing.T) {
	tests := []struct {
		name   string
		server uint16 // MinVersion in the options
		ok     bool
	}{
		{"default", 0, false},
		{"asked for", tls.VersionTLS12, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := withTLS(t)
				o.TLS.MinVersion = tt.server
				p := openPort(t, o)
				conf := clientTLS(t)
				conf.ServerName, conf.MaxVersion = "server", tls.VersionTLS12
				nc := tls.Client(p.dial(t), conf)
				if err := nc.Handshake(); (err == nil) != tt.ok {
					t.Errorf("Handshake of TLS 1.2 = %v, want success %v", err, tt.ok)
				}
				if o.TLS.MinVersion != tt.server {
					t.Error("the caller's tls.Config was changed")
				}
			})
		})
	}
}

func TestListenErrors(t *testing.T) {
	taken, err := transport.Listen(t.Context(), "pipe://taken", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	empty := &transport.ListenOptions{}
	empty.TLS = &tls.Config{}
	tests := []struct {
		url  string
		o    *transport.ListenOptions
		want string
	}{
		{"lines://127.0.0.1:0", nil, "listen lines://127.0.0.1:0: transport: TLS needs a certificate and its key"},
		{"lines://127.0.0.1:0", empty, "listen lines://127.0.0.1:0: transport: TLS needs a certificate and its key"},
		{"pipe://taken", nil, "address already in use"},
		{"here", nil, `listen: transport: "here" is not a URL`},
		{"line://", nil, "listen: transport: line URL without a host"},
		{"line://127.0.0.1:99999", nil, "listen line://127.0.0.1:99999: "},
	}
	for _, tt := range tests {
		l, err := transport.Listen(t.Context(), tt.url, tt.o)
		if l != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Listen(%q) = %v, %v, want an error with %q", tt.url, l, err, tt.want)
		}
	}
}

func TestListenTLSCertificateSources(t *testing.T) {
	cert, err := issued()
	if err != nil {
		t.Fatal(err)
	}
	sources := map[string]*tls.Config{
		"Certificates":       {Certificates: []tls.Certificate{cert}},
		"GetCertificate":     {GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil }},
		"GetConfigForClient": {GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return serverTLS(t), nil }},
	}
	for name, conf := range sources {
		t.Run(name, func(t *testing.T) {
			o := &transport.ListenOptions{}
			o.TLS = conf
			l, err := transport.Listen(t.Context(), "lines://127.0.0.1:0", o)
			if err != nil {
				t.Fatalf("Listen = %v, want nil", err)
			}
			defer l.Close()
			d := &transport.DialOptions{}
			d.TLS = clientTLS(t)
			background(t, func() {
				if c, err := l.Accept(context.Background()); err == nil {
					c.Close()
				}
			})
			c, err := transport.Dial(t.Context(), "lines://"+l.Addr().String(), d)
			if err != nil {
				t.Fatalf("Dial = %v, want nil", err)
			}
			c.Close()
		})
	}
}
