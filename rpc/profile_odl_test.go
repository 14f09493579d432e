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
	"github.com/polyport/polyport/transport"
)

// TestOpenDaylightServer: what a peer of OpenDaylight says, and what it hears.
func TestOpenDaylightServer(t *testing.T) {
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "echo", func(_ context.Context, p [1]any) (any, error) { return p[0], nil })
	rpc.Handle(mux, "void", func(context.Context, struct{}) (any, error) { return nil, nil }) //nolint:nilnil // it has no result
	rpc.Handle(mux, "sum", func(_ context.Context, p []int) (n int, _ error) {
		for _, i := range p {
			n += i
		}
		return n, nil
	})
	for _, tt := range []struct {
		name, say string
		want      []string
	}{
		{"a bare text", `{"jsonrpc":"2.0","id":1,"method":"echo","params":"x"}`, []string{`1="x"`}},
		{"a bare number", `{"jsonrpc":"2.0","id":1,"method":"echo","params":1.5}`, []string{`1=1.5`}},
		{"a bare truth", `{"jsonrpc":"2.0","id":1,"method":"echo","params":true}`, []string{`1=true`}},
		{"params in an array", `{"jsonrpc":"2.0","id":1,"method":"sum","params":[1,2]}`, []string{`1=3`}},
		{"params that are null", `{"jsonrpc":"2.0","id":1,"method":"void","params":null}`, []string{`1=null`}},
		{"no result is null", `{"jsonrpc":"2.0","id":1,"method":"void"}`, []string{`1=null`}},
		{"version 2 as a text", `{"jsonrpc":"2","id":1,"method":"void"}`, []string{`1=null`}},
		{"version 2 as a number", `{"jsonrpc":2,"id":1,"method":"void"}`, []string{`1=null`}},
		{"version 2.0 as a number", `{"jsonrpc":2.0,"id":1,"method":"void"}`, []string{`1=null`}},
		{"version 1", `{"jsonrpc":"1.0","id":1,"method":"void"}`, []string{`1!-32600`}},
		{"no version", `{"id":1,"method":"void"}`, []string{`1!-32600`}},
		{"a handle for a method that knows none", `{"jsonrpc":"2.0","id":1,"method":"void","metadata":{"async":"` + handleU + `"}}`, []string{`1=null`}},
		{"metadata that is no object", `{"jsonrpc":"2.0","id":1,"method":"void","metadata":1}`, []string{`1!-32600`}},
		{"an id that is null", `{"jsonrpc":"2.0","id":null,"method":"void"}`, []string{`null=null`}},
		{"an id that is an object", `{"jsonrpc":"2.0","id":{},"method":"void"}`, []string{`null!-32600`}},
		{"a batch of one", `[{"jsonrpc":"2.0","id":1,"method":"void"}]`, []string{`[1=null]`}},
		{"a notification", `{"jsonrpc":"2.0","method":"void"}`, nil},
		{"no JSON", `{method:1}`, []string{`null!-32700`}},
		{"wrong params", `{"jsonrpc":"2.0","id":1,"method":"sum","params":"x"}`, []string{`1!-32602`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := serve(t, odlPipe, mux, &rpc.ServerOptions{Width: 1}).peer()
				p.say(tt.say)
				if diff := cmp.Diff(tt.want, p.untilFence()); diff != "" {
					t.Errorf("heard (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestOpenDaylightFlow: a call with a handle, as the Java client makes it, is
// acknowledged on whatever wire, since the others of that peer wait for the answer,
// and asked after by the method without params.
func TestOpenDaylightFlow(t *testing.T) {
	for _, lockstep := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			onStage(t, odlPipe, lockstep, nil).play(script{
				`a> {"jsonrpc":"2.0","id":1,"method":"Task","params":{"ms":500},"metadata":{"async":"U"}}`,
				`a< 50ms 1~U`, `ran Task500`,
				`a> {"jsonrpc":"2.0","id":2,"method":"Task","metadata":{"async":"U"}}`,
				`a< 250ms 2~U`,
				`a> {"jsonrpc":"2.0","id":3,"method":"Task","metadata":{"async":"U"}}`,
				`a< 450ms 3~U`,
				`a> {"jsonrpc":"2.0","id":4,"method":"Task","metadata":{"async":"U"}}`,
				`a< 500ms 4=500`,
				`a> {"jsonrpc":"2.0","id":5,"method":"Task","metadata":{"async":"U"}}`, // one too many
				`a< 500ms 5=500`, `ran`,
				`a> {"jsonrpc":"2.0","id":6,"method":"Task","params":10,"metadata":{"async":"V"}}`, // quick, and bare
				`a< 510ms 6=10`, `ran Task10`,
				`a> {"jsonrpc":"2","id":7,"method":"None","metadata":{"async":"W"}}`,
				`a< 560ms 7~W`,
				`a> {"jsonrpc":2,"id":8,"method":"None","params":null,"metadata":{"async":"W"}}`,
				`a< 760ms 8~W`,
				`a> {"jsonrpc":"2.0","id":9,"method":"None","metadata":{"async":"W"}}`,
				`a< 810ms 9=null`, `ran None`,
			})
		})
	}
}

// TestOpenDaylightClient: one message at a time, without anything beside it.
func TestOpenDaylightClient(t *testing.T) {
	const refusal = `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Unexpected message type"}}`
	ruled(t, odlPipe, &rpc.ClientOptions{AutoBatch: 8, InFlight: 100}, map[string]func(t *testing.T, c *rpc.Client, p *peer){
		"a call waits for the one before": func(t *testing.T, c *rpc.Client, p *peer) {
			first := callOn(t.Context(), c, "first", []int{1})
			r := p.hearRequest()
			second := callOn(t.Context(), c, "second", nil)
			note := make(chan error, 1)
			go func() { note <- c.Notify(t.Context(), "note", nil) }()
			isSilent(p, time.Hour)
			p.answer(r, "1")
			heard := make(map[string]bool)
			for range 2 {
				r := p.hearRequest()
				if heard[r.Method] = true; r.ID != nil {
					p.answer(r, "1")
				}
			}
			for _, done := range []<-chan error{first, second, note} {
				if err := within(t, done, "its end"); err != nil {
					t.Errorf("error %v", err)
				}
			}
			if diff := cmp.Diff(map[string]bool{"second": true, "note": true}, heard); diff != "" {
				t.Errorf("heard (-want +got):\n%s", diff)
			}
		},
		"a call that waits in vain is not sent": func(t *testing.T, c *rpc.Client, p *peer) {
			first := callOn(t.Context(), c, "first", nil)
			r := p.hearRequest()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			isOutcome(t, "Call", c.Call(ctx, "second", nil, nil), rpc.NotSent)
			p.answer(r, "1")
			if err := within(t, first, "its answer"); err != nil {
				t.Error(err)
			}
			p.sees(c, "fence")
		},
		"a batch goes one by one": func(t *testing.T, c *rpc.Client, p *peer) {
			var b rpc.Batch
			var futures []*queue.Future[int]
			for i := range 3 {
				futures = append(futures, rpc.Add[int](&b, "m", []int{i}))
			}
			b.Notify("note", nil)
			done := make(chan error, 1)
			go func() { done <- c.Do(t.Context(), &b) }()
			for range 4 {
				r := p.hearRequest()
				if r.Method == "note" {
					p.say(refusal) // as OpenDaylight does
					continue
				}
				p.answer(r, strings.Trim(string(r.Params), "[]"))
			}
			if err := within(t, done, "Do"); err != nil {
				t.Errorf("Do = %v", err)
			}
			for i, f := range futures {
				isValue(t, fmt.Sprint("member ", i), f, i)
			}
		},
		"nothing travels beside a call, nor after it": func(t *testing.T, c *rpc.Client, p *peer) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			done := callOn(ctx, c, "slow", nil)
			if m := p.hearMessage(); len(m.Headers) > 0 || strings.Contains(string(m.Body), "metadata") {
				t.Errorf("heard %s with headers %v, want a plain request", m.Body, m.Headers)
			}
			isOutcome(t, "Call", within(t, done, "its end"), rpc.Unknown)
			p.sees(c, "fence")
		},
		"a scalar is sent bare, an array and an object as they are": func(t *testing.T, c *rpc.Client, p *peer) {
			for _, params := range []any{"x", 1.5, true, []string{"x"}, map[string]int{"a": 1}} {
				done := callOn(t.Context(), c, "m", params)
				r := p.hearRequest()
				want := strings.NewReplacer("[x]", `["x"]`, "map[a:1]", `{"a":1}`).Replace(fmt.Sprint(params))
				if want == "x" {
					want = `"x"`
				}
				if string(r.Params) != want {
					t.Errorf("params are %s, want %s", r.Params, want)
				}
				p.answer(r, "1")
				if err := within(t, done, "the answer"); err != nil {
					t.Error(err)
				}
			}
			isErr(t, "Call with null", c.Call(t.Context(), "m", (*int)(nil), nil), rpc.ErrParams)
		},
		"an error without an id is the answer to the only call": func(t *testing.T, c *rpc.Client, p *peer) {
			done := callOn(t.Context(), c, "m", nil)
			p.hearRequest()
			p.about = transport.ID{}
			p.say(refusal)
			isCode(t, "Call", within(t, done, "the answer"), rpc.CodeInvalidRequest)
			p.sees(c, "fence")
		},
		"but not if it may be to a notification": func(t *testing.T, c *rpc.Client, p *peer) {
			if err := c.Notify(t.Context(), "note", nil); err != nil {
				t.Fatal(err)
			}
			p.hearRequest()
			done := callOn(t.Context(), c, "m", nil)
			r := p.hearRequest()
			p.about = transport.ID{}
			p.say(refusal) // to the notification
			synctest.Wait()
			p.answer(r, "1")
			if err := within(t, done, "the answer"); err != nil {
				t.Errorf("Call = %v, want the answer", err)
			}
			done = callOn(t.Context(), c, "m", nil)
			p.hearRequest()
			p.about = transport.ID{}
			p.say(refusal)
			isCode(t, "the next call", within(t, done, "the answer"), rpc.CodeInvalidRequest)
		},
		"nor if it may be to a call that was given up": func(t *testing.T, c *rpc.Client, p *peer) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			isOutcome(t, "Call", c.Call(ctx, "slow", nil, nil), rpc.Unknown)
			p.hearRequest()
			done := callOn(t.Context(), c, "m", nil)
			r := p.hearRequest()
			p.about = transport.ID{}
			p.say(refusal)
			synctest.Wait()
			p.answer(r, "1")
			if err := within(t, done, "the answer"); err != nil {
				t.Errorf("Call = %v, want the answer", err)
			}
		},
		"a late answer is nobody's": func(t *testing.T, c *rpc.Client, p *peer) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			isOutcome(t, "Call", c.Call(ctx, "slow", nil, nil), rpc.Unknown)
			late := p.hearRequest()
			done := callOn(t.Context(), c, "m", nil)
			r := p.hearRequest()
			p.answer(late, `"late"`)
			synctest.Wait()
			p.answer(r, "1")
			if err := within(t, done, "the answer"); err != nil || c.Late() != 1 {
				t.Errorf("Call = %v with %d late, want nil with 1", err, c.Late())
			}
		},
		"an answer of version 2": func(t *testing.T, c *rpc.Client, p *peer) {
			for _, version := range []string{`"2.0"`, `"2"`, `2`, `2.0`} {
				done := callOn(t.Context(), c, "m", nil)
				p.say(fmt.Sprintf(`{"jsonrpc":%s,"id":%s,"result":1}`, version, p.hearRequest().ID))
				if err := within(t, done, "the answer"); err != nil {
					t.Errorf("version %s: Call = %v", version, err)
				}
			}
		},
		"notifications are heard by subscribers": func(t *testing.T, c *rpc.Client, p *peer) {
			l := listen(t, c, "task.*", nil)
			p.say(`{"jsonrpc":"2.0","method":"task.1","params":{"of":"task.1"}}`)
			p.say(`{"jsonrpc":"2.0","method":"other.1"}`)
			synctest.Wait()
			if got := l.heard(); got != "task.1" {
				t.Errorf("heard %s, want task.1", got)
			}
			p.sees(c, "fence")
		},
	})
}

