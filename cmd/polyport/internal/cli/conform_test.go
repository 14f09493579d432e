package cli_test

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/transport"
)

func TestConformWire(t *testing.T) {
	got := run(t, "conform", "--wire", "mem", "--rule", "Order", "--rule", "lockstepturns", "--rule", "IdleLives")
	if got.code != 0 || got.stderr != "" {
		t.Errorf("conform = %d, %q, want 0", got.code, got.stderr)
	}
	idle := `  skip  IdleLives: the rule needs virtual time, which only go test has`
	free := []string{`  pass  Order`, `  skip  LockstepTurns: the wire is not in lock-step.*`, idle}
	step := []string{`  skip  Order: the wire is in lock-step.*`, `  pass  LockstepTurns`, idle}
	feed := []string{`  pass  Order`, `  skip  LockstepTurns: the wire only carries what the server publishes.*`, idle}
	var want []string
	for _, suite := range []struct {
		url   string
		rules []string
	}{{`mem://conformance`, free}, {`mem://conformance\?socket=req`, step}, {`mem://conformance\?socket=sub`, feed}} {
		for _, where := range []string{" in memory", " over TCP"} {
			want = append(append(want, suite.url+where), suite.rules...)
		}
	}
	lines(t, "conform", got.stdout, append(want, `6 passed, 0 failed, 12 skipped`)...)

	got = run(t, "conform", "--wire", "stomp", "--json", "--rule", "Order,HostileBytes,Batch")
	lines(t, "conform --json", got.stdout,
		`\{"suite":"stomp://conformance over TCP","rule":"Order","verdict":"pass","text":"Messages .*","took_us":\d+\}`,
		`\{"suite":"stomp://conformance over TCP","rule":"HostileBytes","verdict":"pass",.*\}`,
		`\{"suite":"stomp://conformance over TCP","rule":"Batch","verdict":"skip",.*"log":"the rule is about a server.*\}`,
		`\{"pass":2,"fail":0,"skip":1\}`)
}

func TestConformServer(t *testing.T) {
	url := serve(t, app.Config{})
	got := run(t, "conform", url, "--json")
	if got.code != 0 || got.stderr != "" {
		t.Errorf("conform = %d, %q, want 0:\n%s", got.code, got.stderr, got.stdout)
	}
	all := strings.Split(strings.TrimSpace(got.stdout), "\n")
	var counts struct {
		Pass int `json:"pass"`
		Fail int `json:"fail"`
		Skip int `json:"skip"`
	}
	if err := json.Unmarshal([]byte(all[len(all)-1]), &counts); err != nil || counts.Pass < 40 || counts.Fail != 0 || counts.Skip != 1 {
		t.Errorf("conform --json ends with %s, %v; want 40 passes or more and one skip", all[len(all)-1], err)
	}
	if !strings.Contains(all[0], `"suite":"JSON-RPC 2.0 at `+url+`"`) {
		t.Errorf("conform --json begins with %s", all[0])
	}
	lines(t, "conform --rule", run(t, "conform", url, "--rule", "Batch", "--rule", "Order").stdout,
		`JSON-RPC 2\.0 at `+url, `  pass  Batch`, `  skip  Order: the rule needs both ends.*`, `1 passed, 0 failed, 1 skipped`)
}

// TestConformTLS goes by TLS, with a user, whose password is not shown.
func TestConformTLS(t *testing.T) {
	cert, key := certificate(t)
	url := serve(t, app.Config{
		Listen: []string{"stomps://127.0.0.1:0"}, TLS: app.TLSConfig{Cert: cert, Key: key},
		Users: map[string]app.Secret{"ann": "hunter2"},
	})
	url = strings.Replace(url, "://", "://ann:hunter2@", 1)
	got := run(t, "conform", url, "--cacert", cert, "--rule", "Result", "--rule", "GarbageOpening", "--rule", "Handshake")
	if got.code != 0 || !strings.Contains(got.stdout, "3 passed") || strings.Contains(got.stdout, "hunter2") {
		t.Errorf("conform = %d, %s, %s, want 0 and 3 passes without a password", got.code, got.stdout, got.stderr)
	}
}

// TestConformFails: a rule that fails says its sentence and what was wrong.
func TestConformFails(t *testing.T) {
	url := wirePeer(t, func(c transport.Conn) {
		for {
			m, err := c.Recv(context.Background())
			if err != nil {
				return
			}
			_ = c.Send(context.Background(), &transport.Message{To: m.ReplyTo, Body: []byte(`{"jsonrpc":"2.0","result":7,"id":1}`)})
		}
	})
	got := run(t, "conform", url, "--rule", "BatchEmpty", "--timeout", "500ms")
	if got.code != 1 || got.stderr != "" {
		t.Errorf("conform = %d, %q, want 1", got.code, got.stderr)
	}
	want := `(?s)^JSON-RPC 2\.0 at \S+\n  fail  BatchEmpty: An empty array is answered by one -32600 .*\n        \[\] got 1=7, want null!-32600\n.*0 passed, 1 failed, 0 skipped\n$`
	if !regexp.MustCompile(want).MatchString(got.stdout) {
		t.Errorf("conform prints\n%s\nwant %s", got.stdout, want)
	}
}

// TestConformNobody: who is neither a server nor a broker is told so.
func TestConformNobody(t *testing.T) {
	silent := wirePeer(t, func(c transport.Conn) {
		for {
			if _, err := c.Recv(context.Background()); err != nil {
				return
			}
		}
	})
	for _, c := range []struct{ url, want string }{
		{"stomp://" + refusing(t), `nothing was sent: connection refused`},
		{silent, `a request of JSON-RPC got no answer .*, and it is no broker: .*`},
	} {
		got := run(t, "conform", c.url, "--timeout", "300ms")
		if got.code != 3 || got.stdout != "" || !regexp.MustCompile(c.want).MatchString(got.stderr) {
			t.Errorf("conform %s = %d, %q, %q, want 3 and %s", c.url, got.code, got.stdout, got.stderr, c.want)
		}
	}
}

func TestConformUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "expected a URL or --wire NAME"},
		{[]string{"stomp://127.0.0.1:1", "--wire", "mem"}, "expected a URL or --wire NAME"},
		{[]string{"stomp://127.0.0.1:1?format=xmlrpc"}, "XML-RPC has no words"},
		{[]string{"--wire", "pigeon"}, `unknown wire "pigeon"; expected one of amqp, http, mem`},
		{[]string{"--wire", "mem", "--rule", "Nonsense"}, `there is no rule "Nonsense"`},
		{[]string{"--wire", "mem", "--insecure"}, "TLS options are for a URL"},
		{[]string{"pigeon://x"}, `unknown scheme "pigeon"`},
	} {
		got := run(t, append([]string{"conform"}, c.args...)...)
		if got.code != 2 || !strings.Contains(got.stderr, c.want) {
			t.Errorf("conform %q = %d, %q, want 2 and %q", c.args, got.code, got.stderr, c.want)
		}
	}
}

// TestConformInterrupted: who interrupts gets what was found by then.
func TestConformInterrupted(t *testing.T) {
	c := begin(t, "conform", "--wire", "stomp")
	c.stdout.await(t, "pass  WholeMessage")
	got := c.end()
	if got.code != 1 || !strings.Contains(got.stderr, "interrupted") || !strings.Contains(got.stdout, " passed, ") {
		t.Errorf("conform = %d, %q, %s, want 1, interrupted", got.code, got.stderr, got.stdout)
	}
}
