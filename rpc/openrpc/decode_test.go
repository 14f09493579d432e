package openrpc_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/polyport/polyport/rpc/openrpc"
)

func with(methods, components string) string {
	return `{"openrpc":"1.3.2","info":{"title":"a","version":"1"},"methods":[` + methods + `],"components":{` + components + `}}`
}

func TestDecodeRefuses(t *testing.T) {
	param := func(p string) string { return with(`{"name":"m","params":[`+p+`]}`, "") }
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", ``, "EOF"},
		{"no JSON", `{"openrpc"`, "EOF"},
		{"another value", `7`, "unmarshal"},
		{"two values", `{"openrpc":"1.4.1","info":{"title":"a","version":"1"},"methods":[]}{}`, "after top-level value"},
		{"a name twice", `{"openrpc":"1.4.1","openrpc":"1.4.1","info":{"title":"a","version":"1"},"methods":[]}`, "duplicate"},
		{"a name twice in a schema", param(`{"name":"p","schema":{"type":"string","type":"string"}}`), "duplicate"},
		{"invalid UTF-8", "{\"openrpc\":\"1.4.1\",\"info\":{\"title\":\"\xff\",\"version\":\"1\"},\"methods\":[]}", "UTF-8"},
		{"another version", `{"openrpc":"2.0.0","info":{"title":"a","version":"1"},"methods":[]}`, "not a version 1"},
		{"no info", `{"openrpc":"1.4.1","methods":[]}`, "info lacks"},
		{"no methods", `{"openrpc":"1.4.1","info":{"title":"a","version":"1"}}`, "methods is missing"},
		{"a method that is null", with(`null`, ""), "null"},
		{"a method without a name", with(`{"params":[]}`, ""), "no name"},
		{"two methods", with(`{"name":"m","params":[]},{"name":"m","params":[]}`, ""), `two methods "m"`},
		{"no params", with(`{"name":"m"}`, ""), "params is missing"},
		{"a structure that there is not", with(`{"name":"m","params":[],"paramStructure":"x"}`, ""), "paramStructure"},
		{"a parameter that is null", param(`null`), "null in the place"},
		{"a parameter without a name", param(`{"schema":{}}`), "lacks its name"},
		{"a parameter without a schema", param(`{"name":"p"}`), "whole schema"},
		{"a schema that is a number", param(`{"name":"p","schema":7}`), "unmarshal"},
		{"a schema with a hole", param(`{"name":"p","schema":{"properties":{"a":{"anyOf":[null]}}}}`), "whole schema"},
		{"two parameters", param(`{"name":"p","schema":{}},{"name":"p","schema":{}}`), "two parameters"},
		{"required after optional", param(`{"name":"p","schema":{}},{"name":"q","required":true,"schema":{}}`), "after one that is not"},
		{"a reference to elsewhere", param(`{"$ref":"http://example.org/x.json"}`), "does not lead"},
		{"a reference to another kind", param(`{"$ref":"#/components/schemas/A"}`), "does not lead"},
		{"a reference to nothing", param(`{"$ref":"#/components/contentDescriptors/A"}`), "leads nowhere"},
		{"a reference to itself", with(`{"name":"m","params":[{"$ref":"#/components/contentDescriptors/A"}]}`, `"contentDescriptors":{"A":{"$ref":"#/components/contentDescriptors/A"}}`), "leads nowhere"},
		{"a result without a schema", with(`{"name":"m","params":[],"result":{"name":"r"}}`, ""), "result"},
		{"two errors with a code", with(`{"name":"m","params":[],"errors":[{"code":1,"message":"a"},{"code":1,"message":"b"}]}`, ""), "error"},
		{"an example without a value", with(`{"name":"m","params":[],"examples":[{"name":"e","params":[{"name":"p"}]}]}`, ""), "example"},
		{"an example without params", with(`{"name":"m","params":[],"examples":[{"name":"e"}]}`, ""), "example"},
		{"a component with a hole", with("", `"schemas":{"A":{"items":[null]}}`), "hole"},
		{"a component that is null", with("", `"schemas":{"A":null}`), "hole"},
		{"nesting", param(`{"name":"p","schema":` + strings.Repeat(`{"items":`, 70) + `true` + strings.Repeat(`}`, 70) + `}`), "deeper than 64"},
		{"size", `"` + strings.Repeat("x", openrpc.MaxSize) + `"`, "bytes, more than"},
	} {
		d, err := openrpc.Decode([]byte(tt.text))
		if d != nil || !errors.Is(err, openrpc.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Decode() = %v, %v, want ErrInvalid with %q", tt.name, d, err, tt.want)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("%s: the error has %d bytes", tt.name, len(err.Error()))
		}
	}
}

