package interop_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"testing"
	"time"

	"github.com/polyport/polyport/rpc"
)

// An ovirtCase is a row of a table of oVirt's: what its name says holds, as the outcome has
// it, which docs/ovirt-facts.md shows.
type ovirtCase struct {
	name, outcome string
	run           func(*testing.T)
}

func runCases(t *testing.T, cases []ovirtCase) {
	t.Helper()
	need(t, python)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t)
		})
	}
}

// A program is one of testdata/ovirt at work. It answers each command by one line.
type program struct {
	t      *testing.T
	name   string
	in     io.Writer
	out    *bufio.Reader
	stderr bytes.Buffer
}

// told is such a line. Each command has some of the fields.
type told struct {
	Failed    string         `json:"failed"`
	Port      int            `json:"port"`
	Connected bool           `json:"connected"`
	Open      bool           `json:"open"`
	Noticed   bool           `json:"noticed"`
	Seconds   float64        `json:"seconds"`
	Found     map[string]int `json:"found"` // how many calls came to what
	Late      int            `json:"late"`
	Buffered  int            `json:"buffered"`
	Deadline  int            `json:"deadline"`
	Body      string         `json:"body"`
	Answer    *struct {
		ID     any             `json:"id"`
		Result json.RawMessage `json:"result"`
		Error  *rpc.Error      `json:"error"`
	} `json:"answer"`
	Events []struct {
		ID     string          `json:"id"`
		Params json.RawMessage `json:"params"`
	} `json:"events"`
	Asked    []string `json:"asked"`
	Promised []string `json:"promised"`
	Sent     []string `json:"sent"`
	Problems []string `json:"problems"`
	Errors   []string `json:"errors"`
	Flows    []string `json:"flows"`
	Frames   []struct {
		Command string            `json:"command"`
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
	} `json:"frames"`
	Subscriptions int `json:"subscriptions"`
}

// result is what a call came to: its result, or its error, or "nothing".
func (a told) result() string {
	switch {
	case a.Answer == nil:
		return "nothing"
	case a.Answer.Error != nil:
		return fmt.Sprintf("error %d: %s", a.Answer.Error.Code, a.Answer.Error.Message)
	}
	return string(a.Answer.Result)
}

// startOVirt starts a program, which explains its options. It is ended when the test
// is.
func startOVirt(t *testing.T, name string, o options) *program {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 3*time.Minute)
	cmd := exec.CommandContext(ctx, python, "testdata/ovirt/"+name)
	p := &program{t: t, name: name}
	cmd.Stderr = &p.stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if t.Failed() && p.stderr.Len() > 0 {
			t.Logf("%s: %.2000s", name, &p.stderr)
		}
	})
	p.in, p.out = in, bufio.NewReader(out)
	if o == nil {
		o = options{}
	}
	p.say(o)
	return p
}

func (p *program) say(o options) {
	line, err := json.Marshal(o)
	if err == nil {
		_, err = p.in.Write(append(line, '\n'))
	}
	if err != nil {
		p.t.Errorf("%s does not read: %v", p.name, err)
	}
}

func (p *program) hear() (a told) {
	p.t.Helper()
	line, err := p.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &a)
	}
	if err != nil {
		p.t.Fatalf("%s said %.200q: %v", p.name, line, err)
	}
	return a
}

// do has the program carry out a command, with arguments by name.
func (p *program) do(command string, args options) told {
	p.t.Helper()
	o := options{"do": command}
	maps.Copy(o, args)
	p.say(o)
	a := p.hear()
	if a.Failed != "" {
		p.t.Fatalf("%s %s: %s", p.name, command, a.Failed)
	}
	return a
}

// call makes a call, and checks what it comes to.
func (p *program) call(want, method string, params any, args ...any) told {
	p.t.Helper()
	o := options{"method": method, "params": params}
	for i := 0; i+1 < len(args); i += 2 {
		o[args[i].(string)] = args[i+1]
	}
	a := p.do("call", o)
	if got := a.result(); got != want {
		p.t.Errorf("%s: %s %v came to %s, want %s", p.name, method, params, got, want)
	}
	return a
}

// all makes n calls at once, and checks that each has its answer.
func (p *program) all(n int, args options) {
	p.t.Helper()
	o := options{"method": "Test.echo", "n": n, "wait": 20}
	maps.Copy(o, args)
	a := p.do("parallel", o)
	if !maps.Equal(a.Found, map[string]int{"answered": n}) {
		p.t.Errorf("%s: %d calls at once came to %v after %.1f s; %+v", p.name, n, a.Found, a.Seconds, p.do("state", nil))
	}
}
