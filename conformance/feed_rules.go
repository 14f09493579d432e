package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

// feedRules are about wires on which the server publishes and the client listens.
var feedRules = []Rule{
	{
		Name:  "FeedEnds",
		Text:  "Both ends of a feed say that it is one: the end that dialed is a Subscriber, the other an Audience.",
		check: checkFeedEnds,
	},
	{
		Name: "FeedPrefix",
		Text: "On a feed a subscription's Destination is a prefix of topics, compared byte by byte; messages come whole, with To and " +
			"Subject set to their topic and Subscription to the one that matches.",
		check: checkFeedPrefix,
	},
	{
		Name:  "FeedAll",
		Text:  "On a feed the empty prefix is that of every topic.",
		check: checkFeedAll,
	},
	{
		Name: "FeedOnce",
		Text: "On a feed a message comes once, however many subscriptions match, by the one that has longest been there; " +
			"Send behaves as Publish.",
		check: checkFeedOnce,
	},
	{
		Name: "FeedUnsubscribe",
		Text: "On a feed Unsubscribe ends a subscription, and only that one, also if another has the same prefix; an unknown ID " +
			"is an error.",
		check: checkFeedUnsubscribe,
	},
	{
		Name:  "FeedNoRoute",
		Text:  "On a feed Publish and Send of what nobody wants return ErrNoRoute; nothing is sent.",
		check: checkFeedNoRoute,
	},
	{
		Name:  "FeedWants",
		Text:  "On a feed Wants follows the peer's subscriptions, and is false when the connection has ended.",
		check: checkFeedWants,
	},
	{
		Name:  "FeedSilent",
		Text:  "On a feed Send of the end that dialed fails with ErrUnsupported, at once and whatever ctx says; nothing is sent.",
		check: checkFeedSilent,
	},
	{
		Name:  "FeedPlain",
		Text:  "On a feed Subscribe refuses acknowledgements and credit with ErrUnsupported; nothing is subscribed to.",
		check: checkFeedPlain,
	},
	{
		Name: "FeedLimits",
		Text: "On a feed a topic or prefix over Limits.HeaderBytes, a body over Limits.Message and a subscription over " +
			"Limits.Subscriptions are refused before anything is sent; the connection remains usable.",
		check: checkFeedLimits,
	},
	{
		Name: "FeedSlow",
		Text: "On a feed the ctx of Publish bounds the wait for a subscriber that does not receive, with ErrBusy; others are " +
			"not held up, and what was taken arrives in order.",
		needs: needsStream,
		check: checkFeedSlow,
	},
	{
		Name:  "FeedCloses",
		Text:  "On a feed what Publish took before Close arrives, and then the end; after that both ends are closed to everything.",
		check: checkFeedCloses,
	},
	{
		Name:  "FeedRedial",
		Text:  "On a feed Redial renews its subscriptions, and new ones can be made.",
		needs: needsStream,
		check: checkFeedRedial,
	},
}

// onFeeds are the rules that are tested on feeds, too: in them nobody sends but
// the server, or nobody at all.
var onFeeds = map[string]bool{
	"FeedEnds": true, "FeedPrefix": true, "FeedAll": true, "FeedOnce": true, "FeedUnsubscribe": true, "FeedNoRoute": true,
	"FeedWants": true, "FeedSilent": true, "FeedPlain": true, "FeedLimits": true, "FeedSlow": true, "FeedCloses": true,
	"FeedRedial":     true,
	"Authentication": true, "BeatsAgreed": true, "CloseEndsStream": true, "CloseUnblocksRecv": true,
	"Credentials": true, "DamagedClient": true, "DamagedServer": true, "HostileBytes": true, "IdleLives": true, "Info": true,
	"NoBeats": true, "Order": true, "PlaintextPassword": true,
	"RecvContext": true, "RecvEndedContext": true, "SlowHandshake": true, "VirtualHost": true,
}

// keepFeed skips a rule that wants more of a feed than there is.
func (r *rig) keepFeed(c transport.Conn) {
	r.Helper()
	if c.Info().Feed && !onFeeds[r.rule] {
		r.skipf("the wire only carries what the server publishes, and this rule needs more")
	}
}

// everything is the topic of messages in rules that are not about feeds.
const everything = "everything"

