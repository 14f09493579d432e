package codec_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"testing"

	"github.com/polyport/polyport/transport/amqp/internal/codec"
)

// encodings are values of every type in every encoding, with their texts.
var encodings = []struct {
	name  string
	bytes string
	kind  codec.Kind
	text  string
	// append writes it, if this is the shortest encoding.
	append func([]byte) []byte
}{
	{"null", "\x40", codec.Null, "", codec.AppendNull},
	{"true", "\x41", codec.Boolean, "true", func(b []byte) []byte { return codec.AppendBool(b, true) }},
	{"false", "\x42", codec.Boolean, "false", func(b []byte) []byte { return codec.AppendBool(b, false) }},
	{"boolean byte", "\x56\x01", codec.Boolean, "true", nil},
	{"ubyte", "\x50\xff", codec.Ubyte, "255", func(b []byte) []byte { return codec.AppendUbyte(b, 255) }},
	{"ushort", "\x60\x01\x02", codec.Ushort, "258", func(b []byte) []byte { return codec.AppendUshort(b, 258) }},
	{"uint0", "\x43", codec.Uint, "0", func(b []byte) []byte { return codec.AppendUint(b, 0) }},
	{"smalluint", "\x52\xff", codec.Uint, "255", func(b []byte) []byte { return codec.AppendUint(b, 255) }},
	{"uint", "\x70\xff\xff\xff\xff", codec.Uint, "4294967295", func(b []byte) []byte { return codec.AppendUint(b, math.MaxUint32) }},
	{"ulong0", "\x44", codec.Ulong, "0", func(b []byte) []byte { return codec.AppendUlong(b, 0) }},
	{"smallulong", "\x53\x10", codec.Ulong, "16", func(b []byte) []byte { return codec.AppendUlong(b, 16) }},
	{"ulong", "\x80\xff\xff\xff\xff\xff\xff\xff\xff", codec.Ulong, "18446744073709551615", func(b []byte) []byte { return codec.AppendUlong(b, math.MaxUint64) }},
	{"byte", "\x51\xff", codec.Byte, "-1", func(b []byte) []byte { return codec.AppendByte(b, -1) }},
	{"short", "\x61\xff\xfe", codec.Short, "-2", func(b []byte) []byte { return codec.AppendShort(b, -2) }},
	{"smallint", "\x54\xfd", codec.Int, "-3", func(b []byte) []byte { return codec.AppendInt(b, -3) }},
	{"int", "\x71\x80\x00\x00\x00", codec.Int, "-2147483648", func(b []byte) []byte { return codec.AppendInt(b, math.MinInt32) }},
	{"smalllong", "\x55\x80", codec.Long, "-128", func(b []byte) []byte { return codec.AppendLong(b, -128) }},
	{"long", "\x81\x80\x00\x00\x00\x00\x00\x00\x00", codec.Long, "-9223372036854775808", func(b []byte) []byte { return codec.AppendLong(b, math.MinInt64) }},
	{"float", "\x72\x3f\xc0\x00\x00", codec.Float, "1.5", func(b []byte) []byte { return codec.AppendFloat(b, 1.5) }},
	{"double", "\x82\xbf\xf8\x00\x00\x00\x00\x00\x00", codec.Double, "-1.5", func(b []byte) []byte { return codec.AppendDouble(b, -1.5) }},
	{"decimal32", "\x74\x01\x02\x03\x04", codec.Decimal32, "01020304", func(b []byte) []byte { return codec.AppendDecimal32(b, 0x01020304) }},
	{"decimal64", "\x84\x00\x00\x00\x00\x01\x02\x03\x04", codec.Decimal64, "0000000001020304", func(b []byte) []byte { return codec.AppendDecimal64(b, 0x01020304) }},
	{"decimal128", "\x94" + sixteen, codec.Decimal128, "30313233343536373839616263646566", func(b []byte) []byte { return codec.AppendDecimal128(b, [16]byte([]byte(sixteen))) }},
	{"char", "\x73\x00\x01\xf6\x00", codec.Char, "😀", func(b []byte) []byte { return codec.AppendChar(b, '😀') }},
	{"timestamp", "\x83\x00\x00\x00\x00\x00\x00\x03\xe9", codec.Timestamp, "1970-01-01T00:00:01.001Z", func(b []byte) []byte { return codec.AppendTimestamp(b, 1001) }},
	{"uuid", "\x98" + sixteen, codec.UUID, "30313233-3435-3637-3839-616263646566", func(b []byte) []byte { return codec.AppendUUID(b, [16]byte([]byte(sixteen))) }},
	{"vbin8", "\xa0\x02\xff\x00", codec.Binary, "ff00", func(b []byte) []byte { return codec.AppendBinary(b, "\xff\x00") }},
	{"vbin32", "\xb0\x00\x00\x00\x01x", codec.Binary, "x", nil},
	{"str8", "\xa1\x02\xc3\xbc", codec.String, "ü", func(b []byte) []byte { return codec.AppendString(b, "ü") }},
	{"str32", "\xb1\x00\x00\x00\x01x", codec.String, "x", nil},
	{"long str32", "\xb1\x00\x00\x01\x00" + hundreds, codec.String, hundreds, func(b []byte) []byte { return codec.AppendString(b, hundreds) }},
	{"sym8", "\xa3\x01s", codec.Symbol, "s", func(b []byte) []byte { return codec.AppendSymbol(b, "s") }},
	{"sym32", "\xb3\x00\x00\x00\x01s", codec.Symbol, "s", nil},
	{"list0", "\x45", codec.List, "", nil},
	{"list8", "\xc0\x03\x02\x43\x40", codec.List, "", func(b []byte) []byte {
		b, at := codec.BeginList(b)
		return codec.EndList(codec.AppendNull(codec.AppendUint(b, 0)), at, 2)
	}},
	{"list32", "\xd0\x00\x00\x00\x06\x00\x00\x00\x02\x43\x40", codec.List, "", nil},
	{"map8", "\xc1\x04\x02\xa3\x00\x41", codec.Map, "", func(b []byte) []byte {
		b, at := codec.BeginMap(b)
		return codec.EndMap(codec.AppendBool(codec.AppendSymbol(b, ""), true), at, 2)
	}},
	{"map32", "\xd1\x00\x00\x00\x07\x00\x00\x00\x02\xa3\x00\x41", codec.Map, "", nil},
	{"array8", "\xe0\x06\x02\xa3\x01a\x01b", codec.Array, "", func(b []byte) []byte { return codec.AppendSymbols(b, "a", "b") }},
	{"array32", "\xf0\x00\x00\x00\x07\x00\x00\x00\x02\x50\x01\x02", codec.Array, "", nil},
	{"array of lists", "\xe0\x07\x02\xc0\x01\x00\x02\x01\x40", codec.Array, "", nil},
	{"array of nothing", "\xe0\x02\x05\x41", codec.Array, "", nil},
	{"array of described", "\xe0\x07\x02\x00\x53\x24\x50\x01\x02", codec.Array, "", nil},
	{"described", "\x00\x53\x24\x45", codec.Described, "", nil},
	{"described by a symbol", "\x00\xa3\x04test\x52\x07", codec.Described, "7", nil},
}

