package rpc_test

import (
	"strconv"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
	"pgregory.net/rapid"

	"github.com/polyport/polyport/rpc/openrpc"
	"github.com/polyport/polyport/rpc/openrpc/schema"
)

// drawParams generates params that are near to what the document says: right,
// or wrong in a place or two.
func drawParams(d *openrpc.Document, m *openrpc.Method) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		w := writer{t: t, defs: d.Schemas(), wrong: rapid.IntRange(0, 2).Draw(t, "wrong")}
		s := m.Schema()
		if len(s.AnyOf) > 0 {
			s = rapid.SampledFrom(s.AnyOf).Draw(t, "by")
		}
		if s.Types != nil {
			s = &jsonschema.Schema{Type: rapid.SampledFrom(s.Types).Draw(t, "type")}
		}
		if rapid.IntRange(0, 30).Draw(t, "other") == 0 {
			s = &jsonschema.Schema{Type: rapid.SampledFrom([]string{"array", "object"}).Draw(t, "type")}
		}
		w.container(s, 0)
		return w.String()
	})
}

// A writer writes a value for a schema.
type writer struct {
	strings.Builder

	t     *rapid.T
	defs  map[string]*jsonschema.Schema
	wrong int // how many mistakes are left to be made
}

func (w *writer) chance(n int) bool { return rapid.IntRange(1, n).Draw(w.t, "chance") == 1 }

// err decides whether to make a mistake here.
func (w *writer) err() bool {
	if w.wrong == 0 || !w.chance(6) {
		return false
	}
	w.wrong--
	return true
}

func (w *writer) value(s *jsonschema.Schema, depth int) {
	for s != nil && s.Ref != "" {
		s = w.defs[strings.TrimPrefix(s.Ref, schema.Prefix)]
	}
	if s == nil || w.err() {
		w.anything()
		return
	}
	if len(s.AnyOf) > 0 {
		w.value(rapid.SampledFrom(s.AnyOf).Draw(w.t, "any of"), depth)
		return
	}
	kind := s.Type
	if s.Types != nil {
		kind = rapid.SampledFrom(s.Types).Draw(w.t, "type")
	}
	switch kind {
	case "null":
		w.WriteString("null")
	case "boolean":
		w.WriteString(strconv.FormatBool(rapid.Bool().Draw(w.t, "bool")))
	case "integer":
		w.integer()
	case "number":
		w.WriteString(rapid.SampledFrom([]string{"0", "-1.5", "1e3", "3.4e38", "3.5e38", "-1e300", "12345678901234567890"}).Draw(w.t, "number"))
	case "string":
		w.quote(rapid.SampledFrom([]string{"", "a", "é\n", "null"}).Draw(w.t, "string"))
	case "array", "object":
		w.container(&jsonschema.Schema{
			Type: kind, Items: s.Items, ItemsArray: s.ItemsArray, AdditionalItems: s.AdditionalItems, MinItems: s.MinItems, MaxItems: s.MaxItems,
			Properties: s.Properties, Required: s.Required, AdditionalProperties: s.AdditionalProperties, PropertyNames: s.PropertyNames,
		}, depth+1)
	default:
		w.anything()
	}
}

// integer writes numbers at the bounds of Go's types, too.
func (w *writer) integer() {
	if w.chance(2) {
		w.WriteString(strconv.Itoa(rapid.IntRange(-3, 3).Draw(w.t, "int")))
		return
	}
	w.WriteString(rapid.SampledFrom([]string{
		"127", "128", "-128", "-129", "255", "256", "32767", "32768", "2147483648", "4294967296",
		"9223372036854775807", "-9223372036854775808", // what is beyond a schema cannot exclude
	}).Draw(w.t, "int"))
}

func (w *writer) anything() {
	w.WriteString(rapid.SampledFrom([]string{
		"null", "true", "0", "-7", "1.5", `""`, `"x"`, "[]", "[1]", "{}", `{"x":1}`, `[null]`, `{"name":"x"}`, `[[[]]]`,
	}).Draw(w.t, "anything"))
}

func (w *writer) quote(s string) {
	w.WriteString(strconv.Quote(s))
}

func (w *writer) container(s *jsonschema.Schema, depth int) {
	if s.Type == "array" {
		w.array(s, depth)
		return
	}
	w.object(s, depth)
}

func (w *writer) array(s *jsonschema.Schema, depth int) {
	least, most := len(s.ItemsArray), len(s.ItemsArray)
	if s.ItemsArray == nil {
		least, most = 0, 3
	}
	if s.MinItems != nil {
		least = *s.MinItems
		most = max(most, least)
	}
	if s.MaxItems != nil {
		most = *s.MaxItems
	}
	if depth > 3 {
		most = least
	}
	n := rapid.IntRange(least, most).Draw(w.t, "items")
	if w.err() {
		n = max(0, n+rapid.SampledFrom([]int{-1, 1}).Draw(w.t, "more"))
	}
	w.WriteByte('[')
	for i := range n {
		if i > 0 {
			w.WriteByte(',')
		}
		item := s.Items
		if i < len(s.ItemsArray) {
			item = s.ItemsArray[i]
		}
		w.value(item, depth)
	}
	w.WriteByte(']')
}

func (w *writer) object(s *jsonschema.Schema, depth int) {
	required := map[string]bool{}
	for _, name := range s.Required {
		required[name] = true
	}
	used := map[string]bool{}
	w.WriteByte('{')
	write := func(name string, s *jsonschema.Schema) {
		if used[name] {
			return
		}
		if len(used) > 0 {
			w.WriteByte(',')
		}
		used[name] = true
		w.quote(name)
		w.WriteByte(':')
		w.value(s, depth)
	}
	for _, name := range s.PropertyOrder {
		if required[name] && !w.err() || !required[name] && depth < 4 && w.chance(2) {
			write(name, s.Properties[name])
		}
	}
	if s.PropertyOrder == nil {
		for name, p := range s.Properties {
			if required[name] || depth < 4 && w.chance(2) {
				write(name, p)
			}
		}
	}
	if more := s.AdditionalProperties; more != nil && more.Not == nil && depth < 4 {
		names := []string{"a", "b", "x"}
		if s.PropertyNames != nil {
			names = []string{"0", "7", "-1", "12"}
		}
		for range rapid.IntRange(0, 2).Draw(w.t, "members") {
			write(rapid.SampledFrom(names).Draw(w.t, "name"), more)
		}
	}
	if w.err() {
		write(rapid.SampledFrom([]string{"unknown", "X", "", "01"}).Draw(w.t, "name"), nil)
	}
	w.WriteByte('}')
}
