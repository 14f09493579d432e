package rpc_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
)

// newQueue returns a queue that is closed when the test ends, after the
// servers that use it.
func newQueue(tb testing.TB, o *queue.Options) *queue.Queue {
	tb.Helper()
	q := queue.New(o)
	tb.Cleanup(func() {
		if err := q.Close(context.Background()); err != nil {
			tb.Errorf("queue: Close() = %v, want nil", err)
		}
	})
	return q
}

// TestBusy: a request that finds no place is refused at once, and those that
// found one are all answered.
func TestBusy(t *testing.T) {
	const offered = 20
	for _, tt := range []struct {
		name     string
		queue    *queue.Options
		options  rpc.ServerOptions
		accepted int
	}{
		{"queue depth", &queue.Options{Depth: 3, Workers: 2}, rpc.ServerOptions{}, 5},
		{"in flight on the connection", nil, rpc.ServerOptions{Limits: rpc.Limits{InFlight: 4}}, 4},
		{"in flight, of which one runs", nil, rpc.ServerOptions{Width: 1, Limits: rpc.Limits{InFlight: 4}}, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, w wire) {
				g := newGate()
				o := tt.options
				o.Queue = newQueue(t, tt.queue)
				h := serve(t, w, gatedMux(g), &o)
				p := h.peer()
				for i := range offered {
					p.say(fmt.Sprintf(`{"jsonrpc":"2.0","method":"Wait","params":[%d],"id":%d}`, i, i))
				}
				for i := tt.accepted; i < offered; i++ {
					if got, want := brief(p.hear()), fmt.Sprintf("%d!-32009", i); got != want {
						t.Errorf("heard %s, want %s", got, want)
					}
				}
				g.open()
				got := make(map[string]bool)
				want := make(map[string]bool)
				for i := range tt.accepted {
					got[brief(p.hear())] = true
					want[fmt.Sprintf("%d=[%d]", i, i)] = true
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("answers to those accepted (-want +got):\n%s", diff)
				}
				// There is room again.
				p.say(`{"jsonrpc":"2.0","method":"Echo","params":[],"id":"x"}`)
				if got, want := brief(p.hear()), `"x"=[]`; got != want {
					t.Errorf("heard %s, want %s", got, want)
				}
			})
		})
	}
}

// TestBusyNotification: a notification that finds no place is dropped without
// an answer, and the log knows.
func TestBusyNotification(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		var log logBook
		var ran journal
		g := newGate()
		mux := gatedMux(g)
		rpc.Handle(mux, "update", func(_ context.Context, p []int) (any, error) {
			ran.note("update", p)
			return nil, nil
		})
		p := serve(t, w, mux, &rpc.ServerOptions{Limits: rpc.Limits{InFlight: 1}, Logger: log.logger()}).peer()
		p.say(`{"jsonrpc":"2.0","method":"Wait","params":[],"id":1}`)
		p.say(`{"jsonrpc":"2.0","method":"update","params":[1]}`)
		p.say(`[{"jsonrpc":"2.0","method":"update","params":[2]},{"jsonrpc":"2.0","method":"update","params":[3]}]`)
		synctest.Wait()
		g.open()
		if got, want := brief(p.hear()), "1=[]"; got != want {
			t.Errorf("heard %s, want %s", got, want)
		}
		p.say(`{"jsonrpc":"2.0","method":"Echo","params":[],"id":2}`)
		if got, want := brief(p.hear()), "2=[]"; got != want {
			t.Errorf("heard %s, want %s", got, want)
		}
		if lines := ran.take(); lines != nil {
			t.Errorf("executed %v, want nothing", lines)
		}
		if got := strings.Count(log.String(), "dropped"); got < 2 {
			t.Errorf("the log tells of %d drops, want one for each message; it is:\n%s", got, log.String())
		}
	})
}

