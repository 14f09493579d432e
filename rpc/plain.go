package rpc

import (
	"bytes"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/polyport/polyport/rpc/internal/envelope"
)

// Plain values are numbers, strings, booleans, lists of them, and structs of
// them all: most of what calls carry. To read or write one takes less time than
// to find out by reflection, value by value, what it is. The functions of this
// file do what the library of the codec does, or report false and leave it to
// the library: whatever is out of the ordinary, white space, and all errors.

// appendPlain appends the JSON text of v. If it reports false, what it appended
// is to be thrown away.
func appendPlain(dst []byte, v any) ([]byte, bool) {
	switch v := v.(type) {
	case int:
		return appendInt(dst, v)
	case float64:
		return appendFloat(dst, v)
	case []int:
		return appendList(dst, v, appendInt)
	case []float64:
		return appendList(dst, v, appendFloat)
	case []string:
		return appendList(dst, v, appendString)
	case *int:
		return appendAt(dst, v, appendInt)
	case *float64:
		return appendAt(dst, v, appendFloat)
	case *string:
		return appendAt(dst, v, appendString)
	case *bool:
		return appendAt(dst, v, appendBool)
	case *[]int:
		return appendListAt(dst, v, appendInt)
	case *[]float64:
		return appendListAt(dst, v, appendFloat)
	case *[]string:
		return appendListAt(dst, v, appendString)
	}
	return appendStruct(dst, reflect.ValueOf(v))
}

// cutPlain decodes the value that data begins with into what v points to, and
// returns what follows it.
func cutPlain(data []byte, v any) (rest []byte, ok bool) {
	switch v := v.(type) {
	case *int:
		return cutInto(data, v, cutInt)
	case *float64:
		return cutInto(data, v, cutFloat)
	case *string:
		return cutInto(data, v, envelope.CutString)
	case *bool:
		return cutInto(data, v, cutBool)
	case *[]int:
		return cutList(data, v, cutInt)
	case *[]float64:
		return cutList(data, v, cutFloat)
	case *[]string:
		return cutList(data, v, envelope.CutString)
	}
	return cutStruct(data, reflect.ValueOf(v))
}

// decodePlain decodes data into what v points to.
func decodePlain(data []byte, v any) bool {
	rest, ok := cutPlain(data, v)
	return ok && len(rest) == 0
}

// An appender appends the JSON text of a value, if it is plain.
type appender[T any] func(dst []byte, v T) ([]byte, bool)

func appendAt[T any](dst []byte, v *T, one appender[T]) ([]byte, bool) {
	if v == nil {
		return dst, false
	}
	return one(dst, *v)
}

func appendListAt[T any](dst []byte, list *[]T, one appender[T]) ([]byte, bool) {
	if list == nil {
		return dst, false
	}
	return appendList(dst, *list, one)
}

func appendList[T any](dst []byte, list []T, one appender[T]) (_ []byte, ok bool) {
	dst = append(dst, '[')
	for i, v := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, ok = one(dst, v); !ok {
			return dst, false
		}
	}
	return append(dst, ']'), true
}

func appendInt(dst []byte, n int) ([]byte, bool) { return strconv.AppendInt(dst, int64(n), 10), true }

func appendBool(dst []byte, b bool) ([]byte, bool) { return strconv.AppendBool(dst, b), true }

func appendString(dst []byte, s string) ([]byte, bool) {
	if !utf8.ValidString(s) {
		return dst, false
	}
	return envelope.AppendString(dst, s), true
}

func appendFloat(dst []byte, f float64) ([]byte, bool) {
	switch abs := math.Abs(f); {
	case f == 0: // which may be negative
	case abs <= 1<<53 && f == math.Trunc(f):
		return strconv.AppendInt(dst, int64(f), 10), true
	case !(abs >= 1e-6 && abs < 1e21): // those have an exponent, or are none
		return dst, false
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64), true
}

// A cutter reads the value that data begins with, and returns what follows it.
type cutter[T any] func(data []byte) (v T, rest []byte, ok bool)

func cutInto[T any](data []byte, to *T, one cutter[T]) ([]byte, bool) {
	v, rest, ok := one(data)
	if ok = ok && to != nil; ok {
		*to = v
	}
	return rest, ok
}

func cutList[T any](data []byte, to *[]T, one cutter[T]) ([]byte, bool) {
	if to == nil || !envelope.IsArray(data) {
		return data, false
	}
	list := (*to)[:0]
	for {
		v, rest, ok := one(data[1:])
		if !ok || len(rest) == 0 {
			return data, false
		}
		list = append(list, v)
		switch data = rest; data[0] {
		case ',':
		case ']':
			*to = list
			return data[1:], true
		default:
			return data, false
		}
	}
}

// exact is how many characters an integer may have that any float64 can hold.
const exact = 15

