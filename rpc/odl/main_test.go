package odl_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/rpc/odl"
	"github.com/polyport/polyport/transport"
	_ "github.com/polyport/polyport/transport/http"
	_ "github.com/polyport/polyport/transport/zmq"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

// parse parses a URI that is right.
func parse(t *testing.T, uri string) *odl.Endpoint {
	t.Helper()
	e, err := odl.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// serve serves mux at an endpoint, with port 0, until the test ends, and returns the
// server and the port.
func serve(t *testing.T, uri string, mux *rpc.Mux, o *transport.ListenOptions) (server *rpc.Server, port string) {
	t.Helper()
	l, err := parse(t, uri).Listen(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	server = rpc.NewServer(mux, nil)
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		_ = l.Close()
		if err := <-served; err != nil && !errors.Is(err, rpc.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = server.Shutdown(ctx)
	})
	at := l.Addr().String()
	return server, at[strings.LastIndexByte(at, ':')+1:]
}

// calc adds.
func calc() *rpc.Mux {
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "add", func(_ context.Context, n []int) (int, error) {
		sum := 0
		for _, i := range n {
			sum += i
		}
		return sum, nil
	})
	return mux
}

// dial dials an endpoint, in whose URI PORT stands for the port.
func dial(t *testing.T, uri, port string, o *rpc.ClientOptions) (*rpc.Client, error) {
	t.Helper()
	c, err := parse(t, strings.ReplaceAll(uri, "PORT", port)).Dial(t.Context(), o)
	if err == nil {
		t.Cleanup(func() { _ = c.Close() })
	}
	return c, err
}

// adds checks that calls are answered.
func adds(t *testing.T, c *rpc.Client) {
	t.Helper()
	for i := range 3 {
		if got, err := rpc.Call[int](t.Context(), c, "add", []int{i, 2}); err != nil || got != i+2 {
			t.Errorf("add = %d, %v", got, err)
		}
	}
}

// refused checks that an error says what it should.
func refused(t *testing.T, err error, words string) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("no error; expected one with %q", words)
	case !strings.Contains(err.Error(), words):
		t.Errorf("the error is %q; expected one with %q", err, words)
	case strings.Contains(err.Error(), "hush"):
		t.Errorf("the error shows a password: %v", err)
	}
}
