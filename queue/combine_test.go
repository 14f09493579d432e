package queue_test

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/queue"
)

func TestOnDone(t *testing.T) {
	for _, early := range []bool{true, false} {
		t.Run(fmt.Sprintf("registered early: %t", early), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := queue.NewPromise[int]()
				if !early {
					p.Resolve(3)
				}
				var mu sync.Mutex
				var got []int
				release := make(chan struct{})
				var ends []*queue.Future[struct{}]
				mu.Lock() // a callback on this goroutine would never end
				for range 3 {
					ends = append(ends, p.Future().OnDone(func(v int, err error) {
						mu.Lock()
						got = append(got, v)
						mu.Unlock()
						<-release
					}))
				}
				p.Resolve(3)
				mu.Unlock()
				synctest.Wait()
				if diff := cmp.Diff([]int{3, 3, 3}, got); diff != "" {
					t.Errorf("callbacks got (-want +got):\n%s", diff)
				}
				open(t, ends[0])
				close(release)
				for _, f := range ends {
					if _, err := f.Get(t.Context()); err != nil {
						t.Errorf("Get() of a callback's end = %v, want nil", err)
					}
				}
			})
		})
	}
}

func TestOnDoneGetsTheError(t *testing.T) {
	var got error
	end := queue.Failed[int](errWork).OnDone(func(_ int, err error) { got = err })
	if _, err := end.Get(t.Context()); err != nil || got != errWork { //nolint:errorlint // it is the very error
		t.Errorf("callback got %v, Get() = %v, want %v, nil", got, err, errWork)
	}
}

// wantPanic checks a PanicError, with the place in its stack.
func wantPanic(t *testing.T, err error, value any, place string) {
	t.Helper()
	pe, ok := errors.AsType[*queue.PanicError](err)
	if !ok {
		t.Errorf("error = %v, want a *PanicError", err)
		return
	}
	if pe.Value != value || !strings.Contains(string(pe.Stack), place) {
		t.Errorf("PanicError of %v with stack %s, want of %v with %s in it", pe.Value, pe.Stack, value, place)
	}
	if want := fmt.Sprintf("queue: panic: %v", value); pe.Error() != want {
		t.Errorf("Error() = %q, want %q", pe.Error(), want)
	}
}

func TestOnDonePanicIsContained(t *testing.T) {
	_, err := queue.Resolved(1).OnDone(func(int, error) { panicHere() }).Get(t.Context())
	wantPanic(t, err, "boom", "panicHere")
}

func TestThen(t *testing.T) {
	for _, tc := range []struct {
		name    string
		f       *queue.Future[int]
		fn      func(int) (string, error)
		want    string
		wantErr error
	}{
		{"value", queue.Resolved(1), func(v int) (string, error) { return strconv.Itoa(v), nil }, "1", nil},
		{"error of fn", queue.Resolved(1), func(int) (string, error) { return "x", errWork }, "", errWork},
		{"error of f", queue.Failed[int](errCause), func(int) (string, error) { panic("called") }, "", errCause},
		{"panic with an error", queue.Resolved(1), func(int) (string, error) { panic(errWork) }, "", errWork},
		{"Goexit", queue.Resolved(1), func(int) (string, error) { runtime.Goexit(); return "", nil }, "", queue.ErrGoexit},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := queue.Then(tc.f, tc.fn)
			f.Get(t.Context())
			result(t, f, tc.want, tc.wantErr)
		})
	}
}

func TestThenLeavesItsParentAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := queue.NewPromise[int]()
		called := func(int) (int, error) {
			t.Error("fn of a canceled future was called")
			return 0, nil
		}
		other := queue.Then(p.Future(), func(v int) (int, error) { return v + 1, nil })
		child := queue.Then(p.Future(), called)
		last := queue.Then(p.Future(), called)
		child.Cancel(nil)
		last.Cancel(nil)
		open(t, p.Future())
		if !p.Resolve(1) {
			t.Error("Resolve() = false: the parent was canceled")
		}
		synctest.Wait()
		result(t, other, 2, nil)
		result(t, child, 0, queue.ErrCanceled)
	})
}

func TestThenChains(t *testing.T) {
	f := queue.Resolved(0)
	for range 1000 {
		f = queue.Then(f, func(v int) (int, error) { return v + 1, nil })
	}
	if v, err := f.Get(t.Context()); v != 1000 || err != nil {
		t.Errorf("Get() = %d, %v, want 1000, nil", v, err)
	}
}

func promises(n int) (ps []*queue.Promise[int], fs []*queue.Future[int]) {
	for range n {
		p := queue.NewPromise[int]()
		ps, fs = append(ps, p), append(fs, p.Future())
	}
	return ps, fs
}

