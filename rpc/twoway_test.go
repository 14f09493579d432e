package rpc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

func TestFromContext(t *testing.T) {
	if _, ok := rpc.FromContext(context.Background()); ok {
		t.Error("FromContext(Background) = …, true, want false")
	}
	inBubbles(t, func(t *testing.T, w wire) {
		type seen struct {
			Method        string
			Notification  bool
			Scheme        string
			Remote        string
			Trace, Absent string
		}
		got := make(chan seen, 1)
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Look", func(ctx context.Context, _ struct{}) (any, error) {
			type key struct{}
			ctx, cancel := context.WithCancel(context.WithValue(ctx, key{}, 1))
			defer cancel()
			r, ok := rpc.FromContext(ctx)
			if !ok {
				return nil, errPlain
			}
			s := seen{Method: r.Method, Notification: r.Notification, Scheme: r.Info.Scheme, Remote: r.Info.Remote.String()}
			for _, h := range r.Headers {
				if h.Name == "trace" {
					s.Trace = h.Value
				}
			}
			got <- s
			return nil, nil
		})
		h := serve(t, w, mux, nil)
		p := h.peer()
		want := seen{Method: "Look", Scheme: w.name, Remote: p.conn.Info().Local.String(), Trace: "abc"}
		for _, tt := range []struct {
			body         string
			notification bool
		}{
			{`{"jsonrpc":"2.0","method":"Look","id":1}`, false},
			{`{"jsonrpc":"2.0","method":"Look","id":null}`, false},
			{`{"jsonrpc":"2.0","method":"L\u006fok"}`, true},
			{`[{"jsonrpc":"2.0","method":"Look","id":1}]`, false},
		} {
			m := &transport.Message{Body: []byte(tt.body), ReplyTo: p.back, Headers: []transport.Header{{Name: "trace", Value: "abc"}}}
			if err := p.conn.Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			want.Notification = tt.notification
			if diff := cmp.Diff(want, within(t, got, "the handler")); diff != "" {
				t.Errorf("%s: what the handler learns (-want +got):\n%s", tt.body, diff)
			}
			if !tt.notification {
				p.hear()
			}
		}
	})
}

// callingBack is a mux whose Back calls Echo at the caller.
func callingBack() *rpc.Mux {
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Back", func(ctx context.Context, p json.RawMessage) (json.RawMessage, error) {
		r, _ := rpc.FromContext(ctx)
		return rpc.Call[json.RawMessage](ctx, r.Client(), "Echo", p)
	})
	rpc.Handle(mux, "BackBatch", func(ctx context.Context, p []int) ([]int, error) {
		r, _ := rpc.FromContext(ctx)
		var b rpc.Batch
		one, two := rpc.Add[[]int](&b, "Echo", p), rpc.Add[[]int](&b, "Echo", p)
		if err := r.Client().Do(ctx, &b); err != nil {
			return nil, err
		}
		x, err := one.Get(ctx)
		if err != nil {
			return nil, err
		}
		y, err := two.Get(ctx)
		return append(x, y...), err
	})
	rpc.Handle(mux, "Tell", func(ctx context.Context, p []int) (any, error) {
		r, _ := rpc.FromContext(ctx)
		for _, n := range p {
			if err := r.Client().Notify(ctx, "told", []int{n}); err != nil {
				return nil, err
			}
		}
		return nil, r.Client().Close() // does nothing: the connection is not the handler's
	})
	return mux
}

func TestCallBack(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		h := serve(t, w, callingBack(), nil)
		var j journal
		own := j.mux()
		told := make(chan int, 3)
		rpc.Handle(own, "told", func(_ context.Context, n int) (any, error) {
			told <- n
			return nil, nil
		})
		c := h.client(&rpc.ClientOptions{Mux: own})
		if got, err := rpc.Call[string](t.Context(), c, "Back", json.RawMessage(`["x"]`)); err == nil {
			t.Errorf("Back into a string = %q, nil, want an error", got)
		}
		got, err := rpc.Call[json.RawMessage](t.Context(), c, "Back", []any{1, "x"})
		if err != nil || string(got) != `[1,"x"]` {
			t.Errorf("Back = %s, %v, want [1,\"x\"], nil", got, err)
		}
		both, err := rpc.Call[[]int](t.Context(), c, "BackBatch", []int{7})
		if diff := cmp.Diff([]int{7, 7}, both); diff != "" || err != nil {
			t.Errorf("BackBatch = …, %v (-want +got):\n%s", err, diff)
		}
		if err := c.Call(t.Context(), "Tell", []int{1, 2, 3}, nil); err != nil {
			t.Errorf("Tell = %v, want nil", err)
		}
		sum := 0
		for range 3 {
			sum += within(t, told, "a notification from the server")
		}
		if sum != 6 {
			t.Errorf("sum of the notifications = %d, want 6", sum)
		}
	})
}

