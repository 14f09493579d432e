package queue_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/queue"
)

func TestPolicyText(t *testing.T) {
	for _, tc := range []struct {
		policy queue.Policy
		text   string
	}{
		{queue.Reject, "reject"},
		{queue.Block, "block"},
		{queue.BlockFor, "block-for"},
		{queue.DropOldest, "drop-oldest"},
	} {
		if got := tc.policy.String(); got != tc.text {
			t.Errorf("Policy(%d).String() = %q, want %q", int(tc.policy), got, tc.text)
		}
		if got, err := tc.policy.MarshalText(); err != nil || string(got) != tc.text {
			t.Errorf("%v.MarshalText() = %q, %v, want %q, nil", tc.policy, got, err, tc.text)
		}
		got := queue.Policy(-1)
		if err := got.UnmarshalText([]byte(tc.text)); err != nil || got != tc.policy {
			t.Errorf("UnmarshalText(%q) gave %v, %v, want %v, nil", tc.text, got, err, tc.policy)
		}
	}
	for _, p := range []queue.Policy{-1, 4} {
		if got, want := p.String(), fmt.Sprintf("Policy(%d)", int(p)); got != want {
			t.Errorf("String() = %q, want %q", got, want)
		}
		if _, err := p.MarshalText(); err == nil {
			t.Errorf("%v.MarshalText() = nil error, want one", p)
		}
	}
	got := queue.Block
	if err := got.UnmarshalText([]byte("Reject")); err == nil || got != queue.Block {
		t.Errorf("UnmarshalText(Reject) gave %v, %v, want block and an error", got, err)
	}
}

func TestNewPanicsOnUnknownPolicy(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("New(Policy: 99) did not panic")
		}
	}()
	queue.New(&queue.Options{Policy: 99})
}

func TestDefaults(t *testing.T) {
	for _, o := range []*queue.Options{nil, {}, {Depth: -1, Workers: -1, BlockFor: -1}} {
		want := queue.Stats{Capacity: 1024, Workers: 256}
		if diff := cmp.Diff(want, queue.New(o).Stats()); diff != "" {
			t.Errorf("New(%+v).Stats() (-want +got):\n%s", o, diff)
		}
	}
}

// full returns a queue of one worker that is busy with the held job a, and a
// lane of it with b and c waiting in its two places.
func full(t *testing.T, tr *trace, o queue.Options) (*queue.Queue, *queue.Lane, *probe) {
	t.Helper()
	o.Depth, o.Workers = 2, 1
	q := queue.New(&o)
	l := q.Lane(nil)
	a := tr.held("a")
	submit(t, l, a, tr.job("b"), tr.job("c"))
	tr.want(t, "when full", "run a")
	return q, l, a
}

func TestReject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &trace{}
		q, l, a := full(t, tr, queue.Options{})
		isErr(t, "Submit(d)", l.Submit(t.Context(), tr.job("d")), queue.ErrFull)
		isErr(t, "Submit(e) in another lane", q.Lane(nil).Submit(t.Context(), tr.job("e")), queue.ErrFull)
		a.release()
		closeNow(t, q)
		tr.want(t, "after Close", "run b", "run c")
	})
}

func TestLaneDepthIsPerLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(&queue.Options{Depth: 4, Workers: 1})
		tr := &trace{}
		a := tr.held("a")
		submit(t, q.Lane(nil), a)
		greedy, other := q.Lane(&queue.LaneOptions{Depth: 2}), q.Lane(&queue.LaneOptions{Depth: 99})
		submit(t, greedy, tr.job("b"), tr.job("c"))
		isErr(t, "third Submit of the lane", greedy.Submit(t.Context(), tr.job("d")), queue.ErrFull)
		submit(t, other, tr.job("e"), tr.job("f"))
		isErr(t, "fifth Submit in all", other.Submit(t.Context(), tr.job("g")), queue.ErrFull)
		a.release()
		closeNow(t, q)
		tr.want(t, "after Close", "run a", "run b", "run e", "run c", "run f")
	})
}

func TestDropOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &trace{}
		q, l, a := full(t, tr, queue.Options{Policy: queue.DropOldest})
		submit(t, l, tr.job("d"))
		tr.want(t, "after Submit(d)", "drop b: queue: dropped for a newer job")
		if err := l.SubmitAll(t.Context(), []queue.Job{tr.job("e"), tr.job("f")}); err != nil {
			t.Errorf("SubmitAll(ef) = %v, want nil", err)
		}
		tr.want(t, "after SubmitAll(ef)", "drop c: queue: dropped for a newer job", "drop d: queue: dropped for a newer job")
		isErr(t, "Submit in a lane with nothing to drop", q.Lane(nil).Submit(t.Context(), tr.job("g")), queue.ErrFull)
		a.release()
		closeNow(t, q)
		tr.want(t, "after Close", "run e", "run f")
		want := queue.Stats{Capacity: 2, Workers: 1, Accepted: 6, Rejected: 1, Done: 3, Dropped: 3}
		if diff := cmp.Diff(want, q.Stats()); diff != "" {
			t.Errorf("Stats() (-want +got):\n%s", diff)
		}
	})
}

// later submits p on a goroutine of its own and tells tr of the outcome.
func later(ctx context.Context, l *queue.Lane, tr *trace, p *probe) {
	go func() { tr.add(fmt.Sprintf("Submit(%s) = %v", p.name, l.Submit(ctx, p))) }()
	synctest.Wait()
}

func TestBlockServesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &trace{}
		q, l, a := full(t, tr, queue.Options{Policy: queue.Block})
		d, e := tr.held("d"), tr.held("e")
		later(t.Context(), l, tr, d)
		later(t.Context(), l, tr, e)
		later(t.Context(), l, tr, tr.job("f"))
		time.Sleep(time.Hour)
		tr.want(t, "while a runs")
		if got := q.Stats().Blocked; got != 3 {
			t.Errorf("Stats().Blocked = %d, want 3", got)
		}
		a.release()
		tr.wantSet(t, "after a", "run b", "run c", "run d", "Submit(d) = <nil>", "Submit(e) = <nil>", "Submit(f) = <nil>")
		d.release()
		e.release()
		tr.want(t, "after d and e", "run e", "run f")
		closeNow(t, q)
	})
}

func TestBlockedSubmittersOfLanesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &trace{}
		q := queue.New(&queue.Options{Depth: 1, Workers: 1, Policy: queue.Block})
		la, lb := q.Lane(nil), q.Lane(nil)
		held := map[string]*probe{}
		for _, name := range []string{"0", "1", "a1", "a2", "a3", "b1"} {
			held[name] = tr.held(name)
		}
		submit(t, q.Lane(nil), held["0"], held["1"])
		for _, name := range []string{"a1", "a2", "a3"} {
			later(t.Context(), la, tr, held[name])
		}
		later(t.Context(), lb, tr, held["b1"])
		tr.want(t, "at first", "run 0")
		step := func(name string, want ...string) {
			t.Helper()
			held[name].release()
			tr.wantSet(t, "after "+name, want...)
		}
		step("0", "run 1", "Submit(a1) = <nil>")
		step("1", "run a1", "Submit(b1) = <nil>")
		step("a1", "run b1", "Submit(a2) = <nil>")
		step("b1", "run a2", "Submit(a3) = <nil>")
		step("a2", "run a3")
		held["a3"].release()
		closeNow(t, q)
	})
}

func TestBlockEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &trace{}
		q, l, a := full(t, tr, queue.Options{Policy: queue.Block})
		cause := errors.New("gave up")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, cause)
		defer cancel()
		later(ctx, l, tr, tr.job("d"))
		later(t.Context(), l, tr, tr.job("e"))
		later(ctx, l, tr, tr.job("f")) // between two that stay
		later(t.Context(), l, tr, tr.job("g"))
		later(ctx, l, tr, tr.job("h"))
		time.Sleep(2 * time.Second)
		tr.wantSet(t, "after the timeout", "Submit(d) = gave up", "Submit(f) = gave up", "Submit(h) = gave up")
		a.release()
		tr.wantSet(t, "after a", "Submit(e) = <nil>", "Submit(g) = <nil>", "run b", "run c", "run e", "run g")
		closeNow(t, q)
		if s := q.Stats(); s.Rejected != 3 || s.Accepted != 5 || s.Blocked != 0 {
			t.Errorf("Stats() = %+v, want Rejected 3, Accepted 5, Blocked 0", s)
		}
	})
}

