package main

import (
	"context"
	"net/rpc"
	"net/rpc/jsonrpc"
)

// netrpcPeers are net/rpc/jsonrpc, which is JSON-RPC 1.0.
func netrpcPeers() []peer {
	return []peer{{
		name: "net/rpc", module: "net/rpc/jsonrpc", open: openNetrpc,
		how: "of the standard library; JSON-RPC 1.0, no contexts",
	}}
}

func openNetrpc(ctx context.Context, s *service) (client, error) {
	near, far, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	server := rpc.NewServer()
	if err := server.RegisterName("Bench", netrpcService{s}); err != nil {
		return nil, err
	}
	c := &netrpcClient{}
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.ServeCodec(jsonrpc.NewServerCodec(far))
	}()
	c.add(func() error { <-served; return nil })
	c.rpc = jsonrpc.NewClient(near)
	c.add(c.rpc.Close)
	return c, nil
}

// Text is text: the library wants an exported type.
type Text text

// netrpcService has the methods in the form that the library finds.
type netrpcService struct{ s *service }

// Sum is Bench.Sum.
func (n netrpcService) Sum(terms []float64, sum *float64) error { //nolint:unparam // the library's form
	*sum = n.s.Sum(terms)
	return nil
}

// Echo is Bench.Echo.
func (n netrpcService) Echo(t Text, result *Text) error { //nolint:unparam // as Sum
	*result = Text(n.s.Echo(text(t)))
	return nil
}

type netrpcClient struct {
	closers
	rpc *rpc.Client
}

// Sum is a call.
func (c *netrpcClient) Sum(_ context.Context, terms []float64) (sum float64, err error) {
	err = c.rpc.Call("Bench.Sum", terms, &sum)
	return sum, err
}

// Echo is a call.
func (c *netrpcClient) Echo(_ context.Context, t text) (result text, err error) {
	err = c.rpc.Call("Bench.Echo", Text(t), (*Text)(&result))
	return result, err
}
