package interop_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/polyport/polyport/transport"
	_ "github.com/polyport/polyport/transport/stomp"
)

// python is Debian's own, because its packages are invisible to any other that
// comes first in PATH.
const python = "/usr/bin/python3"

// options are the input of testdata/stomp_client.py, which explains them.
type options map[string]any

// event is a line of its output.
type event struct {
	Event   string            `json:"event"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	ID      string            `json:"id"`
	Why     string            `json:"why"`
	MS      float64           `json:"ms"`
}

// needStompPy ends the test if stomp.py is not there.
func needStompPy(t *testing.T) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import stomp").CombinedOutput(); err != nil {
		why := fmt.Sprintf("stomp.py is not installed (%s -c 'import stomp': %v) %s", python, err, lastLine(out))
		missing(t, strings.TrimSpace(why), "apt-get install python3-stomp")
	}
}

// stompPy runs the script and returns what it told.
//
// stomp.py reads and writes one TLS connection in two threads, for which
// Python's ssl module is not made: now and then the module fails by itself,
// stomp.py drops the connection, and the script is run again. A server at
// fault would fail all five times.
func stompPy(t *testing.T, o options) []event {
	t.Helper()
	in, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	for attempt := 1; ; attempt++ {
		out, stderr, err := runScript(t, in)
		all := eventsOf(t, out)
		dropped := o["ca"] != nil && attempt < 5 && (err != nil || len(of(all, "lost")) > 0 || len(of(all, "failed")) > 0)
		if !dropped && err != nil {
			t.Fatalf("stomp_client.py with %.1000s: %v\n%.1000s\n%s", in, err, out, stderr)
		}
		if !dropped {
			return all
		}
		t.Logf("attempt %d: %v\n%.1000s\n%s", attempt, err, out, stderr)
	}
}

func runScript(t *testing.T, in []byte) (out []byte, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, "testdata/stomp_client.py")
	var said bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &said
	out, err = cmd.Output()
	return out, said.String(), err
}

func eventsOf(t *testing.T, out []byte) (all []event) {
	t.Helper()
	for line := range strings.Lines(string(out)) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("stomp_client.py printed %q: %v", line, err)
		}
		all = append(all, e)
	}
	return all
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

// of returns the events of one kind.
func of(all []event, kind string) (some []event) {
	for _, e := range all {
		if e.Event == kind {
			some = append(some, e)
		}
	}
	return some
}

// sums are n requests, each with its number as id, for sums that are three
// times that.
func sums(n int) (calls []string) {
	for i := range n {
		calls = append(calls, fmt.Sprintf(`{"jsonrpc": "2.0", "method": "Math.Sum", "params": [%d, %d], "id": %d}`, i, 2*i, i))
	}
	return calls
}

// judgeSums checks the answers to sums(n), and that the session began and
// ended in good order.
func judgeSums(t *testing.T, all []event, n int) {
	t.Helper()
	for _, bad := range []string{"error", "failed", "lost"} {
		if some := of(all, bad); len(some) > 0 {
			t.Errorf("stomp.py told %+v", some)
		}
	}
	answers := of(all, "answer")
	if len(answers) != n {
		t.Fatalf("%d answers, want %d:\n%+v", len(answers), n, all)
	}
	var total time.Duration
	for i, a := range answers {
		var got struct {
			Result *float64 `json:"result"`
			ID     *int     `json:"id"`
		}
		if err := json.Unmarshal([]byte(a.Body), &got); err != nil || got.Result == nil || *got.Result != float64(3*i) || got.ID == nil || *got.ID != i {
			t.Errorf("answer %d is %s (%v), want the result %d and the id %d", i, a.Body, err, 3*i, i)
		}
		if c := a.Headers["correlation-id"]; c != strconv.Itoa(i) {
			t.Errorf("answer %d has correlation-id %q, want that of its request", i, c)
		}
		total += time.Duration(a.MS * float64(time.Millisecond))
	}
	// stomp.py writes a frame in two parts, and delayed acknowledgement of the
	// first costs some 40 ms a call; seconds would be our fault.
	if mean := total / time.Duration(n); mean > time.Second {
		t.Errorf("a call took %v, want well below a second", mean)
	}
	if last := of(all, "receipt"); len(last) == 0 || last[len(last)-1].ID != "bye" {
		t.Errorf("receipts %+v, want bye for the DISCONNECT", last)
	}
}

// forEachVersion runs f with the options of each version.
func forEachVersion(t *testing.T, f func(t *testing.T, o options)) {
	for _, v := range []string{"1.0", "1.1", "1.2"} {
		t.Run(v, func(t *testing.T) {
			t.Parallel()
			f(t, options{"version": v})
		})
	}
}

func TestStompPyCalls(t *testing.T) {
	needStompPy(t)
	for _, c := range []struct {
		name string
		o    options
	}{
		{"reply queue", options{"reply_to": "/queue/answers", "ack": "auto"}},
		{"temporary queue, subscribed", options{"reply_to": "/temp-queue/answers", "ack": "auto"}},
		{"acknowledged", options{"reply_to": "/queue/answers", "ack": "client"}},
		{"acknowledged each", options{"reply_to": "/queue/answers", "ack": "client-individual"}},
		{"with receipts", options{"reply_to": "/queue/answers", "ack": "auto", "receipts": true}},
		{"temporary queue without SUBSCRIBE", options{"reply_to": "/temp-queue/answers"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			forEachVersion(t, func(t *testing.T, o options) {
				maps.Copy(o, c.o)
				o["port"] = startServer(t, "stomp://127.0.0.1:0", nil)
				o["calls"] = sums(20)
				all := stompPy(t, o)
				judgeSums(t, all, 20)
				if got := of(all, "connected"); len(got) != 1 || got[0].Headers["version"] != o["version"] || got[0].Headers["server"] != "polyport" {
					t.Errorf("connected %+v, want version %s of polyport", got, o["version"])
				}
				if c.o["receipts"] == true {
					for i, r := range of(all, "receipt")[:20] {
						if r.ID != fmt.Sprintf("send-%d", i) {
							t.Errorf("receipt %d is %q", i, r.ID)
						}
					}
				}
			})
		})
	}
}

// TestStompPyBodies: what is in a body comes back as it was.
func TestStompPyBodies(t *testing.T) {
	t.Parallel()
	needStompPy(t)
	forEachVersion(t, func(t *testing.T, o options) {
		want := []string{`"plain"`, `"NUL \u0000 and 日本"`, `{"a":[1,2,{"b":null}]}`, `"` + strings.Repeat("long ", 100_000) + `"`}
		var calls []string
		for i, params := range want {
			ascii := strings.NewReplacer("日", `\u65e5`, "本", `\u672c`).Replace(params)
			calls = append(calls, fmt.Sprintf(`{"jsonrpc":"2.0","method":"Echo","params":[%s],"id":%d}`, ascii, i))
		}
		maps.Copy(o, options{"port": startServer(t, "stomp://127.0.0.1:0", nil), "reply_to": "/queue/answers", "ack": "auto", "calls": calls})
		answers := of(stompPy(t, o), "answer")
		if len(answers) != len(want) {
			t.Fatalf("%d answers, want %d", len(answers), len(want))
		}
		for i, a := range answers {
			var got struct {
				Result any `json:"result"`
			}
			var wanted any
			if err := json.Unmarshal([]byte(a.Body), &got); err != nil {
				t.Fatal(err)
			}
			_ = json.Unmarshal([]byte("["+want[i]+"]"), &wanted)
			if !reflect.DeepEqual(got.Result, wanted) {
				t.Errorf("%.100s came back as %.100s", want[i], a.Body)
			}
		}
	})
}

func TestStompPyLogin(t *testing.T) {
	needStompPy(t)
	users := &transport.ListenOptions{Authenticator: transport.Users(map[string]string{"ann": "secret:pass word"})}
	for _, c := range []struct {
		name string
		o    options
		ok   bool
	}{
		{"right", options{"login": "ann", "passcode": "secret:pass word"}, true},
		{"wrong passcode", options{"login": "ann", "passcode": "no"}, false},
		{"unknown user", options{"login": "bob", "passcode": "secret:pass word"}, false},
		{"none", options{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			forEachVersion(t, func(t *testing.T, o options) {
				maps.Copy(o, c.o)
				maps.Copy(o, options{"port": startServer(t, "stomp://127.0.0.1:0", users), "reply_to": "/queue/answers", "ack": "auto", "calls": sums(1)})
				all := stompPy(t, o)
				if c.ok {
					judgeSums(t, all, 1)
					return
				}
				told := of(all, "error")
				if len(told) != 1 || !strings.Contains(told[0].Headers["message"], "password") || len(of(all, "failed")) != 1 || len(of(all, "connected")) != 0 {
					t.Errorf("stomp.py told %+v, want one ERROR about the login and to have failed", all)
				}
			})
		})
	}
}

func TestStompPyOverTLS(t *testing.T) {
	t.Parallel()
	needStompPy(t)
	cert, ca := newCertificate(t)
	secure := &transport.ListenOptions{}
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	forEachVersion(t, func(t *testing.T, o options) {
		maps.Copy(o, options{"port": startServer(t, "stomps://127.0.0.1:0", secure), "ca": ca, "reply_to": "/queue/answers", "ack": "auto", "calls": sums(20)})
		judgeSums(t, stompPy(t, o), 20)
	})
}

// TestStompPyHeartbeats: both ends beat every five seconds and stay together
// while nothing else is said. stomp.py beats exactly as often as it promised,
// so the grace of a tenth has to cover its threads being late.
func TestStompPyHeartbeats(t *testing.T) {
	t.Parallel()
	needStompPy(t)
	beats := &transport.ListenOptions{}
	beats.Heartbeat = 5 * time.Second
	forEachVersion(t, func(t *testing.T, o options) {
		if o["version"] != "1.0" {
			o["heartbeats"] = []int{5000, 5000}
		}
		maps.Copy(o, options{"port": startServer(t, "stomp://127.0.0.1:0", beats), "reply_to": "/queue/answers", "ack": "auto", "idle": 11, "calls": sums(20)})
		all := stompPy(t, o)
		judgeSums(t, all, 20)
		if got := of(all, "connected"); o["version"] != "1.0" && (len(got) != 1 || got[0].Headers["heart-beat"] != "5000,5000") {
			t.Errorf("connected %+v, want heart-beats of 5000,5000", got)
		}
	})
}