// References lead to components, names are unescaped, what is not known is
// passed over.
func TestDecodeFollowsReferences(t *testing.T) {
	text := with(`{"name":"m","x-more":1,"servers":[],"links":[],"params":[{"$ref":"#/components/contentDescriptors/a~1b"}],"result":{"$ref":"#/components/contentDescriptors/R"},
		"errors":[{"$ref":"#/components/errors/E"}],"tags":[{"$ref":"#/components/tags/T"}],
		"examples":[{"$ref":"#/components/examplePairings/P"}]}`,
		`"contentDescriptors":{"a/b":{"name":"p","schema":{"$ref":"#/components/schemas/S"}},"R":{"name":"r","schema":true}},
		"errors":{"E":{"code":5,"message":"five"}},"tags":{"T":{"name":"tag"}},"schemas":{"S":{"type":"string"}},
		"examplePairings":{"P":{"name":"e","params":[{"$ref":"#/components/examples/X"}],"result":{"$ref":"#/components/examples/X"}}},"examples":{"X":{"name":"p","value":"v"}}`)
	d, err := openrpc.Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	m := d.Method("m")
	if m.Params[0].Name != "p" || m.Result.Name != "r" || m.Errors[0].Code != 5 || m.Tags[0].Name != "tag" || string(m.Examples[0].Result.Value) != `"v"` {
		t.Errorf("Decode() = %+v", m)
	}
	if got := string(m.Examples[0].Call()); got != `{"p":"v"}` {
		t.Errorf("Call() = %s", got)
	}
	if d.Method("none") != nil {
		t.Error("there is a method none")
	}
	check := m.Checker(d.Schemas())
	if found := check.Check([]byte(`{"p":7}`)); found == nil || found.String() != "/p: expected a string, got 7" {
		t.Errorf("Check() = %v", found)
	}
	if found := check.Check([]byte(`["x"]`)); found != nil {
		t.Errorf("Check() = %v", found)
	}
	once, err := d.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	d2, err := openrpc.Decode(once)
	if err != nil {
		t.Fatalf("%v in %s", err, once)
	}
	if twice, err := d2.Append(nil); err != nil || !bytes.Equal(twice, once) {
		t.Errorf("written, read and written again it is\n%s, %v, was\n%s", twice, err, once)
	}
}

func TestCheckerByStructure(t *testing.T) {
	for _, tt := range []struct{ structure, params, want string }{
		{"either", `{"a":1,"b":2}`, ""},
		{"either", ` [1,2]`, ""},
		{"either", `[1]`, ""},
		{"either", ``, "/a: expected an integer, got nothing"},
		{"by-name", `[1]`, "expected an object, got an array"},
		{"by-name", ``, "/a: expected an integer, got nothing"},
		{"by-position", `{"a":1}`, "expected an array, got an object"},
		{"by-position", ``, "/0: expected an integer, got nothing"},
		{"by-position", `[1,2,3]`, "/2: expected at most 2 values, got one more"},
	} {
		d, err := openrpc.Decode([]byte(with(`{"name":"m","paramStructure":"`+tt.structure+`","params":[{"name":"a","required":true,"schema":{"type":"integer"}},{"name":"b","schema":{"type":"integer"}}]}`, "")))
		if err != nil {
			t.Fatal(err)
		}
		var params []byte
		if tt.params != "" {
			params = []byte(tt.params)
		}
		got := ""
		if found := d.Method("m").Checker(nil).Check(params); found != nil {
			got = found.String()
		}
		if got != tt.want {
			t.Errorf("%s, Check(%s) = %q, want %q", tt.structure, tt.params, got, tt.want)
		}
	}
}

