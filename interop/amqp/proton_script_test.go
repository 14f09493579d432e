package amqp_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// python is Debian's own, whose packages are invisible to any other that comes
// first in PATH.
const python = "/usr/bin/python3"

// needProton ends the test if Qpid Proton is not there.
func needProton(t *testing.T) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), python, "-c", "import proton").CombinedOutput()
	if err == nil {
		return
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	why := fmt.Sprintf("Qpid Proton is not installed (%s -c 'import proton': %v) %s; install it: apt-get install python3-qpid-proton", python, err, lines[len(lines)-1])
	if os.Getenv("POLYPORT_REQUIRE_INTEROP") == "1" {
		t.Fatalf("%s; POLYPORT_REQUIRE_INTEROP=1", why)
	}
	t.Skip(why)
}

type options map[string]any

// A told is a line that the script tells.
type told struct {
	Event      string         `json:"event"`
	Why        string         `json:"why"`
	Address    string         `json:"address"`
	Answered   int            `json:"answered"`
	Sent       int            `json:"sent"`
	Lost       []int          `json:"lost"`
	Doubled    []int          `json:"doubled"`
	Wrong      []string       `json:"wrong"`
	Outcomes   map[string]int `json:"outcomes"`
	Disordered int            `json:"disordered"`
	Seconds    float64        `json:"seconds"`
}

// A proton is testdata/proton_client.py at work.
type proton struct {
	t      *testing.T
	cmd    *exec.Cmd
	events chan told     // closed when it has ended
	done   chan struct{} // closed after stderr is complete
	stderr bytes.Buffer
}

// startProton starts the script, which explains its options. It is ended when
// the test is.
func startProton(t *testing.T, o options) *proton {
	t.Helper()
	p := &proton{t: t, events: make(chan told, 16), done: make(chan struct{})}
	p.cmd = exec.CommandContext(t.Context(), python, "../testdata/proton_client.py")
	p.cmd.Stderr = &p.stderr
	in, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.read(stdout)
	t.Cleanup(p.kill)
	if _, err := stdin.Write(append(in, '\n')); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *proton) read(stdout io.Reader) {
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		var e told
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			e = told{Event: "failed", Why: fmt.Sprintf("it printed %q: %v", lines.Text(), err)}
		}
		p.events <- e
	}
	_ = p.cmd.Wait()
	close(p.done)
	close(p.events)
}

// kill ends the script at once, and waits for it.
func (p *proton) kill() {
	_ = p.cmd.Process.Kill()
	for range p.events {
	}
	<-p.done
}

// await returns the next line of a kind.
func (p *proton) await(kind string, patience time.Duration) told {
	p.t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		select {
		case e, more := <-p.events:
			switch {
			case e.Event == kind:
				return e
			case !more, e.Event == "failed", e.Event == "refused", e.Event == "done":
				p.kill()
				p.t.Fatalf("it told %q instead of %q: %s\nstderr: %s", e.Event, kind, e.Why, &p.stderr)
			}
		case <-late.C:
			p.kill()
			p.t.Fatalf("it did not tell %q within %v\nstderr: %s", kind, patience, &p.stderr)
		}
	}
}
