package cli_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/polyport/polyport/rpc"
)

func TestServe(t *testing.T) {
	c := begin(t, "serve", "--listen", "127.0.0.1:0", "--listen", "mem://cli-serve")
	out := c.stdout.await(t, "mem\n")
	lines(t, "serve", out, `listening 127\.0\.0\.1:\d+ amqp http stomp ws zmq`, `listening cli-serve mem`)
	addr := strings.Fields(out)[1]
	for _, url := range []string{"stomp://" + addr, "mem://cli-serve"} {
		if got := run(t, "call", url, "Math.Sum", "[1,2,3]"); got.code != 0 || got.stdout != "6\n" {
			t.Errorf("call %s = %+v, want 6", url, got)
		}
	}
	// Somebody else cannot listen there.
	if got := run(t, "serve", "--listen", addr); got.code != 1 || !strings.Contains(got.stderr, "address already in use") || !strings.Contains(got.stderr, "port 0") {
		t.Errorf("a second serve = %+v, want 1 and advice", got)
	}
	got := c.end()
	if got.code != 0 || got.stdout != out || !strings.Contains(got.stderr, "unanswered=0") {
		t.Errorf("serve = %+v, want 0", got)
	}
	if got := run(t, "call", "stomp://"+addr, "Echo"); got.code != 3 || !strings.Contains(got.stderr, "connection refused") {
		t.Errorf("call after the end = %+v, want 3", got)
	}
}

// A signal that comes before serve has started ends it in order, too.
func TestServeInterruptedAtOnce(t *testing.T) {
	for range 20 {
		c := begin(t, "serve", "--listen", "127.0.0.1:0")
		if got := c.end(); got.code != 0 || !strings.Contains(got.stderr, "unanswered=0") {
			t.Fatalf("serve = %+v, want 0", got)
		}
	}
}

// The configuration of serve comes from file, environment and flags.
func TestServeConfig(t *testing.T) {
	users := file(t, "users", "bob:hunter2\n")
	conf := file(t, "polyport.yaml", "listen: 'mem://from-file'\nusers: {ann: hunter2}\nlog: {level: error}\nstop_timeout: 3s\n")
	t.Setenv("POLYPORT_CONFIG", conf)
	t.Setenv("POLYPORT_LISTEN", "mem://from-env,127.0.0.1:0")
	t.Setenv("POLYPORT_LOG_LEVEL", "warn")
	c := begin(t, "serve", "--json", "--log-level", "debug", "--users-file", users, "--timeout", "5s")
	out := c.stdout.await(t, "stomp")
	lines(t, "serve --json", out, `\{"listening":"from-env","wires":\["mem"\]\}`, `\{"listening":"127\.0\.0\.1:\d+","wires":\["amqp","http","stomp","ws","zmq"\]\}`)
	for login, code := range map[string]int{"ann:hunter2@": 0, "bob:hunter2@": 0, "": 3} {
		if got := run(t, "call", "mem://"+login+"from-env", "Echo"); got.code != code {
			t.Errorf("call as %q = %+v, want %d", login, got, code)
		}
	}
	got := c.end()
	if got.code != 0 || strings.Contains(got.stderr, "hunter2") {
		t.Errorf("serve = %d, %s", got.code, got.stderr)
	}
	levels := map[string]bool{}
	for line := range strings.Lines(got.stderr) {
		var record struct {
			Level string `json:"level"`
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		levels[record.Level] = true
	}
	if !levels["DEBUG"] || !levels["INFO"] {
		t.Errorf("levels logged: %v, want debug and info", levels)
	}
}

// Requests that are not answered within the timeout make serve fail, in time.
func TestServeStopsLate(t *testing.T) {
	c := begin(t, "serve", "--listen", "127.0.0.1:0", "--timeout", "200ms")
	addr := strings.Fields(c.stdout.await(t, "zmq\n"))[1]
	client, err := rpc.Dial(t.Context(), "stomp://"+addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	sleeping := rpc.Go[int](t.Context(), client, "Sleep", []int{60_000})
	if err := client.Call(t.Context(), "Echo", nil, nil); err != nil { // which came after it
		t.Fatal(err)
	}
	began := time.Now()
	got := c.end()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("serve took %v to stop, want about 200 ms", took)
	}
	if got.code != 1 || !strings.Contains(got.stderr, "1 requests were not answered") {
		t.Errorf("serve = %+v, want 1", got)
	}
	if _, err := sleeping.Get(t.Context()); err == nil {
		t.Error("the call = nil, want an error")
	}
}

// A profile has a line of its own for each address that has it, and the sample of oVirt.
func TestServeProfile(t *testing.T) {
	c := begin(t, "serve", "--listen", "127.0.0.1:0", "--listen", "mem://cli-profile", "--profile", "ovirt", "--destination", "rpc", "--destination", "calc")
	out := c.stdout.await(t, "cli-profile mem\nprofile ovirt cli-profile mem\n")
	lines(t, "serve --profile", out, `listening 127\.0\.0\.1:\d+ amqp http stomp ws zmq`, `profile ovirt 127\.0\.0\.1:\d+ stomp`, `listening cli-profile mem`, `profile ovirt cli-profile mem`)
	addr := strings.Fields(out)[1]
	if got := run(t, "call", "zmq://"+addr, "Test.echo", `{"msg":"hello"}`); got.code != 0 || got.stdout != "\"hello\"\n" {
		t.Errorf("call Test.echo = %+v, want hello", got)
	}
	if got := run(t, "call", "stomp://"+addr+"/queue/calc", "Math.Sum", "[1,2]"); got.code != 0 || got.stdout != "3\n" {
		t.Errorf("call of another queue = %+v, want 3", got)
	}
	if got := c.end(); got.code != 0 {
		t.Errorf("serve = %+v, want 0", got)
	}
	for _, args := range [][]string{{"--profile", "vdsm"}, {"--listen", "127.0.0.1:0?profile=vdsm"}} {
		if got := run(t, append([]string{"serve"}, args...)...); got.code != 2 || !strings.Contains(got.stderr, `unknown profile "vdsm"; known are ovirt, odl`) {
			t.Errorf("serve %q = %+v, want 2 and the known ones", args, got)
		}
	}
}
