package rpc

import (
	"encoding/json"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// MethodOptions say more of a method than the types of its handler do. The zero
// value says nothing.
type MethodOptions struct {
	// Summary is one sentence for people, Description as many as are needed,
	// in Markdown. Both are for the document of rpc.discover.
	Summary, Description string
	// Errors are those that the handler returns, for the document.
	Errors []*Error
	// Examples are for the document.
	Examples []Example
	// Async lets a caller leave and come back for the result: a call that came
	// with a handle (see [Detach]) goes on when its connection ends, and where
	// its answer would hold up others it is answered with an acknowledgement
	// after [AsyncOptions].Grace.
	Async bool
}

// An Example is a call of a method with what comes of it.
type Example struct {
	// Name tells it from others.
	Name string
	// Params and Result are JSON texts. Params is an array or an object; nil
	// means a call without any.
	Params, Result json.RawMessage
}

// Configure says more of the method called name, in place of what an earlier
// Configure said. It panics if there is no such method or an example is no JSON:
// that is a mistake in the program. Like [Handle] it is for before the Mux is used.
func (m *Mux) Configure(name string, o MethodOptions) {
	h := m.find([]byte(name))
	if h == nil {
		panic(fmt.Sprintf("rpc: there is no method %s to configure", name))
	}
	for _, e := range o.Examples {
		if !e.valid() {
			panic(fmt.Sprintf("rpc: example %q of %s is not JSON, or its params are no array or object", e.Name, name))
		}
	}
	h.o.Store(&o)
	m.document.changed()
}

func (e Example) valid() bool {
	kind := jsontext.Value(e.Params).Kind()
	return (e.Params == nil || jsontext.Value(e.Params).IsValid() && (kind == '[' || kind == '{')) &&
		(e.Result == nil || jsontext.Value(e.Result).IsValid())
}
