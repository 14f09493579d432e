package broker_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/transport"
)

// in runs a test of a hub in virtual time.
func in(t *testing.T, name string, o *broker.Options, run func(t *testing.T, h *broker.Hub, p *peer)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := newHub(t, o)
			run(t, h, join(t, h, "ann"))
		})
	})
}

func TestQueue(t *testing.T) {
	in(t, "what is sent before waits for a consumer", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		p.must("/queue/q", "a")
		p.must("queue://q", "b")
		p.must("q", "c")
		s := p.attach("/queues/q", transport.AckNone, 9)
		for _, g := range s.take() {
			if g.to != "/queue/q" {
				t.Errorf("To is %q", g.to)
			}
		}
		if s.Address() != "/queue/q" {
			t.Errorf("the address is %q", s.Address())
		}
		p.must("/queue/q", "d")
		s.wants(t, "d")
	})
	in(t, "each message goes to one, in turn among those with room", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		a, b, c := p.attach("q", transport.AckNone, 9), p.attach("q", transport.AckNone, 1), p.attach("q", transport.AckNone, 9)
		for i := range 7 {
			p.must("q", strconv.Itoa(i))
		}
		a.wants(t, "0", "3", "5")
		b.wants(t, "1")
		c.wants(t, "2", "4", "6")
	})
	in(t, "headers and the rest arrive", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		s := p.attach("q", transport.AckNone, 9)
		p.sendMessage(&transport.Message{
			To: "q", ReplyTo: "/reply-queue/x", Subject: "s", ContentType: "text/plain", ID: transport.TextID("1"),
			CorrelationID: transport.NumberID(2), Headers: []transport.Header{{Name: "a", Value: "1"}, {Name: "a", Value: "2"}},
			Attempt: 7, Subscription: "not the broker's business",
		})
		m := s.take()[0].m
		if m.ReplyTo != "/reply-queue/x" || m.Subject != "s" || m.ContentType != "text/plain" || m.ID != transport.TextID("1") ||
			m.CorrelationID != transport.NumberID(2) || len(m.Headers) != 2 || m.Attempt != 0 || m.Subscription != "" {
			t.Errorf("it got %+v", m)
		}
	})
	in(t, "the released goes back to its place, the failed to the end", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		s := p.attach("q", transport.AckEach, 3)
		for _, text := range []string{"a", "b", "c", "d"} {
			p.must("q", text)
		}
		got := s.take()
		s.Settled(got[2].token, transport.Released)
		s.Settled(got[1].token, transport.Failed)
		s.Settled(got[0].token, transport.Released)
		s.grant(9)
		s.wants(t, "a", "c", "d", "b/1")
		if q := queueOf(t, h, "q"); q.Redelivered != 3 || q.Unsettled != 4 || q.In != 4 || q.Out != 7 {
			t.Errorf("the queue: %+v", q)
		}
	})
	in(t, "what somebody who leaves had goes to the next in order", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		other := join(t, h, "ann")
		a := p.attach("q", transport.AckEach, 3)
		for _, text := range []string{"a", "b", "c", "d"} {
			p.must("q", text)
		}
		a.Settled(a.take()[1].token, transport.Accepted)
		b := other.attach("q", transport.AckEach, 9)
		b.wants(t, "d")
		p.sess.Leave()
		b.wants(t, "a/1", "c/1")
	})
	in(t, "a token settles once", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		s := p.attach("q", transport.AckEach, 9)
		p.must("q", "a")
		token := s.take()[0].token
		s.Settled(token, transport.Accepted)
		p.must("q", "b")
		s.Settled(token, transport.Released)
		s.Settled(0, transport.Released)
		s.Settled(1<<63, transport.Released)
		if q := queueOf(t, h, "q"); q.Settled != 1 || q.Unsettled != 1 || q.Depth != 0 {
			t.Errorf("the queue: %+v", q)
		}
	})
}

