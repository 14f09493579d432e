package broker_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/transport"
)

// A hook is an outlet that does something while it is called.
type hook struct {
	transport.Consumer
	deliver func(m *transport.Message, token uint64) bool
}

func (h *hook) Deliver(m *transport.Message, token uint64) bool { return h.deliver(m, token) }
func (h *hook) End(error)                                       {}

func TestWhileDelivering(t *testing.T) {
	attach := func(t *testing.T, p *peer, to string, o *hook) {
		t.Helper()
		c, err := p.sess.Attach(transport.Subscription{Destination: to, Ack: transport.AckEach}, o)
		if err != nil {
			t.Fatal(err)
		}
		o.Consumer = c
	}
	in(t, "room that comes while there was none is seen", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		calls := 0
		o := new(hook)
		o.deliver = func(*transport.Message, uint64) bool {
			if calls++; calls == 1 {
				o.Ready()
				return false
			}
			return true
		}
		attach(t, p, "q", o)
		p.must("q", "a")
		if calls != 2 {
			t.Errorf("%d calls, want 2", calls)
		}
	})
	for _, took := range []bool{true, false} {
		in(t, "who leaves meanwhile gets no more", nil, func(t *testing.T, h *broker.Hub, p *peer) {
			calls := 0
			o := new(hook)
			o.deliver = func(*transport.Message, uint64) bool {
				calls++
				o.Detach()
				return took
			}
			attach(t, p, "q", o)
			p.must("q", "a")
			p.must("q", "b")
			if calls != 1 {
				t.Errorf("%d calls, want 1", calls)
			}
			want := []string{"a", "b"}
			if took {
				want[0] = "a/1"
			}
			p.attach("q", transport.AckNone, 9).wants(t, want...)
		})
	}
	in(t, "what is settled meanwhile is settled", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		o := new(hook)
		o.deliver = func(_ *transport.Message, token uint64) bool {
			o.Settled(token, transport.Accepted) // as another goroutine may
			return true
		}
		attach(t, p, "q", o)
		p.must("q", "a")
		o.Detach()
		if q := queueOf(t, h, "q"); q.Settled != 1 || q.Depth+q.Unsettled != 0 {
			t.Errorf("the queue: %+v", q)
		}
	})
}

func TestRoomCorners(t *testing.T) {
	in(t, "a small message does not overtake a large one that waits", &broker.Options{QueueBytes: 2000}, func(t *testing.T, h *broker.Hub, p *peer) {
		p.must("q", strings.Repeat("a", 1000))
		large := p.send("q", strings.Repeat("b", 1000))
		small := p.send("q", "c")
		for _, s := range []*sent{large, small} {
			if told, err := s.now(); told {
				t.Errorf("one does not wait: %v", err)
			}
		}
		got := p.attach("q", transport.AckNone, 9).take()
		if len(got) != 3 || len(got[1].text) != 1000 || got[2].text != "c" {
			t.Errorf("%d came, or in another order", len(got))
		}
	})
	in(t, "the memory of those who wait is given back", &broker.Options{QueueDepth: 1, Memory: 64 << 10}, func(t *testing.T, h *broker.Hub, p *peer) {
		for i := range 100 {
			p.must("q", "a")
			b := p.send("q", strings.Repeat("b", 1000))
			s := p.attach("q", transport.AckNone, 9)
			if told, err := b.now(); !told || err != nil {
				t.Fatalf("round %d: told %t, %v", i, told, err)
			}
			s.Detach()
		}
	})
	in(t, "a goroutine of the queue's own goes on, again and again", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		s := p.attach("q", transport.AckNone, 0)
		for range 3 {
			for range 300 {
				p.must("q", "a")
			}
			s.grant(300)
			synctest.Wait()
			if n := len(s.take()); n != 300 {
				t.Fatalf("%d came, want 300", n)
			}
		}
	})
	in(t, "the memory of what was received is given back", &broker.Options{SubscriberBytes: 100}, func(t *testing.T, h *broker.Hub, p *peer) {
		c := dial(t, h, "/queue/q")
		subscribe(t, c, transport.Subscription{})
		for range 9 {
			p.must("q", string(make([]byte, 90)))
			if recv(t, c) == nil {
				t.Fatal("nothing comes")
			}
		}
		p.must("q", "a")
		p.must("q", "b")
		if q := queueOf(t, h, "q"); q.Depth != 0 {
			t.Errorf("%d wait", q.Depth)
		}
	})
}

// A connection that ends while it subscribes leaves nothing behind.
func TestLeaveWhileAttaching(t *testing.T) {
	h := newHub(t, nil)
	for range 2000 {
		s := h.Join(&transport.Info{})
		var group sync.WaitGroup
		for _, to := range []string{"", "/topic/t", "/queue/q"} {
			group.Go(func() { _, _ = s.Attach(transport.Subscription{Destination: to}, new(drain)) })
		}
		group.Go(s.Leave)
		group.Wait()
	}
	st := h.Stats()
	if st.Private+len(st.Subscriptions)+st.Consumers+st.Connections+st.Queues[0].Consumers != 0 {
		t.Errorf("left are %+v", st)
	}
}
