package queue_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/queue"
)

func TestRunGetsTheSubmitContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(nil)
		type key struct{}
		ctx := context.WithValue(t.Context(), key{}, 1)
		tr := &trace{}
		var got context.Context
		p := tr.job("a")
		p.do = func(ctx context.Context) { got = ctx } //nolint:fatcontext // the identity is what is tested
		if err := q.Lane(nil).Submit(ctx, p); err != nil {
			t.Fatalf("Submit() = %v, want nil", err)
		}
		tr.want(t, "after Submit", "run a")
		if got != ctx {
			t.Errorf("Run got context %v, want %v", got, ctx)
		}
		closeNow(t, q)
	})
}

func TestJobsOfOneLaneStartInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(&queue.Options{Workers: 1})
		l := q.Lane(nil)
		tr := &trace{}
		a := tr.held("a")
		submit(t, l, a, tr.job("b"), tr.job("c"), tr.job("d"))
		tr.want(t, "while a runs", "run a")
		a.release()
		tr.want(t, "after a", "run b", "run c", "run d")
		closeNow(t, q)
	})
}

func TestWidthBoundsALaneAlone(t *testing.T) {
	for _, tc := range []struct {
		name  string
		width int
		want  []string
	}{
		{"no limit", 0, []string{"run a", "run b", "run c", "run x"}},
		{"negative is no limit", -1, []string{"run a", "run b", "run c", "run x"}},
		{"one", 1, []string{"run a", "run x"}},
		{"two", 2, []string{"run a", "run b", "run x"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := queue.New(nil)
				l := q.Lane(&queue.LaneOptions{Width: tc.width})
				tr := &trace{}
				jobs := []*probe{tr.held("a"), tr.held("b"), tr.held("c")}
				submit(t, l, jobs...)
				submit(t, q.Lane(nil), tr.job("x"))
				tr.wantSet(t, "with all submitted", tc.want...)
				for _, p := range jobs {
					p.release()
				}
				closeNow(t, q)
				if got := q.Stats().Done; got != 4 {
					t.Errorf("Stats().Done = %d, want 4", got)
				}
			})
		})
	}
}

func TestWidthOneNeverOverlaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(nil)
		l := q.Lane(&queue.LaneOptions{Width: 1})
		tr := &trace{}
		var want []string
		for name := range strings.SplitSeq("abcdefgh", "") {
			p := tr.job(name)
			p.do = func(context.Context) {
				time.Sleep(time.Second)
				tr.add("end " + name)
			}
			submit(t, l, p)
			want = append(want, "run "+name, "end "+name)
		}
		closeNow(t, q)
		tr.want(t, "after Close", want...)
	})
}

// A worker that has a job in hand is not the only one: those that are parked
// are used again before another goroutine is started.
func TestWorkersAreStartedOnDemandAndReused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(&queue.Options{Workers: 4})
		l := q.Lane(nil)
		tr := &trace{}
		started := func(want int) {
			t.Helper()
			synctest.Wait()
			got := workers()
			for range 1000 { // one that has ended its work may not be gone yet
				if got <= want {
					break
				}
				runtime.Gosched()
				got = workers()
			}
			if got != want {
				t.Errorf("workers = %d, want %d", got, want)
			}
		}
		started(0)
		for range 100 {
			submit(t, l, tr.job("x"))
			synctest.Wait()
		}
		started(1)
		var held []*probe
		for range 6 {
			held = append(held, tr.held("y"))
		}
		submit(t, l, held...)
		started(4)
		for _, p := range held {
			p.release()
		}
		started(4)
		closeNow(t, q)
		started(0)
	})
}

// workers is how many goroutines of queues there are.
func workers() int {
	all := make([]byte, 1<<20)
	all = all[:runtime.Stack(all, true)]
	return bytes.Count(all, []byte("queue.(*Queue).work("))
}

func TestSubmitRefuses(t *testing.T) {
	cause := errors.New("cause")
	ended, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	for _, tc := range []struct {
		name string
		ctx  context.Context
		prep func(*queue.Queue, *queue.Lane)
		want error
	}{
		{"ended context", ended, nil, cause},
		{"closed lane", context.Background(), func(_ *queue.Queue, l *queue.Lane) { l.Close(nil) }, queue.ErrClosed},
		{"closed queue", context.Background(), func(q *queue.Queue, _ *queue.Lane) { q.Close(context.Background()) }, queue.ErrClosed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := queue.New(nil)
				l := q.Lane(nil)
				if tc.prep != nil {
					tc.prep(q, l)
				}
				tr := &trace{}
				if err := l.Submit(tc.ctx, tr.job("a")); err != tc.want { //nolint:errorlint // it is the very error
					t.Errorf("Submit() = %v, want %v", err, tc.want)
				}
				jobs := []queue.Job{tr.job("b"), tr.job("c")}
				if err := l.SubmitAll(tc.ctx, jobs); err != tc.want { //nolint:errorlint // it is the very error
					t.Errorf("SubmitAll() = %v, want %v", err, tc.want)
				}
				closeNow(t, q)
				tr.want(t, "after Close")
				if got := q.Stats().Rejected; got != 3 {
					t.Errorf("Stats().Rejected = %d, want 3", got)
				}
			})
		})
	}
}

