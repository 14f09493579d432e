package conformance

import (
	"fmt"

	"github.com/polyport/polyport/transport"
)

// creditRules are about the ability Crediter.
var creditRules = []Rule{
	{
		Name:  "Grant",
		Text:  "Grant lets the peer send n more messages by the subscription.",
		check: checkGrant,
	},
	{
		Name:  "SettleRenewsCredit",
		Text:  "Where the wire has credit, Settle is what renews it.",
		check: checkSettleRenewsCredit,
	},
	{
		Name:  "GrantUnknown",
		Text:  "Grant to a subscription that there is not is an error, and changes nothing.",
		check: checkGrantUnknown,
	},
}

// crediting subscribes to topic 1 with a credit of 2 and starts to send.
func (r *rig) crediting(count int) (*subscribed, transport.Crediter) {
	r.Helper()
	s := r.subscribe(nil)
	c := ability[transport.Crediter](r, s.client, "client", "Crediter")
	s.to(r, transport.Subscription{ID: "s", Destination: r.topic(1), Credit: 2})
	s.noticed(r)
	s.streaming(r, count)
	return s, c
}

func checkGrant(r *rig) {
	s, c := r.crediting(8)
	next := len(s.take(r, 0, 2))
	for _, n := range []int{1, 3, 2} {
		r.quiet()
		r.none(s.in, "though the credit is used up")
		if err := c.Grant(r.soon(), "s", n); err != nil {
			r.Fatalf("Grant(%d): %v", n, err)
		}
		next += len(s.take(r, next, next+n))
	}
}

func checkSettleRenewsCredit(r *rig) {
	s, _ := r.crediting(6)
	for i := range 4 {
		m := s.take(r, i, i+1)[0]
		r.accept(m, m)
	}
	s.take(r, 4, 6)
	r.quiet()
	if r.h.Broker != nil { // which takes what is sent, and keeps it
		r.send(s.server, &transport.Message{To: r.topic(1)})
		r.quiet()
		r.none(s.in, "though 4 of 6 messages were settled, which renews a credit of 2 to 0")
		return
	}
	if err := s.server.Send(ended(), &transport.Message{To: r.topic(1)}); err == nil {
		r.Errorf("4 of 6 messages were settled, which renews a credit of 2 to 0, and Send has taken one more")
	}
}

func checkGrantUnknown(r *rig) {
	s, c := r.crediting(3)
	s.take(r, 0, 2)
	for _, id := range []string{"", "never was"} {
		if err := c.Grant(r.soon(), id, 10); err == nil || !transport.NotSent(err) {
			r.Errorf("Grant to the subscription %q: err = %v, want one that is NotSent", id, err)
		}
	}
	r.quiet()
	r.none(s.in, "though the credit is used up")
	if err := c.Grant(r.soon(), "s", 1); err != nil {
		r.Errorf("Grant: %v", err)
	}
	s.take(r, 2, 3)
	s.to(r, transport.Subscription{ID: "gone", Destination: r.topic(2), Credit: 1})
	if err := s.sub.Unsubscribe(r.soon(), "gone"); err != nil {
		r.Fatalf("Unsubscribe: %v", err)
	}
	if err := c.Grant(r.soon(), "gone", 1); err == nil {
		r.Errorf("Grant to a subscription that has ended: no error")
	}
	r.send(s.client, &transport.Message{Body: fmt.Append(nil, "still there?")})
	r.nextText(s.asked, "still there?")
}
