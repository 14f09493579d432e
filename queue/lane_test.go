package queue_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/queue"
)

// A lane with a thousand waiting jobs delays another one's by one job of each
// other lane at the most, wherever in the round it comes in.
func TestLanesTakeTurns(t *testing.T) {
	for _, lanes := range []int{1, 2, 5} {
		t.Run(fmt.Sprintf("%d busy lanes", lanes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := queue.New(&queue.Options{Depth: 10_000, Workers: 1})
				tr := &trace{}
				first := tr.held("first")
				submit(t, q.Lane(nil), first)
				light := q.Lane(nil)
				for i := range lanes {
					l := q.Lane(nil)
					for range 1000 {
						p := tr.job(strconv.Itoa(i))
						submit(t, l, p)
					}
					if i == 0 { // in the midst of the others
						submit(t, light, tr.job("light"), tr.job("light"), tr.job("light"))
					}
				}
				first.release()
				closeNow(t, q)
				since := 0
				found := 0
				for _, line := range tr.take()[1:] {
					if line != "run light" {
						since++
						continue
					}
					if since > lanes {
						t.Errorf("%d other jobs before light job %d, want at most %d", since, found, lanes)
					}
					since, found = 0, found+1
				}
				if found != 3 {
					t.Errorf("%d light jobs ran, want 3", found)
				}
			})
		})
	}
}

func TestTurnsAreExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(&queue.Options{Workers: 1})
		tr := &trace{}
		first := tr.held("first")
		submit(t, q.Lane(nil), first)
		submitN(t, q.Lane(nil), tr, "a", 4)
		submitN(t, q.Lane(nil), tr, "b", 1)
		submitN(t, q.Lane(nil), tr, "c", 2)
		first.release()
		closeNow(t, q)
		tr.want(t, "in the end", "run first", "run a1", "run b1", "run c1", "run a2", "run c2", "run a3", "run a4")
	})
}

func submitN(t *testing.T, l *queue.Lane, tr *trace, name string, n int) {
	t.Helper()
	for i := range n {
		submit(t, l, tr.job(fmt.Sprint(name, i+1)))
	}
}

func TestPauseAndResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(&queue.Options{Workers: 2})
		l, other := q.Lane(nil), q.Lane(nil)
		tr := &trace{}
		l.Pause()
		l.Pause()
		submitN(t, l, tr, "p", 3)
		submit(t, other, tr.job("x"))
		tr.want(t, "while paused", "run x")
		l.Resume()
		l.Resume()
		tr.wantSet(t, "after Resume", "run p1", "run p2", "run p3")

		h := tr.held("h")
		submit(t, l, h)
		synctest.Wait()
		l.Pause()
		submitN(t, l, tr, "r", 1)
		h.release()
		tr.want(t, "a paused lane's running job goes on, the next does not start", "run h")
		l.Resume()
		tr.want(t, "after the second Resume", "run r1")
		closeNow(t, q)
	})
}

// Pausing takes a lane out of the round wherever it is on it.
func TestPauseInTheMidstOfTheRound(t *testing.T) {
	for pause := range 3 {
		synctest.Test(t, func(t *testing.T) {
			q := queue.New(&queue.Options{Workers: 1})
			tr := &trace{}
			first := tr.held("first")
			submit(t, q.Lane(nil), first)
			lanes := make([]*queue.Lane, 3)
			for i, name := range []string{"a", "b", "c"} {
				lanes[i] = q.Lane(nil)
				submitN(t, lanes[i], tr, name, 1)
			}
			lanes[pause].Pause()
			first.release()
			want := []string{"run first", "run a1", "run b1", "run c1"}
			paused := want[pause+1]
			want = append(want[:pause+1:pause+1], want[pause+2:]...)
			tr.want(t, "while one is paused", want...)
			lanes[pause].Resume()
			tr.want(t, "after Resume", paused)
			closeNow(t, q)
		})
	}
}

