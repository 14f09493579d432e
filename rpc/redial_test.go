package rpc_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// onTransports runs f over each wire in a bubble, for tests that bring their
// own connections.
func onTransports(t *testing.T, f func(t *testing.T, tr transport.Transport)) {
	t.Helper()
	for name, tr := range transports {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, tr) })
		})
	}
}

// TestReconnect: what was in flight when the connection was lost ends as
// unknown, exactly once; the handlers that served it are told; calls made later
// go by the next connection.
func TestReconnect(t *testing.T) {
	onTransports(t, func(t *testing.T, tr transport.Transport) {
		g := newGate()
		mux := gatedMux(g)
		cancelled := make(chan error, 3)
		rpc.Handle(mux, "Hang", func(ctx context.Context, _ struct{}) (any, error) {
			g.entered <- struct{}{}
			<-ctx.Done()
			cancelled <- context.Cause(ctx)
			return nil, ctx.Err()
		})
		c, d, _ := redialed(t, tr, mux, nil)
		for round := range 3 {
			call := rpc.Go[any](t.Context(), c, "Hang", nil)
			var b rpc.Batch
			member := rpc.Add[any](&b, "Hang", nil)
			done := make(chan error, 1)
			go func() { done <- c.Do(t.Context(), &b) }()
			g.await(t, 2)
			d.cut()
			for _, f := range []*queue.Future[any]{call, member} {
				_, err := get(t, f)
				isOutcome(t, "a call in flight", err, rpc.Unknown)
				isErr(t, "a call in flight", err, transport.ErrReconnecting)
			}
			isErr(t, "Do()", within(t, done, "Do"), transport.ErrReconnecting)
			for range 2 {
				isErr(t, "cause of the handler's context", within(t, cancelled, "the handlers"), transport.ErrClosed)
			}
			if got, err := rpc.Call[[]int](t.Context(), c, "Echo", []int{round}); err != nil || got[0] != round {
				t.Errorf("Echo after the reconnect = %v, %v, want [%d], nil", got, err, round)
			}
			if c.Err() != nil {
				t.Errorf("Err() = %v while it reconnects, want nil", c.Err())
			}
		}
		if got := d.dials.n(); got != 4 {
			t.Errorf("dialed %d times, want 4", got)
		}
	})
}

// TestOutage: a call made while there is no connection waits for one within
// its ctx, and if none comes it was not sent.
func TestOutage(t *testing.T) {
	onTransports(t, func(t *testing.T, tr transport.Transport) {
		c, d, _ := redialed(t, tr, new(journal).mux(), nil)
		d.down.Store(true)
		d.cut()
		synctest.Wait()
		for _, way := range waysToCall {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := way.call(ctx, c, nil)
			isOutcome(t, way.name+" without a connection", err, rpc.NotSent)
			isErr(t, way.name+" without a connection", err, context.DeadlineExceeded)
			cancel()
		}
		result := make(chan error, 1)
		go func() {
			sum, err := rpc.Call[int](context.Background(), c, "sum", []int{1, 2})
			if sum != 3 {
				err = errors.Join(err, errPlain)
			}
			result <- err
		}()
		time.Sleep(10 * time.Second)
		d.down.Store(false)
		if err := within(t, result, "the call that waited"); err != nil {
			t.Errorf("the call that waited for the connection = %v, want nil", err)
		}
	})
}

// TestCloseDuringOutage: Close does not wait for a connection to come.
func TestCloseDuringOutage(t *testing.T) {
	onTransports(t, func(t *testing.T, tr transport.Transport) {
		c, d, _ := redialed(t, tr, new(journal).mux(), nil)
		d.down.Store(true)
		d.cut()
		synctest.Wait()
		start := time.Now()
		if err := c.Close(); err != nil || time.Since(start) > time.Second {
			t.Errorf("Close() = %v after %v, want nil at once", err, time.Since(start))
		}
		isOutcome(t, "a call after Close", c.Call(t.Context(), "sum", nil, nil), rpc.NotSent)
	})
}

// TestGiveUp: when reconnecting is given up the client ends, and says why.
func TestGiveUp(t *testing.T) {
	onTransports(t, func(t *testing.T, tr transport.Transport) {
		a, b := pair(t, tr)
		go func() { _, _ = b.Recv(context.Background()); _ = b.Close() }()
		first := true
		conn, err := transport.Redial(t.Context(), "mem://unused", &transport.RedialOptions{
			GiveUp: time.Minute,
			Dial: func(context.Context) (transport.Conn, error) {
				if first {
					first = false
					return a, nil
				}
				return nil, errPlain
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		c := rpc.NewClient(conn, nil)
		defer c.Close()
		isOutcome(t, "the call in flight", c.Call(t.Context(), "m", nil, nil), rpc.Unknown)
		err = c.Call(t.Context(), "m", nil, nil)
		isOutcome(t, "a call in the outage", err, rpc.NotSent)
		within(t, c.Done(), "Done")
		isErr(t, "Err()", c.Err(), transport.ErrClosed)
	})
}
