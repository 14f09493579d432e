package rpc_test

import (
	"encoding/binary"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/polyport/polyport/rpc"
)

// numbers are JSON texts that the codec may read by itself, and others that
// look like them.
var numbers = []string{
	"0", "-0", "1", "-1", "12", "01", "-01", "-", "", "+1", "1.", ".5", "1.5", "-0.0", "0e0", "1e5", "1E+5", "1e-5", "1e", "1e400",
	"-1e400", "1e-400", "999999999999999", "1000000000000000", "-99999999999999", "-999999999999999", "9007199254740993",
	"9223372036854775807", "9223372036854775808", "-9223372036854775808", "18446744073709551616", "0x10", "1_0", "Inf", "NaN",
	"null", "true", `"1"`, `""`, "1 ", " 1", "1 2", "1,2", "1]", "[", "]", "[]", "[ ]", "[1", "[1]", "[1]]", "[1],", "[1,]", "[,1]", "[1,,2]",
	"[1 ,2]", "[1, 2]", "[1,2,3]", "[0,-0,1.5,1e3,-1e-3]", "[01]", "[1.]", "[1,null]", "[null]", `[1,"2"]`, "[1,[2]]", "[[1]]", "[1,2",
	"[1.5,2e400]", "[99999999999999999999]", "[1}", "{}", "\ufeff1", "[1]\x00", "[1\n]",
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
		} else if wantErr == nil && !same(reflect.ValueOf(got), reflect.ValueOf(want)) {
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
	}
	return a.Equal(b)
}

func sameNumbers(t *testing.T, data []byte) {
	t.Helper()
	sameDecoded(t, data, func() int { return 7 })
	sameDecoded(t, data, func() float64 { return 7 })
	sameDecoded(t, data, func() []int { return nil })
	sameDecoded(t, data, func() []float64 { return nil })
	sameDecoded(t, data, func() []int { return []int{7, 8, 9}[:2] })
	sameDecoded(t, data, func() []float64 { return []float64{7, 8, 9}[:2] })
}

func TestNumbersAreDecodedAsByTheLibrary(t *testing.T) {
	for _, text := range numbers {
		sameNumbers(t, []byte(text))
	}
	for _, to := range []any{(*int)(nil), (*float64)(nil), (*[]int)(nil), (*[]float64)(nil)} {
		if err := rpc.JSON().Decode([]byte("[1]"), to); err == nil {
			t.Errorf("Decode into a %T that is nil = nil, want an error", to)
		}
	}
}

func FuzzDecodeNumbers(f *testing.F) {
	for _, text := range numbers {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) { sameNumbers(t, data) })
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

func FuzzEncodeNumbers(f *testing.F) {
	for _, v := range []float64{
		0, math.Copysign(0, -1), 1, -1, 0.5, 1e-6, 9.99e-7, 1e-7, 1e20, 1e21, -1e21, 1 << 53, 1<<53 + 2, -1 << 53, 1e15, math.MaxFloat64,
		math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1), math.NaN(), math.Pi, -math.Pi,
	} {
		f.Add(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, math.Float64bits(v)), math.Float64bits(v)))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		var ints []int
		floats := make([]float64, 0) // not nil, in turn
		for ; len(data) >= 8; data = data[8:] {
			bits := binary.LittleEndian.Uint64(data)
			ints, floats = append(ints, int(bits)), append(floats, math.Float64frombits(bits))
			sameEncoded(t, int(bits))
			sameEncoded(t, math.Float64frombits(bits))
			sameEncoded(t, &ints[len(ints)-1])
			sameEncoded(t, &floats[len(floats)-1])
		}
		sameEncoded(t, ints)
		sameEncoded(t, &ints)
		sameEncoded(t, floats)
		sameEncoded(t, &floats)
	})
}

func TestNilNumbersAreEncodedAsByTheLibrary(t *testing.T) {
	for _, v := range []any{(*int)(nil), (*float64)(nil), (*[]int)(nil), (*[]float64)(nil)} {
		sameEncoded(t, v)
	}
}

// TestNumbersTakeNoMemory: what is plain does not go through reflection.
func TestNumbersTakeNoMemory(t *testing.T) {
	codec, buf, list := rpc.JSON(), make([]byte, 0, 64), make([]float64, 0, 4)
	text := []byte("[1,2.5,1000000]")
	if n := testing.AllocsPerRun(10, func() {
		_ = codec.DecodeStrict(text, &list)
		_, _ = codec.Append(buf, &list)
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
