package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/polyport/polyport/conformance"
)

type conform struct {
	common

	URL  *target  `arg:"" optional:"" help:"SCHEME://[USER:PASSWORD@]HOST:PORT[/DESTINATION] of a server, or a broker."`
	Wire string   `placeholder:"NAME" help:"Test this program's own wire of that name instead."`
	Rule []string `placeholder:"NAME" help:"Test this rule only; may be repeated."`
}

// Help is shown by conform --help.
func (*conform) Help() string {
	return `With --wire both ends of the wire are in this process, and the rules are those that every wire owes its users. With a
URL it is found out who is there. What answers JSON-RPC is held to the rules of JSON-RPC 2.0, and to what can be seen of
the wire from a client's end. At a broker both ends of the wire's rules are its clients, which use queues of their own and
leave them behind; what it does to messages is found out first and printed. To find out who is there one request is sent
to the URL's destination; where nobody serves it, a broker keeps that one.

One line for each rule: pass, fail or skip, its name, and why. --timeout is how long a rule waits for what must happen.
More than 10s lets the rule about silent peers be tested. Rules that need virtual time are tested by go test alone. Exit
status 1 says that a rule failed, 3 that nobody was found.

Examples:

    polyport conform --wire stomp
    polyport conform stomp://127.0.0.1:7070 --timeout 15s
    polyport conform stomp://guest:guest@127.0.0.1:61613 --rule Order --rule Headers`
}

// Validate is called by kong.
func (v *conform) Validate() error {
	switch {
	case (v.URL == nil) == (v.Wire == ""):
		return errors.New("expected a URL or --wire NAME, one of them")
	case v.URL != nil && v.URL.url.Query().Get("format") == "xmlrpc":
		return errors.New("format=xmlrpc: most rules send what is no request, for which XML-RPC has no words; " +
			"leave the format out, or see docs/xmlrpc.md")
	case v.Wire != "" && !slices.ContainsFunc(wires, func(w wire) bool { return w.name == v.Wire }):
		return fmt.Errorf("--wire: unknown wire %q; expected one of %s", v.Wire, strings.Join(wireNames(), ", "))
	case v.Wire != "" && (v.CACert != "" || v.Cert != "" || v.Insecure):
		return errors.New("TLS options are for a URL; with --wire the rules make their own certificates")
	}
	for _, name := range v.Rule {
		if _, known := conformance.Lookup(name); !known {
			return fmt.Errorf("--rule: there is no rule %q; see the names with: polyport conform --wire mem, "+
				"or docs/conformance.md", name)
		}
	}
	return v.common.Validate()
}

func (v *conform) run(ctx context.Context, e *environment) error {
	var suites []suite
	if v.Wire != "" {
		suites = v.wireSuites()
	} else {
		found, err := v.find(ctx)
		if err != nil {
			return err
		}
		suites = []suite{found}
	}
	report := &conformReport{e: e, json: v.JSON}
	for _, s := range suites {
		report.begin(s)
		for r := range conformance.Check(ctx, s.harness, v.Rule...) {
			report.add(r)
		}
	}
	report.end()
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted before all rules were tested")
	case report.counts.Fail > 0:
		return errReported
	}
	return nil
}

// A suite is a harness and what is tested by it, in words.
type suite struct {
	heading string
	harness conformance.Harness
}

// A conformReport prints results as they come.
type conformReport struct {
	e      *environment
	json   bool
	suite  string
	counts conformCounts
}

type conformCounts struct {
	Pass int `json:"pass"`
	Fail int `json:"fail"`
	Skip int `json:"skip"`
}

// A conformLine is a result in JSON.
type conformLine struct {
	Suite   string              `json:"suite"`
	Rule    string              `json:"rule"`
	Verdict conformance.Verdict `json:"verdict"`
	Text    string              `json:"text"`
	Log     string              `json:"log,omitempty"`
	Took    int64               `json:"took_us"`
}

func (p *conformReport) begin(s suite) {
	p.suite = s.heading
	if !p.json {
		fmt.Fprintf(p.e.stdout, "%s\n", s.heading)
	}
}

func (p *conformReport) add(r conformance.Result) {
	switch r.Verdict {
	case conformance.Passed:
		p.counts.Pass++
	case conformance.Failed:
		p.counts.Fail++
	case conformance.Skipped:
		p.counts.Skip++
	}
	if p.json {
		writeJSON(p.e.stdout, conformLine{p.suite, r.Rule.Name, r.Verdict, r.Rule.Text, r.Log, r.Took.Microseconds()})
		return
	}
	fmt.Fprintf(p.e.stdout, "  %s  %s%s\n", r.Verdict, r.Rule.Name, reasonOf(r))
}

// reasonOf is what follows a rule's name: on a skip the reason, on a failure the
// rule's sentence and, on lines of their own, what was wrong.
func reasonOf(r conformance.Result) string {
	switch r.Verdict {
	case conformance.Passed:
		return ""
	case conformance.Skipped:
		return ": " + r.Log
	}
	const enough = 20
	lines := strings.Split(r.Log, "\n")
	if more := len(lines) - enough; more > 0 {
		lines = append(lines[:enough], fmt.Sprintf("… and %d more lines; --json has them all", more))
	}
	return ": " + r.Rule.Text + "\n        " + strings.Join(lines, "\n        ")
}

func (p *conformReport) end() {
	if p.json {
		writeJSON(p.e.stdout, p.counts)
		return
	}
	fmt.Fprintf(p.e.stdout, "%d passed, %d failed, %d skipped\n", p.counts.Pass, p.counts.Fail, p.counts.Skip)
}