// listening is the only way of a feed, with a client that listens.
func (r *rig) listening(client, server transport.Conn) way {
	r.Helper()
	w := way{name: "server to client", from: server, to: client, dest: everything}
	sub, audience := r.feedEnds(client, server)
	if audience.Wants(everything) {
		return w
	}
	if _, err := sub.Subscribe(r.soon(), transport.Subscription{Destination: everything}); err != nil {
		r.Fatalf("Subscribe: %v", err)
	}
	for until := r.soon(); !audience.Wants(everything); { // nobody else receives yet
		_, err := server.Recv(r.within(time.Millisecond))
		if !errors.Is(err, context.DeadlineExceeded) || until.Err() != nil {
			r.Fatalf("a subscription has not come to the server: Recv: %v", err)
		}
	}
	return w
}

// feedEnds returns what the ends of a feed have to be.
func (r *rig) feedEnds(client, server transport.Conn) (transport.Subscriber, transport.Audience) {
	r.Helper()
	sub, subscribes := transport.As[transport.Subscriber](client)
	audience, listened := transport.As[transport.Audience](server)
	if !subscribes || !listened || !server.Info().Feed {
		r.Fatalf("the client says that this is a feed: Subscriber is %v, at the server Audience is %v and Info().Feed %v, want all true",
			subscribes, listened, server.Info().Feed)
	}
	return sub, audience
}

// A fed is a feed whose ends receive.
type fed struct {
	*subscribed
	audience transport.Audience
}

// feed connects two ends, or skips the rule if they are no feed.
func (r *rig) feed(change func(*transport.Options)) *fed {
	r.Helper()
	return r.feedBy(r.h.options(change))
}

func (r *rig) feedBy(o PairOptions) *fed {
	r.Helper()
	f := r.quietFeed(o)
	f.in = r.inbox(f.client)
	return f
}

// quietFeed is a feed whose client does not receive yet.
func (r *rig) quietFeed(o PairOptions) *fed {
	r.Helper()
	client, server := r.pair(o)
	if !client.Info().Feed {
		if server.Info().Feed {
			r.Fatalf("the server says that this is a feed, the client does not")
		}
		r.skipf("the wire is no feed: its ends may both send")
	}
	f := &fed{subscribed: &subscribed{client: client, server: server, asked: r.inbox(server)}}
	f.sub, f.audience = r.feedEnds(client, server)
	return f
}

// to subscribes to a prefix, and waits until the server knows by a topic that
// nothing else matches.
func (f *fed) to(r *rig, id, prefix, known string) {
	r.Helper()
	f.subscribed.to(r, transport.Subscription{ID: id, Destination: prefix})
	f.wants(r, known, true)
}

// wants waits until the server knows whether a topic is wanted.
func (f *fed) wants(r *rig, topic string, want bool) {
	r.Helper()
	for until := r.soon(); f.audience.Wants(topic) != want; r.sleep(time.Millisecond) {
		if until.Err() != nil {
			r.Fatalf("Wants(%q) = %v after %v, want %v", topic, !want, r.patience(), want)
		}
	}
}

// publish publishes a text, which must work.
func (f *fed) publish(r *rig, topic, text string) {
	r.Helper()
	if err := f.audience.Publish(r.soon(), &transport.Message{To: topic, Body: []byte(text)}); err != nil {
		r.Fatalf("Publish to %q: %v", topic, err)
	}
}

// hears checks that a message comes, by a subscription.
func (f *fed) hears(r *rig, topic, text, id string) {
	r.Helper()
	m := r.nextText(f.in, text)
	if m.To != topic || m.Subject != topic || m.Subscription != id {
		r.Errorf("To = %q, Subject = %q, Subscription = %q, want %q, %q and %q", m.To, m.Subject, m.Subscription, topic, topic, id)
	}
}

// unheard checks that a topic is not wanted, and that nothing comes of it.
func (f *fed) unheard(r *rig, topic string) {
	r.Helper()
	if f.audience.Wants(topic) {
		r.Errorf("Wants(%q) = true, want false", topic)
	}
	m := &transport.Message{To: topic, Body: []byte("for nobody")}
	r.wantErr(fmt.Sprintf("Publish to %q", topic), f.audience.Publish(r.soon(), m), transport.ErrNoRoute)
	r.wantErr(fmt.Sprintf("Send to %q", topic), f.server.Send(r.soon(), m), transport.ErrNoRoute)
}

// still checks that nothing has come and that the feed goes on.
func (f *fed) still(r *rig) {
	r.Helper()
	if !f.audience.Wants("still there?") {
		f.to(r, "still", "still there", "still there?")
	}
	f.publish(r, "still there?", "yes")
	f.hears(r, "still there?", "yes", "still")
	r.none(f.asked, "though a feed's client sends nothing")
}

