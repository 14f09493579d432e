package rpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/rpc/openrpc"
	"github.com/polyport/polyport/rpc/openrpc/openrpctest"
)

// discover fetches the document of a server.
func discover(t *testing.T, c *rpc.Client) (*openrpc.Document, string) {
	t.Helper()
	text, err := rpc.Call[json.RawMessage](t.Context(), c, "rpc.discover", nil)
	if err != nil {
		t.Fatalf("rpc.discover = %v", err)
	}
	d, err := openrpc.Decode(text)
	if err != nil {
		t.Fatalf("Decode() = %v\n%s", err, text)
	}
	return d, string(text)
}

func TestDiscover(t *testing.T) {
	mux := rpc.NewMux(&rpc.MuxOptions{Info: openrpc.Info{Title: "calc", Version: "1.2.3", Description: "It calculates."}})
	rpc.Handle(mux, "Move", func(_ context.Context, p point) (point, error) { return p, nil })
	mux.Configure("Move", rpc.MethodOptions{
		Summary: "Moves a point.", Description: "By *one*.",
		Errors: []*rpc.Error{{Code: 7, Message: "no", Data: json.RawMessage(`{"a":1}`)}, {Code: 7, Message: "the same code"}},
		Examples: []rpc.Example{
			{Name: "by name", Params: json.RawMessage(`{"x":1,"y":2}`), Result: json.RawMessage(`{"x":1,"y":2}`)},
			{Name: "by position", Params: json.RawMessage(` [1, 2]`), Result: json.RawMessage(`{"x":1,"y":2}`)},
		},
	})
	c := serve(t, memURL, mux, nil).client(nil)
	d, text := discover(t, c)
	const want = `{"openrpc":"1.4.1","info":{"title":"calc","version":"1.2.3","description":"It calculates."},"methods":[` +
		`{"name":"Move","summary":"Moves a point.","description":"By *one*.","paramStructure":"either",` +
		`"params":[{"name":"x","required":true,"schema":{"type":"integer","format":"int64"}},` +
		`{"name":"y","required":true,"schema":{"type":"integer","format":"int64"}}],` +
		`"result":{"name":"result","schema":{"$ref":"#/components/schemas/Point"}},` +
		`"errors":[{"code":7,"message":"no","data":{"a":1}}],` +
		`"examples":[{"name":"by name","params":[{"name":"x","value":1},{"name":"y","value":2}],"result":{"name":"result","value":{"x":1,"y":2}}},` +
		`{"name":"by position","params":[{"name":"0","value":1},{"name":"1","value":2}],"result":{"name":"result","value":{"x":1,"y":2}}}]}],` +
		`"components":{"schemas":{"Point":{"type":"object","properties":{` +
		`"x":{"type":"integer","format":"int64"},` +
		`"y":{"type":"integer","format":"int64"}},"required":["x","y"]}}}}`
	if text != want {
		t.Errorf("rpc.discover =\n%s\nwant\n%s", text, want)
	}
	for _, e := range d.Method("Move").Examples {
		if got, err := rpc.Call[json.RawMessage](t.Context(), c, "Move", e.Call()); err != nil || string(got) != string(e.Result.Value) {
			t.Errorf("example %s: %s, %v, want %s", e.Name, got, err, e.Result.Value)
		}
	}
}

// The document follows the Mux, and is made once until that changes.
func TestDiscoverFollowsTheMux(t *testing.T) {
	mux := rpc.NewMux(nil)
	c := serve(t, memURL, mux, nil).client(nil)
	if d, _ := discover(t, c); len(d.Methods) != 0 || d.Info.Title == "" || d.Info.Version == "" {
		t.Errorf("the document of an empty Mux = %+v", d)
	}
	noop[[]int](mux, "b")
	noop[int](mux, "a")
	if d, _ := discover(t, c); len(d.Methods) != 2 || d.Methods[0].Name != "a" {
		t.Errorf("after two methods = %+v", d)
	}
	mux.Configure("b", rpc.MethodOptions{Summary: "It is b."})
	if d, _ := discover(t, c); d.Method("b").Summary != "It is b." {
		t.Errorf("after Configure = %+v", d.Method("b"))
	}
}

// Whatever types there are, the document is one by the meta-schema, and the same
// each time that it is made.
func TestDocumentIsValid(t *testing.T) {
	for _, lenient := range []bool{false, true} {
		mux := rpc.NewMux(&rpc.MuxOptions{Lenient: lenient})
		for _, tt := range schemaTable {
			tt.register(mux, tt.name)
		}
		noop[times](mux, "times")
		text, err := mux.Document().Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := openrpctest.Validate(text); err != nil {
			t.Errorf("lenient=%t: %v", lenient, err)
		}
		if _, err := openrpc.Decode(text); err != nil {
			t.Errorf("lenient=%t: Decode() = %v", lenient, err)
		}
		if again, err := mux.Document().Append(nil); err != nil || !bytes.Equal(again, text) {
			t.Errorf("lenient=%t: the second document differs, %v", lenient, err)
		}
	}
}

