package rpc_test

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
	"github.com/polyport/polyport/transport/stomp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

// A wire is a protocol over something that carries it.
type wire struct {
	name string
	open func(tb testing.TB, o *transport.ListenOptions) link
}

// A link is a listener, and the way to connect to it.
type link struct {
	*transport.Listener
	dial func(ctx context.Context, o *transport.DialOptions) (transport.Conn, error)
	url  string // "" if no URL leads there
}

var (
	// stompTCP and memURL are reached by their URLs, as a program reaches them.
	stompTCP = wire{"stomp", byURL("stomp://127.0.0.1:0")}
	memURL   = wire{"mem", byURL("mem://")}
	// stompPipe and memPipe run in a bubble of virtual time.
	stompPipe = wire{"stomp", byPipe(stomp.Transport{})}
	memPipe   = wire{"mem", byPipe(mem.Transport{})}
)

// transports are what speaks on the wires.
var transports = map[string]transport.Transport{"stomp": stomp.Transport{}, "mem": mem.Transport{}}

// testURL is a URL without a destination, for transports that are given a
// connection.
var testURL = &url.URL{Scheme: "test", Host: "server"}

// onWires runs f over each wire in real time.
func onWires(t *testing.T, f func(t *testing.T, w wire)) {
	t.Helper()
	for _, w := range []wire{stompTCP, memURL} {
		t.Run(w.name, func(t *testing.T) { f(t, w) })
	}
}

// inBubbles runs f over each wire in virtual time.
func inBubbles(t *testing.T, f func(t *testing.T, w wire)) {
	t.Helper()
	for _, w := range []wire{stompPipe, memPipe} {
		t.Run(w.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, w) })
		})
	}
}

func byURL(rawURL string) func(testing.TB, *transport.ListenOptions) link {
	return func(tb testing.TB, o *transport.ListenOptions) link {
		tb.Helper()
		l, err := transport.Listen(tb.Context(), rawURL, o)
		if err != nil {
			tb.Fatalf("Listen(%s) = %v", rawURL, err)
		}
		u, _ := url.Parse(rawURL)
		to := u.Scheme + "://" + l.Addr().String()
		return link{Listener: l, url: to, dial: func(ctx context.Context, o *transport.DialOptions) (transport.Conn, error) {
			return transport.Dial(ctx, to, o)
		}}
	}
}

func byPipe(tr transport.Transport) func(testing.TB, *transport.ListenOptions) link {
	return func(tb testing.TB, o *transport.ListenOptions) link {
		tb.Helper()
		network := new(mem.Network)
		ln, err := network.Listen("server")
		if err != nil {
			tb.Fatal(err)
		}
		return link{Listener: transport.NewListener(ln, tr, o), dial: func(ctx context.Context, o *transport.DialOptions) (transport.Conn, error) {
			nc, err := network.Dial(ctx, "server")
			if err != nil {
				return nil, err
			}
			return tr.Client(ctx, nc, testURL, o)
		}}
	}
}

// still are options without heart-beats, so that in virtual time nothing
// happens by itself.
func still() transport.Options {
	return transport.Options{Heartbeat: -1, WriteStall: 24 * time.Hour, FrameTimeout: 24 * time.Hour}
}

// A host is a server that serves a link.
type host struct {
	t testing.TB
	*rpc.Server
	link
}

// serve serves mux over w until the test ends.
func serve(tb testing.TB, w wire, mux *rpc.Mux, o *rpc.ServerOptions) *host {
	tb.Helper()
	return serveOn(tb, w, &transport.ListenOptions{Options: still()}, mux, o)
}

func serveOn(tb testing.TB, w wire, lo *transport.ListenOptions, mux *rpc.Mux, o *rpc.ServerOptions) *host {
	tb.Helper()
	h := &host{t: tb, Server: rpc.NewServer(mux, o), link: w.open(tb, lo)}
	served := make(chan error, 1)
	go func() { served <- h.Serve(context.Background(), h.Listener) }()
	tb.Cleanup(func() {
		_ = h.Close()
		if err := <-served; err != nil && !errors.Is(err, rpc.ErrServerClosed) {
			tb.Errorf("Serve() = %v, want nil or %v", err, rpc.ErrServerClosed)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := h.Shutdown(ctx); err != nil {
			tb.Errorf("Shutdown() = %v, want nil", err)
		}
	})
	return h
}

// conn dials.
func (h *host) conn(o transport.Options) transport.Conn {
	h.t.Helper()
	c, err := h.dial(h.t.Context(), &transport.DialOptions{Options: o})
	if err != nil {
		h.t.Fatalf("dial: %v", err)
	}
	return c
}

// client dials and returns a client, which is closed when the test ends.
func (h *host) client(o *rpc.ClientOptions) *rpc.Client {
	h.t.Helper()
	c := rpc.NewClient(h.conn(still()), o)
	h.t.Cleanup(func() { _ = c.Close() })
	return c
}

// A gate holds handlers until it is opened.
type gate struct {
	entered chan struct{} // gets one token for each handler that came
	opened  chan struct{}
}

func newGate() *gate {
	return &gate{entered: make(chan struct{}, 1<<16), opened: make(chan struct{})}
}

// pass is called by handlers.
func (g *gate) pass(ctx context.Context) error {
	g.entered <- struct{}{}
	select {
	case <-g.opened:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gate) open() { close(g.opened) }

// await waits until n handlers have come.
func (g *gate) await(tb testing.TB, n int) {
	tb.Helper()
	for range n {
		within(tb, g.entered, "a handler to start")
	}
}

// within waits for c to be closed or to get a value.
func within[T any](tb testing.TB, c <-chan T, what string) (v T) {
	tb.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		tb.Fatalf("waited %v for %s", patience, what)
	}
	return v
}

// isErr reports an error that does not wrap all of want.
func isErr(tb testing.TB, call string, err error, want ...error) {
	tb.Helper()
	for _, w := range want {
		if !errors.Is(err, w) {
			tb.Errorf("%s = %v, want an error that wraps %v", call, err, w)
		}
	}
}

// isOutcome reports an error that does not say what is known of a call.
func isOutcome(tb testing.TB, call string, err error, want rpc.Outcome) {
	tb.Helper()
	if got := rpc.OutcomeOf(err); got != want {
		tb.Errorf("OutcomeOf(%s) = %v, want %v; the error is: %v", call, got, want, err)
	}
}

// isCode reports an error that is not an answer with that code.
func isCode(tb testing.TB, call string, err error, want rpc.Code) *rpc.Error {
	tb.Helper()
	e, ok := errors.AsType[*rpc.Error](err)
	if !ok || e.Code != want {
		tb.Errorf("%s = %v, want an *rpc.Error with code %d", call, err, want)
		return new(rpc.Error)
	}
	return e
}
