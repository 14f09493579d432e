package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/cmd/polyport/internal/cli"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// lines matches text line by line with patterns.
func lines(t *testing.T, what, text string, patterns ...string) {
	t.Helper()
	got := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(got) != len(patterns) {
		t.Fatalf("%s prints %d lines, want %d:\n%s", what, len(got), len(patterns), text)
	}
	for i, p := range patterns {
		if !regexp.MustCompile(`^` + p + `$`).MatchString(got[i]) {
			t.Errorf("%s, line %d: %q, want %s", what, i+1, got[i], p)
		}
	}
}

func TestHelp(t *testing.T) {
	verbs := []string{"demo", "serve", "call", "notify", "batch", "events", "discover", "gen", "ping", "bench", "conform", "version"}
	for _, args := range [][]string{{"--help"}, {"-h"}, {"help"}} {
		got := run(t, args...)
		if got.code != 0 || got.stderr != "" {
			t.Errorf("%q = %d, %q, want 0", args, got.code, got.stderr)
		}
		for _, verb := range verbs {
			if !regexp.MustCompile(`(?m)^  ` + verb + ` `).MatchString(got.stdout) {
				t.Errorf("%q does not list %s:\n%s", args, verb, got.stdout)
			}
		}
		for _, later := range []string{"console"} {
			if strings.Contains(got.stdout, later) {
				t.Errorf("%q lists %s, which does not exist", args, later)
			}
		}
	}
	for _, verb := range verbs {
		for _, args := range [][]string{{verb, "--help"}, {"help", verb}} {
			got := run(t, args...)
			if got.code != 0 || !strings.HasPrefix(got.stdout, "Usage: polyport "+verb) || got.stderr != "" {
				t.Errorf("%q = %d, %q, %q", args, got.code, got.stdout, got.stderr)
			}
			for _, flag := range []string{"--json", "--timeout", "--cacert", "--cert", "--key", "--insecure"} {
				if !strings.Contains(got.stdout, flag) {
					t.Errorf("%q does not explain %s", args, flag)
				}
			}
		}
	}
}

func TestVersion(t *testing.T) {
	lines(t, "version", run(t, "version").stdout, `polyport \S+ \(go\S+; wires: .*mem, .*stomp.*\)`)
	lines(t, "version --json", run(t, "version", "--json").stdout, `\{"go":"go.*","version":".+","wires":\[.*"stomp".*\]\}`)
}

func TestDemo(t *testing.T) {
	got := run(t, "demo")
	if got.code != 0 || got.stderr != "" {
		t.Errorf("demo = %d, %q, want 0", got.code, got.stderr)
	}
	var plain, inJSON []string
	for _, l := range []struct{ wire, address string }{
		{"mem", `mem://demo:\d+`},
		{"amqp", `amqp://HOST`},
		{"http", `http://HOST`},
		{"xmlrpc", `http://HOST/\?format=xmlrpc`},
		{"stomp", `stomp://HOST`},
		{"ws", `ws://HOST`},
		{"zmq", `zmq://HOST\?socket=dealer`},
		{"zmq", `zmq://HOST\?socket=req`},
		{"amqps", `amqps://HOST`},
		{"https", `https://HOST`},
		{"xmlrpc", `https://HOST/\?format=xmlrpc`},
		{"stomps", `stomps://HOST`},
		{"wss", `wss://HOST`},
		{"zmqs", `zmqs://HOST\?socket=dealer`},
		{"zmqs", `zmqs://HOST\?socket=req`},
	} {
		address := strings.ReplaceAll(l.address, "HOST", `127\.0\.0\.1:\d+`)
		plain = append(plain, l.wire+` +[\d.]+ +`+address+` +Math\.Sum \[1,2,3\] = 6 +[\d.]+(µs|ms)`)
		inJSON = append(inJSON, `\{"wire":"`+l.wire+`","version":"[\d.]+","address":"`+address+`","answer":6,"round_trip_us":[\d.]+\}`)
	}
	lines(t, "demo", got.stdout, append(plain, fmt.Sprintf(`all %d wires agree`, len(plain)))...)
	lines(t, "demo --json", run(t, "demo", "--json").stdout, append(inJSON, fmt.Sprintf(`\{"agree":true,"wires":%d\}`, len(plain)))...)
	if ports := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindAllString(got.stdout, -1); len(slices.Compact(ports)) != 1 {
		t.Errorf("the wires are at the ports %q, want one", ports)
	}

	cert, key := certificate(t)
	both := len(plain)
	got = run(t, "demo", "--cert", cert, "--key", key, "--cacert", cert)
	if got.code != 0 || !strings.Contains(got.stdout, "stomps://127.0.0.1:") || !strings.Contains(got.stdout, fmt.Sprintf("all %d wires agree", both)) {
		t.Errorf("demo with TLS = %d, %q, %q", got.code, got.stdout, got.stderr)
	}
	// A wire that cannot be called is a line that says why.
	got = run(t, "demo", "--cert", cert, "--key", key)
	if got.code != 1 || !strings.Contains(got.stdout, "failed: ") || !strings.Contains(got.stdout, fmt.Sprintf("the %d wires do not agree", both)) {
		t.Errorf("demo with TLS that nobody trusts = %d, %q, %q", got.code, got.stdout, got.stderr)
	}
}

