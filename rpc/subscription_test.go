package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// subscribe subscribes for the time of the test.
func subscribe(tb testing.TB, c *rpc.Client, filter string, window int) *rpc.Subscription {
	tb.Helper()
	s, err := c.Subscribe(tb.Context(), filter, &rpc.SubscribeOptions{Window: window})
	if err != nil {
		tb.Fatalf("Subscribe(%s) = %v", filter, err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// seen is what a subscription yields, in short: "topic [params]", or "gap N".
func seen(e rpc.Event, err error) string {
	gap, isGap := errors.AsType[*rpc.GapError](err)
	switch {
	case isGap:
		return fmt.Sprintf("gap %d", gap.Dropped)
	case err != nil:
		return "error " + err.Error()
	}
	return e.Topic + " " + string(e.Params)
}

// A tap takes what a subscription yields one by one.
type tap struct {
	tb   testing.TB
	next func() (rpc.Event, error, bool)
}

func open(tb testing.TB, s *rpc.Subscription) *tap {
	tb.Helper()
	next, stop := iter.Pull2(s.Events())
	tb.Cleanup(stop)
	tb.Cleanup(func() { _ = s.Close() })
	return &tap{tb, next}
}

func (p *tap) yields(want ...string) {
	p.tb.Helper()
	for _, w := range want {
		e, err, ok := p.next()
		if !ok {
			p.tb.Fatalf("the loop has ended, want %s", w)
		}
		if got := seen(e, err); got != w {
			p.tb.Errorf("yielded %s, want %s", got, w)
		}
	}
}

func (p *tap) ends() {
	p.tb.Helper()
	if e, err, ok := p.next(); ok {
		p.tb.Errorf("yielded %s, want the end", seen(e, err))
	}
}

func TestSubscribe(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		h := eventServer(t, w, nil)
		c := h.client(nil)
		s := subscribe(t, c, "task.*", 4)
		p := open(t, s)
		for i := range 100 { // many windows
			publish(t, h.Server, "task.7", []int{i}, 1)
			publish(t, h.Server, "clock", []int{i}, 0)
			p.yields(fmt.Sprintf("task.7 [%d]", i))
		}
		publish(t, h.Server, "task.7", map[string]int{"ms": 5}, 1)
		e, err, _ := p.next()
		var got struct {
			MS int `json:"ms"`
		}
		if err := errors.Join(err, e.Decode(&got)); err != nil || got.MS != 5 {
			t.Errorf("Decode() = %v, %+v, want 5", err, got)
		}
		if s.Dropped() != 0 || s.Filter() != "task.*" {
			t.Errorf("Dropped() = %d, Filter() = %s", s.Dropped(), s.Filter())
		}
		_ = s.Close()
		_ = s.Close()
		p.ends()
		synctest.Wait()
		publish(t, h.Server, "task.7", nil, 0)
	})
}

// TestSubscribeOrder: a flood of events comes whole and in order to a loop that
// is quick enough, whatever the window.
func TestSubscribeOrder(t *testing.T) {
	for _, window := range []int{1, 2, 3, 256} {
		t.Run(strconv.Itoa(window), func(t *testing.T) {
			onWires(t, func(t *testing.T, w wire) {
				const n = 2000
				h := eventServer(t, w, &rpc.EventOptions{Policy: rpc.Block, Buffer: 8})
				s := subscribe(t, h.client(nil), "t", window)
				go func() {
					for i := range n {
						if _, err := h.Publish(context.Background(), "t", []int{i}); err != nil {
							t.Errorf("Publish(%d) = %v", i, err)
						}
					}
				}()
				i := 0
				for e, err := range s.Events() {
					if got, want := seen(e, err), fmt.Sprintf("t [%d]", i); got != want {
						t.Fatalf("yielded %s, want %s", got, want)
					}
					if i++; i == n {
						break
					}
				}
			})
		})
	}
}

// TestSubscribeRefused: a mistake is found here, or told by the server.
func TestSubscribeRefused(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		h := eventServer(t, w, &rpc.EventOptions{Subscriptions: 1})
		c := h.client(nil)
		_, err := c.Subscribe(t.Context(), "a..b", nil)
		isErr(t, "Subscribe(a..b)", err, rpc.ErrTopic)
		isOutcome(t, "Subscribe(a..b)", err, rpc.NotSent)
		subscribe(t, c, "t", 1)
		_, err = c.Subscribe(t.Context(), "t", nil)
		isCode(t, "a second Subscribe", err, rpc.CodeBusy)
		_ = c.Close()
		_, err = c.Subscribe(t.Context(), "t", nil)
		isOutcome(t, "Subscribe after Close", err, rpc.NotSent)

		other, far := scripted(t, w, nil)
		go func() {
			far.hear()
			far.say(`{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}`)
		}()
		_, err = other.Subscribe(t.Context(), "t", nil)
		isCode(t, "Subscribe at a server without events", err, rpc.CodeMethodNotFound)
	})
}