// TestOpenDaylightDetach: both acknowledgements that there ever were.
func TestOpenDaylightDetach(t *testing.T) {
	for name, ack := range map[string]string{
		"Java":   `{"jsonrpc":"2.0","id":1,"result":null,"metadata":{"async":"U"}}`,
		"Python": `{"jsonrpc":"2.0","id":1,"metadata":{"async":"U"}}`,
	} {
		ruled(t, odlPipe, nil, map[string]func(t *testing.T, c *rpc.Client, p *peer){name: func(t *testing.T, c *rpc.Client, p *peer) {
			f := rpc.Detach[int](t.Context(), c, "factorial", []int{8}, &rpc.DetachOptions{Handle: handleU})
			says(p, `{"jsonrpc":"2.0","id":1,"method":"factorial","params":[8],"metadata":{"async":"U"}}`)
			p.say(spelled.Replace(ack))
			says(p, `{"jsonrpc":"2.0","id":2,"method":"factorial","params":[8],"metadata":{"async":"U"}}`)
			p.say(`{"jsonrpc":"2.0","id":2,"result":40320}`)
			isValue(t, "Detach", f, 40320)
		}})
	}
}

// An odlConn is a connection in lock-step to a peer of OpenDaylight.
type odlConn struct{ *stepConn }

