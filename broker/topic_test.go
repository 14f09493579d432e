package broker_test

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/transport"
)

func TestTopic(t *testing.T) {
	in(t, "all who are subscribed get it, once for each subscription", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		exact, star := p.attach("/topic/news.sport", transport.AckNone, 9), p.attach("/topics/news.*", transport.AckNone, 9)
		hash, all := p.attach("topic://news.>", transport.AckNone, 9), p.attach("/exchange/amq.topic/#", transport.AckNone, 9)
		p.must("/topic/news.sport", "a")
		p.must("topic://news", "b")
		p.must("/topic/other", "c")
		exact.wants(t, "a")
		star.wants(t, "a")
		hash.wants(t, "a", "b")
		got := all.take()
		if len(got) != 3 || got[1].to != "/topic/news" {
			t.Errorf("all: %v", got)
		}
		if hash.Address() != "/topic/news.#" {
			t.Errorf("the address is %q", hash.Address())
		}
	})
	in(t, "all get the same bytes", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		a, b := p.attach("/topic/t", transport.AckNone, 9), p.attach("/topic/t", transport.AckNone, 9)
		p.must("/topic/t", "x")
		if &a.take()[0].m.Body[0] != &b.take()[0].m.Body[0] {
			t.Error("the body was copied")
		}
	})
	in(t, "who comes later gets nothing of before, and who has left nothing more", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		p.must("/topic/t", "a")
		s := p.attach("/topic/t", transport.AckNone, 9)
		p.must("/topic/t", "b")
		s.Detach()
		p.must("/topic/t", "c")
		s.wants(t, "b")
		if st := h.Stats(); st.Consumers != 0 || len(st.Subscriptions) != 0 || len(st.Topics) != 1 || st.Topics[0].In != 3 {
			t.Errorf("%+v", st)
		}
	})
	in(t, "a bare name is a topic if somebody listens and it is no queue", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		s := p.attach("/topic/t", transport.AckNone, 9)
		p.must("t", "a")
		s.wants(t, "a")
		p.attach("t.*", transport.AckNone, 9) // can be no queue
		p.must("/queue/t", "b")
		p.must("t", "c")
		s.wants(t)
		p.attach("t", transport.AckNone, 9).wants(t, "b", "c")
	})
	in(t, "one cannot send to a filter", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		if _, err := p.send("/topic/a.*", "x").now(); !errors.Is(err, transport.ErrInvalid) {
			t.Errorf("%v", err)
		}
	})
	in(t, "what is not settled comes again to the same subscriber", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		a, b := p.attach("/topic/t", transport.AckEach, 9), p.attach("/topic/t", transport.AckEach, 9)
		p.must("/topic/t", "x")
		a.Settled(a.take()[0].token, transport.Failed)
		a.wants(t, "x/1")
		b.wants(t, "x")
	})
	in(t, "topics that are not known by name work as well", &broker.Options{Topics: 1}, func(t *testing.T, h *broker.Hub, p *peer) {
		s := p.attach("/topic/#", transport.AckNone, 9)
		for i := range 3 {
			p.must(fmt.Sprintf("topic://t%d", i), strconv.Itoa(i))
		}
		s.wants(t, "0", "1", "2")
		if n := len(h.Stats().Topics); n != 1 {
			t.Errorf("%d topics are known", n)
		}
	})
}

