package openrpc_test

import (
	"fmt"

	"github.com/polyport/polyport/rpc/openrpc"
)

func ExampleMethod_Checker() {
	d, err := openrpc.Decode([]byte(`{"openrpc":"1.4.1","info":{"title":"calc","version":"1.0.0"},"methods":[
		{"name":"Sleep","params":[{"name":"ms","required":true,"schema":{"type":"integer"}}]}]}`))
	if err != nil {
		panic(err)
	}
	check := d.Method("Sleep").Checker(d.Schemas())
	fmt.Println(check.Check([]byte(`{"ms":"soon"}`)))
	// Output: /ms: expected an integer, got "soon"
}