const sixteen = "0123456789abcdef"

var hundreds = string(bytes.Repeat([]byte("x"), 256))

func TestEncodings(t *testing.T) {
	for _, c := range encodings {
		t.Run(c.name, func(t *testing.T) {
			d := codec.NewDecoder([]byte(c.bytes + "\x40"))
			v := d.Value()
			if d.Err() != nil || v.Kind() != c.kind {
				t.Fatalf("% x is a %v, %v; want %v", c.bytes, v.Kind(), d.Err(), c.kind)
			}
			if rest := d.Rest(); string(rest) != "\x40" {
				t.Errorf("% x was left, want 40", rest)
			}
			if err := v.Check(); err != nil {
				t.Errorf("Check: %v", err)
			}
			if text, _ := v.AppendText(nil); string(text) != c.text {
				t.Errorf("text %q, want %q", text, c.text)
			}
			if c.append != nil {
				if got := c.append(nil); string(got) != c.bytes {
					t.Errorf("written % x, want % x", got, c.bytes)
				}
			}
			// Half of it is malformed, wherever it is cut off.
			for n := range len(c.bytes) {
				d := codec.NewDecoder([]byte(c.bytes[:n]))
				d.Skip()
				if n > 0 && !errors.Is(d.Err(), codec.ErrMalformed) {
					t.Errorf("% x: err = %v, want %v", c.bytes[:n], d.Err(), codec.ErrMalformed)
				}
			}
		})
	}
}

