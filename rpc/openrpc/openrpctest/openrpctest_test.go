package openrpctest_test

import (
	"testing"

	"github.com/polyport/polyport/rpc/openrpc/openrpctest"
)

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		name, document string
		ok             bool
	}{
		{"smallest", `{"openrpc":"1.4.1","info":{"title":"a","version":"1"},"methods":[]}`, true},
		{"a method", `{"openrpc":"1.4.1","info":{"title":"a","version":"1"},"methods":[{"name":"m","params":[{"name":"p","schema":{"type":"string"}}]}]}`, true},
		{"no JSON", `{`, false},
		{"no methods", `{"openrpc":"1.4.1","info":{"title":"a","version":"1"}}`, false},
		{"another version", `{"openrpc":"2.0.0","info":{"title":"a","version":"1"},"methods":[]}`, false},
		{"a member that there is not", `{"openrpc":"1.4.1","info":{"title":"a","version":"1"},"methods":[],"more":1}`, false},
		{"no schema", `{"openrpc":"1.4.1","info":{"title":"a","version":"1"},"methods":[{"name":"m","params":[{"name":"p","schema":{"type":1}}]}]}`, false},
		{"a schema of a component that is none", `{"openrpc":"1.4.1","info":{"title":"a","version":"1"},"methods":[],"components":{"schemas":{"S":{"minItems":-1}}}}`, false},
	} {
		if err := openrpctest.Validate([]byte(tt.document)); (err == nil) != tt.ok {
			t.Errorf("%s: Validate() = %v, want ok: %t", tt.name, err, tt.ok)
		}
	}
}
