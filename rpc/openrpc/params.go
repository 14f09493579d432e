package openrpc

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/polyport/polyport/rpc/openrpc/schema"
)

// A Checker finds what is wrong with the params of one method. It is made once
// and safe for concurrent use.
type Checker struct {
	schemas  schema.Checker
	absent   string // what no params stand for
	whole    *jsonschema.Schema
	byName   *jsonschema.Schema // nil if they are not taken so
	byPlaces *jsonschema.Schema
}

// Checker returns the checker of m's params. schemas are those that m's own
// refer to; see [Document.Schemas]. They must be whole, as [Document.Validate]
// makes sure.
func (m *Method) Checker(schemas map[string]*jsonschema.Schema) *Checker {
	c := &Checker{schemas: schema.Checker{Definitions: schemas}, whole: m.ParamsSchema, absent: "{}"}
	if m.ParamStructure == ByPosition {
		c.absent = "[]"
	}
	if m.ParamStructure != ByPosition {
		c.byName = m.byName()
	}
	if m.ParamStructure != ByName {
		c.byPlaces = m.byPosition()
	}
	return c
}

// Check returns the first place where params are not what the document says, or
// nil. No params stand for empty ones.
func (c *Checker) Check(params []byte) *schema.Mismatch {
	if params == nil {
		params = []byte(c.absent)
	}
	by := c.whole
	if by != nil && by.OneOf == nil && by.AnyOf == nil {
		return c.schemas.Check(by, params)
	}
	array := bytes.HasPrefix(bytes.TrimLeft(params, " \t\r\n"), []byte("["))
	switch {
	case by != nil:
		by = choose(by, array)
	case array:
		by = c.byPlaces
	default:
		by = c.byName
	}
	if by == nil {
		by = &jsonschema.Schema{Type: map[bool]string{true: "object", false: "array"}[array]}
	}
	return c.schemas.Check(by, params)
}

// choose returns which of several schemas of params is for an array or for an
// object, so that a mismatch says more than that none fits.
func choose(s *jsonschema.Schema, array bool) *jsonschema.Schema {
	want := "object"
	if array {
		want = "array"
	}
	for _, one := range slices.Concat(s.AnyOf, s.OneOf) {
		if one.Type == want {
			return one
		}
	}
	return s
}

// Schema returns the schema of the params as a whole, an array or an object.
func (m *Method) Schema() *jsonschema.Schema {
	switch {
	case m.ParamsSchema != nil:
		return m.ParamsSchema
	case m.ParamStructure == ByName:
		return m.byName()
	case m.ParamStructure == ByPosition:
		return m.byPosition()
	}
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{m.byName(), m.byPosition()}}
}

func (m *Method) byName() *jsonschema.Schema {
	o := &jsonschema.Schema{Type: "object", Properties: map[string]*jsonschema.Schema{}, AdditionalProperties: nothing()}
	for _, p := range m.Params {
		o.Properties[p.Name] = p.Schema.CloneSchemas()
		o.PropertyOrder = append(o.PropertyOrder, p.Name)
		if p.Required {
			o.Required = append(o.Required, p.Name)
		}
	}
	return o
}

func (m *Method) byPosition() *jsonschema.Schema {
	a := &jsonschema.Schema{Type: "array"}
	least := 0
	for i, p := range m.Params {
		a.ItemsArray = append(a.ItemsArray, p.Schema.CloneSchemas())
		if p.Required {
			least = i + 1
		}
	}
	if least > 0 {
		a.MinItems = &least
	}
	if most := len(m.Params); most == 0 {
		a.MaxItems = &most
	} else {
		a.AdditionalItems = nothing()
	}
	return a
}

func nothing() *jsonschema.Schema { return &jsonschema.Schema{Not: &jsonschema.Schema{}} }

// Call returns the params of the call that an example is about: by position if
// they are called "0", "1" and so on, in this order, else by name; nil if there
// are none. Documents of package rpc have such names where params have none of
// their own.
func (e *ExamplePairing) Call() json.RawMessage {
	if len(e.Params) == 0 {
		return nil
	}
	places := true
	for i, p := range e.Params {
		places = places && p.Name == strconv.Itoa(i)
	}
	open, end := byte('{'), byte('}')
	if places {
		open, end = '[', ']'
	}
	text := []byte{open}
	for i, p := range e.Params {
		if i > 0 {
			text = append(text, ',')
		}
		if !places {
			name, _ := json.Marshal(p.Name) //nolint:errchkjson // a string can be encoded
			text = append(append(text, name...), ':')
		}
		text = append(text, p.Value...)
	}
	return append(text, end)
}
