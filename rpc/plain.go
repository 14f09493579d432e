package rpc

import (
	"math"
	"strconv"

	"github.com/polyport/polyport/rpc/internal/envelope"
)

// Numbers and lists of numbers are most of what small calls carry, and reading
// or writing one takes less time than finding out by reflection what it is.
// The functions of this file do what the codec's library does, or report false
// and leave it to the library: whatever is unusual, and all errors.

// appendPlain appends the JSON text of v.
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
	case *int:
		return appendAt(dst, v, appendInt)
	case *float64:
		return appendAt(dst, v, appendFloat)
	case *[]int:
		if v != nil {
			return appendList(dst, *v, appendInt)
		}
	case *[]float64:
		if v != nil {
			return appendList(dst, *v, appendFloat)
		}
	}
	return dst, false
}

// decodePlain decodes data into what v points to.
func decodePlain(data []byte, v any) bool {
	switch v := v.(type) {
	case *int:
		return decodeOne(data, v, cutInt)
	case *float64:
		return decodeOne(data, v, cutFloat)
	case *[]int:
		return decodeList(data, v, cutInt)
	case *[]float64:
		return decodeList(data, v, cutFloat)
	}
	return false
}

func appendAt[T any](dst []byte, v *T, one func([]byte, T) ([]byte, bool)) ([]byte, bool) {
	if v == nil {
		return dst, false
	}
	return one(dst, *v)
}

func appendList[T any](dst []byte, list []T, one func([]byte, T) ([]byte, bool)) (out []byte, ok bool) {
	out = append(dst, '[')
	for i, v := range list {
		if i > 0 {
			out = append(out, ',')
		}
		if out, ok = one(out, v); !ok {
			return dst, false
		}
	}
	return append(out, ']'), true
}

func appendInt(dst []byte, n int) ([]byte, bool) { return strconv.AppendInt(dst, int64(n), 10), true }

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

// A cut reads the value that data begins with, and returns what follows it.
type cut[T any] func(data []byte) (v T, rest []byte, ok bool)

func decodeOne[T any](data []byte, to *T, one cut[T]) bool {
	v, rest, ok := one(data)
	if ok = ok && to != nil && len(rest) == 0; ok {
		*to = v
	}
	return ok
}

func decodeList[T any](data []byte, to *[]T, one cut[T]) bool {
	if to == nil || !envelope.IsArray(data) {
		return false
	}
	list := (*to)[:0]
	for {
		v, rest, ok := one(data[1:])
		if !ok || len(rest) == 0 {
			return false
		}
		list = append(list, v)
		if rest[0] == ']' && len(rest) == 1 {
			*to = list
			return true
		}
		if data = rest; data[0] != ',' {
			return false
		}
	}
}

// exact is how many characters an integer may have that any float64 can hold.
const exact = 15

// cutWhole is a cut of an integer.
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
	return n, data[i:], true
}

func cutInt(data []byte) (n int, rest []byte, ok bool) {
	whole, rest, ok := cutWhole(data)
	n = int(whole)
	return n, rest, ok && int64(n) == whole
}

func cutFloat(data []byte) (f float64, rest []byte, ok bool) {
	// Zero may be negative, and what goes on is no integer.
	if n, rest, ok := cutWhole(data); ok && n != 0 && (len(rest) == 0 || rest[0] == ',' || rest[0] == ']') {
		return float64(n), rest, true
	}
	end := envelope.Number(data)
	f, err := strconv.ParseFloat(string(data[:end]), 64)
	return f, data[end:], err == nil
}