// cutWhole is a cutter of integers.
func cutWhole(data []byte) (n int64, rest []byte, ok bool) {
	i := 0
	if len(data) > 0 && data[0] == '-' {
		i = 1
	}
	first := i
	for i < len(data) && i <= exact && data[i]-'0' <= 9 {
		n = n*10 + int64(data[i]-'0')
		i++
	}
	if i == first || i > exact || data[first] == '0' && i > first+1 {
		return 0, data, false
	}
	if first > 0 {
		n = -n
	}
	rest = data[i:]
	return n, rest, len(rest) == 0 || rest[0] == ',' || rest[0] == ']' || rest[0] == '}' // and no fraction
}

func cutInt(data []byte) (n int, rest []byte, ok bool) {
	whole, rest, ok := cutWhole(data)
	n = int(whole)
	return n, rest, ok && int64(n) == whole
}

func cutFloat(data []byte) (f float64, rest []byte, ok bool) {
	if n, rest, ok := cutWhole(data); ok && n != 0 { // zero may be negative
		return float64(n), rest, true
	}
	end := envelope.Number(data)
	f, err := strconv.ParseFloat(string(data[:end]), 64)
	return f, data[end:], err == nil
}

func cutBool(data []byte) (b bool, rest []byte, ok bool) {
	if len(data) >= 4 && string(data[:4]) == "true" {
		return true, data[4:], true
	}
	if len(data) >= 5 && string(data[:5]) == "false" {
		return false, data[5:], true
	}
	return false, data, false
}

// A plainStruct is a struct type all of whose fields are plain.
type plainStruct []plainField

type plainField struct {
	index  int
	quoted []byte // the name as a JSON string with its colon
}

// appendStruct appends a struct, or one that v points to.
func appendStruct(dst []byte, v reflect.Value) ([]byte, bool) {
	switch {
	case v.Kind() == reflect.Pointer && !v.IsNil():
		v = v.Elem()
	case v.Kind() == reflect.Struct && plainStructOf(v.Type()) != nil:
		at := reflect.New(v.Type()).Elem() // fields can be taken by their addresses
		at.Set(v)
		v = at
	}
	if v.Kind() != reflect.Struct || !v.CanAddr() {
		return dst, false
	}
	fields := plainStructOf(v.Type())
	dst, ok := append(dst, '{'), len(fields) > 0
	for i := range fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, fields[i].quoted...)
		if dst, ok = appendPlain(dst, v.Field(fields[i].index).Addr().Interface()); !ok {
			return dst, false
		}
	}
	return append(dst, '}'), ok
}

// cutStruct is cutPlain for a pointer to a struct.
func cutStruct(data []byte, v reflect.Value) ([]byte, bool) {
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct || !envelope.IsObject(data) {
		return data, false
	}
	v = v.Elem()
	fields := plainStructOf(v.Type())
	for seen := uint64(0); ; {
		i, rest := fields.cutName(data[1:])
		if i < 0 || seen>>i&1 != 0 {
			return data, false
		}
		seen |= 1 << i
		var ok bool
		if data, ok = cutPlain(rest, v.Field(fields[i].index).Addr().Interface()); !ok || len(data) == 0 {
			return data, false
		}
		switch data[0] {
		case ',':
		case '}':
			return data[1:], true
		default:
			return data, false
		}
	}
}

// cutName returns which field's name data begins with, or -1, and what follows
// the colon.
func (p plainStruct) cutName(data []byte) (i int, rest []byte) {
	for i := range p {
		if rest, ok := bytes.CutPrefix(data, p[i].quoted); ok {
			return i, rest
		}
	}
	return -1, data
}

var plainStructs sync.Map // of plainStruct by reflect.Type

// plainStructOf returns the fields of t, or nil if it is not plain.
func plainStructOf(t reflect.Type) plainStruct {
	if p, ok := plainStructs.Load(t); ok {
		return p.(plainStruct)
	}
	p := newPlainStruct(t)
	plainStructs.Store(t, p)
	return p
}

func newPlainStruct(t reflect.Type) (p plainStruct) {
	if t.NumField() > 64 || reflect.PointerTo(t).NumMethod() > 0 { // which may be for JSON
		return nil
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("json")
		switch {
		case !f.IsExported() && f.Tag == "" && !f.Anonymous:
			continue
		case f.Anonymous || !f.IsExported() || strings.ContainsFunc(name, special) || !plain(f.Type):
			return nil
		case name == "":
			name = f.Name
		}
		quoted := append(envelope.AppendString(nil, name), ':')
		if twin, _ := p.cutName(quoted); twin >= 0 {
			return nil
		}
		p = append(p, plainField{index: i, quoted: quoted})
	}
	return p
}

// special reports whether c may make a tag more than the name of a member.
func special(c rune) bool {
	return c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z')
}

func plain(t reflect.Type) bool {
	switch reflect.New(t).Interface().(type) {
	case *int, *float64, *string, *bool, *[]int, *[]float64, *[]string:
		return true
	}
	return t.Kind() == reflect.Struct && plainStructOf(t) != nil
}
