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

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
)

// TestInterceptorOrder: the first is the outermost, in both directions, at both
// ends, for calls back, too.
func TestInterceptorOrder(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		var j journal
		at := func(who string) rpc.Interceptor {
			return func(ctx context.Context, c *rpc.Invocation) error {
				way := "out"
				if c.Incoming {
					way = "in"
				}
				j.note(who+" "+way+" "+c.Method+" ", map[bool]string{true: "…", false: ""}[c.Notification])
				err := c.Next(ctx)
				j.note(who+" done "+c.Method+" ", err)
				return err
			}
		}
		own := rpc.NewMux(nil)
		rpc.Handle(own, "Echo", func(_ context.Context, p json.RawMessage) (json.RawMessage, error) { return p, nil })
		h := serve(t, w, callingBack(), &rpc.ServerOptions{Interceptors: []rpc.Interceptor{at("s1"), at("s2")}})
		c := h.client(&rpc.ClientOptions{Mux: own, Interceptors: []rpc.Interceptor{at("c1"), at("c2")}})
		if err := c.Call(t.Context(), "Back", []int{1}, nil); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"c1 out Back ", "c2 out Back ", "s1 in Back ", "s2 in Back ",
			"s1 out Echo ", "s2 out Echo ", "c1 in Echo ", "c2 in Echo ",
			"c2 done Echo <nil>", "c1 done Echo <nil>", "s2 done Echo <nil>", "s1 done Echo <nil>",
			"s2 done Back <nil>", "s1 done Back <nil>", "c2 done Back <nil>", "c1 done Back <nil>",
		}
		if diff := cmp.Diff(want, j.take()); diff != "" {
			t.Errorf("what the interceptors see (-want +got):\n%s", diff)
		}
		if err := c.Notify(t.Context(), "told", []int{1}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		unknown := `s2 done told method "told" not found (-32601)`
		want = []string{"c1 out told …", "c2 out told …", "c2 done told <nil>", "c1 done told <nil>", "s1 in told …", "s2 in told …", unknown, "s1" + unknown[2:]}
		got := j.take()
		slices.Sort(want) // a notification is not waited for
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("what the interceptors see of a notification (-want +got):\n%s", diff)
		}
	})
}

// incoming has a server do f for each request, outgoing a client for each call.
func incoming(f rpc.Interceptor) (*rpc.ServerOptions, *rpc.ClientOptions) {
	return &rpc.ServerOptions{Interceptors: []rpc.Interceptor{f}}, nil
}

func outgoing(f rpc.Interceptor) (*rpc.ServerOptions, *rpc.ClientOptions) {
	return nil, &rpc.ClientOptions{Interceptors: []rpc.Interceptor{f}}
}

