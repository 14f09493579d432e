package codec

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// A Value is one value, with views of the bytes that it was read from. The zero
// value is none.
type Value struct {
	code  byte
	num   uint64 // a number's bits
	data  []byte // what has no number, and the elements of a list, map or array
	count int
	desc  []byte // of a described value, as encoded
	depth int

	elem     byte // an array's format code
	elemDesc []byte
}

// Kind returns the type of v: Described if it has a descriptor, Invalid if v is
// none.
func (v Value) Kind() Kind {
	if v.desc != nil {
		return Described
	}
	return kinds[v.code]
}

// Inner returns v without its descriptor.
func (v Value) Inner() Value {
	v.desc = nil
	return v
}

// Descriptor returns the code of a described value; that of a symbolic
// descriptor which the specification has given a code is that code. It is 0 for
// an unknown one, and where there is none.
func (v Value) Descriptor() uint64 {
	d := Decoder{buf: v.desc, left: 1}
	code, _ := d.constructor()
	if kinds[code] == Ulong {
		return d.payload(code).num
	}
	return codeOf(d.payload(code).data)
}

// Len returns how many elements a list or array has, or keys and values a map.
func (v Value) Len() int { return v.count }

// Items returns a Decoder of the elements of a list or array, or of the keys
// and values of a map, in turn. It has none, and an error, where v is something
// else or too deep.
func (v Value) Items() Decoder {
	d := Decoder{buf: v.data, left: v.count, depth: v.depth + 1}
	switch k := kinds[v.code]; {
	case k == Array:
		d.isArray, d.elem, d.desc = true, v.elem, v.elemDesc
	case k != List && k != Map:
		d.Failf("expected a list, map or array, got a value of type %v", k)
	}
	if d.depth > MaxDepth {
		d.Failf("values nest deeper than %d", MaxDepth)
	}
	return d
}

// Check walks over all that v holds and returns why it is malformed, or nil.
func (v Value) Check() error {
	switch kinds[v.code] {
	case List, Map, Array:
	default:
		return nil
	}
	d := v.Items()
	for d.More() {
		d.Skip()
	}
	if d.err == nil && len(d.buf) > 0 {
		d.Failf("%d bytes are left over after the last element", len(d.buf))
	}
	return d.err
}

// Bool returns a boolean's value.
func (v Value) Bool() bool { return v.num != 0 }

// Uint64 returns the value of an unsigned number or a char.
func (v Value) Uint64() uint64 { return v.num }

// Int64 returns the value of a signed number or a timestamp.
func (v Value) Int64() int64 {
	switch width(v.code) {
	case 1:
		return int64(int8(v.num))
	case 2:
		return int64(int16(v.num))
	case 4:
		return int64(int32(v.num))
	}
	return int64(v.num)
}

// Float64 returns the value of a float or double.
func (v Value) Float64() float64 {
	if kinds[v.code] == Float {
		return float64(math.Float32frombits(uint32(v.num)))
	}
	return math.Float64frombits(v.num)
}

// Bytes returns the content of a binary, string, symbol, UUID or decimal128.
func (v Value) Bytes() []byte { return v.data }

// AppendText appends v as a person would write it. It reports false for what
// has no text: null, a list, a map, an array. Bytes and decimals are written in
// hexadecimal, unless bytes are UTF-8.
func (v Value) AppendText(dst []byte) ([]byte, bool) {
	switch k := kinds[v.code]; k {
	case String, Symbol:
		return append(dst, v.data...), true
	case Binary:
		if utf8.Valid(v.data) {
			return append(dst, v.data...), true
		}
		return appendHex(dst, v.data), true
	case Boolean:
		return strconv.AppendBool(dst, v.Bool()), true
	case Ubyte, Ushort, Uint, Ulong:
		return strconv.AppendUint(dst, v.num, 10), true
	case Byte, Short, Int, Long:
		return strconv.AppendInt(dst, v.Int64(), 10), true
	case Float:
		return strconv.AppendFloat(dst, v.Float64(), 'g', -1, 32), true
	case Double:
		return strconv.AppendFloat(dst, v.Float64(), 'g', -1, 64), true
	case Char:
		return utf8.AppendRune(dst, rune(min(v.num, utf8.MaxRune+1))), true
	case Timestamp:
		return time.UnixMilli(v.Int64()).UTC().AppendFormat(dst, time.RFC3339Nano), true
	case UUID:
		return appendUUID(dst, v.data), true
	case Decimal32:
		return appendHex(dst, appendNumber(nil, v.num, 4)), true
	case Decimal64:
		return appendHex(dst, appendNumber(nil, v.num, 8)), true
	case Decimal128:
		return appendHex(dst, v.data), true
	}
	return dst, false
}