func TestAll(t *testing.T) {
	ps, fs := promises(3)
	all := queue.All(fs...)
	for _, i := range []int{2, 0} {
		ps[i].Resolve(i)
	}
	open(t, all)
	ps[1].Resolve(1)
	got, err := all.Get(t.Context())
	if diff := cmp.Diff([]int{0, 1, 2}, got); diff != "" || err != nil {
		t.Errorf("All() holds error %v and (-want +got):\n%s", err, diff)
	}

	got, err, ok := queue.All[int]().TryGet()
	if !ok || got == nil || len(got) != 0 || err != nil {
		t.Errorf("All of nothing holds %v, %v, %t, want an empty slice, nil, true", got, err, ok)
	}
	same := queue.Resolved(5)
	if got, _, _ := queue.All(same, same).TryGet(); !cmp.Equal(got, []int{5, 5}) {
		t.Errorf("All of the same twice = %v, want [5 5]", got)
	}
}

func TestAllFailsAtOnce(t *testing.T) {
	ps, fs := promises(3)
	all := queue.All(fs...)
	ps[0].Resolve(0)
	ps[2].Reject(errWork)
	if _, err, ok := all.TryGet(); !ok || err != errWork { //nolint:errorlint // it is the very error
		t.Errorf("All() holds %v, %t, want %v, true", err, ok, errWork)
	}
	open(t, fs[1])
	ps[1].Reject(errCause)
	if _, err, _ := all.TryGet(); err != errWork { //nolint:errorlint // it is the very error
		t.Errorf("All() holds %v later, want %v", err, errWork)
	}
	if _, err, _ := queue.All(queue.Failed[int](errWork), fs[0]).TryGet(); err != errWork { //nolint:errorlint // it is the very error
		t.Errorf("All() of a failed future holds %v, want %v", err, errWork)
	}
}

func TestRace(t *testing.T) {
	ps, fs := promises(3)
	race := queue.Race(fs...)
	open(t, race)
	ps[1].Resolve(1)
	ps[0].Resolve(0)
	result(t, race, 1, nil)
	open(t, fs[2])

	ps, fs = promises(2)
	race = queue.Race(fs...)
	ps[1].Reject(errWork)
	result(t, race, 0, errWork)

	result(t, queue.Race(queue.NewPromise[int]().Future(), queue.Resolved(2), queue.Resolved(3)), 2, nil)
	result(t, queue.Race[int](), 0, queue.ErrNoFutures)
}

func TestCancelOfAllAndRaceTouchesNoPart(t *testing.T) {
	_, fs := promises(2)
	all, race := queue.All(fs...), queue.Race(fs...)
	all.Cancel(nil)
	race.Cancel(nil)
	open(t, fs[0])
	open(t, fs[1])
	result(t, race, 0, queue.ErrCanceled)
}

// A future that is never complete must not keep alive those that once watched
// it, or a long-lived one would leak a little with each Race or Then.
func TestNothingKeepsWatching(t *testing.T) {
	forever := queue.NewPromise[int]()
	var collected sync.WaitGroup
	watch := func(f *queue.Future[int]) {
		collected.Add(1)
		runtime.AddCleanup(f, func(wg *sync.WaitGroup) { wg.Done() }, &collected)
	}
	func() {
		p := queue.NewPromise[int]()
		race := queue.Race(forever.Future(), p.Future())
		watch(race)
		failed := queue.Then(queue.All(forever.Future(), p.Future()), func([]int) (int, error) { return 0, nil })
		watch(failed)
		p.Reject(errWork)
		result(t, failed, 0, errWork)
		watch(queue.Race(p.Future(), forever.Future())) // complete before it watches all
		child := queue.Then(forever.Future(), func(int) (int, error) { return 0, nil })
		watch(child)
		child.Cancel(nil)
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		collected.Wait()
	}()
	for i := 0; ; i++ {
		runtime.GC()
		select {
		case <-done:
			runtime.KeepAlive(forever)
			return
		default:
			if i == 1000 {
				t.Fatal("a future that is complete was not collected")
			}
			runtime.Gosched()
		}
	}
}

func TestCombineRaces(t *testing.T) {
	for range 200 {
		ps, fs := promises(4)
		all, race := queue.All(fs...), queue.Race(fs...)
		var wg sync.WaitGroup
		for i, p := range ps {
			wg.Go(func() { p.Resolve(i) })
		}
		wg.Go(func() { queue.Race(fs...).Cancel(nil) })
		wg.Wait()
		if v, err := all.Get(t.Context()); err != nil || !cmp.Equal(v, []int{0, 1, 2, 3}) {
			t.Fatalf("All() holds %v, %v, want [0 1 2 3], nil", v, err)
		}
		if _, err, ok := race.TryGet(); !ok || err != nil {
			t.Fatalf("Race() holds %v, %t, want nil, true", err, ok)
		}
	}
}
