package main

import (
	"context"
	"errors"
	"net"
	"slices"
)

// A peer is one way to make calls.
type peer struct {
	name string
	// module is where it comes from; empty for what is written here.
	module string
	// how says in what manner it is used.
	how string
	// open starts a server for s and returns a client of it.
	open func(ctx context.Context, s *service) (client, error)
}

func (p peer) title() string { return p.name }

// yardstick is the peer that all others are compared with.
const yardstick = "raw-json"

func allPeers() []peer {
	return slices.Concat(rawPeers(), polyportPeers(), golspPeers(), jrpc2Peers(), sourcegraphPeers(), xexpPeers(),
		gethPeers(), netrpcPeers(), grpcPeers(), natsPeers())
}

// start opens p with a service of its own.
func (p peer) start(ctx context.Context) (*rig, error) {
	s := &service{noted: newCounter()}
	c, err := p.open(ctx, s)
	if err != nil {
		return nil, err
	}
	return &rig{client: c, service: s}, nil
}

// closers are closed from the last to the first.
type closers []func() error

func (c *closers) add(f func() error) { *c = append(*c, f) }

// Close closes all.
func (c *closers) Close() error {
	var errs []error
	for _, f := range slices.Backward(*c) {
		if err := f(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	*c = nil
	return errors.Join(errs...)
}

// listen listens on the loopback interface.
func listen(ctx context.Context) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
}

func dial(ctx context.Context, addr net.Addr) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", addr.String())
}

// connect returns the two ends of a TCP connection.
func connect(ctx context.Context) (client, server net.Conn, err error) {
	ln, err := listen(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, ln.Close()) }()
	client, err = dial(ctx, ln.Addr())
	if err != nil {
		return nil, nil, err
	}
	server, err = ln.Accept()
	if err != nil {
		return nil, nil, errors.Join(err, client.Close())
	}
	return client, server, nil
}
