package schema

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/jsonschema-go/jsonschema"
)

// A Checker finds where JSON values are not what schemas say. It knows the
// keywords that a [Set] uses, const, enum, oneOf and allOf; the others it passes
// over, so that it may take what it should not. It is safe for concurrent use.
type Checker struct {
	// Definitions are what references beginning with [Prefix] refer to. Other
	// references are passed over.
	Definitions map[string]*jsonschema.Schema
}

// patience bounds the schemas that are tried for one value where several are
// allowed: they may be nested, and come from a stranger.
const patience = 10_000

// errMismatch ends the reading; what was found is beside it.
var errMismatch = errors.New("schema: mismatch")

// A check is one pass over a value.
type check struct {
	defs  map[string]*jsonschema.Schema
	d     *jsontext.Decoder
	base  jsontext.Pointer // of the value read
	tries *int
	found Mismatch
}

// Check returns the first place where value is not what s says, or nil. A value
// that is no JSON is taken: the decoder says more about it.
func (c *Checker) Check(s *jsonschema.Schema, value []byte) *Mismatch {
	tries := 0
	return c.check(s, value, "", &tries)
}

func (c *Checker) check(s *jsonschema.Schema, value []byte, base jsontext.Pointer, tries *int) *Mismatch {
	k := check{defs: c.Definitions, base: base, tries: tries}
	r := readers.Get().(*reader)
	defer readers.Put(r)
	k.d = r.reset(value)
	err := k.value(s)
	r.reset(nil)
	if !errors.Is(err, errMismatch) {
		return nil
	}
	return &k.found
}

// A reader is a decoder to be used again.
type reader struct {
	b bytes.Buffer
	d jsontext.Decoder
}

var readers = sync.Pool{New: func() any { return new(reader) }}

