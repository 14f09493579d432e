package rpc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// wireProbes are bodies at which implementations of JSON-RPC 2.0 are known to
// differ, crash or run what they should not.
var wireProbes = []struct {
	name  string
	cases []exchange
}{
	{"id 2^53+1", []exchange{
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1],"id":9007199254740993}`, `9007199254740993=1`, "sum[1]"),
	}},
	{"id over int64", []exchange{
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1],"id":9223372036854775808}`, `9223372036854775808=1`, "sum[1]"),
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1],"id":18446744073709551616}`, `18446744073709551616=1`, "sum[1]"),
	}},
	{"id -1", []exchange{
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1],"id":-1}`, `-1=1`, "sum[1]"),
	}},
	{"id 1.5", []exchange{
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1],"id":1.5}`, `1.5=1`, "sum[1]"),
	}},
	{"id null", []exchange{
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1],"id":null}`, `null=1`, "sum[1]"),
	}},
	{"id true", []exchange{
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1],"id":true}`, `null!-32600`),
	}},
	{"id of 256 bytes and of 257", []exchange{
		answered(fmt.Sprintf(`{"jsonrpc":"2.0","method":"sum","params":[1],"id":"%0254d"}`, 7), fmt.Sprintf(`"%0254d"=1`, 7), "sum[1]"),
		answered(fmt.Sprintf(`{"jsonrpc":"2.0","method":"sum","params":[1],"id":"%0255d"}`, 7), `null!-32600`),
	}},
	{"no id", []exchange{
		silent(`{"jsonrpc":"2.0","method":"update","params":[1]}`, "update[1]"),
		silent(`{"jsonrpc":"2.0","method":"nope"}`),
	}},
	{"malformed JSON", []exchange{
		answered(`{`, `null!-32700`),
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1],"id":01}`, `null!-32700`),
		answered("{\"jsonrpc\":\"2.0\",\"method\":\"su\nm\",\"id\":1}", `null!-32700`),
		answered("\xef\xbb\xbf"+`{"jsonrpc":"2.0","method":"sum","params":[1],"id":1}`, `null!-32700`),
		answered("\x00", `null!-32700`),
	}},
	{"null", []exchange{answered(`null`, `null!-32600`)}},
	{"an empty array", []exchange{answered(`[]`, `null!-32600`)}},
	{"[1,2]", []exchange{answered(`[1,2]`, `[null!-32600, null!-32600]`)}},
	{"no version or a wrong one", []exchange{
		answered(`{"method":"sum","params":[1],"id":1}`, `1!-32600`),
		answered(`{"jsonrpc":"3.0","method":"sum","params":[1],"id":1}`, `1!-32600`),
		answered(`{"jsonrpc":null,"method":"sum","params":[1],"id":1}`, `1!-32600`),
		answered(`{"jsonrpc":"\u0032.0","method":"sum","params":[1],"id":1}`, `1=1`, "sum[1]"), // 2.0 all the same
	}},
	{"method a number", []exchange{
		answered(`{"jsonrpc":"2.0","method":5,"id":1}`, `1!-32600`),
		answered(`{"jsonrpc":"2.0","method":null,"id":1}`, `1!-32600`),
	}},
	{"method with escapes", []exchange{
		answered(`{"jsonrpc":"2.0","method":"\u0073um","params":[1],"id":1}`, `1=1`, "sum[1]"),
		answered(`{"jsonrpc":"2.0","method":"","id":1}`, `1!-32601`),
	}},
	{"scalar params", []exchange{
		answered(`{"jsonrpc":"2.0","method":"Echo","params":5,"id":1}`, `1!-32600`),
		answered(`{"jsonrpc":"2.0","method":"Echo","params":"5","id":1}`, `1!-32600`),
		answered(`{"jsonrpc":"2.0","method":"Echo","params":null,"id":1}`, `1!-32600`),
	}},
	{"unknown method", []exchange{
		answered(`{"jsonrpc":"2.0","method":"nope","id":1}`, `1!-32601`),
		answered(fmt.Sprintf(`{"jsonrpc":"2.0","method":%q,"id":1}`, strings.Repeat("x", 100_000)), `1!-32601`),
	}},
	{"METHOD", []exchange{
		answered(`{"jsonrpc":"2.0","METHOD":"sum","params":[1],"id":1}`, `1!-32600`),
		answered(`{"jsonrpc":"2.0","method":"SUM","params":[1],"id":1}`, `1!-32601`),
		// Folding that goes beyond ASCII takes these for s and k.
		answered(`{"jſonrpc":"2.0","method":"sum","params":[1],"id":1}`, `1!-32600`),
	}},
	{"method twice", []exchange{
		answered(`{"jsonrpc":"2.0","method":"sum","method":"sum","params":[1],"id":1}`, `1!-32600`),
	}},
	{"an unknown member", []exchange{
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1],"id":1,"x":1,"x":2}`, `1=1`, "sum[1]"),
	}},
	{"a param in other case", []exchange{
		answered(`{"jsonrpc":"2.0","method":"subtract","params":{"Minuend":7,"subtrahend":1},"id":1}`, `1!-32602`),
		answered(`{"jsonrpc":"2.0","method":"subtract","params":{"minuend":7,"subtrahend":1,"ſubtrahend":9},"id":1}`, `1!-32602`),
	}},
	{"a param twice", []exchange{
		answered(`{"jsonrpc":"2.0","method":"subtract","params":{"minuend":7,"minuend":8,"subtrahend":1},"id":1}`, `1!-32602`),
	}},
	{"invalid UTF-8", []exchange{
		answered("{\"jsonrpc\":\"2.0\",\"method\":\"su\xff\",\"id\":1}", `1!-32600`),
		answered("{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"params\":[1],\"id\":\"\xff\"}", `null!-32600`),
		answered("{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"params\":[1],\"id\":1,\"\xff\":1}", `1!-32600`),
		answered("{\"jsonrpc\":\"2.0\",\"method\":\"Echo\",\"params\":[\"\xff\"],\"id\":1}", `1!-32602`),
		answered(`{"jsonrpc":"2.0","method":"\ud800","id":1}`, `1!-32600`),
	}},
}

func TestWireProbes(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		var j journal
		p := serve(t, w, j.mux(), inTurn(rpc.Limits{})).peer()
		for _, probe := range wireProbes {
			t.Run(probe.name, func(t *testing.T) {
				p.t = t
				for _, c := range probe.cases {
					if diff := cmp.Diff(c.out, p.ask(c.in)); diff != "" {
						t.Errorf("answers to %.200q (-want +got):\n%s", c.in, diff)
					}
					if diff := cmp.Diff(c.ran, j.take()); diff != "" {
						t.Errorf("executed for %.200q (-want +got):\n%s", c.in, diff)
					}
				}
			})
		}
	})
}

// gatedMux has a method that waits at a gate and one that does not.
func gatedMux(g *gate) *rpc.Mux {
	m := rpc.NewMux(nil)
	rpc.Handle(m, "Wait", func(ctx context.Context, p json.RawMessage) (json.RawMessage, error) { return p, g.pass(ctx) })
	rpc.Handle(m, "Echo", func(_ context.Context, p json.RawMessage) (json.RawMessage, error) { return p, nil })
	return m
}

func TestWireProbeSameIDTwiceInFlight(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		g := newGate()
		p := serve(t, w, gatedMux(g), nil).peer()
		p.say(`{"jsonrpc":"2.0","method":"Wait","params":["a"],"id":1}`)
		p.say(`{"jsonrpc":"2.0","method":"Wait","params":["b"],"id":1}`)
		g.await(t, 2)
		g.open()
		got := map[string]bool{brief(p.hear()): true, brief(p.hear()): true}
		if diff := cmp.Diff(map[string]bool{`1=["a"]`: true, `1=["b"]`: true}, got); diff != "" {
			t.Errorf("answers (-want +got):\n%s", diff)
		}
	})
}

func TestWireProbeSlowCallThenFast(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		g := newGate()
		p := serve(t, w, gatedMux(g), nil).peer()
		p.say(`{"jsonrpc":"2.0","method":"Wait","params":[],"id":"slow"}`)
		g.await(t, 1)
		p.say(`{"jsonrpc":"2.0","method":"Echo","params":[],"id":"fast"}`)
		if got, want := brief(p.hear()), `"fast"=[]`; got != want {
			t.Errorf("first answer = %s, want %s", got, want)
		}
		g.open()
		if got, want := brief(p.hear()), `"slow"=[]`; got != want {
			t.Errorf("second answer = %s, want %s", got, want)
		}
	})
}

func TestWireProbeFiveMillionDeep(t *testing.T) {
	const deep = 5_000_000
	large := still()
	large.Limits.Message = 16 << 20
	bodies := map[string]string{
		"params": `{"jsonrpc":"2.0","method":"Echo","id":1,"params":` + strings.Repeat("[", deep) + strings.Repeat("]", deep) + `}`,
		"open":   `{"jsonrpc":"2.0","method":"Echo","id":1,"params":` + strings.Repeat(`{"a":`, deep/5),
		"batch":  strings.Repeat("[", deep),
	}
	onWires(t, func(t *testing.T, w wire) {
		var j journal
		h := serveOn(t, w, &transport.ListenOptions{Options: large}, j.mux(), inTurn(rpc.Limits{}))
		p := newPeer(t, h.conn(large))
		for name, body := range bodies {
			if diff := cmp.Diff([]string{`null!-32600{"max":1000}`}, p.ask(body)); diff != "" {
				t.Errorf("%s: answers (-want +got):\n%s", name, diff)
			}
		}
		deepest := `{"jsonrpc":"2.0","method":"Echo","id":1,"params":` + strings.Repeat("[", 999) + strings.Repeat("]", 999) + `}`
		if got := p.ask(deepest); len(got) != 1 || !strings.HasPrefix(got[0], "1=[[[") {
			t.Errorf("answers to a request of depth 1000 = %.100q, want its params", got)
		}
	})
}

// TestRequestWithoutReplyTo: where an answer needs an address, a request that
// gives none is told so, once, for the wire has no milder way to say it.
func TestRequestWithoutReplyTo(t *testing.T) {
	const say = "SEND\ndestination:/queue/rpc\n\n"
	for _, tt := range []struct{ name, frames string }{
		{"a request", say + `{"jsonrpc":"2.0","method":"sum","params":[1],"id":1}` + "\x00"},
		{"two requests", strings.Repeat(say+`{"jsonrpc":"2.0","method":"sum","params":[1],"id":1}`+"\x00", 2)},
		{"a batch with a request", say + `[{"jsonrpc":"2.0","method":"update","params":[1]},{"jsonrpc":"2.0","method":"sum","params":[1],"id":1}]` + "\x00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var j journal
			h := serve(t, stompTCP, j.mux(), nil)
			got := sayFrames(t, h, tt.frames)
			if n := strings.Count(got, "ERROR\n"); n != 1 || strings.Count(got, "reply-to") == 0 {
				t.Errorf("the server said %d ERROR frames, want 1 that names reply-to; all of it:\n%q", n, got)
			}
			if ran := j.take(); ran != nil {
				t.Errorf("executed %v, want nothing", ran)
			}
		})
	}
	t.Run("a notification needs none", func(t *testing.T) {
		var j journal
		h := serve(t, stompTCP, j.mux(), inTurn(rpc.Limits{}))
		p := h.peer()
		back := p.back
		p.back = ""
		p.say(`{"jsonrpc":"2.0","method":"update","params":[1]}`)
		p.say(`[{"jsonrpc":"2.0","method":"update","params":[2]}]`)
		p.say(`{"jsonrpc":"2.0","id":1,"result":1}`)
		p.back = back
		if got := p.ask(`{"jsonrpc":"2.0","method":"update","params":[3]}`); got != nil {
			t.Errorf("heard %q, want nothing", got)
		}
		if diff := cmp.Diff([]string{"update[1]", "update[2]", "update[3]"}, j.take()); diff != "" {
			t.Errorf("executed (-want +got):\n%s", diff)
		}
	})
}
