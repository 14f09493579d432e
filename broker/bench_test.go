package broker_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/transport"
)

// A drain is an outlet that takes everything, and settles it if it is to.
type drain struct {
	n    atomic.Int64
	todo chan uint64
}

func (d *drain) Deliver(_ *transport.Message, token uint64) bool {
	if d.todo != nil {
		select {
		case d.todo <- token:
		default:
			return false
		}
	}
	d.n.Add(1)
	return true
}
func (d *drain) End(error) {}

// One publisher and 100 subscribers: what the hub costs, without any wire. An
// operation is one message, delivered 100 times.
func BenchmarkFanOut(b *testing.B) {
	for _, subscribers := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("subscribers=%d", subscribers), func(b *testing.B) {
			h := newHub(b, nil)
			p := join(b, h, "")
			var drains []*drain
			for range subscribers {
				d := new(drain)
				if _, err := p.sess.Attach(transport.Subscription{Destination: "/topic/prices.*"}, d); err != nil {
					b.Fatal(err)
				}
				drains = append(drains, d)
			}
			body := make([]byte, 256)
			m := &transport.Message{To: "/topic/prices.eur", Body: body}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				p.sess.Send(m, nothing)
			}
			b.StopTimer()
			for _, d := range drains {
				if got := d.n.Load(); got != int64(b.N) {
					b.Fatalf("%d of %d messages came", got, b.N)
				}
			}
			b.ReportMetric(float64(b.N)*float64(subscribers)/b.Elapsed().Seconds(), "deliveries/s")
		})
	}
}

func nothing(error) {}

// One sender and some consumers that acknowledge each message.
func BenchmarkQueue(b *testing.B) {
	for _, consumers := range []int{1, 8} {
		for _, ack := range []transport.AckMode{transport.AckNone, transport.AckEach} {
			b.Run(fmt.Sprintf("consumers=%d/ack=%d", consumers, ack), func(b *testing.B) {
				h := newHub(b, &broker.Options{})
				benchmarkQueue(b, h, consumers, ack)
			})
		}
	}
}

func benchmarkQueue(b *testing.B, h *broker.Hub, consumers int, ack transport.AckMode) {
	b.Helper()
	p := join(b, h, "")
	ended := make(chan struct{})
	var settled atomic.Int64
	for range consumers {
		d := new(drain)
		if ack != transport.AckNone {
			d.todo = make(chan uint64, 256)
		}
		c, err := p.sess.Attach(transport.Subscription{Destination: "/queue/q", Ack: ack}, d)
		if err != nil {
			b.Fatal(err)
		}
		if d.todo == nil {
			continue
		}
		go func() {
			for {
				select {
				case token := <-d.todo:
					c.Settled(token, transport.Accepted)
					c.Ready()
					settled.Add(1)
				case <-ended:
					return
				}
			}
		}()
	}
	room := make(chan struct{}, 1000)
	done := func(err error) {
		if err != nil {
			b.Error(err)
		}
		<-room
	}
	m := &transport.Message{To: "/queue/q", Body: make([]byte, 256)}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		room <- struct{}{}
		p.sess.Send(m, done)
	}
	for ack != transport.AckNone && settled.Load() < int64(b.N) {
		if s := h.Stats(); s.Queues[0].Settled == uint64(b.N) {
			break
		}
	}
	b.StopTimer()
	close(ended)
}
