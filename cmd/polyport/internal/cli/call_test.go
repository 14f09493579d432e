package cli_test

import (
	"context"
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/fx"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

func TestCall(t *testing.T) {
	url := serve(t, app.Config{})
	tests := []struct {
		name string
		args []string // after URL
		want outcome
	}{
		{"a result", []string{"Math.Sum", "[1,2,3]"}, outcome{0, "6\n", ""}},
		{"no params", []string{"Echo"}, outcome{0, "null\n", ""}},
		{"a result as it came, in one line", []string{"Echo", "{\"a\": [1.00, 1e2],\n \"b\": \"é\\u00e9<\"}"}, outcome{0, "{\"a\":[1.00,1e2],\"b\":\"é\\u00e9<\"}\n", ""}},
		{"a number too large for a float", []string{"Echo", "[123456789012345678901234567890.10]"}, outcome{0, "[123456789012345678901234567890.10]\n", ""}},
		{"--json says the same", []string{"Math.Sum", "[1,2,3]", "--json"}, outcome{0, "6\n", ""}},
		{"what the caller itself answers", []string{"Call.Back", `{"method":"Echo","params":[1]}`}, outcome{0, "[1]\n", ""}},
		{"an error", []string{"Fail", `{"code":7,"message":"no"}`}, outcome{1, "", `{"code":7,"message":"no"}` + "\n"}},
		{"an error with data", []string{"Fail", `{"code":7,"message":"<no>","data":{"a": 1.0}}`}, outcome{1, "", `{"code":7,"message":"<no>","data":{"a":1.0}}` + "\n"}},
		{"an unknown method", []string{"Nope"}, outcome{1, "", `{"code":-32601,"message":"method \"Nope\" not found"}` + "\n"}},
		{"a timeout that suffices", []string{"Sleep", "[1]", "--timeout", "1m"}, outcome{0, "1\n", ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := run(t, append([]string{"call", url}, tt.args...)...)
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(outcome{})); diff != "" {
				t.Errorf("call %q (-want +got):\n%s", tt.args, diff)
			}
		})
	}
}

