package rpc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"pgregory.net/rapid"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/rpc/openrpc"
)

type (
	tree struct {
		Name     string           `json:"name"`
		Children []tree           `json:"children,omitempty"`
		Parent   *tree            `json:"parent"`
		By       map[string]*tree `json:"by,omitempty"`
	}
	list  []list
	twin  [2]point
	mixed struct {
		B    bool                `json:"b"`
		I8   int8                `json:"i8"`
		U8   uint8               `json:"u8,omitempty"`
		I64  int64               `json:"i64"`
		U64  uint64              `json:"u64,omitempty"`
		F32  float32             `json:"f32,omitempty"`
		F64  float64             `json:"f64"`
		S    string              `json:"s"`
		P    *point              `json:"p"`
		PP   **int               `json:"pp"`
		Any  any                 `json:"any,omitempty"`
		Raw  json.RawMessage     `json:"raw,omitempty"`
		M    map[int]point       `json:"m,omitempty"`
		U    map[uint8]bool      `json:"u,omitempty"`
		Arr  [2]int              `json:"arr,omitzero"`
		L    []point             `json:"l,omitempty"`
		In   struct{ X, Y int }  `json:"in"`
		Odd  int                 `json:"a b/c~d"`
		Tx   upper               `json:"tx,omitempty"`
		Keys map[upper][]float64 `json:"keys,omitempty"`
	}
	shadowed struct {
		inner

		A string `json:"a"`
	}
	times struct {
		T time.Time  `json:"t"`
		A netip.Addr `json:"a,omitzero"`
		B []byte     `json:"b,omitempty"`
		F [3]byte    `json:"f,omitzero"`
	}
)

// noop registers a method that takes P.
func noop[P any](m *rpc.Mux, name string) {
	rpc.Handle(m, name, func(context.Context, P) (P, error) { var zero P; return zero, nil })
}

// Types whose schemas are exact, so that the binder has to take the same.
var schemaTable = []struct {
	name     string
	register func(m *rpc.Mux, name string)
}{
	{"struct", noop[point]},
	{"pointer to struct", noop[*point]},
	{"embedded structs", noop[embedding]},
	{"embedded pointer", noop[embeddingPointer]},
	{"embedded with a name", noop[embeddingNamed]},
	{"optional fields", noop[optional]},
	{"hidden fields", noop[hidden]},
	{"shadowed field", noop[shadowed]},
	{"wide", noop[wide]},
	{"nothing", noop[struct{}]},
	{"mixed", noop[mixed]},
	{"tree", noop[tree]},
	{"slice of trees", noop[[]tree]},
	{"list of lists", noop[list]},
	{"slice", noop[[]int]},
	{"slice of pointers", noop[[]*float64]},
	{"array", noop[[2]int]},
	{"array with a name", noop[twin]},
	{"map", noop[map[string]int]},
	{"map by numbers", noop[map[int16]string]},
	{"map of maps", noop[map[string]map[string]point]},
	{"int", noop[int]},
	{"uint64", noop[uint64]},
	{"int64", noop[int64]},
	{"string", noop[string]},
	{"pointer to int", noop[*int]},
	{"pointer to pointer", noop[**point]},
	{"text", noop[upper]},
	{"raw", noop[json.RawMessage]},
	{"any", noop[any]},
}

// A verdict is what a JSON Schema validator that is not ours says.
type verdict func(t rapid.TB, params string) bool

// judge returns the verdict on a method's params as the document has them.
func judge(t *testing.T, d *openrpc.Document, m *openrpc.Method, nulls bool) verdict {
	t.Helper()
	text := func(v any) string {
		out, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(string(out), "#/components/schemas/", "#/definitions/")
	}
	var root map[string]any
	schema := m.Schema().CloneSchemas()
	schema.Title = "params" // or one that takes everything is not an object
	if err := json.Unmarshal([]byte(text(schema)), &root); err != nil {
		t.Fatal(err)
	}
	var definitions map[string]any
	if err := json.Unmarshal([]byte(text(d.Schemas())), &definitions); err != nil {
		t.Fatal(err)
	}
	root["definitions"] = definitions
	if nulls {
		takeNulls(root)
	}
	root["$schema"] = "http://json-schema.org/draft-07/schema#"
	var s jsonschema.Schema
	if err := json.Unmarshal([]byte(text(root)), &s); err != nil {
		t.Fatal(err)
	}
	resolved, err := s.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	return func(t rapid.TB, params string) bool {
		d := json.NewDecoder(strings.NewReader(params))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		return resolved.Validate(numbers(v)) == nil
	}
}

// numbers makes numbers of the json.Numbers in v, as exact as Go's are.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return i
		}
		if u, err := strconv.ParseUint(v.String(), 10, 64); err == nil {
			return u
		}
		f, _ := v.Float64()
		return f
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = numbers(v[name])
		}
	}
	return v
}

// takeNulls makes all schemas inside v take null.
func takeNulls(v any) {
	switch v := v.(type) {
	case map[string]any:
		switch kind := v["type"].(type) {
		case string:
			v["type"] = []any{kind, "null"}
		case []any:
			if !slices.Contains(kind, any("null")) {
				v["type"] = append(kind, "null")
			}
		}
		for _, inner := range v {
			takeNulls(inner)
		}
	case []any:
		for _, inner := range v {
			takeNulls(inner)
		}
	}
}

// TestSchemaIsWhatTheBinderTakes holds the document and the server together:
// what the schema allows the binder takes, and the other way round but for null,
// which the binder takes for every zero value. Our checker says the same as a
// validator of others.
func TestSchemaIsWhatTheBinderTakes(t *testing.T) {
	for _, tt := range schemaTable {
		for _, lenient := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/lenient=%t", tt.name, lenient), func(t *testing.T) {
				mux, strict := rpc.NewMux(&rpc.MuxOptions{Lenient: lenient}), rpc.NewMux(&rpc.MuxOptions{Lenient: lenient, Validate: true})
				tt.register(mux, "m")
				tt.register(strict, "m")
				d := mux.Document()
				if err := d.Validate(); err != nil {
					t.Fatal(err)
				}
				m := d.Method("m")
				allowed, allowedWithNulls, check := judge(t, d, m, false), judge(t, d, m, true), m.Checker(d.Schemas())
				loose, validating := serve(t, memURL, mux, nil).client(nil), serve(t, memURL, strict, nil).client(nil)
				taken := func(c *rpc.Client, params string) bool {
					return c.Call(context.Background(), "m", json.RawMessage(params), nil) == nil
				}
				rapid.Check(t, func(t *rapid.T) {
					params := drawParams(d, m).Draw(t, "params")
					schema, binder, found := allowed(t, params), taken(loose, params), check.Check([]byte(params))
					if schema && !binder {
						t.Fatalf("the schema allows %s, the binder refuses it", params)
					}
					if binder && !allowedWithNulls(t, params) {
						t.Fatalf("the binder takes %s, the schema forbids it (%v)", params, found)
					}
					if schema != (found == nil) {
						t.Fatalf("%s: the schema allows it: %t, the checker says %v", params, schema, found)
					}
					if strict := taken(validating, params); strict != schema {
						t.Fatalf("%s: the schema allows it: %t, the strict server: %t", params, schema, strict)
					}
				})
			})
		}
	}
}
