package schema

import (
	"bytes"
	"encoding/json"
	"math/big"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/jsonschema-go/jsonschema"
)

// fits reports whether a value is what the keywords other than type say.
func (k *check) fits(s *jsonschema.Schema, kind jsontext.Kind, raw jsontext.Value) bool {
	if s.Const != nil && !equal(*s.Const, raw) {
		return false
	}
	if s.Enum != nil && !oneOf(s.Enum, raw) {
		return false
	}
	switch kind {
	case '0':
		return (!hasType(s, "integer") || hasType(s, "number") || whole(raw)) && fitsFormat(s.Format, raw) && within(s, raw)
	case '"':
		return s.MinLength == nil && s.MaxLength == nil || length(s, raw)
	}
	return true
}

func oneOf(all []any, raw jsontext.Value) bool {
	for _, v := range all {
		if equal(v, raw) {
			return true
		}
	}
	return false
}

// equal compares in the canonical form, where 1.0 is 1.
func equal(v any, raw jsontext.Value) bool {
	text, err := json.Marshal(v)
	if err != nil {
		return false
	}
	a, b := jsontext.Value(text), jsontext.Value(bytes.Clone(raw))
	return a.Canonicalize() == nil && b.Canonicalize() == nil && bytes.Equal(a, b)
}

func hasType(s *jsonschema.Schema, t string) bool {
	return s.Type == t || slices.Contains(s.Types, t)
}

// whole reports whether text is an integer as decoders want it.
func whole(text []byte) bool {
	digits := bytes.TrimPrefix(text, []byte("-"))
	for _, c := range digits {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(digits) > 0 && (len(digits) == 1 || digits[0] != '0')
}

// fitsFormat reports whether a number has the bits that a format gives it.
func fitsFormat(format string, text []byte) bool {
	if format != formatInt64 && format != formatUint64 || len(text) < 19 || !whole(text) {
		return true
	}
	var err error
	if format == formatInt64 {
		_, err = strconv.ParseInt(string(text), 10, 64)
	} else {
		_, err = strconv.ParseUint(string(text), 10, 64)
	}
	return err == nil
}

// The patterns that a Set makes for the names in maps that are numbers in Go.
const signedName, unsignedName = `^(0|-?[1-9][0-9]*)$`, `^(0|[1-9][0-9]*)$`

// named reports whether a name is as one of these patterns has it. It takes all
// names for other patterns.
func named(pattern string, name []byte) bool {
	switch pattern {
	case signedName:
		return whole(name) && string(name) != "-0"
	case unsignedName:
		return whole(name) && name[0] != '-'
	}
	return true
}

// digits is how long a number may be to be compared exactly: an exponent makes
// large ones of few.
const digits = 40

// within reports whether a number is between the bounds of s.
func within(s *jsonschema.Schema, raw jsontext.Value) bool {
	if s.Minimum == nil && s.Maximum == nil && s.ExclusiveMinimum == nil && s.ExclusiveMaximum == nil {
		return true
	}
	compare := comparer(raw)
	return (s.Minimum == nil || compare(*s.Minimum) >= 0) && (s.Maximum == nil || compare(*s.Maximum) <= 0) &&
		(s.ExclusiveMinimum == nil || compare(*s.ExclusiveMinimum) > 0) && (s.ExclusiveMaximum == nil || compare(*s.ExclusiveMaximum) < 0)
}

// comparer returns a function that compares a number with others.
func comparer(raw jsontext.Value) func(float64) int {
	if whole(raw) && len(raw) <= 15 || len(raw) > digits || bytes.ContainsAny(raw, "eE") {
		f, _ := jsontextFloat(raw)
		return func(limit float64) int { return compareFloats(f, limit) }
	}
	exact, ok := new(big.Rat).SetString(string(raw))
	if !ok {
		return func(float64) int { return 0 }
	}
	return func(limit float64) int { return exact.Cmp(new(big.Rat).SetFloat64(limit)) }
}

func length(s *jsonschema.Schema, raw jsontext.Value) bool {
	text, err := jsontext.AppendUnquote(nil, raw)
	if err != nil {
		return true
	}
	n := utf8.RuneCount(text)
	return (s.MinLength == nil || n >= *s.MinLength) && (s.MaxLength == nil || n <= *s.MaxLength)
}
