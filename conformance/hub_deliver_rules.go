package conformance

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/polyport/polyport/transport"
)

// hubDeliverRules are about the subscriptions of a peer that are a broker's. See
// [Hub].
var hubDeliverRules = []Rule{
	{
		Name: "HubAttach",
		Text: "What a peer asks for goes to the broker, in the words of the wire; what is delivered by it comes out of " +
			"the peer's Recv by that subscription, as it was delivered.",
		needs: needsHub,
		check: checkHubAttach,
	},
	{
		Name:  "HubAttachRefused",
		Text:  "A peer whose subscription the broker refuses is told, and gets nothing by it.",
		needs: needsHub,
		check: checkHubAttachRefused,
	},
	{
		Name:  "HubServed",
		Text:  "Nobody consumes from a destination that is served: the requests there are somebody else's.",
		needs: needsHub,
		check: checkHubServed,
	},
	{
		Name:  "HubOrder",
		Text:  "What is delivered by a subscription arrives in that order.",
		needs: needsHub,
		check: checkHubOrder,
	},
	{
		Name:  "HubAttempt",
		Text:  "Who gets a message that was delivered before can tell: its Attempt is not zero.",
		needs: needsHub,
		check: checkHubAttempt,
	},
	{
		Name: "HubSettled",
		Text: "With AckEach the broker is told the peer's outcome of each message exactly once, and of none before " +
			"the peer has settled it.",
		needs: needsHub,
		check: checkHubSettled,
	},
	{
		Name:  "HubSettledUpTo",
		Text:  "With AckUpTo settling a message settles all before it, each exactly once.",
		needs: needsHub,
		check: checkHubSettledUpTo,
	},
	{
		Name: "HubCredit",
		Text: "Deliver returns false when as many are unsettled as the subscription's Credit or Limits.Unsettled " +
			"allow, and Ready is called when one was settled.",
		needs: needsHub,
		check: checkHubCredit,
	},
	{
		Name: "HubRoom",
		Text: "Deliver never waits: to a peer that does not read it returns false in the end, and Ready is called when " +
			"the peer reads again. What Deliver has taken arrives once and in order.",
		needs: needsHub,
		check: checkHubRoom,
	},
	{
		Name: "HubDetach",
		Text: "The end of a subscription is a Detach, after which Deliver returns false and nothing is settled; the " +
			"others go on.",
		needs: needsHub,
		check: checkHubDetach,
	},
	{
		Name:  "HubLeave",
		Text:  "When the connection has ended nothing more is settled, Deliver returns false, and Ready is not called.",
		needs: needsHub,
		check: checkHubLeave,
	},
	{
		Name:  "HubEnd",
		Text:  "End tells the peer why its subscription ends, and returns at once.",
		needs: needsHub,
		check: checkHubEnd,
	},
	{
		Name: "HubChurn",
		Text: "However subscriptions come and go, messages are delivered and settled, each that was taken arrives or " +
			"its subscription ends, and no room is lost.",
		needs: needsHub,
		check: checkHubChurn,
	},
}

func checkHubAttach(r *rig) {
	h := r.hubbed(nil, nil)
	for i, ack := range []transport.AckMode{transport.AckNone, transport.AckEach, transport.AckUpTo} {
		id := fmt.Sprint("sub-", i)
		c := h.subscribe(transport.Subscription{ID: id, Destination: h.place(i), Ack: ack, Credit: 5})
		if c.want.Destination != h.place(i) || c.want.Ack != ack && c.want.Ack != transport.AckEach {
			r.Errorf("Attach(%+v), want the destination %q with the ack mode %d", c.want, h.place(i), ack)
		}
		want := &transport.Message{
			To: h.place(i), Body: pattern(2000), ContentType: "text/plain", Subject: "news",
			ID: transport.TextID("id"), CorrelationID: transport.TextID("correlation"), ReplyTo: h.place(9),
		}
		if h.client.Info().Headers {
			want.Headers = []transport.Header{{Name: "name", Value: "value"}, {Name: "other", Value: "a: b"}}
		}
		given := *want
		given.Body = append([]byte(nil), want.Body...)
		c.must(r, &given, 1<<40)
		clear(given.Body) // it may not be kept
		got := r.next(h.in)
		for _, diff := range r.differences(got, want) {
			r.Errorf("%s", diff)
		}
		if got.Subscription != id {
			r.Errorf("Subscription = %q, want %q", got.Subscription, id)
		}
		r.accept(got)
	}
	r.none(h.asked, "though the broker has delivered it to the other end")
}