func (r *reader) reset(text []byte) *jsontext.Decoder {
	r.b = *bytes.NewBuffer(text)
	r.d.Reset(&r.b, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return &r.d
}

// follow returns the schema that s stands for, or nil if that is not known.
func (k *check) follow(s *jsonschema.Schema) *jsonschema.Schema {
	for range 32 { // references to references may go round
		if s == nil || s.Ref == "" {
			return s
		}
		name, ok := strings.CutPrefix(s.Ref, Prefix)
		if !ok {
			return nil
		}
		s = k.defs[name]
	}
	return nil
}

// value reads one value.
func (k *check) value(s *jsonschema.Schema) error {
	s = k.follow(s)
	if s == nil {
		return k.d.SkipValue()
	}
	if s.AnyOf != nil || s.OneOf != nil || s.AllOf != nil {
		return k.several(s)
	}
	return k.plain(s)
}

// plain reads a value for which one schema is enough.
func (k *check) plain(s *jsonschema.Schema) error {
	kind := k.d.PeekKind()
	switch {
	case s.Not != nil && empty(s.Not):
		return k.mismatch("nothing here", "")
	case (s.Type != "" || s.Types != nil) && !admits(s, kind):
		return k.mismatch(expected(s), "")
	case kind == '{' && s.Enum == nil && s.Const == nil:
		return k.object(s)
	case kind == '[' && s.Enum == nil && s.Const == nil:
		return k.array(s)
	}
	raw, err := k.d.ReadValue()
	if err != nil {
		return err
	}
	if !k.fits(s, kind, raw) {
		k.found = newMismatch(k.base+k.d.StackPointer(), expected(s), got(raw))
		return errMismatch
	}
	return nil
}

// read reads one value whole.
func (k *check) read() (at jsontext.Pointer, raw jsontext.Value, err error) {
	raw, err = k.d.ReadValue()
	return k.base + k.d.StackPointer(), raw, err
}

// mismatch blames the next value.
func (k *check) mismatch(want, instead string) error {
	at, raw, err := k.read()
	if err != nil {
		return err
	}
	if instead == "" {
		instead = got(raw)
	}
	k.found = newMismatch(at, want, instead)
	return errMismatch
}

// admits reports whether the types of s have values of a kind.
func admits(s *jsonschema.Schema, kind jsontext.Kind) bool {
	if s.Types == nil {
		return typed(s.Type, kind)
	}
	return slices.ContainsFunc(s.Types, func(t string) bool { return typed(t, kind) })
}

func typed(t string, kind jsontext.Kind) bool {
	switch t {
	case "null":
		return kind == 'n'
	case "boolean":
		return kind == 't' || kind == 'f'
	case "string":
		return kind == '"'
	case "number", "integer":
		return kind == '0'
	case "array":
		return kind == '['
	case "object":
		return kind == '{'
	}
	return true // there is no such type; that is not the value's fault
}

// several reads a value that may be, or has to be, of several schemas.
func (k *check) several(s *jsonschema.Schema) error {
	choices := slices.Concat(s.AnyOf, s.OneOf)
	if len(s.AllOf) == 0 && len(choices) == 2 {
		if one := k.orNull(choices); one != nil {
			return k.value(one)
		}
	}
	at, raw, err := k.read()
	if err != nil {
		return err
	}
	// Where the value came from is over, so it is read again for each schema.
	raw = slices.Clone(raw)
	if found := k.try(s.AllOf, raw, at, true); found != nil {
		k.found = *found
		return errMismatch
	}
	if len(choices) == 0 {
		return nil
	}
	if found := k.try(choices, raw, at, false); found != nil {
		k.found = *found
		return errMismatch
	}
	return nil
}

// orNull returns which of two schemas says all about the next value if the other
// is for null alone, as it is for a pointer; else nil.
func (k *check) orNull(two []*jsonschema.Schema) *jsonschema.Schema {
	for i, s := range two {
		if s == nil || s.Type != "null" {
			continue
		}
		if k.d.PeekKind() == 'n' {
			return s
		}
		return two[1-i]
	}
	return nil
}

// try checks a value that was read. If all schemas have to fit it returns what
// the first is not, else what the one is not that fits best.
func (k *check) try(schemas []*jsonschema.Schema, raw jsontext.Value, at jsontext.Pointer, all bool) (best *Mismatch) {
	c := Checker{Definitions: k.defs}
	for _, s := range schemas {
		if *k.tries++; *k.tries > patience {
			return nil
		}
		found := c.check(s, raw, at, k.tries)
		if all && found != nil || !all && found == nil {
			return found
		}
		if !all && (best == nil || len(found.Path) > len(best.Path)) {
			best = found // what is wrong further inside is nearer to right
		}
	}
	return best
}

// object reads an object.
func (k *check) object(s *jsonschema.Schema) error {
	if _, err := k.d.ReadToken(); err != nil {
		return err
	}
	var few [16]bool
	seen := few[:]
	if len(s.Required) > len(few) {
		seen = make([]bool, len(s.Required))
	}
	var short [64]byte
	for k.d.PeekKind() == '"' {
		raw, err := k.d.ReadValue()
		if err != nil {
			return err
		}
		name, err := jsontext.AppendUnquote(short[:0], raw)
		if err != nil && len(name) == 0 {
			return err
		}
		for i := range s.Required {
			if s.Required[i] == string(name) {
				seen[i] = true
			}
		}
		if err := k.member(s, name); err != nil {
			return err
		}
	}
	if _, err := k.d.ReadToken(); err != nil {
		return err
	}
	for i, name := range s.Required {
		if !seen[i] {
			k.found = newMismatch((k.base + k.d.StackPointer()).AppendToken(name), k.wanted(s.Properties[name]), "nothing")
			return errMismatch
		}
	}
	return nil
}

// member reads the value of the member called name.
func (k *check) member(s *jsonschema.Schema, name []byte) error {
	if p := s.Properties[string(name)]; p != nil {
		return k.value(p)
	}
	if s.PropertyNames != nil && !named(s.PropertyNames.Pattern, name) {
		return k.mismatch("a whole number for a name", "a name that is none")
	}
	switch more := s.AdditionalProperties; {
	case more == nil, s.PatternProperties != nil:
		return k.d.SkipValue()
	case more.Not != nil && empty(more.Not):
		return k.mismatch(names(s), "an unknown name")
	default:
		return k.value(more)
	}
}

// array reads an array.
func (k *check) array(s *jsonschema.Schema) error {
	if _, err := k.d.ReadToken(); err != nil {
		return err
	}
	tuple, rest := s.ItemsArray, s.AdditionalItems
	if s.PrefixItems != nil {
		tuple, rest = s.PrefixItems, s.Items
	} else if tuple == nil {
		rest = s.Items
	}
	n := 0
	for ; k.d.PeekKind() != ']' && k.d.PeekKind() != 0; n++ {
		item := rest
		if n < len(tuple) {
			item = tuple[n]
		}
		if n >= len(tuple) && rest != nil && rest.Not != nil && empty(rest.Not) || s.MaxItems != nil && n >= *s.MaxItems {
			return k.mismatch("at most "+count(n, "value"), "one more")
		}
		if err := k.value(item); err != nil {
			return err
		}
	}
	if _, err := k.d.ReadToken(); err != nil {
		return err
	}
	if s.MinItems == nil || n >= *s.MinItems {
		return nil
	}
	at := k.base + k.d.StackPointer()
	if n < len(tuple) {
		k.found = newMismatch(at.AppendToken(decimal(n)), k.wanted(tuple[n]), "nothing")
	} else {
		k.found = newMismatch(at, "at least "+count(*s.MinItems, "value"), decimal(n))
	}
	return errMismatch
}

// wanted says what a value that is not there should be.
func (k *check) wanted(s *jsonschema.Schema) string {
	if s = k.follow(s); s == nil {
		return "a value"
	}
	if len(s.AnyOf) > 0 {
		return k.wanted(s.AnyOf[0])
	}
	return expected(s)
}

// empty reports whether s takes everything, as that in {"not": {}} does.
func empty(s *jsonschema.Schema) bool {
	text, err := s.MarshalJSON()
	return err == nil && string(text) == "true"
}
