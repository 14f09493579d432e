package rpc_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// publisher serves nothing but events, and returns a client of it.
func publisher(o *rpc.EventOptions) (server *rpc.Server, c *rpc.Client, stop func()) {
	ctx := context.Background()
	listener, err := transport.Listen(ctx, "mem://", nil)
	if err != nil {
		panic(err)
	}
	server = rpc.NewServer(rpc.NewMux(nil), &rpc.ServerOptions{Events: o})
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, listener) }()
	if c, err = rpc.Dial(ctx, "mem://"+listener.Addr().String(), nil); err != nil {
		panic(err)
	}
	return server, c, func() {
		_ = c.Close()
		_ = listener.Close()
		<-served
		_ = server.Shutdown(ctx)
	}
}

func ExampleServer_Publish() {
	type progress struct {
		Done int `json:"done"`
	}
	ctx := context.Background()
	server, client, stop := publisher(nil)
	defer stop()
	sub, err := client.Subscribe(ctx, "task.*", nil)
	if err != nil {
		panic(err)
	}
	fmt.Println(server.Publish(ctx, "task.7", progress{50}))
	fmt.Println(server.Publish(ctx, "task.7", progress{100}))
	fmt.Println(server.Publish(ctx, "clock", nil))
	for event, err := range sub.Events() {
		var p progress
		if err = errors.Join(err, event.Decode(&p)); err != nil {
			panic(err)
		}
		if fmt.Println(event.Topic, p.Done); p.Done == 100 {
			break
		}
	}
	// Output:
	// 1 <nil>
	// 1 <nil>
	// 0 <nil>
	// task.7 50
	// task.7 100
}

// What a subscriber was too slow for shows in its place. A program that does
// not look for gaps would stop at one.
func ExampleClient_Subscribe() {
	ctx := context.Background()
	server, client, stop := publisher(&rpc.EventOptions{Buffer: 2})
	defer stop()
	sub, err := client.Subscribe(ctx, "#", &rpc.SubscribeOptions{Window: 1})
	if err != nil {
		panic(err)
	}
	for i := range 10 {
		_, _ = server.Publish(ctx, "n", []int{i})
	}
	for event, err := range sub.Events() {
		if gap, ok := errors.AsType[*rpc.GapError](err); ok {
			fmt.Println("missed", gap.Dropped)
			continue
		}
		if err != nil {
			panic(err)
		}
		if fmt.Println(event.Topic, string(event.Params)); string(event.Params) == "[9]" {
			break
		}
	}
	// Output:
	// n [0]
	// missed 7
	// n [8]
	// n [9]
}

func ExampleClient_SubscribeFunc() {
	ctx := context.Background()
	server, client, stop := publisher(nil)
	defer stop()
	done := make(chan struct{})
	sub, err := client.SubscribeFunc(ctx, "greeting", nil, func(e rpc.Event, err error) {
		if err == nil {
			fmt.Println(string(e.Params))
			close(done)
		}
	})
	if err != nil {
		panic(err)
	}
	_, _ = server.Publish(ctx, "greeting", map[string]string{"hello": "world"})
	<-done
	_ = sub.Close()
	// Output: {"hello":"world"}
}
