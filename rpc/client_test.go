package rpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// TestRequestBytes: what a client puts on the wire is the shortest form that
// the specification has.
func TestRequestBytes(t *testing.T) {
	for _, tt := range []struct {
		method string
		params any
		want   string
	}{
		{"m", nil, `{"jsonrpc":"2.0","id":1,"method":"m"}`},
		{"m", []int{1, 2}, `{"jsonrpc":"2.0","id":1,"method":"m","params":[1,2]}`},
		{"m", []int(nil), `{"jsonrpc":"2.0","id":1,"method":"m","params":[]}`},
		{"m", struct{}{}, `{"jsonrpc":"2.0","id":1,"method":"m","params":{}}`},
		{"m", point{1, 2}, `{"jsonrpc":"2.0","id":1,"method":"m","params":{"x":1,"y":2}}`},
		{"m", map[string]any{"a": nil}, `{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":null}}`},
		{"m", [2]string{"<", "\u2028\x00"}, `{"jsonrpc":"2.0","id":1,"method":"m","params":["<","` + "\u2028" + `\u0000"]}`},
		{"m", json.RawMessage(`{"a": 1.50}`), `{"jsonrpc":"2.0","id":1,"method":"m","params":{"a": 1.50}}`},
		{"\"Ü\\\n", nil, `{"jsonrpc":"2.0","id":1,"method":"\"Ü\\\n"}`},
		{"", nil, `{"jsonrpc":"2.0","id":1,"method":""}`},
	} {
		synctest.Test(t, func(t *testing.T) {
			var bodies []string
			conn := newFakeConn()
			conn.send = func(_ context.Context, m *transport.Message) error {
				bodies = append(bodies, string(m.Body))
				if len(bodies) == 1 {
					conn.receive(`{"jsonrpc":"2.0","id":1,"result":null}`)
				}
				return nil
			}
			c := fakeClient(t, conn, nil)
			if err := c.Call(t.Context(), tt.method, tt.params, nil); err != nil {
				t.Errorf("Call(%q) = %v, want nil", tt.method, err)
			}
			if err := c.Notify(t.Context(), tt.method, tt.params); err != nil {
				t.Errorf("Notify(%q) = %v, want nil", tt.method, err)
			}
			want := []string{tt.want, strings.Replace(tt.want, `"id":1,`, "", 1)}
			if diff := cmp.Diff(want, bodies); diff != "" {
				t.Errorf("Call and Notify(%q) (-want +got):\n%s", tt.method, diff)
			}
		})
	}
}

// TestInFlight: calls beyond the limit wait for a place, and get it when an
// earlier one is answered.
func TestInFlight(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Sleep", func(_ context.Context, ms int) (int, error) {
			time.Sleep(time.Duration(ms) * time.Millisecond)
			return ms, nil
		})
		c := serve(t, w, mux, nil).client(&rpc.ClientOptions{InFlight: 2})
		start := time.Now()
		var mu sync.Mutex
		ended := make(map[time.Duration]int)
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				if err := c.Call(t.Context(), "Sleep", []int{100}, nil); err != nil {
					t.Errorf("Sleep = %v, want nil", err)
				}
				mu.Lock()
				defer mu.Unlock()
				ended[time.Since(start)]++
			})
		}
		wg.Wait()
		want := map[time.Duration]int{100 * time.Millisecond: 2, 200 * time.Millisecond: 2, 300 * time.Millisecond: 2}
		if diff := cmp.Diff(want, ended); diff != "" {
			t.Errorf("calls ended after (-want +got):\n%s", diff)
		}
	})
}

// TestInFlightIsGivenBack: no way for a call to end keeps its place.
func TestInFlightIsGivenBack(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		g := newGate()
		c := serve(t, w, gatedMux(g), nil).client(&rpc.ClientOptions{InFlight: 2})
		for range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			isOutcome(t, "a call that is given up", c.Call(ctx, "Wait", nil, nil), rpc.Unknown)
			isOutcome(t, "a call that is too late", c.Call(ctx, "Wait", nil, nil), rpc.NotSent)
			cancel()
			isOutcome(t, "a call that cannot be encoded", c.Call(t.Context(), "Wait", 5, nil), rpc.NotSent)
			isCode(t, "a call of nothing", c.Call(t.Context(), "nope", nil, nil), rpc.CodeMethodNotFound)
			var b rpc.Batch
			rpc.Add[any](&b, "Echo", nil)
			rpc.Add[any](&b, "Echo", 5)
			isOutcome(t, "a batch that cannot be encoded", c.Do(t.Context(), &b), rpc.NotSent)
			f := rpc.Go[any](t.Context(), c, "Wait", nil)
			synctest.Wait()
			f.Cancel(errPlain)
			_, err := f.Get(t.Context())
			isErr(t, "a future that is cancelled", err, queue.ErrCanceled, errPlain)
			synctest.Wait()
		}
		g.open()
		if err := c.Call(t.Context(), "Echo", nil, nil); err != nil {
			t.Errorf("Echo = %v, want nil", err)
		}
	})
}