// TestBusyBatch: a batch is admitted as one or refused as one, its
// notifications included; what is no request is told so all the same.
func TestBusyBatch(t *testing.T) {
	const three = `[{"jsonrpc":"2.0","method":"Wait","params":[1],"id":1},{"jsonrpc":"2.0","method":"update","params":[9]},5,
		{"jsonrpc":"2.0","method":"Wait","params":[2],"id":2}]`
	for _, tt := range []struct {
		name    string
		queue   *queue.Options
		options rpc.ServerOptions
		before  int // requests that hold places
		want    string
	}{
		{"no room in flight", nil, rpc.ServerOptions{Limits: rpc.Limits{InFlight: 4}}, 2, `[1!-32009, null!-32600, 2!-32009]`},
		{"just room in flight", nil, rpc.ServerOptions{Limits: rpc.Limits{InFlight: 5}}, 2, `[1=[1], null!-32600, 2=[2]]`},
		{"no room in the queue", &queue.Options{Depth: 2, Workers: 1}, rpc.ServerOptions{}, 1, `[1!-32009, null!-32600, 2!-32009]`},
		{"just room in the queue", &queue.Options{Depth: 3, Workers: 1}, rpc.ServerOptions{}, 1, `[1=[1], null!-32600, 2=[2]]`},
		{"larger than the queue", &queue.Options{Depth: 2, Workers: 1}, rpc.ServerOptions{}, 0, `[1!-32009, null!-32600, 2!-32009]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, w wire) {
				var ran journal
				g := newGate()
				mux := gatedMux(g)
				rpc.Handle(mux, "update", func(_ context.Context, p []int) (any, error) {
					ran.note("update", p)
					return nil, nil
				})
				o := tt.options
				o.Queue = newQueue(t, tt.queue)
				h := serve(t, w, mux, &o)
				p := h.peer()
				for range tt.before {
					p.say(`{"jsonrpc":"2.0","method":"Wait","params":[],"id":"before"}`)
				}
				synctest.Wait()
				p.say(three)
				synctest.Wait()
				refused := strings.Contains(tt.want, "-32009")
				if refused {
					if got := brief(p.hear()); got != tt.want {
						t.Errorf("heard %s, want %s", got, tt.want)
					}
				}
				g.open()
				heard := make(map[string]int)
				for range tt.before {
					heard[brief(p.hear())]++
				}
				if !refused {
					heard[brief(p.hear())]++
				}
				want := map[string]int{}
				if tt.before > 0 {
					want[`"before"=[]`] = tt.before
				}
				if !refused {
					want[tt.want] = 1
				}
				if diff := cmp.Diff(want, heard); diff != "" {
					t.Errorf("heard (-want +got):\n%s", diff)
				}
				synctest.Wait()
				if got := len(ran.take()); got == 1 == refused {
					t.Errorf("the notification was executed %d times, refused: %v", got, refused)
				}
			})
		})
	}
}

// TestBusyIsBounded: however much is offered, what is kept is bounded, and
// every request is either accepted or refused.
func TestBusyIsBounded(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		const offered, inFlight = 1500, 64
		g := newGate()
		p := serve(t, w, gatedMux(g), &rpc.ServerOptions{Limits: rpc.Limits{InFlight: inFlight}}).peer()
		payload := strings.Repeat("x", 16<<10)
		mouth := *p // one goroutine says while another hears
		done := make(chan struct{})
		before := heap()
		go func() {
			defer close(done)
			for i := range offered {
				mouth.say(fmt.Sprintf(`{"jsonrpc":"2.0","method":"Wait","params":[%q],"id":%d}`, payload, i))
			}
		}()
		for range offered - inFlight {
			if got := p.hear(); !strings.Contains(got, "-32009") {
				t.Fatalf("heard %.100s, want it busy", got)
			}
		}
		<-done
		if after := heap(); after > before+4<<20 {
			t.Errorf("the heap grew from %d to %d KiB, want less than 4096 more", before>>10, after>>10)
		}
		g.open()
		for range inFlight {
			if got := p.hear(); !strings.Contains(got, payload) {
				t.Fatalf("heard %.100s, want a result", got)
			}
		}
		synctest.Wait()
		if body, err := p.listen(time.Second); err == nil {
			t.Errorf("heard %.100s more than was offered", body)
		}
	})
}

// TestFairness: a peer that floods the queue does not keep another waiting for
// longer than the jobs that run already.
func TestFairness(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		const job = 10 * time.Millisecond
		q := newQueue(t, &queue.Options{Workers: 1, Depth: 2000})
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Work", func(context.Context, struct{}) (any, error) {
			time.Sleep(job)
			return nil, nil
		})
		h := serve(t, w, mux, &rpc.ServerOptions{Queue: q})
		greedy, modest := h.peer(), h.client(nil)
		for i := range 500 {
			greedy.say(fmt.Sprintf(`{"jsonrpc":"2.0","method":"Work","id":%d}`, i))
		}
		synctest.Wait()
		for range 20 {
			start := time.Now()
			if err := modest.Call(t.Context(), "Work", nil, nil); err != nil {
				t.Fatalf("Work = %v, want nil", err)
			}
			// The job that runs, its own, and one turn of the greedy peer at most.
			if took := time.Since(start); took > 3*job {
				t.Errorf("Work took %v, want at most %v", took, 3*job)
			}
		}
		for range 500 {
			greedy.hear()
		}
	})
}

// TestWidth: one connection does not get more workers than its share.
func TestWidth(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		g := newGate()
		h := serve(t, w, gatedMux(g), &rpc.ServerOptions{Width: 3, Queue: newQueue(t, &queue.Options{Workers: 4})})
		greedy, modest := h.peer(), h.peer()
		for i := range 10 {
			greedy.say(fmt.Sprintf(`{"jsonrpc":"2.0","method":"Wait","params":[],"id":%d}`, i))
		}
		synctest.Wait()
		if got := len(g.entered); got != 3 {
			t.Errorf("%d handlers of one connection run, want 3", got)
		}
		modest.say(`{"jsonrpc":"2.0","method":"Echo","params":[],"id":1}`)
		if got, want := brief(modest.hear()), "1=[]"; got != want {
			t.Errorf("the other connection heard %s, want %s", got, want)
		}
		g.open()
		for range 10 {
			greedy.hear()
		}
	})
}

// TestInOrder: with a width of one, requests and notifications of a connection
// are executed in the order in which they came.
func TestInOrder(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		var j journal
		h := serve(t, w, j.mux(), &rpc.ServerOptions{Width: 1})
		c := h.client(nil)
		var want []string
		for i := range 500 {
			if err := c.Notify(t.Context(), "update", []int{i}); err != nil {
				t.Fatal(err)
			}
			want = append(want, fmt.Sprintf("update[%d]", i))
		}
		if err := c.Call(t.Context(), "Fence", nil, nil); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, j.take()); diff != "" {
			t.Errorf("executed (-want +got):\n%s", diff)
		}
	})
}

// TestConnections: the server knows how many it has.
func TestConnections(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		h := serve(t, w, rpc.NewMux(nil), nil)
		var cs []*rpc.Client
		for i := range 5 {
			cs = append(cs, h.client(nil))
			synctest.Wait()
			if got := h.Connections(); got != i+1 {
				t.Errorf("Connections() = %d, want %d", got, i+1)
			}
		}
		for _, c := range cs {
			_ = c.Close()
		}
		synctest.Wait()
		if got := h.Connections(); got != 0 {
			t.Errorf("Connections() = %d, want 0", got)
		}
	})
}