func TestQueueRoom(t *testing.T) {
	small := &broker.Options{QueueDepth: 2, Waiting: 2}
	in(t, "who finds no room waits, in order, and then is refused", small, func(t *testing.T, h *broker.Hub, p *peer) {
		p.must("q", "a")
		p.must("q", "b")
		c, d, e := p.send("q", "c"), p.send("q", "d"), p.send("q", "e")
		if told, _ := c.now(); told {
			t.Error("c does not wait")
		}
		if _, err := e.now(); !errors.Is(err, transport.ErrBusy) {
			t.Errorf("e: %v, want %v at once", err, transport.ErrBusy)
		}
		time.Sleep(4 * time.Second)
		s := p.attach("q", transport.AckNone, 1)
		if told, err := c.now(); !told || err != nil {
			t.Errorf("c: %t, %v", told, err)
		}
		time.Sleep(2 * time.Second)
		if told, err := d.now(); !told || !errors.Is(err, transport.ErrBusy) {
			t.Errorf("d: %t, %v", told, err)
		}
		s.grant(9)
		s.wants(t, "a", "b", "c")
		if q := queueOf(t, h, "q"); q.Refused != 2 || q.In != 3 {
			t.Errorf("the queue: %+v", q)
		}
	})
	in(t, "what is not settled takes room", small, func(t *testing.T, h *broker.Hub, p *peer) {
		s := p.attach("q", transport.AckEach, 9)
		p.must("q", "a")
		p.must("q", "b")
		c := p.send("q", "c")
		if told, _ := c.now(); told {
			t.Error("c does not wait")
		}
		s.Settled(s.take()[0].token, transport.Accepted)
		if told, err := c.now(); !told || err != nil {
			t.Errorf("c: %t, %v", told, err)
		}
		s.wants(t, "c")
	})
	in(t, "bytes are bounded, and one message always fits", &broker.Options{QueueBytes: 1000}, func(t *testing.T, h *broker.Hub, p *peer) {
		p.must("q", strings.Repeat("x", 5000))
		if told, _ := p.send("q", "b").now(); told {
			t.Error("the second does not wait")
		}
	})
	in(t, "all queues together are bounded", &broker.Options{Memory: 192 << 10}, func(t *testing.T, h *broker.Hub, p *peer) {
		body := strings.Repeat("x", 10<<10)
		var all []*sent
		count := func() (taken, waiting int) {
			for _, s := range all {
				if told, err := s.now(); !told {
					waiting++
				} else if err == nil {
					taken++
				}
			}
			return taken, waiting
		}
		for i := range 100 {
			all = append(all, p.send(fmt.Sprint("/queue/", i%2), body))
		}
		if n, waiting := count(); n > (192+2*16)/10 || n < 12 || waiting != 2 {
			t.Errorf("%d messages found room, want 12 to 22; %d wait, want 2", n, waiting)
		}
		large := p.send("/queue/large", strings.Repeat("x", 90<<10))
		if told, err := large.now(); !told || !errors.Is(err, transport.ErrBusy) {
			t.Errorf("a large message to an empty queue, without memory: %t, %v", told, err)
		}
		if m := h.Stats().Memory; m > 192<<10 {
			t.Errorf("%d bytes are reserved", m)
		}
		a, b := p.attach("/queue/0", transport.AckNone, 100), p.attach("/queue/1", transport.AckNone, 100)
		time.Sleep(time.Second)
		got := len(a.take()) + len(b.take())
		if n, waiting := count(); got != n || waiting != 0 {
			t.Errorf("%d came of %d taken, and %d wait", got, n, waiting)
		}
		p.must("/queue/large", strings.Repeat("x", 90<<10))
		p.attach("/queue/large", transport.AckNone, 9)
		if m := h.Stats().Memory; m != 0 {
			t.Errorf("%d bytes are reserved in the end", m)
		}
	})
	in(t, "the number of queues is bounded", &broker.Options{Queues: 1}, func(t *testing.T, h *broker.Hub, p *peer) {
		p.must("a", "1")
		if _, err := p.send("b", "2").now(); !errors.Is(err, transport.ErrBusy) {
			t.Errorf("b: %v", err)
		}
		if _, err := p.sess.Attach(transport.Subscription{Destination: "c"}, new(sink)); !errors.Is(err, transport.ErrBusy) {
			t.Errorf("c: %v", err)
		}
		if n := h.Stats().Consumers; n != 0 {
			t.Errorf("%d consumers", n)
		}
	})
	in(t, "the number of consumers is bounded", &broker.Options{Consumers: 1}, func(t *testing.T, h *broker.Hub, p *peer) {
		s := p.attach("a", transport.AckNone, 1)
		if _, err := p.sess.Attach(transport.Subscription{Destination: "/topic/t"}, new(sink)); !errors.Is(err, transport.ErrBusy) {
			t.Errorf("the second: %v", err)
		}
		s.Detach()
		p.attach("/topic/t", transport.AckNone, 1)
	})
	in(t, "close tells those who wait", small, func(t *testing.T, h *broker.Hub, p *peer) {
		p.must("q", "a")
		p.must("q", "b")
		c := p.send("q", "c")
		_ = h.Close()
		if told, err := c.now(); !told || !errors.Is(err, transport.ErrNoRoute) {
			t.Errorf("c: %t, %v", told, err)
		}
		if _, err := p.send("q", "d").now(); !errors.Is(err, transport.ErrNoRoute) {
			t.Errorf("d: %v", err)
		}
		if _, err := p.sess.Attach(transport.Subscription{Destination: "q"}, new(sink)); !errors.Is(err, transport.ErrNoRoute) {
			t.Errorf("attach: %v", err)
		}
	})
}

