package rpc_test

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/polyport/polyport/rpc"
)

// plainTexts are JSON texts that the codec may read by itself, and others that
// look like them.
var plainTexts = []string{
	"0", "-0", "1", "-1", "12", "01", "-01", "-", "", "+1", "1.", ".5", "1.5", "-0.0", "0e0", "1e5", "1E+5", "1e-5", "1e", "1e400",
	"-1e400", "1e-400", "999999999999999", "1000000000000000", "-99999999999999", "-999999999999999", "9007199254740993",
	"9223372036854775807", "9223372036854775808", "-9223372036854775808", "18446744073709551616", "0x10", "1_0", "Inf", "NaN",
	"null", "true", `"1"`, `""`, "1 ", " 1", "1 2", "1,2", "1]", "[", "]", "[]", "[ ]", "[1", "[1]", "[1]]", "[1],", "[1,]", "[,1]", "[1,,2]",
	"[1 ,2]", "[1, 2]", "[1,2,3]", "[0,-0,1.5,1e3,-1e-3]", "[01]", "[1.]", "[1,null]", "[null]", `[1,"2"]`, "[1,[2]]", "[[1]]", "[1,2",
	"[1.5,2e400]", "[99999999999999999999]", "[1}", "{}", "\ufeff1", "[1]\x00", "[1\n]",
	"true", "false", "tru", "truee", "falsey", `"a"`, `"`, `"a`, `"a"b`, `"\n\t\"\\\/\b\f\r"`, `"\u00e9\ud83d\ude00"`, `"\ud83d"`, `"\ud83dx"`, `"\x"`,
	"\"\n\"", "\"\xff\"", "\"\\n\xff\"", "\"\u2028\x7f\"", `["a","b\n"]`, `["a",null]`, `["a" ,"b"]`, `["a""b"]`, `[true]`,
	`{}`, `{"Number":1}`, `{"Number":1,"Number":2}`, `{"number":1}`, `{"Number":1,"x":2}`, `{"Number":null}`, `{"Number":"1"}`, `{"Number":1.5}`,
	`{"f":1.5,"Text":"a\nb","yes":true,"Texts":["a"],"Ints":[1],"Floats":[0.5],"In":{"x":-0},"Number":3}`, `{"In":{"x":1,"x":2}}`,
	`{"In":{}}`, `{"In":{"y":1}}`, `{"In":null}`, `{"\u004eumber":1}`, `{"Number" :1}`, `{"Number":1 }`, `{"Number":1}}`, `{"Number":1`, `{"Number":`,
	`{"Number"}`, `{"Number":1,}`, `{,}`, `{"Ints":null}`, `{"Ints":[]}`, `{"Ints":[1],"Ints":[2]}`, "{\"\xff\":1}", `{"hidden":1}`, `{"-":1}`, `{"yes":1}`,
}

// record is a plain struct.
type record struct {
	Number int
	F      float64 `json:"f"`
	Text   string
	Yes    bool `json:"yes" help:"another tag"`
	Texts  []string
	Ints   []int
	Floats []float64
	In     struct {
		X float64 `json:"x"`
	}
	hidden int
}

// oddRecords are structs that look like plain ones.
func oddRecords() []any {
	type name string
	// What vet would not let be written down.
	number := reflect.TypeFor[int]()
	twice := reflect.StructOf([]reflect.StructField{{Name: "A", Type: number, Tag: `json:"x"`}, {Name: "B", Type: number, Tag: `json:"x"`}})
	hidden := reflect.StructOf([]reflect.StructField{{Name: "a", PkgPath: "p", Type: number, Tag: `json:"x"`}})
	return []any{
		reflect.Zero(twice).Interface(),
		reflect.Zero(hidden).Interface(),
		struct {
			Number int `json:"-"`
		}{1},
		struct {
			Number int `json:"-,"` //nolint:staticcheck // odd on purpose
		}{1},
		struct {
			Number int `json:",omitempty"`
		}{},
		struct {
			Number int `json:",string"`
		}{1},
		struct {
			Number int
			N      *int `json:"n"`
		}{},
		struct{ Text name }{"a"},
		struct{ record }{},
		struct{ Number any }{1},
		struct{}{},
		struct{ hidden int }{1},
		struct {
			Number int `json:"a b"`
		}{1},
		struct {
			Number int `json:"'a'"`
		}{1},
		struct{ At time.Time }{},
		time.Time{},
	}
}

// sameDecoded compares what the codec makes of data with what the library
// makes of it.
func sameDecoded[T any](t *testing.T, data []byte, initial func() T) {
	t.Helper()
	for name, decode := range map[string]struct {
		codec func([]byte, any) error
		o     []json.Options
	}{"Decode": {rpc.JSON().Decode, nil}, "DecodeStrict": {rpc.JSON().DecodeStrict, []json.Options{json.RejectUnknownMembers(true)}}} {
		got, want := initial(), initial()
		gotErr, wantErr := decode.codec(data, &got), json.Unmarshal(data, &want, decode.o...)
		if (gotErr == nil) != (wantErr == nil) || gotErr != nil && gotErr.Error() != wantErr.Error() {
			t.Errorf("%s(%q, %T) = %v, want %v", name, data, &got, gotErr, wantErr)
		} else if k := reflect.TypeFor[T]().Kind(); (wantErr == nil || k != reflect.Slice && k != reflect.Struct) && !same(reflect.ValueOf(got), reflect.ValueOf(want)) {
			t.Errorf("%s(%q, %T) made it %#v, want %#v", name, data, &got, got, want)
		}
	}
}