// TestWhatInterceptorsReturn becomes what the caller gets, whether they call Next
// once, twice or not at all.
func TestWhatInterceptorsReturn(t *testing.T) {
	type side func(rpc.Interceptor) (*rpc.ServerOptions, *rpc.ClientOptions)
	broken := errors.New("broken")
	next := func(ctx context.Context, c *rpc.Invocation) error { return c.Next(ctx) }
	set := func(text string) rpc.Interceptor {
		return func(_ context.Context, c *rpc.Invocation) error {
			if c.Incoming {
				c.RawResult = json.RawMessage(text)
			} else if p, ok := c.Result.(*any); ok {
				return json.Unmarshal([]byte(text), p)
			}
			return nil
		}
	}
	after := func(f, g rpc.Interceptor) rpc.Interceptor {
		return func(ctx context.Context, c *rpc.Invocation) error { return errors.Join(f(ctx, c), g(ctx, c)) }
	}
	for _, tt := range []struct {
		name   string
		side   side
		f      rpc.Interceptor
		method string
		want   string
		ran    int
	}{
		{"in: nothing done", incoming, next, "sum", "6 answered", 1},
		{"in: an error in place of the handler", incoming, func(context.Context, *rpc.Invocation) error { return broken }, "sum", "broken (-32000) answered", 0},
		{"in: an Error in place of the handler", incoming, func(context.Context, *rpc.Invocation) error { return rpc.Errorf(403, "no") }, "sum", "no (403) answered", 0},
		{"in: nil in place of the handler", incoming, func(context.Context, *rpc.Invocation) error { return nil }, "sum", "<nil> answered", 0},
		{"in: a result in place of the handler", incoming, set(`"x"`), "sum", "x answered", 0},
		{"in: a result that is none", incoming, set(`{`), "sum", "the result cannot be encoded: rpc: raw value is not valid JSON (-32603) answered", 0},
		{"in: another result", incoming, after(next, set(`[1]`)), "sum", "[1] answered", 1},
		{"in: no result any more", incoming, after(next, func(_ context.Context, c *rpc.Invocation) error { c.RawResult = nil; return nil }), "sum", "<nil> answered", 1},
		{"in: an error after the handler", incoming, after(next, func(context.Context, *rpc.Invocation) error { return broken }), "sum", "broken (-32000) answered", 1},
		{"in: an error swallowed", incoming, func(ctx context.Context, c *rpc.Invocation) error { _ = c.Next(ctx); return nil }, "Fail", "<nil> answered", 1},
		{"in: a panic swallowed", incoming, func(ctx context.Context, c *rpc.Invocation) error {
			defer func() { _ = recover() }()
			return c.Next(ctx)
		}, "Panic", "<nil> answered", 1},
		{"in: twice", incoming, after(next, next), "sum", "6 answered", 2},
		{"in: a failure after a success", incoming, func(ctx context.Context, c *rpc.Invocation) error {
			err := c.Next(ctx)
			c.RawParams = json.RawMessage(`["x"]`)
			_ = c.Next(ctx)
			return err
		}, "sum", "<nil> answered", 1},
		{"in: other params", incoming, func(ctx context.Context, c *rpc.Invocation) error {
			c.RawParams = json.RawMessage(`[10,20]`)
			return c.Next(ctx)
		}, "sum", "30 answered", 1},
		{"in: a panic", incoming, func(context.Context, *rpc.Invocation) error { panic("as expected") }, "sum", "internal error (-32603) answered", 0},
		{"in: a panic after the handler", incoming, after(next, func(context.Context, *rpc.Invocation) error { panic("as expected") }), "sum", "internal error (-32603) answered", 1},
		{"in: an unknown method", incoming, next, "nobody", `method "nobody" not found (-32601) answered`, 0},
		{"in: a result for an unknown method", incoming, set(`5`), "nobody", "5 answered", 0},
		{"out: nothing done", outgoing, next, "sum", "6 answered", 1},
		{"out: an error in place of the call", outgoing, func(context.Context, *rpc.Invocation) error { return broken }, "sum", "call sum: not sent: broken not sent", 0},
		{"out: an Error in place of the call", outgoing, func(context.Context, *rpc.Invocation) error { return rpc.Errorf(403, "no") }, "sum", "no (403) answered", 0},
		{"out: a result in place of the call", outgoing, set(`"x"`), "sum", "x answered", 0},
		{"out: twice", outgoing, after(next, next), "sum", "6 answered", 2},
		{"out: an error after the call", outgoing, after(next, func(context.Context, *rpc.Invocation) error { return broken }), "sum", "broken unknown", 1},
		{"out: an error swallowed", outgoing, func(ctx context.Context, c *rpc.Invocation) error { _ = c.Next(ctx); return nil }, "Fail", "<nil> answered", 1},
		{"out: an unknown method", outgoing, next, "nobody", `method "nobody" not found (-32601) answered`, 0},
		{"out: ctx ends before Next", outgoing, func(ctx context.Context, c *rpc.Invocation) error {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return c.Next(ctx)
		}, "sum", "call sum: not sent: context canceled not sent", 0},
	} {
		for _, how := range []string{"Call", "Go"} {
			t.Run(tt.name+"/"+how, func(t *testing.T) {
				inBubbles(t, func(t *testing.T, w wire) {
					var j journal
					so, co := tt.side(tt.f)
					c := serve(t, w, j.mux(), so).client(co)
					var params any = []int{1, 2, 3}
					if tt.method == "Panic" {
						params = nil
					}
					var got any
					var err error
					if how == "Go" {
						got, err = rpc.Go[any](t.Context(), c, tt.method, params).Get(t.Context())
					} else {
						err = c.Call(t.Context(), tt.method, params, &got)
					}
					said := fmt.Sprintf("%v %v", got, rpc.OutcomeOf(err))
					if err != nil {
						said = fmt.Sprintf("%v %v", err, rpc.OutcomeOf(err))
					}
					if said != tt.want {
						t.Errorf("%s = %s, want %s", tt.method, said, tt.want)
					}
					if ran := len(j.take()); ran != tt.ran {
						t.Errorf("the handler ran %d times, want %d", ran, tt.ran)
					}
					if err := serve(t, w, j.mux(), nil).client(nil).Call(t.Context(), "Fence", nil, nil); err != nil {
						t.Errorf("the next call = %v, want nil", err)
					}
				})
			})
		}
	}
}