func (c odlConn) Info() *transport.Info {
	info := *c.stepConn.Info()
	info.Profile = transport.OpenDaylight
	return &info
}

// TestOpenDaylightLockstep: where the wire is in lock-step.
func TestOpenDaylightLockstep(t *testing.T) {
	dialed := func(t *testing.T, script stepScript) (*rpc.Client, *stepDialer) {
		t.Helper()
		d := &stepDialer{t: t, script: script}
		return dialClient(t, "mem://nobody", &rpc.ClientOptions{Reconnect: &transport.RedialOptions{
			Dial: func(ctx context.Context) (transport.Conn, error) {
				c, err := d.dial(ctx)
				if err != nil {
					return nil, err
				}
				return odlConn{c.(*stepConn)}, nil
			},
		}}), d
	}
	inBubble(t, map[string]func(t *testing.T){
		"an error without an id": func(t *testing.T) {
			c, _ := dialed(t, func(_ int, _ *transport.Message, answer func(string), _ func()) {
				answer(`{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"m","data":null}}`)
			})
			isCode(t, "Call", c.Call(t.Context(), "m", nil, nil), rpc.CodeInvalidRequest)
			wantReplaced(t, c, 0)
		},
		"an answered notification": func(t *testing.T) {
			c, _ := dialed(t, func(_ int, m *transport.Message, answer func(string), _ func()) {
				if strings.Contains(string(m.Body), `"id"`) {
					answer(reply(m, "1"))
					return
				}
				answer(`{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"m"}}`)
			})
			if err := c.Notify(t.Context(), "note", nil); err != nil {
				t.Errorf("Notify = %v", err)
			}
			if err := c.Call(t.Context(), "m", "bare", nil); err != nil {
				t.Errorf("Call = %v", err)
			}
			wantReplaced(t, c, 0)
		},
		"a batch": func(t *testing.T) {
			n := 0
			c, _ := dialed(t, func(_ int, m *transport.Message, answer func(string), _ func()) {
				if n++; m.Body[0] == '[' {
					t.Errorf("heard %s, want no batch", m.Body)
				}
				answer(reply(m, "1"))
			})
			var b rpc.Batch
			one, two := rpc.Add[int](&b, "m", nil), rpc.Add[int](&b, "m", nil)
			if err := c.Do(t.Context(), &b); err != nil || n != 2 {
				t.Errorf("Do = %v with %d messages, want nil with 2", err, n)
			}
			isValue(t, "the first", one, 1)
			isValue(t, "the second", two, 1)
		},
		"a call that is not answered in time costs the socket": func(t *testing.T) {
			c, d := dialed(t, func(_ int, m *transport.Message, answer func(string), _ func()) {
				if strings.Contains(string(m.Body), "slow") {
					return
				}
				answer(reply(m, "1"))
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			isOutcome(t, "Call", c.Call(ctx, "slow", nil, nil), rpc.Unknown)
			if err := c.Call(t.Context(), "m", nil, nil); err != nil || d.dials() != 2 {
				t.Errorf("Call = %v by connection %d, want nil by the second", err, d.dials())
			}
		},
	})
}

// odlFeed is the wire mem as OpenDaylight's publications come.
var odlFeed = inProfile(feedPipe, transport.OpenDaylight)

// TestOpenDaylightFeed: what is published has its topic in the method alone, so the
// wire is asked for everything, once.
func TestOpenDaylightFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := scripted(t, odlFeed, nil)
		one, two := listen(t, c, "task.*", nil), listen(t, c, "clock", nil)
		wants := make(chan error, 1)
		go func() { // who receives takes in the subscriptions
			_, err := p.conn.Recv(context.Background())
			wants <- err
		}()
		synctest.Wait()
		a, _ := transport.As[transport.Audience](p.conn)
		for _, method := range []string{"task.1", "clock", "other"} {
			m := &transport.Message{To: "anything", Subject: "anything", Body: fmt.Appendf(nil, `{"jsonrpc":"2.0","method":%q,"params":{"of":%q}}`, method, method)}
			if err := a.Publish(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		if got := one.heard() + ", " + two.heard(); got != "task.1, clock" {
			t.Errorf("heard %s, want task.1, clock", got)
		}
		_ = c.Close()
		within(t, wants, "the end")
	})
}

// TestOpenDaylightPool: clients that share a connection take turns, one call at a
// time.
func TestOpenDaylightPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		h := serve(t, memURL, gatedMux(g), nil)
		pool := rpc.NewPool(&rpc.PoolOptions{Client: &rpc.ClientOptions{Transport: &transport.DialOptions{Options: still()}}})
		var calls []<-chan error
		for range 2 {
			c := dials(t, pool, h.url+"?profile=odl")
			for range 2 {
				calls = append(calls, callOn(t.Context(), c, "Wait", nil))
			}
		}
		g.await(t, 1)
		time.Sleep(time.Hour)
		if n := len(g.entered); n != 0 {
			t.Errorf("%d more calls came, want them to wait", n)
		}
		g.open()
		for _, done := range calls {
			if err := within(t, done, "an answer"); err != nil {
				t.Error(err)
			}
		}
	})
}
