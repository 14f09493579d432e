package queue_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/queue"
)

// A wire stands for the peer of a lock-step protocol. It makes connections, and
// knows if one of them is misused.
type wire struct {
	t       *testing.T
	mu      sync.Mutex
	conns   []*wireConn
	openErr error
	delay   time.Duration // of an open
}

// A wireConn answers "x" with "x!" after what the request asks for.
type wireConn struct {
	w      *wire
	n      int
	busy   atomic.Int32
	closed chan struct{}
	closes atomic.Int32
	failed atomic.Bool
}

func (w *wire) open(ctx context.Context) (queue.Exchanger[string, string], error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.delay > 0 {
		select {
		case <-time.After(w.delay):
		case <-ctx.Done():
			return nil, fmt.Errorf("open: %w", ctx.Err())
		}
	}
	if w.openErr != nil {
		return nil, w.openErr
	}
	c := &wireConn{w: w, n: len(w.conns) + 1, closed: make(chan struct{})}
	w.conns = append(w.conns, c)
	return c, nil
}

// Exchange obeys requests: "fail", "panic", "goexit", "deaf" (ignores ctx and
// answers late), "hang" (until Close), "slow" (an hour, obeying ctx), "timed"
// (a second), and answers any other at once.
func (c *wireConn) Exchange(ctx context.Context, r string) (string, error) {
	if c.busy.Add(1) != 1 || c.failed.Load() || c.closes.Load() > 0 && ctx.Err() == nil {
		c.w.t.Errorf("connection %d was given %q while busy, failed or closed", c.n, r)
	}
	defer c.busy.Add(-1)
	what, _, _ := strings.Cut(r, " ")
	switch what {
	case "fail":
		c.failed.Store(true)
		return "", errWork
	case "panic":
		c.failed.Store(true)
		panicHere()
	case "goexit":
		c.failed.Store(true)
		runtime.Goexit()
	case "deaf":
		c.failed.Store(true)
		time.Sleep(10 * time.Second)
	case "hang":
		c.failed.Store(true)
		<-c.closed
		return "", errors.New("use of closed connection")
	case "slow":
		select {
		case <-time.After(time.Hour):
		case <-ctx.Done():
			c.failed.Store(true)
			return "", ctx.Err()
		}
	case "timed":
		time.Sleep(time.Second)
	}
	return fmt.Sprintf("%s from %d", r, c.n), nil
}

func (c *wireConn) Close() error {
	if c.closes.Add(1) != 1 {
		c.w.t.Errorf("connection %d was closed twice", c.n)
	}
	close(c.closed)
	return nil
}

// closeLockstep closes l and checks that no connection is left open.
func (w *wire) closeLockstep(l *queue.Lockstep[string, string]) {
	w.t.Helper()
	if err := l.Close(context.Background()); err != nil {
		w.t.Errorf("Close() = %v, want nil", err)
	}
	for _, c := range w.conns {
		if c.closes.Load() != 1 {
			w.t.Errorf("connection %d was closed %d times, want once", c.n, c.closes.Load())
		}
	}
	if got := l.Stats().Open; got != 0 {
		w.t.Errorf("Stats().Open = %d after Close, want 0", got)
	}
}

func TestLockstepReusesAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{t: t}
		l := queue.NewLockstep(w.open, nil)
		if len(w.conns) != 0 {
			t.Error("a connection was opened before it was needed")
		}
		var fs []*queue.Future[string]
		for i := range 5 {
			fs = append(fs, l.Do(t.Context(), fmt.Sprint("timed ", i)))
		}
		start := time.Now()
		for i, f := range fs {
			if v, err := f.Get(t.Context()); v != fmt.Sprintf("timed %d from 1", i) || err != nil {
				t.Errorf("Do(%d) = %q, %v", i, v, err)
			}
			if got, want := time.Since(start), time.Duration(i+1)*time.Second; got != want {
				t.Errorf("Do(%d) took %v, want %v: one at a time, in order", i, got, want)
			}
		}
		synctest.Wait()
		if s := l.Stats(); s.Open != 1 || s.Opened != 1 || s.Replaced != 0 || s.Queue.Done != 5 {
			t.Errorf("Stats() = %+v, want Open 1, Opened 1, Replaced 0, Done 5", s)
		}
		w.closeLockstep(l)
	})
}