func TestSlowSubscriber(t *testing.T) {
	// Each of these has a slow subscriber without room, and a quick one.
	slow := func(name string, o broker.Options, run func(t *testing.T, h *broker.Hub, p *peer, slow, quick *sink)) {
		o.SubscriberDepth = 2
		in(t, name, &o, func(t *testing.T, h *broker.Hub, p *peer) {
			run(t, h, p, p.attach("/topic/t.x", transport.AckNone, 0), p.attach("/topic/t.x", transport.AckNone, 99))
		})
	}
	slow("drop oldest", broker.Options{}, func(t *testing.T, h *broker.Hub, p *peer, slow, quick *sink) {
		for _, text := range []string{"a", "b", "c", "d"} {
			p.must("/topic/t.x", text)
		}
		quick.wants(t, "a", "b", "c", "d")
		slow.grant(9)
		slow.wants(t, "c", "d")
		if s := h.Stats(); s.Dropped != 2 || s.Subscriptions[0].Dropped != 2 || s.Subscriptions[0].Subscribers != 2 {
			t.Errorf("%+v", s)
		}
	})
	slow("disconnect", broker.Options{Slow: broker.Disconnect}, func(t *testing.T, h *broker.Hub, p *peer, slow, quick *sink) {
		for _, text := range []string{"a", "b", "c", "d"} {
			p.must("/topic/t.x", text)
		}
		quick.wants(t, "a", "b", "c", "d")
		if !errors.Is(slow.ended, transport.ErrBusy) || quick.ended != nil {
			t.Errorf("slow ended with %v, quick with %v", slow.ended, quick.ended)
		}
		slow.grant(9)
		slow.wants(t)
		if s := h.Stats(); s.Disconnected != 1 || s.Consumers != 1 {
			t.Errorf("%+v", s)
		}
	})
	slow("block, until there is room", broker.Options{Slow: broker.Block}, func(t *testing.T, h *broker.Hub, p *peer, slow, quick *sink) {
		p.must("/topic/t.x", "a")
		p.must("/topic/t.x", "b")
		c := p.send("/topic/t.x", "c")
		if told, _ := c.now(); told {
			t.Error("c does not wait")
		}
		quick.wants(t, "a", "b", "c")
		slow.grant(1)
		if told, err := c.now(); !told || err != nil {
			t.Errorf("c: %t, %v", told, err)
		}
		slow.grant(9)
		slow.wants(t, "a", "b", "c")
	})
	slow("block, for so long", broker.Options{Slow: broker.Block}, func(t *testing.T, h *broker.Hub, p *peer, slow, quick *sink) {
		p.must("/topic/t.x", "a")
		p.must("/topic/t.x", "b")
		c := p.send("/topic/t.x", "c")
		time.Sleep(6 * time.Second)
		if told, err := c.now(); !told || !errors.Is(err, transport.ErrBusy) {
			t.Errorf("c: %t, %v", told, err)
		}
		d := p.send("/topic/t.x", "d")
		slow.grant(9)
		slow.wants(t, "a", "b", "d")
		quick.wants(t, "a", "b", "c", "d")
		if told, err := d.now(); !told || err != nil {
			t.Errorf("d: %t, %v", told, err)
		}
	})
	slow("block, until it leaves", broker.Options{Slow: broker.Block, Waiting: 1}, func(t *testing.T, h *broker.Hub, p *peer, slow, quick *sink) {
		other := p.attach("/topic/t.*", transport.AckNone, 0)
		p.must("/topic/t.x", "a")
		p.must("/topic/t.x", "b")
		c, d := p.send("/topic/t.x", "c"), p.send("/topic/t.x", "d")
		if _, err := d.now(); !errors.Is(err, transport.ErrBusy) {
			t.Errorf("d: %v, for too many wait", err)
		}
		slow.Detach()
		if told, _ := c.now(); told {
			t.Error("c does not wait for the other")
		}
		other.Detach()
		if told, err := c.now(); !told || err != nil {
			t.Errorf("c: %t, %v", told, err)
		}
		quick.wants(t, "a", "b", "c", "d")
	})
	slow("by topic", broker.Options{SlowFor: []broker.PolicyFor{
		{Topics: "t.#", Policy: broker.Disconnect}, {Topics: "#", Policy: broker.Block},
	}}, func(t *testing.T, h *broker.Hub, p *peer, slow, quick *sink) {
		other := p.attach("/topic/#", transport.AckNone, 0)
		p.must("/topic/t.x", "a")
		p.must("/topic/t.x", "b")
		c := p.send("/topic/t.x", "c")
		if told, _ := c.now(); told || slow.ended == nil || other.ended != nil {
			t.Errorf("c told %t; the slow ended with %v, the other with %v", told, slow.ended, other.ended)
		}
	})
}

func TestRetained(t *testing.T) {
	in(t, "the last value comes to who subscribes", &broker.Options{Retain: 9}, func(t *testing.T, h *broker.Hub, p *peer) {
		before := p.attach("/topic/p.#", transport.AckNone, 9)
		p.must("/topic/p.usd", "1")
		p.must("/topic/p.eur", "2")
		p.must("/topic/p.usd", "3")
		p.must("/topic/other", "4")
		p.attach("/topic/p.*", transport.AckNone, 9).wants(t, "2", "3")
		p.must("/topic/p.eur", "") // clears it
		p.attach("/topic/p.*", transport.AckNone, 9).wants(t, "3")
		before.wants(t, "1", "2", "3", "")
		if s := h.Stats(); s.Retained != 2 {
			t.Errorf("%d are retained, want 2", s.Retained)
		}
	})
	in(t, "not when it has expired", &broker.Options{Retain: 9}, func(t *testing.T, h *broker.Hub, p *peer) {
		p.sendMessage(&transport.Message{To: "/topic/p", Body: []byte("1"), Expires: time.Now().Add(time.Second)})
		time.Sleep(time.Second)
		p.attach("/topic/p", transport.AckNone, 9).wants(t)
	})
	in(t, "so many", &broker.Options{Retain: 2}, func(t *testing.T, h *broker.Hub, p *peer) {
		for i := range 4 {
			p.must(fmt.Sprint("/topic/p", i), strconv.Itoa(i))
		}
		p.must("/topic/p0", "again")
		p.attach("/topic/#", transport.AckNone, 9).wants(t, "again", "1")
		if s := h.Stats(); s.Retained != 2 || s.Unretained != 2 {
			t.Errorf("%+v", s)
		}
	})
	in(t, "so many bytes", &broker.Options{Retain: 9, RetainBytes: 1000}, func(t *testing.T, h *broker.Hub, p *peer) {
		p.must("/topic/a", string(make([]byte, 500)))
		p.must("/topic/b", string(make([]byte, 500)))
		if s := h.Stats(); s.Retained != 1 || s.Unretained != 1 || s.RetainedBytes > 1000 {
			t.Errorf("%+v", s)
		}
	})
	in(t, "none by default", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		p.must("/topic/a", "1")
		p.attach("/topic/a", transport.AckNone, 9).wants(t)
	})
}
