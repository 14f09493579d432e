package rpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// agentMux has methods as a host agent's.
func agentMux(g *gate) *rpc.Mux {
	mux := gatedMux(g)
	rpc.Handle(mux, "Host.ping", func(context.Context, struct{}) (any, error) { return nil, nil }) //nolint:nilnil // it has no result
	rpc.Handle(mux, "Host.busy", func(context.Context, struct{}) (any, error) { return nil, rpc.Errorf(rpc.CodeBusy, "busy") })
	rpc.Handle(mux, "Host.false", func(context.Context, struct{}) (bool, error) { return false, nil })
	rpc.Handle(mux, "Host.sum", func(_ context.Context, p struct {
		A int `json:"a"`
		B int `json:"b"`
	},
	) (int, error) {
		return p.A + p.B, nil
	})
	return mux
}

// TestOVirtServer: what a peer of oVirt says, and what it hears, and nothing else.
func TestOVirtServer(t *testing.T) {
	for _, tt := range []struct {
		name, say string
		want      []string
	}{
		{"no result is true", `{"jsonrpc":"2.0","id":1,"method":"Host.ping","params":{}}`, []string{`1=true`}},
		{"another result is as it is", `{"jsonrpc":"2.0","id":1,"method":"Host.false"}`, []string{`1=false`}},
		{"params by name", `{"jsonrpc":"2.0","id":"u","method":"Host.sum","params":{"a":1,"b":2}}`, []string{`"u"=3`}},
		{"params by position", `{"jsonrpc":"2.0","id":1.5,"method":"Host.sum","params":[1,2]}`, []string{`1.5=3`}},
		{"a batch of one", `[{"jsonrpc":"2.0","id":7,"method":"Host.ping"}]`, []string{`7=true`}},
		{
			"a batch of two", `[{"jsonrpc":"2.0","id":1,"method":"Host.ping"},{"jsonrpc":"2.0","id":2,"method":"Host.false"}]`,
			[]string{`[1=true, 2=false]`},
		},
		{
			"a batch with one answer", `[{"jsonrpc":"2.0","id":1,"method":"Host.ping"},{"jsonrpc":"2.0","method":"Host.ping"}]`,
			[]string{`1=true`},
		},
		{"a batch of one that is none", `[1]`, []string{`null!-32600`}},
		{"a batch of nothing", `[]`, []string{`null!-32600`}},
		{"no JSON, once", `{`, []string{`null!-32700`}},
		{"no request, once", `{"jsonrpc":"2.0","id":1}`, []string{`1!-32600`}},
		{"params that are null", `{"jsonrpc":"2.0","id":1,"method":"Host.ping","params":null}`, []string{`1!-32600`}},
		{"another version", `{"jsonrpc":"2","id":1,"method":"Host.ping"}`, []string{`1!-32600`}},
		{"wrong params", `{"jsonrpc":"2.0","id":1,"method":"Host.sum","params":{"a":"x"}}`, []string{`1!-32602`}},
		{"an unknown method", `{"jsonrpc":"2.0","id":1,"method":"Host.no"}`, []string{`1!-32601`}},
		{"a handler that is busy", `{"jsonrpc":"2.0","id":1,"method":"Host.busy"}`, []string{`1!1100`}},
		{"a notification", `{"jsonrpc":"2.0","method":"Host.ping"}`, nil},
		{"a notification of an unknown method", `{"jsonrpc":"2.0","method":"Host.no"}`, nil},
		{"a batch of notifications", `[{"jsonrpc":"2.0","method":"Host.ping"}]`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := serve(t, ovirtPipe, agentMux(newGate()), &rpc.ServerOptions{Width: 1}).peer()
				p.say(tt.say)
				got := p.untilFence()
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("heard (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestOVirtServerFull: a server that has no place says so by the codes that the
// engine knows.
func TestOVirtServerFull(t *testing.T) {
	const ask = `{"jsonrpc":"2.0","id":%d,"method":"Wait"}`
	inBubble(t, map[string]func(t *testing.T){
		"busy": func(t *testing.T) {
			g := newGate()
			p := serve(t, ovirtPipe, agentMux(g), &rpc.ServerOptions{Limits: rpc.Limits{InFlight: 1}}).peer()
			for i := range 2 {
				p.say(fmt.Sprintf(ask, i+1))
			}
			if got := brief(p.hear()); got != "2!1100" {
				t.Errorf("heard %s, want 2!1100", got)
			}
			p.say("[" + fmt.Sprintf(ask, 3) + "]")
			if got := brief(p.hear()); got != "3!1100" {
				t.Errorf("heard %s, want 3!1100", got)
			}
			g.open()
			if got := brief(p.hear()); !strings.HasPrefix(got, "1=") {
				t.Errorf("heard %s, want the first call's result", got)
			}
		},
		"shutting down": func(t *testing.T) {
			g := newGate()
			h := serve(t, ovirtPipe, agentMux(g), nil)
			p := h.peer()
			p.say(fmt.Sprintf(ask, 1))
			g.await(t, 1)
			go func() { _ = h.Shutdown(context.Background()) }()
			synctest.Wait()
			p.say(fmt.Sprintf(ask, 2))
			if got := brief(p.hear()); got != "2!99" {
				t.Errorf("heard %s, want 2!99", got)
			}
			g.open()
		},
	})
}

// TestOVirtSecondTry: a call that its caller tries again while it is under way is made
// once. One of another connection, or that says something else, is another.
func TestOVirtSecondTry(t *testing.T) {
	const ask = `{"jsonrpc":"2.0","id":"a","method":"Wait"%s}`
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		h := serve(t, ovirtPipe, agentMux(g), nil)
		p, other := h.peer(), h.peer()
		for _, params := range []string{"", "", `,"params":[]`, ""} {
			p.say(fmt.Sprintf(ask, params))
		}
		other.say(fmt.Sprintf(ask, ""))
		g.await(t, 3)
		synctest.Wait()
		g.open()
		for _, who := range []*peer{p, p, other} {
			if got := brief(who.hear()); !strings.HasPrefix(got, `"a"=`) {
				t.Errorf("heard %s, want the result", got)
			}
		}
		if got := p.untilFence(); len(got) > 0 {
			t.Errorf("heard %v besides", got)
		}
		p.say(fmt.Sprintf(ask, "")) // it is over, so it is made anew
		if got := brief(p.hear()); !strings.HasPrefix(got, `"a"=`) {
			t.Errorf("heard %s, want the result", got)
		}
	})
}

// TestProfileShownLate: a server does as its peer expects from when it knows whose
// it is.
func TestProfileShownLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := serve(t, memPipe, agentMux(newGate()), nil)
		l := memPipe.open(t, &transport.ListenOptions{Options: still()})
		defer l.Close()
		near, err := l.dial(t.Context(), &transport.DialOptions{Options: still()})
		if err != nil {
			t.Fatal(err)
		}
		far, err := l.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		conn := &chameleon{Conn: far}
		go func() { _ = h.ServeConn(conn) }()
		p := newPeer(t, near)
		for i, want := range []string{"[1=null]", "1=true"} {
			conn.shown.Store(i == 1)
			p.say(`[{"jsonrpc":"2.0","id":1,"method":"Host.ping"}]`)
			if got := brief(p.hear()); got != want {
				t.Errorf("heard %s, want %s", got, want)
			}
		}
	})
}

