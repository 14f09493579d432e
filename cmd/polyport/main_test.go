package main_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/polyport/polyport/rpc"

	_ "github.com/polyport/polyport/transport/stomp"
)

// polyport is the program, built once.
var polyport string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "polyport")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		polyport = filepath.Join(dir, "polyport")
		if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", polyport, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
			return 1
		}
		code := m.Run()
		if err := goleak.Find(); code == 0 && err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}())
}

// A process is a running "polyport serve".
type process struct {
	cmd  *exec.Cmd
	addr string

	mu  sync.Mutex
	log bytes.Buffer
	// stopping gets a token when the log says that it stops.
	stopping chan struct{}
	drained  chan struct{} // closed when the log has ended
}

func serve(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{
		cmd:      exec.CommandContext(t.Context(), polyport, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...),
		stopping: make(chan struct{}, 1), drained: make(chan struct{}),
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.drained)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			p.mu.Lock()
			fmt.Fprintln(&p.log, lines.Text())
			p.mu.Unlock()
			if strings.Contains(lines.Text(), "msg=stopping") {
				p.stopping <- struct{}{}
			}
		}
	}()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	words := strings.Fields(line)
	if len(words) != 7 || words[0] != "listening" || words[4] != "stomp" {
		t.Fatalf("the first line is %q, %v, want listening ADDR amqp http stomp ws zmq", line, err)
	}
	p.addr = words[1]
	return p
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// wait waits for the end, and returns it with the log.
func (p *process) wait() (*os.ProcessState, string) {
	<-p.drained
	_ = p.cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.ProcessState, p.log.String()
}

// A load is callers that call until they are refused, and what became of
// their calls.
type load struct {
	mu       sync.Mutex
	outcomes map[string]int
	enough   chan struct{} // closed when 100 calls were answered
	strange  []string
}

// outcome of one call; ours says whether the answer is that to it.
func (l *load) note(err error, ours bool) {
	what := rpc.OutcomeOf(err).String()
	if e, ok := errors.AsType[*rpc.Error](err); ok {
		what = fmt.Sprint("error ", int(e.Code))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outcomes[what]++
	if err == nil && !ours {
		l.strange = append(l.strange, "an answer to another call")
	}
	if what == "answered" && l.outcomes[what] == 100 {
		close(l.enough)
	}
}

func (l *load) caller(ctx context.Context, c *rpc.Client, seed int) {
	for n := seed; ; n++ {
		var err error
		if n%2 == 0 {
			ms := n%20 + 1
			var got int
			got, err = rpc.Call[int](ctx, c, "Sleep", []int{ms})
			l.note(err, got == ms)
		} else {
			var got []int
			got, err = rpc.Call[[]int](ctx, c, "Echo", []int{seed, n})
			l.note(err, len(got) == 2 && got[0] == seed && got[1] == n)
		}
		if err != nil {
			return
		}
	}
}

// SIGTERM under load, 20 times: what was accepted is answered, the rest is
// refused, and the process ends in time with status 0.
func TestTerminateUnderLoad(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("windows has no SIGTERM")
	}
	const rounds, clients, callers = 20, 8, 4
	const stopTimeout = 10 * time.Second
	total := map[string]int{}
	for round := range rounds {
		p := serve(t, "--timeout", stopTimeout.String())
		l := &load{outcomes: map[string]int{}, enough: make(chan struct{})}
		var all []*rpc.Client
		var wg sync.WaitGroup
		for i := range clients {
			c, err := rpc.Dial(t.Context(), "stomp://"+p.addr, nil)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, c)
			for j := range callers {
				wg.Go(func() { l.caller(t.Context(), c, i*1000+j) })
			}
		}
		<-l.enough
		began := time.Now()
		p.signal(t, syscall.SIGTERM)
		state, log := p.wait()
		if took := time.Since(began); took > stopTimeout || state.ExitCode() != 0 {
			t.Errorf("round %d: %v after %v, want status 0 within %v:\n%s", round, state, took, stopTimeout, log)
		}
		wg.Wait()
		if !strings.Contains(log, "msg=stopped unanswered=0") {
			t.Errorf("round %d: the log does not say unanswered=0:\n%s", round, log)
		}
		if c, err := rpc.Dial(t.Context(), "stomp://"+p.addr, nil); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("round %d: a new connection = %v, %v, want it refused", round, c, err)
		}
		for _, c := range all {
			_ = c.Close()
		}
		for outcome, n := range l.outcomes {
			switch outcome {
			case "answered", "not sent", "unknown", fmt.Sprint("error ", int(rpc.CodeShuttingDown)):
				total[outcome] += n
			default:
				t.Errorf("round %d: %d calls ended as %s", round, n, outcome)
			}
		}
		if l.strange != nil {
			t.Errorf("round %d: %v", round, l.strange)
		}
	}
	t.Logf("outcomes of all calls: %v", total)
	// Each caller stops at its first failure, so this many calls failed.
	if failed := total["not sent"] + total["unknown"] + total[fmt.Sprint("error ", int(rpc.CodeShuttingDown))]; failed != rounds*clients*callers {
		t.Errorf("%d calls failed, want %d: one for each caller", failed, rounds*clients*callers)
	}
}

