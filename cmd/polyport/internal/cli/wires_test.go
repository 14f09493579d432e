package cli_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/internal/issuer"
	"github.com/polyport/polyport/rpc"
)

// everyWire are URLs for the server at HOST of what can call there, without TLS.
var everyWire = []string{
	"stomp://HOST", "amqp://HOST", "zmq://HOST", "zmq://HOST?socket=req", "http://HOST", "ws://HOST",
	"http://HOST/?format=xmlrpc",
}

// at is one of everyWire for the server at a URL, with TLS if that has it.
func at(t *testing.T, wire, server string) string {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(u.Scheme, "s") {
		wire = strings.Replace(wire, "://", "s://", 1)
	}
	return strings.Replace(wire, "HOST", u.Host, 1)
}

// TestVerbsOverWires: the verbs do the same over all wires of one port.
func TestVerbsOverWires(t *testing.T) {
	cert, key := certificate(t)
	server := serve(t, app.Config{TLS: app.TLSConfig{Cert: cert, Key: key}})
	for _, secured := range []bool{false, true} {
		for _, wire := range everyWire {
			url, flags := at(t, wire, server), []string(nil)
			if secured {
				url, flags = at(t, wire, strings.Replace(server, "stomp:", "stomps:", 1)), []string{"--cacert", cert}
			}
			t.Run(url, func(t *testing.T) {
				with := func(args ...string) []string { return append(args, flags...) }
				if got := run(t, with("call", url, "Math.Sum", "[1,2,3]")...); got != (outcome{0, "6\n", ""}) {
					t.Errorf("call = %+v, want 6", got)
				}
				got := run(t, with("call", url, "Fail", `[7,"no"]`)...)
				if got.code != 1 || !strings.HasPrefix(got.stderr, `{"code":7,"message":"no"`) {
					t.Errorf("call of what fails = %+v, want 1 and the error", got)
				}
				if got := run(t, with("notify", url, "Echo", "[1]")...); got.code != 0 || got.stderr != "" {
					t.Errorf("notify = %+v, want 0", got)
				}
				if got := run(t, with("ping", url)...); got.code != 0 || !strings.Contains(got.stdout, "round trip") {
					t.Errorf("ping = %+v", got)
				}
				if got := run(t, with("bench", url, "--calls", "50", "--concurrency", "4", "--json")...); got.code != 0 || !strings.Contains(got.stdout, `"errors":{"answered":0,"different":0,"not_sent":0,"unknown":0}`) {
					t.Errorf("bench = %+v, want no errors", got)
				}
				if strings.Contains(url, "xmlrpc") { // which has no batches, and does not describe itself
					return
				}
				got = runWith(t, `[{"jsonrpc":"2.0","id":1,"method":"Echo","params":[1]},{"jsonrpc":"2.0","method":"Echo"}]`, with("batch", url)...)
				if got.code != 0 || got.stdout != `[{"jsonrpc":"2.0","id":1,"result":[1]}]`+"\n" {
					t.Errorf("batch = %+v", got)
				}
				if got := run(t, with("discover", url)...); got.code != 0 || !strings.Contains(got.stdout, `"Math.Sum"`) {
					t.Errorf("discover = %d, %s", got.code, got.stderr)
				}
			})
		}
	}
}

// TestEventsOverHTTP: by WebSocket and by Server-Sent Events.
func TestEventsOverHTTP(t *testing.T) {
	server := serve(t, app.Config{})
	for _, wire := range []string{"ws://HOST", "http://HOST/?format=sse"} {
		got := run(t, "events", at(t, wire, server), "clock", "--count", "1", "--timeout", "20s")
		if got.code != 0 || !strings.Contains(got.stdout, `"time"`) {
			t.Errorf("events %s = %+v, want the time", wire, got)
		}
	}
}

// TestPingWires: what is negotiated is told on each wire.
func TestPingWires(t *testing.T) {
	cert, key := certificate(t)
	server := serve(t, app.Config{TLS: app.TLSConfig{Cert: cert, Key: key}, Users: map[string]app.Secret{"ann": "hunter2"}})
	server = strings.Replace(server, "stomp:", "stomps:", 1)
	for _, tt := range []struct{ wire, scheme, version, mode, alpn string }{
		{"stomp://HOST", "stomp", "1.2", "duplex", ""},
		{"amqp://HOST", "amqp", "1.0", "duplex", ""},
		{"zmq://HOST", "zmq", "3.0", "duplex", ""},
		{"zmq://HOST?socket=req", "zmq", "3.0", "lock-step", ""},
		{"http://HOST", "http", "1.1", "lock-step", ""},
		{"ws://HOST", "ws", "13", "duplex", ""},
		{"http://HOST/?format=xmlrpc", "http", "1.1", "lock-step", ""},
	} {
		url := strings.Replace(at(t, tt.wire, server), "://", "://ann:hunter2@", 1)
		got := run(t, "ping", url, "--cacert", cert, "--json")
		var p struct {
			Wire    string `json:"wire"`
			Version string `json:"version"`
			Mode    string `json:"mode"`
			User    string `json:"user"`
			TLS     struct {
				Version string `json:"version"`
				Cipher  string `json:"cipher"`
				ALPN    string `json:"alpn"`
				Subject string `json:"subject"`
			} `json:"tls"`
			Limits    map[string]int `json:"limits"`
			RoundTrip struct {
				Calls int `json:"calls"`
			} `json:"round_trip"`
		}
		if err := json.Unmarshal([]byte(got.stdout), &p); err != nil || got.code != 0 {
			t.Errorf("%s: ping = %+v", tt.wire, got)
			continue
		}
		if p.Wire != tt.scheme || p.Version != tt.version || p.Mode != tt.mode || p.User != "ann" {
			t.Errorf("%s: ping says %s %s, %s, user %q, want %s %s, %s, ann", tt.wire, p.Wire, p.Version, p.Mode, p.User, tt.scheme, tt.version, tt.mode)
		}
		if p.TLS.Version != "TLS 1.3" || p.TLS.Cipher == "" || p.TLS.ALPN != tt.alpn || p.TLS.Subject != "CN=polyport test" {
			t.Errorf("%s: ping says of TLS %+v", tt.wire, p.TLS)
		}
		if p.RoundTrip.Calls != 3 || p.Limits["message_bytes"] != 4<<20 || strings.Contains(got.stdout, "hunter2") {
			t.Errorf("%s: ping says %s", tt.wire, got.stdout)
		}
	}
}