// What cannot be used is refused before anything is dialed.
func TestUsage(t *testing.T) {
	const url = "stomp://127.0.0.1:1"
	tests := []struct {
		name string
		args []string
		want []string // all on stderr
	}{
		{"nothing", nil, []string{"expected a verb: demo, serve, call, notify, batch, events, discover, gen, ping, bench"}},
		{"unknown verb", []string{"frobnicate"}, []string{`unknown verb "frobnicate"`, "expected one of demo, serve"}},
		{"help for an unknown verb", []string{"help", "frobnicate"}, []string{`unknown verb "frobnicate"`}},
		{"unknown flag", []string{"--frobnicate"}, []string{"--frobnicate"}},
		{"unknown flag of a verb", []string{"call", url, "Echo", "--frobnicate"}, []string{"polyport call:", "--frobnicate", "see: polyport call --help"}},
		{"no URL", []string{"call"}, []string{"<url>"}},
		{"no method", []string{"call", url}, []string{"<method>"}},
		{"empty method", []string{"call", url, ""}, []string{"METHOD is empty"}},
		{"too many arguments", []string{"call", url, "Echo", "[1]", "[2]"}, []string{"unexpected argument [2]"}},
		{"params that are no JSON", []string{"call", url, "Echo", "[1"}, []string{"PARAMS is not JSON", "expected an array or an object"}},
		{"params that are two texts", []string{"call", url, "Echo", "[1][2]"}, []string{"PARAMS is not JSON: more than one value"}},
		{"params with a name twice", []string{"call", url, "Echo", `{"a":1,"a":2}`}, []string{"duplicate", `"a"`}},
		{"params that are a number", []string{"call", url, "Echo", "5"}, []string{"expected an array or an object", "got number"}},
		{"params that are a text", []string{"notify", url, "Echo", `"x"`}, []string{"expected an array or an object", "got string"}},
		{"no URL but an address", []string{"call", "127.0.0.1:7070", "Echo"}, []string{"expected SCHEME://HOST:PORT", "stomp"}},
		{"unknown scheme", []string{"call", "gopher://127.0.0.1:70", "Echo"}, []string{`unknown scheme "gopher"`, "stomp"}},
		{"no host", []string{"call", "stomp://:70", "Echo"}, []string{"no host"}},
		{"no port number", []string{"call", "stomp://127.0.0.1:http", "Echo"}, []string{"cannot parse the URL", "port"}},
		{"no timeout", []string{"call", url, "Echo", "--timeout", "0s"}, []string{"--timeout must be more than 0"}},
		{"a handle that is no UUID", []string{"call", url, "Echo", "--async=me"}, []string{"--async", "expected a UUID", `"me"`}},
		{"a timeout without a unit", []string{"call", url, "Echo", "--timeout", "5"}, []string{"--timeout"}},
		{"a certificate without its key", []string{"call", url, "Echo", "--cert", "x"}, []string{"--cert and --key go together"}},
		{"trust somebody and anybody", []string{"call", url, "Echo", "--cacert", "x", "--insecure"}, []string{"choose one"}},
		{"TLS options without TLS", []string{"ping", url, "--insecure"}, []string{"stomp:// is not encrypted", "stomps://"}},
		{"no file of authorities", []string{"ping", "stomps://127.0.0.1:1", "--cacert", "no/such.pem"}, []string{"--cacert", "no/such.pem"}},
		{"no file of a certificate", []string{"ping", "stomps://127.0.0.1:1", "--cert", "no/such.pem", "--key", "x"}, []string{"--cert", "no/such.pem"}},
		{"an unusable filter", []string{"events", url, "task.*x"}, []string{"* or # as a part of a word", "'task.*'"}},
		{"a count of less than none", []string{"events", url, "--count=-1"}, []string{"--count must be at least 1"}},
		{"no window", []string{"events", url, "--window", "0"}, []string{"--window must be at least 1"}},
		{"events in no time", []string{"events", url, "--timeout", "0s"}, []string{"--timeout must be more than 0"}},
		{"no calls", []string{"bench", url, "--calls", "0"}, []string{"--calls must be at least 1"}},
		{"no callers", []string{"bench", url, "--concurrency", "0"}, []string{"--concurrency must be 1 to 1024"}},
		{"bench with params that are no JSON", []string{"bench", url, "--params", "{"}, []string{"PARAMS is not JSON"}},
		{"no file of a batch", []string{"batch", url, "no/such.json"}, []string{"no/such.json"}},
		{"serve at no address", []string{"serve", "--listen", "localhost"}, []string{"HOST:PORT"}},
		{"serve with a bad setting", []string{"serve", "--log-level", "loud"}, []string{"log.level: expected debug"}},
		{"serve with a bad number", []string{"serve", "--queue-depth", "many"}, []string{"--queue-depth"}},
		{"serve TLS without a certificate", []string{"serve", "--listen", "stomps://127.0.0.1:0"}, []string{"tls.cert"}},
		{"serve with no such file", []string{"serve", "--config", "no/such.yaml"}, []string{"no/such.yaml"}},
		{"serve with no such file of users", []string{"serve", "--users-file", "no/such"}, []string{"no/such"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := run(t, tt.args...)
			if got.code != 2 || got.stdout != "" {
				t.Errorf("%q = %d with stdout %q, want 2 and none; stderr: %s", tt.args, got.code, got.stdout, got.stderr)
			}
			for _, want := range tt.want {
				if !strings.Contains(got.stderr, want) {
					t.Errorf("%q says %q, want it to contain %q", tt.args, got.stderr, want)
				}
			}
		})
	}
}

func TestUsageShowsNoPassword(t *testing.T) {
	for _, url := range []string{
		"ann:hunter2@127.0.0.1:70", "gopher://ann:hunter2@127.0.0.1:70", "stomp://ann:hunter2@:70",
		"stomp://ann:hunter2@127.0.0.1:http", "stomp://ann:hunter2%zz@127.0.0.1:70", "stomp://ann:hunter2@127.0.0.1:1",
	} {
		got := run(t, "call", url, "Echo")
		if got.code == 0 || strings.Contains(got.stderr, "hunter2") {
			t.Errorf("call %s = %d and says %q", url, got.code, got.stderr)
		}
	}
}