var uuid4 = regexp.MustCompile(`^"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"$`)

// TestOVirtClient: what a client says to a host agent, and what it understands.
func TestOVirtClient(t *testing.T) {
	chatty := rpc.Interceptor(func(ctx context.Context, c *rpc.Invocation) error {
		c.Set("ovirtCorrelationId", "flow")
		c.Set("traceparent", "trace")
		return c.Next(ctx)
	})
	for name, o := range map[string]*rpc.ClientOptions{"": nil, "AutoBatch": {AutoBatch: 16}, "Interceptors": {Interceptors: []rpc.Interceptor{chatty}}} {
		t.Run(name, func(t *testing.T) { ruled(t, ovirtPipe, o, ovirtClientRules) })
	}
	ruled(t, ovirtPipe, &rpc.ClientOptions{Interceptors: []rpc.Interceptor{chatty}}, map[string]func(t *testing.T, c *rpc.Client, p *peer){
		"the flow id, and nothing else, travels beside a call": func(t *testing.T, c *rpc.Client, p *peer) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			done := callOn(ctx, c, "m", nil)
			m := p.hearMessage()
			if diff := cmp.Diff([]transport.Header{{Name: "ovirtCorrelationId", Value: "flow"}}, m.Headers); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
			p.answer(p.parse(string(m.Body), new([1]request)[:])[0], "1")
			if err := within(t, done, "the call"); err != nil {
				t.Errorf("Call = %v", err)
			}
		},
	})
	ruled(t, ovirtPipe, &rpc.ClientOptions{Plain: true, Interceptors: []rpc.Interceptor{chatty}}, map[string]func(t *testing.T, c *rpc.Client, p *peer){
		"a plain client sends no flow id": func(t *testing.T, c *rpc.Client, p *peer) {
			done := callOn(t.Context(), c, "m", nil)
			m := p.hearMessage()
			if len(m.Headers) > 0 {
				t.Errorf("headers are %v, want none", m.Headers)
			}
			p.answer(p.parse(string(m.Body), new([1]request)[:])[0], "1")
			_ = within(t, done, "the call")
		},
	})
}

