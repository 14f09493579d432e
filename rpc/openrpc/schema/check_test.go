package schema_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/polyport/polyport/rpc/openrpc/schema"
)

func parse(tb testing.TB, text string) *jsonschema.Schema {
	tb.Helper()
	s := new(jsonschema.Schema)
	if err := json.Unmarshal([]byte(text), s); err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestCheck(t *testing.T) {
	definitions := map[string]*jsonschema.Schema{
		"Tree": parse(t, `{"type":"object","properties":{"kids":{"type":"array","items":{"$ref":"#/components/schemas/Tree"}},"n":{"type":"integer"}},"additionalProperties":false}`),
		"Loop": {Ref: schema.Prefix + "Loop"},
	}
	c := schema.Checker{Definitions: definitions}
	for _, tt := range []struct{ schema, value, want string }{
		{`true`, `[1]`, ""},
		{`false`, `1`, "expected nothing here, got 1"},
		{`{"type":"null"}`, `0`, "expected null, got 0"},
		{`{"type":"boolean"}`, `1`, "expected true or false, got 1"},
		{`{"type":"string"}`, `true`, "expected a string, got true"},
		{`{"type":["string","null"]}`, `true`, "expected a string, got true"},
		{`{"type":["string","integer"]}`, `true`, "expected a string or an integer, got true"},
		{`{"type":"strange"}`, `true`, ""},
		{`{"type":"integer"}`, `1e3`, "expected an integer, got 1e3"},
		{`{"type":"integer"}`, `1.0`, "expected an integer, got 1.0"},
		{`{"type":"integer","format":"int64"}`, `9223372036854775807`, ""},
		{`{"type":"integer","format":"int64"}`, `9223372036854775808`, "expected an integer of 64 bits, got 9223372036854775808"},
		{`{"type":"integer","format":"int64"}`, `-9223372036854775808`, ""},
		{`{"type":"integer","format":"int64"}`, `-9223372036854775809`, "expected an integer of 64 bits, got -9223372036854775809"},
		{`{"type":"integer","format":"uint64"}`, `18446744073709551615`, ""},
		{`{"type":"integer","format":"uint64"}`, `18446744073709551616`, "expected an integer of 64 bits, got 18446744073709551616"},
		{`{"type":"integer","minimum":0}`, `-1`, "expected an integer of at least 0, got -1"},
		{`{"type":"number","maximum":1.5}`, `1.6`, "expected a number of at most 1.5, got 1.6"},
		{`{"type":"number","minimum":1,"exclusiveMaximum":2}`, `2`, "expected a number from 1 to 2, got 2"},
		{`{"type":"number","exclusiveMinimum":1}`, `1.00000000000000000001`, ""},
		{`{"type":"number","maximum":1e300}`, `1e999999999`, "expected a number of at most 1e+300, got 1e999999999"},
		{`{"type":"string","maxLength":2}`, `"éé"`, ""},
		{`{"type":"string","maxLength":2}`, `"ééé"`, `expected a string of another length, got "ééé"`},
		{`{"enum":[1,"a",null]}`, `"b"`, `expected one of 1, "a", null, got "b"`},
		{`{"enum":[{"a":1.0}]}`, `{ "a" : 1 }`, ""},
		{`{"const":[1]}`, `[2]`, "expected [1], got an array"},
		{`{"type":"array","items":{"type":"integer"}}`, `[1,[2],3]`, "/1: expected an integer, got an array"},
		{`{"type":"array","minItems":2,"maxItems":2}`, `[1]`, "expected at least 2 values, got 1"},
		{`{"type":"array","minItems":2,"maxItems":2}`, `[1,2,3]`, "/2: expected at most 2 values, got one more"},
		{`{"type":"array","prefixItems":[{"type":"integer"}],"items":false}`, `[1,2]`, "/1: expected at most 1 value, got one more"},
		{`{"type":"array","items":[{"type":"integer"}],"additionalItems":{"type":"string"}}`, `[1,2]`, "/1: expected a string, got 2"},
		{`{"type":"object","required":["a~/b"],"properties":{"a~/b":{"type":"integer"}}}`, `{}`, "/a~0~1b: expected an integer, got nothing"},
		{`{"type":"object","properties":{"a":{"anyOf":[{"type":"null"},{"type":"string"}]}},"required":["a"]}`, `{"a":1}`, "/a: expected a string, got 1"},
		{`{"type":"object","properties":{"a":{}},"additionalProperties":false}`, `{"a":1,"b":2}`, `/b: expected one of "a", got an unknown name`},
		{`{"type":"object","additionalProperties":{"type":"integer"}}`, `{"a":{"b":1}}`, "/a: expected an integer, got an object"},
		{`{"anyOf":[{"type":"object","properties":{"a":{"type":"integer"}}},{"type":"array"}]}`, `{"a":true}`, "/a: expected an integer, got true"},
		{`{"type":"object","properties":{"x":{"oneOf":[{"type":"string"},{"type":"array","items":{"type":"string"}},{"type":"boolean"}]}}}`, `{"x":["a",1]}`, "/x/1: expected a string, got 1"},
		{`{"allOf":[{"type":"integer"},{"minimum":3}]}`, `2`, "expected another value, got 2"},
		{`{"$ref":"#/components/schemas/Tree"}`, `{"kids":[{"kids":[{"n":"x"}]}]}`, `/kids/0/kids/0/n: expected an integer, got "x"`},
		{`{"$ref":"#/components/schemas/Loop"}`, `1`, ""},
		{`{"$ref":"#/components/schemas/None"}`, `1`, ""},
		{`{"$ref":"http://example.org"}`, `1`, ""},
		{`{"type":"array"}`, `[1`, ""}, // no JSON: the decoder says more
		{`{"type":"string"}`, ``, ""},
	} {
		got := ""
		if found := c.Check(parse(t, tt.schema), []byte(tt.value)); found != nil {
			got = found.String()
		}
		if got != tt.want {
			t.Errorf("Check(%s, %s) = %q, want %q", tt.schema, tt.value, got, tt.want)
		}
	}
}

// A schema of a stranger cannot make checking take long: choices inside choices
// are tried up to a bound, and a deep value is read once. Without the bounds the
// test would not end.
func TestCheckIsBounded(t *testing.T) {
	bomb := parse(t, `{"anyOf":[{"items":{"$ref":"#/components/schemas/B"}},{"items":{"$ref":"#/components/schemas/B"}},{"items":{"$ref":"#/components/schemas/B"}}]}`)
	c := schema.Checker{Definitions: map[string]*jsonschema.Schema{"B": bomb, "L": parse(t, `{"type":"array","items":{"$ref":"#/components/schemas/L"}}`)}}
	deep := strings.Repeat("[", 900) + "1" + strings.Repeat("]", 900)
	c.Check(bomb, []byte(deep))
	if found := c.Check(&jsonschema.Schema{Ref: schema.Prefix + "L"}, []byte(deep)); found == nil || len(found.String()) > 500 {
		t.Errorf("Check() = %v, want a short path", found)
	}
}

func BenchmarkCheck(b *testing.B) {
	c := schema.Checker{}
	for _, bb := range []struct{ name, schema, value string }{
		{"struct", `{"type":"object","required":["x","y"],"properties":{"x":{"type":"integer"},"y":{"type":"integer"}},"additionalProperties":false}`, `{"x":1,"y":2}`},
		{"numbers", `{"type":"array","items":{"type":"number"}}`, "[" + strings.Repeat("1.5,", 999) + "1]"},
	} {
		s := parse(b, bb.schema)
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if c.Check(s, []byte(bb.value)) != nil {
					b.Fatal("mismatch")
				}
			}
		})
	}
}
