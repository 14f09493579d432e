package rpc_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// An interceptor of the client that sends a token along and tries once more when the
// server is busy, and one of the server that wants the token.
func ExampleInterceptor() {
	ctx := context.Background()
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Greet", func(_ context.Context, name string) (string, error) { return "hello " + name, nil })
	wantsToken := func(ctx context.Context, c *rpc.Invocation) error {
		if c.Incoming && c.Get("token") != "sesame" {
			return rpc.Errorf(401, "no token")
		}
		return c.Next(ctx)
	}
	server := rpc.NewServer(mux, &rpc.ServerOptions{Interceptors: []rpc.Interceptor{wantsToken}})
	defer server.Shutdown(ctx)
	listener, _ := transport.Listen(ctx, "mem://", nil)
	defer listener.Close()
	go server.Serve(ctx, listener)

	patient := func(ctx context.Context, c *rpc.Invocation) error {
		c.Set("token", "sesame")
		err := c.Next(ctx)
		if e, ok := errors.AsType[*rpc.Error](err); ok && e.Code == rpc.CodeBusy {
			err = c.Next(ctx)
		}
		return err
	}
	for _, chain := range [][]rpc.Interceptor{nil, {patient}} {
		client, _ := rpc.Dial(ctx, "mem://"+listener.Addr().String(), &rpc.ClientOptions{Interceptors: chain})
		fmt.Println(rpc.Call[string](ctx, client, "Greet", []string{"ann"}))
		client.Close()
	}
	// Output:
	//  no token (401)
	// hello ann <nil>
}