func TestLockstepConns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{t: t}
		l := queue.NewLockstep(w.open, &queue.LockstepOptions{Conns: 3})
		start := time.Now()
		var fs []*queue.Future[string]
		for range 9 {
			fs = append(fs, l.Do(t.Context(), "timed"))
		}
		if _, err := queue.All(fs...).Get(t.Context()); err != nil {
			t.Errorf("All() = %v, want nil", err)
		}
		if got := time.Since(start); got != 3*time.Second {
			t.Errorf("nine requests took %v, want 3s", got)
		}
		if got := l.Stats().Opened; got != 3 {
			t.Errorf("Stats().Opened = %d, want 3", got)
		}
		w.closeLockstep(l)
	})
}

// After whatever went wrong the connection is replaced, the next request goes
// over a new one, and the answer to the last is never its answer.
func TestLockstepReplaces(t *testing.T) {
	for _, tc := range []struct {
		req  string
		end  func(*queue.Future[string], context.CancelFunc)
		want error
		took time.Duration
		late uint64
	}{
		{"fail", nil, errWork, 0, 0},
		{"goexit", nil, queue.ErrGoexit, 0, 0},
		{"slow", nil, queue.ErrTimeout, 5 * time.Second, 0},
		{"hang", nil, context.DeadlineExceeded, 5 * time.Second, 0},
		{"deaf", nil, queue.ErrTimeout, 5 * time.Second, 1},
		{"slow by cancel", func(f *queue.Future[string], _ context.CancelFunc) { f.Cancel(errCause) }, errCause, time.Second, 0},
		{"deaf by cancel", func(f *queue.Future[string], _ context.CancelFunc) { f.Cancel(nil) }, queue.ErrCanceled, time.Second, 1},
		{"hang by context", func(_ *queue.Future[string], cancel context.CancelFunc) { cancel() }, context.Canceled, time.Second, 0},
		{"deaf by context", func(_ *queue.Future[string], cancel context.CancelFunc) { cancel() }, context.Canceled, time.Second, 1},
	} {
		t.Run(tc.req, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{t: t}
				l := queue.NewLockstep(w.open, &queue.LockstepOptions{Timeout: 5 * time.Second})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				start := time.Now()
				f := l.Do(ctx, tc.req)
				next := l.Do(t.Context(), "next")
				if tc.end != nil {
					time.AfterFunc(time.Second, func() { tc.end(f, cancel) })
				}
				_, err := f.Get(t.Context())
				isErr(t, "Get()", err, tc.want)
				isNot(t, "Get()", err, queue.ErrNotSent)
				if got := time.Since(start); got != tc.took {
					t.Errorf("Get() took %v, want %v", got, tc.took)
				}
				if v, err := next.Get(t.Context()); v != "next from 2" || err != nil {
					t.Errorf("next Get() = %q, %v, want %q, nil", v, err, "next from 2")
				}
				synctest.Wait()
				s := l.Stats()
				if s.Opened != 2 || s.Open != 1 || s.Replaced != 1 || s.Late != tc.late {
					t.Errorf("Stats() = %+v, want Opened 2, Open 1, Replaced 1, Late %d", s, tc.late)
				}
				w.closeLockstep(l)
			})
		})
	}
}

// mortal is a wireConn that can be found dead.
type mortal struct {
	*wireConn
	dead *atomic.Bool
}

func (m mortal) Alive() bool { return !m.dead.Load() }