// TestGaps: what the server dropped shows in its place, and the loop goes on.
func TestGaps(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		h := eventServer(t, w, &rpc.EventOptions{Buffer: 2})
		s := subscribe(t, h.client(nil), "t", 2)
		for i := range 10 {
			publish(t, h.Server, "t", []int{i}, 1)
		}
		p := open(t, s)
		p.yields("t [0]", "t [1]", "gap 6", "t [8]", "t [9]")
		if got := s.Dropped(); got != 6 {
			t.Errorf("Dropped() = %d, want 6", got)
		}
		publish(t, h.Server, "t", []int{10}, 1)
		p.yields("t [10]")
	})
}

// TestWindowBoundsMemory: a server that sends more than it may is not believed.
func TestWindowBoundsMemory(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		c, far := scripted(t, w, nil)
		go func() {
			far.hear()
			far.say(`{"jsonrpc":"2.0","id":1,"result":{"subscription":"1"}}`)
		}()
		s := subscribe(t, c, "t", 2)
		for i := range 1000 {
			far.say(fmt.Sprintf(`{"jsonrpc":"2.0","method":"t","params":[%d],"metadata":{"subscription":"1"}}`, i))
		}
		synctest.Wait()
		p := open(t, s)
		p.yields("t [0]", "t [1]", "gap 998")
	})
}

// TestEventsBeforeTheAnswer: events may overtake the answer to the request.
func TestEventsBeforeTheAnswer(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		c, far := scripted(t, w, nil)
		go func() {
			far.hear()
			far.say(`{"jsonrpc":"2.0","method":"t","params":[0],"metadata":{"subscription":"1"}}`)
			far.say(`{"jsonrpc":"2.0","id":1,"result":{"subscription":"1"}}`)
		}()
		open(t, subscribe(t, c, "t", 2)).yields("t [0]")
	})
}

// TestSubscriptionEnds: the last thing that is yielded says why.
func TestSubscriptionEnds(t *testing.T) {
	for _, tt := range []struct {
		name  string
		end   func(h *host, c *rpc.Client)
		check func(t *testing.T, err error)
	}{
		{"the server shuts down", func(h *host, _ *rpc.Client) {
			_ = h.Close()
			_ = h.Shutdown(context.Background())
		}, func(t *testing.T, err error) { isCode(t, "the last error", err, rpc.CodeShuttingDown) }},
		{"the connection is closed here", func(_ *host, c *rpc.Client) { _ = c.Close() }, func(t *testing.T, err error) {
			isErr(t, "the last error", err, rpc.ErrClosed)
		}},
		{"the subscriber is too slow", func(h *host, _ *rpc.Client) {
			for range 9 {
				_, _ = h.Publish(context.Background(), "t", nil)
			}
			synctest.Wait()
		}, func(t *testing.T, err error) { isCode(t, "the last error", err, rpc.CodeBusy) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, w wire) {
				h := eventServer(t, w, &rpc.EventOptions{Buffer: 2, Policy: rpc.Disconnect})
				c := h.client(nil)
				s := subscribe(t, c, "t", 4)
				publish(t, h.Server, "t", []int{1}, 1)
				synctest.Wait()
				tt.end(h, c)
				p := open(t, s)
				p.yields("t [1]")
				for {
					e, err, ok := p.next()
					if !ok {
						t.Fatal("the loop has ended without an error")
					}
					if _, gap := errors.AsType[*rpc.GapError](err); !gap && err != nil {
						tt.check(t, err)
						break
					}
					_ = e
				}
				p.ends()
				synctest.Wait()
				if got := h.EventStats().Subscriptions; got != 0 {
					t.Errorf("the server has %d subscriptions, want none", got)
				}
			})
		})
	}
}

