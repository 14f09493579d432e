package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrMalformed is what every error of a [Decoder] wraps.
var ErrMalformed = errors.New("malformed AMQP value")

const (
	// MaxDepth is how deep values may nest.
	MaxDepth = 32
	// maxZeroWidth is how many elements an array may have whose elements take
	// no bytes.
	maxZeroWidth = 256
)

// A Decoder reads values from bytes, one after the other. Views that it hands
// out are valid as long as the bytes are. It is not safe for concurrent use.
// The zero value has nothing to read.
type Decoder struct {
	buf   []byte
	left  int // values to come; -1 means as many as there are bytes
	depth int
	err   error

	// An array's elements share one format code and one descriptor, which may
	// be nil.
	isArray bool
	elem    byte
	desc    []byte
}

// NewDecoder returns a Decoder of the values in b.
func NewDecoder(b []byte) Decoder { return Decoder{buf: b, left: -1} }

// Err returns the first error, or nil. It wraps [ErrMalformed].
func (d *Decoder) Err() error { return d.err }

// Failf makes d fail, unless it has, because of something that its user has
// found.
func (d *Decoder) Failf(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
		d.buf, d.left = nil, 0
	}
}

// Require makes d fail unless the field called name was there.
func (d *Decoder) Require(there bool, name string) {
	if !there {
		d.Failf("the field %s is missing", name)
	}
}

// More reports whether there is a value to read.
func (d *Decoder) More() bool { return d.left > 0 || d.left < 0 && len(d.buf) > 0 }

// Rest returns the bytes that have not been read.
func (d *Decoder) Rest() []byte { return d.buf }

// constructor reads the format code of the next value; there is none after the
// last one, or after an error.
func (d *Decoder) constructor() (code byte, ok bool) {
	if !d.More() {
		return 0, false
	}
	if d.left > 0 {
		d.left--
	}
	if d.isArray {
		return d.elem, true
	}
	if len(d.buf) == 0 {
		d.Failf("a value is missing at the end")
		return 0, false
	}
	code = d.buf[0]
	d.buf = d.buf[1:]
	return code, true
}

// field is constructor for one of a composite type's fields, of which null ones
// are absent like those that are not there.
func (d *Decoder) field() (code byte, there bool) {
	code, ok := d.constructor()
	return code, ok && code != codeNull
}

// mismatch is the error for a value of another type than wanted.
func (d *Decoder) mismatch(code byte, want Kind) {
	if k := kinds[code]; k != Invalid {
		d.Failf("expected %v, got %v", want, k)
		return
	}
	if code == codeDescribed {
		d.Failf("expected %v, got a described value", want)
		return
	}
	d.Failf("expected %v, got the unknown format code %#02x", want, code)
}

// take returns the next n bytes.
func (d *Decoder) take(n int) []byte {
	if n < 0 || n > len(d.buf) {
		d.Failf("%d bytes are missing at the end", uint(n)-uint(len(d.buf)))
		return nil
	}
	b := d.buf[:n:n]
	d.buf = d.buf[n:]
	return b
}