func checkFeedEnds(r *rig) {
	f := r.feed(nil)
	if _, publishes := transport.As[transport.Publisher](f.client); publishes {
		r.Errorf("the end that dialed declares to be a Publisher, and can publish nothing")
	}
	if _, subscribes := transport.As[transport.Subscriber](f.server); subscribes {
		r.Errorf("the end that was dialed declares to be a Subscriber, and nobody publishes to it")
	}
	if f.client.Info().Lockstep || f.server.Info().Lockstep {
		r.Errorf("Info().Lockstep = true on a feed, want false")
	}
	f.still(r)
}

func checkFeedPrefix(r *rig) {
	f := r.feed(nil)
	prefixes := map[string]string{"words": "a.", "exact": "news", "bytes": "\xc3", "long": strings.Repeat("l", 200)}
	for id, prefix := range prefixes {
		f.to(r, id, prefix, prefix)
	}
	for topic, id := range map[string]string{
		"a.": "words", "a.b": "words", "a.b.c": "words", "news": "exact", "newspaper": "exact", "news.today": "exact",
		"ä": "bytes", "\xc3\xff": "bytes", strings.Repeat("l", 201): "long",
	} {
		body := pattern(2000)
		m := &transport.Message{To: topic, Subject: "another", Body: body}
		if err := f.audience.Publish(r.soon(), m); err != nil {
			r.Fatalf("Publish to %q: %v", topic, err)
		}
		clear(body)
		got := r.next(f.in)
		if diff := sameBody(got.Body, pattern(2000)); diff != "" {
			r.Errorf("%q: %s", topic, diff)
		}
		if got.To != topic || got.Subject != topic || got.Subscription != id {
			r.Errorf("%q: To = %q, Subject = %q, Subscription = %q, want %q", topic, got.To, got.Subject, got.Subscription, id)
		}
	}
	for _, topic := range []string{"a", "b.a.", "A.b", "new", "News", "\xc4", strings.Repeat("l", 199)} {
		f.unheard(r, topic)
	}
	f.still(r)
}

func checkFeedAll(r *rig) {
	f := r.feed(nil)
	f.unheard(r, "anything")
	f.to(r, "all", "", "anything")
	for _, topic := range []string{"a", "task.7", "ö", "\xff"} {
		f.publish(r, topic, "news of "+topic)
		f.hears(r, topic, "news of "+topic, "all")
	}
}

func checkFeedOnce(r *rig) {
	f := r.feed(nil)
	for id, prefix := range []string{"a.b", "a.", "", "a.b"} {
		f.subscribed.to(r, transport.Subscription{ID: strconv.Itoa(id), Destination: prefix})
	}
	f.follow(r)
	for i := range 5 {
		text := fmt.Sprint("news ", i)
		f.publish(r, "a.b.c", text)
		f.hears(r, "a.b.c", text, "0")
		r.send(f.server, &transport.Message{To: "a.c", Body: []byte(text)})
		f.hears(r, "a.c", text, "1")
		f.publish(r, "b", text)
		f.hears(r, "b", text, "2")
	}
	if err := f.sub.Unsubscribe(r.soon(), "0"); err != nil {
		r.Fatalf("Unsubscribe: %v", err)
	}
	f.follow(r)
	f.publish(r, "a.b.c", "more")
	f.hears(r, "a.b.c", "more", "1")
}

// follow waits until the server has taken in all that the client has asked for,
// the subscription to everything among it.
func (f *fed) follow(r *rig) {
	r.Helper()
	f.wants(r, "anything", true)
	r.quiet() // nothing tells more than that
}

func checkFeedUnsubscribe(r *rig) {
	f := r.feed(nil)
	f.to(r, "stays", "a", "a")
	f.to(r, "goes", "b", "b")
	f.subscribed.to(r, transport.Subscription{ID: "same", Destination: "a"})
	for _, id := range []string{"stays", "goes"} { // the server knows of both when it knows of the last
		if err := f.sub.Unsubscribe(r.soon(), id); err != nil {
			r.Fatalf("Unsubscribe: %v", err)
		}
	}
	for _, id := range []string{"goes", "never was"} {
		if err := f.sub.Unsubscribe(r.soon(), id); err == nil || !transport.NotSent(err) {
			r.Errorf("Unsubscribe of the unknown ID %q: err = %v, want one that is NotSent", id, err)
		}
	}
	f.wants(r, "b", false)
	f.unheard(r, "b")
	f.publish(r, "a", "by the same prefix")
	f.hears(r, "a", "by the same prefix", "same")
	f.to(r, "goes", "c", "c")
	f.publish(r, "c", "again")
	f.hears(r, "c", "again", "goes")
	if err := f.sub.Unsubscribe(r.soon(), "same"); err != nil {
		r.Fatalf("Unsubscribe: %v", err)
	}
	f.wants(r, "a", false)
	f.still(r)
}

