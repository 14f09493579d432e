package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/faultconn"
	"github.com/polyport/polyport/transport/mem"
)

// busyClient returns a client whose only connection waits for the answer to a call
// of Wait, and that call.
func busyClient(t *testing.T, o *rpc.ClientOptions) (*rpc.Client, *gate, *queue.Future[any], *reqHost) {
	t.Helper()
	g := newGate()
	h := serveReq(t, stepMux(g), nil)
	c := h.dialReq(o)
	f := rpc.Go[any](t.Context(), c, "Wait", nil)
	g.await(t, 1)
	return c, g, f, h
}

// TestLockstepOutcomes: what waits was not sent, what has left is unknown.
func TestLockstepOutcomes(t *testing.T) {
	rules := map[string]func(t *testing.T){
		"a future canceled while it waits": func(t *testing.T) {
			c, g, first, _ := busyClient(t, nil)
			f := rpc.Go[any](t.Context(), c, "Wait", nil)
			f.Cancel(errPlain)
			_, err := get(t, f)
			isErr(t, "the future", err, queue.ErrCanceled, errPlain)
			synctest.Wait()
			g.open()
			_, err = get(t, first)
			if err != nil || len(g.entered) != 0 {
				t.Errorf("the call in flight = %v, %d more were served, want nil, 0", err, len(g.entered))
			}
			wantReplaced(t, c, 0)
		},
		"a future canceled while it is served": func(t *testing.T) {
			c, _, first, _ := busyClient(t, nil)
			first.Cancel(nil)
			if err := c.Call(t.Context(), "Echo", nil, nil); err != nil {
				t.Errorf("the next call = %v, want nil", err)
			}
			wantReplaced(t, c, 1)
		},
		"a dial that fails": func(t *testing.T) {
			c, _, first, h := busyClient(t, nil)
			_ = h.Listener.Close()
			first.Cancel(nil)
			synctest.Wait()
			for _, way := range waysToCall {
				err := way.call(t.Context(), c, nil)
				isOutcome(t, way.name+" when nobody listens", err, rpc.NotSent)
				if !strings.Contains(err.Error(), "dial") {
					t.Errorf("%s when nobody listens = %v, want an error about dialing", way.name, err)
				}
			}
			if c.Err() != nil {
				t.Errorf("Err() = %v, want nil", c.Err())
			}
		},
		"Close while calls wait": func(t *testing.T) {
			c, _, first, _ := busyClient(t, nil)
			waiting := rpc.Go[any](t.Context(), c, "Wait", nil)
			note := make(chan error, 1)
			go func() { note <- c.Notify(t.Context(), "Wait", nil) }()
			synctest.Wait()
			start := time.Now()
			if err := c.Close(); err != nil || time.Since(start) > 2*time.Second {
				t.Errorf("Close = %v after %v, want nil at once", err, time.Since(start))
			}
			for _, f := range []struct {
				name string
				err  error
				want rpc.Outcome
			}{
				{"the call in flight", second(get(t, first)), rpc.Unknown},
				{"the call that waits", second(get(t, waiting)), rpc.NotSent},
				{"the notification that waits", within(t, note, "Notify"), rpc.NotSent},
			} {
				isOutcome(t, f.name, f.err, f.want)
				isErr(t, f.name, f.err, rpc.ErrClosed)
			}
		},
		"the server leaves": func(t *testing.T) {
			g := newGate()
			h := serveReq(t, stepMux(g), nil)
			c := h.dialReq(nil)
			call := rpc.Go[any](t.Context(), c, "Wait", nil)
			g.await(t, 1)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_ = h.Shutdown(ctx)
			_, err := get(t, call)
			isOutcome(t, "the call in flight", err, rpc.Unknown)
			isErr(t, "the call in flight", err, transport.ErrClosed)
		},
		"params that cannot be encoded": func(t *testing.T) {
			c := serveReq(t, stepMux(newGate()), nil).dialReq(nil)
			isOutcome(t, "Call", c.Call(t.Context(), "Echo", make(chan int), nil), rpc.NotSent)
			wantReplaced(t, c, 0)
		},
		"a request that is too large": func(t *testing.T) {
			c := serveReq(t, stepMux(newGate()), nil).dialReq(nil)
			err := c.Call(t.Context(), "Echo", []string{strings.Repeat("x", 5<<20)}, nil)
			isOutcome(t, "Call", err, rpc.NotSent)
			isErr(t, "Call", err, transport.ErrTooLarge)
		},
	}
	for _, way := range waysToCall {
		rules[way.name+" that waits longer than its ctx"] = func(t *testing.T) {
			c, g, first, _ := busyClient(t, nil)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := way.call(ctx, c, nil)
			isOutcome(t, way.name, err, rpc.NotSent)
			isErr(t, way.name, err, context.DeadlineExceeded)
			synctest.Wait() // all have heard of the end
			g.open()
			if _, err := get(t, first); err != nil {
				t.Errorf("the call in flight = %v, want nil", err)
			}
			wantReplaced(t, c, 0)
		}
		rules[way.name+" with a full queue"] = func(t *testing.T) {
			c, _, _, _ := busyClient(t, &rpc.ClientOptions{InFlight: 2})
			waiting := rpc.Go[any](t.Context(), c, "Wait", nil)
			defer waiting.Cancel(nil)
			for range 2 {
				go func() { _ = c.Notify(t.Context(), "Wait", nil) }()
			}
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := way.call(ctx, c, nil)
			isOutcome(t, way.name, err, rpc.NotSent)
			isErr(t, way.name, err, context.DeadlineExceeded)
			_ = c.Close()
			synctest.Wait()
		}
		rules[way.name+" that is not answered within its ctx"] = func(t *testing.T) {
			d := &stepDialer{t: t, script: func(int, *transport.Message, func(string), func()) {}}
			c := d.client(rpc.ClientOptions{})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := way.call(ctx, c, nil)
			isOutcome(t, way.name, err, rpc.Unknown)
			isErr(t, way.name, err, context.DeadlineExceeded)
		}
	}
	inBubble(t, rules)
}