// TestLockstepFindsTheDead: an idle connection that says that it has ended is
// replaced before anything is sent by it.
func TestLockstepFindsTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{t: t}
		var lives []*atomic.Bool
		open := func(ctx context.Context) (queue.Exchanger[string, string], error) {
			c, err := w.open(ctx)
			if err != nil {
				return nil, err
			}
			lives = append(lives, new(atomic.Bool))
			return mortal{c.(*wireConn), lives[len(lives)-1]}, nil
		}
		l := queue.NewLockstep(open, nil)
		for n := range 4 {
			if n%2 == 1 {
				lives[len(lives)-1].Store(true)
			}
			if got, err := l.Do(t.Context(), "x").Get(t.Context()); !strings.HasPrefix(got, "x from") || err != nil {
				t.Errorf("Do = %q, %v, want an answer to x, nil", got, err)
			}
			synctest.Wait()
		}
		if s := l.Stats(); s.Open != 1 || s.Opened != 3 || s.Replaced != 2 {
			t.Errorf("Stats = %+v, want 3 connections opened and 2 replaced", s)
		}
		w.closeLockstep(l)
	})
}

func TestLockstepPanic(t *testing.T) {
	w := &wire{t: t}
	l := queue.NewLockstep(w.open, nil)
	_, err := l.Do(t.Context(), "panic").Get(t.Context())
	wantPanic(t, err, "boom", "panicHere")
	if v, err := l.Do(t.Context(), "a").Get(t.Context()); v != "a from 2" || err != nil {
		t.Errorf("Do() after a panic = %q, %v, want %q, nil", v, err, "a from 2")
	}
	w.closeLockstep(l)
}

// What was never given to an Exchanger says so.
func TestLockstepNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{t: t}
		l := queue.NewLockstep(w.open, &queue.LockstepOptions{Depth: 2, Timeout: 5 * time.Second})
		notSent := func(what string, f *queue.Future[string], want error) {
			t.Helper()
			_, err := f.Get(t.Context())
			isErr(t, what, err, queue.ErrNotSent, want)
		}

		busy := l.Do(t.Context(), "timed")
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		expires, canceled := l.Do(ctx, "never"), l.Do(t.Context(), "never")
		notSent("Do() when full", l.Do(t.Context(), "never"), queue.ErrFull)
		notSent("Do() that expires", expires, context.DeadlineExceeded)
		canceled.Cancel(errCause)
		result(t, canceled, "", errCause)
		if v, err := busy.Get(t.Context()); v != "timed from 1" || err != nil {
			t.Errorf("Do() = %q, %v, want an answer", v, err)
		}
		l.Do(t.Context(), "fail").Get(t.Context())

		w.openErr = errWork
		notSent("Do() that cannot open", l.Do(t.Context(), "never"), errWork)
		w.openErr, w.delay = nil, time.Hour
		start := time.Now()
		notSent("Do() that opens for too long", l.Do(t.Context(), "never"), queue.ErrTimeout)
		if got := time.Since(start); got != 5*time.Second {
			t.Errorf("open was given %v, want 5s", got)
		}
		ctx, cancel = context.WithTimeoutCause(t.Context(), time.Second, errCause)
		defer cancel()
		notSent("Do() whose context ends while it opens", l.Do(ctx, "never"), errCause)

		w.delay = 0
		if v, err := l.Do(t.Context(), "a").Get(t.Context()); v != "a from 2" || err != nil {
			t.Errorf("Do() = %q, %v, want %q, nil", v, err, "a from 2")
		}
		w.closeLockstep(l)
		notSent("Do() after Close", l.Do(t.Context(), "never"), queue.ErrClosed)
	})
}