var ovirtClientRules = map[string]func(t *testing.T, c *rpc.Client, p *peer){
	"ids are UUIDs, each another": func(t *testing.T, c *rpc.Client, p *peer) {
		seen := make(map[string]bool)
		var asked []request
		var calls []<-chan error
		for range 200 {
			calls = append(calls, callOn(t.Context(), c, "m", []int{1}))
			r := p.hearRequest()
			if id := string(r.ID); !uuid4.MatchString(id) || seen[id] {
				t.Fatalf("id %s, want another UUID of version 4", id)
			}
			seen[string(r.ID)] = true
			asked = append(asked, r)
		}
		for i := range asked { // not in the order of the calls
			p.answer(asked[len(asked)-1-i], "1")
		}
		for _, done := range calls {
			if err := within(t, done, "an answer"); err != nil {
				t.Fatal(err)
			}
		}
	},
	"only the whole id will do": func(t *testing.T, c *rpc.Client, p *peer) {
		done := callOn(t.Context(), c, "m", nil)
		r := p.hearRequest()
		id := string(r.ID)
		for _, wrong := range []string{
			"1", `"1"`, "null", `""`, `"x"`, `"3b241101-e2bb-4255-8caf-4136c566a962"`, `"0` + id[2:], id[:len(id)-2] + `g"`,
			`"00000000` + id[9:], id[:len(id)-1] + `0"`,
		} {
			if wrong != id {
				p.say(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":"wrong"}`, wrong))
			}
		}
		synctest.Wait()
		if late := c.Late(); late < 9 {
			t.Errorf("Late() = %d, want all wrong answers counted", late)
		}
		p.answer(r, "1")
		if err := within(t, done, "the answer"); err != nil {
			t.Errorf("Call = %v", err)
		}
	},
	"without params there is no such member": func(t *testing.T, c *rpc.Client, p *peer) {
		done := callOn(t.Context(), c, "Host.ping", nil)
		r := p.hearRequest()
		if r.Params != nil {
			t.Errorf("params are %s, want none", r.Params)
		}
		p.answer(r, "true")
		_ = within(t, done, "the answer")
	},
	"the answer to a call alone may be an array": func(t *testing.T, c *rpc.Client, p *peer) {
		for _, open := range []string{"%s", "[%s]", " [ %s ] "} {
			done := callOn(t.Context(), c, "m", map[string]int{"a": 1})
			p.say(fmt.Sprintf(open, resultOf(p.hearRequest(), "1")))
			if err := within(t, done, "the answer"); err != nil {
				t.Errorf("Call = %v", err)
			}
		}
	},
	"a call that is given up is not taken back": func(t *testing.T, c *rpc.Client, p *peer) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		done := callOn(ctx, c, "slow", nil)
		if r := p.hearRequest(); r.Method != "slow" {
			t.Fatalf("heard %s, want slow", r.Method)
		}
		err := within(t, done, "its end")
		isOutcome(t, "Call", err, rpc.Unknown)
		p.sees(c, "fence")
	},
	"a notification is refused and not sent": func(t *testing.T, c *rpc.Client, p *peer) {
		err := c.Notify(t.Context(), "Host.note", nil)
		isOutcome(t, "Notify", err, rpc.NotSent)
		isErr(t, "Notify", err, transport.ErrUnsupported)
		if err == nil || !strings.Contains(err.Error(), "make it a call") {
			t.Errorf("Notify = %v, want it to say what to do", err)
		}
		p.sees(c, "fence")
	},
	"a batch goes as calls": func(t *testing.T, c *rpc.Client, p *peer) {
		var b rpc.Batch
		var futures []*queue.Future[int]
		for i := range 3 {
			futures = append(futures, rpc.Add[int](&b, "m", []int{i}))
		}
		done := make(chan error, 1)
		go func() { done <- c.Do(t.Context(), &b) }()
		for range futures {
			r := p.hearRequest()
			p.answer(r, strings.Trim(string(r.Params), "[]"))
		}
		if err := within(t, done, "Do"); err != nil {
			t.Errorf("Do = %v", err)
		}
		for i, f := range futures {
			isValue(t, fmt.Sprint("member ", i), f, i)
		}
	},
	"a batch with a notification is refused": func(t *testing.T, c *rpc.Client, p *peer) {
		var b rpc.Batch
		f := rpc.Add[int](&b, "m", nil)
		b.Notify("Host.note", nil)
		err := c.Do(t.Context(), &b)
		isOutcome(t, "Do", err, rpc.NotSent)
		isErr(t, "Do", err, transport.ErrUnsupported)
		_, err = get(t, f)
		isOutcome(t, "its call", err, rpc.NotSent)
		p.sees(c, "fence")
	},
	"many calls at once go alone": func(t *testing.T, c *rpc.Client, p *peer) {
		var calls []<-chan error
		for range 20 {
			calls = append(calls, callOn(t.Context(), c, "m", nil))
		}
		for range calls {
			p.answer(p.hearRequest(), "1") // which fails for a batch
		}
		for _, done := range calls {
			if err := within(t, done, "an answer"); err != nil {
				t.Error(err)
			}
		}
	},
	"a detached call is an ordinary one": func(t *testing.T, c *rpc.Client, p *peer) {
		f := rpc.Detach[int](t.Context(), c, "m", []int{1}, nil)
		p.answer(p.hearRequest(), "1") // which fails for one with metadata
		isValue(t, "Detach", f, 1)
	},
	"their codes are understood": func(t *testing.T, c *rpc.Client, p *peer) {
		for _, tt := range []struct {
			fault string
			want  rpc.Error
		}{
			{`{"code":1100,"message":"Too many tasks"}`, rpc.Error{Code: rpc.CodeBusy, Message: "Too many tasks", Data: json.RawMessage(`{"code":1100}`)}},
			{`{"code":99,"message":"Recovering"}`, rpc.Error{Code: rpc.CodeShuttingDown, Message: "Recovering", Data: json.RawMessage(`{"code":99}`)}},
			{`{"code":1100,"message":"m","data":[1]}`, rpc.Error{Code: rpc.CodeBusy, Message: "m", Data: json.RawMessage(`[1]`)}},
			{`{"code":1,"message":"no such VM"}`, rpc.Error{Code: 1, Message: "no such VM"}},
			{`{"code":-32603,"message":"m"}`, rpc.Error{Code: rpc.CodeInternal, Message: "m"}},
		} {
			done := callOn(t.Context(), c, "m", nil)
			p.say(errorOf(p.hearRequest(), tt.fault))
			err := within(t, done, "the answer")
			got, ok := errors.AsType[*rpc.Error](err)
			if !ok {
				t.Fatalf("%s: Call = %v", tt.fault, err)
			}
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.fault, diff)
			}
		}
	},
}