func second[T any](_ T, err error) error { return err }

func wantReplaced(t *testing.T, c *rpc.Client, want uint64) {
	t.Helper()
	if s, _ := c.LockstepStats(); s.Replaced != want {
		t.Errorf("stats = %+v, want %d connections replaced", s, want)
	}
}

// TestLockstepCausesKeepApart: the error that ended a call's ctx says nothing of
// the call.
func TestLockstepCausesKeepApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, _, _ := busyClient(t, &rpc.ClientOptions{Conns: 2})
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() {
			cancel(&transport.OpError{Op: "send", Err: transport.ErrBusy}) // which proves that another was not sent
		})
		isOutcome(t, "Call", c.Call(ctx, "Wait", nil, nil), rpc.Unknown)
	})
}

// TestLockstepEndAfterAnswer: a ctx that ends as soon as the answer is there does no
// harm to the connection.
func TestLockstepEndAfterAnswer(t *testing.T) {
	c := serveReq(t, stepMux(newGate()), nil).dialReq(&rpc.ClientOptions{Conns: 4})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for n := range 200 {
				ctx, cancel := context.WithCancel(t.Context())
				var b rpc.Batch
				rpc.Add[any](&b, "Echo", []int{n})
				for _, err := range []error{
					c.Call(ctx, "Echo", []int{n}, nil), c.Notify(ctx, "Echo", []int{n}), second(rpc.Go[any](ctx, c, "Echo", []int{n}).Get(ctx)), c.Do(ctx, &b),
				} {
					if err != nil {
						t.Errorf("call = %v, want nil", err)
					}
				}
				call(ctx, t, c)
				cancel()
			}
		})
	}
	wg.Wait()
	wantReplaced(t, c, 0)
}

func call(ctx context.Context, t *testing.T, c *rpc.Client) {
	t.Helper()
	if err := c.Call(ctx, "Echo", nil, nil); err != nil {
		t.Errorf("Call = %v, want nil", err)
	}
}

// TestLockstepServerIsTold: the handler of a call that nobody waits for any more
// is told, by the end of its connection.
func TestLockstepServerIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := make(chan error, 1)
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Hang", func(ctx context.Context, _ struct{}) (any, error) {
			<-ctx.Done()
			told <- context.Cause(ctx)
			return nil, ctx.Err()
		})
		c := serveReq(t, mux, nil).dialReq(nil)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		isOutcome(t, "Call", c.Call(ctx, "Hang", nil, nil), rpc.Unknown)
		isErr(t, "the cause of the handler's end", within(t, told, "the handler"), transport.ErrClosed)
	})
}

// TestLockstepDeadline: the deadline of a call reaches its handler.
func TestLockstepDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Left", func(ctx context.Context, _ struct{}) (bool, error) {
			d, ok := ctx.Deadline()
			return ok && time.Until(d) <= time.Minute+time.Second, nil
		})
		c := serveReq(t, mux, nil).dialReq(nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if ok, err := rpc.Call[bool](ctx, c, "Left", nil); err != nil || !ok {
			t.Errorf("the handler has the deadline: %v, %v, want true, nil", ok, err)
		}
	})
}