func TestLockstepOpenPanics(t *testing.T) {
	for name, tc := range map[string]struct {
		fail  func()
		value any
	}{
		"boom":   {panicHere, "boom"},
		"goexit": {runtime.Goexit, queue.ErrGoexit},
	} {
		t.Run(name, func(t *testing.T) {
			l := queue.NewLockstep(func(context.Context) (queue.Exchanger[int, int], error) {
				tc.fail()
				return nil, nil
			}, nil)
			for range 2 {
				_, err := l.Do(t.Context(), 1).Get(t.Context())
				isErr(t, "Get()", err, queue.ErrNotSent)
				if pe, ok := errors.AsType[*queue.PanicError](err); !ok || pe.Value != tc.value {
					t.Errorf("Get() = %v, want a *PanicError with %v", err, tc.value)
				}
			}
			if err := l.Close(t.Context()); err != nil {
				t.Errorf("Close() = %v, want nil", err)
			}
		})
	}
}

// The connection that was opened for a request whose context has ended by then
// is as good as new: the next request has it.
func TestLockstepKeepsAnUnusedConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{t: t}
		l := queue.NewLockstep(func(context.Context) (queue.Exchanger[string, string], error) {
			time.Sleep(2 * time.Second) // deaf
			return w.open(t.Context())
		}, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := l.Do(ctx, "never").Get(t.Context())
		isErr(t, "Get()", err, queue.ErrNotSent, context.DeadlineExceeded)
		if got := time.Since(start); got != time.Second {
			t.Errorf("Get() took %v, want 1s", got)
		}
		if v, err := l.Do(t.Context(), "a").Get(t.Context()); v != "a from 1" || err != nil {
			t.Errorf("Do() = %q, %v, want %q, nil", v, err, "a from 1")
		}
		w.closeLockstep(l)
	})
}

func TestLockstepCloseGivesUp(t *testing.T) {
	for _, req := range []string{"slow", "hang", "deaf"} {
		t.Run(req, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{t: t}
				l := queue.NewLockstep(w.open, nil)
				sent, waiting := l.Do(t.Context(), req), l.Do(t.Context(), "never")
				isErr(t, "Close()", l.Close(soon(t)), context.DeadlineExceeded)
				result(t, sent, "", queue.ErrClosed)
				_, err, _ := sent.TryGet()
				isNot(t, "Get() of what was sent", err, queue.ErrNotSent)
				result(t, waiting, "", queue.ErrNotSent)
				result(t, waiting, "", queue.ErrClosed)
				w.closeLockstep(l)
			})
		})
	}
}

// A connection whose opening ends after Close gave up is closed, too.
func TestLockstepOpenEndsAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{t: t}
		l := queue.NewLockstep(func(context.Context) (queue.Exchanger[string, string], error) {
			time.Sleep(time.Minute) // deaf
			return w.open(t.Context())
		}, nil)
		f := l.Do(context.Background(), "never")
		synctest.Wait()
		isErr(t, "Close()", l.Close(soon(t)), context.DeadlineExceeded)
		result(t, f, "", queue.ErrNotSent)
		result(t, f, "", queue.ErrClosed)
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(w.conns) != 1 || w.conns[0].closes.Load() != 1 {
			t.Errorf("%d connections were opened, want one, and want it closed", len(w.conns))
		}
		w.closeLockstep(l)
	})
}

func TestLockstepCloseDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{t: t}
		l := queue.NewLockstep(w.open, &queue.LockstepOptions{Policy: queue.Block})
		a, b := l.Do(t.Context(), "timed a"), l.Do(t.Context(), "timed b")
		w.closeLockstep(l)
		result(t, a, "timed a from 1", nil)
		result(t, b, "timed b from 1", nil)
	})
}

// badClose is an Exchanger whose Close goes wrong.
type badClose struct{ err error }

func (badClose) Exchange(_ context.Context, r int) (int, error) {
	if r < 0 {
		return 0, errWork
	}
	return r, nil
}

func (b badClose) Close() error {
	if b.err == nil {
		panicHere()
	}
	return b.err
}

