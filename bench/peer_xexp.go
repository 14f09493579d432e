package main

import (
	"context"
	"encoding/json"
	"errors"

	"golang.org/x/exp/jsonrpc2"
)

// xexpPeers are golang.org/x/exp/jsonrpc2.
func xexpPeers() []peer {
	return []peer{{
		name: "x/exp", module: "golang.org/x/exp/jsonrpc2", open: openXexp,
		how: "Serve and Dial with the default framer; handlers in turn",
	}}
}

func openXexp(ctx context.Context, s *service) (client, error) {
	ln, err := jsonrpc2.NetListener(ctx, "tcp", "127.0.0.1:0", jsonrpc2.NetListenOptions{})
	if err != nil {
		return nil, err
	}
	c := &xexpClient{}
	server, err := jsonrpc2.Serve(ctx, ln, jsonrpc2.ConnectionOptions{Handler: xexpHandler(s)})
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	c.add(server.Wait)
	c.add(ln.Close)
	c.Connection, err = jsonrpc2.Dial(ctx, ln.Dialer(), jsonrpc2.ConnectionOptions{})
	if err != nil {
		return nil, errors.Join(err, c.closers.Close())
	}
	c.add(c.Connection.Close)
	return c, nil
}

func xexpHandler(s *service) jsonrpc2.HandlerFunc {
	return func(_ context.Context, req *jsonrpc2.Request) (any, error) {
		switch req.Method {
		case "Math.Sum":
			var terms []float64
			err := json.Unmarshal(req.Params, &terms)
			return s.Sum(terms), err
		case "Echo":
			var t text
			err := json.Unmarshal(req.Params, &t)
			return s.Echo(t), err
		case "Note":
			var terms []float64
			err := json.Unmarshal(req.Params, &terms)
			s.Note(terms)
			return nil, err
		default:
			return nil, jsonrpc2.ErrMethodNotFound
		}
	}
}

type xexpClient struct {
	closers
	*jsonrpc2.Connection
}

// Close closes the connection and the server.
func (c *xexpClient) Close() error { return c.closers.Close() }

// Sum is a call.
func (c *xexpClient) Sum(ctx context.Context, terms []float64) (sum float64, err error) {
	err = c.Call(ctx, "Math.Sum", terms).Await(ctx, &sum)
	return sum, err
}

// Echo is a call.
func (c *xexpClient) Echo(ctx context.Context, t text) (result text, err error) {
	err = c.Call(ctx, "Echo", t).Await(ctx, &result)
	return result, err
}

// Note is a notification.
func (c *xexpClient) Note(ctx context.Context, terms []float64) error {
	return c.Notify(ctx, "Note", terms)
}
