package rpc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/polyport/polyport/rpc"
)

type (
	point struct {
		X int `json:"x"`
		Y int `json:"y"`
	}
	inner struct {
		A int `json:"a"`
		B int `json:"b,omitempty"`
	}
	Outer struct {
		O int
	}
	embedding struct {
		First int `json:"first"`
		inner
		Outer
		Last int `json:"last"`
	}
	embeddingPointer struct {
		*Outer
		Last int `json:"last"`
	}
	embeddingNamed struct {
		Outer `json:"outer"`
		Last  int `json:"last"`
	}
	optional struct {
		Must    int     `json:"must"`
		Pointer *int    `json:"pointer"`
		Empty   string  `json:"empty,omitempty"`
		Zero    float64 `json:"zero,omitzero"`
		Also    int     `json:",omitzero"`
	}
	hidden struct {
		Seen   int `json:"seen"`
		Secret int `json:"-"`
		own    int //nolint:unused // that it is not used is the point
		Plain  int
	}
	wide struct {
		A, B, C, D, E, F, G, H, I, J int
	}
	upper string
)

// UnmarshalText makes upper a type that decodes itself from a string.
func (u *upper) UnmarshalText(b []byte) error {
	*u = upper(strings.ToUpper(string(b)))
	return nil
}

func (o optional) String() string {
	p := "nil"
	if o.Pointer != nil {
		p = strconv.Itoa(*o.Pointer)
	}
	return fmt.Sprintf("%d %s %q %v %d", o.Must, p, o.Empty, o.Zero, o.Also)
}

// A paramsCase is params and what a handler makes of them; "" for
// [rpc.CodeInvalidParams]. Params "" are none.
type paramsCase struct{ params, want string }

// showing registers a handler of P that tells what it got.
func showing[P any](m *rpc.Mux, name string) {
	rpc.Handle(m, name, func(_ context.Context, p P) (string, error) {
		if raw, ok := any(p).(json.RawMessage); ok && raw != nil {
			return string(raw), nil
		} else if ok {
			return "nil", nil
		}
		return fmt.Sprintf("%+v", p), nil
	})
}

// showingPointer is showing for a pointer, which it follows.
func showingPointer[P any](m *rpc.Mux, name string) {
	rpc.Handle(m, name, func(_ context.Context, p *P) (string, error) {
		if p == nil {
			return "nil", nil
		}
		return fmt.Sprintf("%+v", *p), nil
	})
}

