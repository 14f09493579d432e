package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// has reports a pool that has not so many connections and users.
func has(tb testing.TB, p *rpc.Pool, connections, users int) {
	tb.Helper()
	if s := p.Stats(); s.Connections != connections || s.Users != users {
		tb.Errorf("the pool has %d connections and %d users, want %d and %d", s.Connections, s.Users, connections, users)
	}
}

// dials returns a client of a pool.
func dials(tb testing.TB, p *rpc.Pool, rawURL string) *rpc.Client {
	tb.Helper()
	c, err := p.Dial(tb.Context(), rawURL)
	if err != nil {
		tb.Fatalf("Dial(%s) = %v", rawURL, err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

func echoes(tb testing.TB, c *rpc.Client, n int) {
	tb.Helper()
	if v, err := rpc.Call[int](tb.Context(), c, "Echo", []int{n}); v != n || err != nil {
		tb.Errorf("Echo(%d) = %d, %v", n, v, err)
	}
}

func echoMux() *rpc.Mux {
	m := rpc.NewMux(nil)
	rpc.Handle(m, "Echo", func(_ context.Context, n int) (int, error) { return n, nil })
	return m
}

// TestPoolShares: one connection for all clients of a server, as long as there are any.
func TestPoolShares(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		h := serveOn(t, w, &transport.ListenOptions{Options: still(), Destinations: []string{"rpc", "calc", "queue/calc"}}, echoMux(), nil)
		p := rpc.NewPool(nil)
		has(t, p, 0, 0)
		a, b := dials(t, p, h.url), dials(t, p, h.url)
		has(t, p, 1, 2)
		// Destinations of two words share where messages name them; of one word only the same do.
		c, d := dials(t, p, h.url+"/queue/calc"), dials(t, p, h.url+"/calc")
		shared := map[string]int{"stomp": 2, "mem": 3}[w.name]
		has(t, p, shared, 4)
		for i, client := range []*rpc.Client{a, b, c, d} {
			echoes(t, client, i)
		}
		_ = a.Close()
		_ = a.Close()
		has(t, p, shared, 3)
		_, err := rpc.Call[int](t.Context(), a, "Echo", []int{1})
		isErr(t, "a call after Close", err, rpc.ErrClosed)
		isOutcome(t, "a call after Close", err, rpc.NotSent)
		isErr(t, "a notification after Close", a.Notify(t.Context(), "Echo", []int{1}), rpc.ErrClosed)
		echoes(t, b, 5)
		for _, client := range []*rpc.Client{b, c, d} {
			_ = client.Close()
		}
		has(t, p, 0, 0)
		echoes(t, dials(t, p, h.url), 6) // dials anew
		if n := p.Stats().Dialed; n != uint64(shared)+1 {
			t.Errorf("dialed %d times, want %d", n, shared+1)
		}
	})
}

// TestPoolApart: what is not the same server, user and query has connections of its own.
func TestPoolApart(t *testing.T) {
	h := serve(t, memURL, echoMux(), nil)
	p := rpc.NewPool(nil)
	for i, u := range []string{h.url, strings.Replace(h.url, "mem://", "mem://me:secret@", 1), h.url + "?format=x", h.url + "#fragment"} {
		echoes(t, dials(t, p, u), i)
	}
	has(t, p, 3, 4)
	for _, bad := range []string{"mem://nowhere", "none://x", ":"} {
		if _, err := p.Dial(t.Context(), bad); err == nil {
			t.Errorf("Dial(%s) = nil, want an error", bad)
		}
	}
	has(t, p, 3, 4)
}

// TestPoolDialsOnce: many at once, and one that gives up.
func TestPoolDialsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := serve(t, memPipe, echoMux(), nil)
		attempts := 0
		p := rpc.NewPool(&rpc.PoolOptions{Client: &rpc.ClientOptions{Reconnect: &transport.RedialOptions{
			Dial: func(ctx context.Context) (transport.Conn, error) {
				attempts++
				select {
				case <-time.After(time.Second):
					return h.dial(ctx, &transport.DialOptions{Options: still()})
				case <-ctx.Done():
					return nil, context.Cause(ctx)
				}
			},
		}}})
		impatient, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := p.Dial(impatient, "mem://h"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Dial() = %v, want %v", err, context.DeadlineExceeded)
			}
		})
		synctest.Wait()
		for i := range 10 {
			wg.Go(func() { echoes(t, dials(t, p, "mem://h"), i) })
		}
		wg.Wait()
		if has(t, p, 1, 10); attempts != 2 || h.Connections() != 1 {
			t.Errorf("%d attempts and %d connections, want 2 and 1", attempts, h.Connections())
		}
	})
}

