package rpc_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// A hall is a server that a test shuts down itself.
type hall struct {
	*rpc.Server
	link
	t      testing.TB
	served chan error
}

func openHall(tb testing.TB, w wire, mux *rpc.Mux, o *rpc.ServerOptions) *hall {
	tb.Helper()
	lo := &transport.ListenOptions{Options: still()}
	lo.Linger = patience // a machine under load must not spoil the accounts
	h := &hall{Server: rpc.NewServer(mux, o), link: w.open(tb, lo), t: tb, served: make(chan error, 1)}
	go func() { h.served <- h.Serve(context.Background(), h.Listener) }()
	return h
}

func (h *hall) client(o *rpc.ClientOptions) *rpc.Client {
	h.t.Helper()
	conn, err := h.dial(h.t.Context(), &transport.DialOptions{Options: still()})
	if err != nil {
		h.t.Fatal(err)
	}
	c := rpc.NewClient(conn, o)
	h.t.Cleanup(func() { _ = c.Close() })
	return c
}

// shut closes the listener and shuts down; the result comes from the channel.
func (h *hall) shut(ctx context.Context) <-chan error {
	_ = h.Close()
	within(h.t, h.served, "Serve")
	done := make(chan error, 1)
	go func() { done <- h.Shutdown(ctx) }()
	return done
}

// TestShutdown: what was accepted is answered, what comes later is refused,
// and then the connections end. That the bubble ends shows that no goroutine
// is left.
func TestShutdown(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		var ran journal
		g := newGate()
		mux := gatedMux(g)
		rpc.Handle(mux, "update", func(_ context.Context, p []int) (any, error) {
			ran.note("update", p)
			return nil, nil
		})
		h := openHall(t, w, mux, &rpc.ServerOptions{Width: 2})
		c, other := h.client(nil), h.client(nil)
		var accepted []*queue.Future[[]int]
		for i := range 10 { // two of which run, while eight wait
			accepted = append(accepted, rpc.Go[[]int](t.Context(), c, "Wait", []int{i}))
		}
		accepted = append(accepted, rpc.Go[[]int](t.Context(), other, "Wait", []int{10}))
		g.await(t, 3)
		synctest.Wait()
		done := h.shut(context.Background())
		synctest.Wait()
		for _, way := range waysToCall {
			if way.name == "Notify" {
				continue
			}
			isCode(t, way.name+" during Shutdown", way.call(t.Context(), c, nil), rpc.CodeShuttingDown)
		}
		if err := c.Notify(t.Context(), "update", []int{1}); err != nil {
			t.Errorf("Notify during Shutdown = %v, want nil", err)
		}
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("Shutdown() = %v before the handlers returned", err)
		default:
		}
		g.open()
		for i, f := range accepted {
			if v, err := get(t, f); err != nil || len(v) != 1 || v[0] != i {
				t.Errorf("accepted call %d = %v, %v, want [%[1]d], nil", i, v, err)
			}
		}
		if err := within(t, done, "Shutdown"); err != nil {
			t.Errorf("Shutdown() = %v, want nil", err)
		}
		within(t, c.Done(), "the connection to end")
		if lines := ran.take(); lines != nil {
			t.Errorf("executed %v during Shutdown, want nothing", lines)
		}
		if got := h.Connections(); got != 0 {
			t.Errorf("Connections() = %d, want 0", got)
		}
		if err := h.Shutdown(t.Context()); err != nil {
			t.Errorf("second Shutdown() = %v, want nil", err)
		}
	})
}

// TestShutdownBatch: a batch is accepted and answered, or refused, as one.
func TestShutdownBatch(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		g := newGate()
		h := openHall(t, w, gatedMux(g), &rpc.ServerOptions{Width: 1})
		conn, err := h.dial(t.Context(), &transport.DialOptions{Options: still()})
		if err != nil {
			t.Fatal(err)
		}
		p := newPeer(t, conn)
		const batch = `[{"jsonrpc":"2.0","method":"Wait","params":[],"id":1},5,{"jsonrpc":"2.0","method":"Wait","params":[]},{"jsonrpc":"2.0","method":"Wait","params":[],"id":2}]`
		p.say(batch)
		synctest.Wait()
		done := h.shut(context.Background())
		synctest.Wait()
		p.say(batch)
		if got, want := brief(p.hear()), `[1!-32054, null!-32600, 2!-32054]`; got != want {
			t.Errorf("heard %s, want %s", got, want)
		}
		g.open()
		if got, want := brief(p.hear()), `[1=[], null!-32600, 2=[]]`; got != want {
			t.Errorf("heard %s, want %s", got, want)
		}
		go func() { _, _ = p.listen(time.Minute) }()
		if err := within(t, done, "Shutdown"); err != nil {
			t.Errorf("Shutdown() = %v, want nil", err)
		}
	})
}

// TestShutdownGivesUp: when its context ends, handlers are told, what waits is
// dropped and never executed, and the error has the number of both.
func TestShutdownGivesUp(t *testing.T) {
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
		h := openHall(t, w, mux, &rpc.ServerOptions{Width: 3})
		c := h.client(nil)
		var fs []*queue.Future[any]
		for range 7 {
			fs = append(fs, rpc.Go[any](t.Context(), c, "Hang", nil))
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		done := h.shut(ctx)
		time.Sleep(time.Minute + time.Millisecond)
		err := within(t, done, "Shutdown")
		if took := time.Since(start); took < time.Minute || took > 2*time.Minute {
			t.Errorf("Shutdown took %v, want a minute", took)
		}
		isErr(t, "Shutdown()", err, context.DeadlineExceeded)
		if want := "rpc: 7 requests were not answered in time: context deadline exceeded"; err == nil || err.Error() != want {
			t.Errorf("Shutdown() = %v, want %s", err, want)
		}
		synctest.Wait()
		if entered != 3 || len(causes) != 3 {
			t.Errorf("%d handlers started and %d ended, want the 3 that ran before", entered, len(causes))
		}
		for _, cause := range causes {
			isErr(t, "cause of a handler's context", cause, rpc.ErrServerClosed)
		}
		for _, f := range fs {
			_, err := get(t, f)
			if e, ok := errors.AsType[*rpc.Error](err); ok && e.Code != rpc.CodeShuttingDown && e.Code != rpc.CodeCancelled {
				t.Errorf("a call that was not answered in time = %v, want it lost, cancelled or refused by the shutdown", err)
			}
		}
	})
}

