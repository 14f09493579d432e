package conformance

import (
	"fmt"
	"strconv"

	"github.com/polyport/polyport/transport"
)

// subscribeRules are about the abilities Subscriber and Publisher.
var subscribeRules = []Rule{
	{
		Name:  "Subscribe",
		Text:  "The messages of a subscription come out of Recv with their Subscription set.",
		check: checkSubscribe,
	},
	{
		Name:  "SubscribeNames",
		Text:  "An empty ID lets Subscribe choose one that is not in use.",
		check: checkSubscribeNames,
	},
	{
		Name:  "SubscribeTwice",
		Text:  "A repeated ID is an error and changes nothing.",
		check: checkSubscribeTwice,
	},
	{
		Name: "SubscribeLimit",
		Text: "Limits.Subscriptions is the most that a connection may have; one more is an error, and the " +
			"connection remains usable.",
		check: checkSubscribeLimit,
	},
	{
		Name:  "Unsubscribe",
		Text:  "Unsubscribe ends a subscription, and only that one; an unknown ID is an error.",
		check: checkUnsubscribe,
	},
}

// A subscribed is a pair whose client has subscriptions.
type subscribed struct {
	client, server transport.Conn
	sub            transport.Subscriber
	in             *inbox // of the client
	asked          *inbox // of the server
}

// subscribe connects two ends of which the client may subscribe, or skips the
// rule.
func (r *rig) subscribe(change func(*transport.Options)) *subscribed {
	r.Helper()
	return r.subscribeBy(r.h.options(change))
}

func (r *rig) subscribeBy(o PairOptions) *subscribed {
	r.Helper()
	client, server := r.pair(o)
	sub := ability[transport.Subscriber](r, client, "client", "Subscriber")
	return &subscribed{client: client, server: server, sub: sub, in: r.inbox(client), asked: r.inbox(server)}
}

// to makes a subscription, which must work, and returns its ID.
func (s *subscribed) to(r *rig, sub transport.Subscription) string {
	r.Helper()
	id, err := s.sub.Subscribe(r.soon(), sub)
	if err != nil {
		r.Fatalf("Subscribe: %v", err)
	}
	if id == "" || sub.ID != "" && id != sub.ID {
		r.Errorf("Subscribe = %q, want the ID, %q", id, sub.ID)
	}
	return id
}

// noticed waits until the server has looked at all that the client has sent.
func (s *subscribed) noticed(r *rig) {
	r.Helper()
	r.send(s.client, &transport.Message{Body: []byte("marker")})
	r.nextText(s.asked, "marker")
}

func checkSubscribe(r *rig) {
	s := r.subscribe(nil)
	var ids [3]string
	for i := range ids {
		ids[i] = s.to(r, transport.Subscription{ID: fmt.Sprint("sub-", i), Destination: r.topic(i)})
	}
	s.noticed(r)
	for _, i := range []int{2, 0, 1, 1} {
		want := &transport.Message{To: r.topic(i), Body: fmt.Append(nil, "news ", i), Headers: []transport.Header{{Name: "n", Value: "v"}}}
		r.send(s.server, want)
		got := r.next(s.in)
		for _, diff := range r.differences(got, want) {
			r.Errorf("%s", diff)
		}
		if got.Subscription != ids[i] {
			r.Errorf("Subscription = %q, want %q", got.Subscription, ids[i])
		}
	}
}

func checkSubscribeNames(r *rig) {
	s := r.subscribe(nil)
	ids := map[string]int{}
	for i := range 4 {
		sub := transport.Subscription{Destination: r.topic(i)}
		if i == 1 {
			sub.ID = "2" // what a counter would come to
		}
		ids[s.to(r, sub)] = i
	}
	if len(ids) != 4 {
		r.Errorf("4 subscriptions have the IDs %v, want 4 different ones", ids)
	}
	s.noticed(r)
	for id, i := range ids {
		r.send(s.server, &transport.Message{To: r.topic(i)})
		if got := r.next(s.in).Subscription; got != id {
			r.Errorf("a message to %s: Subscription = %q, want %q", r.topic(i), got, id)
		}
	}
}