func TestDeadLetters(t *testing.T) {
	header := func(g got, name string) string { return g.m.Header(name) }
	in(t, "the rejected", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		s := p.attach("q", transport.AckEach, 9)
		p.sendMessage(&transport.Message{To: "q", Body: []byte("a"), Headers: []transport.Header{{Name: "x", Value: "1"}}})
		s.Settled(s.take()[0].token, transport.Rejected("not a number"))
		g := p.attach("/queue/dead-letter", transport.AckNone, 9).take()[0]
		if r, q := header(g, broker.HeaderDeathReason), header(g, broker.HeaderDeathQueue); r != "rejected: not a number" || q != "q" || header(g, "x") != "1" {
			t.Errorf("reason %q, queue %q, %+v", r, q, g.m.Headers)
		}
	})
	in(t, "what fails too often", &broker.Options{Attempts: 3, DeadLetters: "morgue"}, func(t *testing.T, h *broker.Hub, p *peer) {
		s := p.attach("q", transport.AckEach, 9)
		p.must("q", "a")
		for i := range 3 {
			g := s.take()[0]
			if g.attempt != i {
				t.Errorf("attempt %d, want %d", g.attempt, i)
			}
			s.Settled(g.token, transport.Failed)
		}
		s.wants(t)
		if r := header(p.attach("/queue/morgue", transport.AckNone, 9).take()[0], broker.HeaderDeathReason); r != "delivered 3 times without success" {
			t.Errorf("reason %q", r)
		}
		if q := queueOf(t, h, "q"); q.DeadLettered != 1 || q.Depth+q.Unsettled != 0 {
			t.Errorf("the queue: %+v", q)
		}
	})
	in(t, "the released are not counted", &broker.Options{Attempts: 2}, func(t *testing.T, h *broker.Hub, p *peer) {
		s := p.attach("q", transport.AckEach, 99)
		p.must("q", "a")
		for range 20 {
			s.Settled(s.take()[0].token, transport.Released)
		}
		s.wants(t, "a")
	})
	in(t, "without a bound", &broker.Options{Attempts: -1}, func(t *testing.T, h *broker.Hub, p *peer) {
		s := p.attach("q", transport.AckEach, 99)
		p.must("q", "a")
		for range 50 {
			s.Settled(s.take()[0].token, transport.Failed)
		}
		s.wants(t, "a/50")
	})
	in(t, "the oldest dead letters are dropped, and counted", &broker.Options{QueueDepth: 2}, func(t *testing.T, h *broker.Hub, p *peer) {
		s := p.attach("q", transport.AckEach, 99)
		for _, text := range []string{"a", "b", "c"} {
			p.must("q", text)
			s.Settled(s.take()[0].token, transport.Rejected("no"))
		}
		if st := h.Stats(); st.Dropped != 1 || st.DeadLettered != 3 {
			t.Errorf("%d dropped, %d dead-lettered", st.Dropped, st.DeadLettered)
		}
		d := p.attach("/queue/dead-letter", transport.AckEach, 99)
		all := d.take()
		if len(all) != 2 || all[0].text != "b" {
			t.Errorf("the dead letters are %v", all)
		}
		d.Settled(all[0].token, transport.Rejected("indeed")) // drops it: it goes round no more
		d.wants(t)
		if st := h.Stats(); st.Dropped != 2 || queueOf(t, h, "dead-letter").Unsettled != 1 {
			t.Errorf("%+v", st)
		}
	})
	in(t, "a long reason is cut", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		s := p.attach("q", transport.AckEach, 9)
		p.must("q", "a")
		s.Settled(s.take()[0].token, transport.Rejected(strings.Repeat("ü", 1000)))
		r := header(p.attach("/queue/dead-letter", transport.AckNone, 9).take()[0], broker.HeaderDeathReason)
		if len(r) > 255 || !strings.HasSuffix(r, "üü") {
			t.Errorf("reason of %d bytes: %q", len(r), r)
		}
	})
}

