package app_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// subject is a method that returns the subject of the caller's certificate.
func subject() app.Methods {
	return func(m *rpc.Mux) error {
		rpc.Handle(m, "Subject", func(ctx context.Context, _ struct{}) (string, error) {
			r, _ := rpc.FromContext(ctx)
			session := r.Info.TLS
			if session == nil || len(session.VerifiedChains) == 0 {
				return "", errors.New("nobody")
			}
			return session.PeerCertificates[0].Subject.CommonName, nil
		})
		return nil
	}
}

// A tower is a server with TLS, and two of its clients.
type tower struct {
	*running
	ann, nobody *tls.Config
}

func newTower(t *testing.T, c app.Config) *tower {
	t.Helper()
	v, a := newVault(t), newAuthority(t)
	v.server(a, "server")
	v.write(v.conf.ClientCA, a.PEM())
	c.TLS.Cert, c.TLS.Key, c.TLS.ClientCA = v.conf.Cert, v.conf.Key, v.conf.ClientCA
	cert, err := a.Issue("ann")
	if err != nil {
		t.Fatal(err)
	}
	return &tower{
		running: start(t, c, fx.Provide(app.AsMethods(subject))),
		ann:     &tls.Config{RootCAs: a.Pool(), Certificates: []tls.Certificate{cert}},
		nobody:  &tls.Config{RootCAs: a.Pool()},
	}
}

// ask calls Subject over a wire.
func (w *tower) ask(t *testing.T, wire string, conf *tls.Config) (string, error) {
	t.Helper()
	o := &transport.DialOptions{Timeout: 10 * time.Second}
	o.TLS = conf
	c, err := rpc.Dial(t.Context(), wire+"://"+w.Endpoints()[0].Addr, &rpc.ClientOptions{Transport: o})
	if err != nil {
		return "", err
	}
	defer c.Close()
	return rpc.Call[string](t.Context(), c, "Subject", nil)
}

// TestMutualTLS: who is let in by which wire, and that handlers see who it is.
func TestMutualTLS(t *testing.T) {
	secured := []string{"stomps", "amqps", "zmqs", "https"}
	for _, tt := range []struct {
		name     string
		conf     app.TLSConfig
		required []string // of the wires with TLS
		hidden   []string // that do not tell who the client is
		plain    bool
	}{
		{"required", app.TLSConfig{}, secured, nil, false},
		{"optional", app.TLSConfig{ClientOptional: true}, nil, nil, true},
		{"required but on one wire", app.TLSConfig{ClientCerts: map[string]string{"http": "optional"}}, secured[:3], nil, false},
		{
			"off but on one wire", app.TLSConfig{ClientOptional: true, ClientCerts: map[string]string{
				"stomp": "required", "amqp": "off", "zmq": "off", "http": "off",
			}}, secured[:1], []string{"https"}, true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newTower(t, app.Config{TLS: tt.conf})
			for _, wire := range secured {
				got, err := w.ask(t, wire, w.ann)
				if hidden := slices.Contains(tt.hidden, wire); !hidden && tt.conf.ClientCerts[strings.TrimSuffix(wire, "s")] != "off" && (got != "ann" || err != nil) {
					t.Errorf("%s with a certificate: Subject = %q, %v, want ann", wire, got, err)
				} else if hidden && rpc.OutcomeOf(err) != rpc.Answered {
					t.Errorf("%s with a certificate that nobody wants: %q, %v", wire, got, err)
				}
				_, err = w.ask(t, wire, w.nobody)
				refused := rpc.OutcomeOf(err) != rpc.Answered
				if want := slices.Contains(tt.required, wire); refused != want {
					t.Errorf("%s without a certificate: %v, want refused: %v", wire, err, want)
				} else if want && !strings.Contains(err.Error(), "certificate") {
					t.Errorf("%s without a certificate: %v, want a word about the certificate", wire, err)
				}
			}
			_, err := w.ask(t, "zmq", nil)
			if reached := rpc.OutcomeOf(err) == rpc.Answered; reached != tt.plain {
				t.Errorf("zmq without TLS: %v, want let in: %v", err, tt.plain)
			} else if !reached && !strings.Contains(err.Error(), "certificate is required") {
				t.Errorf("zmq without TLS: %v, want words", err)
			}
		})
	}
}

// TestOneWireAlone: an address with a scheme serves that wire and no other.
func TestOneWireAlone(t *testing.T) {
	v, a := newVault(t), newAuthority(t)
	v.server(a, "server")
	v.conf.ClientCA = ""
	for _, tt := range []struct{ listen, wires, answer, deaf string }{
		{"stomp://127.0.0.1:0", "stomp", "stomp", "zmq"},
		{"zmqs://127.0.0.1:0", "zmqs", "zmqs", "zmq"},
		{"http://127.0.0.1:0", "http", "http", "amqp"},
		{"mem://alone:0", "mem", "mem", ""},
		{"127.0.0.1:0", "amqp http stomp ws zmq amqps https stomps wss zmqs", "zmq", ""},
	} {
		r := start(t, app.Config{Listen: []string{tt.listen}, TLS: v.conf, Heartbeat: -1})
		e := r.Endpoints()[0]
		if got := strings.Join(e.Wires, " "); got != tt.wires {
			t.Errorf("%s: the wires are %q, want %q", tt.listen, got, tt.wires)
		}
		o := &transport.DialOptions{Timeout: 10 * time.Second}
		o.TLS = &tls.Config{RootCAs: a.Pool()}
		if err := dial(t, e.URL(tt.answer), o).Call(t.Context(), "Echo", nil, nil); err != nil {
			t.Errorf("%s: %s: %v", tt.listen, tt.answer, err)
		}
		if tt.deaf == "" {
			continue
		}
		if c, err := transport.Dial(t.Context(), e.URL(tt.deaf), o); err == nil {
			_ = c.Close()
			t.Errorf("%s serves %s, too", tt.listen, tt.deaf)
		}
	}
}