// TestSubscribeFunc: calls come in order, on a goroutine that may do anything.
func TestSubscribeFunc(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Echo", func(_ context.Context, n []int) ([]int, error) { return n, nil })
		h := serve(t, w, mux, nil)
		c := h.client(nil)
		var got []string
		s, err := c.SubscribeFunc(t.Context(), "t", &rpc.SubscribeOptions{Window: 2}, func(e rpc.Event, err error) {
			if err == nil {
				_, err = rpc.Call[[]int](t.Context(), c, "Echo", e.Params)
			}
			got = append(got, seen(e, err))
			time.Sleep(time.Second)
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			publish(t, h.Server, "t", []int{i}, 1)
		}
		time.Sleep(time.Minute)
		_ = s.Close()
		synctest.Wait()
		publish(t, h.Server, "t", []int{5}, 0)
		if diff := cmp.Diff([]string{"t [0]", "t [1]", "t [2]", "t [3]", "t [4]"}, got); diff != "" {
			t.Errorf("what was called (-want +got):\n%s", diff)
		}
		_, err = c.SubscribeFunc(t.Context(), "..", nil, nil)
		isErr(t, "SubscribeFunc(..)", err, rpc.ErrTopic)
	})
}

// TestSubscriptionsReconnect: they are renewed by the next connection, and the
// gap is told when they are.
func TestSubscriptionsReconnect(t *testing.T) {
	onTransports(t, func(t *testing.T, tr transport.Transport) {
		c, d, srv := redialed(t, tr, rpc.NewMux(nil), nil)
		s, other := subscribe(t, c, "t", 3), subscribe(t, c, "u.#", 1)
		p, q := open(t, s), open(t, other)
		for round := range 3 {
			publish(t, srv, "t", []int{round}, 1)
			synctest.Wait()
			d.down.Store(true)
			d.cut()
			synctest.Wait()
			publish(t, srv, "t", []int{100}, 0)
			d.down.Store(false)
			p.yields(fmt.Sprintf("t [%d]", round), "gap 0") // and it is renewed by then
			q.yields("gap 0")
			for i := range 20 {
				publish(t, srv, "t", []int{i}, 1)
				publish(t, srv, "u.v", []int{i}, 1)
				p.yields(fmt.Sprintf("t [%d]", i))
				q.yields(fmt.Sprintf("u.v [%d]", i))
			}
			if got := srv.EventStats().Subscriptions; got != 2 {
				t.Errorf("the server has %d subscriptions, want 2", got)
			}
		}
		d.down.Store(true)
		d.cut()
		synctest.Wait()
		_ = s.Close() // which waits for no connection
		p.ends()
		d.down.Store(false)
		q.yields("gap 0")
		synctest.Wait()
		if got := srv.EventStats().Subscriptions; got != 1 {
			t.Errorf("the server has %d subscriptions after Close in an outage, want 1", got)
		}
	})
}

// TestSubscriptionLosses: events that wait to be consumed when the connection
// is lost are kept, and count against the window that is asked for anew.
func TestSubscriptionLosses(t *testing.T) {
	onTransports(t, func(t *testing.T, tr transport.Transport) {
		c, d, srv := redialed(t, tr, rpc.NewMux(nil), nil)
		s := subscribe(t, c, "t", 3)
		for i := range 2 {
			publish(t, srv, "t", []int{i}, 1)
		}
		synctest.Wait()
		d.cut()
		time.Sleep(time.Minute)
		for i := range 5 {
			publish(t, srv, "t", []int{2 + i}, 1)
		}
		synctest.Wait()
		p := open(t, s)
		p.yields("t [0]", "t [1]", "gap 0", "t [2]", "t [3]", "t [4]", "t [5]", "t [6]")
		if got := s.Dropped(); got != 0 {
			t.Errorf("Dropped() = %d, want 0", got)
		}
	})
}
