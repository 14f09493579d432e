package rpc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/polyport/polyport/rpc/internal/envelope"
	"github.com/polyport/polyport/rpc/openrpc"
	"github.com/polyport/polyport/rpc/openrpc/schema"
)

// Document returns the OpenRPC document of the methods, in the order of their
// names, with what [Mux.Configure] said of them: that which the method
// rpc.discover returns. The schemas are those of the default codec; see package
// openrpc/schema for what they cannot say.
func (m *Mux) Document() *openrpc.Document {
	d := &openrpc.Document{OpenRPC: openrpc.Version, Info: m.o.Info, Methods: []*openrpc.Method{}}
	if d.Info.Title == "" {
		d.Info.Title = "JSON-RPC service"
	}
	if d.Info.Version == "" {
		d.Info.Version = "0.0.0"
	}
	var set schema.Set
	for _, name := range m.Methods() {
		if h := m.find([]byte(name)); h != nil {
			d.Methods = append(d.Methods, m.describe(h, &set))
		}
	}
	if schemas := set.Definitions(); len(schemas) > 0 {
		d.Components = &openrpc.Components{Schemas: schemas}
	}
	return d
}

// describe makes the description of one method.
func (m *Mux) describe(h *method, set *schema.Set) *openrpc.Method {
	o := h.o.Load()
	d := &openrpc.Method{Name: h.name, Summary: o.Summary, Description: o.Description}
	m.describeParams(d, h.params, set)
	result := &jsonschema.Schema{Type: "null"}
	if h.result != nil {
		result = set.Of(h.result, schema.Result)
	}
	d.Result = &openrpc.ContentDescriptor{Name: "result", Schema: result}
	codes := map[Code]bool{}
	for _, e := range o.Errors {
		if e != nil && !codes[e.Code] { // a document has one error for a code
			codes[e.Code] = true
			d.Errors = append(d.Errors, &openrpc.Error{Code: int64(e.Code), Message: e.Message, Data: validData(e.Data)})
		}
	}
	for _, e := range o.Examples {
		d.Examples = append(d.Examples, describeExample(e))
	}
	return d
}

// describeParams says of the params of type t what the binder does with them.
func (m *Mux) describeParams(d *openrpc.Method, t reflect.Type, set *schema.Set) {
	side := schema.Params
	if m.o.Lenient {
		side = schema.Lenient
	}
	b := binderFor(t, m.o)
	elem := t
	if t.Kind() == reflect.Pointer {
		elem = t.Elem()
	}
	d.Params = []*openrpc.ContentDescriptor{}
	switch b.shape {
	case shapeStruct:
		m.describeFields(d, b, schema.Members(elem), set, side)
	case shapeRaw:
		d.ParamStructure = openrpc.Either
		d.ParamsSchema = &jsonschema.Schema{Types: []string{"array", "object"}}
	case shapeArray:
		d.ParamStructure = openrpc.ByPosition
		d.ParamsSchema = wholeSchema("array", elem, set, side)
		d.Params = append(d.Params, &openrpc.ContentDescriptor{
			Name: "values", Description: "Any number of values, one after the other.", Schema: &jsonschema.Schema{},
		})
		if items := d.ParamsSchema.Items; items != nil {
			d.Params[0].Schema = set.Of(elem.Elem(), side)
		}
		if n := d.ParamsSchema.MinItems; n != nil {
			d.Params[0].Description = fmt.Sprintf("%d values, one after the other.", *n)
			d.Params[0].Required = *n > 0
		}
	case shapeMap:
		d.ParamStructure = openrpc.ByName
		d.ParamsSchema = wholeSchema("object", elem, set, side)
	case shapeOne:
		d.ParamStructure = openrpc.ByPosition
		d.Params = append(d.Params, &openrpc.ContentDescriptor{Name: "value", Required: true, Schema: set.Of(t, side)})
	}
}

// wholeSchema is the schema of an array or a map as params: it is no definition,
// nor null. Of a type that decodes itself nothing else is known.
func wholeSchema(kind string, t reflect.Type, set *schema.Set, side schema.Side) *jsonschema.Schema {
	if hasOwnJSON(t) {
		return &jsonschema.Schema{Type: kind}
	}
	return set.Whole(t, side)
}

// describeFields says of params that are a struct what they are by name and by
// position. Where what may be left out comes before what may not, positions
// cannot be told by a document, so that the extension tells them.
func (m *Mux) describeFields(d *openrpc.Method, b *binder, members []schema.Member, set *schema.Set, side schema.Side) {
	d.ParamStructure = openrpc.Either
	inOrder, optional := true, false
	for i, member := range members {
		required := b.fields[i].required && !m.o.Lenient
		inOrder, optional = inOrder && (!required || !optional), optional || !required
		s := set.Member(member, side)
		about := s.Description
		s.Description = ""
		d.Params = append(d.Params, &openrpc.ContentDescriptor{Name: member.Name, Description: about, Required: required, Schema: s})
	}
	if inOrder && !m.o.Lenient {
		return
	}
	whole := d.Schema()
	if m.o.Lenient {
		whole.AnyOf[0].AdditionalProperties = nil
	}
	// The schemas inside are copies, which get no names of definitions.
	for i, member := range members {
		for _, one := range whole.AnyOf {
			if one.Type == "object" {
				one.Properties[member.Name] = set.Member(member, side)
			} else {
				one.ItemsArray[i] = set.Member(member, side)
			}
		}
	}
	d.ParamsSchema = whole
	if !inOrder {
		d.ParamStructure = openrpc.ByName
		slices.SortStableFunc(d.Params, func(a, b *openrpc.ContentDescriptor) int { return order(b.Required) - order(a.Required) })
	}
}

func order(first bool) int {
	if first {
		return 1
	}
	return 0
}

// describeExample takes the params of an example apart.
func describeExample(e Example) *openrpc.ExamplePairing {
	out := &openrpc.ExamplePairing{Name: e.Name, Params: []*openrpc.Example{}}
	if out.Name == "" {
		out.Name = "example"
	}
	params := bytes.TrimSpace(e.Params)
	if envelope.IsArray(params) {
		for i, v := range envelope.Elements(params, nil) {
			out.Params = append(out.Params, &openrpc.Example{Name: strconv.Itoa(i), Value: v})
		}
	} else if params != nil {
		envelope.Members(params, func(name, value []byte) bool {
			out.Params = append(out.Params, &openrpc.Example{Name: string(name), Value: json.RawMessage(slices.Clone(value))})
			return true
		})
	}
	result := e.Result
	if result == nil {
		result = json.RawMessage("null")
	}
	out.Result = &openrpc.Example{Name: "result", Value: result}
	return out
}
