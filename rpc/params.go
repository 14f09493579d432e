package rpc

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/polyport/polyport/rpc/internal/envelope"
	"github.com/polyport/polyport/rpc/openrpc/schema"
)

// A binder decodes the params of one method. What it needs to know of the type
// is found out once, when the method is registered.
type binder struct {
	codec   Codec
	lenient bool
	shape   shape
	fields  []field // of a struct, in order
	slice   bool
}

// presize makes room for a few elements in the slice that p points to: growing
// from none takes three allocations for as many elements.
func (b *binder) presize(p any) {
	if b.slice {
		reflect.ValueOf(p).Elem().Grow(4)
	}
}

// A field is a parameter by name.
type field struct {
	name     string
	quoted   []byte // as a JSON string with its colon
	required bool
}

// A shape says how a type takes params.
type shape uint8

const (
	shapeRaw    shape = iota // as they are
	shapeStruct              // by name or by position
	shapeArray               // an array, whole
	shapeMap                 // an object, whole
	shapeOne                 // an array of one
)

var rawType = reflect.TypeFor[json.RawMessage]()

func newBinder[P any](o MuxOptions) *binder { return binderFor(reflect.TypeFor[P](), o) }

func binderFor(t reflect.Type, o MuxOptions) *binder {
	b := &binder{codec: o.Codec, lenient: o.Lenient}
	elem := t
	if t.Kind() == reflect.Pointer {
		elem = t.Elem()
	}
	switch {
	case t == rawType || t.Kind() == reflect.Interface && t.NumMethod() == 0:
		b.shape = shapeRaw
	case undecodable(elem.Kind()):
		panic(fmt.Sprintf("rpc: params of type %s cannot be decoded", t))
	case elem.Kind() == reflect.Struct && !hasOwnJSON(elem):
		b.shape, b.fields = shapeStruct, fieldsOf(elem)
	case schema.IsBytes(elem):
		b.shape = shapeOne // bytes are a base64 string
	case elem.Kind() == reflect.Slice || elem.Kind() == reflect.Array:
		b.shape, b.slice = shapeArray, t.Kind() == reflect.Slice
	case elem.Kind() == reflect.Map:
		b.shape = shapeMap
	default:
		b.shape = shapeOne
	}
	return b
}

// undecodable reports whether no JSON can become a value of kind k.
func undecodable(k reflect.Kind) bool {
	switch k {
	case reflect.Chan, reflect.Func, reflect.Interface, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		return true
	}
	return false
}

// hasOwnJSON reports whether a struct type decodes itself, as time.Time does.
func hasOwnJSON(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	for _, name := range []string{"UnmarshalJSON", "UnmarshalJSONFrom", "UnmarshalText"} {
		if _, ok := p.MethodByName(name); ok {
			return true
		}
	}
	return false
}

// fieldsOf lists the parameters that the fields of a struct stand for, with
// those of embedded structs in their place.
func fieldsOf(t reflect.Type) []field {
	members := schema.Members(t)
	fields := make([]field, len(members))
	for i, m := range members {
		fields[i] = field{
			name:     m.Name,
			quoted:   append(envelope.AppendString(nil, m.Name), ':'),
			required: m.Type.Kind() != reflect.Pointer && !m.Optional,
		}
	}
	return fields
}

// bind decodes params, a raw value or nil, into what p points to.
func (b *binder) bind(params []byte, p any) error {
	switch b.shape {
	case shapeStruct:
		return b.bindStruct(params, p)
	case shapeArray:
		if params != nil && !envelope.IsArray(params) {
			return invalidParams("expected an array")
		}
	case shapeMap:
		if params != nil && !envelope.IsObject(params) {
			return invalidParams("expected an object")
		}
	case shapeOne:
		var one [2][]byte
		given := envelope.Elements(params, one[:0])
		if len(given) != 1 {
			return invalidParams("expected an array of one value")
		}
		params = given[0]
	}
	if params == nil {
		return nil
	}
	return b.decode(params, p)
}

func (b *binder) bindStruct(params []byte, p any) error {
	switch {
	case params == nil:
		params = []byte("{}")
	case envelope.IsArray(params):
		object, err := b.byName(params)
		if err != nil {
			return err
		}
		params = object
	}
	if !b.lenient {
		if err := b.complete(params); err != nil {
			return err
		}
	}
	return b.decode(params, p)
}

// byName turns params by position into params by name.
func (b *binder) byName(array []byte) ([]byte, error) {
	values := envelope.Elements(array, make([][]byte, 0, len(b.fields)))
	if len(values) > len(b.fields) {
		return nil, invalidParams(fmt.Sprintf("expected at most %d values (%s), got %d", len(b.fields), b.names(), len(values)))
	}
	object := append(make([]byte, 0, len(array)+16*len(values)+2), '{')
	for i, v := range values {
		if i > 0 {
			object = append(object, ',')
		}
		object = append(append(object, b.fields[i].quoted...), v...)
	}
	return append(object, '}'), nil
}

// complete reports the first required parameter that is not there.
func (b *binder) complete(object []byte) error {
	var few [8]bool
	seen := few[:]
	if len(b.fields) > len(few) {
		seen = make([]bool, len(b.fields))
	}
	envelope.Members(object, func(name, _ []byte) bool {
		for i := range b.fields {
			if b.fields[i].name == string(name) {
				seen[i] = true
			}
		}
		return true
	})
	for i, f := range b.fields {
		if f.required && !seen[i] {
			return invalidParams(fmt.Sprintf("%q is missing; expected %s", f.name, b.names()))
		}
	}
	return nil
}

func (b *binder) names() string {
	names := make([]string, len(b.fields))
	for i, f := range b.fields {
		names[i] = f.name
	}
	return strings.Join(names, ", ")
}

func (b *binder) decode(params []byte, p any) error {
	decode := b.codec.DecodeStrict
	if b.lenient {
		decode = b.codec.Decode
	}
	if err := decode(params, p); err != nil {
		return invalidParams(explain(err).Error())
	}
	return nil
}

func invalidParams(why string) error {
	return &Error{Code: CodeInvalidParams, Message: "invalid params: " + why}
}