func TestPing(t *testing.T) {
	cert, key := certificate(t)
	url := serve(t, app.Config{
		Listen: []string{"stomps://127.0.0.1:0"}, TLS: app.TLSConfig{Cert: cert, Key: key},
		Users: map[string]app.Secret{"ann": "hunter2"}, Heartbeat: 20 * time.Second,
	})
	url = strings.Replace(url, "://", "://ann:hunter2@", 1)
	got := run(t, "ping", url, "--cacert", cert)
	if got.code != 0 || got.stderr != "" {
		t.Fatalf("ping = %d, %q, want 0", got.code, got.stderr)
	}
	lines(t, "ping", got.stdout,
		`wire +stomp 1\.2`, `mode +duplex`, `address +127\.0\.0\.1:\d+`, `peer +polyport.*`, `user +ann`,
		`tls +TLS 1\.3, TLS_\w+, CN=polyport test until \d{4}-\d\d-\d\d`, `heart-beat +20s out, 20s in`,
		`limits +message 4 MiB, header 64 KiB in 128 fields, 1024 subscriptions, 1024 unsettled .*`,
		`round trip +min [\d.]+(µs|ms), avg [\d.]+(µs|ms) \(3 calls\)`)

	got = run(t, "ping", url, "--cacert", cert, "--json")
	var p struct {
		Wire    string `json:"wire"`
		Version string `json:"version"`
		User    string `json:"user"`
		TLS     struct {
			Version string `json:"version"`
		} `json:"tls"`
		Heartbeat int64 `json:"heartbeat_out_us"`
		Limits    struct {
			Message int `json:"message_bytes"`
		} `json:"limits"`
		RoundTrip struct {
			Calls int   `json:"calls"`
			Min   int64 `json:"min_us"`
		} `json:"round_trip"`
	}
	if err := json.Unmarshal([]byte(got.stdout), &p); err != nil {
		t.Fatalf("ping --json prints %q: %v", got.stdout, err)
	}
	if p.Wire != "stomp" || p.Version != "1.2" || p.User != "ann" || p.TLS.Version != "TLS 1.3" ||
		p.Heartbeat != 20_000_000 || p.Limits.Message != 4<<20 || p.RoundTrip.Calls != 3 || p.RoundTrip.Min <= 0 {
		t.Errorf("ping --json = %+v from %s", p, got.stdout)
	}
	if strings.Contains(got.stdout, "hunter2") {
		t.Errorf("ping shows the password: %s", got.stdout)
	}
}

// A server without the method Echo answers, too; one without heart-beats and
// TLS is described as such.
func TestPingOther(t *testing.T) {
	l, err := transport.Listen(t.Context(), "stomp://127.0.0.1:0", &transport.ListenOptions{Options: transport.Options{Heartbeat: -1}})
	if err != nil {
		t.Fatal(err)
	}
	s := rpc.NewServer(nil, nil)
	done := make(chan error)
	go func() { done <- s.Serve(context.Background(), l) }()
	got := run(t, "ping", "stomp://"+l.Addr().String())
	if got.code != 0 {
		t.Fatalf("ping = %d, %q, want 0", got.code, got.stderr)
	}
	for _, want := range []string{`user +none`, `tls +none`, `heart-beat +none out, none in`, `round trip +min .*\(3 calls\)`} {
		if !regexp.MustCompile(`(?m)^` + want + `$`).MatchString(got.stdout) {
			t.Errorf("ping prints %q, want %s", got.stdout, want)
		}
	}
	_ = l.Close()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	<-done
}

// A verb whose output nobody takes does not pretend success.
func TestClosedStdout(t *testing.T) {
	url := serve(t, app.Config{})
	r, w := io.Pipe()
	_ = r.Close()
	var stderr buffer
	if code := cli.Run(t.Context(), []string{"call", url, "Echo"}, strings.NewReader(""), w, &stderr); code != 1 {
		t.Errorf("call with a closed stdout = %d, %s, want 1", code, stderr.String())
	}
}

// Nobody listens at port 1, says the manual.
func TestRefusedWithinTimeout(t *testing.T) {
	if c, err := net.Dial("tcp", "127.0.0.1:1"); err == nil {
		_ = c.Close()
		t.Skip("somebody listens at port 1 of this machine")
	}
	got := run(t, "call", "stomp://127.0.0.1:1", "Echo", "[]")
	want := "polyport call: no answer, nothing was sent: connection refused\n" +
		"    is a server listening at 127.0.0.1:1? start one with: polyport serve --listen 127.0.0.1:1\n"
	if got != (outcome{3, "", want}) {
		t.Errorf("call = %+v, want 3 and %s", got, want)
	}
}

func ExampleRun() {
	code := cli.Run(context.Background(), []string{"call", "stomp://127.0.0.1:7070", "Echo", "5"}, strings.NewReader(""), os.Stdout, os.Stdout)
	fmt.Println("exit status", code)
	// Output:
	// polyport call: PARAMS: expected an array or an object, such as '[1,2,3]' or '{"ms":10}'; got number
	//     see: polyport call --help
	// exit status 2
}
