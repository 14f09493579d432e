package main

import (
	"context"
	"errors"

	"github.com/creachadair/jrpc2"
	"github.com/creachadair/jrpc2/channel"
	"github.com/creachadair/jrpc2/handler"
	"github.com/creachadair/jrpc2/server"
)

// jrpc2Peers are github.com/creachadair/jrpc2.
func jrpc2Peers() []peer {
	return []peer{{
		name: "jrpc2", module: "github.com/creachadair/jrpc2", open: openJrpc2,
		how: "server.Loop with handler.New, a line for a message, CallResult",
	}}
}

func openJrpc2(ctx context.Context, s *service) (client, error) {
	ln, err := listen(ctx)
	if err != nil {
		return nil, err
	}
	methods := handler.Map{
		"Math.Sum": handler.New(func(_ context.Context, terms []float64) float64 { return s.Sum(terms) }),
		"Echo":     handler.New(func(_ context.Context, t text) text { return s.Echo(t) }),
		"Note": handler.New(func(_ context.Context, terms []float64) error {
			s.Note(terms)
			return nil
		}),
	}
	c := &jrpc2Client{}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Loop(ctx, server.NetAccepter(ln, channel.Line), server.Static(methods), nil) // the listener is closed
	}()
	c.add(func() error { <-served; return nil })
	c.add(ln.Close)
	nc, err := dial(ctx, ln.Addr())
	if err != nil {
		return nil, errors.Join(err, c.closers.Close())
	}
	c.Client = jrpc2.NewClient(channel.Line(nc, nc), nil)
	c.add(c.Client.Close)
	return c, nil
}

type jrpc2Client struct {
	closers
	*jrpc2.Client
}

// Close closes the connection and the server.
func (c *jrpc2Client) Close() error { return c.closers.Close() }

// Sum is a call.
func (c *jrpc2Client) Sum(ctx context.Context, terms []float64) (sum float64, err error) {
	err = c.CallResult(ctx, "Math.Sum", terms, &sum)
	return sum, err
}

// Echo is a call.
func (c *jrpc2Client) Echo(ctx context.Context, t text) (result text, err error) {
	err = c.CallResult(ctx, "Echo", t, &result)
	return result, err
}

// Note is a notification.
func (c *jrpc2Client) Note(ctx context.Context, terms []float64) error {
	return c.Notify(ctx, "Note", terms)
}

// SumBatch is a batch.
func (c *jrpc2Client) SumBatch(ctx context.Context, calls [][]float64) ([]float64, error) {
	specs := make([]jrpc2.Spec, len(calls))
	for i, terms := range calls {
		specs[i] = jrpc2.Spec{Method: "Math.Sum", Params: terms}
	}
	responses, err := c.Batch(ctx, specs)
	if err != nil {
		return nil, err
	}
	sums := make([]float64, len(responses))
	for i, response := range responses {
		if err := response.UnmarshalResult(&sums[i]); err != nil {
			return nil, err
		}
	}
	return sums, nil
}
