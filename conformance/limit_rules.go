package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/polyport/polyport/transport"
)

// limitRules are about what is too much.
var limitRules = []Rule{
	{
		Name: "SendTooLarge",
		Text: "A message over a limit is refused by Send with ErrTooLarge before anything is sent; the connection " +
			"remains usable.",
		check: checkSendTooLarge,
	},
	{
		Name: "PeerTooLarge",
		Text: "Limits bound what the peer may send: what is over them ends the connection with ErrTooLarge, or is " +
			"not sent at all.",
		check: checkPeerTooLarge,
	},
}

func checkSendTooLarge(r *rig) {
	limits := transport.Limits{Message: 100_000, HeaderBytes: 8 << 10, Headers: 40}
	client, server := r.connect(func(o *transport.Options) { o.Limits = limits })
	tooMany := make([]transport.Header, limits.Headers+1)
	for i := range tooMany {
		tooMany[i] = transport.Header{Name: fmt.Sprint("n", i), Value: "v"}
	}
	half := transport.Header{Name: "half", Value: strings.Repeat("x", limits.HeaderBytes/2)}
	for _, w := range r.ways(client, server) {
		for name, m := range map[string]*transport.Message{
			"a body one byte over the limit": {Body: pattern(limits.Message + 1)},
			"a body of twice the limit":      {Body: pattern(2 * limits.Message)},
			"one header too many":            {Headers: tooMany},
			"a header over the limit":        {Headers: []transport.Header{{Name: "n", Value: strings.Repeat("x", limits.HeaderBytes+1)}}},
			"a subject over that limit":      {Subject: strings.Repeat("x", limits.HeaderBytes+1)},
			"headers that sum up to more":    {Headers: []transport.Header{half, half}},
		} {
			m.To = w.dest
			r.wantErr(fmt.Sprintf("%s: Send of %s", w.name, name), w.from.Send(r.soon(), m), transport.ErrTooLarge)
		}
		body := pattern(limits.Message)
		r.send(w.from, &transport.Message{To: w.dest, Body: body})
		if diff := sameBody(r.recv(w.to).Body, body); diff != "" {
			r.Errorf("%s: a body of exactly the limit: %s", w.name, diff)
		}
	}
}

func checkPeerTooLarge(r *rig) {
	for i := range 2 {
		o := r.h.options(nil)
		for _, l := range []*transport.Limits{&o.Dial.Limits, &o.Listen.Limits} {
			l.Message = 1 << 20
		}
		if i == 0 {
			o.Listen.Limits.Message = 10_000
		} else {
			o.Dial.Limits.Message = 10_000
		}
		client, server := r.pair(o)
		ways := r.ways(client, server)
		w := ways[i]
		err := w.from.Send(r.soon(), &transport.Message{To: w.dest, Body: pattern(10_001)})
		if err != nil {
			r.wantErr(w.name+": Send of a message over the peer's limit", err, transport.ErrTooLarge)
			r.works(w)
			continue
		}
		if m, err := w.to.Recv(r.soon()); !errors.Is(err, transport.ErrTooLarge) {
			r.Errorf("%s: Recv of a message over the limit = %v, %v, want ErrTooLarge", w.name, m, err)
		}
		if r.h.Broker != nil {
			continue // the broker is within its own limits, and so is the sender
		}
		if _, err := w.from.Recv(r.soon()); err == nil || errors.Is(err, context.DeadlineExceeded) {
			r.Errorf("%s: the sender of a message over the limit was not told: Recv: err = %v", w.name, err)
		}
	}
}