func TestMalformed(t *testing.T) {
	count := func(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }
	for _, c := range []struct{ name, bytes string }{
		{"unknown code", "\x00\x53\x24\x3f"},
		{"another unknown code", "\x57"},
		{"boolean of 2", "\x56\x02"},
		{"4 GiB of binary", "\xb0\xff\xff\xff\xff"},
		{"4 GiB of list", "\xd0\xff\xff\xff\xff\x00\x00\x00\x00"},
		{"list that is smaller than its count", "\xd0\x00\x00\x00\x03\x00\x00\x00\x00"},
		{"list of 2^32 elements", "\xd0\x00\x00\x00\x05" + count(1<<32-1) + "\x40"},
		{"list of more elements than bytes", "\xc0\x02\x02\x40"},
		{"list with bytes left over", "\xc0\x03\x01\x40\x40"},
		{"map with a key without value", "\xc1\x02\x01\x40"},
		{"array of 2^32 nulls", "\xf0\x00\x00\x00\x05" + count(1<<32-1) + "\x40"},
		{"array of 257 nulls", "\xf0\x00\x00\x00\x05" + count(257) + "\x40"},
		{"array of 2^32 empty lists", "\xf0\x00\x00\x00\x05" + count(1<<32-1) + "\x45"},
		{"array of more numbers than bytes", "\xe0\x03\x02\x50\x01"},
		{"array of 2^32 strings", "\xf0\x00\x00\x00\x06" + count(1<<32-1) + "\xa1\x00"},
		{"array without a constructor", "\xe0\x01\x00"},
		{"array of unknown elements", "\xe0\x02\x00\x01"},
		{"described by null", "\x00\x40\x40"},
		{"described by a list", "\x00\x45\x40"},
		{"described twice", "\x00\x53\x01\x00\x53\x02\x40"},
		{"described nothing", "\x00\x53\x01"},
		{"array of described by null", "\xe0\x04\x01\x00\x40\x40"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := codec.NewDecoder([]byte(c.bytes))
			d.Skip()
			if !errors.Is(d.Err(), codec.ErrMalformed) {
				t.Errorf("err = %v, want %v", d.Err(), codec.ErrMalformed)
			}
			if d.More() || d.Value().Kind() != codec.Invalid {
				t.Error("there is more to read after an error")
			}
		})
	}
}

// TestDepth: values nest as deep as is allowed, and no deeper.
func TestDepth(t *testing.T) {
	b := []byte{0x45}
	for depth := range 40 {
		d := codec.NewDecoder(b)
		d.Skip()
		if (d.Err() == nil) != (depth < codec.MaxDepth) {
			t.Errorf("%d lists in each other: %v, the limit is %d", depth+1, d.Err(), codec.MaxDepth)
		}
		inner := b
		var at int
		b, at = codec.BeginList(nil)
		b = codec.EndList(append(b, inner...), at, 1)
	}
}

