package app_test

import (
	"encoding/json"
	"testing"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/rpc/openrpc"
	"github.com/polyport/polyport/rpc/openrpc/openrpctest"
)

// The document of the sample server is one by the meta-schema, says something of
// every method, and its examples give what they say.
func TestDiscover(t *testing.T) {
	c := dial(t, start(t, app.Config{}).url(), nil)
	text, err := rpc.Call[json.RawMessage](t.Context(), c, "rpc.discover", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := openrpctest.Validate(text); err != nil {
		t.Error(err)
	}
	d, err := openrpc.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Methods) == 0 {
		t.Error("the document has no methods")
	}
	examples := 0
	for _, m := range d.Methods {
		if m.Summary == "" {
			t.Errorf("%s has no summary", m.Name)
		}
		check := m.Checker(d.Schemas())
		for _, e := range m.Examples {
			examples++
			var params any
			if call := e.Call(); call != nil {
				params = call
			}
			if found := check.Check(e.Call()); found != nil {
				t.Errorf("%s, example %s: %v", m.Name, e.Name, found)
			}
			if got, err := rpc.Call[json.RawMessage](t.Context(), c, m.Name, params); err != nil || string(got) != string(e.Result.Value) {
				t.Errorf("%s, example %s: %s(%s) = %s, %v, want %s", m.Name, e.Name, m.Name, e.Call(), got, err, e.Result.Value)
			}
		}
	}
	if examples < 7 {
		t.Errorf("there are %d examples, want 7 or more", examples)
	}
}
