package port_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/port"
)

// wires are those that the tests register.
var wires = []string{"amqp", "http", "stomp", "zmq"}

// asks is every wire with the same rule.
func asks(c port.ClientCert) map[string]port.ClientCert {
	rules := map[string]port.ClientCert{}
	for _, w := range wires {
		rules[w] = c
	}
	return rules
}

// whoami calls the method that answers with the subject of the client's
// certificate. A nil conf means without TLS.
func whoami(t *testing.T, wire, addr string, conf *tls.Config) (subject string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	o := &transport.DialOptions{}
	if conf != nil {
		wire += "s"
		o.TLS = conf
	}
	conn, err := transport.Dial(ctx, wire+"://"+addr, o)
	if err != nil {
		return "", err
	}
	c := rpc.NewClient(conn, nil)
	defer c.Close()
	return rpc.Call[string](ctx, c, "Whoami", []string{})
}

// A client without a certificate is refused in words where one is required, and a
// handler sees the subject where one is given.
func TestClientCertificates(t *testing.T) {
	const refusal = "a client certificate is required"
	for _, tt := range []struct {
		name  string
		rules map[string]port.ClientCert
		as    tls.ClientAuthType
		// What a client gets: with a certificate, without one, without TLS.
		with, without, plain string
	}{
		{"Required", asks(port.Required), tls.NoClientCert, "alice", refusal, refusal},
		{"Required everywhere", asks(port.Required), tls.RequireAndVerifyClientCert, "alice", refusal, refusal},
		{"Optional", asks(port.Optional), tls.NoClientCert, "alice", "nobody", "nobody"},
		{"Off", asks(port.Off), tls.RequireAndVerifyClientCert, "nobody", "nobody", "nobody"},
		{"AsTLS, which asks", nil, tls.VerifyClientCertIfGiven, "alice", "nobody", "nobody"},
		{"AsTLS, which does not", nil, tls.NoClientCert, "nobody", "nobody", "nobody"},
		{"AsTLS, which demands", nil, tls.RequireAndVerifyClientCert, "alice", refusal, refusal},
		{"AsTLS, which demands any", nil, tls.RequireAnyClientCert, "nobody", "certificate required", "nobody"},
	} {
		o := &port.Options{ClientCerts: tt.rules}
		o.TLS = serverTLS(t)
		o.TLS.ClientAuth = tt.as
		addr := serve(t, o)
		for _, wire := range wires {
			for what, want := range map[string]string{"with": tt.with, "without": tt.without, "plain": tt.plain} {
				var conf *tls.Config
				switch what {
				case "with":
					conf = clientTLS(t, "alice")
				case "without":
					conf = clientTLS(t, "")
				}
				got, err := whoami(t, wire, addr, conf)
				if err != nil {
					got = err.Error()
				}
				if !strings.Contains(got, want) {
					t.Errorf("%s: %s, %s a certificate: %q, want %q", tt.name, wire, what, got, want)
				}
			}
		}
	}
}

// Wires of one port may ask for different things.
func TestClientCertificatesPerWire(t *testing.T) {
	o := &port.Options{ClientCerts: map[string]port.ClientCert{"stomp": port.Required, "zmq": port.Optional, "http": port.Off}}
	o.TLS = serverTLS(t)
	o.TLS.ClientAuth = tls.RequireAndVerifyClientCert // which amqp has to keep to
	addr := serve(t, o)
	for _, tt := range []struct{ wire, with, without string }{
		{"stomp", "alice", "a client certificate is required"},
		{"amqp", "alice", "a client certificate is required"},
		{"zmq", "alice", "nobody"},
		{"http", "nobody", "nobody"},
	} {
		for name, want := range map[string]string{"alice": tt.with, "": tt.without} {
			got, err := whoami(t, tt.wire, addr, clientTLS(t, name))
			if err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, want) {
				t.Errorf("%s with the certificate %q: %q, want %q", tt.wire, name, got, want)
			}
		}
	}
}

// One that somebody else has signed is refused in the TLS handshake.
func TestClientCertificateOfStrangers(t *testing.T) {
	o := &port.Options{ClientCerts: asks(port.Optional)}
	o.TLS = serverTLS(t)
	addr := serve(t, o)
	conf := clientTLS(t, "")
	conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		strange := newAuthority(t, "strangers").sign(t, "mallory")
		return &strange, nil
	}
	if got, err := whoami(t, "stomp", addr, conf); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("Whoami = %q, %v; want an error about the certificate", got, err)
	}
}

