package broker_test

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/transport"
)

// Many senders, and consumers that come, settle with any outcome, and go at random.
// In the end each message was accepted once, or is a dead letter, and none is lost.
func TestStressQueue(t *testing.T) {
	const senders, each, consumers = 4, 5000, 8
	h := newHub(t, &broker.Options{QueueDepth: 500, Attempts: -1, Waiting: senders * 100})
	var accepted [senders * each]atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var group, senderGroup sync.WaitGroup
	for i := range consumers {
		group.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for ctx.Err() == nil {
				consumeSome(ctx, h, r, &accepted)
			}
		})
	}
	for i := range senders {
		senderGroup.Go(func() { sendAll(t, h, i*each, each) })
	}
	senderGroup.Wait()
	until(t, "everything is settled", func() bool {
		q := queueOf(t, h, "q")
		return q.Settled == senders*each
	})
	cancel()
	group.Wait()
	for i := range accepted {
		if n := accepted[i].Load(); n != 1 {
			t.Fatalf("message %d was accepted %d times", i, n)
		}
	}
	q := queueOf(t, h, "q")
	if q.In != senders*each || q.Depth+q.Unsettled+q.Bytes+q.Consumers != 0 {
		t.Errorf("the queue: %+v", q)
	}
	t.Logf("%d deliveries of %d messages, %d of them again", q.Out, q.In, q.Redelivered)
}

// consumeSome is a consumer for a while.
func consumeSome(ctx context.Context, h *broker.Hub, r *rand.Rand, accepted *[20000]atomic.Int32) {
	c, err := h.Dial(context.Background(), "/queue/q")
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	if _, err = c.(transport.Subscriber).Subscribe(context.Background(), transport.Subscription{Ack: transport.AckEach, Credit: 1 + r.IntN(20)}); err != nil {
		return
	}
	for range r.IntN(2000) {
		m, err := c.Recv(ctx)
		if err != nil {
			return
		}
		switch r.IntN(30) {
		case 0:
			_ = m.Settle(transport.Released)
		case 1:
			_ = m.Settle(transport.Failed)
		case 2:
			return // with what it holds
		default:
			accepted[binary.BigEndian.Uint64(m.Body)].Add(1)
			_ = m.Settle(transport.Accepted)
		}
	}
}

// sendAll sends the numbers, without waiting for each.
func sendAll(t *testing.T, h *broker.Hub, from, n int) {
	s := h.Join(&transport.Info{})
	defer s.Leave()
	room := make(chan struct{}, 100)
	for i := range n {
		room <- struct{}{}
		body := binary.BigEndian.AppendUint64(nil, uint64(from+i))
		s.Send(&transport.Message{To: "/queue/q", Body: body}, func(err error) {
			if err != nil {
				t.Errorf("send %d: %v", from+i, err)
			}
			<-room
		})
	}
	for range cap(room) {
		room <- struct{}{}
	}
}

// An orderly is a subscriber that checks that each sender's numbers rise.
type orderly struct {
	t    *testing.T
	busy atomic.Int32
	last [8]int64
	n    atomic.Int64
}

func (o *orderly) Deliver(m *transport.Message, _ uint64) bool {
	if o.busy.Add(1) != 1 {
		o.t.Error("two deliveries at a time")
	}
	defer o.busy.Add(-1)
	sender, n := m.Body[0], int64(binary.BigEndian.Uint32(m.Body[1:]))
	if n <= o.last[sender] {
		o.t.Errorf("%d of sender %d comes after %d", n, sender, o.last[sender])
	}
	o.last[sender] = n
	o.n.Add(1)
	return true
}

func (o *orderly) End(error) {}

// Senders to one topic and one queue at a time, while others come and go: what each
// has sent comes in order.
func TestStressOrder(t *testing.T) {
	const senders, each, listeners = 4, 3000, 10
	h := newHub(t, &broker.Options{Slow: broker.Block})
	var all []*orderly
	p := join(t, h, "")
	for i := range listeners + 1 {
		o := &orderly{t: t}
		all = append(all, o)
		to := "/topic/t.*"
		if i == listeners {
			to = "/queue/q"
		}
		if _, err := p.sess.Attach(transport.Subscription{Destination: to}, o); err != nil {
			t.Fatal(err)
		}
	}
	var group, others sync.WaitGroup
	over := make(chan struct{})
	others.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
			}
			s := h.Join(&transport.Info{})
			for _, to := range []string{"/topic/#", "/topic/t.x", ""} {
				if _, err := s.Attach(transport.Subscription{Destination: to}, new(drain)); err != nil {
					t.Error(err)
				}
			}
			_ = h.Stats()
			s.Leave()
		}
	})
	for i := range senders {
		group.Go(func() {
			s := h.Join(&transport.Info{})
			defer s.Leave()
			for n := range each {
				body := binary.BigEndian.AppendUint32([]byte{byte(i)}, uint32(n+1))
				for _, to := range []string{"/topic/t.x", "/queue/q"} {
					if err := wait(s, &transport.Message{To: to, Body: body}); err != nil {
						t.Errorf("%s: %v", to, err)
					}
				}
			}
		})
	}
	group.Wait()
	close(over)
	others.Wait()
	for i, o := range all {
		until(t, "all came", func() bool { return o.n.Load() >= senders*each })
		if n := o.n.Load(); n != senders*each {
			t.Errorf("listener %d got %d, want %d", i, n, senders*each)
		}
	}
}

// wait sends and waits for the answer.
func wait(s transport.BrokerSession, m *transport.Message) error {
	told := make(chan error, 1)
	s.Send(m, func(err error) { told <- err })
	return <-told
}