func TestBlockFor(t *testing.T) {
	for _, tc := range []struct {
		name string
		d    time.Duration
		want time.Duration
	}{
		{"default", 0, 200 * time.Millisecond},
		{"given", time.Minute, time.Minute},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := &trace{}
				q, l, a := full(t, tr, queue.Options{Policy: queue.BlockFor, BlockFor: tc.d})
				start := time.Now()
				err := l.Submit(t.Context(), tr.job("d"))
				isErr(t, "Submit(d)", err, queue.ErrFull)
				if got := time.Since(start); got != tc.want {
					t.Errorf("Submit(d) took %v, want %v", got, tc.want)
				}
				later(t.Context(), l, tr, tr.job("e"))
				time.Sleep(tc.want / 2)
				a.release()
				tr.wantSet(t, "after a", "Submit(e) = <nil>", "run b", "run c", "run e")
				closeNow(t, q)
			})
		})
	}
}

// laterAll is later for a unit.
func laterAll(ctx context.Context, l *queue.Lane, tr *trace, name string, jobs ...queue.Job) {
	go func() { tr.add(fmt.Sprintf("SubmitAll(%s) = %v", name, l.SubmitAll(ctx, jobs))) }()
	synctest.Wait()
}

// A large unit must not wait for ever because small ones keep taking the
// places that it needs.
func TestBlockedUnitIsNotOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &trace{}
		q := queue.New(&queue.Options{Depth: 2, Workers: 1, Policy: queue.Block})
		busy, l := q.Lane(nil), q.Lane(nil)
		a, b := tr.held("a"), tr.held("b")
		submit(t, busy, a, b, tr.job("c"))
		laterAll(t.Context(), l, tr, "de", tr.job("d"), tr.job("e"))
		later(t.Context(), q.Lane(nil), tr, tr.job("x"))
		later(t.Context(), l, tr, tr.job("f"))
		a.release()
		tr.want(t, "with one place free", "run a", "run b")
		b.release()
		tr.wantSet(t, "with all places free", "run c", "run d", "run e", "run x", "run f",
			"SubmitAll(de) = <nil>", "Submit(x) = <nil>", "Submit(f) = <nil>")
		closeNow(t, q)
	})
}

// A unit that its own lane has no room for keeps none of the others from
// places that it could not use.
func TestFullLaneHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &trace{}
		q := queue.New(&queue.Options{Depth: 3, Workers: 1, Policy: queue.Block})
		l := q.Lane(&queue.LaneOptions{Depth: 2})
		a := tr.held("a")
		submit(t, l, a, tr.job("b"))
		laterAll(t.Context(), l, tr, "cd", tr.job("c"), tr.job("d"))
		later(t.Context(), l, tr, tr.job("e")) // not before the unit
		submit(t, q.Lane(nil), tr.job("x"))
		tr.want(t, "while a runs", "run a")
		a.release()
		tr.wantSet(t, "after a", "run b", "run c", "run d", "run e", "run x", "SubmitAll(cd) = <nil>", "Submit(e) = <nil>")
		closeNow(t, q)
	})
}