func TestLaneOfAClosedQueue(t *testing.T) {
	q := queue.New(nil)
	closeNow(t, q)
	isErr(t, "Submit()", q.Lane(nil).Submit(t.Context(), (&trace{}).job("a")), queue.ErrClosed)
}

func TestSubmitAllIsOneUnit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(&queue.Options{Depth: 4, Workers: 1})
		l := q.Lane(&queue.LaneOptions{Depth: 3})
		tr := &trace{}
		unit := func(names string) (jobs []queue.Job) {
			for name := range strings.SplitSeq(names, "") {
				jobs = append(jobs, tr.job(name))
			}
			return jobs
		}
		if err := l.SubmitAll(t.Context(), nil); err != nil {
			t.Errorf("SubmitAll(nothing) = %v, want nil", err)
		}
		isErr(t, "SubmitAll(larger than the lane, all idle)", l.SubmitAll(t.Context(), unit("1234")), queue.ErrFull)
		a := tr.held("a")
		submit(t, l, a)
		if err := l.SubmitAll(t.Context(), unit("bc")); err != nil {
			t.Errorf("SubmitAll(bc) = %v, want nil", err)
		}
		isErr(t, "SubmitAll(de) with one place", l.SubmitAll(t.Context(), unit("de")), queue.ErrFull)
		submit(t, l, tr.job("f"))
		tr.want(t, "while a runs", "run a")
		a.release()
		tr.want(t, "after a", "run b", "run c", "run f")

		// The unit's first job needs no place when it starts at once.
		if err := l.SubmitAll(t.Context(), unit("ghi")); err != nil {
			t.Errorf("SubmitAll(ghi) = %v, want nil", err)
		}
		tr.want(t, "after the last unit", "run g", "run h", "run i")
		closeNow(t, q)
		want := queue.Stats{Capacity: 4, Workers: 1, Accepted: 7, Rejected: 6, Done: 7}
		if diff := cmp.Diff(want, q.Stats()); diff != "" {
			t.Errorf("Stats() (-want +got):\n%s", diff)
		}
	})
}

func TestJobWhoseContextEndedIsDroppedUnrun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(&queue.Options{Workers: 1})
		l := q.Lane(nil)
		tr := &trace{}
		a := tr.held("a")
		submit(t, l, a)
		ctx, cancel := context.WithCancelCause(t.Context())
		if err := l.Submit(ctx, tr.job("b")); err != nil {
			t.Fatalf("Submit(b) = %v, want nil", err)
		}
		submit(t, l, tr.job("c"))
		cancel(errors.New("no longer wanted"))
		tr.want(t, "while a runs", "run a")
		a.release()
		tr.want(t, "after a", "drop b: no longer wanted", "run c")
		closeNow(t, q)
		want := queue.Stats{Capacity: 1024, Workers: 1, Accepted: 3, Done: 2, Expired: 1}
		if diff := cmp.Diff(want, q.Stats()); diff != "" {
			t.Errorf("Stats() (-want +got):\n%s", diff)
		}
	})
}

// Jobs that are dead already must not keep a live one out.
func TestDeadJobsGiveUpTheirPlaces(t *testing.T) {
	for _, policy := range []queue.Policy{queue.Reject, queue.Block, queue.BlockFor, queue.DropOldest} {
		t.Run(policy.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := queue.New(&queue.Options{Depth: 3, Workers: 1, Policy: policy})
				l := q.Lane(nil)
				tr := &trace{}
				a := tr.held("a")
				submit(t, l, a)
				tr.want(t, "at first", "run a")
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				for _, name := range []string{"b", "c"} {
					if err := l.Submit(ctx, tr.job(name)); err != nil {
						t.Fatalf("Submit(%s) = %v, want nil", name, err)
					}
				}
				submit(t, l, tr.job("d"))
				time.Sleep(time.Minute)
				tr.want(t, "a minute later")
				submit(t, l, tr.job("e"))
				tr.want(t, "when e needs a place",
					"drop b: context deadline exceeded", "drop c: context deadline exceeded")
				a.release()
				tr.want(t, "after a", "run d", "run e")
				closeNow(t, q)
				if got := q.Stats(); got.Expired != 2 || got.Done != 3 || got.Dropped != 0 {
					t.Errorf("Stats() = %+v, want Expired 2, Done 3, Dropped 0", got)
				}
			})
		})
	}
}

