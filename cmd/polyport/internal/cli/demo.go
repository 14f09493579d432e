package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"text/tabwriter"
	"time"

	"go.uber.org/fx"

	"github.com/polyport/polyport/app"
)

type demo struct{ common }

// Help is shown by demo --help.
func (*demo) Help() string {
	return `Starts a server on free addresses of this machine, makes the same call over every wire, and prints a line for
each: wire, version, address, answer, round trip. Exit status 0 says that all answers are alike. With --cert and --key,
which the server then shows, the wires are tried with TLS, too.`
}

const (
	demoMethod = "Math.Sum"
	demoParams = "[1,2,3]"
)

// A demoLine is what became of the call over one wire.
type demoLine struct {
	Wire      string     `json:"wire"`
	Version   string     `json:"version,omitempty"`
	Address   string     `json:"address"`
	Answer    rawMessage `json:"answer,omitempty"`
	RoundTrip float64    `json:"round_trip_us,omitempty"`
	Error     string     `json:"error,omitempty"`
}

func (v *demo) run(ctx context.Context, e *environment) error {
	ctx, cancel := v.bound(ctx)
	defer cancel()
	conf := app.Config{Log: app.LogConfig{}, StopTimeout: v.Timeout, TLS: app.TLSConfig{Cert: v.Cert, Key: v.Key}}
	for _, wire := range v.wires() {
		conf.Listen = append(conf.Listen, freeAddress(wire))
	}
	var server *app.Server
	a := app.New(conf, app.Output{}, fx.Populate(&server))
	if err := a.Start(context.WithoutCancel(ctx)); err != nil { // as serve
		return err
	}
	lines := v.callAll(ctx, server.Endpoints())
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.StopTimeout())
	defer cancel()
	if err := a.Stop(stopping); err != nil {
		return err
	}
	return v.print(e, lines)
}

// wires returns the schemes to try.
func (v *demo) wires() []string {
	wires := app.Wires()
	if v.Cert == "" {
		return wires
	}
	for _, wire := range slices.Clone(wires) {
		if app.IsTLS(wire + "s") {
			wires = append(wires, wire+"s")
		}
	}
	return wires
}

// freeAddress is where to listen for a wire, so that nothing is in the way.
func freeAddress(wire string) string {
	if wire == "mem" {
		return "mem://demo:0"
	}
	return wire + "://127.0.0.1:0"
}

func (v *demo) callAll(ctx context.Context, endpoints []app.Endpoint) (lines []demoLine) {
	for _, at := range endpoints {
		for _, wire := range at.Wires {
			line := demoLine{Wire: wire, Address: at.URL(wire)}
			if err := v.callOne(ctx, &line); err != nil {
				line.Error = err.Error()
			}
			lines = append(lines, line)
		}
	}
	return lines
}

// callOne makes the call twice and measures the second: the first one pays for
// what a connection sets up when it is first used.
func (v *demo) callOne(ctx context.Context, line *demoLine) error {
	u, err := url.Parse(line.Address)
	if err != nil {
		return err
	}
	flags := &common{Timeout: v.Timeout}
	if app.IsTLS(u.Scheme) {
		flags = &v.common
	}
	c, err := flags.dial(ctx, target{u}, nil)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	line.Version = c.Info().Version
	for range 2 {
		began := time.Now()
		if err := c.Call(ctx, demoMethod, json.RawMessage(demoParams), &line.Answer); err != nil {
			return err
		}
		line.RoundTrip = float64(time.Since(began).Nanoseconds()) / 1000
	}
	return nil
}

// print prints the lines, and returns errReported if they are not alike.
func (v *demo) print(e *environment, lines []demoLine) error {
	alike := len(lines) > 0
	for _, l := range lines {
		alike = alike && l.Error == "" && string(l.Answer) == string(lines[0].Answer)
	}
	if v.JSON {
		for _, l := range lines {
			writeJSON(e.stdout, l)
		}
		writeJSON(e.stdout, map[string]any{"wires": len(lines), "agree": alike})
	} else {
		printLines(e, lines)
		if alike {
			fmt.Fprintf(e.stdout, "all %d wires agree\n", len(lines))
		} else {
			fmt.Fprintf(e.stdout, "the %d wires do not agree\n", len(lines))
		}
	}
	if !alike {
		return errReported
	}
	return nil
}

func printLines(e *environment, lines []demoLine) {
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	for _, l := range lines {
		if l.Error != "" {
			fmt.Fprintf(w, "%s\t%s\t%s\tfailed: %s\n", l.Wire, l.Version, l.Address, l.Error)
			continue
		}
		took := time.Duration(l.RoundTrip * 1000).Round(time.Microsecond)
		fmt.Fprintf(w, "%s\t%s\t%s\t%s %s = %s\t%s\n", l.Wire, l.Version, l.Address, demoMethod, demoParams, l.Answer, took)
	}
	_ = w.Flush()
}