// pooled returns a pool whose connections lead to h, and one URL for all.
func pooled(h *host, o rpc.ClientOptions, share int) *rpc.Pool {
	o.Reconnect = &transport.RedialOptions{Dial: func(ctx context.Context) (transport.Conn, error) {
		return h.dial(ctx, &transport.DialOptions{Options: still()})
	}}
	return rpc.NewPool(&rpc.PoolOptions{Client: &o, Share: share})
}

// TestPoolCloseOne: the end of a client ends its calls and subscriptions, and no others.
func TestPoolCloseOne(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		g := newGate()
		m := gatedMux(g)
		rpc.Handle(m, "Number", func(ctx context.Context, n int) (int, error) { return n, g.pass(ctx) })
		h := serve(t, w, m, nil)
		p := pooled(h, rpc.ClientOptions{InFlight: 4}, 2)
		a, b := dials(t, p, w.name+"://h"), dials(t, p, w.name+"://h")
		subA, errA := a.Subscribe(t.Context(), "#", nil)
		subB, errB := b.Subscribe(t.Context(), "#", nil)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		future := rpc.Go[int](t.Context(), b, "Number", []int{1})
		ends := make(chan error, 3)
		for i := range 3 {
			go func() {
				_, err := rpc.Call[int](t.Context(), a, "Number", []int{i})
				ends <- err
			}()
		}
		synctest.Wait()
		if n := p.Stats().Waiting; n != 1 {
			t.Errorf("%d calls wait for a place, want 1", n)
		}
		_ = a.Close()
		outcomes := map[rpc.Outcome]int{}
		for range 3 {
			err := within(t, ends, "a call to end")
			isErr(t, "a call", err, rpc.ErrClosed)
			outcomes[rpc.OutcomeOf(err)]++
		}
		if outcomes[rpc.Unknown] != 2 || outcomes[rpc.NotSent] != 1 {
			t.Errorf("the calls ended as %v, want two unknown and one not sent", outcomes)
		}
		for _, err := range subA.Events() {
			isErr(t, "the subscription", err, rpc.ErrClosed)
		}
		synctest.Wait()
		publish(t, h.Server, "t", nil, 1)
		for e, err := range subB.Events() {
			if e.Topic != "t" || err != nil {
				t.Errorf("heard %v, %v", e.Topic, err)
			}
			break
		}
		g.open()
		if v, err := get(t, future); v != 1 || err != nil {
			t.Errorf("the call of the other client = %d, %v, want 1", v, err)
		}
		has(t, p, 1, 1)
	})
}

// TestPoolFair: a greedy client with 200 goroutines, and a polite one with one call at a
// time. Each call takes 10 ms.
func TestPoolFair(t *testing.T) {
	run := func(t *testing.T, dial func(t *testing.T, h *host) (greedy, polite *rpc.Client)) (worst time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			m := rpc.NewMux(nil)
			rpc.Handle(m, "Work", func(context.Context, struct{}) (any, error) {
				time.Sleep(10 * time.Millisecond)
				return nil, nil
			})
			h := serve(t, memPipe, m, nil)
			greedy, polite := dial(t, h)
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			for range 200 {
				wg.Go(func() {
					for greedy.Call(ctx, "Work", nil, nil) == nil { //nolint:revive // until the end
					}
				})
			}
			time.Sleep(100 * time.Millisecond)
			for range 20 {
				began := time.Now()
				if err := polite.Call(ctx, "Work", nil, nil); err != nil {
					t.Error(err)
				}
				worst = max(worst, time.Since(began))
			}
			cancel()
			wg.Wait()
		})
		return worst
	}
	o := rpc.ClientOptions{InFlight: 16}
	plain := run(t, func(t *testing.T, h *host) (a, b *rpc.Client) { c := h.client(&o); return c, c })
	var of [2]time.Duration
	for i, share := range []int{16, 8} { // all that the connection has, and half
		of[i] = run(t, func(t *testing.T, h *host) (a, b *rpc.Client) {
			p := pooled(h, o, share)
			return dials(t, p, "mem://h"), dials(t, p, "mem://h")
		})
	}
	t.Logf("the polite client's worst call: %v by one client for both, %v in turn, %v with a share of half", plain, of[0], of[1])
	if plain < 100*time.Millisecond || of[0] > 20*time.Millisecond || of[1] > 10*time.Millisecond {
		t.Error("want more than 100 ms, at most 20 and at most 10")
	}
}

