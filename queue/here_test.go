package queue_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/queue"
)

// TestRunHere: it runs what Submit would start at once, and nothing else.
func TestRunHere(t *testing.T) {
	for _, tt := range []struct {
		name    string
		o       queue.Options
		lane    queue.LaneOptions
		prepare func(t *testing.T, q *queue.Queue, l *queue.Lane, tr *trace) (undo func())
		want    bool
	}{
		{"idle", queue.Options{}, queue.LaneOptions{}, func(*testing.T, *queue.Queue, *queue.Lane, *trace) func() { return func() {} }, true},
		{"one runs beside it", queue.Options{Workers: 2}, queue.LaneOptions{}, func(t *testing.T, _ *queue.Queue, l *queue.Lane, tr *trace) func() {
			a := tr.held("a")
			submit(t, l, a)
			return a.release
		}, true},
		{"no worker", queue.Options{Workers: 1}, queue.LaneOptions{}, func(t *testing.T, q *queue.Queue, _ *queue.Lane, tr *trace) func() {
			a := tr.held("a")
			submit(t, q.Lane(nil), a)
			return a.release
		}, false},
		{"the lane is narrow", queue.Options{}, queue.LaneOptions{Width: 1}, func(t *testing.T, _ *queue.Queue, l *queue.Lane, tr *trace) func() {
			a := tr.held("a")
			submit(t, l, a)
			return a.release
		}, false},
		{"the lane is paused", queue.Options{}, queue.LaneOptions{}, func(_ *testing.T, _ *queue.Queue, l *queue.Lane, _ *trace) func() {
			l.Pause()
			return l.Resume
		}, false},
		{"another waits in the lane", queue.Options{Workers: 2}, queue.LaneOptions{}, func(t *testing.T, _ *queue.Queue, l *queue.Lane, tr *trace) func() {
			l.Pause()
			submit(t, l, tr.job("a"))
			return l.Resume
		}, false},
		{"the lane is closed", queue.Options{}, queue.LaneOptions{}, func(_ *testing.T, _ *queue.Queue, l *queue.Lane, _ *trace) func() {
			l.Close(nil)
			return func() {}
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := &trace{}
				q := queue.New(&tt.o)
				l := q.Lane(&tt.lane)
				undo := tt.prepare(t, q, l, tr)
				synctest.Wait()
				tr.take()
				if got := l.RunHere(t.Context(), tr.job("here")); got != tt.want {
					t.Errorf("RunHere = %v, want %v", got, tt.want)
				}
				if tt.want {
					tr.wantSet(t, "at once", "run here")
				}
				undo()
				closeNow(t, q)
				if s := q.Stats(); s.Accepted != s.Done || s.Running != 0 {
					t.Errorf("Stats() = %+v, want all that was accepted done", s)
				}
			})
		})
	}
}

// TestRunHereEndedContext: it is for Submit to say so.
func TestRunHereEndedContext(t *testing.T) {
	q := queue.New(nil)
	defer closeNow(t, q)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if q.Lane(nil).RunHere(ctx, (&trace{}).job("a")) {
		t.Error("RunHere with a context that has ended = true, want false")
	}
}

// TestRunHereCounts: a job that runs here takes the place of a worker, and
// Close waits for it.
func TestRunHereCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &trace{}
		q := queue.New(&queue.Options{Workers: 1})
		a := tr.held("a")
		go q.Lane(nil).RunHere(t.Context(), a)
		synctest.Wait()
		submit(t, q.Lane(nil), tr.job("b"))
		synctest.Wait()
		tr.want(t, "while it runs", "run a")
		if s := q.Stats(); s.Running != 1 || s.Waiting != 1 {
			t.Errorf("Stats() = %+v, want one running and one waiting", s)
		}
		closed := make(chan error, 1)
		go func() { closed <- q.Close(t.Context()) }()
		time.Sleep(time.Hour)
		select {
		case <-closed:
			t.Error("Close returned while it runs")
		default:
		}
		a.release()
		if err := <-closed; err != nil {
			t.Errorf("Close() = %v, want nil", err)
		}
		tr.want(t, "after it", "run b")
	})
}

// ender is a job that does f.
type ender func()

func (f ender) Run(context.Context) { f() }
func (ender) Drop(error)            {}

// TestRunHereEndsAnyhow: what a job does to its goroutine leaves the accounts
// right.
func TestRunHereEndsAnyhow(t *testing.T) {
	for name, f := range map[string]func(){"panic": func() { panic("x") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			q := queue.New(nil)
			done := make(chan struct{})
			go func() {
				defer close(done)
				q.Lane(nil).RunHere(t.Context(), ender(f))
			}()
			<-done
			want := uint64(map[string]int{"panic": 1}[name])
			if s := q.Stats(); s.Running != 0 || s.Done != 1 || s.Panicked != want {
				t.Errorf("Stats() = %+v, want Done 1, Running 0 and Panicked %d", s, want)
			}
			closeNow(t, q)
		})
	}
}