func checkFeedNoRoute(r *rig) {
	f := r.feed(nil)
	f.unheard(r, "before anything")
	f.to(r, "s", "some", "some")
	for _, topic := range []string{"other", "som"} {
		f.unheard(r, topic)
	}
	f.publish(r, "something", "x")
	f.hears(r, "something", "x", "s")
	f.still(r)
}

func checkFeedWants(r *rig) {
	f := r.feed(shortLinger)
	for range 5 {
		for _, topic := range []string{"a.b", "a", ""} {
			if topic != "" && f.audience.Wants(topic) {
				r.Errorf("Wants(%q) = true, want false", topic)
			}
		}
		f.to(r, "s", "a.", "a.b")
		if f.audience.Wants("a") || f.audience.Wants("b") {
			r.Errorf("Wants = true for what does not begin with the prefix")
		}
		if err := f.sub.Unsubscribe(r.soon(), "s"); err != nil {
			r.Fatalf("Unsubscribe: %v", err)
		}
		f.wants(r, "a.b", false)
	}
	f.to(r, "s", "", "a.b")
	r.close(f.client)
	_ = r.wantOver(f.asked)
	if f.audience.Wants("a.b") {
		r.Errorf("Wants = true after the peer has left, want false")
	}
	r.wantErr("Publish after the peer has left", f.audience.Publish(r.soon(), &transport.Message{To: "a.b"}), transport.ErrClosed)
}

func checkFeedSilent(r *rig) {
	f := r.feed(nil)
	f.to(r, "all", "", "news")
	for _, to := range []string{"", "news", transport.DefaultDestination} {
		r.refusedAtOnce("by the end that only listens", f.client, to, transport.ErrUnsupported)
	}
	f.publish(r, "news", "still there")
	f.hears(r, "news", "still there", "all")
	r.none(f.asked, "though Send has failed")
}

func checkFeedPlain(r *rig) {
	f := r.feed(nil)
	for what, s := range map[string]transport.Subscription{
		"AckEach": {ID: "s", Ack: transport.AckEach}, "AckUpTo": {ID: "s", Ack: transport.AckUpTo}, "Credit": {ID: "s", Credit: 10},
	} {
		_, err := f.sub.Subscribe(r.soon(), s)
		r.wantErr("Subscribe with "+what, err, transport.ErrUnsupported)
	}
	r.quiet()
	f.unheard(r, "news")
	f.to(r, "s", "", "news")
	f.publish(r, "news", "x")
	f.hears(r, "news", "x", "s")
}

func checkFeedLimits(r *rig) {
	limits := transport.Limits{Message: 100_000, HeaderBytes: 8 << 10, Subscriptions: 4}
	f := r.feed(func(o *transport.Options) { o.Limits = limits })
	long := strings.Repeat("x", limits.HeaderBytes+1)
	_, err := f.sub.Subscribe(r.soon(), transport.Subscription{Destination: long})
	r.wantErr("Subscribe to a prefix over the limit", err, transport.ErrTooLarge)
	f.to(r, "all", "", "x")
	for what, m := range map[string]*transport.Message{
		"a topic over the limit": {To: long}, "a body one byte over the limit": {To: "x", Body: pattern(limits.Message + 1)},
	} {
		r.wantErr("Publish of "+what, f.audience.Publish(r.soon(), m), transport.ErrTooLarge)
	}
	for i := range limits.Subscriptions - 1 {
		f.to(r, strconv.Itoa(i), fmt.Sprint("topic ", i), "x")
	}
	for _, id := range []string{"", "one more"} {
		if _, err := f.sub.Subscribe(r.soon(), transport.Subscription{ID: id, Destination: "y"}); err == nil || !transport.NotSent(err) {
			r.Errorf("Subscribe over the limit of %d: err = %v, want one that is NotSent", limits.Subscriptions, err)
		}
	}
	body := pattern(limits.Message)
	if err := f.audience.Publish(r.soon(), &transport.Message{To: "x", Body: body}); err != nil {
		r.Fatalf("Publish of a body of exactly the limit: %v", err)
	}
	if diff := sameBody(r.next(f.in).Body, body); diff != "" {
		r.Errorf("a body of exactly the limit: %s", diff)
	}
	f.publish(r, "topic 1", "the last")
	f.hears(r, "topic 1", "the last", "all")
}

