package rpc

import (
	"context"
	"errors"
	"fmt"
	"reflect"
)

var (
	contextType = reflect.TypeFor[context.Context]()
	errorType   = reflect.TypeFor[error]()
)

// Register adds every exported method of service that has one of the forms
//
//	func(context.Context, P) (R, error)
//	func(context.Context, P) error
//	func(context.Context) (R, error)
//	func(context.Context) error
//
// as a method called NAMESPACE.Method, or Method if namespace is empty; P is as
// in [Handle], and a missing R is answered with null. Other methods are passed
// over. The methods are found once, here; a call costs one reflect call more
// than with Handle. Register returns an error if there is no method of these
// forms, and panics where Handle does.
func (m *Mux) Register(namespace string, service any) error {
	v := reflect.ValueOf(service)
	added := 0
	if !v.IsValid() {
		return errors.New("rpc: there is no service to register")
	}
	for fn, v := range v.Methods() {
		h := m.bindMethod(v)
		if h == nil {
			continue
		}
		name := fn.Name
		if namespace != "" {
			name = namespace + "." + name
		}
		h.name = name
		m.add(h)
		added++
	}
	if added == 0 {
		return fmt.Errorf("rpc: %T has no exported method of the form func(context.Context, P) (R, error)", service)
	}
	return nil
}

// bindMethod makes a handler of a bound method, or returns nil if its form is
// not one of those of Register.
func (m *Mux) bindMethod(fn reflect.Value) *method {
	t := fn.Type()
	in, out := t.NumIn(), t.NumOut()
	if t.IsVariadic() || in < 1 || in > 2 || t.In(0) != contextType || out < 1 || out > 2 || t.Out(out-1) != errorType {
		return nil
	}
	paramsType := reflect.TypeFor[struct{}]()
	if in == 2 {
		paramsType = t.In(1)
	}
	h := &method{params: paramsType}
	if out == 2 {
		h.result = t.Out(0)
	}
	b, codec := binderFor(paramsType, m.o), m.o.Codec
	h.fields = b.fields
	h.invoke = func(ctx context.Context, params, dst []byte) ([]byte, error) {
		p := reflect.New(paramsType)
		if err := b.bind(params, p.Interface()); err != nil {
			return dst, err
		}
		results := fn.Call([]reflect.Value{reflect.ValueOf(&ctx).Elem(), p.Elem()}[:in])
		if err, _ := reflect.TypeAssert[error](results[out-1]); err != nil {
			return dst, err
		}
		if out == 1 {
			return append(dst, "null"...), nil
		}
		return appendResult(codec, dst, results[0].Interface())
	}
	return h
}
