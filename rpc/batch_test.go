package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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

func TestBatch(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		var j journal
		c := serve(t, w, j.mux(), inTurn(rpc.Limits{})).client(nil)
		var b rpc.Batch
		sum := rpc.Add[int](&b, "sum", []int{1, 2})
		b.Notify("update", []int{7})
		difference := rpc.Add[int](&b, "subtract", map[string]int{"minuend": 5, "subtrahend": 3})
		data := rpc.Add[[]any](&b, "get_data", nil)
		fails := rpc.Add[int](&b, "Fail", nil)
		nope := rpc.Add[int](&b, "nope", nil)
		unfit := rpc.Add[int](&b, "get_data", nil)
		if got := b.Len(); got != 7 {
			t.Errorf("Len() = %d, want 7", got)
		}
		if _, _, done := sum.TryGet(); done {
			t.Error("a future is done before Do")
		}
		if err := c.Do(t.Context(), &b); err != nil {
			t.Fatalf("Do() = %v, want nil", err)
		}
		isValue(t, "sum", sum, 3)
		isValue(t, "subtract", difference, 2)
		if v, err := get(t, data); err != nil || fmt.Sprint(v) != "[hello 5]" {
			t.Errorf("get_data = %v, %v, want [hello 5], nil", v, err)
		}
		_, err := get(t, fails)
		isCode(t, "Fail", err, rpc.CodeHandler)
		_, err = get(t, nope)
		isCode(t, "nope", err, rpc.CodeMethodNotFound)
		_, err = get(t, unfit)
		if _, ok := errors.AsType[*rpc.ResultError](err); !ok {
			t.Errorf("get_data into an int = %v, want a ResultError", err)
		}
		want := []string{"sum[1 2]", "update[7]", "subtract[5 3]", "get_data", "Fail", "get_data"}
		if diff := cmp.Diff(want, j.take()); diff != "" {
			t.Errorf("executed (-want +got):\n%s", diff)
		}
		if b.Len() != 0 {
			t.Errorf("Len() after Do = %d, want 0", b.Len())
		}
	})
}

func TestBatchOfNotifications(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		var j journal
		h := serve(t, w, j.mux(), inTurn(rpc.Limits{}))
		c := h.client(nil)
		var b rpc.Batch
		b.Notify("update", []int{1})
		b.Notify("update", []int{2})
		if err := c.Do(t.Context(), &b); err != nil {
			t.Errorf("Do() = %v, want nil", err)
		}
		if err := c.Call(t.Context(), "Fence", nil, nil); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"update[1]", "update[2]"}, j.take()); diff != "" {
			t.Errorf("executed (-want +got):\n%s", diff)
		}
	})
}

// TestBatchRefusedHere: what no server would take is not sent.
func TestBatchRefusedHere(t *testing.T) {
	conn := newFakeConn()
	conn.send = func(_ context.Context, m *transport.Message) error {
		t.Errorf("sent %.100s", m.Body)
		return nil
	}
	c := fakeClient(t, conn, &rpc.ClientOptions{InFlight: 10})
	for _, tt := range []struct {
		name  string
		calls int
		text  string
	}{
		{"empty", 0, "1 to 1000"},
		{"too large", 1001, "1 to 1000"},
		{"over the calls in flight", 11, "10 in flight"},
	} {
		var b rpc.Batch
		var fs []*queue.Future[any]
		for range tt.calls {
			fs = append(fs, rpc.Add[any](&b, "m", nil))
		}
		err := c.Do(t.Context(), &b)
		isOutcome(t, tt.name, err, rpc.NotSent)
		if !strings.Contains(err.Error(), tt.text) || !strings.HasPrefix(err.Error(), "call batch: not sent: ") {
			t.Errorf("%s: Do() = %q, want an error with %q", tt.name, err, tt.text)
		}
		for _, f := range fs {
			_, ferr := get(t, f)
			isOutcome(t, tt.name, ferr, rpc.NotSent)
		}
		isOutcome(t, tt.name+", again", c.Do(t.Context(), &b), rpc.NotSent)
	}
}

// TestBatchSpoiledByOne: if one member cannot be encoded nothing is sent, and
// the error says which.
func TestBatchSpoiledByOne(t *testing.T) {
	var j journal
	c := serve(t, memURL, j.mux(), inTurn(rpc.Limits{})).client(nil)
	var b rpc.Batch
	good := rpc.Add[any](&b, "sum", []int{1})
	bad := rpc.Add[any](&b, "spoiler", 5)
	err := c.Do(t.Context(), &b)
	isOutcome(t, "Do()", err, rpc.NotSent)
	isErr(t, "Do()", err, rpc.ErrParams)
	if !strings.Contains(err.Error(), "spoiler") {
		t.Errorf("Do() = %q, want an error that names spoiler", err)
	}
	for _, f := range []*queue.Future[any]{good, bad} {
		_, err := get(t, f)
		isOutcome(t, "a member", err, rpc.NotSent)
	}
	if err := c.Call(t.Context(), "Fence", nil, nil); err != nil {
		t.Fatal(err)
	}
	if ran := j.take(); ran != nil {
		t.Errorf("executed %v, want nothing", ran)
	}
}

