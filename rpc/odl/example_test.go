package odl_test

import (
	"context"
	"fmt"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/rpc/odl"
	_ "github.com/polyport/polyport/transport/zmq"
)

// A server at an endpoint, and a client that calls it. Each could be OpenDaylight.
func Example() {
	ctx := context.Background()
	endpoint, err := odl.Parse("zmq://127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	listener, err := endpoint.Listen(ctx, nil)
	if err != nil {
		panic(err)
	}
	defer listener.Close()
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "double", func(_ context.Context, n []int) (int, error) { return 2 * n[0], nil })
	server := rpc.NewServer(mux, nil)
	defer server.Shutdown(ctx)
	go server.Serve(ctx, listener)

	endpoint, err = odl.Parse("zmq://" + listener.Addr().String() + "?timeout=5000&proxyRetryCount=2")
	if err != nil {
		panic(err)
	}
	client, err := endpoint.Dial(ctx, nil)
	if err != nil {
		panic(err)
	}
	defer client.Close()
	fmt.Println(rpc.Call[int](ctx, client, "double", 21)) // a bare argument, as OpenDaylight's proxies send
	// Output: 42 <nil>
}

// What is wrong is told with what was expected; passwords are not shown.
func ExampleParse() {
	endpoint, _ := odl.Parse("https://*:8443?auth&auth-username=ann&auth-password=secret&timeout=30000")
	fmt.Println(endpoint)
	fmt.Println(endpoint.Port, endpoint.Timeout, endpoint.Username)
	_, err := odl.Parse("https://*:8443?client-verify=YES")
	fmt.Println(err)
	// Output:
	// https://*:8443?auth&auth-username=ann&auth-password=xxxxx
	// 8443 30s ann
	// odl: client-verify=YES: expected one of NONE, OPTIONAL, REQUIRE
}