// An Authenticator decides with the certificate before it, and after the port.
func TestAuthenticatorSeesCertificate(t *testing.T) {
	for _, required := range []port.ClientCert{port.Required, port.Optional} {
		o := &port.Options{ClientCerts: asks(required)}
		o.TLS = serverTLS(t)
		o.Logger = slog.New(slog.DiscardHandler)
		o.Authenticator = authenticator(func(c transport.Credentials) (string, error) {
			if c.TLS == nil || len(c.TLS.VerifiedChains) == 0 || c.TLS.PeerCertificates[0].Subject.CommonName != "alice" {
				return "", errors.New("not alice")
			}
			return "alice, whom we know", nil
		})
		addr := serve(t, o)
		for _, wire := range wires {
			if got, err := whoami(t, wire, addr, clientTLS(t, "alice")); err != nil || got != "alice" {
				t.Errorf("%s: alice: Whoami = %q, %v; want alice", wire, got, err)
			}
			if got, err := whoami(t, wire, addr, clientTLS(t, "bob")); err == nil || strings.Contains(err.Error(), "not alice") {
				t.Errorf("%s: bob: Whoami = %q, %v; want a refusal without the reason", wire, got, err)
			}
		}
	}
}

type authenticator func(transport.Credentials) (string, error)

func (a authenticator) Authenticate(_ context.Context, c transport.Credentials) (string, error) {
	return a(c)
}

