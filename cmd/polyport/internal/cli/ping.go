package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

type ping struct {
	common

	URL target `arg:"" help:"SCHEME://[USER:PASSWORD@]HOST:PORT[/DESTINATION]"`
}

// Help is shown by ping --help.
func (*ping) Help() string {
	return `The round trip is that of three calls of the method Echo; a server that has no such method answers, too.

Example:

    polyport ping stomp://127.0.0.1:7070`
}

// pings is how many round trips are measured.
const pings = 3

// A pong is what ping found out. Times are in microseconds.
type pong struct {
	Wire      string       `json:"wire"`
	Version   string       `json:"version"`
	Mode      string       `json:"mode"`
	Address   string       `json:"address"`
	Peer      string       `json:"peer"`
	User      string       `json:"user,omitempty"`
	TLS       *tlsPong     `json:"tls,omitempty"`
	Beat      int64        `json:"heartbeat_out_us"`
	PeerBeat  int64        `json:"heartbeat_in_us"`
	Limits    limitsPong   `json:"limits"`
	RoundTrip roundTripOut `json:"round_trip"`
}

type tlsPong struct {
	Version string `json:"version"`
	Cipher  string `json:"cipher"`
	ALPN    string `json:"alpn,omitempty"`
	Subject string `json:"subject,omitempty"`
	Expires string `json:"expires,omitempty"`
}

// limitsPong are the limits that this end holds the peer to.
type limitsPong struct {
	Message       int `json:"message_bytes"`
	HeaderBytes   int `json:"header_bytes"`
	Headers       int `json:"headers"`
	Subscriptions int `json:"subscriptions"`
	Unsettled     int `json:"unsettled"`
}

type roundTripOut struct {
	Calls int   `json:"calls"`
	Min   int64 `json:"min_us"`
	Avg   int64 `json:"avg_us"`
}

func (v *ping) run(ctx context.Context, e *environment) error {
	ctx, cancel := v.bound(ctx)
	defer cancel()
	c, err := v.dial(ctx, v.URL, nil)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	least, sum := time.Duration(0), time.Duration(0)
	for i := range pings {
		took, err := roundTrip(ctx, c)
		if err != nil {
			return callError(err, v.URL)
		}
		if sum += took; i == 0 || took < least {
			least = took
		}
	}
	p := describeConn(c.Info())
	p.RoundTrip = roundTripOut{Calls: pings, Min: least.Microseconds(), Avg: (sum / pings).Microseconds()}
	if v.JSON {
		writeJSON(e.stdout, p)
		return nil
	}
	return p.print(e)
}

// roundTrip measures one call. Whatever the answer is, it is one.
func roundTrip(ctx context.Context, c *rpc.Client) (time.Duration, error) {
	began := time.Now()
	err := c.Call(ctx, "Echo", []int{}, nil)
	took := time.Since(began)
	if rpc.OutcomeOf(err) == rpc.Answered {
		return took, nil
	}
	return 0, err
}

func describeConn(i *transport.Info) pong {
	p := pong{
		Wire: i.Scheme, Version: i.Version, Mode: mode(i), Address: i.Remote.String(), Peer: i.Peer, User: i.User,
		Beat: i.Beat.Microseconds(), PeerBeat: i.PeerBeat.Microseconds(),
		Limits: limitsPong{i.Limits.Message, i.Limits.HeaderBytes, i.Limits.Headers, i.Limits.Subscriptions, i.Limits.Unsettled},
	}
	if i.TLS == nil {
		return p
	}
	p.TLS = describeTLS(i)
	return p
}

func (p pong) print(e *environment) error {
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, name+"\t"+format+"\n", args...) }
	row("wire", "%s", strings.TrimSpace(p.Wire+" "+p.Version))
	row("mode", "%s", p.Mode)
	row("address", "%s", p.Address)
	row("peer", "%s", orNone(p.Peer))
	row("user", "%s", orNone(p.User))
	row("tls", "%s", p.TLS)
	row("heart-beat", "%s out, %s in", beatText(p.Beat), beatText(p.PeerBeat))
	row("limits", "message %s, header %s in %d fields, %d subscriptions, %d unsettled (of what the peer may send)",
		bytesText(p.Limits.Message), bytesText(p.Limits.HeaderBytes), p.Limits.Headers, p.Limits.Subscriptions, p.Limits.Unsettled)
	row("round trip", "min %s, avg %s (%d calls)", micros(p.RoundTrip.Min), micros(p.RoundTrip.Avg), p.RoundTrip.Calls)
	return w.Flush()
}

func (t *tlsPong) String() string {
	if t == nil {
		return "none"
	}
	text := t.Version + ", " + t.Cipher
	if t.ALPN != "" {
		text += ", ALPN " + t.ALPN
	}
	if t.Subject != "" {
		text += fmt.Sprintf(", %s until %s", t.Subject, t.Expires)
	}
	return text
}