// TestLockstepIdleLoss: the end of an idle connection is noticed, and the next
// call goes by another one.
func TestLockstepIdleLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &stepDialer{t: t, script: func(_ int, m *transport.Message, answer func(string), _ func()) { answer(reply(m, "1")) }}
		c := d.client(rpc.ClientOptions{Conns: 2})
		for n := range 3 {
			if n > 0 {
				d.conns[n-1].fail(&transport.OpError{Op: "receive", Err: transport.ErrClosed})
				synctest.Wait()
			}
			if err := c.Call(t.Context(), "X", nil, nil); err != nil {
				t.Errorf("call %d = %v, want nil", n, err)
			}
		}
		if d.dials() != 3 {
			t.Errorf("dialed %d times, want 3", d.dials())
		}
	})
}

// TestLockstepReconnect: with Reconnect a call waits for a connection within its
// ctx, attempts are paced, and giving up is the end.
func TestLockstepReconnect(t *testing.T) {
	inBubble(t, map[string]func(t *testing.T){
		"a call waits": func(t *testing.T) {
			d, c := lostPool(t, &transport.RedialOptions{})
			for _, way := range waysToCall {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				err := way.call(ctx, c, nil)
				isOutcome(t, way.name+" without a connection", err, rpc.NotSent)
				isErr(t, way.name+" without a connection", err, context.DeadlineExceeded)
				cancel()
			}
			time.AfterFunc(time.Minute, func() { d.down.Store(false) })
			start := time.Now()
			if err := c.Call(t.Context(), "X", nil, nil); err != nil || time.Since(start) > 80*time.Second {
				t.Errorf("the call that waited = %v after %v, want nil after a minute", err, time.Since(start))
			}
		},
		"giving up is the end": func(t *testing.T) {
			_, c := lostPool(t, &transport.RedialOptions{GiveUp: time.Minute})
			err := c.Call(t.Context(), "X", nil, nil)
			isOutcome(t, "the call", err, rpc.NotSent)
			isErr(t, "the call", err, transport.ErrGaveUp)
			within(t, c.Done(), "Done")
			isErr(t, "Err()", c.Err(), transport.ErrGaveUp, transport.ErrClosed)
			isOutcome(t, "a call after the end", c.Call(t.Context(), "X", nil, nil), rpc.NotSent)
		},
		"Close ends the wait": func(t *testing.T) {
			_, c := lostPool(t, &transport.RedialOptions{})
			time.AfterFunc(time.Minute, func() { _ = c.Close() })
			err := c.Call(t.Context(), "X", nil, nil)
			isOutcome(t, "the call", err, rpc.NotSent)
			isErr(t, "the call", err, rpc.ErrClosed)
		},
	})
}

// lostPool returns a client whose connections are lost, and cannot be replaced
// until the dialer is no longer down.
func lostPool(t *testing.T, r *transport.RedialOptions) (*stepDialer, *rpc.Client) {
	t.Helper()
	d := &stepDialer{t: t, script: func(_ int, m *transport.Message, answer func(string), _ func()) { answer(reply(m, "1")) }}
	r.Dial = d.dial
	c := dialClient(t, "mem://nobody", &rpc.ClientOptions{Reconnect: r})
	d.down.Store(true)
	d.conns[0].fail(&transport.OpError{Op: "receive", Err: transport.ErrClosed})
	synctest.Wait()
	return d, c
}