func checkHubAttachRefused(r *rig) {
	const reason = "there is a reason for this"
	h := r.hubbed(nil, func(h *hub) {
		h.attach = func(transport.Subscription) error { return transport.WithReason(transport.ErrRefused, reason) }
	})
	sub := ability[transport.Subscriber](r, h.client, "client", "Subscriber")
	if _, err := sub.Subscribe(r.soon(), transport.Subscription{ID: "s", Destination: h.place(1)}); err != nil {
		if !says(err, reason) {
			r.Errorf("Subscribe: err = %v, want one that says %q", err, reason)
		}
		return
	}
	h.toldWhy(reason)
}

func checkHubServed(r *rig) {
	h := r.hubbed(nil, nil)
	sub := ability[transport.Subscriber](r, h.client, "client", "Subscriber")
	if _, err := sub.Subscribe(r.soon(), transport.Subscription{ID: "s"}); err == nil && !r.h.Hub.Survives {
		_ = r.wantOver(h.in)
	}
	still(r, h.session.attached, "a subscription to what is served")
}

func checkHubOrder(r *rig) {
	const count = 500
	h := r.hubbed(nil, nil)
	c := h.subscribe(transport.Subscription{ID: "s", Destination: h.place(1)})
	for i := range count {
		for !c.deliver(h.message(1, strconv.Itoa(i)), uint64(i)) {
			await(r, c.ready, "room")
		}
	}
	for i := range count {
		m := r.nextText(h.in, strconv.Itoa(i))
		r.accept(m)
	}
	still(r, c.settled, "a settlement, by a subscription that has none")
}

func checkHubAttempt(r *rig) {
	h := r.hubbed(nil, nil)
	c := h.subscribe(transport.Subscription{ID: "s", Destination: h.place(1), Ack: transport.AckEach})
	for i, attempt := range []int{0, 1, 3} {
		m := h.message(1, "x")
		m.Attempt = attempt
		c.must(r, m, uint64(i))
		got := r.next(h.in)
		if (got.Attempt > 0) != (attempt > 0) {
			r.Errorf("Attempt = %d of a message that was delivered %d times before", got.Attempt, attempt)
		}
		r.accept(got)
		c.settledAs(r, uint64(i), transport.Accepted)
	}
}

func checkHubSettled(r *rig) {
	h := r.hubbed(nil, nil)
	c := h.subscribe(transport.Subscription{ID: "s", Destination: h.place(1), Ack: transport.AckEach, Credit: 16})
	again := []transport.Outcome{transport.Failed, transport.Released}
	cases := []struct {
		say  transport.Outcome
		want []transport.Outcome
	}{
		{transport.Accepted, []transport.Outcome{transport.Accepted}},
		{transport.Failed, again},
		{transport.Rejected("bad"), []transport.Outcome{transport.Rejected("bad")}},
		{transport.Released, again},
		{transport.Accepted, []transport.Outcome{transport.Accepted}},
		{transport.Rejected("bad"), []transport.Outcome{transport.Rejected("bad")}},
		{transport.Accepted, []transport.Outcome{transport.Accepted}},
	}
	token := func(i int) uint64 { return 1<<63 + uint64(i)*977 }
	var got []*transport.Message
	for i := range cases {
		c.must(r, h.message(1, strconv.Itoa(i)), token(i))
		got = append(got, r.nextText(h.in, strconv.Itoa(i)))
	}
	still(r, c.settled, "a settlement before the peer has settled anything")
	for n := range cases {
		i := (n*3 + 5) % len(cases)
		if err := got[i].Settle(cases[i].say); err != nil {
			r.Errorf("Settle: %v", err)
		}
		c.settledAs(r, token(i), cases[i].want...)
	}
	still(r, c.settled, "a settlement, once more")
}