// TestFields: the fields of a list are there, or absent, or of the wrong type.
func TestFields(t *testing.T) {
	reads := map[codec.Kind]func(*codec.Decoder) (string, bool){
		codec.Boolean: func(d *codec.Decoder) (string, bool) { v, ok := d.Bool(); return strconv.FormatBool(v), ok },
		codec.Ubyte: func(d *codec.Decoder) (string, bool) {
			v, ok := d.Ubyte()
			return strconv.FormatUint(uint64(v), 10), ok
		},
		codec.Ushort: func(d *codec.Decoder) (string, bool) {
			v, ok := d.Ushort()
			return strconv.FormatUint(uint64(v), 10), ok
		},
		codec.Uint:      func(d *codec.Decoder) (string, bool) { v, ok := d.Uint(); return strconv.FormatUint(uint64(v), 10), ok },
		codec.Ulong:     func(d *codec.Decoder) (string, bool) { v, ok := d.Ulong(); return strconv.FormatUint(v, 10), ok },
		codec.Timestamp: func(d *codec.Decoder) (string, bool) { v, ok := d.Timestamp(); return strconv.FormatInt(v, 10), ok },
		codec.Binary:    func(d *codec.Decoder) (string, bool) { v, ok := d.Binary(); return string(v), ok },
		codec.String:    func(d *codec.Decoder) (string, bool) { v, ok := d.Text(); return string(v), ok },
		codec.Symbol:    func(d *codec.Decoder) (string, bool) { v, ok := d.Symbol(); return string(v), ok },
	}
	for kind, read := range reads {
		for _, c := range encodings {
			d := codec.NewDecoder([]byte(c.bytes))
			got, there := read(&d)
			switch {
			case c.kind == codec.Null:
				if there || d.Err() != nil {
					t.Errorf("null as %v is %q, %v", kind, got, d.Err())
				}
			case c.kind != kind:
				if there || d.Err() == nil {
					t.Errorf("%s as %v is %q, want an error", c.name, kind, got)
				}
			case !there || d.Err() != nil:
				t.Errorf("%s as %v: %v", c.name, kind, d.Err())
			}
		}
		none := codec.NewDecoder(nil)
		if _, there := read(&none); there || none.Err() != nil {
			t.Errorf("a missing %v: there = %v, %v", kind, there, none.Err())
		}
	}
}

func TestComposite(t *testing.T) {
	for _, b := range []string{"\x00\x53\x24\x45", "\x00\x80\x00\x00\x00\x00\x00\x00\x00\x24\x45", "\x00\xa3\x12amqp:accepted:list\x45"} {
		d := codec.NewDecoder([]byte(b))
		fields := d.Composite(0x24)
		if fields.Err() != nil || d.Err() != nil || fields.More() {
			t.Errorf("% x: %v, %v", b, fields.Err(), d.Err())
		}
	}
	for _, b := range []string{"", "\x40", "\x45", "\x00\x53\x25\x45", "\x00\x53\x24\x40", "\x00\xa3\x04what\x45"} {
		d := codec.NewDecoder([]byte(b))
		fields := d.Composite(0x24)
		if !errors.Is(fields.Err(), codec.ErrMalformed) {
			t.Errorf("% x as a list of type 0x24: %v", b, fields.Err())
		}
	}
}

// TestLongLists: sizes and counts that need four bytes get them.
func TestLongLists(t *testing.T) {
	for _, n := range []int{0, 1, 254, 255, 256, 300, 70_000} {
		b, at := codec.BeginList([]byte("before"))
		m, mapAt := codec.BeginMap([]byte("before"))
		for range n {
			b = codec.AppendNull(b)
			m = codec.AppendUint(codec.AppendSymbol(m, "k"), 1)
		}
		b, m = codec.EndList(b, at, n), codec.EndMap(m, mapAt, 2*n)
		for want, b := range map[int][]byte{n: b, 2 * n: m} {
			d := codec.NewDecoder(b[len("before"):])
			v := d.Value()
			if err := errors.Join(d.Err(), v.Check()); err != nil || v.Len() != want || len(d.Rest()) > 0 {
				t.Errorf("%d elements are read as %d: %v", want, v.Len(), err)
			}
		}
	}
	long := string(bytes.Repeat([]byte("s"), 255))
	d := codec.NewDecoder(codec.AppendSymbols(nil, long, long))
	if v := d.Value(); v.Len() != 2 || v.Check() != nil {
		t.Errorf("two long symbols are read as %d, %v, %v", v.Len(), d.Err(), v.Check())
	}
}

