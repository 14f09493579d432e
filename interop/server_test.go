package interop_test

import (
	"context"
	"net"
	"os"
	"testing"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
	_ "github.com/polyport/polyport/transport/amqp"
)

// startServer serves JSON-RPC at rawURL until the test ends: Math.Sum takes an
// array of numbers, Echo anything. It returns the port.
func startServer(t *testing.T, rawURL string, o *transport.ListenOptions) int {
	t.Helper()
	return serve(t, rawURL, o, sampleMux())
}

// sampleMux has the methods Math.Sum and Echo.
func sampleMux() *rpc.Mux {
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Math.Sum", func(_ context.Context, terms []float64) (sum float64, _ error) {
		for _, x := range terms {
			sum += x
		}
		return sum, nil
	})
	rpc.Handle(mux, "Echo", func(_ context.Context, v any) (any, error) { return v, nil })
	return mux
}

// serve serves mux at rawURL until the test ends, and returns the port.
func serve(t *testing.T, rawURL string, o *transport.ListenOptions, mux *rpc.Mux) int {
	t.Helper()
	l, err := transport.Listen(t.Context(), rawURL, o)
	if err != nil {
		t.Fatal(err)
	}
	start(t, rpc.NewServer(mux, nil), l)
	return portOf(l)
}

// start serves what comes by l until the test ends.
func start(t *testing.T, server *rpc.Server, l *transport.Listener) {
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(context.Background(), l)
	}()
	t.Cleanup(func() {
		_ = l.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		<-served
	})
}

// portOf is the port on which l listens.
func portOf(l *transport.Listener) int { return l.Addr().(*net.TCPAddr).Port }

// missing ends a test whose foreign program is not there.
func missing(t *testing.T, why, install string) {
	t.Helper()
	if os.Getenv("POLYPORT_REQUIRE_INTEROP") == "1" {
		t.Fatalf("%s, and POLYPORT_REQUIRE_INTEROP=1; install it: %s", why, install)
	}
	t.Skipf("%s; install it: %s", why, install)
}
