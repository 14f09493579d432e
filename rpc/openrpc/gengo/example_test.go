package gengo_test

import (
	"fmt"
	"strings"

	"github.com/polyport/polyport/rpc/openrpc"
	"github.com/polyport/polyport/rpc/openrpc/gengo"
)

func ExampleGenerate() {
	d, err := openrpc.Decode([]byte(`{"openrpc":"1.4.1","info":{"title":"calc","version":"1.0.0"},"methods":[
		{"name":"Math.Half","paramStructure":"by-position","params":[{"name":"of","required":true,"schema":{"type":"number"}}],
		 "result":{"name":"half","schema":{"type":"number"}}}]}`))
	if err != nil {
		panic(err)
	}
	source, err := gengo.Generate(d, &gengo.Options{Package: "calc"})
	if err != nil {
		panic(err)
	}
	_, method, _ := strings.Cut(string(source), "// MathHalf")
	fmt.Print("// MathHalf" + method)
	// Output:
	// // MathHalf calls Math.Half.
	// func (c *Client) MathHalf(ctx context.Context, of float64) (float64, error) {
	// 	params := []any{of}
	// 	return rpc.Call[float64](ctx, c.rpc, "Math.Half", params)
	// }
}
