package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

// event is one line of `go test -json`; see `go doc test2json`.
type event struct {
	Action  string `json:"Action"`
	Package string `json:"Package"`
	Test    string `json:"Test"`
	Output  string `json:"Output"`
}

// name is what an event is about: a test or, without one, a package.
type name struct{ pkg, test string }

func (n name) String() string { return n.pkg + " " + n.test }

// skipped is a test that did not run, and what it gave as the reason.
type skipped struct {
	name   name
	reason string
}

// An Account writes what go test would have written and remembers what became
// of each test. Use [NewAccount]; it must not be used concurrently.
type Account struct {
	w        io.Writer
	output   map[name]*strings.Builder // of what has not ended yet
	passed   int
	packages int
	skipped  []skipped
	failed   []name
}

// NewAccount returns an empty account that writes to w.
func NewAccount(w io.Writer) *Account {
	return &Account{w: w, output: map[name]*strings.Builder{}}
}

// Read reads the events that r brings until it ends. It writes a line for each
// package and the output of each failed test. A line that is no event is
// written as it is.
func (a *Account) Read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		var e event
		switch {
		case len(line) == 0:
		case json.Unmarshal(line, &e) != nil:
			_, _ = a.w.Write(line)
		default:
			a.add(e)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (a *Account) add(e event) {
	n := name{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		a.print(e.Output)
	case "output":
		a.buffer(n, e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			a.endPackage(n, e.Action)
		} else {
			a.endTest(n, e.Action)
		}
	}
}

// buffer keeps a line of output, except those that only tell which test runs.
func (a *Account) buffer(n name, line string) {
	if strings.HasPrefix(line, "=== ") {
		return
	}
	b := a.output[n]
	if b == nil {
		b = new(strings.Builder)
		a.output[n] = b
	}
	b.WriteString(line)
}

// take returns and forgets the output kept for n.
func (a *Account) take(n name) string {
	b := a.output[n]
	if b == nil {
		return ""
	}
	delete(a.output, n)
	return b.String()
}

func (a *Account) endTest(n name, action string) {
	out := a.take(n)
	switch action {
	case "pass":
		a.passed++
	case "skip":
		a.skipped = append(a.skipped, skipped{n, reason(out)})
	case "fail":
		a.failed = append(a.failed, n)
		a.print(out)
	}
}

// endPackage writes the package's own lines. Those of a package that passed
// are only its result, as go test has it; a package that failed shows also
// what the tests that never ended had to say, since one of them may be why.
func (a *Account) endPackage(n name, action string) {
	a.packages++
	own := a.take(n)
	if action != "fail" {
		for line := range strings.Lines(own) {
			if strings.HasPrefix(line, "ok  \t") || strings.HasPrefix(line, "?   \t") {
				a.print(line)
			}
		}
		return
	}
	for _, other := range a.unfinished(n.pkg) {
		a.failed = append(a.failed, other)
		a.print(a.take(other))
	}
	if !a.anyFailed(n.pkg) {
		a.failed = append(a.failed, name{n.pkg, "(the package itself)"})
	}
	a.print(own)
}

// unfinished returns, in order, the tests of pkg that said something and have
// not ended.
func (a *Account) unfinished(pkg string) []name {
	var tests []name
	for n := range a.output {
		if n.pkg == pkg {
			tests = append(tests, n)
		}
	}
	slices.SortFunc(tests, func(x, y name) int { return strings.Compare(x.test, y.test) })
	return tests
}

func (a *Account) anyFailed(pkg string) bool {
	return slices.ContainsFunc(a.failed, func(n name) bool { return n.pkg == pkg })
}

// bareLine matches the place of a message that has no text.
var bareLine = regexp.MustCompile(`\.go:\d+:$`)

// reason picks from a skipped test's output what it said.
func reason(out string) string {
	var said []string
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "--- SKIP: ") {
			said = append(said, line)
		}
	}
	if len(said) == 0 || bareLine.MatchString(said[len(said)-1]) {
		said = append(said, "NO REASON GIVEN")
	}
	return strings.Join(said, " ")
}

// Print writes the account: how many tests there were, counting subtests, and
// which of them were skipped or failed.
func (a *Account) Print(took time.Duration) {
	a.print(fmt.Sprintf("\n%d tests passed, %d skipped, %d failed in %d packages (%s)\n",
		a.passed, len(a.skipped), len(a.failed), a.packages, took.Round(time.Second/10)))
	for _, s := range a.skipped {
		a.print(fmt.Sprintf("skipped  %s: %s\n", s.name, s.reason))
	}
	for _, n := range a.failed {
		a.print(fmt.Sprintf("FAILED   %s\n", n))
	}
}

// print writes s. Nobody could be told of an error in writing to a terminal.
func (a *Account) print(s string) { _, _ = io.WriteString(a.w, s) }
