package schema

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/jsonschema-go/jsonschema"
)

// A Mismatch says where a value is not what a schema says. No part of it is
// longer than a few hundred bytes, whatever the value.
type Mismatch struct {
	// Path is a JSON Pointer into the value; "" is the value itself.
	Path string `json:"path"`
	// Expected is what should be there, Got what is, in words.
	Expected string `json:"expected"`
	Got      string `json:"got"`
}

// String returns "PATH: expected WHAT, got WHAT".
func (m *Mismatch) String() string {
	text := fmt.Sprintf("expected %s, got %s", m.Expected, m.Got)
	if m.Path != "" {
		text = m.Path + ": " + text
	}
	return text
}

// The bounds of a Mismatch, in bytes.
const maxPath, maxWords, maxGot = 200, 200, 60

func newMismatch(at jsontext.Pointer, want, got string) Mismatch {
	return Mismatch{Path: cut(string(at), maxPath), Expected: cut(want, maxWords), Got: got}
}

// cut shortens a text.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "…"
}

// got says what a value is.
func got(raw jsontext.Value) string {
	switch raw.Kind() {
	case '{':
		return "an object"
	case '[':
		return "an array"
	}
	return cut(string(raw), maxGot)
}

// expected says what a value should be.
func expected(s *jsonschema.Schema) string {
	switch {
	case s.Const != nil:
		return shown(*s.Const)
	case s.Enum != nil:
		all := make([]string, 0, 8)
		for _, v := range s.Enum[:min(len(s.Enum), 8)] {
			all = append(all, shown(v))
		}
		return "one of " + strings.Join(all, ", ")
	}
	types := s.Types
	if s.Type != "" {
		types = []string{s.Type}
	}
	words := make([]string, 0, 2)
	for _, t := range types[:min(len(types), 8)] {
		if t != "null" || len(types) == 1 { // which is seldom what was meant
			words = append(words, typeWords(s, t))
		}
	}
	return cmp.Or(strings.Join(words, " or "), "another value")
}

func shown(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return "another value"
	}
	return cut(string(text), maxGot)
}

func typeWords(s *jsonschema.Schema, t string) string {
	switch t {
	case "boolean":
		return "true or false"
	case "string":
		if s.MaxLength != nil || s.MinLength != nil {
			return "a string of another length"
		}
		return "a string"
	case "number":
		return "a number" + bounds(s)
	case "integer":
		return "an integer" + bounds(s)
	case "array":
		return "an array"
	case "object":
		return "an object"
	}
	return cut(t, maxGot)
}

// bounds says between which numbers one should be.
func bounds(s *jsonschema.Schema) string {
	low, high := cmp.Or(s.Minimum, s.ExclusiveMinimum), cmp.Or(s.Maximum, s.ExclusiveMaximum)
	bits := ""
	if s.Format == formatInt64 || s.Format == formatUint64 {
		bits = " of 64 bits"
	}
	switch {
	case low == nil && high == nil:
		return bits
	case high == nil:
		return bits + " of at least " + plain(*low)
	case low == nil:
		return bits + " of at most " + plain(*high)
	}
	return " from " + plain(*low) + " to " + plain(*high)
}

func plain(f float64) string {
	if math.Abs(f) < 1e15 {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// names lists the members that an object may have.
func names(s *jsonschema.Schema) string {
	all := make([]string, 0, len(s.Properties))
	for name := range s.Properties {
		all = append(all, strconv.Quote(cut(name, maxGot)))
	}
	slices.Sort(all)
	if len(all) == 0 {
		return "no members"
	}
	return "one of " + strings.Join(all[:min(len(all), 16)], ", ")
}

func decimal(n int) string { return strconv.Itoa(n) }

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func compareFloats(a, b float64) int { return cmp.Compare(a, b) }

// jsontextFloat reads a number; one out of range is infinite.
func jsontextFloat(raw jsontext.Value) (float64, error) { return strconv.ParseFloat(string(raw), 64) }
