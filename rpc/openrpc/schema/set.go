package schema

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/google/jsonschema-go/jsonschema"
)

// A Side says in which direction values travel.
type Side uint8

const (
	// Params are decoded, and unknown names are refused.
	Params Side = iota
	// Lenient are decoded, and unknown names are passed over.
	Lenient
	// Result is encoded.
	Result
)

// Prefix begins the references between schemas: those of a [Set] live in the
// components of an OpenRPC document.
const Prefix = "#/components/schemas/"

// A Set makes schemas of Go types. Types with a name become definitions, to
// which the schemas refer. The zero value is ready. A Set is not safe for
// concurrent use.
type Set struct {
	defs map[key]*def
}

// A key is what has a definition: what a type takes and what it gives differ.
type key struct {
	t    reflect.Type
	side Side
}

type def struct {
	key

	schema *jsonschema.Schema
	refs   []*jsonschema.Schema // that refer to it, and get its name in the end
}

// Of returns the schema of t. References in it lack their names until
// [Set.Definitions] is called. Schemas are not to be changed.
func (s *Set) Of(t reflect.Type, side Side) *jsonschema.Schema {
	if t.Kind() == reflect.Pointer {
		return nullable(s.Of(t.Elem(), side))
	}
	if own := selfDescribed(t, side); own != nil {
		return own
	}
	if t.Name() == "" || !composite(t.Kind()) {
		return s.make(t, side)
	}
	k := key{t, side}
	d := s.defs[k]
	if d == nil {
		d = &def{key: k}
		if s.defs == nil {
			s.defs = map[key]*def{}
		}
		s.defs[k] = d // first, because t may contain itself
		d.schema = s.make(t, side)
	}
	ref := &jsonschema.Schema{Ref: Prefix}
	d.refs = append(d.refs, ref)
	return ref
}

// Whole is Of for params as a whole: the schema of t itself, even if t has a
// name.
func (s *Set) Whole(t reflect.Type, side Side) *jsonschema.Schema { return s.make(t, side) }

// Definitions returns the schemas of all types with a name that were met, by
// name, and completes the references to them. A type that is used as params and
// as a result has two: the name of the first ends in Params. No more schemas may
// be made after it.
func (s *Set) Definitions() map[string]*jsonschema.Schema {
	all := make([]*def, 0, len(s.defs))
	results := map[reflect.Type]bool{}
	for k, d := range s.defs {
		all = append(all, d)
		results[k.t] = results[k.t] || k.side == Result
	}
	slices.SortFunc(all, func(a, b *def) int {
		return cmp.Or(cmp.Compare(a.t.Name(), b.t.Name()), cmp.Compare(a.t.PkgPath(), b.t.PkgPath()),
			-cmp.Compare(a.side, b.side), cmp.Compare(a.t.String(), b.t.String()))
	})
	named := make(map[string]*jsonschema.Schema, len(all))
	for _, d := range all {
		base := definitionName(d.t.Name())
		if d.side != Result && results[d.t] {
			base += "Params"
		}
		name := base
		for n := 2; named[name] != nil; n++ {
			name = fmt.Sprintf("%s%d", base, n)
		}
		named[name] = d.schema
		for _, ref := range d.refs {
			ref.Ref = Prefix + name
		}
	}
	return named
}

// definitionName makes a name for a reference of one for Go, which may have type
// arguments.
func definitionName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return '_'
	}, name)
	if r := []rune(name); unicode.IsLower(r[0]) {
		return string(unicode.ToUpper(r[0])) + string(r[1:])
	}
	return name
}

func composite(k reflect.Kind) bool {
	switch k {
	case reflect.Struct, reflect.Slice, reflect.Array, reflect.Map:
		return true
	}
	return false
}

// nullable returns a schema that takes null, too.
func nullable(s *jsonschema.Schema) *jsonschema.Schema {
	switch {
	case s.Type != "":
		s.Types, s.Type = []string{s.Type, "null"}, ""
		return s
	case s.Types != nil, s.AnyOf != nil: // of a pointer to a pointer
		return s
	case s.Ref == "" && s.Not == nil: // takes everything
		return s
	}
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{s, {Type: "null"}}}
}