func TestLockstepCloseErrors(t *testing.T) {
	errs := []error{errCause, nil}
	l := queue.NewLockstep(func(context.Context) (queue.Exchanger[int, int], error) {
		err := errs[0]
		errs = errs[1:]
		return badClose{err}, nil
	}, &queue.LockstepOptions{Conns: 1})
	_, err := l.Do(t.Context(), -1).Get(t.Context())
	isErr(t, "Get()", err, errWork)
	isNot(t, "Get()", err, errCause)
	if v, err := l.Do(t.Context(), 1).Get(t.Context()); v != 1 || err != nil {
		t.Errorf("Do() = %d, %v, want 1, nil", v, err)
	}
	wantPanic(t, l.Close(t.Context()), "boom", "panicHere")
	if err := l.Close(t.Context()); err != nil {
		t.Errorf("second Close() = %v, want nil", err)
	}
}

func TestNewLockstepPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("NewLockstep(nil) did not panic")
		}
	}()
	queue.NewLockstep[int, int](nil, nil)
}

func TestLockstepDefaults(t *testing.T) {
	for _, o := range []*queue.LockstepOptions{nil, {}, {Conns: -1, Depth: -1, Timeout: -1}} {
		synctest.Test(t, func(t *testing.T) {
			w := &wire{t: t}
			l := queue.NewLockstep(w.open, o)
			want := queue.LockstepStats{Queue: queue.Stats{Capacity: 1024, Workers: 1}}
			if diff := cmp.Diff(want, l.Stats()); diff != "" {
				t.Errorf("Stats() (-want +got):\n%s", diff)
			}
			start := time.Now()
			_, err := l.Do(t.Context(), "slow").Get(t.Context())
			isErr(t, "Get()", err, queue.ErrTimeout)
			if got := time.Since(start); got != 30*time.Second {
				t.Errorf("timeout after %v, want 30s", got)
			}
			w.closeLockstep(l)
		})
	}
}

// Many callers, short timeouts and a peer that is often late: no one may ever
// get the answer to another's request.
func TestLockstepNeverMixesAnswers(t *testing.T) {
	var wrong atomic.Int32
	l := queue.NewLockstep(func(context.Context) (queue.Exchanger[int, int], error) {
		return &lateConn{wrong: &wrong}, nil
	}, &queue.LockstepOptions{Conns: 4, Timeout: time.Millisecond, Policy: queue.Block})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 100 {
				r := g*1000 + i
				f := l.Do(t.Context(), r)
				if i%5 == 0 {
					f.Cancel(nil)
				}
				if v, err := f.Get(t.Context()); err == nil && v != r {
					t.Errorf("Do(%d) = %d", r, v)
				}
			}
		})
	}
	wg.Wait()
	if err := l.Close(context.Background()); err != nil {
		t.Errorf("Close() = %v, want nil", err)
	}
	if n := wrong.Load(); n != 0 {
		t.Errorf("a connection was misused %d times", n)
	}
	s := l.Stats()
	if s.Opened > s.Replaced+4 {
		t.Errorf("Stats() = %+v, want at most four connections that were not replaced", s)
	}
	t.Logf("%+v", s)
}

// A lateConn answers with the oldest request that it has not answered yet, as a
// socket would whose reader gave up on an answer.
type lateConn struct {
	wrong   *atomic.Int32
	pending []int
	busy    atomic.Bool
	closed  atomic.Bool
}

func (c *lateConn) Exchange(ctx context.Context, r int) (int, error) {
	if !c.busy.CompareAndSwap(false, true) || c.closed.Load() && ctx.Err() == nil {
		c.wrong.Add(1)
	}
	defer c.busy.Store(false)
	c.pending = append(c.pending, r)
	if r%4 == 0 {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	answer := c.pending[0]
	c.pending = c.pending[1:]
	return answer, nil
}

func (c *lateConn) Close() error {
	if c.closed.Swap(true) {
		c.wrong.Add(1)
	}
	return nil
}
