package main

import (
	"context"
	"encoding/json"

	"github.com/sourcegraph/jsonrpc2"
)

// sourcegraphPeers are github.com/sourcegraph/jsonrpc2.
func sourcegraphPeers() []peer {
	return []peer{{
		name: "sourcegraph", module: "github.com/sourcegraph/jsonrpc2", open: openSourcegraph,
		how: "NewPlainObjectStream, HandlerWithError in AsyncHandler",
	}}
}

func openSourcegraph(ctx context.Context, s *service) (client, error) {
	near, far, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	handler := jsonrpc2.HandlerWithError(func(_ context.Context, _ *jsonrpc2.Conn, req *jsonrpc2.Request) (any, error) {
		switch req.Method {
		case "Math.Sum":
			var terms []float64
			err := json.Unmarshal(*req.Params, &terms)
			return s.Sum(terms), err
		case "Echo":
			var t text
			err := json.Unmarshal(*req.Params, &t)
			return s.Echo(t), err
		case "Note":
			var terms []float64
			err := json.Unmarshal(*req.Params, &terms)
			s.Note(terms)
			return nil, err
		default:
			return nil, &jsonrpc2.Error{Code: jsonrpc2.CodeMethodNotFound, Message: req.Method}
		}
	})
	c := &sourcegraphClient{}
	server := jsonrpc2.NewConn(ctx, jsonrpc2.NewPlainObjectStream(far), jsonrpc2.AsyncHandler(handler))
	c.add(func() error { <-server.DisconnectNotify(); return nil })
	c.Conn = jsonrpc2.NewConn(ctx, jsonrpc2.NewPlainObjectStream(near), nil)
	c.add(c.Conn.Close)
	return c, nil
}

type sourcegraphClient struct {
	closers
	*jsonrpc2.Conn
}

// Close closes the connection; its server ends by itself.
func (c *sourcegraphClient) Close() error { return c.closers.Close() }

// Sum is a call.
func (c *sourcegraphClient) Sum(ctx context.Context, terms []float64) (sum float64, err error) {
	err = c.Call(ctx, "Math.Sum", terms, &sum)
	return sum, err
}

// Echo is a call.
func (c *sourcegraphClient) Echo(ctx context.Context, t text) (result text, err error) {
	err = c.Call(ctx, "Echo", t, &result)
	return result, err
}

// Note is a notification.
func (c *sourcegraphClient) Note(ctx context.Context, terms []float64) error {
	return c.Notify(ctx, "Note", terms)
}