// TestShutdownAtOnce: a context that has ended drops all that waits.
func TestShutdownAtOnce(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		g := newGate()
		h := openHall(t, w, gatedMux(g), nil)
		c := h.client(nil)
		f := rpc.Go[any](t.Context(), c, "Wait", nil)
		g.await(t, 1)
		err := within(t, h.shut(expired()), "Shutdown")
		isErr(t, "Shutdown()", err, context.Canceled)
		if err == nil || !strings.HasPrefix(err.Error(), "rpc: 1 requests were not answered in time") {
			t.Errorf("Shutdown() = %v, want it to say that 1 request was not answered", err)
		}
		if _, err := get(t, f); err == nil {
			t.Error("the call was answered, want an error")
		}
	})
}

// TestShutdownIdle: a server that serves nobody is shut down at once, and
// serves nobody afterwards.
func TestShutdownIdle(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		srv := rpc.NewServer(nil, nil)
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown() of a server that never served = %v, want nil", err)
		}
		near, far := pair(t, transports[w.name])
		if err := srv.ServeConn(far); !errors.Is(err, rpc.ErrServerClosed) {
			t.Errorf("ServeConn() after Shutdown = %v, want %v", err, rpc.ErrServerClosed)
		}
		_ = near.Close()
		l := w.open(t, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := srv.Serve(ctx, l.Listener); !errors.Is(err, rpc.ErrServerClosed) {
			t.Errorf("Serve() after Shutdown = %v, want %v", err, rpc.ErrServerClosed)
		}
		_ = l.Close()
	})
}

// TestShutdownOften: any number may shut down at the same time.
func TestShutdownOften(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		g := newGate()
		h := openHall(t, w, gatedMux(g), nil)
		f := rpc.Go[any](t.Context(), h.client(nil), "Wait", []int{})
		g.await(t, 1)
		_ = h.Close()
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if err := h.Shutdown(t.Context()); err != nil {
					t.Errorf("Shutdown() = %v, want nil", err)
				}
			})
		}
		synctest.Wait()
		g.open()
		wg.Wait()
		if _, err := get(t, f); err != nil {
			t.Errorf("the accepted call = %v, want nil", err)
		}
	})
}

// TestShutdownLetsHandlersCallBack: a handler that was accepted may still call
// its caller.
func TestShutdownLetsHandlersCallBack(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Back", func(ctx context.Context, _ struct{}) (int, error) {
			time.Sleep(time.Second)
			r, _ := rpc.FromContext(ctx)
			return rpc.Call[int](ctx, r.Client(), "sum", []int{1, 2})
		})
		h := openHall(t, w, mux, nil)
		f := rpc.Go[int](t.Context(), h.client(&rpc.ClientOptions{Mux: new(journal).mux()}), "Back", nil)
		synctest.Wait()
		done := h.shut(t.Context())
		isValue(t, "Back", f, 3)
		if err := within(t, done, "Shutdown"); err != nil {
			t.Errorf("Shutdown() = %v, want nil", err)
		}
	})
}

// TestShutdownUnderLoad: with many callers in full swing, every call is either
// answered with its result, refused, or its connection has ended; and what was
// executed was answered.
func TestShutdownUnderLoad(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		l := newLedger(200_000)
		h := openHall(t, w, l.mux(), nil)
		var refused, gone counter
		swing := make(chan struct{})
		var wg sync.WaitGroup
		for range 4 {
			c := h.client(nil)
			for range 8 {
				wg.Go(func() {
					for nonce, ok := l.take(); ok; nonce, ok = l.take() {
						if nonce == 2000 {
							close(swing)
						}
						got, err := rpc.Call[[2]int](t.Context(), c, "Spend", []int{nonce})
						l.note(t, nonce, got, err)
						e, answered := errors.AsType[*rpc.Error](err)
						switch {
						case err == nil:
							continue
						case answered && e.Code == rpc.CodeShuttingDown:
							refused.add(1)
							if l.executed[nonce].Load() != 0 {
								t.Errorf("call %d was refused and executed", nonce)
							}
						case rpc.OutcomeOf(err) == rpc.Unknown && l.executed[nonce].Load() != 0:
							t.Errorf("call %d was executed, and its answer lost: %v", nonce, err)
						case answered:
							t.Errorf("call %d = %v", nonce, err)
						default:
							gone.add(1)
							return
						}
					}
				})
			}
		}
		within(t, swing, "2000 calls")
		if err := within(t, h.shut(context.Background()), "Shutdown"); err != nil {
			t.Errorf("Shutdown() = %v, want nil", err)
		}
		wg.Wait()
		executed := 0
		for i := range l.executed {
			executed += int(l.executed[i].Load())
		}
		if answered := l.counts[rpc.Answered].n() - refused.n(); executed != answered {
			t.Errorf("%d calls were executed, %d answered with a result, want the same", executed, answered)
		}
		t.Logf("%d answered, %d refused, %d found the connection gone", executed, refused.n(), gone.n())
	})
}
