package gengo

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/polyport/polyport/rpc/openrpc/schema"
)

// A typer writes the declarations of types.
type typer struct {
	schemas     map[string]*jsonschema.Schema // those that others refer to
	definitions map[string]*definition        // of them, by their names in the document
	scope       scope                         // of the package
	declared    map[string]string             // text by the name in Go
	json, time  bool                          // the packages that are used
	count, size int
}

// A definition is a type with a name in the document.
type definition struct {
	name string // in Go
	done bool   // else it is being written
}

// A place is where a type stands.
type place uint8

const (
	inField      place = iota // of a struct, or
	inElement                 // of a slice, a map, a function: there it may be one being written
	inDefinition              // of a type, by its own
)

const raw = "json.RawMessage"

// raw is what is known of a value of which nothing is known.
func (t *typer) raw() string {
	t.json = true
	return raw
}

// order returns the names of the types, in order.
func (t *typer) order() []string { return slices.Sorted(maps.Keys(t.declared)) }

// expression returns the Go type of a schema. hint names it if it has to be
// declared.
func (t *typer) expression(s *jsonschema.Schema, hint string, at place) string {
	if t.count++; t.count > maxTypes || t.size > maxText || s == nil {
		return t.raw() // the first two end in an error
	}
	if s.Ref != "" {
		return t.reference(s.Ref, at)
	}
	if one := orNull(s); one != nil {
		return t.pointer(t.expression(one, hint, pointed(at)))
	}
	kind, null := s.Type, false
	if s.Types != nil {
		kind, null = only(s.Types)
	}
	if s.AnyOf != nil || s.OneOf != nil || s.AllOf != nil {
		return t.raw()
	}
	out := t.kind(s, kind, hint)
	if null {
		return t.pointer(out)
	}
	return out
}

func pointed(at place) place {
	if at == inField {
		return inElement
	}
	return at
}

// only returns the one type of several that is not null.
func only(types []string) (kind string, null bool) {
	for _, t := range types {
		switch {
		case t == "null":
			null = true
		case kind != "":
			return "", false
		default:
			kind = t
		}
	}
	return kind, null
}

// orNull returns the other of two schemas of which one is for null, or nil.
func orNull(s *jsonschema.Schema) *jsonschema.Schema {
	two := slices.Concat(s.AnyOf, s.OneOf)
	if len(two) != 2 || s.AllOf != nil {
		return nil
	}
	switch {
	case two[0].Type == "null":
		return two[1]
	case two[1].Type == "null":
		return two[0]
	}
	return nil
}

// pointer returns the type of what may be null.
func (t *typer) pointer(to string) string {
	if to == raw || strings.HasPrefix(to, "*") || strings.HasPrefix(to, "[]") || strings.HasPrefix(to, "map[") {
		return to
	}
	return "*" + to
}

func (t *typer) kind(s *jsonschema.Schema, kind, hint string) string {
	switch kind {
	case "boolean":
		return "bool"
	case "integer":
		return integer(s)
	case "number":
		return "float64"
	case "string":
		switch {
		case s.ContentEncoding == "base64":
			return "[]byte"
		case s.Format == "date-time":
			t.time = true
			return "time.Time"
		}
		return "string"
	case "array":
		if s.Items == nil {
			return "[]" + t.raw()
		}
		return "[]" + t.expression(s.Items, hint+"Item", inElement)
	case "object":
		if len(s.Properties) > 0 {
			return t.structure(s, hint, "is an object of the service.")
		}
		if s.AdditionalProperties == nil || s.AdditionalProperties.Not != nil {
			return "map[string]" + t.raw()
		}
		return "map[string]" + t.expression(s.AdditionalProperties, hint+"Value", inElement)
	}
	return t.raw()
}

// integer returns the smallest of three types that a number surely fits.
func integer(s *jsonschema.Schema) string {
	if s.Format == "uint64" {
		return "uint64"
	}
	return "int64"
}

// reference returns the name of a type, which is declared before if it is not
// yet. A struct cannot have a field of a type that is still being written, for
// that may contain the struct, so it has a pointer.
func (t *typer) reference(ref string, at place) string {
	name, ok := strings.CutPrefix(ref, schema.Prefix)
	s := t.schemas[name]
	if !ok || s == nil {
		return t.raw()
	}
	d := t.definitions[name]
	switch {
	case d == nil:
		d = &definition{name: t.scope.take(exported(name))}
		t.definitions[name] = d
		t.define(d, s)
		d.done = true
	case !d.done && at == inField:
		return "*" + d.name
	case !d.done && at == inDefinition:
		return t.raw()
	}
	return d.name
}

// define declares a type for a schema with a name.
func (t *typer) define(d *definition, s *jsonschema.Schema) {
	if s.Type == "object" && len(s.Properties) > 0 && fieldable(s) && s.AnyOf == nil && s.OneOf == nil && s.AllOf == nil {
		t.declare(d.name, s, "is an object of the service.", t.fields(s, d.name))
		return
	}
	as := t.expression(s, d.name+"Value", inDefinition)
	equals := "= " // or methods were lost, as those of json.RawMessage
	switch as {
	case "bool", "int64", "uint64", "float64", "string":
		equals = ""
	}
	if strings.HasPrefix(as, "[]") && as != "[]byte" || strings.HasPrefix(as, "map[") {
		equals = "" // it may contain itself
	}
	t.declare(d.name, s, "is a value of the service.", equals+as+"\n")
}

// structure declares a struct of its own, or returns a map if there are members
// that cannot be fields.
func (t *typer) structure(s *jsonschema.Schema, hint, what string) string {
	if !fieldable(s) {
		return "map[string]" + t.raw()
	}
	name := t.scope.take(exported(hint))
	t.declare(name, s, what, t.fields(s, name))
	return name
}

// fieldable reports whether all members of an object can be fields.
func fieldable(s *jsonschema.Schema) bool {
	for name := range s.Properties {
		if !taggable(name) {
			return false
		}
	}
	return true
}

func (t *typer) declare(name string, s *jsonschema.Schema, what, body string) {
	var b bytes.Buffer
	b.WriteString("\n")
	comment(&b, "", name+" "+what, s.Title, s.Description)
	fmt.Fprintf(&b, "type %s %s", name, body)
	if t.declared == nil {
		t.declared = map[string]string{}
	}
	t.declared[name] = b.String()
	t.size += b.Len()
}

// fields returns the body of a struct.
func (t *typer) fields(s *jsonschema.Schema, owner string) string {
	names := slices.Clone(s.PropertyOrder)
	if len(names) != len(s.Properties) {
		names = slices.Sorted(maps.Keys(s.Properties))
	}
	required := make(map[string]bool, len(s.Required))
	for _, name := range s.Required {
		required[name] = true
	}
	var b bytes.Buffer
	b.WriteString("struct {\n")
	taken := scope{}
	for _, name := range names {
		field := taken.take(exported(name))
		as := t.expression(s.Properties[name], owner+exported(name), inField)
		if p := s.Properties[name]; p != nil {
			comment(&b, "\t", p.Description)
		}
		fmt.Fprintf(&b, "\t%s %s %s\n", field, as, tag(name, !required[name]))
	}
	b.WriteString("}\n")
	return b.String()
}