func TestNoAnswer(t *testing.T) {
	closed := refusing(t)
	silent := peer(t, func(nc net.Conn) { _, _ = nc.Read(make([]byte, 1)); <-t.Context().Done() })
	rude := peer(t, func(net.Conn) {})
	chatty := peer(t, func(nc net.Conn) { _, _ = nc.Write([]byte("220 mail.example.org ESMTP\r\n")); <-t.Context().Done() })
	cut := wirePeer(t, func(c transport.Conn) { _, _ = c.Recv(context.Background()) })
	deaf := wirePeer(t, func(c transport.Conn) {
		for {
			if _, err := c.Recv(context.Background()); err != nil {
				return
			}
		}
	})
	guarded := strings.TrimPrefix(serve(t, app.Config{Users: map[string]app.Secret{"ann": "a"}}), "stomp://")
	other := serve(t, app.Config{})
	cert, key := certificate(t)
	secured := serve(t, app.Config{Listen: []string{"stomps://127.0.0.1:0"}, TLS: app.TLSConfig{Cert: cert, Key: key}})
	mutual := serve(t, app.Config{Listen: []string{"stomps://127.0.0.1:0"}, TLS: app.TLSConfig{Cert: cert, Key: key, ClientCA: cert}})

	const notSent, unknown = "nothing was sent", "unknown whether it was executed"
	tests := []struct {
		name string
		args []string
		want []string
	}{
		{"nobody listens", []string{"call", "stomp://" + closed, "Echo", "[]"}, []string{notSent, "connection refused", "polyport serve --listen " + closed}},
		{"nobody listens with TLS", []string{"ping", "stomps://" + closed}, []string{"connection refused", "polyport serve --listen " + closed + " --cert"}},
		{"nobody listens in memory", []string{"ping", "mem://nobody"}, []string{"connection refused", "--listen mem://nobody"}},
		{"an address that cannot be dialed", []string{"ping", "stomp://255.255.255.255:7070"}, []string{notSent}},
		{"unknown host", []string{"notify", "stomp://no-such-host.invalid", "Echo"}, []string{notSent, "cannot find the host no-such-host.invalid"}},
		{"a peer that says nothing", []string{"call", "stomp://" + silent, "Echo", "--timeout", "50ms"}, []string{notSent, "within 50ms", "right host, port and protocol"}},
		{"a peer that hangs up", []string{"call", "stomp://" + rude, "Echo"}, []string{notSent, "right port and protocol"}},
		{"a peer of another protocol", []string{"call", "stomp://" + chatty, "Echo"}, []string{notSent, "breaks the rules of the protocol", "220 mail", "right port"}},
		{"a peer that dies in the call", []string{"call", cut, "Echo"}, []string{unknown, "closed", "harm twice"}},
		{"a peer that never answers", []string{"call", deaf, "Echo", "--timeout", "500ms"}, []string{unknown, "nothing came within 500ms", "--timeout"}},
		{"a batch that is never answered", []string{"batch", deaf, "--timeout", "500ms"}, []string{unknown, "nothing came within 500ms"}},
		{"a batch whose peer dies", []string{"batch", cut}, []string{unknown, "closed"}},
		{"a ping that is never answered", []string{"ping", deaf, "--timeout", "500ms"}, []string{unknown}},
		{"no user", []string{"call", "stomp://" + guarded, "Echo"}, []string{notSent, "refused by the peer", "USER:PASSWORD@" + guarded}},
		{"wrong password", []string{"call", "stomp://ann:b@" + guarded, "Echo"}, []string{notSent, "refused by the peer"}},
		{"no such destination", []string{"call", other + "/queue/none", "Echo"}, []string{unknown, `"/queue/none"`, "/queue/rpc"}},
		{"no TLS there", []string{"call", strings.Replace(other, "stomp:", "stomps:", 1), "Echo"}, []string{notSent, "closed the connection", "without TLS it is " + other}},
		{"another protocol in the place of TLS", []string{"call", "stomps://" + chatty, "Echo"}, []string{notSent, "does not speak TLS", "without TLS it is stomp://" + chatty}},
		{"TLS there", []string{"call", strings.Replace(secured, "stomps:", "stomp:", 1), "Echo", "--timeout", "1s"}, []string{notSent}},
		{"unknown authority", []string{"call", secured, "Echo"}, []string{notSent, "unknown authority", "--cacert", "--insecure"}},
		{"another host's certificate", []string{"call", strings.Replace(secured, "127.0.0.1", "localhost", 1), "Echo", "--cacert", cert}, []string{notSent, "cannot be trusted", "localhost"}},
		{"a certificate of ours is wanted", []string{"call", mutual, "Echo", "--cacert", cert}, []string{"a client certificate is required", "--cert FILE"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			began := time.Now()
			got := runWith(t, `[{"jsonrpc":"2.0","id":1,"method":"Echo"}]`, tt.args...)
			if got.code != 3 || got.stdout != "" {
				t.Errorf("%q = %d with stdout %q, want 3 and none; stderr: %s", tt.args, got.code, got.stdout, got.stderr)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("%q took %v, want at most the timeout", tt.args, took)
			}
			for _, want := range tt.want {
				if !strings.Contains(got.stderr, want) {
					t.Errorf("%q says %q, want it to contain %q", tt.args, got.stderr, want)
				}
			}
		})
	}
}

