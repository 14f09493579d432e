package amqp_test

import (
	"context"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// volume is how many messages the tests with foreign clients exchange, each, in
// the short form and with POLYPORT_LONG=1.
func volume(t *testing.T, short int) int {
	t.Helper()
	if os.Getenv("POLYPORT_LONG") != "" {
		return 100_000
	}
	t.Logf("%d messages; POLYPORT_LONG=1 makes it 100,000", short)
	return short
}

// patience is how long a foreign program may take for what takes a moment.
const patience = 20 * time.Second

// patienceFor is how long it may take for n messages.
func patienceFor(n int) time.Duration { return patience + time.Duration(n)*10*time.Millisecond }

// nonce is what the method Enter takes. Its result is seven times that.
type nonce struct {
	N int `json:"n"`
}

// A tally counts how often each nonce was executed.
type tally []atomic.Int32

func (y tally) mux() *rpc.Mux {
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Enter", func(_ context.Context, p nonce) (int, error) {
		y[p.N].Add(1)
		return 7 * p.N, nil
	})
	return mux
}

// check checks that each nonce was executed once.
func (y tally) check(t *testing.T) {
	t.Helper()
	wrong := 0
	for n := range y {
		if times := y[n].Load(); times != 1 {
			if wrong++; wrong <= 20 {
				t.Errorf("message %d was executed %d times, want once", n, times)
			}
		}
	}
	if wrong > 20 {
		t.Errorf("%d messages in all were not executed once", wrong)
	}
}

// sum is how many were executed.
func (y tally) sum() (n int) {
	for i := range y {
		n += int(y[i].Load())
	}
	return n
}

// serve serves mux by AMQP 1.0 until the test ends, and returns its host and
// port.
func serve(t *testing.T, o *transport.ListenOptions, mux *rpc.Mux) string {
	t.Helper()
	l, err := transport.Listen(t.Context(), "amqp://127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	start(t, rpc.NewServer(mux, nil), l)
	return l.Addr().String()
}

// start serves what comes by l until the test ends.
func start(t *testing.T, server *rpc.Server, l *transport.Listener) {
	t.Helper()
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

// accept returns the one connection that comes by a listener, which is closed
// when the test ends; dialing begins when it can come.
func accept(t *testing.T, dialing func(host string)) transport.Conn {
	t.Helper()
	l, err := transport.Listen(t.Context(), "amqp://127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	dialing(l.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := l.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