// The first signal lets a request finish, the second does not.
func TestSecondSignal(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("windows has no SIGTERM")
	}
	p := serve(t, "--timeout", "60s")
	c, err := rpc.Dial(t.Context(), "stomp://"+p.addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sleeping := rpc.Go[int](t.Context(), c, "Sleep", []int{60_000})
	if err := c.Call(t.Context(), "Echo", nil, nil); err != nil { // which came after it
		t.Fatal(err)
	}
	began := time.Now()
	p.signal(t, os.Interrupt)
	<-p.stopping
	p.signal(t, syscall.SIGTERM)
	state, _ := p.wait()
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the process took %v to end, want no time", took)
	}
	if status, ok := state.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("the process ended with %v, want by the signal", state)
	}
	if _, err := sleeping.Get(t.Context()); rpc.OutcomeOf(err) != rpc.Unknown {
		t.Errorf("the call = %v, want an unknown outcome", err)
	}
}

// The commands of the first minute.
func TestFirstMinute(t *testing.T) {
	p := serve(t)
	tests := []struct {
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{[]string{"call", "stomp://" + p.addr, "Math.Sum", "[1,2,3]"}, 0, "6\n", ""},
		{[]string{"call", "stomp://" + p.addr, "Fail", `{"code":7,"message":"no"}`}, 1, "", `{"code":7,"message":"no"}` + "\n"},
		{[]string{"notify", "stomp://" + p.addr, "Echo"}, 0, "", ""},
	}
	for _, tt := range tests {
		cmd := exec.CommandContext(t.Context(), polyport, tt.args...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		_ = cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != tt.code || stdout.String() != tt.stdout || stderr.String() != tt.stderr {
			t.Errorf("polyport %q = %d, %q, %q, want %d, %q, %q", tt.args, code, &stdout, &stderr, tt.code, tt.stdout, tt.stderr)
		}
	}
	p.signal(t, os.Interrupt)
	if state, log := p.wait(); state.ExitCode() != 0 {
		t.Errorf("serve ends with %v:\n%s", state, log)
	}

	// The best of three, for the machine may be busy with other things.
	best := time.Hour
	for range 3 {
		began := time.Now()
		out, err := exec.CommandContext(t.Context(), polyport, "demo").CombinedOutput()
		if best = min(best, time.Since(began)); err != nil || !strings.HasSuffix(string(out), " wires agree\n") {
			t.Errorf("polyport demo = %v, want success:\n%s", err, out)
		}
	}
	if best > time.Second {
		t.Errorf("polyport demo takes %v, want less than 1 s", best)
	}
}
