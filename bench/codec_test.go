package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/polyport/polyport/rpc"
)

// codecs are held to the same answers.
var codecs = map[string]rpc.Codec{"rpc.JSON": rpc.JSON(), "goccy": goccyCodec{}}

type pair struct {
	Name string `json:"name"`
	N    int    `json:"n"`
}

func TestCodecsDecode(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	cases := []struct {
		text string
		to   any // of what type
		want any // nil if it must be refused
	}{
		{`{"name":"a\n\u00e9","n":1}`, pair{}, pair{"a\né", 1}},
		{`{"n":1,"n":2}`, pair{}, nil},
		{`{"n":1,"n":2}`, map[string]int{}, nil},
		{`{"x":{"n":1,"n":2}}`, pair{}, nil},
		{`{"N":1,"NAME":"a"}`, pair{}, pair{}},
		{`{"n":1,"more":[2]}`, pair{}, pair{N: 1}},
		{`{"n":1.5}`, pair{}, nil},
		{`{"n":1e400}`, map[string]float64{}, nil},
		{`{"n":9223372036854775807}`, pair{}, pair{N: 1<<63 - 1}},
		{`{"n":9223372036854775808}`, pair{}, nil},
		{`123456789012345678901234567890`, float64(0), 123456789012345678901234567890.0},
		{`{"name":1}`, pair{}, nil},
		{`{"name":null}`, pair{}, pair{}},
		{"{\"name\":\"\xff\"}", pair{}, nil},
		{"{\"\xff\":1}", map[string]int{}, nil},
		{`{"name":"\ud800"}`, pair{}, nil},
		{`{"name":"\ud83d\ude00"}`, pair{}, pair{Name: "😀"}},
		{"{\"name\":\"a\nb\"}", pair{}, nil},
		{"{\"name\":\"a\x00b\"}", pair{}, nil},
		{`{"name":"\u0000"}`, pair{}, pair{Name: "\x00"}},
		{`{"a":01}`, map[string]int{}, nil},
		{`{"a":01}`, json.RawMessage{}, nil},
		{`{"a":[}`, json.RawMessage{}, nil},
		{"{\"a\":\"\xff\"}", json.RawMessage{}, nil},
		{`{"a":1,"a":2}`, json.RawMessage{}, nil},
		{`{"a":[1, 2]}`, json.RawMessage{}, json.RawMessage(`{"a":[1, 2]}`)},
		{`[1,"a",{"b":null}]`, new(any), []any{1.0, "a", map[string]any{"b": nil}}},
		{`[1] 2`, []int{}, nil},
		{`[1,]`, []int{}, nil},
		{`[1 , 2]`, []int{}, []int{1, 2}},
		{``, []int{}, nil},
		{"\ufeff[1]", []int{}, nil},
		{nested(1000), json.RawMessage{}, json.RawMessage(nested(1000))},
		{nested(20000), new(any), nil},
		{nested(20000), json.RawMessage{}, nil},
		{`"AQID"`, []byte{}, []byte{1, 2, 3}},
	}
	for name, codec := range codecs {
		for _, c := range cases {
			of := reflect.TypeOf(c.to)
			if of == reflect.TypeFor[*any]() {
				of = of.Elem()
			}
			to, data := reflect.New(of), []byte(c.text)
			err := codec.Decode(data, to.Interface())
			copy(data, bytes.Repeat([]byte("x"), len(data))) // nothing may refer to it
			if got := to.Elem().Interface(); (err != nil) != (c.want == nil) || err == nil && !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s: Decode(%.50q) = %.100s, %v, want %.100s", name, c.text, fmt.Sprintf("%#v", got), err, fmt.Sprintf("%#v", c.want))
			}
		}
		for _, text := range []string{`{"n":1,"more":2}`, `{"N":1}`, `{"n":1,"n":2}`} {
			if err := codec.DecodeStrict([]byte(text), new(pair)); err == nil {
				t.Errorf("%s: DecodeStrict(%s) = nil, want an error", name, text)
			}
		}
		if p := new(pair); codec.DecodeStrict([]byte(`{"n":1}`), p) != nil || p.N != 1 {
			t.Errorf("%s: DecodeStrict made it %v, want n to be 1", name, p)
		}
	}
}

func TestCodecsAppend(t *testing.T) {
	cases := []struct {
		v    any
		want string // "" if it must be refused
	}{
		{pair{"<&> \u2028 é \x00\x1f\x7f \"\\/\n", -1}, "{\"name\":\"<&> \u2028 é \\u0000\\u001f\x7f \\\"\\\\/\\n\",\"n\":-1}"},
		{"\xff", ""},
		{map[string]int{"b": 1}, `{"b":1}`},
		{[]float64{1, 1e21, 1e-7, -0.5}, `[1,1e+21,1e-7,-0.5]`},
		{[]int(nil), `[]`},
		{map[string]int(nil), `{}`},
		{(*int)(nil), `null`},
		{nil, `null`},
		{[]byte{1, 2, 3}, `"AQID"`},
		{json.RawMessage(`{"a":1}`), `{"a":1}`},
		{json.RawMessage(`{"a":01}`), ""},
		{json.RawMessage(`{"a":[}`), ""},
		{json.RawMessage(nil), `null`},
		{struct{ A any }{make(chan int)}, ""},
	}
	for name, codec := range codecs {
		for _, c := range cases {
			got, err := codec.Append([]byte("before"), c.v)
			if (err != nil) != (c.want == "") || err == nil && string(got) != "before"+c.want {
				t.Errorf("%s: Append(%#v) = %s, %v, want %s", name, c.v, got, err, c.want)
			}
		}
	}
}
