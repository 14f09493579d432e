package interop_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/polyport/polyport/transport/zmq"
)

// needPyzmq ends the test if pyzmq, which brings libzmq, is not there.
func needPyzmq(t *testing.T) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import zmq").CombinedOutput(); err != nil {
		why := fmt.Sprintf("pyzmq is not installed (%s -c 'import zmq': %v) %s", python, err, lastLine(out))
		missing(t, strings.TrimSpace(why), "apt-get install python3-zmq")
	}
}

// A zmqEvent is a line that a script tells.
type zmqEvent struct {
	Event   string           `json:"event"`
	Why     string           `json:"why"`
	Port    int              `json:"port"`
	Workers int              `json:"workers"`
	What    string           `json:"what"`
	Value   int              `json:"value"`
	Topic   string           `json:"topic"`
	Numbers map[string][]int `json:"numbers"`
	Seconds float64          `json:"seconds"`

	Answered int      `json:"answered"`
	Lost     []int    `json:"lost"`
	Doubled  []int    `json:"doubled"`
	Wrong    []string `json:"wrong"`
}

// A script is one of testdata at work, with sockets of libzmq.
type script struct {
	t      *testing.T
	name   string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	events chan zmqEvent // closed when it has ended
	done   chan struct{} // closed after stderr is complete
	stderr bytes.Buffer
	seen   []zmqEvent // by await
}

// startScript starts a script, which explains its options. It is ended when the
// test is.
func startScript(t *testing.T, name string, o options) *script {
	t.Helper()
	return startProgram(t, []string{python, "testdata/" + name}, o)
}

// startProgram starts one that is a command line.
func startProgram(t *testing.T, command []string, o options) *script {
	t.Helper()
	s := &script{t: t, name: command[len(command)-1], events: make(chan zmqEvent, 1024), done: make(chan struct{})}
	s.cmd = exec.CommandContext(t.Context(), command[0], command[1:]...)
	s.cmd.Stderr = &s.stderr
	in, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	s.stdin, err = s.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go s.read(stdout)
	t.Cleanup(s.kill)
	s.say(string(in))
	return s
}

func (s *script) read(stdout io.Reader) {
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var e zmqEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			e = zmqEvent{Event: "failed", Why: fmt.Sprintf("it printed %q: %v", lines.Text(), err)}
		}
		s.events <- e
	}
	_ = s.cmd.Wait()
	close(s.done)
	close(s.events)
}

// say writes a line to the script.
func (s *script) say(line string) {
	if _, err := io.WriteString(s.stdin, line+"\n"); err != nil {
		s.t.Errorf("%s does not read: %v", s.name, err)
	}
}

// kill ends the script at once, and waits for it.
func (s *script) kill() {
	_ = s.cmd.Process.Kill()
	for range s.events {
	}
	<-s.done
}

// await returns the next event of a kind. Those before it are in seen.
func (s *script) await(kind string, patience time.Duration) zmqEvent {
	s.t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		select {
		case e, more := <-s.events:
			switch {
			case !more:
				s.fatalf("it ended instead of telling %q", kind)
			case e.Event == kind:
				return e
			case e.Event == "failed":
				s.fatalf("it failed instead of telling %q: %s", kind, e.Why)
			}
			s.seen = append(s.seen, e)
		case <-late.C:
			s.fatalf("it did not tell %q within %v", kind, patience)
		}
	}
}

// fatalf ends the test with all that is known of the script.
func (s *script) fatalf(format string, args ...any) {
	s.t.Helper()
	_ = s.cmd.Process.Kill()
	for e := range s.events {
		s.seen = append(s.seen, e)
	}
	<-s.done
	s.t.Fatalf("%s: %s\nit told %+v\nstderr: %s", s.name, fmt.Sprintf(format, args...), s.seen, &s.stderr)
}

// monitored are the events of its connection that a client has told.
func (s *script) monitored() (all []string) {
	for _, e := range s.seen {
		if e.Event == "monitor" {
			all = append(all, e.What)
		}
	}
	return all
}

// listen starts a script that listens, and returns its port.
func listen(t *testing.T, name string, o options) (s *script, port int) {
	t.Helper()
	s = startScript(t, name, o)
	return s, s.await("listening", patience).Port
}

// patience is how long a script may take for what takes a moment.
const patience = 20 * time.Second

// judgeClient checks that every call of zmq_client.py was answered once and
// rightly, on one connection, and returns how many it made a second.
func judgeClient(t *testing.T, s *script, calls int) (rate float64) {
	t.Helper()
	e := s.await("done", time.Duration(calls)*10*time.Millisecond+patience)
	if e.Answered != calls || len(e.Lost)+len(e.Doubled)+len(e.Wrong) > 0 {
		t.Errorf("%d answers to %d calls; the first that were lost: %v; doubled: %v; wrong: %q", e.Answered, calls, e.Lost, e.Doubled, e.Wrong)
	}
	if got := s.monitored(); !slices.Equal(got, []string{"connected"}) {
		t.Errorf("libzmq saw %q of its connection, want that it connected and no more", got)
	}
	return float64(e.Answered) / e.Seconds
}

// tcp is the endpoint of libzmq for a port.
func tcp(port int) string { return fmt.Sprintf("tcp://127.0.0.1:%d", port) }
