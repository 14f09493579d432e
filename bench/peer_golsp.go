package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"

	golsp "go.lsp.dev/jsonrpc2"
)

// golspPeers are go.lsp.dev/jsonrpc2 in three of its modes.
func golspPeers() []peer {
	const module = "go.lsp.dev/jsonrpc2"
	return []peer{
		{
			name: "golsp", module: module, open: openGolsp(false, false),
			how: "NewConn, Content-Length frames, handlers in turn; batches by NewBatchClient, which leaves their JSON to the caller",
		},
		{name: "golsp-async", module: module, open: openGolsp(true, false), how: "the same with AsyncHandler: handlers side by side"},
		{
			name: "golsp-single", module: module, open: openGolsp(false, true),
			how: "NewSingleClient: one call at a time, and none from the server",
		},
	}
}

func openGolsp(async, single bool) func(context.Context, *service) (client, error) {
	return func(ctx context.Context, s *service) (client, error) {
		handler := golspHandler(s)
		if async {
			handler = golsp.AsyncHandler(handler)
		}
		ln, err := listen(ctx)
		if err != nil {
			return nil, err
		}
		c := &golspClient{}
		ctx, cancel := context.WithCancel(ctx)
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = golsp.Serve(ctx, ln, golsp.HandlerServer(handler), 0) // the context's error
		}()
		c.add(func() error { cancel(); <-served; return nil })

		nc, err := dial(ctx, ln.Addr())
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		if single {
			one, err := golsp.NewSingleClient(golsp.NewStream(nc))
			if err != nil {
				return nil, errors.Join(err, nc.Close(), c.Close())
			}
			c.golspConn = one
		} else {
			conn := golsp.NewConn(golsp.NewStream(nc))
			conn.Go(ctx, golsp.MethodNotFoundHandler)
			c.golspConn = conn
		}
		c.add(c.golspConn.Close)
		if async || single {
			return c, nil
		}
		return newGolspBatcher(ctx, c, ln.Addr())
	}
}

func golspHandler(s *service) golsp.Handler {
	return func(ctx context.Context, req *golsp.Request) (any, error) {
		switch req.Method() {
		case "Math.Sum":
			var terms []float64
			err := golsp.DefaultCodec.Unmarshal(req.Params(), &terms)
			return s.Sum(terms), err
		case "Echo":
			var t text
			err := golsp.DefaultCodec.Unmarshal(req.Params(), &t)
			return s.Echo(t), err
		case "Note":
			var terms []float64
			err := golsp.DefaultCodec.Unmarshal(req.Params(), &terms)
			s.Note(terms)
			return nil, err
		default:
			return golsp.MethodNotFoundHandler(ctx, req)
		}
	}
}

// golspConn is what Conn and SingleClient have in common.
type golspConn interface {
	Call(ctx context.Context, method string, params, result any) (golsp.ID, error)
	Notify(ctx context.Context, method string, params any) error
	Close() error
}

type golspClient struct {
	closers
	golspConn
}

// Close closes the connection and the server.
func (c *golspClient) Close() error { return c.closers.Close() }

// Sum is a call.
func (c *golspClient) Sum(ctx context.Context, terms []float64) (sum float64, err error) {
	_, err = c.Call(ctx, "Math.Sum", terms, &sum)
	return sum, err
}

// Echo is a call.
func (c *golspClient) Echo(ctx context.Context, t text) (result text, err error) {
	_, err = c.Call(ctx, "Echo", t, &result)
	return result, err
}

// Note is a notification.
func (c *golspClient) Note(ctx context.Context, terms []float64) error {
	return c.Notify(ctx, "Note", terms)
}

// A golspBatcher has a second connection for batches.
type golspBatcher struct {
	*golspClient
	frames *golsp.BatchClient
	out    []byte
}

func newGolspBatcher(ctx context.Context, c *golspClient, addr net.Addr) (client, error) {
	nc, err := dial(ctx, addr)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	frames, err := golsp.NewBatchClient(golsp.NewStream(nc))
	if err != nil {
		return nil, errors.Join(err, nc.Close(), c.Close())
	}
	c.add(frames.Close)
	return &golspBatcher{golspClient: c, frames: frames}, nil
}

// SumBatch is written after the library's example of a batch.
func (c *golspBatcher) SumBatch(ctx context.Context, calls [][]float64) ([]float64, error) {
	messages := make([]golsp.Message, len(calls))
	for i, terms := range calls {
		params, err := golsp.DefaultCodec.Marshal(terms)
		if err != nil {
			return nil, err
		}
		messages[i] = golsp.NewCall(golsp.NewNumberID(int64(i)), "Math.Sum", params)
	}
	c.out = golsp.AppendBatch(c.out[:0], messages)
	if _, err := c.frames.WriteFrame(ctx, c.out); err != nil {
		return nil, err
	}
	frame, _, err := c.frames.ReadFrame(ctx)
	if err != nil {
		return nil, err
	}
	var members []json.RawMessage
	if err := json.Unmarshal(frame, &members); err != nil {
		return nil, err
	}
	if len(members) != len(calls) {
		return nil, fmt.Errorf("%d of %d answers came", len(members), len(calls))
	}
	sums := make([]float64, len(calls))
	for _, member := range members {
		message, err := golsp.DecodeMessage(member)
		if err != nil {
			return nil, err
		}
		response, ok := message.(*golsp.Response)
		if !ok || response.Err() != nil {
			return nil, fmt.Errorf("%T is no answer: %s", message, member)
		}
		id := response.ID()
		i, _ := id.Number()
		if err := golsp.DefaultCodec.Unmarshal(response.Result(), &sums[i]); err != nil {
			return nil, err
		}
	}
	return sums, nil
}
