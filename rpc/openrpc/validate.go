package openrpc

import (
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/polyport/polyport/rpc/openrpc/schema"
)

// Validate returns what is wrong with the document by the rules of the
// specification that its types do not hold it to: parts that have to be there,
// names that have to be unique, the order of params. References other than
// those between schemas count as wrong; [Decode] has followed them. What schemas
// say is not judged.
func (d *Document) Validate() error {
	switch {
	case !strings.HasPrefix(d.OpenRPC, "1."):
		return invalid("openrpc is %.20q, not a version 1", d.OpenRPC)
	case d.Info.Title == "" || d.Info.Version == "":
		return invalid("info lacks title or version")
	case d.Methods == nil:
		return invalid("methods is missing")
	}
	seen, known := make(map[string]bool, len(d.Methods)), judged{}
	for i, m := range d.Methods {
		if m == nil || m.Name == "" {
			return invalid("method %d has no name", i)
		}
		if seen[m.Name] {
			return invalid("there are two methods %.100q", m.Name)
		}
		seen[m.Name] = true
		if err := m.validate(known); err != nil {
			return err
		}
	}
	for name, s := range d.Schemas() {
		if !known.whole(s) {
			return invalid("the schema %.100q has a hole", name)
		}
	}
	return nil
}

// judged are the parts that are known to be valid: many methods may share one
// that is large.
type judged map[any]bool

func (j judged) whole(s *jsonschema.Schema) bool {
	if !j[s] && schema.Whole(s) {
		j[s] = true
	}
	return s != nil && j[s]
}

func (m *Method) validate(known judged) error {
	switch m.ParamStructure {
	case "", Either, ByName, ByPosition:
	default:
		return invalid("method %.100q: paramStructure is %.20q", m.Name, m.ParamStructure)
	}
	if m.Params == nil {
		return invalid("method %.100q: params is missing", m.Name)
	}
	names, optional := make(map[string]bool, len(m.Params)), false
	for _, p := range m.Params {
		switch {
		case !p.valid(known):
			return invalid("method %.100q: a parameter lacks its name or a whole schema", m.Name)
		case names[p.Name]:
			return invalid("method %.100q: there are two parameters %.100q", m.Name, p.Name)
		case p.Required && optional:
			return invalid("method %.100q: %.100q is required after one that is not", m.Name, p.Name)
		}
		names[p.Name], optional = true, !p.Required
	}
	if m.Result != nil && !m.Result.valid(known) {
		return invalid("method %.100q: the result lacks its name or a whole schema", m.Name)
	}
	if m.ParamsSchema != nil && !known.whole(m.ParamsSchema) {
		return invalid("method %.100q: x-params has a hole", m.Name)
	}
	return m.validateRest(known)
}

// validateRest is about errors and examples.
func (m *Method) validateRest(known judged) error {
	codes := make(map[int64]bool, len(m.Errors))
	for _, e := range m.Errors {
		if e == nil || e.Ref != "" || codes[e.Code] {
			return invalid("method %.100q: an error is null, or there are two with its code", m.Name)
		}
		codes[e.Code] = true
	}
	for _, e := range m.Examples {
		if known[e] {
			continue
		}
		if e == nil || e.Ref != "" || e.Name == "" || e.Params == nil || e.Result != nil && !e.Result.valid() {
			return invalid("method %.100q: an example lacks its name, params or a value", m.Name)
		}
		for _, p := range e.Params {
			if !p.valid() {
				return invalid("method %.100q: example %.100q lacks a name or a value", m.Name, e.Name)
			}
		}
		known[e] = true
	}
	return nil
}

func (c *ContentDescriptor) valid(known judged) bool {
	return c != nil && c.Ref == "" && c.Name != "" && known.whole(c.Schema)
}

func (e *Example) valid() bool { return e != nil && e.Ref == "" && e.Name != "" && e.Value != nil }
