package rpc_test

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/polyport/polyport/rpc"
)

// TestBriefMethod: a method whose calls take some time, each alone, is served
// where its requests are received; when a second caller comes, soon not any more.
func TestBriefMethod(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		const took = 100 * time.Microsecond
		var here atomic.Bool
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Some", func(_ context.Context, p []int) ([]int, error) {
			here.Store(strings.Contains(string(debug.Stack()), "RunHere"))
			time.Sleep(took)
			return p, nil
		})
		p := serve(t, w, mux, nil).peer()
		round := func(n int) time.Duration {
			start := time.Now()
			for i := range n {
				p.say(fmt.Sprintf(`{"jsonrpc":"2.0","method":"Some","params":[],"id":%d}`, i+1))
			}
			for range n {
				p.hear()
			}
			return time.Since(start)
		}
		for range often {
			round(1)
			time.Sleep(took) // what the caller does meanwhile
		}
		if !here.Load() {
			t.Error("calls that are alone are not served where they are received")
		}
		for range often {
			round(2)
			time.Sleep(took)
		}
		if got := round(2); got != took {
			t.Errorf("two calls at once took %v, want %v", got, took)
		}
		if here.Load() {
			t.Error("calls that are not alone are served where they are received")
		}
	})
}

// TestBriefMethodThatCallsBack waits for no tick to get its answer received.
func TestBriefMethodThatCallsBack(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		const took = 100 * time.Microsecond
		own := rpc.NewMux(nil)
		rpc.Handle(own, "Back", func(_ context.Context, p []int) ([]int, error) {
			time.Sleep(took)
			return p, nil
		})
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Forth", func(ctx context.Context, p []int) ([]int, error) {
			r, _ := rpc.FromContext(ctx)
			return rpc.Call[[]int](ctx, r.Client(), "Back", p)
		})
		c := serve(t, w, mux, nil).client(&rpc.ClientOptions{Mux: own})
		for range often {
			start := time.Now()
			if _, err := rpc.Call[[]int](t.Context(), c, "Forth", []int{1}); err != nil {
				t.Fatal(err)
			}
			if got := time.Since(start); got != took {
				t.Fatalf("Forth took %v, want %v", got, took)
			}
			time.Sleep(took)
		}
	})
}
