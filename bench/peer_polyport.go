package main

import (
	"context"
	"errors"
	"net/url"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
	_ "github.com/polyport/polyport/transport/amqp" // amqp: URLs
	"github.com/polyport/polyport/transport/mem"
	_ "github.com/polyport/polyport/transport/stomp" // stomp: URLs
	_ "github.com/polyport/polyport/transport/zmq"   // zmq: URLs
)

// polyportPeers are this library with its defaults, through the typed API.
func polyportPeers() []peer {
	const module = "github.com/polyport/polyport"
	return []peer{
		{
			name: "polyport-stomp", module: module, open: openPolyport("stomp://127.0.0.1:0", nil),
			how: "STOMP 1.2 over TCP; rpc.Handle, rpc.Call[R]",
		},
		{
			name: "polyport-stomp-goccy", module: module,
			open: openPolyport("stomp://127.0.0.1:0", &rpc.ClientOptions{Codec: goccyCodec{}}),
			how:  "the same with an rpc.Codec of github.com/goccy/go-json/v2",
		},
		{
			name: "polyport-zmq", module: module, open: openPolyport("zmq://127.0.0.1:0", nil),
			how: "the same by ZMTP 3.0, DEALER and ROUTER",
		},
		{
			name: "polyport-zmq-req", module: module,
			open: openPolyport("zmq://127.0.0.1:0?socket=req", &rpc.ClientOptions{Conns: callers}),
			how:  "the same by REQ and REP: one call at a time on each of 64 connections, and a notification is answered before the next",
		},
		{
			name: "polyport-amqp", module: module, open: openPolyport("amqp://127.0.0.1:0", nil),
			how: "the same by AMQP 1.0, with no broker: go-amqp at the client's end, polyport's own at the server's",
		},
		{name: "polyport-mem-tcp", module: module, open: openPolyportMemTCP, how: "the same on the mem wire over TCP"},
		{
			name: "polyport-mem", module: module, open: openPolyport("mem://", nil),
			how: "the same on the mem wire in memory: compare with raw-json-mem",
		},
	}
}

func polyportMux(s *service, codec rpc.Codec) *rpc.Mux {
	mux := rpc.NewMux(&rpc.MuxOptions{Codec: codec})
	rpc.Handle(mux, "Math.Sum", func(_ context.Context, terms []float64) (float64, error) { return s.Sum(terms), nil })
	rpc.Handle(mux, "Echo", func(_ context.Context, t text) (text, error) { return s.Echo(t), nil })
	rpc.Handle(mux, "Note", func(_ context.Context, terms []float64) (any, error) {
		s.Note(terms)
		return nil, nil
	})
	return mux
}

// openPolyport serves and calls by URL; both ends have the codec of o, which may
// be nil.
func openPolyport(rawURL string, o *rpc.ClientOptions) func(context.Context, *service) (client, error) {
	return func(ctx context.Context, s *service) (client, error) {
		u, err := url.Parse(rawURL)
		if err != nil {
			return nil, err
		}
		ln, err := transport.Listen(ctx, rawURL, nil)
		if err != nil {
			return nil, err
		}
		var codec rpc.Codec
		if o != nil {
			codec = o.Codec
		}
		c := &polyportClient{}
		c.serve(ctx, ln, polyportMux(s, codec))
		u.Host = ln.Addr().String()
		c.Client, err = rpc.Dial(ctx, u.String(), o)
		if err != nil {
			return nil, errors.Join(err, c.closing.Close())
		}
		return c, nil
	}
}

// openPolyportMemTCP puts the mem wire on TCP, which no URL does.
func openPolyportMemTCP(ctx context.Context, s *service) (client, error) {
	tcp, err := listen(ctx)
	if err != nil {
		return nil, err
	}
	c := &polyportClient{}
	c.serve(ctx, transport.NewListener(tcp, mem.Transport{}, nil), polyportMux(s, nil))
	nc, err := dial(ctx, tcp.Addr())
	if err != nil {
		return nil, errors.Join(err, c.closing.Close())
	}
	var o *transport.DialOptions
	conn, err := mem.Transport{}.Client(ctx, nc, &url.URL{Scheme: "mem", Host: tcp.Addr().String()}, o.WithDefaults())
	if err != nil {
		return nil, errors.Join(err, nc.Close(), c.closing.Close())
	}
	c.Client = rpc.NewClient(conn, nil)
	return c, nil
}

type polyportClient struct {
	*rpc.Client
	closing closers
}

// serve serves mux on ln until c is closed.
func (c *polyportClient) serve(ctx context.Context, ln *transport.Listener, mux *rpc.Mux) {
	server := rpc.NewServer(mux, nil)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(ctx, ln) // ErrServerClosed; what else there is the calls will meet
	}()
	c.closing.add(func() error { <-served; return nil })
	c.closing.add(func() error { return server.Shutdown(ctx) })
	c.closing.add(ln.Close)
}

// Close closes the client, then its server.
func (c *polyportClient) Close() error {
	return errors.Join(c.Client.Close(), c.closing.Close())
}

// Sum is a typed call.
func (c *polyportClient) Sum(ctx context.Context, terms []float64) (float64, error) {
	return rpc.Call[float64](ctx, c.Client, "Math.Sum", terms)
}

// Echo is a typed call.
func (c *polyportClient) Echo(ctx context.Context, t text) (text, error) {
	return rpc.Call[text](ctx, c.Client, "Echo", t)
}

// Note is a notification.
func (c *polyportClient) Note(ctx context.Context, terms []float64) error {
	return c.Notify(ctx, "Note", terms)
}

// SumBatch is a batch of typed calls.
func (c *polyportClient) SumBatch(ctx context.Context, calls [][]float64) ([]float64, error) {
	var b rpc.Batch
	futures := make([]*queue.Future[float64], len(calls))
	for i, terms := range calls {
		futures[i] = rpc.Add[float64](&b, "Math.Sum", terms)
	}
	if err := c.Do(ctx, &b); err != nil {
		return nil, err
	}
	sums := make([]float64, len(calls))
	for i, f := range futures {
		var err error
		if sums[i], err = f.Get(ctx); err != nil {
			return nil, err
		}
	}
	return sums, nil
}