// TestTLSOnly: with tls.only a port has no wire without TLS.
func TestTLSOnly(t *testing.T) {
	v, a := newVault(t), newAuthority(t)
	v.server(a, "server")
	v.conf.ClientCA, v.conf.Only = "", true
	r := start(t, app.Config{TLS: v.conf})
	if got, want := strings.Join(r.Endpoints()[0].Wires, " "), "amqps https stomps wss zmqs"; got != want {
		t.Errorf("the wires are %q, want %q", got, want)
	}
	addr := r.Endpoints()[0].Addr
	if c, err := transport.Dial(t.Context(), "stomp://"+addr, nil); err == nil {
		_ = c.Close()
		t.Error("a peer without TLS was let in")
	}
	if answer, err := http.Get("http://" + addr + "/health"); err == nil {
		_ = answer.Body.Close()
		t.Errorf("HTTP without TLS is answered: %s", answer.Status)
	}
}

// TestPortConfigErrors: what cannot be kept is said before anything listens.
func TestPortConfigErrors(t *testing.T) {
	pair := app.TLSConfig{Cert: "cert.pem", Key: "key.pem", ClientCA: "ca.pem"}
	with := func(change func(*app.TLSConfig)) app.TLSConfig {
		c := pair
		change(&c)
		return c
	}
	for _, tt := range []struct {
		name, want string
		listen     string
		tls        app.TLSConfig
	}{
		{"certificates of a wire that is none", "tls.client_certs.gopher", "", with(func(c *app.TLSConfig) { c.ClientCerts = map[string]string{"gopher": "off"} })},
		{"certificates of ws, which is http", `"http"`, "", with(func(c *app.TLSConfig) { c.ClientCerts = map[string]string{"ws": "off"} })},
		{"a word that is none", "expected off, optional or required", "", with(func(c *app.TLSConfig) { c.ClientCerts = map[string]string{"http": "maybe"} })},
		{"certificates of nobody", "needs tls.client_ca", "", with(func(c *app.TLSConfig) { c.ClientCA, c.ClientCerts = "", map[string]string{"http": "off"} })},
		{"TLS only, and none", "tls.only", "", app.TLSConfig{Only: true}},
		{"TLS only, and an address without", "forbids", "stomp://127.0.0.1:0", with(func(c *app.TLSConfig) { c.Only = true })},
	} {
		c := app.Config{TLS: tt.tls}
		if tt.listen != "" {
			c.Listen = []string{tt.listen}
		}
		err := c.Validate()
		if _, ok := errors.AsType[*app.ConfigError](err); !ok || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Validate() = %v, want a *ConfigError with %q", tt.name, err, tt.want)
		}
	}
}

// TestHTTPSettings: those of the wire HTTP reach it.
func TestHTTPSettings(t *testing.T) {
	conf, err := app.Load(app.Sources{
		File: file(t, "polyport.yaml", "http: {origins: ['https://app.example'], no_xmlrpc: true}\nlisten: ['127.0.0.1:0']"),
	})
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, conf)
	post := func(contentType, origin, body string) (status int, fields http.Header) {
		t.Helper()
		q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.Endpoints()[0].Addr+"/", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Content-Type", contentType)
		if origin != "" {
			q.Header.Set("Origin", origin)
		}
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		answer, err := client.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		return answer.StatusCode, answer.Header
	}
	const call = `{"jsonrpc":"2.0","id":1,"method":"Echo","params":[1]}`
	const page = "https://app.example"
	if got, fields := post("application/json", page, call); got != 200 || fields.Get("Access-Control-Allow-Origin") != page {
		t.Errorf("a call of a page that is allowed: %d, %v", got, fields)
	}
	if got, _ := post("application/json", "https://evil.example", call); got != 403 {
		t.Errorf("a call of a page that is not allowed: %d, want 403", got)
	}
	if got, _ := post("text/xml", "", "<methodCall><methodName>Echo</methodName></methodCall>"); got < 400 {
		t.Errorf("XML-RPC, which is switched off: %d", got)
	}
}

// TestCertificatesRenewedOnAPort: the same as above, over a network.
func TestCertificatesRenewedOnAPort(t *testing.T) {
	v, a := newVault(t), newAuthority(t)
	v.server(a, "first")
	v.conf.ClientCA = ""
	r := start(t, app.Config{TLS: v.conf})
	o := new(transport.DialOptions)
	o.TLS = &tls.Config{RootCAs: a.Pool()}
	url := "stomps://" + r.Endpoints()[0].Addr
	old := dial(t, url, o)
	v.server(a, "second")
	for late := time.Now().Add(20 * time.Second); ; {
		c := dial(t, url, o)
		if c.Info().TLS.PeerCertificates[0].Subject.CommonName == "second" {
			break
		}
		if time.Now().After(late) {
			t.Fatal("20 s after its files were replaced the server shows the old certificate")
		}
	}
	if err := old.Call(t.Context(), "Echo", nil, nil); err != nil {
		t.Errorf("a session begun before: %v", err)
	}
}