func TestResumeStartsAsManyAsMayRun(t *testing.T) {
	for _, tc := range []struct {
		name           string
		workers, width int
		want           int
	}{
		{"by workers", 3, 0, 3},
		{"by width", 8, 2, 2},
		{"by jobs", 8, 0, 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := queue.New(&queue.Options{Workers: tc.workers})
				l := q.Lane(&queue.LaneOptions{Width: tc.width})
				tr := &trace{}
				// Some workers are parked, the others are yet to be started.
				warm := []*probe{tr.held("w"), tr.held("w")}
				submit(t, q.Lane(nil), warm...)
				warm[0].release()
				warm[1].release()
				tr.want(t, "at first", "run w", "run w")
				l.Pause()
				hold := make(chan struct{})
				for range 5 {
					submit(t, l, &probe{tr: tr, name: "p", hold: hold})
				}
				l.Resume()
				if got := len(tr.take()); got != tc.want {
					t.Errorf("%d jobs started, want %d", got, tc.want)
				}
				close(hold)
				closeNow(t, q)
			})
		})
	}
}

func TestLaneClose(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		want string
	}{
		{"nil", nil, "queue: closed"},
		{"with an error", errors.New("peer has gone"), "peer has gone"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := &trace{}
				q, l, a := full(t, tr, queue.Options{Policy: queue.Block})
				later(t.Context(), l, tr, tr.job("d"))
				later(t.Context(), q.Lane(nil), tr, tr.job("x"))
				l.Close(tc.err)
				l.Close(errors.New("again"))
				tr.wantSet(t, "after Close", "drop b: "+tc.want, "drop c: "+tc.want,
					"Submit(d) = queue: closed", "Submit(x) = <nil>")
				isErr(t, "Submit()", l.Submit(t.Context(), tr.job("e")), queue.ErrClosed)
				a.release()
				tr.want(t, "after a", "run x")
				closeNow(t, q)
			})
		})
	}
}

func TestCloseOfAPausedLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(nil)
		l := q.Lane(nil)
		tr := &trace{}
		l.Pause()
		submitN(t, l, tr, "p", 2)
		l.Close(nil)
		l.Resume()
		tr.want(t, "in the end", "drop p1: queue: closed", "drop p2: queue: closed")
		closeNow(t, q)
	})
}

// Jobs may use the queue and its lanes from Run and Drop: no lock is held.
func TestReentrance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(&queue.Options{Depth: 1, Workers: 1, Policy: queue.DropOldest})
		l := q.Lane(nil)
		tr := &trace{}
		last := &chatty{tr: tr, drop: func() { tr.add(fmt.Sprint("dropped, waiting ", q.Stats().Waiting)) }}
		first := &chatty{tr: tr}
		first.run = func() {
			if err := l.Submit(t.Context(), last); err != nil {
				tr.add("Submit: " + err.Error())
			}
			l.Pause()
			l.Resume()
			if err := l.Submit(t.Context(), &chatty{tr: tr, run: func() { l.Close(nil) }}); err != nil {
				tr.add("Submit: " + err.Error())
			}
		}
		if err := l.Submit(t.Context(), first); err != nil {
			t.Fatalf("Submit() = %v, want nil", err)
		}
		tr.want(t, "in the end", "run", "dropped, waiting 1", "run")
		closeNow(t, q)
	})
}

// A chatty job calls functions from Run and Drop.
type chatty struct {
	tr        *trace
	run, drop func()
}

func (c *chatty) Run(context.Context) {
	c.tr.add("run")
	if c.run != nil {
		c.run()
	}
}

func (c *chatty) Drop(error) { c.drop() }

// A server makes a lane for every connection, so one that is used no more must
// be collected although nobody closed it.
func TestUnusedLaneIsCollected(t *testing.T) {
	q := queue.New(&queue.Options{Workers: 1})
	defer closeNow(t, q)
	collected := make(chan struct{})
	func() {
		l := q.Lane(nil)
		runtime.AddCleanup(l, func(c chan struct{}) { close(c) }, collected)
		ran := make(chan struct{}, 2)
		for range 2 {
			if err := l.Submit(context.Background(), &chatty{tr: &trace{}, run: func() { ran <- struct{}{} }}); err != nil {
				t.Fatalf("Submit() = %v, want nil", err)
			}
		}
		<-ran
		<-ran
	}()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		runtime.GC()
		select {
		case <-collected:
			return
		default:
			runtime.Gosched()
		}
	}
	t.Error("lane not collected after 10 s")
}
