package broker_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/transport"
)

const (
	slowTopic    = "/topic/slow"
	slowBody     = 16 << 10
	slowMessages = 700
	// slowAhead is how far the publisher is ahead of the others at most.
	slowAhead = 16
	// slowBound is what may wait for one subscriber, in the hub and in the wire.
	slowBound = 1 << 20
)

// TestStopsReading has one of five subscribers stop reading. Whatever the policy
// is, the others get all that the broker took, in order; what waits for the one
// stays within its bound; and what the policy did is counted.
func TestStopsReading(t *testing.T) {
	for _, policy := range []broker.Policy{broker.DropOldest, broker.Block, broker.Disconnect} {
		t.Run(policy.String(), func(t *testing.T) {
			hub := broker.New(&broker.Options{
				Slow: policy, SubscriberBytes: slowBound, SubscriberDepth: slowMessages, SendWait: time.Millisecond,
			})
			t.Cleanup(func() { _ = hub.Close() })
			address := serveWire(t, "stomp", hub)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var others sync.WaitGroup
			got := make([]atomic.Int64, 4)
			for i := range got {
				conn := listenTo(ctx, t, address, slowTopic)
				others.Go(func() { countAll(ctx, t, conn, &got[i]) })
			}
			stopReading(ctx, t, address)
			waitFor(t, func() bool { return hub.Stats().Consumers == 5 })
			before := heapInUse()

			taken, refused := publishAll(t, hub, got)

			others.Wait()
			s := hub.Stats()
			depth, bytes := 0, 0
			var refusals uint64
			for _, sub := range s.Subscriptions {
				depth, bytes, refusals = depth+sub.Depth, bytes+sub.Bytes, refusals+sub.Refused
			}
			grown := int64(heapInUse()) - int64(before)
			t.Logf("taken %d, refused %d; for the one that does not read %d messages of %d bytes wait; "+
				"dropped %d, disconnected %d, refused %d; the heap has grown by %d KiB",
				taken, refused, depth, bytes, s.Dropped, s.Disconnected, refusals, grown>>10)
			for i := range got {
				if n := got[i].Load(); n != slowMessages {
					t.Errorf("subscriber %d, which reads, got %d of %d messages", i, n, slowMessages)
				}
			}
			if bytes > slowBound {
				t.Errorf("%d bytes wait for one subscriber, the bound is %d", bytes, slowBound)
			}
			if most := int64(slowBound + 8<<20); grown > most { // and a send buffer, and what the others had
				t.Errorf("the heap has grown by %d bytes, want %d at most", grown, most)
			}
			switch policy {
			case broker.DropOldest:
				if s.Dropped == 0 || s.Dropped+uint64(depth) >= slowMessages || refused > 0 {
					t.Errorf("dropped %d while %d wait, refused %d: want some dropped, none refused", s.Dropped, depth, refused)
				}
			case broker.Block:
				if refused == 0 || refusals != uint64(refused) || s.Dropped > 0 {
					t.Errorf("refused %d, counted %d, dropped %d: want some refused, all of them counted, none dropped", refused, refusals, s.Dropped)
				}
			case broker.Disconnect:
				if s.Disconnected != 1 || s.Dropped > 0 || refused > 0 {
					t.Errorf("disconnected %d, dropped %d, refused %d; want 1, 0, 0", s.Disconnected, s.Dropped, refused)
				}
			}
		})
	}
}

// publishAll publishes, one message after the other, and counts what became of it.
func publishAll(t *testing.T, hub *broker.Hub, got []atomic.Int64) (taken, refused int) {
	t.Helper()
	session := hub.Join(&transport.Info{Scheme: "test"})
	defer session.Leave()
	done := make(chan error, 1)
	for n := range slowMessages {
		for i := range got {
			waitFor(t, func() bool { return got[i].Load() >= int64(n-slowAhead) })
		}
		body := make([]byte, slowBody)
		copy(body, strconv.Itoa(n)+"\n")
		session.Send(&transport.Message{To: slowTopic, Body: body}, func(err error) { done <- err })
		switch err := <-done; {
		case err == nil:
			taken++
		case errors.Is(err, transport.ErrBusy):
			refused++
		default:
			t.Fatal(err)
		}
	}
	return taken, refused
}

// listenTo subscribes by STOMP.
func listenTo(ctx context.Context, t *testing.T, address, topic string) transport.Conn {
	t.Helper()
	conn, err := transport.Dial(ctx, "stomp://"+address, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := conn.(transport.Subscriber).Subscribe(ctx, transport.Subscription{Destination: topic}); err != nil {
		t.Fatal(err)
	}
	return conn
}

// countAll receives until the last message, and counts those that come in order.
func countAll(ctx context.Context, t *testing.T, conn transport.Conn, n *atomic.Int64) {
	for last := -1; last < slowMessages-1; n.Add(1) {
		m, err := conn.Recv(ctx)
		if err != nil {
			t.Errorf("a subscriber that reads: %v", err)
			return
		}
		var now int
		if _, err := fmt.Sscan(string(m.Body[:8]), &now); err != nil || now <= last {
			t.Errorf("after message %d there came %.8q", last, m.Body)
			return
		}
		last = now
	}
}

// stopReading subscribes by STOMP and never reads again.
func stopReading(ctx context.Context, t *testing.T, address string) {
	t.Helper()
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	if tcp, ok := nc.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(4096)
	}
	if _, err := fmt.Fprintf(nc, "CONNECT\naccept-version:1.2\nhost:/\n\n\x00SUBSCRIBE\nid:0\ndestination:%s\n\n\x00", slowTopic); err != nil {
		t.Fatal(err)
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for start := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			t.Fatal("it did not happen in 10 s")
		}
	}
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