func checkSubscribeTwice(r *rig) {
	s := r.subscribe(nil)
	s.to(r, transport.Subscription{ID: "one", Destination: r.topic(1)})
	id, err := s.sub.Subscribe(r.soon(), transport.Subscription{ID: "one", Destination: r.topic(2)})
	if err == nil || !transport.NotSent(err) {
		r.Errorf("Subscribe with an ID in use = %q, %v, want an error that is NotSent", id, err)
	}
	s.noticed(r)
	r.send(s.server, &transport.Message{To: r.topic(1), Body: []byte("1")})
	if got := r.nextText(s.in, "1").Subscription; got != "one" {
		r.Errorf("Subscription = %q, want %q", got, "one")
	}
	if p, ok := transport.As[transport.Publisher](s.server); ok {
		err := p.Publish(r.soon(), &transport.Message{To: r.topic(2)})
		r.wantErr("Publish to the destination of the repeated Subscribe", err, transport.ErrNoRoute)
	}
}

func checkSubscribeLimit(r *rig) {
	const limit = 4
	s := r.subscribe(func(o *transport.Options) { o.Limits.Subscriptions = limit })
	_ = r.replyAddress(s.client) // which may be a subscription
	made := 0
	for ; made <= limit; made++ {
		_, err := s.sub.Subscribe(r.soon(), transport.Subscription{Destination: r.topic(made)})
		if err == nil {
			continue
		}
		if !transport.NotSent(err) {
			r.Errorf("Subscribe over the limit: err = %v, want one that is NotSent", err)
		}
		break
	}
	if made > limit || made < limit-1 {
		r.Errorf("Subscribe has worked %d times, the limit is %d", made, limit)
	}
	r.send(s.client, &transport.Message{Body: []byte("marker"), ReplyTo: r.replyAddress(s.client)})
	reply := r.nextText(s.asked, "marker").ReplyTo
	for i := range made {
		r.send(s.server, &transport.Message{To: r.topic(i), Body: fmt.Append(nil, i)})
		r.nextText(s.in, strconv.Itoa(i))
	}
	if reply != "" {
		r.send(s.server, &transport.Message{To: reply, Body: []byte("answer")})
		r.nextText(s.in, "answer")
	}
}

func checkUnsubscribe(r *rig) {
	s := r.subscribe(nil)
	s.to(r, transport.Subscription{ID: "stays", Destination: r.topic(1)})
	s.to(r, transport.Subscription{ID: "goes", Destination: r.topic(2)})
	if err := s.sub.Unsubscribe(r.soon(), "goes"); err != nil {
		r.Fatalf("Unsubscribe: %v", err)
	}
	if err := s.sub.Unsubscribe(r.soon(), "goes"); err == nil || !transport.NotSent(err) {
		r.Errorf("Unsubscribe, once more: err = %v, want one that is NotSent", err)
	}
	if err := s.sub.Unsubscribe(r.soon(), "never was"); err == nil || !transport.NotSent(err) {
		r.Errorf("Unsubscribe of an unknown ID: err = %v, want one that is NotSent", err)
	}
	s.noticed(r)
	r.send(s.server, &transport.Message{To: r.topic(1), Body: []byte("1")})
	r.nextText(s.in, "1")
	if p, ok := transport.As[transport.Publisher](s.server); ok {
		r.wantErr("Publish to what was unsubscribed", p.Publish(r.soon(), &transport.Message{To: r.topic(2)}), transport.ErrNoRoute)
	}
	s.to(r, transport.Subscription{ID: "goes", Destination: r.topic(3)})
	s.noticed(r)
	r.send(s.server, &transport.Message{To: r.topic(3), Body: []byte("3")})
	if got := r.nextText(s.in, "3").Subscription; got != "goes" {
		r.Errorf("after Subscribe with an ID that is free again: Subscription = %q, want %q", got, "goes")
	}
}
