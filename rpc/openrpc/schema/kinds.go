package schema

import (
	"encoding/json"
	"math"
	"reflect"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
)

var timeType = reflect.TypeFor[time.Time]()

// The methods by which a type decodes or encodes itself, by side.
var (
	jsonMethods = [...][]string{
		Params:  {"UnmarshalJSON", "UnmarshalJSONFrom"},
		Lenient: {"UnmarshalJSON", "UnmarshalJSONFrom"},
		Result:  {"MarshalJSON", "MarshalJSONTo"},
	}
	textMethods = [...][]string{
		Params: {"UnmarshalText"}, Lenient: {"UnmarshalText"}, Result: {"MarshalText", "AppendText"},
	}
)

func hasAny(t reflect.Type, names []string) bool {
	if t.Kind() == reflect.Interface {
		return false // what is in it decides
	}
	t = reflect.PointerTo(t)
	for _, name := range names {
		if _, ok := t.MethodByName(name); ok {
			return true
		}
	}
	return false
}

// selfDescribed returns the schema of a type that decodes itself, or nil.
func selfDescribed(t reflect.Type, side Side) *jsonschema.Schema {
	switch {
	case t == timeType:
		return &jsonschema.Schema{Type: "string", Format: "date-time"}
	case t == reflect.TypeFor[json.RawMessage]() || hasAny(t, jsonMethods[side]):
		return &jsonschema.Schema{}
	case hasAny(t, textMethods[side]):
		return &jsonschema.Schema{Type: "string"}
	}
	return nil
}

// make makes the schema of a type that does not decode itself.
func (s *Set) make(t reflect.Type, side Side) *jsonschema.Schema {
	switch k := t.Kind(); {
	case k == reflect.Bool:
		return &jsonschema.Schema{Type: "boolean"}
	case k == reflect.String:
		return &jsonschema.Schema{Type: "string"}
	case k == reflect.Float64:
		return &jsonschema.Schema{Type: "number"}
	case k == reflect.Float32:
		return &jsonschema.Schema{Type: "number", Minimum: new(float64(-math.MaxFloat32)), Maximum: new(float64(math.MaxFloat32))}
	case reflect.Int <= k && k <= reflect.Int64:
		return signed(t.Bits())
	case reflect.Uint <= k && k <= reflect.Uintptr:
		return unsigned(t.Bits())
	case IsBytes(t):
		return bytesSchema(t)
	case k == reflect.Slice:
		return &jsonschema.Schema{Type: "array", Items: s.Of(t.Elem(), side)}
	case k == reflect.Array:
		n := t.Len()
		return &jsonschema.Schema{Type: "array", Items: s.Of(t.Elem(), side), MinItems: &n, MaxItems: &n}
	case k == reflect.Map:
		return &jsonschema.Schema{Type: "object", AdditionalProperties: s.Of(t.Elem(), side), PropertyNames: keys(t.Key(), side)}
	case k == reflect.Struct:
		return s.structure(t, side)
	case k == reflect.Interface && (t.NumMethod() == 0 || side == Result):
		return &jsonschema.Schema{}
	}
	return &jsonschema.Schema{Not: &jsonschema.Schema{}} // there is no JSON for it
}

// IsBytes reports whether t is a slice or an array of bytes, which is text in
// JSON.
func IsBytes(t reflect.Type) bool {
	return (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) && t.Elem().Kind() == reflect.Uint8
}

func bytesSchema(t reflect.Type) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "string", ContentEncoding: "base64"}
	if t.Kind() == reflect.Array {
		n := (t.Len() + 2) / 3 * 4
		s.MinLength, s.MaxLength = &n, &n
	}
	return s
}

// The formats of integers whose bounds a float64, and so a schema, cannot hold.
const formatInt64, formatUint64 = "int64", "uint64"

func signed(bits int) *jsonschema.Schema {
	if bits == 64 {
		return &jsonschema.Schema{Type: "integer", Format: formatInt64}
	}
	limit := math.Ldexp(1, bits-1)
	return &jsonschema.Schema{Type: "integer", Minimum: new(-limit), Maximum: new(limit - 1)}
}

func unsigned(bits int) *jsonschema.Schema {
	if bits == 64 {
		return &jsonschema.Schema{Type: "integer", Minimum: new(0.0), Format: formatUint64}
	}
	return &jsonschema.Schema{Type: "integer", Minimum: new(0.0), Maximum: new(math.Ldexp(1, bits) - 1)}
}

// keys returns the schema of the names of a map, or nil if any will do.
func keys(t reflect.Type, side Side) *jsonschema.Schema {
	switch k := t.Kind(); {
	case selfDescribed(t, side) != nil:
		return nil
	case reflect.Int <= k && k <= reflect.Int64:
		return &jsonschema.Schema{Pattern: signedName}
	case reflect.Uint <= k && k <= reflect.Uintptr:
		return &jsonschema.Schema{Pattern: unsignedName}
	}
	return nil
}