func checkFeedSlow(r *rig) {
	o := r.h.options(func(o *transport.Options) { o.SendBuffer, o.Heartbeat = smallBuffer, -1 })
	o.Client, o.Server = mem.PipeSize(smallPipe)
	slow := r.quietFeed(o)
	slow.to(r, "s", "news", "news")
	other := r.feed(nil)
	other.to(r, "s", "news", "news")
	n := slow.fill(r)
	for _, ctx := range []context.Context{ended(), r.within(full)} {
		start := time.Now()
		r.wantErr("Publish to a subscriber that does not receive", slow.audience.Publish(ctx, numberedNews(n)), transport.ErrBusy)
		if took := time.Since(start); took > full+r.patience()/2 {
			r.Errorf("Publish has waited for %v, its ctx ended after %v at most", took, full)
		}
	}
	if !slow.audience.Wants("news") {
		r.Errorf("Wants = false for a subscriber that is slow, want true")
	}
	for i := range 10 {
		other.publish(r, "news", strconv.Itoa(i))
		other.hears(r, "news", strconv.Itoa(i), "s")
	}
	slow.in = r.inbox(slow.client)
	for i := range n {
		if got, want := r.next(slow.in).Body, numberedNews(i).Body; !slices.Equal(got, want) {
			r.Fatalf("message %d of %d that were taken is %s, want %s", i, n, brief(got), brief(want))
		}
	}
	slow.publish(r, "news", "the last")
	slow.hears(r, "news", "the last", "s")
}

// fill publishes until there is no room, and returns how many messages were taken.
func (f *fed) fill(r *rig) int {
	r.Helper()
	for i := range 10 * (smallBuffer + smallPipe) / chunk {
		if err := f.audience.Publish(r.within(full), numberedNews(i)); err != nil {
			r.wantErr("Publish without room", err, transport.ErrBusy)
			return i
		}
	}
	r.Fatalf("the subscriber does not receive, and yet Publish has taken ten times what SendBuffer and stream hold")
	return 0
}

func numberedNews(i int) *transport.Message {
	return &transport.Message{To: "news", Body: append(fmt.Appendf(nil, "%6d ", i), pattern(chunk)...)}
}

func checkFeedCloses(r *rig) {
	for range 5 { // a wire that forgets what waits may have written it just before
		feedCloses(r)
	}
}

func feedCloses(r *rig) {
	f := r.feed(shortLinger)
	f.to(r, "s", "", "n")
	for n := range many {
		f.publish(r, "n", strconv.Itoa(n))
	}
	r.close(f.server)
	for n := range many {
		f.hears(r, "n", strconv.Itoa(n), "s")
	}
	r.wantClosed("Recv after the last message", r.wantOver(f.in))
	r.wantErr("Publish after Close", f.audience.Publish(r.soon(), &transport.Message{To: "n"}), transport.ErrClosed)
	r.wantClosed("Recv of the server after Close", r.wantOver(f.asked))
	r.wantErr("Send of the client after the end", f.client.Send(r.soon(), &transport.Message{}), transport.ErrClosed)
	_, err := f.sub.Subscribe(r.soon(), transport.Subscription{Destination: "x"})
	r.wantErr("Subscribe after the end", err, transport.ErrClosed)
}

func checkFeedRedial(r *rig) {
	d := r.redial()
	if !d.conn.Info().Feed {
		r.skipf("the wire is no feed: its ends may both send")
	}
	f := &fed{subscribed: &subscribed{client: d.conn, in: r.inbox(d.conn)}}
	meet := func() {
		f.server = d.server(r)
		f.sub, f.audience = r.feedEnds(d.conn, f.server)
		f.asked = r.inbox(f.server)
	}
	meet()
	f.to(r, "stays", "a", "a")
	f.to(r, "goes", "b", "b")
	if err := f.sub.Unsubscribe(r.soon(), "goes"); err != nil {
		r.Fatalf("Unsubscribe: %v", err)
	}
	for i := range 3 {
		d.cut()
		meet()
		f.wants(r, "a", true)
		f.unheard(r, "b")
		f.publish(r, "a", strconv.Itoa(i))
		f.hears(r, "a", strconv.Itoa(i), "stays")
		f.to(r, strconv.Itoa(i), fmt.Sprint("new ", i), fmt.Sprint("new ", i))
		f.publish(r, fmt.Sprint("new ", i), "news")
		f.hears(r, fmt.Sprint("new ", i), "news", strconv.Itoa(i))
	}
	if n := f.in.lost.Load(); n != 3 {
		r.Errorf("after 3 losses Recv has returned ErrReconnecting %d times", n)
	}
}
