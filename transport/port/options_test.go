package port_test

import (
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/http"
	"github.com/polyport/polyport/transport/mem"
	"github.com/polyport/polyport/transport/port"
	"github.com/polyport/polyport/transport/stomp"
)

// What cannot be kept is refused before anything is listened to, in words.
func TestListenRefuses(t *testing.T) {
	with := func(change func(*port.Options)) *port.Options {
		o := new(port.Options)
		change(o)
		return o
	}
	for _, tt := range []struct {
		name string
		o    *port.Options
		want string
	}{
		{"an unknown wire", with(func(o *port.Options) { o.Wires = []string{"gopher"} }), `unknown wire "gopher"; registered are amqp,`},
		{"the TLS form of one", with(func(o *port.Options) { o.Wires = []string{"stomps"} }), "name the one without"},
		{"one that cannot share", with(func(o *port.Options) { o.Wires = []string{"mem"} }), `"mem" cannot share a port`},
		{"a transport that cannot", with(func(o *port.Options) { o.Transports = map[string]transport.Transport{"x": mem.Transport{}} }), `"x" cannot share a port`},
		{"TLSOnly without TLS", with(func(o *port.Options) { o.TLSOnly = true }), "TLSOnly needs TLS"},
		{"TLS without a certificate", with(func(o *port.Options) { o.TLS = new(tls.Config) }), "TLS needs a certificate"},
		{"certificates without TLS", with(func(o *port.Options) { o.ClientCerts = asks(port.Required) }), "which need TLS"},
		{"rules beside certificates that are not verified", with(func(o *port.Options) {
			o.TLS = serverTLS(t)
			o.TLS.ClientAuth = tls.RequestClientCert
			o.ClientCerts = asks(port.Optional)
		}), "that does not verify them (RequestClientCert)"},
		{"certificates of a wire that is not served", with(func(o *port.Options) {
			o.Wires, o.ClientCerts = []string{"stomp"}, map[string]port.ClientCert{"amqp": port.Optional}
		}), `"amqp", which is not served`},
	} {
		l, err := port.Listen(t.Context(), "127.0.0.1:0", tt.o)
		if e, ok := errors.AsType[*transport.OpError](err); !ok || e.Op != "listen" || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Listen = %v, %v; want an error of listening with %q", tt.name, l, err, tt.want)
		}
	}
}

func TestListenAddressTaken(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if _, err = port.Listen(t.Context(), ln.Addr().String(), nil); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("Listen = %v, want EADDRINUSE", err)
	}
}

// Connections with or without TLS are refused by policy, at once and in a log
// record; who speaks as wanted is served.
func TestPolicies(t *testing.T) {
	secure := withTLS(t)
	secure.TLSOnly = true
	for _, tt := range []struct {
		name    string
		o       *port.Options
		refused string // what a client refused begins with
		logged  string
		conf    *tls.Config // of a client that is served
	}{
		{"TLSOnly", secure, "CONNECT\n", "does not begin with TLS, without which nothing is served here, but with", clientTLS(t, "")},
		{"without TLS", nil, "\x16\x03\x01\x02\x00", "begins with TLS, for which this port has no certificate", nil},
		{"without TLS, and half of it", nil, "\x16", "no protocol that is served here", nil},
		{"only STOMP", &port.Options{Wires: []string{"stomp"}}, "GET / HTTP/1.1\r\n", "no protocol that is served here (stomp) begins with", nil},
		{
			"only HTTP, by another name", &port.Options{Wires: []string{"ws", "stomp"}}, "AMQP\x00\x01\x00\x00",
			"no protocol that is served here (stomp, ws) begins with", nil,
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := openGate(t, tt.o)
			nc := g.dial(t, nil)
			say(t, nc, tt.refused)
			checkCut(t, tt.name, nc)
			synctest.Wait()
			checkLogged(t, tt.name, g.logged, tt.logged)
			nc = g.dial(t, tt.conf)
			say(t, nc, openings[0].bytes)
			checkAnswer(t, tt.name, nc, openings[0].answer)
			_ = nc.Close()
		})
	}
}

// A Transport takes the place of the registered one.
func TestTransports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := openGate(t, &port.Options{
			Wires:      []string{"http", "mine"},
			Transports: map[string]transport.Transport{"http": http.New(&http.Options{NoXMLRPC: true}), "mine": stomp.Transport{}},
		})
		nc := g.dial(t, nil)
		say(t, nc, openings[0].bytes)
		checkAnswer(t, "a wire by a name of its own", nc, openings[0].answer)
		_ = nc.Close()
		nc = g.dial(t, nil)
		say(t, nc, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: 0\r\n\r\n")
		checkAnswer(t, "XML-RPC where there is none", nc, "HTTP/1.1 415")
		_ = nc.Close()
	})
}
