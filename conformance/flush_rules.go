package conformance

import (
	"context"
	"errors"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

// flushRules are about the ability Flusher.
var flushRules = []Rule{
	{
		Name: "Flush",
		Text: "Flush waits until all that was accepted by Send before the call has been handed to the operating " +
			"system.",
		needs: needsStream,
		check: checkFlush,
	},
	{
		Name:  "FlushContext",
		Text:  "Flush returns when its ctx ends; the connection remains usable.",
		needs: needsStream,
		check: checkFlushContext,
	},
}

func checkFlush(r *rig) {
	for i := range 2 {
		o := r.h.options(nil)
		a, b := mem.Pipe()
		taps := [2]*tap{{Conn: a}, {Conn: b}}
		o.Client, o.Server = taps[0], taps[1]
		w := r.ways(r.pair(o))[i]
		f := ability[transport.Flusher](r, w.from, [2]string{"client", "server"}[i], "Flusher")
		r.inbox(w.to)
		for range 20 {
			before, _ := taps[i].state()
			for range 3 {
				r.send(w.from, &transport.Message{To: w.dest, Body: pattern(10_000)})
			}
			if err := f.Flush(r.soon()); err != nil {
				r.Fatalf("%s: Flush: %v", w.name, err)
			}
			after, _ := taps[i].state()
			if n := len(after) - len(before); n < 30_000 {
				r.Fatalf("%s: Flush has returned when %d bytes of over 30000 were written", w.name, n)
			}
		}
	}
}

func checkFlushContext(r *rig) {
	for i := range 2 {
		_, _, ways := r.narrow()
		w := ways[i]
		f := ability[transport.Flusher](r, w.from, [2]string{"client", "server"}[i], "Flusher")
		if err := f.Flush(r.soon()); err != nil {
			r.Errorf("%s: Flush with nothing to write: %v", w.name, err)
		}
		n := r.fill(w)
		if err := f.Flush(r.within(50 * time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
			r.Errorf("%s: Flush without room, when its ctx has timed out: err = %v, want %v", w.name, err, context.DeadlineExceeded)
		}
		in := r.inbox(w.to)
		r.drain(w, in, n)
		if err := f.Flush(r.soon()); err != nil {
			r.Errorf("%s: Flush when the peer reads again: %v", w.name, err)
		}
		r.nothingElse(w, in)
	}
}