var paramsTable = []struct {
	name     string
	register func(m *rpc.Mux, name string)
	lenient  bool
	cases    []paramsCase
}{
	{"struct", showing[point], false, []paramsCase{
		{`{"x":1,"y":2}`, "{X:1 Y:2}"},
		{`{"y":2,"x":1}`, "{X:1 Y:2}"},
		{`[1,2]`, "{X:1 Y:2}"},
		{"[ 1 ,\n2 ]", "{X:1 Y:2}"},
		{`{"x":1,"y":null}`, "{X:1 Y:0}"},
		{`[1,null]`, "{X:1 Y:0}"},
		{`{"\u0078":1,"y":2}`, "{X:1 Y:2}"},
		{``, ""},
		{`{}`, ""},
		{`[]`, ""},
		{`[1]`, ""},
		{`[1,2,3]`, ""},
		{`{"x":1}`, ""},
		{`{"x":1,"y":2,"z":3}`, ""},
		{`{"x":1,"Y":2}`, ""},
		{`{"x":1,"y":2,"x":3}`, ""},
		{`{"x":1,"y":"2"}`, ""},
		{`["1",2]`, ""},
		{`[1,2.5]`, ""},
		{`[1,99999999999999999999]`, ""},
		{`[1,[2]]`, ""},
	}},
	{"struct, lenient", showing[point], true, []paramsCase{
		{`{"x":1,"y":2,"z":3}`, "{X:1 Y:2}"},
		{`{"x":1}`, "{X:1 Y:0}"},
		{`[1]`, "{X:1 Y:0}"},
		{`[]`, "{X:0 Y:0}"},
		{``, "{X:0 Y:0}"},
		{`[1,2,3]`, ""},
		{`{"x":"1"}`, ""},
		{`{"X":1}`, "{X:0 Y:0}"},
	}},
	{"pointer to struct", showingPointer[point], false, []paramsCase{
		{`{"x":1,"y":2}`, "{X:1 Y:2}"},
		{`[1,2]`, "{X:1 Y:2}"},
		{``, ""},
		{`[1]`, ""},
	}},
	{"optional fields", showing[optional], false, []paramsCase{
		{`{"must":1}`, `1 nil "" 0 0`},
		{`[1]`, `1 nil "" 0 0`},
		{`[1,2]`, `1 2 "" 0 0`},
		{`[1,null,"a",2.5,3]`, `1 nil "a" 2.5 3`},
		{`{"must":1,"Also":3,"zero":0.5,"empty":"a","pointer":7}`, `1 7 "a" 0.5 3`},
		{`[]`, ""},
		{`{"pointer":7}`, ""},
		{`[1,2,"a",1,1,1]`, ""},
	}},
	{"hidden fields and fields without a tag", showing[hidden], false, []paramsCase{
		{`{"seen":1,"Plain":2}`, "{Seen:1 Secret:0 own:0 Plain:2}"},
		{`[1,2]`, "{Seen:1 Secret:0 own:0 Plain:2}"},
		{`{"seen":1,"Plain":2,"Secret":3}`, ""},
		{`{"seen":1,"Plain":2,"-":3}`, ""},
		{`{"seen":1,"Plain":2,"own":3}`, ""},
		{`{"seen":1,"plain":2}`, ""},
	}},
	{"embedded structs", showing[embedding], false, []paramsCase{
		{`{"first":1,"a":2,"b":3,"O":4,"last":5}`, "{First:1 inner:{A:2 B:3} Outer:{O:4} Last:5}"},
		{`{"first":1,"a":2,"O":4,"last":5}`, "{First:1 inner:{A:2 B:0} Outer:{O:4} Last:5}"},
		{`[1,2,3,4,5]`, "{First:1 inner:{A:2 B:3} Outer:{O:4} Last:5}"},
		{`{"first":1,"b":3,"O":4,"last":5}`, ""},
		{`[1,2,3,4]`, ""},
		{`{"first":1,"inner":{"a":2},"O":4,"last":5}`, ""},
	}},
	{"embedded struct with a name", showing[embeddingNamed], false, []paramsCase{
		{`{"outer":{"O":1},"last":2}`, "{Outer:{O:1} Last:2}"},
		{`[{"O":1},2]`, "{Outer:{O:1} Last:2}"},
		{`{"outer":{"O":1,"P":1},"last":2}`, ""},
		{`{"O":1,"last":2}`, ""},
	}},
	{"embedded pointer to struct", func(m *rpc.Mux, name string) {
		rpc.Handle(m, name, func(_ context.Context, p embeddingPointer) (string, error) {
			if p.Outer == nil {
				return fmt.Sprintf("nil %d", p.Last), nil
			}
			return fmt.Sprintf("%d %d", p.O, p.Last), nil
		})
	}, false, []paramsCase{
		{`{"O":1,"last":2}`, "1 2"},
		{`[1,2]`, "1 2"},
		{`[1,2,3]`, ""},
		{`{"O":1}`, ""},
	}},
	{"more than eight fields", showing[wide], false, []paramsCase{
		{`[1,2,3,4,5,6,7,8,9,10]`, "{A:1 B:2 C:3 D:4 E:5 F:6 G:7 H:8 I:9 J:10}"},
		{`[1,2,3,4,5,6,7,8,9]`, ""},
		{`{"A":1,"B":2,"C":3,"D":4,"E":5,"F":6,"G":7,"H":8,"I":9}`, ""},
	}},
	{"struct{}", showing[struct{}], false, []paramsCase{
		{``, "{}"},
		{`[]`, "{}"},
		{`{}`, "{}"},
		{`[1]`, ""},
		{`{"x":1}`, ""},
	}},
	{"slice", showing[[]int], false, []paramsCase{
		{`[1,2,3]`, "[1 2 3]"},
		{`[]`, "[]"},
		{``, "[]"},
		{`{"x":1}`, ""},
		{`[1,"2"]`, ""},
	}},
	{"slice of any", showing[[]any], false, []paramsCase{
		{`[1,"a",null,[true],{"x":1}]`, "[1 a <nil> [true] map[x:1]]"},
		{`{}`, ""},
	}},
	{"slice of structs", showing[[]point], false, []paramsCase{
		{`[{"x":1,"y":2},{"x":3}]`, "[{X:1 Y:2} {X:3 Y:0}]"},
		{`[{"x":1,"z":2}]`, ""},
	}},
	{"array", showing[[2]int], false, []paramsCase{
		{`[1,2]`, "[1 2]"},
		{`[1]`, ""},
		{`[1,2,3]`, ""},
		{`{"0":1}`, ""},
	}},
	{"map", showing[map[string]int], false, []paramsCase{
		{`{"x":1,"y":2}`, "map[x:1 y:2]"},
		{`{}`, "map[]"},
		{``, "map[]"},
		{`[1]`, ""},
		{`{"x":"1"}`, ""},
		{`{"x":1,"x":2}`, ""},
	}},
	{"map with numbers for keys", showing[map[int]string], false, []paramsCase{
		{`{"1":"a"}`, "map[1:a]"},
		{`{"a":"a"}`, ""},
	}},
	{"int", showing[int], false, []paramsCase{
		{`[5]`, "5"},
		{`[-5]`, "-5"},
		{``, ""},
		{`[]`, ""},
		{`[1,2]`, ""},
		{`{"x":1}`, ""},
		{`["5"]`, ""},
		{`[5.5]`, ""},
	}},
	{"uint8", showing[uint8], false, []paramsCase{{`[255]`, "255"}, {`[256]`, ""}, {`[-1]`, ""}}},
	{"string", showing[string], false, []paramsCase{{`["a\nb"]`, "a\nb"}, {`[1]`, ""}, {`[["a"]]`, ""}, {"[\"\xff\"]", ""}}},
	{"bool", showing[bool], false, []paramsCase{{`[true]`, "true"}, {`["true"]`, ""}}},
	{"float64", showing[float64], false, []paramsCase{{`[1.5e2]`, "150"}, {`[1e999]`, ""}}},
	{"pointer to int", showingPointer[int], false, []paramsCase{{`[5]`, "5"}, {`[null]`, "nil"}, {``, ""}}},
	{"bytes", showing[[]byte], false, []paramsCase{{`["AQI="]`, "[1 2]"}, {`[1,2]`, ""}, {`["!"]`, ""}}},
	{"a struct that decodes itself: time", showing[time.Time], false, []paramsCase{
		{`["2026-01-02T03:04:05Z"]`, "2026-01-02 03:04:05 +0000 UTC"},
		{`["yesterday"]`, ""},
		{`{"wall":1}`, ""},
	}},
	{"a struct that decodes itself: address", showing[netip.Addr], false, []paramsCase{{`["::1"]`, "::1"}, {`["x"]`, ""}}},
	{"text", showing[upper], false, []paramsCase{{`["abc"]`, "ABC"}, {`[5]`, ""}}},
	{"raw", showing[json.RawMessage], false, []paramsCase{
		{`[1, {"x": 2}]`, `[1, {"x": 2}]`},
		{`{"x":1}`, `{"x":1}`},
		{``, "nil"},
		{"[\"\xff\"]", ""},
	}},
	{"any", showing[any], false, []paramsCase{
		{`[1,"a"]`, "[1 a]"},
		{`{"x":1}`, "map[x:1]"},
		{``, "<nil>"},
		{`{"x":1,"x":2}`, ""},
	}},
}

