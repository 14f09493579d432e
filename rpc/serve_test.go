package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// TestServeEnds: Serve ends with its listener or its context, and leaves the
// connections alone.
func TestServeEnds(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		srv := rpc.NewServer(new(journal).mux(), nil)
		for _, end := range []string{"listener", "context", "accept"} {
			ctx, cancel := context.WithCancel(t.Context())
			l := w.open(t, &transport.ListenOptions{Options: still()})
			a := &acceptor{Acceptor: l.Listener, fail: make(chan error, 1)}
			served := make(chan error, 1)
			go func() { served <- srv.Serve(ctx, a) }()
			conn, err := l.dial(t.Context(), &transport.DialOptions{Options: still()})
			if err != nil {
				t.Fatal(err)
			}
			c := rpc.NewClient(conn, nil)
			synctest.Wait()
			var want error
			switch end {
			case "listener":
				_ = l.Close()
			case "context":
				cancel()
			case "accept":
				a.fail <- errPlain
				want = errPlain
			}
			if err := within(t, served, "Serve"); !errors.Is(err, want) {
				t.Errorf("%s: Serve() = %v, want %v", end, err, want)
			}
			if got, err := rpc.Call[int](t.Context(), c, "sum", []int{1}); err != nil || got != 1 {
				t.Errorf("%s: a call after Serve = %v, %v, want 1, nil", end, got, err)
			}
			_ = l.Close()
			cancel()
			_ = c.Close()
		}
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown() = %v, want nil", err)
		}
	})
}

// TestShutdownEndsServe: Shutdown ends Serve, also where the listener is left
// open, and a connection that is accepted all the same is closed.
func TestShutdownEndsServe(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		h := openHall(t, w, nil, nil)
		synctest.Wait()
		late := &lateAcceptor{conn: newFakeConn(), now: make(chan struct{})}
		served := make(chan error, 1)
		go func() { served <- h.Serve(t.Context(), late) }()
		synctest.Wait()
		if err := h.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown() = %v, want nil", err)
		}
		isErr(t, "Serve()", within(t, h.served, "Serve"), rpc.ErrServerClosed)
		close(late.now)
		isErr(t, "Serve()", within(t, served, "Serve"), rpc.ErrServerClosed)
		within(t, late.conn.closed, "Close of the connection accepted too late")
		_ = h.Close()
	})
}

// A lateAcceptor does not look at contexts.
type lateAcceptor struct {
	conn *fakeConn
	now  chan struct{}
}

func (a *lateAcceptor) Accept(context.Context) (transport.Conn, error) {
	<-a.now
	return a.conn, nil
}

// An acceptor fails when it is told to.
type acceptor struct {
	rpc.Acceptor
	fail chan error
}

func (a *acceptor) Accept(ctx context.Context) (transport.Conn, error) {
	type result struct {
		c   transport.Conn
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	got := make(chan result, 1)
	go func() {
		c, err := a.Acceptor.Accept(ctx)
		got <- result{c, err}
	}()
	select {
	case r := <-got:
		return r.c, r.err
	case err := <-a.fail:
		return nil, err
	}
}

// TestConnectionLoss: when the connection ends its handlers are told why, what
// waits is dropped, and nobody else notices.
func TestConnectionLoss(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		var mu sync.Mutex
		var causes []error
		entered := 0
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Hang", func(ctx context.Context, _ struct{}) (any, error) {
			mu.Lock()
			entered++
			mu.Unlock()
			<-ctx.Done()
			mu.Lock()
			defer mu.Unlock()
			causes = append(causes, context.Cause(ctx))
			return nil, ctx.Err()
		})
		q := newQueue(t, nil)
		h := serve(t, w, mux, &rpc.ServerOptions{Width: 3, Queue: q})
		p, other := h.peer(), h.client(nil)
		for i := range 5 {
			p.say(fmt.Sprintf(`{"jsonrpc":"2.0","method":"Hang","id":%d}`, i))
		}
		p.say(`[{"jsonrpc":"2.0","method":"Hang","id":1},{"jsonrpc":"2.0","method":"Hang"}]`)
		f := rpc.Go[any](t.Context(), other, "Hang", nil)
		synctest.Wait()
		_ = p.conn.Close()
		synctest.Wait()
		mu.Lock()
		if entered != 4 || len(causes) != 3 {
			t.Errorf("%d handlers started and %d ended, want 4 and the 3 of the lost connection", entered, len(causes))
		}
		for _, cause := range causes {
			isErr(t, "cause of a handler's context", cause, transport.ErrClosed)
		}
		mu.Unlock()
		if s := q.Stats(); s.Waiting != 0 || s.Running != 1 {
			t.Errorf("%d jobs wait and %d run, want 0 and 1", s.Waiting, s.Running)
		}
		if _, _, done := f.TryGet(); done {
			t.Error("the call of another connection has ended")
		}
		_ = other.Close()
		synctest.Wait()
	})
}

// TestSharedQueue: several servers may use one queue, which outlives them.
func TestSharedQueue(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		q := newQueue(t, nil)
		var got []int
		for i := range 3 {
			h := openHall(t, w, new(journal).mux(), &rpc.ServerOptions{Queue: q})
			sum, err := rpc.Call[int](t.Context(), h.client(nil), "sum", []int{i, 1})
			if err != nil {
				t.Errorf("sum = %v, want nil", err)
			}
			got = append(got, sum)
			if err := within(t, h.shut(t.Context()), "Shutdown"); err != nil {
				t.Errorf("Shutdown() = %v, want nil", err)
			}
		}
		if !slices.Equal(got, []int{1, 2, 3}) {
			t.Errorf("sums = %v, want [1 2 3]", got)
		}
		synctest.Wait() // a job is done a little after its answer has left
		if diff := cmp.Diff(uint64(3), q.Stats().Done); diff != "" {
			t.Errorf("jobs done by the queue (-want +got):\n%s", diff)
		}
	})
}
