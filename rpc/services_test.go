package rpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
)

// TestStuckServiceLeavesOthersAlone: with all places of one service taken, calls
// of the others on the same connection take no time and are not refused.
func TestStuckServiceLeavesOthersAlone(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		g := newGate()
		m := gatedMux(g)
		rpc.Handle(m, "Stuck.Wait", func(ctx context.Context, n int) (int, error) { return n, g.pass(ctx) })
		h := serve(t, w, m, &rpc.ServerOptions{
			Limits:   rpc.Limits{InFlight: 8},
			Services: map[string]rpc.ServiceOptions{"Stuck": {Queue: &queue.Options{Workers: 4}, InFlight: 20}},
		})
		c := h.client(nil)
		futures := make([]*queue.Future[int], 100)
		for i := range futures {
			futures[i] = rpc.Go[int](t.Context(), c, "Stuck.Wait", []int{i})
		}
		synctest.Wait()
		for i := range 50 {
			if _, err := rpc.Call[json.RawMessage](t.Context(), c, "Echo", []int{i}); err != nil {
				t.Fatalf("call %d of another method: %v, want an answer", i, err)
			}
		}
		g.open()
		answered, busy := 0, 0
		for i, f := range futures {
			switch v, err := get(t, f); {
			case err == nil && v == i:
				answered++
			default:
				isCode(t, "a call too many", err, rpc.CodeBusy)
				busy++
			}
		}
		if answered != 24 || busy != 76 {
			t.Errorf("%d answered and %d refused, want 24, which run or wait, and 76", answered, busy)
		}
		synctest.Wait() // a job is done when its worker has let go of it
		s := h.Server.QueueStats()
		if s["Stuck"].Done != 24 || s[""].Done != 50 {
			t.Errorf("QueueStats() has %d and %d done, want 24 of Stuck and 50 of the others", s["Stuck"].Done, s[""].Done)
		}
	})
}

// TestInOrderForOneKey: calls with one value of the key are handled one after the
// other in the order in which they came, by name and by position, from two
// connections; those with other values meanwhile.
func TestInOrderForOneKey(t *testing.T) {
	type move struct {
		Amount  int    `json:"amount"`
		Account string `json:"account"`
	}
	inBubbles(t, func(t *testing.T, w wire) {
		var mu sync.Mutex
		seen := map[string][]int{}
		gates := map[string]*gate{"a": newGate(), "b": newGate()}
		m := rpc.NewMux(nil)
		rpc.Handle(m, "Bank.Move", func(ctx context.Context, p move) (int, error) {
			mu.Lock()
			seen[p.Account] = append(seen[p.Account], p.Amount)
			mu.Unlock()
			return p.Amount, gates[p.Account].pass(ctx)
		})
		h := serve(t, w, m, &rpc.ServerOptions{Services: map[string]rpc.ServiceOptions{"Bank": {Key: "account"}}})
		clients := []*rpc.Client{h.client(nil), h.client(nil)}
		var futures []*queue.Future[int]
		var want []int
		for i := range 20 {
			c := clients[i%2]
			for _, account := range []string{"a", "b"} {
				if i%3 == 0 {
					futures = append(futures, rpc.Go[int](t.Context(), c, "Bank.Move", []any{i, account}))
				} else {
					futures = append(futures, rpc.Go[int](t.Context(), c, "Bank.Move", move{Account: account, Amount: i}))
				}
			}
			synctest.Wait() // the order across connections is that of receiving
			want = append(want, i)
		}
		for _, account := range []string{"a", "b"} {
			mu.Lock()
			if !slices.Equal(seen[account], []int{0}) {
				t.Errorf("of account %s %v have started, want the first alone", account, seen[account])
			}
			mu.Unlock()
		}
		gates["b"].open()
		synctest.Wait()
		mu.Lock()
		if !slices.Equal(seen["b"], want) || len(seen["a"]) != 1 {
			t.Errorf("started %v, want all of b in order and one of a", seen)
		}
		mu.Unlock()
		gates["a"].open()
		for _, f := range futures {
			if _, err := get(t, f); err != nil {
				t.Error(err)
			}
		}
		if !slices.Equal(seen["a"], want) {
			t.Errorf("account a was handled in the order %v", seen["a"])
		}
	})
}

// TestBatchAcrossServices: the answers to a batch come together and in order,
// and a service without places refuses its own calls alone.
func TestBatchAcrossServices(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		g := newGate()
		m := gatedMux(g)
		rpc.Handle(m, "A.Echo", func(_ context.Context, n int) (int, error) { return n, nil })
		rpc.Handle(m, "B.Wait", func(ctx context.Context, n int) (int, error) { return n, g.pass(ctx) })
		p := serve(t, w, m, &rpc.ServerOptions{Services: map[string]rpc.ServiceOptions{
			"A": {}, "B": {Queue: &queue.Options{Workers: 1}, InFlight: 1},
		}}).peer()
		var body strings.Builder
		for i, method := range []string{"A.Echo", "B.Wait", "Echo", "B.Wait", "B.Wait", "none"} {
			fmt.Fprintf(&body, `%c{"jsonrpc":"2.0","method":%q,"params":[%d],"id":%d}`, "[,"[min(i, 1)], method, i, i)
		}
		p.say(body.String() + "]")
		g.await(t, 1)
		synctest.Wait() // until the rest of the batch has been looked at
		g.open()
		if got, want := brief(p.hear()), `[0=0, 1=1, 2=[2], 3=3, 4!-32009, 5!-32601]`; got != want {
			t.Errorf("answered %s, want %s", got, want)
		}
	})
}

// TestServiceEndsWithItsServer: what waits for a service when its server gives up
// is answered, whatever its lane.
func TestServiceEndsWithItsServer(t *testing.T) {
	for _, key := range []string{"", "n"} {
		t.Run("key "+key, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, w wire) {
				g := newGate()
				m := rpc.NewMux(nil)
				type params struct {
					N int `json:"n"`
				}
				rpc.Handle(m, "S.Wait", func(ctx context.Context, p params) (int, error) { return p.N, g.pass(ctx) })
				h := serve(t, w, m, &rpc.ServerOptions{Services: map[string]rpc.ServiceOptions{
					"S": {Queue: &queue.Options{Workers: 1}, Key: key},
				}})
				c := h.client(nil)
				var futures []*queue.Future[int]
				for i := range 5 {
					futures = append(futures, rpc.Go[int](t.Context(), c, "S.Wait", []int{i}))
				}
				g.await(t, 1)
				if err := h.Server.Shutdown(expired()); err == nil {
					t.Error("Shutdown = nil, want an error: five are not answered")
				}
				for i, f := range futures {
					_, err := get(t, f)
					e, answered := errors.AsType[*rpc.Error](err)
					if err == nil || answered && e.Code != rpc.CodeShuttingDown && e.Code != rpc.CodeCancelled {
						t.Errorf("call %d: %v, want no answer, or that the server is shutting down", i, err)
					}
				}
			})
		})
	}
}