// The document that is the most work to decode is taken, and one that is more is
// refused before it is decoded. How long the first takes is logged: about a second.
func TestDecodeIsBounded(t *testing.T) {
	levels := (openrpc.MaxDepth - 8) / 2
	nested := func(size int) string {
		return with(`{"name":"m","params":[{"name":"p","schema":`+strings.Repeat(`{"properties":{"a":`, levels)+`{"title":"`+strings.Repeat("x", size)+`"}`+strings.Repeat(`}}`, levels)+`}]}`, "")
	}
	text := nested(openrpc.MaxWork/openrpc.MaxDepth - 2000)
	began := time.Now()
	_, err := openrpc.Decode([]byte(text))
	t.Logf("Decode of %d bytes = %v after %v", len(text), err, time.Since(began))
	if err != nil {
		t.Error("want nil")
	}
	if _, err := openrpc.Decode([]byte(nested(openrpc.MaxWork / openrpc.MaxDepth * 2))); !errors.Is(err, openrpc.ErrInvalid) {
		t.Errorf("Decode of twice as much = %v, want ErrInvalid", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range [][2]string{
		{with(`{"name":"m","params":[{"name":"a","required":true,"schema":{"type":"integer","minimum":0}},{"name":"b","schema":true}],"result":{"name":"r","schema":{"type":"null"}}}`, ""), `{"a":1}`},
		{with(`{"name":"m","params":[],"x-params":{"type":"array","items":{"type":["string","null"],"maxLength":3}},"errors":[{"code":1,"message":"x","data":null}]}`, ""), `["a",null]`},
		{with(`{"name":"m","paramStructure":"by-position","params":[{"$ref":"#/components/contentDescriptors/C"}],"examples":[{"name":"e","params":[{"name":"0","value":[]}]}]}`,
			`"contentDescriptors":{"C":{"name":"c","schema":{"type":"object","properties":{"x":{"enum":[1,{}]}},"required":["x"],"additionalProperties":false}}}`), `[{"x":{}}]`},
	} {
		f.Add([]byte(seed[0]), []byte(seed[1]))
	}
	f.Add([]byte(with(`{"name":"m","params":[{"name":"p","schema":{"anyOf":[{"$ref":"#/components/schemas/A"},{"type":"null"}]}}]}`, `"schemas":{"A":{"$ref":"#/components/schemas/A"}}`)), []byte(`[1]`))
	f.Fuzz(func(t *testing.T, text, params []byte) {
		d, err := openrpc.Decode(text)
		if err != nil {
			if !errors.Is(err, openrpc.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		if err := d.Validate(); err != nil {
			t.Fatalf("Validate() = %v after Decode", err)
		}
		for _, m := range d.Methods {
			if found := m.Checker(d.Schemas()).Check(params); found != nil && len(fmt.Sprint(found)) > 1000 {
				t.Fatalf("a mismatch of %d bytes", len(found.String()))
			}
			for _, e := range m.Examples {
				_ = e.Call()
			}
		}
		once, err := d.Append(nil)
		if err != nil {
			t.Fatalf("Append() = %v of %s", err, text)
		}
		d2, err := openrpc.Decode(once)
		if err != nil {
			if len(once) > openrpc.MaxSize {
				return // what was shared is written often
			}
			t.Fatalf("Decode(Append()) = %v of %s", err, once)
		}
		if twice, err := d2.Append(nil); err != nil || !bytes.Equal(twice, once) {
			t.Fatalf("it changes when it is read and written again: %v\n%s\n%s", err, once, twice)
		}
	})
}
