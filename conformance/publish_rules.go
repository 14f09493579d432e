package conformance

import (
	"fmt"
	"time"

	"github.com/polyport/polyport/transport"
)

// publishRules are about the ability Publisher.
var publishRules = []Rule{
	{
		Name: "Publish",
		Text: "Publish sends once for every subscription of the peer whose destination is To, where Send chooses " +
			"one.",
		check: checkPublish,
	},
	{
		Name:  "PublishNoRoute",
		Text:  "Without any subscription Publish returns ErrNoRoute.",
		check: checkPublishNoRoute,
	},
	{
		Name:  "PublishTogether",
		Text:  "Publishes that wait for room do not wait for each other.",
		check: checkPublishTogether,
	},
	{
		Name: "PublishOverLimit",
		Text: "A Publish by more subscriptions than may be unsettled sends to all of them in turn, or to none and " +
			"says so; it does not wait for ever.",
		check: checkPublishOverLimit,
	},
	{
		Name:  "PublishNotSent",
		Text:  "A Publish whose error is NotSent has reached no subscription.",
		check: checkPublishNotSent,
	},
}

func checkPublish(r *rig) {
	s := r.subscribe(nil)
	p := ability[transport.Publisher](r, s.server, "server", "Publisher")
	want := map[string]bool{}
	for i := range 3 {
		want[s.to(r, transport.Subscription{ID: fmt.Sprint("sub-", i), Destination: r.topic(1)})] = true
	}
	s.to(r, transport.Subscription{ID: "other", Destination: r.topic(2)})
	s.noticed(r)
	for range 10 {
		body := pattern(2000)
		if err := p.Publish(r.soon(), &transport.Message{To: r.topic(1), Subject: "news", Body: body}); err != nil {
			r.Fatalf("Publish: %v", err)
		}
		clear(body)
		got := map[string]bool{}
		for range want {
			m := r.next(s.in)
			if diff := sameBody(m.Body, pattern(2000)); diff != "" || m.Subject != "news" {
				r.Errorf("Subject = %q, want %q; %s", m.Subject, "news", diff)
			}
			got[m.Subscription] = true
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			r.Errorf("the message has come by the subscriptions %v, want %v", got, want)
		}
	}
	r.send(s.server, &transport.Message{To: r.topic(1), Body: []byte("to one of them")})
	r.nextText(s.in, "to one of them")
	r.nothingElse(way{from: s.server, to: s.client, dest: r.topic(2)}, s.in)
}

func checkPublishNoRoute(r *rig) {
	client, server := r.connect(nil)
	p := ability[transport.Publisher](r, server, "server", "Publisher")
	ways := r.ways(client, server)
	r.wantErr("Publish without a subscription", p.Publish(r.soon(), &transport.Message{To: r.topic(1)}), transport.ErrNoRoute)
	r.works(ways...)
}

func checkPublishNotSent(r *rig) {
	s := r.subscribe(nil)
	p := ability[transport.Publisher](r, s.server, "server", "Publisher")
	s.to(r, transport.Subscription{ID: "free", Destination: r.topic(1)})
	s.to(r, transport.Subscription{ID: "full", Destination: r.topic(1), Ack: transport.AckEach, Credit: 1})
	s.to(r, transport.Subscription{ID: "marker", Destination: r.topic(2)})
	s.noticed(r)
	news := &transport.Message{To: r.topic(1), Body: []byte("news")}
	if err := p.Publish(r.soon(), news); err != nil {
		r.Fatalf("Publish: %v", err)
	}
	unsettled := []*transport.Message{r.nextText(s.in, "news"), r.nextText(s.in, "news")}
	err := p.Publish(ended(), news)
	if err == nil {
		r.skipf("the wire does not hold back what is over a subscription's credit")
	}
	if transport.NotSent(err) {
		r.nothingElse(way{from: s.server, to: s.client, dest: r.topic(2)}, s.in)
	}
	for _, m := range unsettled {
		_ = m.Settle(transport.Accepted)
	}
}

// publishing subscribes several times to topic 1, with a client that settles
// what it receives.
func (r *rig) publishing(subscriptions, limit int) (*subscribed, transport.Publisher) {
	r.Helper()
	client, server := r.connect(func(o *transport.Options) { o.Limits.Unsettled = limit })
	s := &subscribed{client: client, server: server, sub: ability[transport.Subscriber](r, client, "client", "Subscriber")}
	p := ability[transport.Publisher](r, server, "server", "Publisher")
	s.in = r.inboxThat(client, func(m *transport.Message) { r.accept(m) })
	s.asked = r.inbox(server)
	for range subscriptions {
		s.to(r, transport.Subscription{Destination: r.topic(1), Ack: transport.AckEach})
	}
	s.noticed(r)
	return s, p
}

func checkPublishTogether(r *rig) {
	const publishers, each, subscriptions = 8, 20, 2
	s, p := r.publishing(subscriptions, 3)
	for range publishers {
		r.Go(func() {
			for range each {
				if err := p.Publish(r.Context(), &transport.Message{To: r.topic(1)}); err != nil {
					r.Errorf("Publish: %v", err)
					return
				}
			}
		})
	}
	for range publishers * each * subscriptions {
		r.next(s.in)
	}
}

func checkPublishOverLimit(r *rig) {
	const subscriptions = 4
	s, p := r.publishing(subscriptions, 3)
	start := time.Now()
	err := p.Publish(r.soon(), &transport.Message{To: r.topic(1), Body: []byte("news")})
	if err == nil {
		for range subscriptions {
			r.nextText(s.in, "news")
		}
		return
	}
	if took := time.Since(start); took > r.patience()/2 {
		r.Errorf("Publish by %d subscriptions where 3 messages may be unsettled has waited for %v", subscriptions, took)
	}
	r.wantErr("Publish by more subscriptions than may be unsettled", err, transport.ErrBusy)
	r.nothingElse(way{from: s.server, to: s.client, dest: r.topic(1)}, s.in)
}