// TestBatchAnsweredInPieces: a peer may answer the members one by one, in any
// order; what is answered stays so, whatever ends the rest.
func TestBatchAnsweredInPieces(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		for _, tt := range []struct {
			name string
			rest func(p *peer, s sentBatch, cancel context.CancelCauseFunc)
			want error // of the rest; nil: it is answered
		}{
			{"the rest is answered later", func(p *peer, s sentBatch, _ context.CancelCauseFunc) {
				time.Sleep(time.Hour)
				p.answer(s.rs[0], "1")
			}, nil},
			{"ctx ends", func(_ *peer, _ sentBatch, cancel context.CancelCauseFunc) { cancel(errPlain) }, errPlain},
			{"the connection ends", func(p *peer, _ sentBatch, _ context.CancelCauseFunc) { _ = p.conn.Close() }, transport.ErrClosed},
		} {
			c, p := scripted(t, w, nil)
			ctx, cancel := context.WithCancelCause(t.Context())
			s := sendBatchCtx(ctx, t, c, p)
			p.answer(s.rs[2], "2")
			synctest.Wait()
			tt.rest(p, s, cancel)
			if tt.want == nil {
				isValue(t, tt.name+": the other", s.a, 1)
			} else {
				_, err := get(t, s.a)
				isErr(t, tt.name, err, tt.want)
				isOutcome(t, tt.name, err, rpc.Unknown)
			}
			isValue(t, tt.name+": the member answered", s.b, 2)
			if err := within(t, s.done, "Do"); err != nil {
				t.Errorf("%s: Do() = %v, want nil, as a call was answered", tt.name, err)
			}
			cancel(nil)
		}
	})
}

// TestBatchesAndCallsShareTheLimit: batches that need most of the places never
// hold each other up for good.
func TestBatchesAndCallsShareTheLimit(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Echo", func(_ context.Context, n int) (int, error) {
			time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
			return n, nil
		})
		c := serve(t, w, mux, nil).client(&rpc.ClientOptions{InFlight: 8})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var wg sync.WaitGroup
		for caller := range 16 {
			wg.Go(func() {
				for i := range 20 {
					var b rpc.Batch
					var fs []*queue.Future[int]
					for k := range 1 + rand.IntN(8) {
						fs = append(fs, rpc.Add[int](&b, "Echo", []int{caller*1000 + i*10 + k}))
					}
					b.Notify("Echo", []int{0})
					if err := c.Do(ctx, &b); err != nil {
						t.Errorf("Do() = %v, want nil", err)
					}
					for k, f := range fs {
						isValue(t, "Echo", f, caller*1000+i*10+k)
					}
				}
			})
			wg.Go(func() {
				for i := range 20 {
					if got, err := rpc.Call[int](ctx, c, "Echo", []int{i}); err != nil || got != i {
						t.Errorf("Echo(%d) = %d, %v", i, got, err)
					}
				}
			})
		}
		wg.Wait()
	})
}

// TestBatchWaitsForBatch: a batch that waits for its places makes others wait
// behind it, within their contexts.
func TestBatchWaitsForBatch(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		g := newGate()
		c := serve(t, w, gatedMux(g), nil).client(&rpc.ClientOptions{InFlight: 4})
		do := func(ctx context.Context, n int) <-chan error {
			var b rpc.Batch
			for range n {
				rpc.Add[any](&b, "Wait", []int{})
			}
			done := make(chan error, 1)
			go func() { done <- c.Do(ctx, &b) }()
			synctest.Wait()
			return done
		}
		first := do(t.Context(), 3)
		second := do(t.Context(), 3) // has one place and waits for two
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := within(t, do(ctx, 1), "the third batch")
		isOutcome(t, "the third batch", err, rpc.NotSent)
		isErr(t, "the third batch", err, context.DeadlineExceeded)
		g.open()
		for _, done := range []<-chan error{first, second, do(t.Context(), 4)} {
			if err := within(t, done, "a batch"); err != nil {
				t.Errorf("Do() = %v, want nil", err)
			}
		}
	})
}

// TestBatchOfThousand: the largest batch is answered.
func TestBatchOfThousand(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		c := serve(t, w, new(journal).mux(), nil).client(nil)
		var b rpc.Batch
		var fs []*queue.Future[int]
		for i := range 1000 {
			fs = append(fs, rpc.Add[int](&b, "sum", []int{i, 1}))
		}
		if err := c.Do(t.Context(), &b); err != nil {
			t.Fatalf("Do() = %v, want nil", err)
		}
		for i, f := range fs {
			isValue(t, "sum", f, i+1)
		}
	})
}

// TestBatchIsOneUnit: the members of a batch run side by side, and their
// answers leave together, in the order of the requests.
func TestBatchIsOneUnit(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Sleep", func(_ context.Context, ms int) (int, error) {
			time.Sleep(time.Duration(ms) * time.Millisecond)
			return ms, nil
		})
		p := serve(t, w, mux, nil).peer()
		start := time.Now()
		p.say(`[{"jsonrpc":"2.0","method":"Sleep","params":[300],"id":1},{"jsonrpc":"2.0","method":"Sleep","params":[100],"id":2},
			{"jsonrpc":"2.0","method":"Sleep","params":[400]},{"jsonrpc":"2.0","method":"Sleep","params":[200],"id":3}]`)
		p.say(`{"jsonrpc":"2.0","method":"Sleep","params":[50],"id":4}`)
		if got, want := brief(p.hear()), "4=50"; got != want || time.Since(start) != 50*time.Millisecond {
			t.Errorf("after %v: %s, want %s after 50ms", time.Since(start), got, want)
		}
		got, want := brief(p.hear()), "[1=300, 2=100, 3=200]"
		// After the last of them has ended, notifications included.
		if took := time.Since(start); got != want || took != 400*time.Millisecond {
			t.Errorf("after %v: %s, want %s after 400ms", took, got, want)
		}
		synctest.Wait()
	})
}