// TestGoIsAtOnce: Go does not wait for the answer, nor the future for anything
// but the call.
func TestGoIsAtOnce(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		g := newGate()
		c := serve(t, w, gatedMux(g), nil).client(nil)
		ctx, cancel := context.WithCancel(t.Context())
		f := rpc.Go[[]int](ctx, c, "Wait", []int{5})
		late := rpc.Go[[]int](ctx, c, "Wait", []int{6})
		_, err := late.Get(expired())
		isErr(t, "Get with a ctx that has ended", err, queue.ErrWait)
		g.await(t, 2)
		if _, _, done := f.TryGet(); done {
			t.Error("the future is done before the handler is")
		}
		g.open()
		if v, err := get(t, f); err != nil || len(v) != 1 || v[0] != 5 {
			t.Errorf("Get() = %v, %v, want [5], nil", v, err)
		}
		_, _ = get(t, late)
		cancel()
		if v, err := f.Get(t.Context()); err != nil || v[0] != 5 {
			t.Errorf("Get() after ctx = %v, %v, want [5], nil", v, err)
		}
		failed := rpc.Go[int](ctx, c, "Wait", nil)
		if _, err, done := failed.TryGet(); !done || rpc.OutcomeOf(err) != rpc.NotSent {
			t.Errorf("TryGet() of a call not sent = …, %v, %v, want it done and not sent", err, done)
		}
	})
}

// expired is a context that has ended.
func expired() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// TestClientEnds: Done and Err tell when and why the connection ended.
func TestClientEnds(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		t.Log("closed by the peer")
		c, p := scripted(t, w, nil)
		if err := c.Err(); err != nil {
			t.Errorf("Err() = %v while the connection lasts, want nil", err)
		}
		go func() { _ = p.conn.Close() }()
		within(t, c.Done(), "Done")
		isErr(t, "Err()", c.Err(), transport.ErrClosed)
		if errors.Is(c.Err(), rpc.ErrClosed) {
			t.Errorf("Err() = %v: the client was not closed", c.Err())
		}
		t.Log("closed by the client")
		c, p = scripted(t, w, nil)
		go func() { _, _ = p.listen(time.Minute) }()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := c.Close(); err != nil {
					t.Errorf("Close() = %v, want nil", err)
				}
				isErr(t, "Err()", c.Err(), rpc.ErrClosed)
			})
		}
		wg.Wait()
		within(t, c.Done(), "Done")
	})
}

func TestClientInfo(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		c := serve(t, w, rpc.NewMux(nil), nil).client(nil)
		if got := c.Info(); got.Scheme != w.name || got.Remote == nil {
			t.Errorf("Info() = %+v, want scheme %s and a remote address", got, w.name)
		}
		if err := c.Notify(t.Context(), "m", nil); err != nil {
			t.Errorf("Notify() = %v, want nil", err)
		}
		if err := c.Flush(t.Context()); err != nil {
			t.Errorf("Flush() = %v, want nil", err)
		}
	})
	t.Run("a wire that cannot flush", func(t *testing.T) {
		if err := fakeClient(t, newFakeConn(), nil).Flush(t.Context()); err != nil {
			t.Errorf("Flush() = %v, want nil", err)
		}
	})
}

func TestDial(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		h := serve(t, w, new(journal).mux(), nil)
		for _, o := range []*rpc.ClientOptions{nil, {}, {Transport: &transport.DialOptions{}}, {Reconnect: &transport.RedialOptions{}}} {
			c, err := rpc.Dial(t.Context(), h.url, o)
			if err != nil {
				t.Fatalf("Dial(%s) = %v, want nil", h.url, err)
			}
			if got, err := rpc.Call[int](t.Context(), c, "sum", []int{1, 2}); err != nil || got != 3 {
				t.Errorf("sum = %d, %v, want 3, nil", got, err)
			}
			if err := c.Close(); err != nil {
				t.Errorf("Close() = %v, want nil", err)
			}
		}
	})
	for _, url := range []string{"", "nope://x", "stomp://127.0.0.1:1", "mem://nobody"} {
		for _, o := range []*rpc.ClientOptions{nil, {Reconnect: &transport.RedialOptions{}}} {
			if c, err := rpc.Dial(t.Context(), url, o); err == nil {
				_ = c.Close()
				t.Errorf("Dial(%q) = nil, want an error", url)
			}
		}
	}
}

// TestClientQueue: handlers of a client run on the queue that it is given,
// which it does not close.
func TestClientQueue(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		q := queue.New(nil)
		for range 2 {
			c := serve(t, w, callingBack(), nil).client(&rpc.ClientOptions{Mux: new(journal).mux(), Queue: q})
			if err := c.Call(t.Context(), "Back", []int{1}, nil); err != nil {
				t.Errorf("Back = %v, want nil", err)
			}
			_ = c.Close()
		}
		if err := q.Close(t.Context()); err != nil {
			t.Errorf("the queue: Close() = %v, want nil", err)
		}
		if got := q.Stats().Done; got != 2 {
			t.Errorf("the queue has done %d jobs, want 2", got)
		}
	})
}
