package envelope

import (
	"bytes"
	"math"
	"sync"
	"unicode/utf8"
)

// IsArray tells whether raw, a value without white space before it, is an
// array. Nil is not.
func IsArray(raw []byte) bool { return len(raw) > 0 && raw[0] == '[' }

// IsObject tells whether raw, a value without white space before it, is an
// object. Nil is not.
func IsObject(raw []byte) bool { return len(raw) > 0 && raw[0] == '{' }

// Number returns the length of the JSON number that raw begins with, or 0 if
// there is none.
func Number(raw []byte) int {
	if len(raw) == 0 || raw[0] != '-' && raw[0]-'0' > 9 {
		return 0
	}
	s := scanner{body: raw}
	return max(0, s.scalar(0))
}

// CutString returns the text of the JSON string that raw begins with, and what
// follows it; ok is false if there is none, or its text is not Unicode.
func CutString(raw []byte) (text string, rest []byte, ok bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", raw, false
	}
	s := scanner{body: raw}
	end, escaped := s.text(1)
	if end < 0 {
		return "", raw, false
	}
	if inner := raw[1 : end-1]; !escaped {
		return string(inner), raw[end:], utf8.Valid(inner)
	}
	buf := scratch.Get().(*[]byte)
	*buf, ok = unescape((*buf)[:0], raw[1:end-1])
	text = string(*buf)
	if cap(*buf) <= maxScratch {
		scratch.Put(buf)
	}
	return text, raw[end:], ok
}

// scratch are buffers to unescape into, of up to maxScratch bytes.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

const maxScratch = 4 << 20

// Elements appends the elements of array to dst and returns the extended
// slice. The elements are raw values that alias array. It is meant for a value
// that [Scan] has checked; of anything else it returns the elements up to
// where the array ends or the grammar breaks.
func Elements(array []byte, dst [][]byte) [][]byte {
	if !IsArray(array) {
		return dst
	}
	s := scanner{body: array, maxDepth: math.MaxInt}
	for i := space(array, 1); i < len(array) && array[i] != ']'; {
		end := s.value(i, 0)
		if end < 0 {
			break
		}
		dst = append(dst, array[i:end:end])
		if i = space(array, end); i < len(array) && array[i] == ',' {
			i = space(array, i+1)
		} else {
			break
		}
	}
	return dst
}

// Members calls yield for each member of object, in order, until it returns
// false. The name is without quotes and escapes; it aliases object if it was
// written without escapes. The value is raw and aliases object. Duplicate
// names are all reported, and names are not checked for UTF-8 (half a
// surrogate pair becomes U+FFFD). Members is meant for a value that [Scan] has
// checked; of anything else it reports the members up to where the object
// ends or the grammar breaks.
func Members(object []byte, yield func(name, value []byte) bool) {
	if !IsObject(object) {
		return
	}
	s := scanner{body: object, maxDepth: math.MaxInt}
	for i := space(object, 1); i < len(object) && object[i] == '"'; {
		quote, escaped := s.text(i + 1)
		if quote < 0 {
			return
		}
		name := object[i+1 : quote-1 : quote-1]
		if escaped {
			name, _ = unescape(make([]byte, 0, len(name)), name)
		}
		if i = s.colon(quote); i < 0 {
			return
		}
		end := s.value(i, 0)
		if end < 0 || !yield(name, object[i:end:end]) {
			return
		}
		if i = space(object, end); i >= len(object) || object[i] != ',' {
			return
		}
		i = space(object, i+1)
	}
}

// Text returns the text of raw, a value that [Scan] has checked, if it is a
// string in Unicode, and nil otherwise. It may alias raw.
func Text(raw []byte) []byte {
	if len(raw) < 2 || raw[0] != '"' {
		return nil
	}
	text := unquoted(raw)
	if bytes.IndexByte(text, '\\') < 0 {
		if !isText(text) {
			return nil
		}
		return text
	}
	text, ok := unescape(make([]byte, 0, len(text)), text)
	if !ok {
		return nil
	}
	return text
}
