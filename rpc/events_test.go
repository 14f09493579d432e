package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/rpc"
)

// publish publishes and reports what came of it if that is not n subscribers.
func publish(tb testing.TB, s *rpc.Server, topic string, payload any, n int) {
	tb.Helper()
	if got, err := s.Publish(tb.Context(), topic, payload); got != n || err != nil {
		tb.Errorf("Publish(%s, %v) = %d, %v, want %d, nil", topic, payload, got, err, n)
	}
}

// hears reports what is not heard next.
func (p *peer) hears(bodies ...string) {
	p.t.Helper()
	for _, want := range bodies {
		if got := p.hear(); got != want {
			p.t.Errorf("heard %s, want %s", got, want)
		}
	}
}

// silent reports what is heard though nothing should be.
func (p *peer) silent() {
	p.t.Helper()
	if body, err := p.listen(time.Second); err == nil {
		p.t.Errorf("heard %s, want nothing", body)
	}
}

const accepted = `{"jsonrpc":"2.0","id":1,"result":{"subscription":"s"}}`

// subscribes has a peer subscribe under the name s, with what more says.
func (p *peer) subscribes(filter, more string) {
	p.t.Helper()
	p.say(`{"jsonrpc":"2.0","id":1,"method":"rpc.subscribe","params":{"filter":"` + filter + `","subscription":"s"` + more + `}}`)
	p.hears(accepted)
}

func event(topic string, n int, windowed bool) string {
	metadata := ""
	if windowed {
		metadata = `,"metadata":{"subscription":"s"}`
	}
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":%q,"params":[%d]%s}`, topic, n, metadata)
}

// eventServer serves no methods of its own.
func eventServer(tb testing.TB, w wire, o *rpc.EventOptions) *host {
	tb.Helper()
	return serve(tb, w, rpc.NewMux(nil), &rpc.ServerOptions{Events: o})
}

// TestEventWire: what a peer without a library sees.
func TestEventWire(t *testing.T) {
	for _, tt := range []struct {
		name string
		run  func(t *testing.T, h *host, p *peer)
	}{
		{"without a window an event is a plain notification", func(t *testing.T, h *host, p *peer) {
			p.subscribes("task.*", "")
			publish(t, h.Server, "task.7", []int{1}, 1)
			publish(t, h.Server, "clock", []int{1}, 0)
			publish(t, h.Server, "task.8", nil, 1)
			p.hears(event("task.7", 1, false), `{"jsonrpc":"2.0","method":"task.8"}`)
		}},
		{"with a window it names the subscription", func(t *testing.T, h *host, p *peer) {
			p.subscribes("task.*", `,"window":2`)
			publish(t, h.Server, "task.7", []int{1}, 1)
			publish(t, h.Server, "task.8", nil, 1)
			p.hears(event("task.7", 1, true), `{"jsonrpc":"2.0","method":"task.8","metadata":{"subscription":"s"}}`)
		}},
		{"no more than the window is sent, and the rest on request", func(t *testing.T, h *host, p *peer) {
			p.subscribes("t", `,"window":2`)
			for i := range 5 {
				publish(t, h.Server, "t", []int{i}, 1)
			}
			p.hears(event("t", 0, true), event("t", 1, true))
			p.silent()
			p.say(`{"jsonrpc":"2.0","method":"rpc.events.more","params":{"subscription":"s","n":1}}`)
			p.hears(event("t", 2, true))
			p.silent()
			p.say(`{"jsonrpc":"2.0","method":"rpc.events.more","params":{"subscription":"s","n":5}}`)
			p.hears(event("t", 3, true), event("t", 4, true))
			publish(t, h.Server, "t", []int{5}, 1)
			p.hears(event("t", 5, true))
		}},
		{"a window of none waits for more", func(t *testing.T, h *host, p *peer) {
			p.subscribes("t", `,"window":0`)
			publish(t, h.Server, "t", []int{0}, 1)
			p.silent()
			p.say(`{"jsonrpc":"2.0","id":2,"method":"rpc.events.more","params":["s",1]}`)
			// The answer and the event take ways of their own.
			got, want := []string{p.hear(), p.hear()}, []string{`{"jsonrpc":"2.0","id":2,"result":true}`, event("t", 0, true)}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("heard %v, want %v in any order", got, want)
			}
		}},
		{"the server names a subscription that the caller does not", func(t *testing.T, h *host, p *peer) {
			p.say(`{"jsonrpc":"2.0","id":1,"method":"rpc.subscribe","params":["t",1]}`)
			var name string
			if _, err := fmt.Sscanf(p.hear(), `{"jsonrpc":"2.0","id":1,"result":{"subscription":%q`, &name); err != nil || len(name) < 16 {
				t.Errorf("the name is %q, %v", name, err)
			}
			publish(t, h.Server, "t", nil, 1)
			p.hears(`{"jsonrpc":"2.0","method":"t","metadata":{"subscription":"` + name + `"}}`)
		}},
		{"after unsubscribe nothing comes", func(t *testing.T, h *host, p *peer) {
			p.subscribes("t", "")
			p.say(`{"jsonrpc":"2.0","id":2,"method":"rpc.unsubscribe","params":{"subscription":"s"}}`)
			p.hears(`{"jsonrpc":"2.0","id":2,"result":true}`)
			publish(t, h.Server, "t", nil, 0)
			p.say(`{"jsonrpc":"2.0","id":2,"method":"rpc.unsubscribe","params":{"subscription":"s"}}`)
			p.hears(`{"jsonrpc":"2.0","id":2,"error":{"code":-32050,"message":"there is no subscription \"s\""}}`)
		}},
		{"to subscribe again by the same name changes nothing", func(t *testing.T, h *host, p *peer) {
			p.subscribes("t", "")
			p.subscribes("t", "")
			p.say(`{"jsonrpc":"2.0","id":1,"method":"rpc.subscribe","params":{"subscription":"s"}}`)
			p.hears(accepted)
			publish(t, h.Server, "t", nil, 1)
		}},
		{"two subscriptions get an event each", func(t *testing.T, h *host, p *peer) {
			p.subscribes("t", "")
			p.say(`{"jsonrpc":"2.0","id":1,"method":"rpc.subscribe","params":{"filter":"#"}}`)
			p.hear()
			publish(t, h.Server, "t", []int{1}, 2)
			p.hears(event("t", 1, false), event("t", 1, false))
		}},
		{"subscriptions are bounded", func(_ *testing.T, _ *host, p *peer) {
			for i := range 4 {
				p.say(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"rpc.subscribe","params":{"filter":"t","subscription":"%d"}}`, i))
				p.hears(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"result":{"subscription":"%d"}}`, i))
			}
			p.say(`{"jsonrpc":"2.0","id":1,"method":"rpc.subscribe","params":{"filter":"t"}}`)
			p.hears(`{"jsonrpc":"2.0","id":1,"error":{"code":-32009,"message":"this connection has 4 subscriptions already, which is the limit"}}`)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, w wire) {
				h := eventServer(t, w, &rpc.EventOptions{Subscriptions: 4})
				tt.run(t, h, h.peer())
			})
		})
	}
}

