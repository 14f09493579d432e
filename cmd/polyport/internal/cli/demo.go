package cli

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"text/tabwriter"
	"time"

	"go.uber.org/fx"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/internal/issuer"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

type demo struct{ common }

// Help is shown by demo --help.
func (*demo) Help() string {
	return `Starts a server on one free port of this machine, and one in memory, makes the same call over every wire, plain
and with TLS, and prints a line for each: wire, version, address, answer, round trip. Exit status 0 says that all answers
are alike. The certificates for TLS are made for the occasion; with --cert and --key the server shows those instead,
which then have to be trusted.`
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
	secured, err := v.certificates()
	if err != nil {
		return err
	}
	conf := app.Config{Listen: []string{"127.0.0.1:0", "mem://demo:0"}, StopTimeout: v.Timeout}
	var server *app.Server
	a := app.New(conf, app.Output{}, fx.Populate(&server), fx.Decorate(func(o *transport.ListenOptions) *transport.ListenOptions {
		o.TLS = secured.server
		return o
	}))
	if err := a.Start(context.WithoutCancel(ctx)); err != nil { // as serve
		return err
	}
	lines := v.callAll(ctx, server.Endpoints(), secured.client)
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.StopTimeout())
	defer cancel()
	if err := a.Stop(stopping); err != nil {
		return err
	}
	return v.print(e, lines)
}

// demoTLS is TLS for both ends.
type demoTLS struct{ server, client *tls.Config }

// certificates makes certificates, or takes those that were given.
func (v *demo) certificates() (made demoTLS, err error) {
	if v.Cert != "" {
		return v.given()
	}
	authority, err := issuer.New("polyport demo authority")
	if err != nil {
		return made, err
	}
	cert, err := authority.Issue("polyport demo", "127.0.0.1")
	if err != nil {
		return made, err
	}
	made.server = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}
	made.client = &tls.Config{RootCAs: authority.Pool(), MinVersion: tls.VersionTLS13}
	return made, nil
}

// given returns the certificates that the flags name. The client shows none.
func (v *demo) given() (demoTLS, error) {
	o, err := v.dialOptions(target{&url.URL{Scheme: "stomps"}})
	if err != nil {
		return demoTLS{}, err
	}
	client := o.TLS.Clone()
	client.Certificates = nil
	return demoTLS{&tls.Config{Certificates: o.TLS.Certificates, MinVersion: tls.VersionTLS13}, client}, nil
}

// A variant is a way to call by a scheme.
type variant struct{ name, path string }

// variants are those of schemes that have several, or one by another name.
var variants = map[string][]variant{
	"zmq":   {{"zmq", "?socket=dealer"}, {"zmq", "?socket=req"}},
	"zmqs":  {{"zmqs", "?socket=dealer"}, {"zmqs", "?socket=req"}},
	"http":  {{"http", ""}, {"xmlrpc", "/?format=xmlrpc"}},
	"https": {{"https", ""}, {"xmlrpc", "/?format=xmlrpc"}},
}

func (v *demo) callAll(ctx context.Context, endpoints []app.Endpoint, secured *tls.Config) (lines []demoLine) {
	for _, at := range slices.Backward(endpoints) { // memory first
		for _, wire := range at.Wires {
			ways := variants[wire]
			if ways == nil {
				ways = []variant{{wire, ""}}
			}
			for _, way := range ways {
				line := demoLine{Wire: way.name, Address: at.URL(wire) + way.path}
				if err := v.callOne(ctx, &line, secured); err != nil {
					line.Error = err.Error()
				}
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// callOne makes the call twice and measures the second: the first one pays for
// what a connection sets up when it is first used.
func (v *demo) callOne(ctx context.Context, line *demoLine, secured *tls.Config) error {
	o := &transport.DialOptions{Timeout: v.Timeout}
	o.TLS = secured
	c, err := rpc.Dial(ctx, line.Address, &rpc.ClientOptions{Transport: o})
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