// TestLockstepSingle: a client of one connection that cannot be replaced works
// until an answer fails to come, and says why it ended.
func TestLockstepSingle(t *testing.T) {
	single := func(t *testing.T) (*rpc.Client, *reqHost) {
		t.Helper()
		h := serveReq(t, stepMux(newGate()), nil)
		conn, err := transport.Dial(t.Context(), h.req, &transport.DialOptions{Options: still()})
		if err != nil {
			t.Fatal(err)
		}
		c := rpc.NewClient(conn, &rpc.ClientOptions{Conns: 7})
		t.Cleanup(func() { _ = c.Close() })
		return c, h
	}
	inBubble(t, map[string]func(t *testing.T){
		"calls, one at a time": func(t *testing.T) {
			c, h := single(t)
			var calls []*queue.Future[int]
			for n := range 20 {
				calls = append(calls, rpc.Go[int](t.Context(), c, "Nap", []int{n}))
			}
			for n, f := range calls {
				isValue(t, "Nap", f, n)
			}
			if h.Connections() != 1 {
				t.Errorf("the server has %d connections, want 1", h.Connections())
			}
		},
		"an answer that does not come is the end": func(t *testing.T) {
			c, _ := single(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			late := rpc.Go[int](ctx, c, "Nap", []int{5000})
			next := rpc.Go[int](t.Context(), c, "Nap", []int{1})
			_, err := get(t, late)
			isOutcome(t, "the late call", err, rpc.Unknown)
			_, err = get(t, next)
			isOutcome(t, "the next call", err, rpc.NotSent)
			within(t, c.Done(), "Done")
			if err := c.Err(); !strings.Contains(err.Error(), "no way to dial another") {
				t.Errorf("Err() = %v, want one that says why", err)
			}
		},
		"the end of the idle connection is the end": func(t *testing.T) {
			c, h := single(t)
			isValue(t, "a call, so that the server has the connection", rpc.Go[int](t.Context(), c, "Nap", []int{1}), 1)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_ = h.Shutdown(ctx)
			within(t, c.Done(), "Done")
			isErr(t, "Err()", c.Err(), transport.ErrClosed)
		},
		"a call taken back while it waits is not": func(t *testing.T) {
			c, _ := single(t)
			first := rpc.Go[int](t.Context(), c, "Nap", []int{5000})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			isOutcome(t, "the call that waits", c.Call(ctx, "Nap", []int{1}, nil), rpc.NotSent)
			isValue(t, "the call in flight", first, 5000)
			if c.Err() != nil {
				t.Errorf("Err() = %v, want nil", c.Err())
			}
		},
	})
}

// TestLockstepStorm: among ten thousand calls at once, with random cancels, over
// streams on which things go wrong, each gets its own answer or an error; and one
// that was not sent was not served.
func TestLockstepStorm(t *testing.T) {
	if testing.Short() {
		t.Skip("ten thousand calls")
	}
	synctest.Test(t, func(t *testing.T) {
		const callers = 10_000
		var served [callers]atomic.Int32
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Nonce", func(_ context.Context, n int) (string, error) {
			served[n].Add(1)
			time.Sleep(time.Duration(n%7) * 100 * time.Microsecond)
			return fmt.Sprint("nonce ", n), nil
		})
		network := new(mem.Network)
		ln, err := network.Listen("server")
		if err != nil {
			t.Fatal(err)
		}
		listener := transport.NewListener(ln, mem.Transport{}, &transport.ListenOptions{Options: still()})
		server := rpc.NewServer(mux, nil)
		go func() { _ = server.Serve(context.Background(), listener) }()
		defer func() {
			_ = listener.Close()
			_ = server.Shutdown(context.Background())
		}()
		var dials atomic.Int32
		dial := func(ctx context.Context) (transport.Conn, error) {
			nc, err := network.Dial(ctx, "server")
			if err != nil {
				return nil, err
			}
			faults, err := faultconn.Parse(faultsOf(int(dials.Add(1))))
			if err != nil {
				return nil, err
			}
			u := *testURL
			u.RawQuery = "socket=req"
			c, err := mem.Transport{}.Client(ctx, faultconn.Wrap(nc, faults), &u, &transport.DialOptions{Options: still()})
			if err != nil {
				_ = nc.Close()
			}
			return c, err
		}
		c := dialClient(t, "mem://nobody", &rpc.ClientOptions{
			Conns: 16, InFlight: callers, Reconnect: &transport.RedialOptions{Dial: dial, Most: time.Millisecond},
		})
		var wg sync.WaitGroup
		var outcomes [3]atomic.Int32
		for n := range callers {
			wg.Go(func() {
				ctx := t.Context()
				if n%5 == 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, time.Duration(rand.Int64N(int64(400*time.Millisecond))))
					defer cancel()
				}
				got, err := rpc.Call[string](ctx, c, "Nonce", []int{n})
				outcome := rpc.OutcomeOf(err)
				outcomes[outcome].Add(1)
				switch ran := served[n].Load(); {
				case err == nil && got != fmt.Sprint("nonce ", n):
					t.Errorf("call %d got %q", n, got)
				case outcome == rpc.NotSent && ran != 0, ran > 1:
					t.Errorf("call %d was served %d times, and ended %v: %v", n, ran, outcome, err)
				case outcome == rpc.Unknown && errors.Is(err, rpc.ErrBadAnswer):
					t.Errorf("call %d got an answer that was not its own: %v", n, err)
				}
			})
		}
		wg.Wait()
		s, _ := c.LockstepStats()
		t.Logf("answered %d, not sent %d, unknown %d; %d dials, %+v, %d late",
			outcomes[rpc.Answered].Load(), outcomes[rpc.NotSent].Load(), outcomes[rpc.Unknown].Load(), dials.Load(), s, c.Late())
		if outcomes[rpc.Answered].Load() < callers/2 || outcomes[rpc.NotSent].Load() == 0 || outcomes[rpc.Unknown].Load() == 0 {
			t.Error("the storm was none: want all outcomes, and most calls answered")
		}
	})
}

// faultsOf is what goes wrong on the nth stream. Nothing does that a wire could not
// notice without heart-beats.
func faultsOf(n int) string {
	at := 300 + n*977%9000
	switch n % 4 {
	case 0:
		return fmt.Sprintf("read byte %d cut", at)
	case 1:
		return fmt.Sprintf("write byte %d reset", at)
	case 2:
		return fmt.Sprintf("write byte 0 latency 50us; write byte %d cut", at)
	}
	return fmt.Sprintf("read byte 0 latency 100us; read byte %d reset", at)
}