// TestEventRequestsRefused: a mistake is answered by its code, in words.
func TestEventRequestsRefused(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		h := eventServer(t, w, nil)
		p := h.peer()
		p.subscribes("t", `,"window":1`)
		for _, tt := range []struct{ method, params, code, message string }{
			{"subscribe", `{}`, "-32602", `\"filter\" is missing`},
			{"subscribe", `{"filter":""}`, "-32602", `\"filter\" is missing`},
			{"subscribe", `{"filter":7}`, "-32602", "expected a string"},
			{"subscribe", `{"filter":"a..b"}`, "-32602", "empty word"},
			{"subscribe", `{"filter":"` + strings.Repeat("x", 256) + `"}`, "-32602", "longer than 255 bytes"},
			{"subscribe", `{"filter":"t","windw":1}`, "-32602", "unknown name"},
			{"subscribe", `{"filter":"t","window":-1}`, "-32602", `\"window\" must be`},
			{"subscribe", `{"filter":"t","window":1048577}`, "-32602", `\"window\" must be`},
			{"subscribe", `{"filter":"t","subscription":"` + strings.Repeat("x", 65) + `"}`, "-32602", "longer than 64 bytes"},
			{"subscribe", `{"filter":"u","subscription":"s"}`, "-32053", "another filter"},
			{"subscribe", `{"subscription":"z"}`, "-32050", "no subscription"},
			{"unsubscribe", `{}`, "-32602", "is missing"},
			{"unsubscribe", `{"subscription":"z"}`, "-32050", "no subscription"},
			{"events.more", `{"subscription":"z","n":1}`, "-32050", "no subscription"},
			{"events.more", `{"subscription":"s","n":-1}`, "-32602", `\"n\" must be`},
			{"events.more", `{"subscription":"s","n":1048577}`, "-32602", `\"n\" must be`},
			{"events.more", `{"subscription":"s","n":9223372036854775808}`, "-32602", "integer"},
		} {
			p.say(`{"jsonrpc":"2.0","id":1,"method":"rpc.` + tt.method + `","params":` + tt.params + `}`)
			if got := p.hear(); !strings.Contains(got, `"code":`+tt.code) || !strings.Contains(got, tt.message) {
				t.Errorf("rpc.%s %s: heard %s, want code %s and %q", tt.method, tt.params, got, tt.code, tt.message)
			}
		}
		if got := h.EventStats().Subscriptions; got != 1 {
			t.Errorf("there are %d subscriptions, want 1", got)
		}
	})
}

