package queue_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/queue"
)

var (
	errWork  = errors.New("work failed")
	errCause = errors.New("cause")
)

// result checks what a future that is complete holds.
func result[T comparable](t *testing.T, f *queue.Future[T], want T, wantErr error) {
	t.Helper()
	got, err, ok := f.TryGet()
	if !ok || got != want || !errors.Is(err, wantErr) {
		t.Errorf("TryGet() = %v, %v, %t, want %v, %v, true", got, err, ok, want, wantErr)
	}
	// Even an ended context does not keep a result back.
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if got, err := f.Get(ended); got != want || !errors.Is(err, wantErr) {
		t.Errorf("Get(ended context) = %v, %v, want %v, %v", got, err, want, wantErr)
	}
	select {
	case <-f.Done():
	default:
		t.Error("Done() is not closed")
	}
}

func open[T any](t *testing.T, f *queue.Future[T]) {
	t.Helper()
	if v, err, ok := f.TryGet(); ok {
		t.Errorf("TryGet() = %v, %v, true, want it not to be complete", v, err)
	}
	select {
	case <-f.Done():
		t.Error("Done() is closed")
	default:
	}
}

func TestFirstCompletionWins(t *testing.T) {
	resolve := func(p *queue.Promise[int]) bool { return p.Resolve(1) }
	reject := func(p *queue.Promise[int]) bool { return p.Reject(errWork) }
	cancel := func(p *queue.Promise[int]) bool { return p.Future().Cancel(errCause) }
	for _, tc := range []struct {
		name    string
		first   func(*queue.Promise[int]) bool
		want    int
		wantErr error
	}{
		{"Resolve", resolve, 1, nil},
		{"Reject", reject, 0, errWork},
		{"Cancel", cancel, 0, queue.ErrCanceled},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := queue.NewPromise[int]()
			open(t, p.Future())
			if !tc.first(p) {
				t.Errorf("%s() = false, want true", tc.name)
			}
			for _, late := range []func(*queue.Promise[int]) bool{resolve, reject, cancel} {
				if late(p) {
					t.Error("a late completion returned true")
				}
			}
			result(t, p.Future(), tc.want, tc.wantErr)
		})
	}
}

func TestZeroPromise(t *testing.T) {
	var p queue.Promise[string]
	p.Resolve("x")
	result(t, p.Future(), "x", nil)
}

func TestResolvedAndFailed(t *testing.T) {
	result(t, queue.Resolved(7), 7, nil)
	result(t, queue.Failed[int](errWork), 0, errWork)
	if _, err, _ := queue.Failed[int](nil).TryGet(); err == nil {
		t.Error("Failed(nil) holds no error")
	}
	p := queue.NewPromise[int]()
	p.Reject(nil)
	if _, err := p.Future().Get(t.Context()); err == nil {
		t.Error("Reject(nil) holds no error")
	}
}

func TestDoneIsOneChannel(t *testing.T) {
	p := queue.NewPromise[int]()
	before := p.Future().Done()
	p.Resolve(1)
	if after := p.Future().Done(); after != before {
		t.Error("Done() returned two channels")
	}
	<-before
}

func TestGetWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := queue.NewPromise[int]()
		start := time.Now()
		time.AfterFunc(time.Minute, func() { p.Resolve(1) })
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if v, err := p.Future().Get(t.Context()); v != 1 || err != nil {
					t.Errorf("Get() = %v, %v, want 1, nil", v, err)
				}
				if got := time.Since(start); got != time.Minute {
					t.Errorf("Get() took %v, want 1m", got)
				}
			})
		}
		wg.Wait()
	})
}

// The end of a wait can be told from a deadline that the work itself missed.
func TestGetBoundsTheWaitOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := queue.NewPromise[int]()
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errCause)
		defer cancel()
		_, err := p.Future().Get(ctx)
		isErr(t, "Get()", err, queue.ErrWait, context.DeadlineExceeded, errCause)
		if got, want := err.Error(), "queue: wait for a future ended: cause"; got != want {
			t.Errorf("Get() = %q, want %q", got, want)
		}
		open(t, p.Future())
		p.Reject(context.DeadlineExceeded)
		_, err = p.Future().Get(t.Context())
		isErr(t, "Get() of work that timed out", err, context.DeadlineExceeded)
		isNot(t, "Get() of work that timed out", err, queue.ErrWait)
	})
}

func TestCancel(t *testing.T) {
	for _, tc := range []struct {
		name  string
		cause error
		want  string
	}{
		{"with a cause", errCause, "queue: future canceled: cause"},
		{"without", nil, "queue: future canceled"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := queue.NewPromise[int]()
			var got []error
			hook := func(cause error) {
				got = append(got, cause)
				if _, _, ok := p.Future().TryGet(); !ok {
					t.Error("hook was called before the future was complete")
				}
				p.Future().Cancel(nil) // no lock is held
			}
			p.OnCancel(hook)
			p.OnCancel(hook)
			if !p.Future().Cancel(tc.cause) {
				t.Error("Cancel() = false, want true")
			}
			p.OnCancel(hook) // at once
			if !slices.Equal(got, []error{tc.cause, tc.cause, tc.cause}) {
				t.Errorf("hooks got %v, want three times %v", got, tc.cause)
			}
			_, err := p.Future().Get(t.Context())
			isErr(t, "Get()", err, queue.ErrCanceled, tc.cause)
			if err.Error() != tc.want {
				t.Errorf("Get() = %q, want %q", err, tc.want)
			}
			if p.Future().Cancel(errWork) {
				t.Error("second Cancel() = true, want false")
			}
			if len(got) != 3 {
				t.Errorf("hooks were called %d times, want 3", len(got))
			}
		})
	}
}

func TestOnCancelIsNotCalledOtherwise(t *testing.T) {
	p := queue.NewPromise[int]()
	hook := func(error) { t.Error("hook was called") }
	p.OnCancel(hook)
	p.Resolve(1)
	p.OnCancel(hook)
	if p.Future().Cancel(nil) {
		t.Error("Cancel() of a complete future = true, want false")
	}
}

// Many goroutines complete the same future at once: one wins, and everybody
// sees the winner's result.
func TestCompletionIsAtomic(t *testing.T) {
	for range 200 {
		p := queue.NewPromise[int]()
		var wins, hooks atomic.Int32
		p.OnCancel(func(error) { hooks.Add(1) })
		var wg sync.WaitGroup
		start := make(chan struct{})
		canceled := make(chan bool, 1)
		for i := range 4 {
			wg.Go(func() {
				<-start
				if p.Resolve(i + 1) {
					wins.Add(1)
				}
			})
			wg.Go(func() {
				if _, err := p.Future().Get(t.Context()); err != nil && !errors.Is(err, queue.ErrCanceled) {
					t.Errorf("Get() = %v", err)
				}
			})
		}
		wg.Go(func() {
			<-start
			won := p.Future().Cancel(nil)
			if won {
				wins.Add(1)
			}
			canceled <- won
		})
		close(start)
		wg.Wait()
		if wins.Load() != 1 {
			t.Fatalf("%d completions won, want 1", wins.Load())
		}
		if won := <-canceled; won != (hooks.Load() == 1) {
			t.Fatalf("Cancel() = %t and the hook was called %d times", won, hooks.Load())
		}
	}
}