func TestDiscoverParams(t *testing.T) {
	c := serve(t, memURL, rpc.NewMux(nil), nil).client(nil)
	for _, params := range []any{nil, []int{}, struct{}{}} {
		if _, err := rpc.Call[json.RawMessage](t.Context(), c, "rpc.discover", params); err != nil {
			t.Errorf("rpc.discover(%v) = %v", params, err)
		}
	}
	_, err := rpc.Call[json.RawMessage](t.Context(), c, "rpc.discover", []int{1})
	isCode(t, "rpc.discover([1])", err, rpc.CodeInvalidParams)
}

// Who serves nothing has no document: here a client that is called back.
func TestDiscoverWithoutMux(t *testing.T) {
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Ask", func(ctx context.Context, _ struct{}) (any, error) {
		req, _ := rpc.FromContext(ctx)
		return rpc.Call[json.RawMessage](ctx, req.Client(), "rpc.discover", nil)
	})
	_, err := rpc.Call[json.RawMessage](t.Context(), serve(t, memURL, mux, nil).client(nil), "Ask", nil)
	isCode(t, "rpc.discover of a client", err, rpc.CodeMethodNotFound)
}

func TestConfigureRefusesBadExamples(t *testing.T) {
	for _, e := range []rpc.Example{{Params: json.RawMessage(`[1`)}, {Params: json.RawMessage(`1`)}, {Result: json.RawMessage(`x`)}} {
		mux := rpc.NewMux(nil)
		noop[int](mux, "m")
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Configure with example %s, %s did not panic", e.Params, e.Result)
				}
			}()
			mux.Configure("m", rpc.MethodOptions{Examples: []rpc.Example{e}})
		}()
	}
}

// Strict validation says where, what was expected and what came.
func TestValidate(t *testing.T) {
	mux := rpc.NewMux(&rpc.MuxOptions{Validate: true})
	noop[point](mux, "point")
	noop[[]int](mux, "ints")
	noop[uint8](mux, "byte")
	noop[mixed](mux, "mixed")
	c := serve(t, memURL, mux, nil).client(nil)
	for _, tt := range []struct{ method, params, message, data string }{
		{"point", `{"x":1,"y":null}`, "/y: expected an integer of 64 bits, got null", `{"path":"/y","expected":"an integer of 64 bits","got":"null"}`},
		{"point", `{"x":1}`, "/y: expected an integer of 64 bits, got nothing", `{"path":"/y","expected":"an integer of 64 bits","got":"nothing"}`},
		{"point", `{"x":1,"y":2,"z":3}`, `/z: expected one of "x", "y", got an unknown name`, `{"path":"/z","expected":"one of \"x\", \"y\"","got":"an unknown name"}`},
		{"point", `[1,"<2>"]`, `/1: expected an integer of 64 bits, got "<2>"`, `{"path":"/1","expected":"an integer of 64 bits","got":"\"<2>\""}`},
		{"point", `[1]`, `/1: expected an integer of 64 bits, got nothing`, `{"path":"/1","expected":"an integer of 64 bits","got":"nothing"}`},
		{"point", `[1,2,3]`, `/2: expected at most 2 values, got one more`, `{"path":"/2","expected":"at most 2 values","got":"one more"}`},
		{"point", `[1,2.0]`, `/1: expected an integer of 64 bits, got 2.0`, `{"path":"/1","expected":"an integer of 64 bits","got":"2.0"}`},
		{"ints", `{}`, "expected an array, got an object", `{"path":"","expected":"an array","got":"an object"}`},
		{"byte", `[256]`, "/0: expected an integer from 0 to 255, got 256", `{"path":"/0","expected":"an integer from 0 to 255","got":"256"}`},
		{"byte", ``, "/0: expected an integer from 0 to 255, got nothing", `{"path":"/0","expected":"an integer from 0 to 255","got":"nothing"}`},
	} {
		var params any
		if tt.params != "" {
			params = json.RawMessage(tt.params)
		}
		_, err := rpc.Call[any](t.Context(), c, tt.method, params)
		e := isCode(t, tt.method+" "+tt.params, err, rpc.CodeInvalidParams)
		if e.Message != "invalid params: "+tt.message || string(e.Data) != tt.data {
			t.Errorf("%s(%s) = %q, %s, want %q, %s", tt.method, tt.params, e.Message, e.Data, tt.message, tt.data)
		}
	}
	long := strings.Repeat("é", 10_000)
	for _, params := range []string{`{"` + long + `":1}`, `["` + long + `",2]`, `[1,2,"` + long + `"]`} {
		_, err := rpc.Call[any](t.Context(), c, "point", json.RawMessage(params))
		if e := isCode(t, params[:20], err, rpc.CodeInvalidParams); len(e.Data) > 700 || !json.Valid(e.Data) {
			t.Errorf("the data for long params has %d bytes: %.100s", len(e.Data), e.Data)
		}
	}
}