// TestPublishErrors: a mistake of the publisher comes back to it.
func TestPublishErrors(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		h := eventServer(t, w, nil)
		for _, topic := range []string{"", "a.*", "rpc.x"} {
			_, err := h.Publish(t.Context(), topic, nil)
			isErr(t, "Publish("+topic+")", err, rpc.ErrTopic)
		}
		h.peer().subscribes("#", "")
		_, err := h.Publish(t.Context(), "t", 7)
		isErr(t, "Publish(t, 7)", err, rpc.ErrParams)
		if _, err = h.Publish(t.Context(), "t", func() {}); err == nil {
			t.Error("Publish(t, func) = nil, want an error")
		}
	})
}

// TestEventPolicies: what becomes of ten events for a subscriber who takes two
// and has room for three.
func TestEventPolicies(t *testing.T) {
	const more = `{"jsonrpc":"2.0","method":"rpc.events.more","params":{"subscription":"s","n":100}}`
	gap := func(n int) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","method":"rpc.events.gap","params":{"subscription":"s","dropped":%d}}`, n)
	}
	seen := func(ns ...int) (bodies []string) {
		for _, n := range ns {
			bodies = append(bodies, event("t", n, true))
		}
		return bodies
	}
	for _, tt := range []struct {
		policy  rpc.EventPolicy
		before  []string // heard before more is asked for
		after   []string
		dropped uint64
		open    int
	}{
		{rpc.DropOldest, seen(0, 1), append([]string{gap(5)}, seen(7, 8, 9, 10)...), 5, 1},
		{rpc.DropNewest, seen(0, 1), append(append(seen(2, 3, 4), gap(5)), seen(10)...), 5, 1},
		{rpc.Block, seen(0, 1), append(append(seen(2, 3, 4), gap(5)), seen(10)...), 5, 1},
		{rpc.Disconnect, append(seen(0, 1), `{"jsonrpc":"2.0","method":"rpc.events.end","params":{"subscription":"s","dropped":4,"code":-32009,"message":"the subscriber was too slow"}}`), nil, 4, 0},
	} {
		t.Run(tt.policy.String(), func(t *testing.T) {
			inBubbles(t, func(t *testing.T, w wire) {
				h := eventServer(t, w, &rpc.EventOptions{Buffer: 3, Policy: tt.policy})
				p, other := h.peer(), h.peer()
				p.subscribes("t", `,"window":2`)
				other.subscribes("t", "")
				for i := range 10 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					_, err := h.Publish(ctx, "t", []int{i})
					if late := errors.Is(err, context.DeadlineExceeded); late != (tt.policy == rpc.Block && i >= 5) {
						t.Errorf("Publish(%d) = %v", i, err)
					}
					cancel()
					other.hears(event("t", i, false))
				}
				p.hears(tt.before...)
				p.silent()
				p.say(more)
				synctest.Wait()
				if _, err := h.Publish(t.Context(), "t", []int{10}); err != nil {
					t.Error(err)
				}
				p.hears(tt.after...)
				p.silent()
				want := rpc.EventStats{Subscriptions: 1 + tt.open, Published: 11, Dropped: tt.dropped}
				if diff := cmp.Diff(want, h.EventStats()); diff != "" {
					t.Errorf("EventStats() (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestBlockedPublish: it goes on as soon as there is room, and with the end of
// the subscriber.
func TestBlockedPublish(t *testing.T) {
	for _, tt := range []struct {
		name string
		free func(p *peer)
		n    int
	}{
		{"room", func(p *peer) {
			p.say(`{"jsonrpc":"2.0","method":"rpc.events.more","params":{"subscription":"s","n":1}}`)
		}, 1},
		{"unsubscribe", func(p *peer) {
			p.say(`{"jsonrpc":"2.0","method":"rpc.unsubscribe","params":{"subscription":"s"}}`)
		}, 0},
		{"the end of the connection", func(p *peer) { _ = p.conn.Close() }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, w wire) {
				h := eventServer(t, w, &rpc.EventOptions{Buffer: 1, Policy: rpc.Block})
				p := h.peer()
				p.subscribes("t", `,"window":0`)
				publish(t, h.Server, "t", nil, 1)
				done := make(chan int, 1)
				go func() {
					n, err := h.Publish(t.Context(), "t", nil)
					if err != nil {
						t.Error(err)
					}
					done <- n
				}()
				synctest.Wait()
				if len(done) != 0 {
					t.Error("Publish did not wait for room")
				}
				tt.free(p)
				synctest.Wait()
				if len(done) != 1 {
					t.Fatal("Publish goes on waiting")
				}
				if got := <-done; got != tt.n {
					t.Errorf("Publish() = %d, want %d", got, tt.n)
				}
			})
		})
	}
}

// TestEventBytes: what waits is bounded in bytes, too, and one event may always
// wait.
func TestEventBytes(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		h := eventServer(t, w, &rpc.EventOptions{Bytes: 1000, Policy: rpc.DropNewest})
		p := h.peer()
		p.subscribes("t", `,"window":0`)
		for _, tt := range []struct{ size, n int }{{400, 1}, {400, 1}, {400, 0}, {50, 1}, {5000, 0}} {
			publish(t, h.Server, "t", []string{strings.Repeat("x", tt.size)}, tt.n)
		}
		h2 := h.peer()
		h2.subscribes("u", `,"window":0`)
		publish(t, h.Server, "u", []string{strings.Repeat("x", 5000)}, 1)
	})
}

// TestConnectionGivesBackSubscriptions: nothing of a peer that is gone is left.
func TestConnectionGivesBackSubscriptions(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		h := eventServer(t, w, nil)
		for range 3 {
			p := h.peer()
			p.subscribes("t", `,"window":0`)
			publish(t, h.Server, "t", nil, 1)
			_ = p.conn.Close()
			synctest.Wait()
			if got := h.EventStats().Subscriptions; got != 0 {
				t.Errorf("there are %d subscriptions, want none", got)
			}
			publish(t, h.Server, "t", nil, 0)
		}
	})
}

