package main_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"

	_ "github.com/polyport/polyport/transport/amqp"
	_ "github.com/polyport/polyport/transport/http"
	_ "github.com/polyport/polyport/transport/zmq"
)

// consume starts "polyport serve" of queues in a process of its own, and returns
// when it has subscribed.
func consume(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), polyport, append([]string{"serve"}, args...)...)
	var log bytes.Buffer
	cmd.Stderr = &log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait() // those that the test has killed end with an error
		if t.Failed() {
			t.Logf("polyport serve %q:\n%s", args, &log)
		}
	})
	lines := bufio.NewReader(stdout)
	for i, a := range args {
		if i == 0 || args[i-1] != "--consume" {
			continue
		}
		if line, err := lines.ReadString('\n'); err != nil || line != "consuming "+a+"\n" {
			t.Fatalf("serve --consume says %q, %v, want: consuming %s\n%s", line, err, a, &log)
		}
	}
	return cmd
}

// say runs the command and returns what it prints, to both outputs.
func say(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), polyport, args...).CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out)
}

// TestBroker: services in other processes are reached through "serve --broker" by
// the same command lines as through RabbitMQ, and by their names.
func TestBroker(t *testing.T) {
	process := serve(t, "--broker")
	t.Cleanup(func() { process.wait() })
	broker := process.addr
	consume(t, "--consume", "stomp://"+broker+"/queue/calc", "--consume", "stomp://"+broker+"/queue/Other", "--at-least-once")
	consume(t, "--consume", "amqp://"+broker+"/calc")
	for _, args := range [][]string{
		{"call", "stomp://" + broker + "/queue/calc", "Math.Sum", "[1,2,3]"},
		{"call", "amqp://" + broker + "/calc", "Math.Sum", "[1,2,3]"},
		{"call", "amqp://" + broker + "/queue/calc", "Math.Sum", "[1,2,3]"},
	} {
		for range 4 { // two by each server
			if got := say(t, args...); got != "6\n" {
				t.Errorf("polyport %q prints %q, want 6", args, got)
			}
		}
	}
	// The server that consumes /queue/Other does not have the method either, but its
	// answer is that of whoever was found by the name.
	for _, wire := range []string{"http", "stomp", "ws", "amqp", "zmq"} {
		if got := say(t, "call", wire+"://"+broker, "Other.Thing"); !strings.Contains(got, "-32601") {
			t.Errorf("%s: a method of the service Other: %s", wire, got)
		}
	}
	stats := say(t, "call", "http://"+broker, "broker.stats")
	for _, want := range []string{`"connections":3,`, `"name":"calc"`, `"name":"Other"`, `"in":12`, `"in":5`} {
		if !strings.Contains(stats, want) {
			t.Errorf("broker.stats = %s, want %s in it", stats, want)
		}
	}
	if got := say(t, "call", "http://"+broker, "Nobody.Knows"); !strings.Contains(got, "-32601") {
		t.Errorf("a method of nobody: %s", got)
	}
	if runtime.GOOS == "windows" {
		return
	}
	process.signal(t, syscall.SIGTERM)
	if state, log := process.wait(); state.ExitCode() != 0 || !strings.Contains(log, "msg=stopped unanswered=0") {
		t.Errorf("serve --broker ends with %v:\n%s", state, log)
	}
}

// TestBrokerKilledServer: a broker, two servers on different wires and a caller. One
// server is killed under load, another one takes its place, and no call is lost.
// POLYPORT_LONG=1 runs the long form.
func TestBrokerKilledServer(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("windows has no SIGKILL")
	}
	calls, callers := 2_000, 16
	if os.Getenv("POLYPORT_LONG") != "" {
		calls = 100_000
	}
	process := serve(t, "--broker")
	t.Cleanup(func() { process.wait() })
	broker := process.addr
	first, second := "stomp://"+broker+"/queue/calc", "amqp://"+broker+"/queue/calc"
	killed := []*exec.Cmd{consume(t, "--consume", first, "--at-least-once"), consume(t, "--consume", second, "--at-least-once")}
	for _, url := range []string{first, second} {
		victim := killed[0]
		callWhileKilled(t, url, victim, calls, callers)
		killed = append(killed[1:], consume(t, "--consume", url, "--at-least-once"))
	}
	var stats struct {
		Queues []struct {
			Name        string `json:"name"`
			Redelivered int    `json:"redelivered"`
		} `json:"queues"`
	}
	text := say(t, "call", "http://"+broker, "broker.stats")
	if err := json.Unmarshal([]byte(text), &stats); err != nil {
		t.Fatalf("broker.stats = %s: %v", text, err)
	}
	for _, q := range stats.Queues {
		if q.Name == "calc" && q.Redelivered < 2 {
			t.Errorf("broker.stats = %s: %d messages were delivered again; each of two servers had some when it was killed", text, q.Redelivered)
		}
	}
}

// callWhileKilled makes calls to url, and kills a server after a quarter of them.
func callWhileKilled(t *testing.T, url string, victim *exec.Cmd, calls, callers int) {
	t.Helper()
	c, err := rpc.Dial(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var next, lost atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for n := int(next.Add(1)); n <= calls; n = int(next.Add(1)) {
				var err error
				if n == calls/4 {
					err = killAtWork(t.Context(), c, victim)
				} else {
					err = add(t.Context(), c, n)
				}
				if err != nil {
					lost.Add(1)
					t.Errorf("call %d: %v", n, err)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d calls by %s, %d lost", calls, url, lost.Load())
}

// killAtWork kills a server that has some of our calls under way, and waits for their
// answers, which come from another one.
func killAtWork(ctx context.Context, c *rpc.Client, victim *exec.Cmd) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var slow []*queue.Future[int]
	for range 8 { // the servers take turns
		slow = append(slow, rpc.Go[int](ctx, c, "Sleep", map[string]int{"ms": 500}))
	}
	if err := add(ctx, c, 0); err != nil { // the slow ones have been handed out before it
		return err
	}
	if err := victim.Process.Kill(); err != nil {
		return err
	}
	for _, f := range slow {
		if got, err := f.Get(ctx); err != nil || got != 500 {
			return fmt.Errorf("a call that was under way: %d, %w", got, err)
		}
	}
	return nil
}

// add makes a call whose answer is known to be its own.
func add(ctx context.Context, c *rpc.Client, n int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	got, err := rpc.Call[int](ctx, c, "Math.Sum", []int{n, n})
	if err == nil && got != 2*n {
		err = fmt.Errorf("the sum of %d and %d is %d", n, n, got)
	}
	return err
}
