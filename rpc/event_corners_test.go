package rpc_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// TestAnswersAtOnceAreBounded: a peer that asks for what is served at once, and
// does not read the answers, is not listened to for longer than there is room.
func TestAnswersAtOnceAreBounded(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		const said = 8_000
		o := still()
		o.SendBuffer = 4096
		h := serveOn(t, w, &transport.ListenOptions{Options: o}, rpc.NewMux(nil), nil)
		p := newPeer(t, h.conn(o))
		mouth := *p
		var taken counter
		go func() {
			for range said {
				mouth.say(`{"jsonrpc":"2.0","id":1,"method":"rpc.subscribe","params":{"subscription":"z"}}`)
				taken.add(1)
			}
		}()
		synctest.Wait()
		t.Logf("%d requests were taken", taken.n())
		if taken.n() > said*2/3 {
			t.Errorf("%d requests were taken from a peer that does not read", taken.n())
		}
		for range said {
			if got, want := brief(p.hear()), "1!-32050"; got != want {
				t.Fatalf("heard %s, want %s", got, want)
			}
		}
	})
}

// TestEventsThatCannotBeSent: one that is too large for the wire is missing in
// its place; a subscriber to whom no way leads is gone.
func TestEventsThatCannotBeSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newFakeConn()
		var sent []string
		var fail error
		conn.send = func(_ context.Context, m *transport.Message) error {
			if fail != nil || len(m.Body) > 1000 {
				err := fail
				if err == nil {
					err = transport.ErrTooLarge
				}
				return &transport.OpError{Op: "send", Err: err}
			}
			sent = append(sent, string(m.Body))
			return nil
		}
		srv := rpc.NewServer(rpc.NewMux(nil), nil)
		ended := make(chan error, 1)
		go func() { ended <- srv.ServeConn(conn) }()
		conn.receive(`{"jsonrpc":"2.0","id":1,"method":"rpc.subscribe","params":{"filter":"t","window":5,"subscription":"s"}}`)
		synctest.Wait()
		publish(t, srv, "t", []int{1}, 1)
		publish(t, srv, "t", []string{strings.Repeat("x", 1000)}, 1)
		publish(t, srv, "t", []int{2}, 1)
		synctest.Wait()
		want := []string{
			accepted, event("t", 1, true),
			`{"jsonrpc":"2.0","method":"rpc.events.gap","params":{"subscription":"s","dropped":1}}`, event("t", 2, true),
		}
		if diff := cmp.Diff(want, sent); diff != "" {
			t.Errorf("what was sent (-want +got):\n%s", diff)
		}
		fail = transport.ErrNoRoute
		publish(t, srv, "t", []int{3}, 1)
		publish(t, srv, "t", []int{4}, 0)
		fail = nil
		if got := srv.EventStats(); got.Subscriptions != 0 || got.Dropped != 1 {
			t.Errorf("EventStats() = %+v, want no subscription, one dropped", got)
		}
		_ = conn.Close()
		<-ended
		_ = srv.Shutdown(t.Context())
	})
}

// TestShutdownWaitsForNoSubscriber: neither for one that does not read nor for
// its goodbye.
func TestShutdownWaitsForNoSubscriber(t *testing.T) {
	for _, policy := range []rpc.EventPolicy{rpc.DropOldest, rpc.Disconnect} {
		t.Run(policy.String(), func(t *testing.T) {
			inBubbles(t, func(t *testing.T, w wire) {
				o := still()
				o.SendBuffer = 4096
				h := serveOn(t, w, &transport.ListenOptions{Options: o}, rpc.NewMux(nil), &rpc.ServerOptions{Events: &rpc.EventOptions{Buffer: 10, Policy: policy}})
				h.peer().subscribes("t", "")
				for i := range 20_000 {
					_, _ = h.Publish(t.Context(), "t", []int{i})
				}
				synctest.Wait()
				if h.EventStats().Dropped == 0 {
					t.Error("nothing was dropped")
				}
				began := time.Now()
				_ = h.Close()
				if err := h.Shutdown(t.Context()); err != nil || time.Since(began) > 10*time.Second {
					t.Errorf("Shutdown() = %v after %v, want nil soon", err, time.Since(began))
				}
			})
		})
	}
}

// TestPublishToNobody: it costs no allocation.
func TestPublishToNobody(t *testing.T) {
	srv := rpc.NewServer(rpc.NewMux(nil), nil)
	payload := any([]int{1})
	if n := testing.AllocsPerRun(1000, func() { _, _ = srv.Publish(t.Context(), "task.7", payload) }); n > 0 {
		t.Errorf("Publish to nobody makes %v allocations, want none", n)
	}
	_ = srv.Shutdown(t.Context())
}

// BenchmarkPublish is an event to so many subscribers on connections of their
// own, which take it.
func BenchmarkPublish(b *testing.B) {
	for _, n := range []int{0, 1, 100} {
		b.Run(fmt.Sprintf("subscribers=%d", n), func(b *testing.B) {
			h := serve(b, stompTCP, rpc.NewMux(nil), &rpc.ServerOptions{Events: &rpc.EventOptions{Policy: rpc.Block}})
			for range n {
				if _, err := h.client(nil).SubscribeFunc(b.Context(), "task.*", nil, func(rpc.Event, error) {}); err != nil {
					b.Fatal(err)
				}
			}
			payload := []int{1, 2, 3}
			b.ReportAllocs()
			for b.Loop() {
				if got, err := h.Publish(b.Context(), "task.7", payload); got != n || err != nil {
					b.Fatal(got, err)
				}
			}
		})
	}
}