// TestPoolTurns: many clients get the same, batches get their places, and who gives up leaves no
// trace.
func TestPoolTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := rpc.NewMux(nil)
		rpc.Handle(m, "Work", func(context.Context, struct{}) (any, error) {
			time.Sleep(10 * time.Millisecond)
			return nil, nil
		})
		h := serve(t, memPipe, m, nil)
		p := pooled(h, rpc.ClientOptions{InFlight: 4}, 4)
		ctx, cancel := context.WithCancel(t.Context())
		counts := make([]int, 5)
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range counts {
			c := dials(t, p, "mem://h")
			for range 1 + 20*i {
				wg.Go(func() {
					for n := 0; ctx.Err() == nil; n++ {
						if i == 4 && n%2 == 0 {
							var b rpc.Batch
							for range 4 {
								rpc.Add[any](&b, "Work", nil)
							}
							if c.Do(ctx, &b) == nil {
								mu.Lock()
								counts[i] += 4
								mu.Unlock()
							}
							continue
						}
						hurry, stop := context.WithCancel(ctx)
						if n%3 == 0 {
							hurry, stop = context.WithTimeout(ctx, time.Duration(20+n%50)*time.Millisecond)
						}
						if c.Call(hurry, "Work", nil, nil) == nil {
							mu.Lock()
							counts[i]++
							mu.Unlock()
						}
						stop()
					}
				})
			}
		}
		time.Sleep(20 * time.Second)
		cancel()
		wg.Wait()
		synctest.Wait()
		t.Logf("calls done: %v", counts)
		if slices.Min(counts[:4])*3 < slices.Max(counts[:4]) {
			t.Errorf("calls done: %v, want none to have a third of another's", counts)
		}
		if s := p.Stats(); s.Waiting != 0 {
			t.Errorf("%d calls wait, want none", s.Waiting)
		}
		var b rpc.Batch // all places are free again
		for range 4 {
			rpc.Add[any](&b, "Work", nil)
		}
		c := dials(t, p, "mem://h")
		if err := c.Do(t.Context(), &b); err != nil {
			t.Error(err)
		}
		var large rpc.Batch
		for range 5 {
			rpc.Add[any](&large, "Work", nil)
		}
		if err := c.Do(t.Context(), &large); err == nil || !strings.Contains(err.Error(), "limit of 4") {
			t.Errorf("a batch of 5 = %v, want that 4 is the limit", err)
		}
	})
}

// TestPoolOutlivesLoss: with Reconnect the clients go on; without, the next Dial makes another
// connection.
func TestPoolOutlivesLoss(t *testing.T) {
	for _, again := range []bool{true, false} {
		t.Run(fmt.Sprintf("reconnect %v", again), func(t *testing.T) {
			var mu sync.Mutex
			var conns []transport.Conn
			h := serve(t, stompTCP, echoMux(), nil)
			o := &rpc.ClientOptions{}
			if again {
				o.Reconnect = &transport.RedialOptions{First: time.Millisecond, Dial: func(ctx context.Context) (transport.Conn, error) {
					c, err := transport.Dial(ctx, h.url, nil)
					mu.Lock()
					defer mu.Unlock()
					conns = append(conns, c)
					return c, err
				}}
			}
			p := rpc.NewPool(&rpc.PoolOptions{Client: o})
			c := dials(t, p, h.url)
			echoes(t, c, 1)
			if !again {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				_ = h.Shutdown(ctx)
				within(t, c.Done(), "the connection to end")
				for until := time.Now().Add(patience); p.Stats().Connections > 0 && time.Now().Before(until); {
					time.Sleep(time.Millisecond)
				}
				has(t, p, 0, 0)
				return
			}
			mu.Lock()
			_ = conns[0].Close()
			mu.Unlock()
			for until := time.Now().Add(patience); ; { // a call that meets the loss has no answer
				_, err := rpc.Call[int](t.Context(), c, "Echo", []int{0})
				if err == nil {
					break
				}
				if !errors.Is(err, transport.ErrClosed) || time.Now().After(until) {
					t.Fatalf("Echo after the loss: %v, want an answer or %v", err, transport.ErrClosed)
				}
			}
			echoes(t, dials(t, p, h.url), 2)
			echoes(t, c, 3)
			if s := p.Stats(); s.Connections != 1 || s.Dialed != 1 {
				t.Errorf("Stats() = %+v, want the same connection", s)
			}
		})
	}
}
