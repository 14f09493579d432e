package rpc_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/rpc"
)

// often is how many calls in a row make callers receive for themselves, and
// requests be served where they were received.
const often = 50

// warm makes often calls of Echo.
func warm(t *testing.T, c *rpc.Client) {
	t.Helper()
	for i := range often {
		if got, err := rpc.Call[[]int](t.Context(), c, "Echo", []int{i}); err != nil || len(got) != 1 || got[0] != i {
			t.Fatalf("Echo = %v, %v, want [%d]", got, err, i)
		}
	}
}

// TestQuickMethodThatBlocks: a handler that was always quick and is not any
// more keeps no other request of its connection from being served.
func TestQuickMethodThatBlocks(t *testing.T) {
	for _, name := range []string{"alone", "in a batch"} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, w wire) {
				g := newGate()
				mux := gatedMux(g)
				var block atomic.Bool
				rpc.Handle(mux, "Maybe", func(ctx context.Context, p []int) ([]int, error) {
					if block.Load() {
						return p, g.pass(ctx)
					}
					return p, nil
				})
				p := serve(t, w, mux, nil).peer()
				for range often {
					p.say(`{"jsonrpc":"2.0","method":"Maybe","params":[1],"id":1}`)
					p.hear()
				}
				block.Store(true)
				maybe, answer := `{"jsonrpc":"2.0","method":"Maybe","params":[2],"id":2}`, "2=[2]"
				if name != "alone" {
					maybe, answer = "["+maybe+"]", "["+answer+"]"
				}
				start := time.Now()
				for range 20 {
					p.say(maybe)
				}
				for range 3 {
					p.say(`{"jsonrpc":"2.0","method":"Echo","params":[],"id":3}`)
					if got, want := brief(p.hear()), "3=[]"; got != want {
						t.Errorf("heard %s, want %s", got, want)
					}
				}
				if took := time.Since(start); took > 5*time.Millisecond {
					t.Errorf("the others were held up for %v, want a few milliseconds for all that block", took)
				}
				g.open()
				for range 20 {
					if got := brief(p.hear()); got != answer {
						t.Errorf("heard %s, want %s", got, answer)
					}
				}
			})
		})
	}
}

// TestQuickMethodThatEndsItsGoroutine costs its own call, and no other.
func TestQuickMethodThatEndsItsGoroutine(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"alone", `{"jsonrpc":"2.0","method":"Maybe","params":[2],"id":2}`, "2!-32603"},
		{
			"in a batch", `[{"jsonrpc":"2.0","method":"Maybe","params":[1],"id":1},{"jsonrpc":"2.0","method":"Maybe","params":[2],"id":2},` +
				`{"jsonrpc":"2.0","method":"Maybe","params":[3],"id":3}]`, "[1=[1], 2!-32603, 3=[3]]",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, w wire) {
				mux := rpc.NewMux(nil)
				rpc.Handle(mux, "Maybe", func(_ context.Context, p []int) ([]int, error) {
					if p[0] == 2 {
						runtime.Goexit()
					}
					return p, nil
				})
				p := serve(t, w, mux, nil).peer()
				for range often {
					p.say(`{"jsonrpc":"2.0","method":"Maybe","params":[1],"id":1}`)
					p.hear()
				}
				p.say(tt.body)
				if got := brief(p.hear()); got != tt.want {
					t.Errorf("heard %s, want %s", got, tt.want)
				}
				time.Sleep(time.Second) // nobody must take over as well
				p.say(`{"jsonrpc":"2.0","method":"Maybe","params":[4],"id":4}`)
				if got, want := brief(p.hear()), "4=[4]"; got != want {
					t.Errorf("heard %s, want %s", got, want)
				}
			})
		})
	}
}

// TestCallbackAfterCallsAlone: a client whose callers have received for
// themselves still serves its peer, and calls of others, when they are through.
func TestCallbackAfterCallsAlone(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		var peer atomic.Pointer[rpc.Client]
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Echo", func(ctx context.Context, p []int) ([]int, error) {
			r, _ := rpc.FromContext(ctx)
			peer.Store(r.Client())
			return p, nil
		})
		h := serve(t, w, mux, nil)
		own := rpc.NewMux(nil)
		rpc.Handle(own, "Back", func(_ context.Context, p []int) ([]int, error) { return p, nil })
		c := h.client(&rpc.ClientOptions{Mux: own})
		warm(t, c)
		for i := range 3 {
			if got, err := rpc.Call[[]int](t.Context(), peer.Load(), "Back", []int{i}); err != nil || got[0] != i {
				t.Errorf("Back = %v, %v, want [%d]", got, err, i)
			}
		}
	})
}