func TestParams(t *testing.T) {
	for _, tt := range paramsTable {
		t.Run(tt.name, func(t *testing.T) {
			mux := rpc.NewMux(&rpc.MuxOptions{Lenient: tt.lenient})
			tt.register(mux, "m")
			c := serve(t, memURL, mux, nil).client(&rpc.ClientOptions{Codec: looseCodec{rpc.JSON()}})
			for _, tc := range tt.cases {
				checkParams(t, c, tc)
			}
		})
	}
}

func checkParams(t *testing.T, c *rpc.Client, tc paramsCase) {
	t.Helper()
	call := fmt.Sprintf("m with params %q", tc.params)
	var params any
	if tc.params != "" {
		params = loose(tc.params)
	}
	got, err := rpc.Call[string](t.Context(), c, "m", params)
	if tc.want == "" {
		e := isCode(t, call, err, rpc.CodeInvalidParams)
		if why, ok := strings.CutPrefix(e.Message, "invalid params: "); !ok || len(why) < 8 {
			t.Errorf("%s: message = %q, want one that says what is wrong", call, e.Message)
		}
		return
	}
	if err != nil || got != tc.want {
		t.Errorf("%s = %q, %v, want %q, nil", call, got, err, tc.want)
	}
}

// loose is a text that a looseCodec sends as it is, be it JSON or not.
type loose string

type looseCodec struct{ rpc.Codec }

func (c looseCodec) Append(dst []byte, v any) ([]byte, error) {
	if text, ok := v.(loose); ok {
		return append(dst, text...), nil
	}
	return c.Codec.Append(dst, v)
}

// TestParamsMessages: what is wrong with params is said in words that help to
// put it right.
func TestParamsMessages(t *testing.T) {
	mux := rpc.NewMux(nil)
	showing[point](mux, "m")
	showing[[]int](mux, "list")
	showing[map[string]int](mux, "map")
	showing[int](mux, "one")
	c := serve(t, memURL, mux, nil).client(nil)
	for _, tt := range []struct {
		method, params string
		words          []string
	}{
		{"m", `{"x":1}`, []string{`"y" is missing`, "x, y"}},
		{"m", `[1,2,3]`, []string{"at most 2", "x, y", "got 3"}},
		{"m", `{"x":1,"y":2,"z":3}`, []string{`"z"`, "unknown"}},
		{"m", `{"x":1,"y":true}`, []string{"/y"}},
		{"list", `{}`, []string{"array"}},
		{"map", `[]`, []string{"object"}},
		{"one", `[1,2]`, []string{"array of one"}},
	} {
		_, err := rpc.Call[any](t.Context(), c, tt.method, json.RawMessage(tt.params))
		e := isCode(t, tt.method, err, rpc.CodeInvalidParams)
		for _, word := range tt.words {
			if !strings.Contains(e.Message, word) {
				t.Errorf("%s(%s): message = %q, want one with %q", tt.method, tt.params, e.Message, word)
			}
		}
	}
}