func checkHubSettledUpTo(r *rig) {
	h := r.hubbed(nil, nil)
	c := h.subscribe(transport.Subscription{ID: "s", Destination: h.place(1), Ack: transport.AckUpTo, Credit: 16})
	other := h.subscribe(transport.Subscription{ID: "o", Destination: h.place(2), Ack: transport.AckEach, Credit: 16})
	if c.want.Ack != transport.AckUpTo {
		r.skipf("the wire has no cumulative acknowledgement: it settles each by itself")
	}
	var got []*transport.Message
	for i := range 5 {
		c.must(r, h.message(1, strconv.Itoa(i)), uint64(i))
		got = append(got, r.nextText(h.in, strconv.Itoa(i)))
		other.must(r, h.message(2, "other"), uint64(i))
		r.nextText(h.in, "other")
	}
	r.accept(got[2])
	for i := range 3 {
		c.settledAs(r, uint64(i), transport.Accepted)
	}
	still(r, c.settled, "a settlement of what came after")
	r.accept(got[4])
	for i := 3; i < 5; i++ {
		c.settledAs(r, uint64(i), transport.Accepted)
	}
	still(r, other.settled, "a settlement of another subscription's")
}

func checkHubCredit(r *rig) {
	const limit = 3
	for _, by := range []struct {
		what   string
		change func(*transport.Options)
		credit int
	}{
		{"the subscription's Credit", nil, limit},
		{"Limits.Unsettled", func(o *transport.Options) { o.Limits.Unsettled = limit }, 0},
	} {
		h := r.hubbed(by.change, nil)
		c := h.subscribe(transport.Subscription{ID: "s", Destination: h.place(1), Ack: transport.AckEach, Credit: by.credit})
		var got []*transport.Message
		for i := range limit {
			for !c.deliver(h.message(1, strconv.Itoa(i)), uint64(i)) {
				await(r, c.ready, "room for the first messages")
			}
			got = append(got, r.nextText(h.in, strconv.Itoa(i)))
		}
		for i := limit; i < limit+10; i++ {
			r.quiet()
			select {
			case <-c.ready:
			default:
			}
			if c.deliver(h.message(1, strconv.Itoa(i)), uint64(i)) {
				r.Fatalf("Deliver over %s, %d = true", by.what, limit)
			}
			still(r, c.ready, "room, though nothing was settled")
			r.accept(got[i-limit])
			c.settledAs(r, uint64(i-limit), transport.Accepted)
			await(r, c.ready, "room when a message was settled")
			for !c.deliver(h.message(1, strconv.Itoa(i)), uint64(i)) {
				await(r, c.ready, "room when a message was settled")
			}
			got = append(got, r.nextText(h.in, strconv.Itoa(i)))
		}
		r.closeAll(h.client, h.server)
	}
}

func checkHubRoom(r *rig) {
	const size, most = 4 << 10, 1 << 14
	o := r.h.options(func(o *transport.Options) { o.SendBuffer, o.Heartbeat = 16<<10, -1 })
	h := r.hubbedQuietly(o, nil)
	h.asked = r.inbox(h.server)
	c := h.subscribe(transport.Subscription{ID: "s", Destination: h.place(1)})
	r.quiet()
	body := func(i int) string { return fmt.Sprintf("%0*d", size, i) }
	start, sent := time.Now(), 0
	for full := false; !full; {
		for ; c.deliver(h.message(1, body(sent)), uint64(sent)); sent++ {
			if sent == most {
				r.Fatalf("Deliver has taken %d messages of %d bytes that nobody reads", sent, size)
			}
		}
		r.quiet() // so that it is the peer who is slow
		select {
		case <-c.ready:
		default:
			full = true
		}
	}
	if took := time.Since(start); r.virtual && took > 0 {
		r.Errorf("Deliver has waited for %v", took)
	}
	h.in = r.inbox(h.client)
	for i := range sent + 100 {
		if i >= sent {
			for !c.deliver(h.message(1, body(i)), uint64(i)) {
				await(r, c.ready, "room when the peer reads again")
			}
		} else if i == 0 {
			await(r, c.ready, "room when the peer reads again")
		}
		r.accept(r.nextText(h.in, body(i)))
	}
}

func checkHubDetach(r *rig) {
	h := r.hubbed(nil, nil)
	stays := h.subscribe(transport.Subscription{ID: "stays", Destination: h.place(1), Ack: transport.AckEach})
	goes := h.subscribe(transport.Subscription{ID: "goes", Destination: h.place(2), Ack: transport.AckEach})
	goes.must(r, h.message(2, "unsettled"), 1)
	unsettled := r.nextText(h.in, "unsettled")
	sub := ability[transport.Subscriber](r, h.client, "client", "Subscriber")
	if err := sub.Unsubscribe(r.soon(), "goes"); err != nil {
		r.Fatalf("Unsubscribe: %v", err)
	}
	await(r, goes.detached, "the end of the subscription")
	_ = unsettled.Settle(transport.Accepted)
	if goes.deliver(h.message(2, "too late"), 2) {
		r.Errorf("Deliver by a subscription that has ended = true")
	}
	stays.must(r, h.message(1, "still there"), 1)
	r.accept(r.nextText(h.in, "still there"))
	stays.settledAs(r, 1, transport.Accepted)
	still(r, goes.settled, "a settlement after the end of the subscription")
	still(r, goes.detached, "the end, once more")
	still(r, stays.detached, "the end of a subscription that goes on")
	h.subscribe(transport.Subscription{ID: "goes", Destination: h.place(3)}).must(r, h.message(3, "again"), 1)
	r.nextText(h.in, "again")
}