// While all places are held by paused lanes and the workers are idle, the order
// of those who wait still stands: within a lane, and for the places.
func TestIdleWorkersDoNotUpsetTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &trace{}
		q := queue.New(&queue.Options{Depth: 2, Workers: 1, Policy: queue.Block})
		stuck, l, m, n := q.Lane(nil), q.Lane(nil), q.Lane(nil), q.Lane(nil)
		for _, p := range []*queue.Lane{stuck, m, n} {
			p.Pause()
		}
		submit(t, stuck, tr.job("s1"))
		laterAll(t.Context(), m, tr, "m", tr.job("m1"), tr.job("m2"))
		later(t.Context(), n, tr, tr.job("n1"))
		tr.want(t, "n must not take the place that m needs")
		laterAll(t.Context(), l, tr, "l", tr.job("l1"), tr.job("l2"), tr.job("l3"))
		tr.want(t, "l is refused", "SubmitAll(l) = queue: full")
		laterAll(t.Context(), l, tr, "l", tr.job("l1"), tr.job("l2"))
		later(t.Context(), l, tr, tr.job("l3"))
		tr.want(t, "l3 must not start before l1")
		stuck.Resume()
		tr.wantSet(t, "after Resume of stuck", "run s1", "SubmitAll(m) = <nil>")
		m.Resume()
		tr.wantSet(t, "after Resume of m", "run m1", "run m2", "Submit(n1) = <nil>", "SubmitAll(l) = <nil>", "Submit(l3) = <nil>",
			"run l1", "run l2", "run l3")
		n.Resume()
		tr.want(t, "after Resume of n", "run n1")
		closeNow(t, q)
	})
}

// Jobs of a unit that may not start at once need places, idle workers or not.
func TestUnitOfANarrowLaneNeedsPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &trace{}
		q := queue.New(&queue.Options{Depth: 2})
		stuck, narrow := q.Lane(nil), q.Lane(&queue.LaneOptions{Width: 1})
		stuck.Pause()
		submit(t, stuck, tr.job("s1"), tr.job("s2"))
		isErr(t, "SubmitAll()", narrow.SubmitAll(t.Context(), []queue.Job{tr.job("a"), tr.job("b")}), queue.ErrFull)
		submit(t, narrow, tr.job("a"))
		stuck.Resume()
		closeNow(t, q)
		tr.wantSet(t, "after Close", "run s1", "run s2", "run a")
	})
}

// A lane that could take more waits for its next turn all the same.
func TestBlockedLaneGetsOnePlaceATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &trace{}
		q := queue.New(&queue.Options{Depth: 3, Workers: 1, Policy: queue.Block})
		busy, la, lb := q.Lane(nil), q.Lane(nil), q.Lane(nil)
		held := []*probe{tr.held("0"), tr.held("1"), tr.held("2"), tr.held("3")}
		submit(t, busy, held...)
		later(t.Context(), la, tr, tr.job("a1"))
		later(t.Context(), la, tr, tr.job("a2"))
		later(t.Context(), lb, tr, tr.job("b1"))
		tr.want(t, "at first", "run 0")
		held[0].release()
		tr.wantSet(t, "after 0", "run 1", "Submit(a1) = <nil>")
		held[1].release()
		tr.wantSet(t, "after 1", "run 2", "Submit(b1) = <nil>")
		held[2].release()
		tr.wantSet(t, "after 2", "run a1", "run 3", "Submit(a2) = <nil>")
		held[3].release()
		tr.want(t, "after 3", "run b1", "run a2")
		closeNow(t, q)
	})
}

// When the unit at the head gives up, those behind it may fit: the wake-up
// that is most easily forgotten.
func TestUnitThatGivesUpLetsOthersIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &trace{}
		q := queue.New(&queue.Options{Depth: 2, Workers: 1, Policy: queue.Block})
		l := q.Lane(nil)
		a := tr.held("a")
		submit(t, q.Lane(nil), a, tr.job("b"))
		ctx, cancel := context.WithCancel(t.Context())
		laterAll(ctx, l, tr, "cd", tr.job("c"), tr.job("d"))
		later(t.Context(), q.Lane(nil), tr, tr.job("x"))
		later(t.Context(), l, tr, tr.job("e"))
		tr.want(t, "behind the unit", "run a")
		cancel()
		tr.wantSet(t, "after the cancel, the lane keeps its turn", "SubmitAll(cd) = context canceled", "Submit(e) = <nil>")
		a.release()
		tr.wantSet(t, "after a", "run b", "run x", "run e", "Submit(x) = <nil>")
		closeNow(t, q)
	})
}