// TestCallbackWhileACallerReceives: what is not its answer is not for the
// caller to serve.
func TestCallbackWhileACallerReceives(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		var peer atomic.Pointer[rpc.Client]
		g := newGate()
		mux := gatedMux(g)
		rpc.Handle(mux, "Meet", func(ctx context.Context, _ struct{}) (any, error) {
			r, _ := rpc.FromContext(ctx)
			peer.Store(r.Client())
			return nil, nil
		})
		h := serve(t, w, mux, nil)
		own, block := rpc.NewMux(nil), newGate()
		rpc.Handle(own, "Back", func(ctx context.Context, p []int) ([]int, error) {
			if p[0] == 1 {
				return p, block.pass(ctx)
			}
			return p, nil
		})
		c := h.client(&rpc.ClientOptions{Mux: own})
		if err := c.Call(t.Context(), "Meet", nil, nil); err != nil {
			t.Fatal(err)
		}
		warm(t, c)
		ctx, cancel := context.WithCancel(t.Context())
		waits := make(chan error, 1)
		go func() { waits <- c.Call(ctx, "Wait", []int{1}, nil) }() // it receives
		synctest.Wait()
		blocked := make(chan error, 1)
		go func() { blocked <- peer.Load().Call(t.Context(), "Back", []int{1}, nil) }()
		synctest.Wait()
		if got, err := rpc.Call[[]int](t.Context(), peer.Load(), "Back", []int{2}); err != nil || got[0] != 2 {
			t.Errorf("Back = %v, %v, want [2]", got, err)
		}
		cancel()
		if err := <-waits; !errors.Is(err, context.Canceled) {
			t.Errorf("the call that was given up = %v, want canceled", err)
		}
		block.open()
		if err := <-blocked; err != nil {
			t.Errorf("Back that waited = %v, want nil", err)
		}
		g.open()
	})
}

// TestCallerWhoReceivesGivesUp: its place is taken by another.
func TestCallerWhoReceivesGivesUp(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		g := newGate()
		c := serve(t, w, gatedMux(g), nil).client(nil)
		warm(t, c)
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan error, 1)
		go func() { gaveUp <- c.Call(ctx, "Wait", []int{1}, nil) }()
		synctest.Wait()
		other := make(chan error, 1)
		go func() { other <- c.Call(t.Context(), "Wait", []int{2}, nil) }()
		synctest.Wait()
		cancel()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) || rpc.OutcomeOf(err) != rpc.Unknown {
			t.Errorf("the call that was given up = %v, want canceled, unknown", err)
		}
		g.open()
		if err := <-other; err != nil {
			t.Errorf("the other call = %v, want nil", err)
		}
		warm(t, c)
	})
}

// TestEndAfterCallsAlone: the end of the connection is noticed although nobody
// calls, and by a caller who receives for itself.
func TestEndAfterCallsAlone(t *testing.T) {
	for _, name := range []string{"nobody calls", "one waits"} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, w wire) {
				g := newGate()
				h := serve(t, w, gatedMux(g), nil)
				c := h.client(nil)
				warm(t, c)
				waits := make(chan error, 1)
				if name == "one waits" {
					go func() { waits <- c.Call(t.Context(), "Wait", []int{1}, nil) }()
					synctest.Wait()
				}
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				_ = h.Shutdown(ctx)
				select {
				case <-c.Done():
				case <-time.After(time.Second):
					t.Error("the end of the connection was not noticed in 1 s")
				}
				g.open()
				if name == "one waits" {
					if err := <-waits; err == nil {
						t.Error("the call that waited = nil, want an error")
					}
				}
			})
		})
	}
}

// TestCloseAfterCallsAlone: at any moment.
func TestCloseAfterCallsAlone(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		h := serve(t, w, gatedMux(newGate()), nil)
		for _, wait := range []bool{false, true} {
			c := h.client(nil)
			warm(t, c)
			waits := make(chan error, 1)
			if wait {
				go func() { waits <- c.Call(t.Context(), "Wait", []int{1}, nil) }()
				synctest.Wait()
			}
			if err := c.Close(); err != nil {
				t.Errorf("Close() = %v, want nil", err)
			}
			if wait {
				if err := <-waits; rpc.OutcomeOf(err) != rpc.Unknown {
					t.Errorf("the call that waited = %v, want unknown", err)
				}
			}
		}
	})
}

// TestBatchAndNotifyAfterCallsAlone: who does not receive for itself is served
// all the same.
func TestBatchAndNotifyAfterCallsAlone(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		c := serve(t, w, gatedMux(newGate()), nil).client(nil)
		for range 5 {
			warm(t, c)
			var b rpc.Batch
			f := rpc.Add[[]int](&b, "Echo", []int{7})
			if err := c.Do(t.Context(), &b); err != nil {
				t.Fatalf("Do() = %v", err)
			}
			if got, err := f.Get(t.Context()); err != nil || got[0] != 7 {
				t.Errorf("Echo in a batch = %v, %v", got, err)
			}
			warm(t, c)
			if err := c.Notify(t.Context(), "Echo", []int{1}); err != nil {
				t.Errorf("Notify() = %v", err)
			}
			if got, err := rpc.Go[[]int](t.Context(), c, "Echo", []int{8}).Get(t.Context()); err != nil || got[0] != 8 {
				t.Errorf("Echo by Go = %v, %v", got, err)
			}
		}
	})
}
