package conformance

import (
	"context"
	"fmt"
	"strconv"

	"github.com/polyport/polyport/transport"
)

// settleRules are about acknowledgement.
var settleRules = []Rule{
	{
		Name:  "SettleReleases",
		Text:  "Credit is how many messages the peer may have under way unsettled; settling one lets the next come.",
		check: checkSettleReleases,
	},
	{
		Name: "UnsettledLimit",
		Text: "Limits.Unsettled is the most messages that may wait for the peer's settlement on a connection; Send " +
			"waits, within its ctx.",
		check: checkUnsettledLimit,
	},
	{
		Name:  "SettleUpTo",
		Text:  "AckUpTo: settling a message settles all before it as well; settling those, too, is harmless.",
		check: checkSettleUpTo,
	},
	{
		Name:   "SettleUpToRace",
		Text:   "AckUpTo settles what came before, however many goroutines have sent it.",
		direct: "what is confirmed has been taken by the broker, settled or not",
		check:  checkSettleUpToRace,
	},
	{
		Name:  "SettleAgain",
		Text:  "The second and later calls of Settle do nothing.",
		check: checkSettleAgain,
	},
	{
		Name:  "SettleNothing",
		Text:  "Where the wire neither acknowledges nor has credit, Settle does nothing and returns nil.",
		check: checkSettleNothing,
	},
	{
		Name:  "SettleAfterUnsubscribe",
		Text:  "Settling a message of a subscription that has ended does not harm the connection.",
		check: checkSettleAfterUnsubscribe,
	},
	{
		Name:  "SettleAfterClose",
		Text:  "Settling a message of a connection that has ended returns.",
		check: checkSettleAfterClose,
	},
}

// streaming sends numbered messages to topic 1, as many as get through.
func (s *subscribed) streaming(r *rig, count int) {
	r.Go(func() {
		for i := range count {
			err := s.server.Send(r.Context(), &transport.Message{To: r.topic(1), Body: fmt.Append(nil, i)})
			if err != nil {
				r.Errorf("Send of message %d: %v", i, err)
				return
			}
		}
	})
}

// take receives the messages from first to last-1.
func (s *subscribed) take(r *rig, first, last int) (got []*transport.Message) {
	r.Helper()
	for i := first; i < last; i++ {
		got = append(got, r.nextText(s.in, strconv.Itoa(i)))
	}
	return got
}

// accept settles messages.
func (r *rig) accept(ms ...*transport.Message) {
	r.Helper()
	for _, m := range ms {
		if err := m.Settle(transport.Accepted); err != nil {
			r.Errorf("Settle: %v", err)
		}
	}
}

func checkSettleReleases(r *rig) {
	for _, ack := range []transport.AckMode{transport.AckEach, transport.AckUpTo} {
		s := r.subscribe(nil)
		s.to(r, transport.Subscription{ID: "s", Destination: r.topic(1), Ack: ack, Credit: 2})
		s.noticed(r)
		s.streaming(r, 7)
		next := s.take(r, 0, 2)
		for i := 2; i < 7; i++ {
			r.quiet()
			r.none(s.in, "though two are unsettled and the credit is 2")
			r.accept(next[0])
			next = append(next[1:], s.take(r, i, i+1)...)
		}
		r.accept(next...)
	}
}

func checkUnsettledLimit(r *rig) {
	const limit = 3
	s := r.subscribe(func(o *transport.Options) { o.Limits.Unsettled = limit })
	s.to(r, transport.Subscription{ID: "s", Destination: r.topic(1), Ack: transport.AckEach})
	s.noticed(r)
	for i := range limit {
		r.send(s.server, &transport.Message{To: r.topic(1), Body: fmt.Append(nil, i)})
	}
	got := s.take(r, 0, limit)
	if r.h.Broker != nil { // which takes what is sent, and gives no more than the consumer's limit
		r.send(s.server, &transport.Message{To: r.topic(1), Body: fmt.Append(nil, limit)})
		r.quiet()
		r.none(s.in, fmt.Sprintf("though %d are unsettled, which is the limit", limit))
		r.accept(got[1])
		r.accept(s.take(r, limit, limit+1)...)
		return
	}
	over := &transport.Message{To: r.topic(1), Body: fmt.Append(nil, limit)}
	r.wantErr("Send over Limits.Unsettled with an ended ctx", s.server.Send(ended(), over), transport.ErrBusy)
	sent := make(chan error, 1)
	r.Go(func() { sent <- s.server.Send(r.Context(), over) })
	r.quiet()
	r.none(s.in, fmt.Sprintf("though %d are unsettled, which is the limit", limit))
	r.accept(got[1])
	got = append(got, s.take(r, limit, limit+1)...)
	if err := <-sent; err != nil {
		r.Errorf("Send that waited for a settlement: %v", err)
	}
	r.accept(got...)
	s.noticed(r)
}