// All places are held by a lane that is paused. A submitter of another lane
// needs none when a worker becomes free, so it must not wait for one.
func TestIdleWorkerTakesABlockedJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &trace{}
		q := queue.New(&queue.Options{Depth: 2, Workers: 1, Policy: queue.Block})
		stuck, other := q.Lane(nil), q.Lane(nil)
		stuck.Pause()
		submit(t, stuck, tr.job("s1"), tr.job("s2"))
		later(t.Context(), stuck, tr, tr.job("s3"))
		a := tr.held("a")
		submit(t, other, a)
		later(t.Context(), other, tr, tr.job("b"))
		later(t.Context(), other, tr, tr.job("c"))
		laterAll(t.Context(), q.Lane(nil), tr, "de", tr.job("d"), tr.job("e"))
		tr.want(t, "while a runs", "run a")
		a.release()
		tr.wantSet(t, "after a", "run b", "run c", "Submit(b) = <nil>", "Submit(c) = <nil>")
		stuck.Resume()
		tr.wantSet(t, "after Resume", "run s1", "run s2", "run s3", "Submit(s3) = <nil>",
			"run d", "run e", "SubmitAll(de) = <nil>")
		closeNow(t, q)
	})
}

// TestSubmitWaitWaitsUnderEveryPolicy: what was counted on before is not
// refused for want of a place.
func TestSubmitWaitWaitsUnderEveryPolicy(t *testing.T) {
	for _, p := range []queue.Policy{queue.Reject, queue.BlockFor, queue.DropOldest} {
		t.Run(p.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := &trace{}
				q, l, a := full(t, tr, queue.Options{Policy: p, BlockFor: time.Second})
				// Nothing can be dropped for a job in a lane of its own.
				other := q.Lane(nil)
				go func() {
					tr.add(fmt.Sprintf("SubmitWait(d) = %v", other.SubmitWait(t.Context(), []queue.Job{tr.job("d")})))
				}()
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("gave up"))
				defer cancel()
				go func() { tr.add(fmt.Sprintf("SubmitWait(e) = %v", other.SubmitWait(ctx, []queue.Job{tr.job("e")}))) }()
				time.Sleep(time.Hour)
				tr.want(t, "after an hour", "SubmitWait(e) = gave up")
				a.release()
				synctest.Wait()
				tr.wantSet(t, "after a", "SubmitWait(d) = <nil>", "run b", "run c", "run d")
				closeNow(t, q)
				if err := l.SubmitWait(t.Context(), []queue.Job{tr.job("f")}); !errors.Is(err, queue.ErrClosed) {
					t.Errorf("SubmitWait on a closed queue = %v, want %v", err, queue.ErrClosed)
				}
				if err := l.SubmitWait(t.Context(), nil); err != nil {
					t.Errorf("SubmitWait of nothing = %v, want nil", err)
				}
			})
		})
	}
}

// TestIssueDropOldestOvertakesNobody: a job that took the place of an older one got
// ahead of those that waited for a place with SubmitWait.
func TestIssueDropOldestOvertakesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr trace
		q := queue.New(&queue.Options{Depth: 2, Workers: 1, Policy: queue.DropOldest})
		l := q.Lane(nil)
		first := tr.held("first")
		submit(t, l, first, tr.job("a"), tr.job("b"))
		waited := make(chan error, 1)
		go func() { waited <- l.SubmitWait(t.Context(), []queue.Job{tr.job("patient")}) }()
		synctest.Wait()
		isErr(t, "Submit", l.Submit(t.Context(), tr.job("hasty")), queue.ErrFull)
		first.release()
		tr.want(t, "released", "run first", "run a", "run b", "run patient")
		if err := <-waited; err != nil {
			t.Errorf("SubmitWait = %v, want nil", err)
		}
		closeNow(t, q)
	})
}