// TestInterceptorsOfABatch: at the caller a batch is one call, and its futures are
// settled whatever interceptors do; at the server each of its calls is one.
func TestInterceptorsOfABatch(t *testing.T) {
	for _, tt := range []struct {
		name string
		f    rpc.Interceptor
		do   string // what Do returns
		get  string // what a future holds
		ran  int
	}{
		{"nothing done", func(ctx context.Context, c *rpc.Invocation) error { return c.Next(ctx) }, "<nil>", "1 <nil>", 2},
		{"an error in place of it", func(context.Context, *rpc.Invocation) error { return errPlain }, "call batch: not sent: plain error", "0 call sum: not sent: plain error", 0},
		{"nil in place of it", func(context.Context, *rpc.Invocation) error { return nil }, "<nil>", "0 call sum: not sent: rpc: an interceptor took the place of the batch", 0},
		{"twice", func(ctx context.Context, c *rpc.Invocation) error { return errors.Join(c.Next(ctx), c.Next(ctx)) }, "call batch: not sent: rpc: a batch is sent once, so Next may be called once", "1 <nil>", 2},
		{"an error after it", func(ctx context.Context, c *rpc.Invocation) error { return errors.Join(c.Next(ctx), errPlain) }, "plain error", "1 <nil>", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, w wire) {
				var j journal
				served, sent := 0, 0
				var mu sync.Mutex
				h := serve(t, w, j.mux(), &rpc.ServerOptions{Interceptors: []rpc.Interceptor{func(ctx context.Context, c *rpc.Invocation) error {
					mu.Lock()
					defer mu.Unlock()
					if served++; c.Method != "sum" {
						t.Errorf("serving %s, want sum", c.Method)
					}
					return c.Next(ctx)
				}}})
				c := h.client(&rpc.ClientOptions{Interceptors: []rpc.Interceptor{func(ctx context.Context, c *rpc.Invocation) error {
					if sent++; c.Method != "batch" || c.Params.(*rpc.Batch).Len() != 2 {
						t.Errorf("sending %s, want a batch of 2", c.Method)
					}
					return c.Next(ctx)
				}, tt.f}})
				var b rpc.Batch
				f := rpc.Add[int](&b, "sum", []int{1})
				b.Notify("sum", []int{2})
				if err := c.Do(t.Context(), &b); fmt.Sprint(err) != tt.do {
					t.Errorf("Do() = %v, want %s", err, tt.do)
				}
				v, err, ok := f.TryGet()
				if got := fmt.Sprint(v, " ", err); got != tt.get || !ok {
					t.Errorf("the future holds %s (%t), want %s", got, ok, tt.get)
				}
				synctest.Wait()
				mu.Lock()
				defer mu.Unlock()
				if sent != 1 || served != tt.ran {
					t.Errorf("%d sent, %d served, want 1 and %d", sent, served, tt.ran)
				}
			})
		})
	}
}

// TestPanicOfAClientsInterceptor is the caller's in Call, and in the future of Go.
func TestPanicOfAClientsInterceptor(t *testing.T) {
	var j journal
	_, o := outgoing(func(context.Context, *rpc.Invocation) error { panic("as expected") })
	c := serve(t, memURL, j.mux(), nil).client(o)
	func() {
		defer func() {
			if v := recover(); v != "as expected" {
				t.Errorf("Call panics with %v, want the interceptor's", v)
			}
		}()
		_ = c.Call(t.Context(), "sum", []int{1}, nil)
	}()
	_, err := rpc.Go[int](t.Context(), c, "sum", []int{1}).Get(t.Context())
	if _, ok := errors.AsType[*queue.PanicError](err); !ok {
		t.Errorf("Go = %v, want a PanicError", err)
	}
	var b rpc.Batch
	f := rpc.Add[int](&b, "sum", []int{1})
	func() {
		defer func() { _ = recover() }()
		_ = c.Do(t.Context(), &b)
	}()
	if _, err, ok := f.TryGet(); !ok || err == nil {
		t.Errorf("the future of a batch holds %v, %t, want an error", err, ok)
	}
}