func checkSettleUpTo(r *rig) {
	const credit, rounds = 5, 8
	s := r.subscribe(func(o *transport.Options) { o.Limits.Unsettled = 2 * credit })
	s.to(r, transport.Subscription{ID: "s", Destination: r.topic(1), Ack: transport.AckUpTo, Credit: credit})
	s.noticed(r)
	s.streaming(r, credit*rounds)
	for i := range rounds {
		got := s.take(r, i*credit, (i+1)*credit)
		r.quiet()
		r.none(s.in, "though the credit is used up")
		r.accept(got[credit-1])
		if i%2 == 0 {
			r.accept(got[:credit-1]...)
		}
	}
	s.noticed(r)
}

func checkSettleUpToRace(r *rig) {
	const senders, each = 4, 250
	s := r.subscribe(func(o *transport.Options) { o.Limits.Unsettled = senders * each })
	by := ability[transport.Confirmer](r, s.server, "server", "Confirmer")
	s.to(r, transport.Subscription{ID: "s", Destination: r.topic(1), Ack: transport.AckUpTo})
	s.noticed(r)
	settled := make(chan string, senders*each)
	for sender := range senders {
		r.Go(func() {
			for i := range each {
				name := fmt.Sprintf("%d of sender %d", i, sender)
				m := &transport.Message{To: r.topic(1), Body: []byte(name)}
				if err := by.SendConfirmed(context.Background(), m, func(error) { settled <- name }); err != nil {
					r.Errorf("SendConfirmed: %v", err)
					return
				}
			}
		})
	}
	var got []*transport.Message
	for range senders * each {
		got = append(got, r.next(s.in))
	}
	// One by one, in the order of arrival: each settles itself and no other.
	for i, m := range got {
		r.accept(m)
		select {
		case name := <-settled:
			if r.virtual {
				r.quiet()
			}
			if name != string(m.Body) || len(settled) > 0 {
				r.Fatalf("settling %q, which came as number %d, has settled %q, and %d more", m.Body, i, name, len(settled))
			}
		case <-r.soon().Done():
			r.Fatalf("settling %q, which came as number %d, has settled nothing: a later one did before", m.Body, i)
		}
	}
}

func checkSettleAgain(r *rig) {
	s := r.subscribe(nil)
	s.to(r, transport.Subscription{ID: "s", Destination: r.topic(1), Ack: transport.AckEach, Credit: 2})
	s.noticed(r)
	s.streaming(r, 5)
	got := s.take(r, 0, 2)
	r.accept(got[0], got[0], got[0])
	if err := got[0].Settle(transport.Rejected("late")); err != nil {
		r.Errorf("Settle, once more: %v", err)
	}
	got = append(got, s.take(r, 2, 3)...)
	r.quiet()
	r.none(s.in, "though one was settled, if several times, and one more may come")
	r.accept(got[1], got[2])
	r.accept(s.take(r, 3, 5)...)
	s.noticed(r)
}

func checkSettleNothing(r *rig) {
	client, server := r.connect(nil)
	for _, w := range r.ways(client, server) {
		for _, o := range []transport.Outcome{transport.Accepted, transport.Released, transport.Failed} {
			r.send(w.from, &transport.Message{To: w.dest, Body: []byte("x")})
			m := r.wantText(w.to, "x")
			for range 2 {
				if err := m.Settle(o); err != nil {
					r.Errorf("%s: Settle(%v): %v", w.name, o, err)
				}
			}
			r.works(w)
		}
	}
	if err := new(transport.Message).Settle(transport.Accepted); err != nil {
		r.Errorf("Settle of a message that was not received: %v", err)
	}
}

func checkSettleAfterUnsubscribe(r *rig) {
	for _, ack := range []transport.AckMode{transport.AckEach, transport.AckUpTo} {
		s := r.subscribe(nil)
		s.to(r, transport.Subscription{ID: "s", Destination: r.topic(1), Ack: ack, Credit: 3})
		s.to(r, transport.Subscription{ID: "t", Destination: r.topic(2)})
		s.noticed(r)
		s.streaming(r, 3)
		got := s.take(r, 0, 3)
		r.accept(got[0])
		if err := s.sub.Unsubscribe(r.soon(), "s"); err != nil {
			r.Fatalf("Unsubscribe: %v", err)
		}
		_ = got[1].Settle(transport.Accepted)
		s.noticed(r)
		_ = got[2].Settle(transport.Released)
		s.noticed(r)
		r.nothingElse(way{from: s.server, to: s.client, dest: r.topic(2)}, s.in)
	}
}

func checkSettleAfterClose(r *rig) {
	s := r.subscribe(nil)
	s.to(r, transport.Subscription{ID: "s", Destination: r.topic(1), Ack: transport.AckEach, Credit: 2})
	s.noticed(r)
	s.streaming(r, 2)
	got := s.take(r, 0, 2)
	r.close(s.client)
	if !finishes(r.soon(), func() {
		for _, m := range got {
			_ = m.Settle(transport.Accepted)
		}
	}) {
		r.Errorf("Settle after Close does not return")
	}
}
