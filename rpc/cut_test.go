package rpc_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

// cuttable dials over an in-memory network and can cut what it has dialed.
type cuttable struct {
	network mem.Network
	tr      transport.Transport
	mu      sync.Mutex // protects the field below
	nc      net.Conn
	dials   counter
	down    atomic.Bool // dialing fails
}

func (d *cuttable) dial(ctx context.Context) (transport.Conn, error) {
	if d.down.Load() {
		return nil, errPlain
	}
	nc, err := d.network.Dial(ctx, "server")
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.nc = nc
	d.mu.Unlock()
	d.dials.add(1)
	return d.tr.Client(ctx, nc, testURL, &transport.DialOptions{Options: still()})
}

// cut resets the connection, with what is under way in it.
func (d *cuttable) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l, ok := d.nc.(interface{ SetLinger(sec int) error }); ok {
		_ = l.SetLinger(0)
	}
	_ = d.nc.Close()
}

// redialed serves mux on an in-memory network and returns a client that
// reconnects, and what cuts its connections.
func redialed(tb testing.TB, tr transport.Transport, mux *rpc.Mux, o *rpc.ClientOptions) (*rpc.Client, *cuttable, *rpc.Server) {
	tb.Helper()
	d := &cuttable{tr: tr}
	ln, err := d.network.Listen("server")
	if err != nil {
		tb.Fatal(err)
	}
	l := transport.NewListener(ln, tr, &transport.ListenOptions{Options: still()})
	srv := rpc.NewServer(mux, nil)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(context.Background(), l) }()
	conn, err := transport.Redial(tb.Context(), "mem://unused", &transport.RedialOptions{
		DialOptions: transport.DialOptions{Options: still()}, First: time.Millisecond, Most: 10 * time.Millisecond, Dial: d.dial,
	})
	if err != nil {
		tb.Fatal(err)
	}
	c := rpc.NewClient(conn, o)
	tb.Cleanup(func() {
		_ = c.Close()
		_ = l.Close()
		<-served
		if err := srv.Shutdown(context.Background()); err != nil {
			tb.Errorf("Shutdown() = %v, want nil", err)
		}
	})
	return c, d, srv
}

// pair returns the two ends of a connection of a wire: the one that dialed and
// the other.
func pair(tb testing.TB, tr transport.Transport) (near, far transport.Conn) {
	tb.Helper()
	l := byPipe(tr)(tb, &transport.ListenOptions{Options: still()})
	near, err := l.dial(tb.Context(), &transport.DialOptions{Options: still()})
	if err != nil {
		tb.Fatal(err)
	}
	if far, err = l.Accept(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	_ = l.Close()
	return near, far
}
