package cli_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/rpc/openrpc/openrpctest"
	"github.com/polyport/polyport/transport"
)

func TestDiscover(t *testing.T) {
	url := serve(t, app.Config{})
	line, pretty := run(t, "discover", url, "--json"), run(t, "discover", url)
	if line.code != 0 || line.stderr != "" || strings.Count(line.stdout, "\n") != 1 {
		t.Errorf("discover --json = %+v, want one line", line)
	}
	if err := openrpctest.Validate([]byte(line.stdout)); err != nil {
		t.Error(err)
	}
	var a, b any
	if json.Unmarshal([]byte(line.stdout), &a) != nil || json.Unmarshal([]byte(pretty.stdout), &b) != nil || strings.Count(pretty.stdout, "\n") < 50 {
		t.Errorf("discover = %+v, want the same on many lines", pretty)
	}
}

// answering returns the URL of a server that gives the same answer to each
// method.
func answering(t *testing.T, answers map[string]string) (url string) {
	t.Helper()
	return wirePeer(t, func(c transport.Conn) {
		for {
			m, err := c.Recv(context.Background())
			if err != nil {
				return
			}
			var q struct {
				ID     json.RawMessage `json:"id"`
				Method string          `json:"method"`
			}
			if json.Unmarshal(m.Body, &q) != nil {
				return
			}
			answer, ok := answers[q.Method]
			if !ok {
				continue // and never answer
			}
			body := `{"jsonrpc":"2.0","id":` + string(q.ID) + `,` + answer + `}`
			if c.Send(context.Background(), &transport.Message{To: m.ReplyTo, Body: []byte(body)}) != nil {
				return
			}
		}
	})
}

// What is no document is not printed.
func TestDiscoverRefuses(t *testing.T) {
	for _, tt := range []struct {
		answer string
		code   int
		want   string
	}{
		{`"error":{"code":-32601,"message":"no"}`, 1, `{"code":-32601,"message":"no"}`},
		{`"result":{"openrpc":"1.4.1"}`, 1, "the server's document cannot be used: openrpc: invalid document: info lacks"},
		{`"result":7`, 1, "cannot be used"},
		{`"result":` + strings.Repeat("[", 500) + strings.Repeat("]", 500), 1, "nested deeper than 64"},
	} {
		o := run(t, "discover", answering(t, map[string]string{"rpc.discover": tt.answer}))
		if o.code != tt.code || o.stdout != "" || !strings.Contains(o.stderr, tt.want) {
			t.Errorf("discover of %.50s = %+v, want %d and %q", tt.answer, o, tt.code, tt.want)
		}
	}
}

// After the error's line a person is told what the method takes; a program that
// reads the first line, or asks for --json, sees what it always has.
func TestCallExplainsParams(t *testing.T) {
	url := serve(t, app.Config{})
	for _, tt := range []struct {
		params string
		want   []string
	}{
		{`{"ms":"x"}`, []string{`/ms: expected an integer of 64 bits, got "x"`, "Sleep takes ms", "How many milliseconds", `for example: {"ms":1}`}},
		{`{}`, []string{`/ms: expected an integer of 64 bits, got nothing`}},
		{`[1,2]`, []string{`/1: expected at most 1 value, got one more`}},
		{`[-1]`, []string{`the params are as the server's document has them, yet it refuses them`, "from 0 to 3600000"}},
		{``, []string{`/ms: expected an integer of 64 bits, got nothing`}},
	} {
		args := []string{"call", url, "Sleep"}
		if tt.params != "" {
			args = append(args, tt.params)
		}
		o, machine := run(t, args...), run(t, append(args, "--json")...)
		first, rest, _ := strings.Cut(o.stderr, "\n")
		if o.code != 1 || o.stdout != "" || machine != (outcome{1, "", first + "\n"}) || !strings.HasPrefix(first, `{"code":-32602,`) {
			t.Errorf("call Sleep %s = %+v, with --json %+v", tt.params, o, machine)
		}
		for _, want := range tt.want {
			if !strings.Contains(rest, want) {
				t.Errorf("call Sleep %s says %q, want %q", tt.params, rest, want)
			}
		}
	}
}

// Nothing is added, and little waited, where the server has no document, or a
// bad one, or never answers; and what it says cannot move the cursor.
func TestCallExplainsParamsOfStrangers(t *testing.T) {
	const refusal = `"error":{"code":-32602,"message":"no"}`
	const line = `{"code":-32602,"message":"no"}` + "\n"
	for _, tt := range []struct {
		name, answer string
		more         bool
	}{
		{"no discovery", `"error":{"code":-32601,"message":"none"}`, false},
		{"no document", `"result":[]`, false},
		{"another method", `"result":{"openrpc":"1.3.2","info":{"title":"a","version":"1"},"methods":[]}`, false},
		{"silence", "", false},
		{"a terminal's commands", `"result":{"openrpc":"1.3.2","info":{"title":"a","version":"1"},"methods":[{"name":"m","params":[{"name":"\u001b[2J\u009b","schema":{"type":"\u001b]0;"},"required":true}]}]}`, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answers := map[string]string{"m": refusal}
			if tt.answer != "" {
				answers["rpc.discover"] = tt.answer
			}
			began := time.Now()
			o := run(t, "call", answering(t, answers), "m")
			if o.code != 1 || !strings.HasPrefix(o.stderr, line) || (len(o.stderr) > len(line)) != tt.more || strings.ContainsAny(o.stderr, "\x1b\u009b") {
				t.Errorf("call = %+v", o)
			}
			if took := time.Since(began); took > 9*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// The explanation costs nothing where the answer is no such error.
func TestCallAsksOnlyAfterWrongParams(t *testing.T) {
	url := serve(t, app.Config{}, fx.Provide(app.AsMethods(func() app.Methods {
		return func(m *rpc.Mux) error {
			rpc.Handle(m, "Refuse", func(context.Context, struct{}) (any, error) { return nil, rpc.Errorf(-32000, "no") })
			return nil
		}
	})))
	if o := run(t, "call", url, "Refuse"); o != (outcome{1, "", `{"code":-32000,"message":"no"}` + "\n"}) {
		t.Errorf("call = %+v", o)
	}
}