// mutual starts a server that wants certificates, and returns its URL with TLS and
// the files of its authority and of a client.
func mutual(t *testing.T, change func(*app.TLSConfig)) (server, ca, cert, key string) {
	t.Helper()
	a, err := issuer.New("authority")
	if err != nil {
		t.Fatal(err)
	}
	pem := func(name string, hosts ...string) (cert, key string) {
		made, err := a.Issue(name, hosts...)
		if err != nil {
			t.Fatal(err)
		}
		c, k, err := issuer.PEM(made)
		if err != nil {
			t.Fatal(err)
		}
		return file(t, "cert.pem", string(c)), file(t, "key.pem", string(k))
	}
	ca = file(t, "ca.pem", string(a.PEM()))
	var conf app.TLSConfig
	conf.Cert, conf.Key = pem("server", "127.0.0.1")
	conf.ClientCA = ca
	if change != nil {
		change(&conf)
	}
	cert, key = pem("ann")
	url := serve(t, app.Config{TLS: conf}, fx.Provide(app.AsMethods(func() app.Methods {
		return func(m *rpc.Mux) error {
			rpc.Handle(m, "Subject", func(ctx context.Context, _ struct{}) (string, error) {
				if r, _ := rpc.FromContext(ctx); r.Info.TLS != nil && len(r.Info.TLS.VerifiedChains) > 0 {
					return r.Info.TLS.PeerCertificates[0].Subject.CommonName, nil
				}
				return "", errors.New("nobody")
			})
			return nil
		}
	})))
	return strings.Replace(url, "stomp:", "stomps:", 1), ca, cert, key
}

// TestMutualTLS: a call without a certificate is refused with words, over each
// wire; with one, the handler sees who it is.
func TestMutualTLS(t *testing.T) {
	for name, change := range map[string]func(*app.TLSConfig){
		"of all": nil, // refused in the TLS handshake
		"by wire": func(c *app.TLSConfig) { // refused in words of the wire
			c.ClientOptional = true
			c.ClientCerts = map[string]string{"stomp": "required", "amqp": "required", "zmq": "required", "http": "required"}
		},
	} {
		server, ca, cert, key := mutual(t, change)
		for _, wire := range everyWire {
			url := at(t, wire, server)
			t.Run(name+" "+url, func(t *testing.T) {
				got := run(t, "call", url, "Subject", "--cacert", ca)
				if got.code != 3 || !strings.Contains(got.stderr, "a client certificate is required") || !strings.Contains(got.stderr, "--cert FILE --key FILE") {
					t.Errorf("call without a certificate = %+v, want 3 and words", got)
				}
				got = run(t, "call", url, "Subject", "--cacert", ca, "--cert", cert, "--key", key)
				if got != (outcome{0, `"ann"` + "\n", ""}) {
					t.Errorf("call with a certificate = %+v, want ann", got)
				}
			})
		}
		t.Run(name+" of a stranger", func(t *testing.T) {
			cert, key := certificate(t)
			got := run(t, "call", server, "Subject", "--cacert", ca, "--cert", cert, "--key", key)
			if got.code != 3 || !strings.Contains(got.stderr, "of none of the authorities that the server names") {
				t.Errorf("call with another authority's certificate = %+v, want 3 and words", got)
			}
		})
	}
}

// TestTimeoutOverWires: --timeout ends a call on every wire.
func TestTimeoutOverWires(t *testing.T) {
	server := serve(t, app.Config{})
	for _, wire := range everyWire {
		began := time.Now()
		got := run(t, "call", at(t, wire, server), "Sleep", `{"ms":60000}`, "--timeout", "300ms")
		if took := time.Since(began); got.code == 0 || took > 10*time.Second {
			t.Errorf("%s: a call that is too slow = %+v after %v", wire, got, took)
		}
	}
}
