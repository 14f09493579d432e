package main

import (
	"context"
	"errors"

	"github.com/ethereum/go-ethereum/rpc"
)

// gethPeers are github.com/ethereum/go-ethereum/rpc.
func gethPeers() []peer {
	return []peer{{
		name: "geth", module: "github.com/ethereum/go-ethereum", open: openGeth,
		how: "RegisterName, ServeListener and DialIO: the stream of its IPC, on TCP",
	}}
}

func openGeth(ctx context.Context, s *service) (client, error) {
	ln, err := listen(ctx)
	if err != nil {
		return nil, err
	}
	server := rpc.NewServer()
	if err := server.RegisterName("bench", gethService{s}); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	c := &gethClient{}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.ServeListener(ln) // it is closed
	}()
	c.add(func() error { <-served; server.Stop(); return nil })
	c.add(ln.Close)
	nc, err := dial(ctx, ln.Addr())
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	c.rpc, err = rpc.DialIO(ctx, nc, nc)
	if err != nil {
		return nil, errors.Join(err, nc.Close(), c.Close())
	}
	c.add(func() error { c.rpc.Close(); return nil })
	c.add(nc.Close) // first: a client of DialIO waits for the end of its reader
	return c, nil
}

// gethService has the methods in the forms that the library finds. Its params
// are by position.
type gethService struct{ s *service }

// Sum is bench_sum.
func (g gethService) Sum(terms []float64) float64 { return g.s.Sum(terms) }

// Echo is bench_echo.
func (g gethService) Echo(t text) text { return g.s.Echo(t) }

// Note is bench_note.
func (g gethService) Note(terms []float64) { g.s.Note(terms) }

type gethClient struct {
	closers
	rpc *rpc.Client
}

// Sum is a call.
func (c *gethClient) Sum(ctx context.Context, terms []float64) (sum float64, err error) {
	err = c.rpc.CallContext(ctx, &sum, "bench_sum", terms)
	return sum, err
}

// Echo is a call.
func (c *gethClient) Echo(ctx context.Context, t text) (result text, err error) {
	err = c.rpc.CallContext(ctx, &result, "bench_echo", t)
	return result, err
}

// Note is a notification.
func (c *gethClient) Note(ctx context.Context, terms []float64) error {
	return c.rpc.Notify(ctx, "bench_note", terms)
}

// SumBatch is a batch.
func (c *gethClient) SumBatch(ctx context.Context, calls [][]float64) ([]float64, error) {
	sums := make([]float64, len(calls))
	elems := make([]rpc.BatchElem, len(calls))
	for i, terms := range calls {
		elems[i] = rpc.BatchElem{Method: "bench_sum", Args: []any{terms}, Result: &sums[i]}
	}
	if err := c.rpc.BatchCallContext(ctx, elems); err != nil {
		return nil, err
	}
	for _, elem := range elems {
		if elem.Error != nil {
			return nil, elem.Error
		}
	}
	return sums, nil
}
