package interop_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// An odl is one of the programs of testdata/odl at work: OpenDaylight's bus, or its
// Python counterpart, as they are on the wire.
type odl struct {
	t      *testing.T
	name   string
	port   int // of one that listens
	stdin  io.WriteCloser
	lines  *bufio.Scanner
	stderr bytes.Buffer
}

// A report is what a program says that it did, or what came of it.
type report struct {
	Event     string          `json:"event"`
	Port      int             `json:"port"`
	Exception string          `json:"exception"`
	Result    json.RawMessage `json:"result"`
	Error     json.RawMessage `json:"error"`
	Sent      any             `json:"sent"` // a text, texts, or a number
	Answer    string          `json:"answer"`
	Answers   []string        `json:"answers"`
	Handle    string          `json:"handle"`
	Executed  []string        `json:"executed"`
	Log       []note          `json:"log"`

	Text    string `json:"text"` // that came next; or
	Topic   string `json:"topic"`
	Empty   bool   `json:"empty"`   // a message without a text did,
	Closed  bool   `json:"closed"`  // the connection ended,
	Timeout bool   `json:"timeout"` // nothing came

	Connections int `json:"connections"`
}

// A note is a line of a program's log.
type note struct {
	What       string            `json:"what"`
	Why        string            `json:"why"`
	Text       string            `json:"text"`
	Topic      string            `json:"topic"`
	Line       string            `json:"line"`
	Status     int               `json:"status"`
	Size       int               `json:"size"`
	More       bool              `json:"more"`
	Fields     map[string]string `json:"fields"`
	Properties map[string]string `json:"properties"`
}

// startODL starts a program in a role. One that listens has its port. It ends when
// the test does.
func startODL(t *testing.T, program, role string, args ...any) *odl {
	t.Helper()
	line := []string{"-B", "testdata/odl/" + program, role}
	for _, a := range args {
		line = append(line, fmt.Sprint(a))
	}
	o := &odl{t: t, name: program + " " + role}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), python, line...)
	cmd.Stderr = &o.stderr
	var err error
	if o.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		missing(t, err.Error(), "apt-get install python3")
	}
	t.Cleanup(func() {
		_ = o.stdin.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() && o.stderr.Len() > 0 {
			t.Logf("%s: %s", o.name, &o.stderr)
		}
	})
	o.lines = bufio.NewScanner(stdout)
	o.lines.Buffer(nil, 8<<20)
	switch role {
	case "rep", "pub", "server":
		o.port = o.next().Port
	}
	return o
}

// next is what the program tells next.
func (o *odl) next() (e report) {
	o.t.Helper()
	if !o.lines.Scan() {
		o.t.Fatalf("%s has ended: %v\n%s", o.name, o.lines.Err(), &o.stderr)
	}
	if err := json.Unmarshal(o.lines.Bytes(), &e); err != nil {
		o.t.Fatalf("%s printed %q: %v", o.name, o.lines.Text(), err)
	}
	return e
}

// do has the program do something, and returns what came of it. What are pairs of a
// name and a value.
func (o *odl) do(action string, what ...any) report {
	o.t.Helper()
	command := map[string]any{"do": action}
	for i := 0; i < len(what); i += 2 {
		command[what[i].(string)] = what[i+1]
	}
	line, err := json.Marshal(command)
	if err != nil {
		o.t.Fatal(err)
	}
	if _, err := o.stdin.Write(append(line, '\n')); err != nil {
		o.t.Fatalf("%s does not read: %v\n%s", o.name, err, &o.stderr)
	}
	return o.next()
}

// ask sends a text, and returns what came of it in a word or as it is.
func (o *odl) ask(text string) string {
	o.t.Helper()
	return o.do("raw", "text", text).short()
}

// short says in one text what came.
func (e report) short() string {
	switch {
	case e.Exception != "":
		return "exception: " + e.Exception
	case e.Empty:
		return "empty"
	case e.Closed:
		return "closed"
	case e.Timeout:
		return "nothing"
	}
	return e.Text
}

// call has a client call, and returns the result as it came, or what it threw.
func (o *odl) call(method string, args ...any) string {
	o.t.Helper()
	if args == nil {
		args = []any{}
	}
	e := o.do("call", "method", method, "args", args, "timeout", 5)
	if e.Exception != "" {
		return e.Exception
	}
	return string(compactJSON(e.Result))
}

// compactJSON takes the blanks out of a text that Python wrote.
func compactJSON(text []byte) []byte {
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		return text
	}
	return b.Bytes()
}

// texts are those that a server has got since it was asked last.
func (o *odl) texts() (all []string) {
	o.t.Helper()
	for _, n := range o.do("log").Log {
		if n.What == "text" || n.What == "request" {
			all = append(all, n.Text)
		}
	}
	return all
}

// await returns the first note of a kind, which may still have to come.
func (o *odl) await(what string) note {
	o.t.Helper()
	var all []note
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		fresh := o.do("log").Log
		for _, n := range fresh {
			if n.What == what {
				return n
			}
		}
		all = append(all, fresh...)
	}
	o.t.Fatalf("%s noted nothing of %q, but %+v", o.name, what, all)
	return note{}
}

// same compares what came with what was to come.
func same(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %.300s, want %.300s", what, got, want)
	}
}

// has checks that a text has a part.
func has(t *testing.T, what, got, part string) {
	t.Helper()
	if !strings.Contains(got, part) {
		t.Errorf("%s: %.300s, want %q in it", what, got, part)
	}
}