// TestCallBackWithoutMux: who serves nothing says so.
func TestCallBackWithoutMux(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		c := serve(t, w, callingBack(), nil).client(nil)
		isCode(t, "Back", c.Call(t.Context(), "Back", []int{1}, nil), rpc.CodeMethodNotFound)
	})
}

// TestCallBackWithoutReplyTo: on a wire that needs an address, whoever sent a
// notification without one cannot be called.
func TestCallBackWithoutReplyTo(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		result := make(chan error, 1)
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "m", func(ctx context.Context, _ struct{}) (any, error) {
			r, _ := rpc.FromContext(ctx)
			result <- r.Client().Call(ctx, "Echo", nil, nil)
			return nil, nil
		})
		h := serve(t, w, mux, nil)
		p := h.peer()
		p.back = ""
		p.say(`{"jsonrpc":"2.0","method":"m"}`)
		if !p.conn.Info().Addressed {
			p.answer(p.hearRequest(), "5") // the connection is the address
			if err := within(t, result, "the handler"); err != nil {
				t.Errorf("Call() = %v, want nil", err)
			}
			return
		}
		err := within(t, result, "the handler")
		isErr(t, "Call()", err, transport.ErrNoRoute)
		isOutcome(t, "Call()", err, rpc.NotSent)
	})
}

// descending is a mux whose Down(n) calls Down(n-1) at the other end, and
// returns how many calls that took.
func descending() *rpc.Mux {
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Down", func(ctx context.Context, n int) (int, error) {
		if n == 0 {
			return 1, nil
		}
		r, _ := rpc.FromContext(ctx)
		below, err := rpc.Call[int](ctx, r.Client(), "Down", []int{n - 1})
		return below + 1, err
	})
	return mux
}

// TestTwoWayDepth8: calls that wait for calls in the other direction, eight
// deep and from both ends at once, come to an end. Each chain has five handlers
// under way at an end, so that more than twelve could use up the width of the
// connection and wait for each other.
func TestTwoWayDepth8(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		mux := descending()
		rpc.Handle(mux, "Start", func(ctx context.Context, _ struct{}) (int, error) {
			r, _ := rpc.FromContext(ctx)
			return rpc.Call[int](ctx, r.Client(), "Down", []int{8})
		})
		// A handler that waits for its caller keeps its worker: 16 chains of 5.
		c := serve(t, w, mux, &rpc.ServerOptions{Width: 128}).client(&rpc.ClientOptions{Mux: descending()})
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				for range 20 {
					if got, err := rpc.Call[int](ctx, c, "Down", []int{8}); err != nil || got != 9 {
						t.Errorf("Down(8) = %d, %v, want 9, nil", got, err)
					}
				}
			})
			wg.Go(func() {
				for range 20 {
					if got, err := rpc.Call[int](ctx, c, "Start", nil); err != nil || got != 9 {
						t.Errorf("Start = %d, %v, want 9, nil", got, err)
					}
				}
			})
		}
		wg.Wait()
	})
}

// TestErrorTravels: an error of the far end of a chain of calls reaches the
// near end with its code and data.
func TestErrorTravels(t *testing.T) {
	fails := rpc.NewMux(nil)
	rpc.Handle(fails, "Echo", func(_ context.Context, p json.RawMessage) (any, error) {
		return nil, fmt.Errorf("deep down: %w", &rpc.Error{Code: 42, Message: "no", Data: p})
	})
	c := serve(t, memURL, callingBack(), nil).client(&rpc.ClientOptions{Mux: fails})
	err := c.Call(t.Context(), "Back", []int{1}, nil)
	if e := isCode(t, "Back", err, 42); string(e.Data) != "[1]" || e.Message != "no" {
		t.Errorf("Back = %q with data %s, want \"no\" with data [1]", e.Message, e.Data)
	}
	if got, want := err.Error(), "no (42)"; got != want || strings.Contains(got, "deep") {
		t.Errorf("Error() = %q, want %q", got, want)
	}
}