// same is equality that tells zeros apart, and nil from empty.
func same(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Float64:
		return math.Float64bits(a.Float()) == math.Float64bits(b.Float())
	case reflect.Slice:
		if a.IsNil() != b.IsNil() || a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !same(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Struct:
		for i := range a.NumField() {
			if !same(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	}
	return a.Equal(b)
}

func samePlain(t *testing.T, data []byte) {
	t.Helper()
	sameDecoded(t, data, func() int { return 7 })
	sameDecoded(t, data, func() float64 { return 7 })
	sameDecoded(t, data, func() string { return "7" })
	sameDecoded(t, data, func() bool { return true })
	sameDecoded(t, data, func() []int { return nil })
	sameDecoded(t, data, func() []float64 { return nil })
	sameDecoded(t, data, func() []string { return nil })
	sameDecoded(t, data, func() []int { return []int{7, 8, 9}[:2] })
	sameDecoded(t, data, func() record { return record{} })
	sameDecoded(t, data, func() record { return record{Number: 7, Text: "7", Texts: []string{"7", "8"}, hidden: 7} })
}

func TestPlainIsDecodedAsByTheLibrary(t *testing.T) {
	for _, text := range plainTexts {
		samePlain(t, []byte(text))
	}
	for _, to := range []any{
		(*int)(nil), (*float64)(nil), (*string)(nil), (*bool)(nil), (*[]int)(nil), (*[]float64)(nil), (*[]string)(nil), (*record)(nil), nil, record{}, 1,
	} {
		if err := rpc.JSON().Decode([]byte("[1]"), to); err == nil {
			t.Errorf("Decode into %T, a nil pointer or none = nil, want an error", to)
		}
	}
}

func TestOddStructsAreLeftToTheLibrary(t *testing.T) {
	for _, v := range oddRecords() {
		sameEncoded(t, v)
		for _, text := range []string{`{"Number":1}`, `{"":1}`, `{"x":1}`, `{"-":1}`, `{"Number":"1"}`, `{"a b":1}`, `{"a":1}`, `{"hidden":1}`, `{"Text":"a"}`} {
			got, want := reflect.New(reflect.TypeOf(v)), reflect.New(reflect.TypeOf(v))
			gotErr, wantErr := rpc.JSON().Decode([]byte(text), got.Interface()), json.Unmarshal([]byte(text), want.Interface())
			if (gotErr == nil) != (wantErr == nil) || !reflect.DeepEqual(got.Interface(), want.Interface()) {
				t.Errorf("Decode(%s, %T) = %+v, %v, want %+v, %v", text, v, got, gotErr, want, wantErr)
			}
		}
	}
}

func FuzzDecodePlain(f *testing.F) {
	for _, text := range plainTexts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) { samePlain(t, data) })
}

func sameEncoded(t *testing.T, v any) {
	t.Helper()
	const before = "before"
	got, gotErr := rpc.JSON().Append([]byte(before), v)
	want, wantErr := json.Marshal(v)
	if (gotErr == nil) != (wantErr == nil) || gotErr != nil && gotErr.Error() != wantErr.Error() {
		t.Errorf("Append(%#v) = %v, want %v", v, gotErr, wantErr)
	} else if after, ok := strings.CutPrefix(string(got), before); gotErr == nil && (!ok || after != string(want)) {
		t.Errorf("Append(%#v) = %s, want %s%s", v, got, before, want)
	}
}

func FuzzEncodePlain(f *testing.F) {
	for _, v := range []float64{
		0, math.Copysign(0, -1), 1, -1, 0.5, 1e-6, 9.99e-7, 1e-7, 1e20, 1e21, -1e21, 1 << 53, 1<<53 + 2, -1 << 53, 1e15, math.MaxFloat64,
		math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1), math.NaN(), math.Pi, -math.Pi,
	} {
		f.Add(v, 1, "")
	}
	for _, s := range []string{"a", "\xff", "\x00\x1f\x7f\"\\/<&>'\b\f\n\r\t", "\u2028\u2029é漢😀\ufffd", "long enough for words of eight \n and more"} {
		f.Add(0.0, -1, s)
	}
	f.Fuzz(func(t *testing.T, x float64, n int, s string) {
		r := record{Number: n, F: x, Text: s, Yes: n > 0, Ints: []int{n, -n}, Floats: []float64{x, -x}, Texts: []string{s, s}, hidden: n}
		r.In.X = x
		for _, v := range []any{
			n, &n, x, &x, s, &s, r.Yes, &r.Yes, r.Ints, &r.Ints, r.Floats, &r.Floats, r.Texts, &r.Texts, r, &r, &r.In,
			record{},
			&record{}, []int(nil),
			[]float64{},
			&[]string{},
		} {
			sameEncoded(t, v)
		}
	})
}

func TestNilIsEncodedAsByTheLibrary(t *testing.T) {
	for _, v := range []any{
		nil, (*int)(nil), (*float64)(nil), (*string)(nil), (*bool)(nil), (*[]int)(nil), (*[]float64)(nil), (*[]string)(nil), (*record)(nil),
	} {
		sameEncoded(t, v)
	}
}

// TestPlainTakesNoMemory: what is plain does not go through reflection.
func TestPlainTakesNoMemory(t *testing.T) {
	codec, buf, list, r := rpc.JSON(), make([]byte, 0, 512), make([]float64, 0, 4), new(record)
	texts := [][]byte{[]byte("[1,2.5,1000000]"), []byte(`{"Number":1,"f":1.5,"yes":true,"In":{"x":0}}`)}
	if n := testing.AllocsPerRun(10, func() {
		_, _ = codec.DecodeStrict(texts[0], &list), codec.DecodeStrict(texts[1], r)
		_, _ = codec.Append(buf, &list)
		_, _ = codec.Append(buf, r)
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