// What is agreed by ALPN decides; what nobody knows does not matter.
func TestALPN(t *testing.T) {
	addr := serve(t, withTLS(t))
	for _, tt := range []struct {
		offered []string
		agreed  string
		opening opening
	}{
		{nil, "", openings[0]},
		{[]string{"v12.stomp"}, "", openings[0]},
		{[]string{"amqp", "x"}, "", opening{bytes: "AMQP\x03\x01\x00\x00", answer: "AMQP\x03\x01\x00\x00"}},
		{[]string{"spdy/3"}, "", opening{bytes: "GET /health HTTP/1.1\r\nHost: x\r\n\r\n", answer: "HTTP/1.1 200"}},
		{[]string{"http/1.1"}, "http/1.1", opening{bytes: "GET /health HTTP/1.1\r\nHost: x\r\n\r\n", answer: "HTTP/1.1 200"}},
		{[]string{"http/1.1", "h2"}, "h2", opening{bytes: h2Preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00", answer: "\x00\x00"}},
	} {
		conf := clientTLS(t, "")
		conf.NextProtos = tt.offered
		nc, err := tls.Dial("tcp", addr, conf)
		if err != nil {
			t.Errorf("offering %q: %v", tt.offered, err)
			continue
		}
		if got := nc.ConnectionState().NegotiatedProtocol; got != tt.agreed {
			t.Errorf("offering %q: agreed on %q, want %q", tt.offered, got, tt.agreed)
		}
		say(t, nc, tt.opening.bytes)
		checkAnswer(t, strings.Join(tt.offered, ","), nc, tt.opening.answer)
		nc.Close()
	}
}

// net/http's own client gets HTTP/2 at a port, and HTTP/1.1 if it wants.
func TestHTTPVersions(t *testing.T) {
	addr := serve(t, withTLS(t))
	for _, tt := range []struct {
		name string
		set  func(*http.Protocols)
		url  string
		want string
	}{
		{"HTTP/1.1", func(p *http.Protocols) { p.SetHTTP1(true) }, "http", "HTTP/1.1"},
		{"HTTP/1.1 over TLS", func(p *http.Protocols) { p.SetHTTP1(true) }, "https", "HTTP/1.1"},
		{"HTTP/2 by ALPN", func(p *http.Protocols) { p.SetHTTP1(true); p.SetHTTP2(true) }, "https", "HTTP/2.0"},
		{"HTTP/2 by prior knowledge", func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }, "http", "HTTP/2.0"},
	} {
		tr := &http.Transport{TLSClientConfig: clientTLS(t, ""), Protocols: new(http.Protocols)}
		tt.set(tr.Protocols)
		c := &http.Client{Transport: tr, Timeout: 10 * time.Second}
		res, err := c.Post(tt.url+"://"+addr, "application/json", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"Echo","params":["x"]}`))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		body, err := io.ReadAll(bufio.NewReader(res.Body))
		if res.Proto != tt.want || err != nil || !strings.Contains(string(body), `"result":"x"`) {
			t.Errorf("%s: %s %q, %v; want %s and the result", tt.name, res.Proto, body, err, tt.want)
		}
		res.Body.Close()
		tr.CloseIdleConnections()
	}
}

// Certificates are exchanged while the port is open, by either of TLS's means.
func TestCertificatesAreReloaded(t *testing.T) {
	first, second := newAuthority(t, "us").sign(t, "first"), newAuthority(t, "us").sign(t, "second")
	for _, tt := range []struct {
		name string
		with func(current func() *tls.Certificate) *tls.Config
	}{
		{"GetCertificate", func(current func() *tls.Certificate) *tls.Config {
			return &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return current(), nil }}
		}},
		{"GetConfigForClient", func(current func() *tls.Certificate) *tls.Config {
			return &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
				return &tls.Config{Certificates: []tls.Certificate{*current()}}, nil
			}}
		}},
	} {
		now := &first
		o := new(port.Options)
		o.TLS = tt.with(func() *tls.Certificate { return now })
		addr := serve(t, o)
		for _, next := range []*tls.Certificate{&first, &second} {
			now = next
			for _, offered := range [][]string{nil, {"h2"}, {"unknown"}} {
				conf := clientTLS(t, "")
				conf.NextProtos = offered
				nc, err := tls.Dial("tcp", addr, conf)
				if err != nil {
					t.Fatalf("%s: %v", tt.name, err)
				}
				state := nc.ConnectionState()
				if got, want := state.PeerCertificates[0].Subject.CommonName, next.Leaf.Subject.CommonName; got != want || state.Version != tls.VersionTLS13 {
					t.Errorf("%s: the certificate of %q in version %x, want %q in 1.3", tt.name, got, state.Version, want)
				}
				nc.Close()
			}
		}
	}
}

// TLS 1.3 by default, 1.2 on request.
func TestTLSVersions(t *testing.T) {
	for _, least := range []uint16{0, tls.VersionTLS12} {
		o := withTLS(t)
		o.TLS.MinVersion = least
		addr := serve(t, o)
		conf := clientTLS(t, "")
		conf.MinVersion, conf.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
		_, err := whoami(t, "stomp", addr, conf)
		if refused := err != nil; refused != (least == 0) {
			t.Errorf("a client of TLS 1.2 at a server of at least %x: %v", least, err)
		}
	}
}

// A name that the certificate does not have is refused by the client.
func TestServerNameIsChecked(t *testing.T) {
	addr := serve(t, withTLS(t))
	conf := clientTLS(t, "")
	conf.ServerName = "elsewhere.example"
	if _, err := whoami(t, "stomp", addr, conf); err == nil || !strings.Contains(err.Error(), "elsewhere.example") {
		t.Errorf("Dial = %v, want an error about the name", err)
	}
}

// What a GetConfigForClient demands holds, whatever the configuration around it says.
func TestConfigForClientDemandsCertificates(t *testing.T) {
	for _, around := range []tls.ClientAuthType{tls.NoClientCert, tls.VerifyClientCertIfGiven, tls.RequireAndVerifyClientCert} {
		inner := serverTLS(t)
		inner.ClientAuth = tls.RequireAndVerifyClientCert
		o := new(port.Options)
		o.TLS = &tls.Config{
			ClientAuth: around, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return inner, nil },
		}
		addr := serve(t, o)
		for _, wire := range wires {
			if got, err := whoami(t, wire, addr, clientTLS(t, "alice")); err != nil || got != "alice" {
				t.Errorf("%v around: %s: Whoami = %q, %v; want alice", around, wire, got, err)
			}
			if got, err := whoami(t, wire, addr, clientTLS(t, "")); err == nil || !strings.Contains(err.Error(), "certificate") {
				t.Errorf("%v around: %s without a certificate: Whoami = %q, %v; want an error that names it", around, wire, got, err)
			}
		}
	}
}
