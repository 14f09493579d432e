package conformance

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/polyport/polyport/transport"
)

// orderRules are about which message comes when.
var orderRules = []Rule{
	{
		Name:  "Order",
		Text:  "Messages sent by one goroutine arrive in the order sent, each once.",
		check: checkOrder,
	},
	{
		Name:  "ConcurrentSenders",
		Text:  "Any number of goroutines may Send; each one's messages arrive whole and in its order.",
		check: checkConcurrentSenders,
	},
	{
		Name:  "BothWays",
		Text:  "Both ends may send at once; neither direction waits for the other.",
		check: checkBothWays,
	},
}

const many = 1000

func checkOrder(r *rig) {
	client, server := r.connect(nil)
	for _, w := range r.ways(client, server) {
		in := r.inbox(w.to)
		r.Go(func() {
			for i := range many {
				if err := w.text(context.Background(), strconv.Itoa(i)); err != nil {
					r.Errorf("%s: Send of message %d: %v", w.name, i, err)
					return
				}
			}
		})
		for i := range many {
			if got, want := string(r.next(in).Body), strconv.Itoa(i); got != want {
				r.Fatalf("%s: message %d of %d is %q, want %q", w.name, i, many, got, want)
			}
		}
		r.nothingElse(w, in)
	}
}

// nothingElse checks that nothing has come but what is sent now.
func (r *rig) nothingElse(w way, in *inbox) {
	r.Helper()
	r.send(w.from, &transport.Message{To: w.dest, Body: []byte("the last")})
	if m := r.next(in); string(m.Body) != "the last" {
		r.Errorf("%s: after all messages had come one more came: %s", w.name, brief(m.Body))
	}
}

func checkConcurrentSenders(r *rig) {
	const senders, each = 4, 250
	client, server := r.connect(nil)
	for _, w := range r.ways(client, server) {
		in := r.inbox(w.to)
		for s := range senders {
			r.Go(func() {
				for i := range each {
					body := slices.Repeat([]byte{byte('a' + s)}, i*17)
					m := &transport.Message{To: w.dest, Subject: fmt.Sprintf("%d %d", s, i), Body: body}
					if err := w.from.Send(context.Background(), m); err != nil {
						r.Errorf("%s: Send: %v", w.name, err)
						return
					}
				}
			})
		}
		var next [senders]int
		for range senders * each {
			m := r.next(in)
			var s, i int
			if _, err := fmt.Sscanf(m.Subject, "%d %d", &s, &i); err != nil || s < 0 || s >= senders {
				r.Fatalf("%s: Subject = %q, want a sender and a number", w.name, m.Subject)
			}
			if i != next[s] {
				r.Fatalf("%s: got message %d of sender %d, want %d", w.name, i, s, next[s])
			}
			next[s]++
			if diff := sameBody(m.Body, slices.Repeat([]byte{byte('a' + s)}, i*17)); diff != "" {
				r.Fatalf("%s: message %d of sender %d: %s", w.name, i, s, diff)
			}
		}
		r.nothingElse(w, in)
	}
}

func checkBothWays(r *rig) {
	client, server := r.connect(func(o *transport.Options) { o.SendBuffer = 64 << 10 })
	ways := r.ways(client, server)
	body := pattern(8 << 10)
	var sent atomic.Int32
	var inboxes []*inbox
	for _, w := range ways {
		inboxes = append(inboxes, r.inbox(w.to))
		r.Go(func() {
			for range many / 4 {
				if err := w.from.Send(context.Background(), &transport.Message{To: w.dest, Body: body}); err != nil {
					r.Errorf("%s: Send: %v", w.name, err)
					return
				}
				sent.Add(1)
			}
		})
	}
	for i, in := range inboxes {
		for n := range many / 4 {
			if diff := sameBody(r.next(in).Body, body); diff != "" {
				r.Fatalf("%s: message %d: %s", ways[i].name, n, diff)
			}
		}
	}
}
