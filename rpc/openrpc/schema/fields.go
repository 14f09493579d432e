package schema

import (
	"cmp"
	"reflect"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// A Member is what a field of a struct is in JSON.
type Member struct {
	// Name is its name there.
	Name string
	// Type is the field's.
	Type reflect.Type
	// Optional says that the field has the option omitempty or omitzero.
	Optional bool

	about   string // for people
	options bool   // there are others, that change how the codec writes it
	tagged  bool   // with a name
	depth   int    // of embedding
}

// Members returns the members that a struct has in JSON, in the order of its
// fields, with those of embedded structs in their place.
func Members(t reflect.Type) []Member { return dominant(collect(nil, t, 0, map[reflect.Type]bool{})) }

// structure makes the schema of a struct. The decoder requires no member of it.
func (s *Set) structure(t reflect.Type, side Side) *jsonschema.Schema {
	o := &jsonschema.Schema{Type: "object", Properties: map[string]*jsonschema.Schema{}}
	for _, m := range Members(t) {
		o.Properties[m.Name] = s.Member(m, side)
		o.PropertyOrder = append(o.PropertyOrder, m.Name)
		if side == Result && !m.Optional {
			o.Required = append(o.Required, m.Name)
		}
	}
	if side == Params {
		o.AdditionalProperties = &jsonschema.Schema{Not: &jsonschema.Schema{}}
	}
	return o
}

// Member returns the schema of a member, with the description that the field's
// tag jsonschema gives.
func (s *Set) Member(m Member, side Side) *jsonschema.Schema {
	if m.options {
		return &jsonschema.Schema{Description: m.about}
	}
	schema := s.Of(m.Type, side)
	schema.Description = m.about
	return schema
}

func newMember(f reflect.StructField, depth int) Member {
	name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
	m := Member{Name: cmp.Or(name, f.Name), Type: f.Type, depth: depth, tagged: name != "", about: f.Tag.Get("jsonschema")}
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "":
		case "omitempty", "omitzero":
			m.Optional = true
		default:
			m.options = true
		}
	}
	return m
}

// collect appends the members of t, with those of embedded structs in their
// place.
func collect(all []Member, t reflect.Type, depth int, above map[reflect.Type]bool) []Member {
	if above[t] {
		return all
	}
	above[t] = true
	defer delete(above, t)
	for f := range t.Fields() {
		tag := f.Tag.Get("json")
		if inner := embedded(f); inner != nil && (tag == "" || tag[0] == ',') {
			all = collect(all, inner, depth+1, above)
			continue
		}
		if tag == "-" || !f.IsExported() {
			continue
		}
		all = append(all, newMember(f, depth))
	}
	return all
}

// embedded returns the struct type whose fields f lends to the one around it,
// or nil.
func embedded(f reflect.StructField) reflect.Type {
	t := f.Type
	if t.Kind() == reflect.Pointer && f.IsExported() {
		t = t.Elem()
	}
	if !f.Anonymous || t.Kind() != reflect.Struct || selfDescribed(t, Params) != nil || selfDescribed(t, Result) != nil {
		return nil
	}
	return t
}

// dominant keeps of the fields with one name the one that Go would select: the
// outermost, then the one whose name is in its tag. If several are left none is
// kept.
func dominant(all []Member) []Member {
	kept := make([]Member, 0, len(all))
	for i, f := range all {
		hidden := false
		for j, other := range all {
			if i != j && other.Name == f.Name {
				hidden = hidden || other.depth < f.depth || other.depth == f.depth && (other.tagged || !f.tagged)
			}
		}
		if !hidden {
			kept = append(kept, f)
		}
	}
	return kept
}