// TestShutdownEndsSubscriptions: what can be sent is, then the end is told, and
// nobody is waited for.
func TestShutdownEndsSubscriptions(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		h := eventServer(t, w, nil)
		p := h.peer()
		p.subscribes("t", `,"window":2`)
		for i := range 5 {
			publish(t, h.Server, "t", []int{i}, 1)
		}
		began := time.Now()
		_ = h.Close()
		if err := h.Shutdown(t.Context()); err != nil || time.Since(began) > 2*time.Second {
			t.Errorf("Shutdown() = %v after %v, want nil soon", err, time.Since(began))
		}
		p.hears(event("t", 0, true), event("t", 1, true),
			`{"jsonrpc":"2.0","method":"rpc.events.end","params":{"subscription":"s","dropped":3,"code":-32054,"message":"the server is shutting down"}}`)
		publish(t, h.Server, "t", nil, 0)
	})
}

// TestPublishFromHandlers: a handler publishes by its request.
func TestPublishFromHandlers(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Say", func(ctx context.Context, n []int) (int, error) {
			r, _ := rpc.FromContext(ctx)
			return r.Publish(ctx, "said", n)
		})
		h := serve(t, w, mux, nil)
		p := h.peer()
		p.subscribes("said", "")
		p.say(`{"jsonrpc":"2.0","id":2,"method":"Say","params":[7]}`)
		p.hears(event("said", 7, false), `{"jsonrpc":"2.0","id":2,"result":1}`)

		c, far := scripted(t, w, &rpc.ClientOptions{Mux: mux})
		_ = c
		far.say(`{"jsonrpc":"2.0","id":2,"method":"Say","params":[7]}`)
		far.hears(`{"jsonrpc":"2.0","id":2,"result":0}`)
		far.say(`{"jsonrpc":"2.0","id":2,"method":"rpc.subscribe","params":["t"]}`)
		if got := far.hear(); !strings.Contains(got, "-32601") {
			t.Errorf("a client that is asked for events says %s, want -32601", got)
		}
	})
}

// TestSubscribeIsIntercepted: an interceptor may forbid a subscription, which is
// served in the queue then.
func TestSubscribeIsIntercepted(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		deny := func(ctx context.Context, c *rpc.Invocation) error {
			if c.Method == "rpc.subscribe" && strings.Contains(string(c.RawParams), "secret") {
				return rpc.Errorf(-1, "not for you")
			}
			return c.Next(ctx)
		}
		h := serve(t, w, rpc.NewMux(nil), &rpc.ServerOptions{Interceptors: []rpc.Interceptor{deny}})
		c := h.client(nil)
		_, err := c.Subscribe(t.Context(), "secret.plan", nil)
		isCode(t, "Subscribe to what is forbidden", err, -1)
		sub, err := c.Subscribe(t.Context(), "public", nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = sub.Close()
	})
}