// FuzzDecode: nothing that is read makes the decoder fall, or go on for ever;
// and what is well formed can be written again, to be read alike.
func FuzzDecode(f *testing.F) {
	for _, c := range encodings {
		f.Add([]byte(c.bytes))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := codec.NewDecoder(b)
		for d.More() {
			before := len(d.Rest())
			v := d.Value()
			if d.Err() != nil {
				return
			}
			if len(d.Rest()) >= before {
				t.Fatal("a value of no bytes")
			}
			_, _ = v.AppendText(nil)
			_ = v.Descriptor()
			if v.Check() != nil {
				continue
			}
			written := rewrite(t, nil, v)
			again := codec.NewDecoder(written)
			w := again.Value()
			if err := errors.Join(again.Err(), w.Check()); err != nil || len(again.Rest()) > 0 {
				t.Fatalf("% x was written again as % x: %v", b, written, err)
			}
			if twice := rewrite(t, nil, w); !bytes.Equal(twice, written) {
				t.Fatalf("% x, then % x", written, twice)
			}
		}
	})
}

// rewrite writes a value in the shortest encoding.
func rewrite(t *testing.T, dst []byte, v codec.Value) []byte {
	t.Helper()
	switch v.Kind() {
	case codec.Described:
		dst = append(dst, 0)
		dst = codec.AppendUlong(dst, v.Descriptor())
		return rewrite(t, dst, v.Inner())
	case codec.Null:
		return codec.AppendNull(dst)
	case codec.Boolean:
		return codec.AppendBool(dst, v.Bool())
	case codec.Ubyte:
		return codec.AppendUbyte(dst, uint8(v.Uint64()))
	case codec.Ushort:
		return codec.AppendUshort(dst, uint16(v.Uint64()))
	case codec.Uint:
		return codec.AppendUint(dst, uint32(v.Uint64()))
	case codec.Ulong:
		return codec.AppendUlong(dst, v.Uint64())
	case codec.Byte:
		return codec.AppendByte(dst, int8(v.Int64()))
	case codec.Short:
		return codec.AppendShort(dst, int16(v.Int64()))
	case codec.Int:
		return codec.AppendInt(dst, int32(v.Int64()))
	case codec.Long:
		return codec.AppendLong(dst, v.Int64())
	case codec.Float:
		return codec.AppendFloat(dst, float32(v.Float64()))
	case codec.Double:
		return codec.AppendDouble(dst, v.Float64())
	case codec.Decimal32:
		return codec.AppendDecimal32(dst, uint32(v.Uint64()))
	case codec.Decimal64:
		return codec.AppendDecimal64(dst, v.Uint64())
	case codec.Decimal128:
		return codec.AppendDecimal128(dst, [16]byte(v.Bytes()))
	case codec.Char:
		return codec.AppendChar(dst, rune(v.Uint64()))
	case codec.Timestamp:
		return codec.AppendTimestamp(dst, v.Int64())
	case codec.UUID:
		return codec.AppendUUID(dst, [16]byte(v.Bytes()))
	case codec.Binary:
		return codec.AppendBinary(dst, v.Bytes())
	case codec.String:
		return codec.AppendString(dst, v.Bytes())
	case codec.Symbol:
		return codec.AppendSymbol(dst, v.Bytes())
	}
	begin, end := codec.BeginList, codec.EndList
	if v.Kind() == codec.Map {
		begin, end = codec.BeginMap, codec.EndMap
	}
	dst, at := begin(dst)
	for items := v.Items(); items.More(); {
		dst = rewrite(t, dst, items.Value())
	}
	return end(dst, at, v.Len())
}