func checkHubLeave(r *rig) {
	h := r.hubbed(nil, nil)
	c := h.subscribe(transport.Subscription{ID: "s", Destination: h.place(1), Ack: transport.AckEach, Credit: 1})
	c.must(r, h.message(1, "unsettled"), 1)
	r.nextText(h.in, "unsettled")
	if c.deliver(h.message(1, "more"), 2) {
		r.Fatalf("Deliver over the credit = true")
	}
	r.quiet()
	select {
	case <-c.ready:
	default:
	}
	r.close(h.client)
	await(r, h.session.left, "the end")
	if c.deliver(h.message(1, "too late"), 3) {
		r.Errorf("Deliver after the end of the connection = true")
	}
	still(r, c.settled, "a settlement, after the peer has gone without one")
	still(r, c.ready, "room on a connection that has ended")
}

func checkHubEnd(r *rig) {
	const reason = "there is a reason for this"
	h := r.hubbed(nil, nil)
	c := h.subscribe(transport.Subscription{ID: "s", Destination: h.place(1)})
	c.must(r, h.message(1, "before"), 1)
	r.nextText(h.in, "before")
	start := time.Now()
	c.out.End(transport.WithReason(transport.ErrBusy, reason))
	if took := time.Since(start); r.virtual && took > 0 {
		r.Errorf("End has waited for %v", took)
	}
	h.toldWhy(reason)
	if c.deliver(h.message(1, "after"), 2) {
		r.Errorf("Deliver after End = true")
	}
}

func checkHubChurn(r *rig) {
	const rounds, each = 20, 12
	h := r.hubbedQuietly(r.h.options(func(o *transport.Options) { o.Limits.Unsettled = 4 }), nil)
	var received atomic.Int32
	h.in = r.inboxThat(h.client, func(m *transport.Message) {
		received.Add(1)
		_ = m.Settle(transport.Accepted) // the subscription may have ended
	})
	h.asked = r.inbox(h.server)
	sub := ability[transport.Subscriber](r, h.client, "client", "Subscriber")
	stays := h.subscribe(transport.Subscription{ID: "stays", Destination: h.place(0), Ack: transport.AckEach})
	var taken atomic.Int32
	feed := func(c *hubConsumer, n int, count int, over <-chan struct{}) bool {
		for i := range count {
			for !c.deliver(h.message(n, "x"), uint64(i)) {
				select {
				case <-c.ready:
				case <-over:
					return false
				case <-h.in.over:
					r.Errorf("the connection has ended: %v", h.in.err)
					return false
				case <-r.soon().Done():
					r.Errorf("no room has come back after %d messages", i)
					return false
				}
			}
			taken.Add(1)
		}
		return true
	}
	var group sync.WaitGroup
	group.Go(func() { feed(stays, 0, rounds*each, nil) })
	for n := range rounds {
		id := fmt.Sprint("goes-", n%2)
		c := h.subscribe(transport.Subscription{ID: id, Destination: h.place(1), Ack: transport.AckEach, Credit: 2})
		over := make(chan struct{})
		var fed sync.WaitGroup
		fed.Go(func() { feed(c, 1, each, over) })
		for range n % 5 {
			r.next(h.in)
		}
		if err := sub.Unsubscribe(r.soon(), id); err != nil {
			r.Fatalf("Unsubscribe: %v", err)
		}
		await(r, c.detached, "the end of the subscription")
		close(over)
		fed.Wait()
	}
	group.Wait()
	for i := range rounds * each {
		await(r, stays.settled, fmt.Sprint("the settlement of message ", i))
	}
	r.quiet()
	if got, most := received.Load(), taken.Load(); got > most || int(got) < rounds*each {
		r.Errorf("%d messages have come, of %d that Deliver has taken and %d by the subscription that stays", got, most, rounds*each)
	}
}
