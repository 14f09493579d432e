package queue_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/queue"
)

func TestSubmitFuture(t *testing.T) {
	for _, tc := range []struct {
		name    string
		run     func(context.Context) (int, error)
		want    int
		wantErr error
	}{
		{"value", func(context.Context) (int, error) { return 1, nil }, 1, nil},
		{"error", func(context.Context) (int, error) { return 1, errWork }, 0, errWork},
		{"Goexit", func(context.Context) (int, error) { runtime.Goexit(); return 1, nil }, 0, queue.ErrGoexit},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := queue.New(&queue.Options{Workers: 1})
				l := q.Lane(nil)
				f := queue.Submit(t.Context(), l, tc.run)
				f.Get(t.Context())
				result(t, f, tc.want, tc.wantErr)
				_, err, _ := f.TryGet()
				isNot(t, "Get()", err, queue.ErrNotRun)
				submit(t, l, (&trace{}).job("next")) // the worker is well
				closeNow(t, q)
				if s := q.Stats(); s.Done != 2 || s.Panicked != 0 {
					t.Errorf("Stats() = %+v, want Done 2, Panicked 0", s)
				}
			})
		})
	}
}

func TestSubmitPanic(t *testing.T) {
	q := queue.New(nil)
	_, err := queue.Submit(t.Context(), q.Lane(nil), func(context.Context) (int, error) {
		panicHere()
		return 0, nil
	}).Get(t.Context())
	wantPanic(t, err, "boom", "panicHere")
	closeNow(t, q)
}

func never(t *testing.T) func(context.Context) (int, error) {
	return func(context.Context) (int, error) {
		t.Error("run was called")
		return 0, nil
	}
}

// A failed enqueue is a failed future, at once.
func TestSubmitNeverFailsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &trace{}
		q, l, a := full(t, tr, queue.Options{})
		result(t, queue.Submit(t.Context(), l, never(t)), 0, queue.ErrFull)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errCause)
		result(t, queue.Submit(ctx, l, never(t)), 0, errCause)
		l.Close(nil)
		f := queue.Submit(t.Context(), l, never(t))
		result(t, f, 0, queue.ErrClosed)
		result(t, f, 0, queue.ErrNotRun)
		a.release()
		closeNow(t, q)
	})
}

func TestSubmitWaitsNoLongerThanThePolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, l, a := full(t, &trace{}, queue.Options{Policy: queue.BlockFor, BlockFor: time.Second})
		start := time.Now()
		result(t, queue.Submit(t.Context(), l, never(t)), 0, queue.ErrFull)
		if got := time.Since(start); got != time.Second {
			t.Errorf("Submit() took %v, want 1s", got)
		}
		a.release()
		closeNow(t, q)
	})
}

// Whoever waits for a future learns of the end of its context at once, not when
// its turn would have come.
func TestSubmitContextEndsWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(&queue.Options{Workers: 1})
		l := q.Lane(nil)
		a := (&trace{}).held("a")
		submit(t, l, a)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errCause)
		defer cancel()
		f := queue.Submit(ctx, l, never(t))
		start := time.Now()
		_, err := f.Get(t.Context())
		isErr(t, "Get()", err, queue.ErrNotRun, errCause)
		if got := time.Since(start); got != time.Second {
			t.Errorf("Get() took %v, want 1s", got)
		}
		a.release()
		closeNow(t, q)
		if s := q.Stats(); s.Expired != 1 {
			t.Errorf("Stats() = %+v, want Expired 1", s)
		}
	})
}

func TestSubmitContextEndsWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(nil)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errCause)
		defer cancel()
		f := queue.Submit(ctx, q.Lane(nil), func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 0, fmt.Errorf("tidied up: %w", context.Cause(ctx))
		})
		_, err := f.Get(t.Context())
		isErr(t, "Get()", err, errCause)
		isNot(t, "Get()", err, queue.ErrNotRun)
		if got, want := err.Error(), "tidied up: cause"; got != want {
			t.Errorf("Get() = %q, want %q", got, want)
		}
		closeNow(t, q)
	})
}

func TestSubmitCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(&queue.Options{Workers: 1})
		l := q.Lane(nil)
		var got error
		running := queue.Submit(t.Context(), l, func(ctx context.Context) (int, error) {
			<-ctx.Done()
			time.Sleep(time.Hour) // the future does not wait for it
			got = context.Cause(ctx)
			return 1, nil
		})
		waiting := queue.Submit(t.Context(), l, never(t))
		synctest.Wait()
		start := time.Now()
		for _, f := range []*queue.Future[int]{waiting, running} {
			if !f.Cancel(errCause) {
				t.Error("Cancel() = false, want true")
			}
			result(t, f, 0, queue.ErrCanceled)
			result(t, f, 0, errCause)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("Cancel() took %v, want 0", d)
		}
		closeNow(t, q)
		if got != errCause { //nolint:errorlint // it is the very error
			t.Errorf("cause of run's context = %v, want %v", got, errCause)
		}
		if s := q.Stats(); s.Done != 1 || s.Expired != 1 {
			t.Errorf("Stats() = %+v, want Done 1, Expired 1", s)
		}
	})
}

func TestSubmitIsFailedWhenCloseGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(&queue.Options{Workers: 2})
		l := q.Lane(nil)
		deaf := queue.Submit(t.Context(), l, func(context.Context) (int, error) {
			time.Sleep(time.Hour)
			return 1, nil
		})
		polite := queue.Submit(t.Context(), l, func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 0, errWork
		})
		waiting := queue.Submit(t.Context(), l, never(t))
		isErr(t, "Close()", q.Close(soon(t)), context.DeadlineExceeded)
		for _, f := range []*queue.Future[int]{deaf, polite} {
			result(t, f, 0, queue.ErrClosed)
			_, err, _ := f.TryGet()
			isNot(t, "Get() of what ran", err, queue.ErrNotRun)
		}
		result(t, waiting, 0, queue.ErrClosed)
		result(t, waiting, 0, queue.ErrNotRun)
		closeNow(t, q)
	})
}

func TestSubmitDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(&queue.Options{Depth: 1, Workers: 1, Policy: queue.DropOldest})
		l := q.Lane(nil)
		a := (&trace{}).held("a")
		submit(t, l, a)
		old := queue.Submit(t.Context(), l, never(t))
		recent := queue.Submit(t.Context(), l, func(context.Context) (int, error) { return 2, nil })
		result(t, old, 0, queue.ErrDropped)
		result(t, old, 0, queue.ErrNotRun)
		a.release()
		closeNow(t, q)
		result(t, recent, 2, nil)
	})
}

// The context given to run ends with run, so that nothing is left registered
// with its parent.
func TestSubmitReleasesItsContext(t *testing.T) {
	q := queue.New(nil)
	var got context.Context
	queue.Submit(t.Context(), q.Lane(nil), func(ctx context.Context) (int, error) {
		got = ctx //nolint:fatcontext // looked at when run has returned
		return 0, nil
	}).Get(t.Context())
	closeNow(t, q)
	if got.Err() == nil {
		t.Error("run's context goes on after run")
	}
}

// Close, cancel, deadline and the worker race for the same futures: each is
// completed, and one that says it was not run was not.
func TestSubmitRaces(t *testing.T) {
	for round := range 100 {
		q := queue.New(&queue.Options{Depth: 64, Workers: 2})
		l := q.Lane(nil)
		const n = 40
		var fs [n]*queue.Future[int]
		var ran [n]bool
		for i := range fs {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i*round)*time.Microsecond)
			t.Cleanup(cancel)
			fs[i] = queue.Submit(ctx, l, func(ctx context.Context) (int, error) {
				ran[i] = true
				if i%3 == 0 {
					<-ctx.Done()
				}
				return i, nil
			})
			if i%5 == 0 {
				go fs[i].Cancel(nil)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(round)*20*time.Microsecond)
		q.Close(ctx)
		cancel()
		closeNow(t, q)
		for i, f := range fs {
			_, err := f.Get(t.Context())
			if errors.Is(err, queue.ErrNotRun) && ran[i] {
				t.Fatalf("job %d ran, and its future says %v", i, err)
			}
		}
		if s := q.Stats(); s.Done+s.Expired+s.Dropped != s.Accepted {
			t.Fatalf("Stats() = %+v, of which the parts do not add up", s)
		}
	}
}
