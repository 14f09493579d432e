package rpc_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// TestEventFlood: 100,000 events to subscribers that do not take them, with and
// without a window, leave the heap as it is; another subscriber gets all, and
// calls on the connection of one who only does not consume are answered.
func TestEventFlood(t *testing.T) {
	const n = 100_000
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Echo", func(_ context.Context, n []int) ([]int, error) { return n, nil })
	h := serve(t, stompTCP, mux, nil)
	deaf, idle, quick := h.peer(), h.client(nil), h.client(nil)
	deaf.subscribes("#", "")
	unread := subscribe(t, idle, "#", 256)
	s := subscribe(t, quick, "#", 1024)
	payload := []any{0, strings.Repeat("x", 500)}
	var got int
	missing := make(chan error, 1)
	room := make(chan struct{}, 512) // so that the publisher is no quicker than the quick one
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, err := range s.Events() {
			if err != nil {
				missing <- err
				return
			}
			<-room
			if got++; got == n {
				return
			}
		}
	})
	before, most := heap(), uint64(0)
	for i := range n {
		select {
		case room <- struct{}{}:
		case err := <-missing:
			t.Fatalf("event %d: %v", i, err)
		}
		payload[0] = i
		if _, err := h.Publish(t.Context(), "t", payload); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 0 {
			var stats runtime.MemStats
			runtime.ReadMemStats(&stats)
			most = max(most, stats.HeapAlloc)
			if got, err := rpc.Call[[]int](t.Context(), idle, "Echo", []int{i}); err != nil || got[0] != i {
				t.Fatalf("Echo(%d) = %v, %v", i, got, err)
			}
		}
	}
	wg.Wait()
	after := heap()
	t.Logf("heap %d KiB before, %d after, at most %d with what is not collected; dropped %d", before>>10, after>>10, most>>10, h.EventStats().Dropped)
	if after > before+8<<20 {
		t.Errorf("the heap grew from %d to %d KiB, want less than 8 MiB more", before>>10, after>>10)
	}
	if dropped := h.EventStats().Dropped; got != n || dropped < n {
		t.Errorf("the quick subscriber got %d of %d, and %d were dropped for the others", got, n, dropped)
	}
	_ = unread.Close()
}

// TestDeafSubscriber: one who does not read holds up neither Publish nor
// others, and is told what it missed when it reads again.
func TestDeafSubscriber(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		o := still()
		o.SendBuffer = 4096
		h := serveOn(t, w, &transport.ListenOptions{Options: o}, rpc.NewMux(nil), &rpc.ServerOptions{Events: &rpc.EventOptions{Buffer: 10}})
		deaf, other := h.peer(), h.peer()
		deaf.subscribes("t", "")
		other.subscribes("t", "")
		const n = 10_000
		began := time.Now()
		for i := range n {
			publish(t, h.Server, "t", []int{i}, 2)
			other.hears(event("t", i, false))
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v, want no time", took)
		}
		synctest.Wait()
		count, missed := 0, 0
		for count+missed < n {
			var gap int
			if body := deaf.hear(); !strings.Contains(body, "rpc.events.gap") {
				if want := event("t", count+missed, false); body != want {
					t.Fatalf("heard %s, want %s", body, want)
				}
				count++
			} else if _, err := fmt.Sscanf(body, `{"jsonrpc":"2.0","method":"rpc.events.gap","params":{"subscription":"s","dropped":%d}}`, &gap); err != nil {
				t.Fatalf("heard %s", body)
			} else {
				missed += gap
			}
		}
		if uint64(missed) != h.EventStats().Dropped || missed == 0 {
			t.Errorf("told of %d, dropped %d, want the same and some", missed, h.EventStats().Dropped)
		}
		deaf.silent()
	})
}
