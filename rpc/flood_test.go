package rpc_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// TestSteadyInFlight: a caller that keeps as many requests in flight as it may
// is never refused.
func TestSteadyInFlight(t *testing.T) {
	for _, limit := range []int{1, 8} {
		t.Run(strconv.Itoa(limit), func(t *testing.T) {
			onWires(t, func(t *testing.T, w wire) {
				mux := new(journal).mux()
				h := serve(t, w, mux, &rpc.ServerOptions{Limits: rpc.Limits{InFlight: limit}})
				c := h.client(&rpc.ClientOptions{InFlight: limit})
				var wg sync.WaitGroup
				var refused counter
				for range 4 * limit {
					wg.Go(func() {
						for range 1000 / limit {
							if err := c.Call(t.Context(), "Fence", nil, nil); err != nil {
								refused.add(1)
							}
						}
					})
				}
				wg.Wait()
				if n := refused.n(); n > 0 {
					t.Errorf("%d of 4000 calls were refused, want none", n)
				}
			})
		})
	}
}

// TestTwoFloods: both ends of a connection send more than the other takes in,
// and cannot send what they refuse. Neither may stop reading because of that.
func TestTwoFloods(t *testing.T) {
	for _, tt := range []struct {
		name                    string
		buffer, inFlight, calls int
		payload                 int
	}{
		{"small buffers", 2048, 1, 500, 1000},
		{"the default buffers", 0, 16, 400, 16 << 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, w wire) {
				o := still()
				o.SendBuffer, o.WriteStall = tt.buffer, time.Minute
				limits := rpc.Limits{InFlight: tt.inFlight}
				g := newGate()
				mux := gatedMux(g)
				caller := make(chan *rpc.Client, 1)
				rpc.Handle(mux, "Hello", func(ctx context.Context, _ struct{}) (any, error) {
					r, _ := rpc.FromContext(ctx)
					caller <- r.Client()
					return nil, nil
				})
				h := serveOn(t, w, &transport.ListenOptions{Options: o}, mux, &rpc.ServerOptions{Limits: limits})
				c := rpc.NewClient(h.conn(o), &rpc.ClientOptions{Mux: mux, Limits: limits})
				t.Cleanup(func() { _ = c.Close() })
				if err := c.Call(t.Context(), "Hello", nil, nil); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				params := []string{strings.Repeat("x", tt.payload)}
				var wg sync.WaitGroup
				var ended [3]counter
				for _, from := range []*rpc.Client{c, <-caller} {
					for range tt.calls {
						wg.Go(func() { ended[rpc.OutcomeOf(from.Call(t.Context(), "Wait", params, nil))].add(1) })
					}
				}
				synctest.Wait()
				g.open()
				wg.Wait()
				if ended[rpc.Answered].n() != 2*tt.calls || time.Since(start) > 0 {
					t.Errorf("after %v: %d answered, %d not sent, %d unknown, want %d answered at once", time.Since(start),
						ended[rpc.Answered].n(), ended[rpc.NotSent].n(), ended[rpc.Unknown].n(), 2*tt.calls)
				}
			})
		})
	}
}
