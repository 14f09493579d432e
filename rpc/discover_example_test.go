package rpc_test

import (
	"context"
	"fmt"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/rpc/openrpc"
)

func ExampleMux_Document() {
	mux := rpc.NewMux(&rpc.MuxOptions{Info: openrpc.Info{Title: "calc", Version: "1.0.0"}})
	rpc.Handle(mux, "Not", func(_ context.Context, b bool) (bool, error) { return !b, nil })
	mux.Configure("Not", rpc.MethodOptions{Summary: "Turns true into false."})
	text, err := mux.Document().Append(nil)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(text))
	// Output: {"openrpc":"1.4.1","info":{"title":"calc","version":"1.0.0"},"methods":[{"name":"Not","summary":"Turns true into false.","paramStructure":"by-position","params":[{"name":"value","required":true,"schema":{"type":"boolean"}}],"result":{"name":"result","schema":{"type":"boolean"}}}]}
}