// TestTextsBesideCalls: what one end sets, interceptors of the other end get, over
// headers and metadata, for calls, notifications and batches.
func TestTextsBesideCalls(t *testing.T) {
	for _, carrier := range []string{"headers", "metadata"} {
		t.Run(carrier, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, w wire) {
				var j journal
				hear := func(ctx context.Context, c *rpc.Invocation) error {
					if c.Incoming {
						c.Set("local", c.Method)
						keys := c.Keys()
						j.note(c.Method+" ", fmt.Sprint(c.Get("a"), c.Get("é \"\n"), c.Get("none"), c.Get("local"), slices.Contains(keys, "a"), slices.Contains(keys, "none")))
					}
					return c.Next(ctx)
				}
				so := &rpc.ServerOptions{Interceptors: []rpc.Interceptor{hear}}
				co := &rpc.ClientOptions{Interceptors: []rpc.Interceptor{setting("a", "1", "é \"\n", "2:\r\n\\")}}
				mux := rpc.NewMux(nil)
				rpc.Handle(mux, "m", func(context.Context, struct{}) (any, error) { return nil, nil })
				var c *rpc.Client
				if carrier == "headers" {
					c = serve(t, w, mux, so).client(co)
				} else {
					c = bareClient(t, w, mux, so, co)
				}
				const want = "12:\r\n\\" + "m" + "true false"
				check := func(how string, n int) {
					t.Helper()
					synctest.Wait()
					got := j.take()
					if len(got) != n {
						t.Fatalf("%s: %q, want %d calls", how, got, n)
					}
					for _, line := range got {
						if strings.ReplaceAll(line, " ", "") != strings.ReplaceAll("m "+want, " ", "") {
							t.Errorf("%s: interceptors get %q, want %q", how, line, "m "+want)
						}
					}
				}
				if err := c.Call(t.Context(), "m", nil, nil); err != nil {
					t.Fatal(err)
				}
				check("Call", 1)
				if _, err := rpc.Go[any](t.Context(), c, "m", nil).Get(t.Context()); err != nil {
					t.Fatal(err)
				}
				check("Go", 1)
				if err := c.Notify(t.Context(), "m", nil); err != nil {
					t.Fatal(err)
				}
				check("Notify", 1)
				var b rpc.Batch
				rpc.Add[any](&b, "m", nil)
				rpc.Add[any](&b, "m", nil)
				b.Notify("m", nil)
				if err := c.Do(t.Context(), &b); err != nil {
					t.Fatal(err)
				}
				check("Batch", 3)
			})
		})
	}
}

// TestMetadataOfAHostilePeer: interceptors see so much and no more.
func TestMetadataOfAHostilePeer(t *testing.T) {
	var j journal
	keys := 0
	so, _ := incoming(func(ctx context.Context, c *rpc.Invocation) error {
		keys = len(c.Keys())
		return c.Next(ctx)
	})
	so.Width = 1
	p := serve(t, memURL, j.mux(), so).peer()
	var b strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&b, `"%d":"x","y%d":[%d],`, i, i, i)
	}
	got := p.ask(`{"jsonrpc":"2.0","method":"sum","params":[1],"id":1,"metadata":{` + b.String() + `"z":{"a":"b"}}}`)
	if diff := cmp.Diff([]string{"1=1"}, got); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	p.say(`{"jsonrpc":"2.0","method":"sum","params":[1],"id":1,"metadata":{` + b.String() + `"z":{"a":"b"}}}`)
	p.hear()
	if keys != 64 {
		t.Errorf("an interceptor sees %d texts, want 64", keys)
	}
}

// TestRPCMethodsAreNotIntercepted: a cancel reaches its call whatever interceptors
// do.
func TestRPCMethodsAreNotIntercepted(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		causes := make(chan error, 1)
		var j journal
		so, _ := incoming(func(ctx context.Context, c *rpc.Invocation) error {
			if strings.HasPrefix(c.Method, "rpc.") {
				t.Errorf("intercepted: %s", c.Method)
			}
			return c.Next(ctx)
		})
		p := serve(t, w, waiting(causes, &j), so).peer()
		p.say(`{"jsonrpc":"2.0","method":"Wait","id":1}`)
		synctest.Wait()
		p.say(`{"jsonrpc":"2.0","method":"rpc.cancel","params":{"id":1}}`)
		isErr(t, "cause", within(t, causes, "the handler"), context.Canceled)
		if got := brief(p.hear()); got != "1!-32052" {
			t.Errorf("answer = %s, want 1!-32052", got)
		}
	})
}