func TestPanicIsContained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		q := queue.New(&queue.Options{Workers: 1, Logger: slog.New(slog.NewTextHandler(&out, nil))})
		l := q.Lane(nil)
		tr := &trace{}
		p := tr.job("a")
		p.do = func(context.Context) { panicHere() }
		submit(t, l, p, tr.job("b"))
		tr.want(t, "after the panic", "run a", "run b")
		closeNow(t, q)
		got := out.String()
		for _, want := range []string{"level=ERROR", "method=Run", "panic=boom", "job=*queue_test.probe", "panicHere"} {
			if !strings.Contains(got, want) {
				t.Errorf("log = %q, want it to contain %q", got, want)
			}
		}
		if n := strings.Count(got, "\n"); n != 1 {
			t.Errorf("log has %d records, want 1", n)
		}
		if s := q.Stats(); s.Panicked != 1 || s.Done != 2 || s.Running != 0 {
			t.Errorf("Stats() = %+v, want Panicked 1, Done 2, Running 0", s)
		}
	})
}

func panicHere() { panic("boom") }

// badDrop is a job whose Drop panics.
type badDrop struct{ probe }

func (badDrop) Drop(error) { panic("bad drop") }

func TestPanicOfDropIsContained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(&queue.Options{Workers: 1})
		l := q.Lane(nil)
		tr := &trace{}
		a := tr.held("a")
		submit(t, l, a)
		ctx, cancel := context.WithCancel(t.Context())
		for range 2 {
			if err := l.Submit(ctx, &badDrop{*tr.job("x")}); err != nil {
				t.Fatalf("Submit() = %v, want nil", err)
			}
		}
		cancel()
		a.release()
		tr.want(t, "after a", "run a")
		b := tr.held("b")
		submit(t, l, b)
		if err := l.Submit(t.Context(), &badDrop{*tr.job("x")}); err != nil {
			t.Fatalf("Submit() = %v, want nil", err)
		}
		l.Close(nil)
		b.release()
		closeNow(t, q)
		if s := q.Stats(); s.Panicked != 3 || s.Expired != 2 || s.Dropped != 1 || s.Done != 2 {
			t.Errorf("Stats() = %+v, want Panicked 3, Expired 2, Dropped 1, Done 2", s)
		}
	})
}

// A handler that ends its goroutine must not take the worker with it.
func TestGoexitIsSurvived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(&queue.Options{Workers: 1})
		l := q.Lane(nil)
		tr := &trace{}
		for range 3 {
			p := tr.job("a")
			p.do = func(context.Context) { runtime.Goexit() }
			submit(t, l, p)
		}
		submit(t, l, tr.job("b"))
		tr.want(t, "after three Goexits", "run a", "run a", "run a", "run b")
		closeNow(t, q)
		if s := q.Stats(); s.Done != 4 || s.Running != 0 {
			t.Errorf("Stats() = %+v, want Done 4, Running 0", s)
		}
	})
}

func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(&queue.Options{Depth: 2, Workers: 1, Policy: queue.Block})
		l := q.Lane(nil)
		tr := &trace{}
		a := tr.held("a")
		submit(t, l, a, tr.job("b"), tr.job("c"))
		go l.Submit(t.Context(), tr.job("d"))
		synctest.Wait()
		want := queue.Stats{Waiting: 2, Running: 1, Blocked: 1, Capacity: 2, Workers: 1, Accepted: 3}
		if diff := cmp.Diff(want, q.Stats()); diff != "" {
			t.Errorf("Stats() (-want +got):\n%s", diff)
		}
		l.Pause()
		if diff := cmp.Diff(queue.LaneStats{Waiting: 2, Running: 1, Blocked: 1, Paused: true}, l.Stats()); diff != "" {
			t.Errorf("Lane.Stats() (-want +got):\n%s", diff)
		}
		l.Resume()
		a.release()
		closeNow(t, q)
		if diff := cmp.Diff(queue.LaneStats{}, l.Stats()); diff != "" {
			t.Errorf("Lane.Stats() after Close (-want +got):\n%s", diff)
		}
	})
}