func TestExpiry(t *testing.T) {
	mortal := func(p *peer, text string, ttl time.Duration) {
		p.sendMessage(&transport.Message{To: "q", Body: []byte(text), Expires: time.Now().Add(ttl)})
	}
	in(t, "the expired is not delivered", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		mortal(p, "a", time.Second)
		mortal(p, "b", time.Hour)
		p.must("q", "c")
		time.Sleep(time.Second)
		s := p.attach("q", transport.AckNone, 9)
		s.wants(t, "b", "c")
		if q := queueOf(t, h, "q"); q.Expired != 1 || h.Stats().Expired != 1 {
			t.Errorf("the queue: %+v", q)
		}
	})
	in(t, "it makes room by itself", &broker.Options{QueueDepth: 1}, func(t *testing.T, h *broker.Hub, p *peer) {
		mortal(p, "a", time.Second)
		b := p.send("q", "b")
		time.Sleep(3 * time.Second)
		if told, err := b.now(); !told || err != nil {
			t.Errorf("b: %t, %v", told, err)
		}
	})
	in(t, "it may be a dead letter", &broker.Options{TTL: time.Second, Expired: broker.DeadLetter}, func(t *testing.T, h *broker.Hub, p *peer) {
		p.must("q", "a")
		time.Sleep(5 * time.Second)
		d := p.attach("/queue/dead-letter", transport.AckNone, 9)
		if got := d.take(); len(got) != 1 || got[0].m.Header(broker.HeaderDeathReason) != "expired" {
			t.Errorf("the dead letters are %v", got)
		}
	})
}

func TestIdle(t *testing.T) {
	in(t, "a queue of no use is forgotten", &broker.Options{Idle: 10 * time.Second}, func(t *testing.T, h *broker.Hub, p *peer) {
		s := p.attach("consumed", transport.AckNone, 0)
		p.attach("empty", transport.AckNone, 0).Detach()
		p.must("full", "a")
		time.Sleep(time.Minute)
		var names []string
		for _, q := range h.Stats().Queues {
			names = append(names, q.Name)
		}
		if want := []string{"consumed", "full"}; !slices.Equal(names, want) {
			t.Errorf("there are %q, want %q", names, want)
		}
		s.Detach()
		time.Sleep(time.Minute)
		p.must("consumed", "b") // makes it anew
		p.attach("consumed", transport.AckNone, 9).wants(t, "b")
	})
}

func TestPrivate(t *testing.T) {
	for _, name := range []string{"", "/temp-queue/mine"} {
		in(t, fmt.Sprintf("%q", name), nil, func(t *testing.T, h *broker.Hub, p *peer) {
			other := join(t, h, "bob")
			s, o := p.attach(name, transport.AckNone, 9), other.attach(name, transport.AckNone, 9)
			if s.Address() == o.Address() || !strings.HasPrefix(s.Address(), "/reply-queue/") {
				t.Errorf("the addresses are %q and %q", s.Address(), o.Address())
			}
			other.must(s.Address(), "a")
			s.wants(t, "a")
			o.wants(t)
			if _, err := other.sess.Attach(transport.Subscription{Destination: s.Address()}, new(sink)); !errors.Is(err, transport.ErrRefused) {
				t.Errorf("somebody else consumes: %v", err)
			}
			if name != "" {
				p.must(name, "b")
				s.wants(t, "b")
				if _, err := p.sess.Attach(transport.Subscription{Destination: name}, new(sink)); !errors.Is(err, transport.ErrRefused) {
					t.Errorf("a second time: %v", err)
				}
			}
			p.sess.Leave()
			if _, err := other.send(s.Address(), "c").now(); !errors.Is(err, transport.ErrNoRoute) {
				t.Errorf("after it has left: %v", err)
			}
			if st := h.Stats(); st.Private != 1 || st.Unroutable != 1 {
				t.Errorf("%+v", st)
			}
		})
	}
	in(t, "unknown", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		for _, to := range []string{"/temp-queue/none", "/reply-queue/none"} {
			if _, err := p.send(to, "a").now(); !errors.Is(err, transport.ErrNoRoute) {
				t.Errorf("%s: %v", to, err)
			}
		}
	})
	in(t, "bounded", &broker.Options{SubscriberDepth: 1}, func(t *testing.T, h *broker.Hub, p *peer) {
		s := p.attach("", transport.AckNone, 0)
		p.must(s.Address(), "a")
		b := p.send(s.Address(), "b")
		if told, _ := b.now(); told {
			t.Error("b does not wait")
		}
		s.Detach()
		if told, err := b.now(); !told || !errors.Is(err, transport.ErrNoRoute) {
			t.Errorf("b: %t, %v", told, err)
		}
	})
}