// fixed reads an unsigned number of n bytes.
func (d *Decoder) fixed(n int) uint64 {
	b := d.take(n)
	if b == nil {
		return 0
	}
	switch n {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(b))
	case 4:
		return uint64(binary.BigEndian.Uint32(b))
	case 8:
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// Bool reads a boolean field; there is false if it is absent or null.
func (d *Decoder) Bool() (v, there bool) {
	code, ok := d.field()
	if !ok {
		return false, false
	}
	switch code {
	case codeTrue:
		return true, true
	case codeFalse:
		return false, true
	case codeBoolean:
		switch n := d.fixed(1); n {
		case 0, 1:
			return n == 1, d.err == nil
		default:
			d.Failf("a boolean is %d", n)
		}
		return false, false
	}
	d.mismatch(code, Boolean)
	return false, false
}

// Ubyte reads an unsigned byte field.
func (d *Decoder) Ubyte() (v uint8, there bool) {
	code, ok := d.field()
	if !ok {
		return 0, false
	}
	if code != codeUbyte {
		d.mismatch(code, Ubyte)
		return 0, false
	}
	v = uint8(d.fixed(1))
	return v, d.err == nil
}

// Ushort reads an unsigned field of 16 bits.
func (d *Decoder) Ushort() (v uint16, there bool) {
	code, ok := d.field()
	if !ok {
		return 0, false
	}
	if code != codeUshort {
		d.mismatch(code, Ushort)
		return 0, false
	}
	v = uint16(d.fixed(2))
	return v, d.err == nil
}

// Uint reads an unsigned field of 32 bits.
func (d *Decoder) Uint() (v uint32, there bool) {
	code, ok := d.field()
	if !ok {
		return 0, false
	}
	switch code {
	case codeUint0:
	case codeSmallUint:
		v = uint32(d.fixed(1))
	case codeUint:
		v = uint32(d.fixed(4))
	default:
		d.mismatch(code, Uint)
	}
	return v, d.err == nil
}

// Ulong reads an unsigned field of 64 bits.
func (d *Decoder) Ulong() (v uint64, there bool) {
	code, ok := d.field()
	if !ok {
		return 0, false
	}
	switch code {
	case codeUlong0:
	case codeSmallUlong:
		v = d.fixed(1)
	case codeUlong:
		v = d.fixed(8)
	default:
		d.mismatch(code, Ulong)
	}
	return v, d.err == nil
}

// Timestamp reads a field of milliseconds since 1970.
func (d *Decoder) Timestamp() (ms int64, there bool) {
	code, ok := d.field()
	if !ok {
		return 0, false
	}
	if code != codeTimestamp {
		d.mismatch(code, Timestamp)
		return 0, false
	}
	ms = int64(d.fixed(8))
	return ms, d.err == nil
}

// Binary reads a field of bytes.
func (d *Decoder) Binary() (v []byte, there bool) {
	return d.variable(Binary, codeBinary8, codeBinary32)
}

// Text reads a string field. The bytes are as they came: whether they are UTF-8
// is for the user to check.
func (d *Decoder) Text() (v []byte, there bool) { return d.variable(String, codeString8, codeString32) }

// Symbol reads a symbol field.
func (d *Decoder) Symbol() (v []byte, there bool) {
	return d.variable(Symbol, codeSymbol8, codeSymbol32)
}

func (d *Decoder) variable(want Kind, short, long byte) (v []byte, there bool) {
	code, ok := d.field()
	if !ok {
		return nil, false
	}
	switch code {
	case short:
		v = d.take(int(d.fixed(1)))
	case long:
		v = d.take(int(d.fixed(4)))
	default:
		d.mismatch(code, want)
	}
	return v, d.err == nil
}

// Value reads the next value of any type; its Kind is Invalid if there is none.
// What a list, map or array holds is looked at when it is asked for.
func (d *Decoder) Value() (v Value) {
	code, ok := d.constructor()
	if !ok {
		return Value{}
	}
	desc := d.desc
	if code == codeDescribed && !d.isArray {
		desc = d.descriptor()
		if len(d.buf) == 0 || d.buf[0] == codeDescribed {
			d.Failf("a descriptor is not followed by a value of a plain type")
			return Value{}
		}
		code = d.buf[0]
		d.buf = d.buf[1:]
	}
	v = d.payload(code)
	v.desc, v.depth = desc, d.depth
	if d.err != nil {
		return Value{}
	}
	return v
}

// descriptor reads a descriptor, which is a ulong or a symbol, and returns its
// encoding (section 1.5 reserves the other types).
func (d *Decoder) descriptor() []byte {
	inner := Decoder{buf: d.buf, left: 1}
	code, _ := inner.constructor()
	if k := kinds[code]; inner.err == nil && k != Ulong && k != Symbol {
		inner.Failf("a descriptor has the format code %#02x; expected a ulong or a symbol", code)
	}
	_ = inner.payload(code)
	if inner.err != nil {
		d.give(inner.err)
		return nil
	}
	all := d.buf
	d.buf = inner.buf
	return all[: len(all)-len(inner.buf) : len(all)-len(inner.buf)]
}

// give makes d fail with the error of another Decoder.
func (d *Decoder) give(err error) { d.err, d.buf, d.left = err, nil, 0 }

// payload reads the bytes of a value whose format code is known.
func (d *Decoder) payload(code byte) (v Value) {
	v.code = code
	switch w := width(code); {
	case kinds[code] == Invalid:
		d.Failf("unknown format code %#02x", code)
	case w == 16:
		v.data = d.take(16)
	case w >= 0:
		v.num = d.fixed(w)
		if code == codeTrue {
			v.num = 1
		}
		if code == codeBoolean && v.num > 1 {
			d.Failf("a boolean is %d", v.num)
		}
	case code>>4 == 0xa: // binary, string, symbol
		v.data = d.take(int(d.fixed(1)))
	case code>>4 == 0xb:
		v.data = d.take(int(d.fixed(4)))
	default:
		v = d.compound(code)
	}
	return v
}

// compound reads a list, map or array as far as its bounds.
func (d *Decoder) compound(code byte) (v Value) {
	v.code = code
	w := 1
	if code&0x10 != 0 {
		w = 4
	}
	size := d.fixed(w)
	if d.err != nil {
		return v
	}
	if size > uint64(len(d.buf)) || size < uint64(w) {
		d.Failf("a %v says to have %d bytes, %d are left", kinds[code], size, len(d.buf))
		return v
	}
	count := d.fixed(w)
	v.data = d.take(int(size) - w)
	switch kinds[code] {
	case Array:
		d.array(&v, count)
		return v
	case Map:
		if count%2 != 0 {
			d.Failf("a map has %d keys and values, which is odd", count)
		}
	}
	if count > uint64(len(v.data)) {
		d.Failf("a %v says to have %d elements in %d bytes", kinds[code], count, len(v.data))
		return v
	}
	v.count = int(count)
	return v
}

// array reads the constructor of an array's elements and judges their number.
func (d *Decoder) array(v *Value, count uint64) {
	if d.err != nil {
		return
	}
	in := Decoder{buf: v.data, left: -1}
	code, ok := in.constructor()
	if ok && code == codeDescribed {
		v.elemDesc = in.descriptor()
		in.left = -1
		code, ok = in.constructor()
	}
	if !ok || kinds[code] == Invalid {
		in.Failf("an array does not say what its elements are")
	}
	if in.err != nil {
		d.give(in.err)
		return
	}
	v.elem, v.data = code, in.buf
	most, w := uint64(len(v.data)), width(code)
	switch {
	case w > 0:
		most /= uint64(w)
	case w == 0:
		most = maxZeroWidth
	}
	if count > most {
		d.Failf("an array says to have %d elements in %d bytes", count, len(v.data))
		return
	}
	v.count = int(count)
}

// Skip walks over the next value with all that it holds, so that nothing in it
// is malformed.
func (d *Decoder) Skip() {
	v := d.Value()
	if d.err != nil {
		return
	}
	if err := v.Check(); err != nil {
		d.give(err)
	}
}

// Composite reads a value of a described list type with this code, and returns
// a Decoder of its fields, with its own error.
func (d *Decoder) Composite(want uint64) Decoder {
	v := d.Value()
	if d.err != nil {
		return Decoder{err: d.err}
	}
	if code := v.Descriptor(); v.desc == nil || code != want || v.Inner().Kind() != List {
		d.Failf("expected a list of type %#02x, got a %v of type %#02x", want, v.Inner().Kind(), code)
		return Decoder{err: d.err}
	}
	return v.Items()
}
