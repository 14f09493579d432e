package stomp_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/stomp"
)

// An outletBroker gives away the first outlet.
type outletBroker struct {
	outlets chan transport.Outlet
	ready   chan struct{}
}

func (b *outletBroker) Join(*transport.Info) transport.BrokerSession { return b }
func (b *outletBroker) Send(_ *transport.Message, done func(error))  { done(nil) }
func (b *outletBroker) Leave()                                       {}
func (b *outletBroker) Address() string                              { return "" }
func (b *outletBroker) Settled(uint64, transport.Outcome)            {}
func (b *outletBroker) Detach()                                      {}

func (b *outletBroker) Attach(_ transport.Subscription, out transport.Outlet) (transport.Consumer, error) {
	b.outlets <- out
	return b, nil
}

func (b *outletBroker) Ready() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// outlet returns the outlet of a subscription over TCP, whose peer reads all.
func (b *outletBroker) outlet(tb testing.TB, ack string) transport.Outlet {
	tb.Helper()
	o := &transport.ListenOptions{Broker: b}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer ln.Close()
	near, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	far, err := ln.Accept()
	if err != nil {
		tb.Fatal(err)
	}
	fmt.Fprintf(near, "%sSUBSCRIBE\nid:s\ndestination:/queue/a\nack:%s\n\n\x00", hello, ack)
	conn, err := stomp.Transport{}.Server(tb.Context(), far, o)
	if err != nil {
		tb.Fatal(err)
	}
	done := make(chan struct{}, 2)
	go func() {
		_, _ = io.Copy(io.Discard, near)
		done <- struct{}{}
	}()
	go func() {
		_, _ = conn.Recv(tb.Context())
		done <- struct{}{}
	}()
	tb.Cleanup(func() {
		_ = near.Close()
		_ = conn.Close()
		<-done
		<-done
	})
	return <-b.outlets
}

// BenchmarkDeliver is a message from a broker to a subscriber over TCP.
func BenchmarkDeliver(b *testing.B) {
	broker := &outletBroker{make(chan transport.Outlet, 1), make(chan struct{}, 1)}
	out := broker.outlet(b, "auto")
	m := &transport.Message{
		To: "/queue/a", Body: make([]byte, 100), ContentType: "application/json",
		Headers: []transport.Header{{Name: "reporter", Value: "ann"}},
	}
	b.ReportAllocs()
	for b.Loop() {
		for !out.Deliver(m, 1) {
			<-broker.ready
		}
	}
}

// TestDeliverAllocates: a delivery takes no memory of its own.
func TestDeliverAllocates(t *testing.T) {
	broker := &outletBroker{make(chan transport.Outlet, 1), make(chan struct{}, 1)}
	out := broker.outlet(t, "auto")
	m := &transport.Message{To: "/queue/a", Body: make([]byte, 100)}
	if n := testing.AllocsPerRun(2000, func() {
		for !out.Deliver(m, 1) {
			<-broker.ready
		}
	}); n >= 1 {
		t.Errorf("Deliver allocates %v times", n)
	}
}

// BenchmarkQueue is a message through a queue of the broker and its ACK, over TCP
// with a client at each end. The consumer settles a thousand at a time, last first,
// so that finding each among the unsettled is most of the work there.
func BenchmarkQueue(b *testing.B) {
	hub := broker.New(nil)
	defer hub.Close()
	l, err := transport.Listen(b.Context(), "stomp://127.0.0.1:0", &transport.ListenOptions{Broker: hub})
	if err != nil {
		b.Fatal(err)
	}
	var group sync.WaitGroup
	defer group.Wait()
	defer l.Close()
	group.Go(func() {
		for {
			c, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			group.Go(func() {
				_, _ = c.Recv(context.Background())
				_ = c.Close()
			})
		}
	})
	dial := func() transport.Conn {
		c, err := transport.Dial(b.Context(), "stomp://"+l.Addr().String()+"/queue/bench", nil)
		if err != nil {
			b.Fatal(err)
		}
		return c
	}
	consumer, producer := dial(), dial()
	defer consumer.Close()
	defer producer.Close()
	sub, _ := transport.As[transport.Subscriber](consumer)
	_, err = sub.Subscribe(b.Context(), transport.Subscription{Destination: "/queue/bench", Ack: transport.AckEach, Credit: 1000})
	if err != nil {
		b.Fatal(err)
	}
	m := &transport.Message{Body: make([]byte, 100)}
	b.ResetTimer()
	group.Go(func() {
		for range b.N {
			if err := producer.Send(context.Background(), m); err != nil {
				b.Error(err)
				return
			}
		}
	})
	var batch []*transport.Message
	for i := range b.N {
		m, err := consumer.Recv(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		if batch = append(batch, m); len(batch) == 1000 || i == b.N-1 {
			for _, m := range slices.Backward(batch) {
				_ = m.Settle(transport.Accepted)
			}
			batch = batch[:0]
		}
	}
	b.StopTimer()
}
