package rpc

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/go-json-experiment/json"
)

// explain says what is wrong with a JSON value in the words of JSON, because
// whoever sent it may not know Go.
func explain(err error) error {
	e, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		return err
	}
	switch {
	case errors.Is(e.Err, json.ErrUnknownName):
		return fmt.Errorf("unknown name %.100q", e.JSONPointer.LastToken())
	case e.GoType == nil || e.JSONKind == 0:
		return err
	case e.JSONPointer == "":
		return fmt.Errorf("expected %s, got %s", expected(e.GoType), e.JSONKind)
	}
	return fmt.Errorf("%.100s: expected %s, got %s", e.JSONPointer, expected(e.GoType), e.JSONKind)
}

// expected is the JSON that a Go type is made of.
func expected(t reflect.Type) string {
	switch k := t.Kind(); {
	case k == reflect.Pointer:
		return expected(t.Elem())
	case reflect.Int <= k && k <= reflect.Int64:
		return fmt.Sprintf("an integer of %d bits", t.Bits())
	case reflect.Uint <= k && k <= reflect.Uint64:
		return fmt.Sprintf("a positive integer of %d bits", t.Bits())
	case k == reflect.Float32, k == reflect.Float64:
		return "a number"
	case k == reflect.String:
		return "a string"
	case k == reflect.Bool:
		return "true or false"
	case k == reflect.Slice, k == reflect.Array:
		return "an array"
	case k == reflect.Struct, k == reflect.Map:
		return "an object"
	}
	return "another value"
}