func TestFailureAsJSON(t *testing.T) {
	addr := refusing(t)
	tests := []struct {
		name string
		args []string
		want map[string]any
	}{
		{"no answer", []string{"call", "stomp://" + addr, "Echo", "--json"}, map[string]any{
			"exit": 3.0, "outcome": "not sent", "error": "no answer, nothing was sent: connection refused",
			"advice": "is a server listening at " + addr + "? start one with: polyport serve --listen " + addr,
		}},
		{"usage", []string{"call", "stomp://" + addr, "Echo", "5", "--json"}, map[string]any{
			"exit":   2.0,
			"error":  `PARAMS: expected an array or an object, such as '[1,2,3]' or '{"ms":10}'; got number`,
			"advice": "see: polyport call --help",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := run(t, tt.args...)
			var said map[string]any
			if err := json.Unmarshal([]byte(got.stderr), &said); err != nil {
				t.Fatalf("%q says %q: %v", tt.args, got.stderr, err)
			}
			if diff := cmp.Diff(tt.want, said); diff != "" || float64(got.code) != tt.want["exit"] {
				t.Errorf("%q = %d and says (-want +got):\n%s", tt.args, got.code, diff)
			}
		})
	}
}

func TestCallWithTLS(t *testing.T) {
	cert, key := certificate(t)
	conf := app.Config{Listen: []string{"stomps://127.0.0.1:0"}, TLS: app.TLSConfig{Cert: cert, Key: key, ClientCA: cert}}
	mutual := serve(t, conf)
	conf.TLS.ClientCA = ""
	plain := serve(t, conf)
	for name, args := range map[string][]string{
		"named authority":      {plain, "--cacert", cert},
		"any certificate":      {plain, "--insecure"},
		"certificates of both": {mutual, "--cacert", cert, "--cert", cert, "--key", key},
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, append([]string{"call", "--timeout", "5s"}, append(args, "Math.Sum", "[1,2]")...)...)
			if got.code != 0 || got.stdout != "3\n" {
				t.Errorf("call = %d, %q, %q, want 0 and 3", got.code, got.stdout, got.stderr)
			}
		})
	}
}

func TestCallWithUser(t *testing.T) {
	url := serve(t, app.Config{Users: map[string]app.Secret{"ann": "p@ss"}})
	url = strings.Replace(url, "://", "://ann:p%40ss@", 1)
	if got := run(t, "call", url, "Math.Sum", "[1,2]"); got.code != 0 || got.stdout != "3\n" {
		t.Errorf("call = %d, %q, %q, want 0 and 3", got.code, got.stdout, got.stderr)
	}
}

// An interrupted call says that it may have been executed.
func TestCallInterrupted(t *testing.T) {
	called := make(chan struct{})
	url := wirePeer(t, func(c transport.Conn) {
		if _, err := c.Recv(context.Background()); err == nil {
			close(called)
			_, _ = c.Recv(context.Background())
		}
	})
	c := begin(t, "call", url, "Echo")
	<-called
	if got := c.end(); got.code != 3 || !strings.Contains(got.stderr, "interrupted") {
		t.Errorf("call = %d, %q, want 3 and that it was interrupted", got.code, got.stderr)
	}
}

func TestNotify(t *testing.T) {
	got := make(chan string, 1)
	url := serve(t, app.Config{}, fx.Provide(app.AsMethods(func() app.Methods {
		return func(m *rpc.Mux) error {
			rpc.Handle(m, "Note", func(ctx context.Context, p json.RawMessage) (any, error) {
				if r, ok := rpc.FromContext(ctx); ok && r.Notification {
					got <- string(p)
				}
				return nil, nil
			})
			return nil
		}
	})))
	if o := run(t, "notify", url, "Note", "[1.0]"); o != (outcome{}) {
		t.Errorf("notify = %+v, want nothing and 0", o)
	}
	if p := <-got; p != "[1.0]" {
		t.Errorf("the server got %s, want [1.0]", p)
	}
}
