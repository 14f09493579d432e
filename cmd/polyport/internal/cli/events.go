package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/polyport/polyport/rpc"
)

// events has a timeout of its own, because without one it goes on.
type events struct {
	JSON bool `help:"Print failures and gaps as JSON objects; events always are."`
	tlsFlags

	URL    target `arg:"" help:"SCHEME://[USER:PASSWORD@]HOST:PORT[/DESTINATION]"`
	Filter string `arg:"" optional:"" default:"#" help:"Topics: words with dots between them; * is any word, # any number of words."`

	Count  int            `placeholder:"N" help:"End after N events."`
	Window int            `default:"256" help:"How many events may be under way; the server keeps or drops more."`
	Time   *time.Duration `name:"timeout" placeholder:"DURATION" help:"End after that time (never). Connecting takes 10s at most."`

	NoReconnect bool `help:"End with the first connection, instead of making another one."`
}

// Help is shown by events --help.
func (*events) Help() string {
	return `Prints {"topic":"…","params":…} for each event, one a line, until it is interrupted. Where events are missing because
they were not read in time, a line on stderr says how many; the server decides what it keeps. A connection that is lost, or
that the server ends in order, is made again, with pauses that grow; then "gap: events may have been missed" is on stderr.

With an oVirt host a filter is HOST|COMPONENT|OPERATION|ID, where * is any part, or # for all.

Exit status 0 says that N events came or, without --count, that it was interrupted or the time has passed; 3 that the first
connection could not be made or fewer than N came in time; 1 that the server refused or ended the subscription. With
--no-reconnect it is 3 also when the connection ends.

With ?profile=ovirt a filter has the form of oVirt's, receiver|component|operation|unique, where * is any; # is all.

Examples:

    polyport events stomp://127.0.0.1:7070 clock
    polyport events 'stomp://127.0.0.1:54321?profile=ovirt' '*|virt|VM_status|*'
    polyport events stomp://127.0.0.1:7070 'task.*' --count 11 --timeout 1m`
}

// connecting is how long it may take to connect and subscribe.
const connecting = 10 * time.Second

func (v *events) options() *common {
	c := &common{JSON: v.JSON, Timeout: connecting, tlsFlags: v.tlsFlags}
	if v.Time != nil {
		c.Timeout = min(c.Timeout, *v.Time)
	}
	return c
}

// Validate is called by kong.
func (v *events) Validate() error {
	switch {
	case v.Count < 0:
		return errors.New("--count must be at least 1")
	case v.Window < 1:
		return errors.New("--window must be at least 1")
	}
	if v.Time != nil && *v.Time <= 0 {
		return errors.New("--timeout must be more than 0, such as 500ms or 10s")
	}
	return v.validateTLS()
}

// An eventsError says why no further events came.
type eventsError struct{ text, advice string }

func (e eventsError) Error() string { return e.text }

func (v *events) run(ctx context.Context, e *environment) error {
	if err := rpc.CheckFilter(v.Filter); err != nil {
		return usagef("%s; expected words with dots between them, such as 'task.*' or '#', or oVirt's four parts",
			strings.TrimPrefix(err.Error(), "rpc: "))
	}
	if v.Time != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *v.Time)
		defer cancel()
	}
	r := &reader{events: v, e: e}
	if err := r.read(ctx); err != nil || r.full() || v.Count == 0 {
		return err
	}
	return eventsError{
		text:   fmt.Sprintf("%d of %d events came: %s", r.n, v.Count, ended(ctx)),
		advice: r.advice(),
	}
}

// advice says why nothing may have come.
func (r *reader) advice() string {
	if r.n == 0 && r.turn {
		return "on this connection a server can only answer; to hear events: zmq://…?socket=sub, http://…?format=sse or stomp://…"
	}
	return "is something published that matches " + r.Filter + "?"
}

func ended(ctx context.Context) string {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return "the time has passed"
	}
	return "interrupted"
}

func printEvent(e *environment, event rpc.Event) error {
	enc := json.NewEncoder(e.stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(struct {
		Topic  string     `json:"topic"`
		Params rawMessage `json:"params,omitempty"`
	}{event.Topic, event.Params})
}
