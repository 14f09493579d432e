package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/queue"
)

func TestCloseDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(&queue.Options{Workers: 1})
		l := q.Lane(nil)
		tr := &trace{}
		for _, name := range []string{"a", "b"} {
			p := tr.job(name)
			p.do = func(context.Context) { time.Sleep(time.Minute) }
			submit(t, l, p)
		}
		start := time.Now()
		closeNow(t, q)
		if got := time.Since(start); got != 2*time.Minute {
			t.Errorf("Close() took %v, want 2m", got)
		}
		tr.want(t, "after Close", "run a", "run b")
		if got := context.Cause(q.Context()); got != queue.ErrClosed { //nolint:errorlint // it is the very error
			t.Errorf("cause of Context() = %v, want %v", got, queue.ErrClosed)
		}
	})
}

func TestCloseOfAnIdleQueue(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, tc := range []struct {
		name string
		ctx  context.Context
		used bool
	}{
		{"never used", context.Background(), false},
		{"used", context.Background(), true},
		{"never used, ended context", ended, false},
		{"used, ended context", ended, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := queue.New(nil)
				if tc.used {
					submit(t, q.Lane(nil), (&trace{}).job("a"))
					synctest.Wait()
				}
				for range 3 {
					if err := q.Close(tc.ctx); err != nil {
						t.Errorf("Close() = %v, want nil", err)
					}
				}
				if q.Context().Err() == nil {
					t.Error("Context() goes on after Close")
				}
			})
		})
	}
}

// The whole of giving up: what waits is dropped, what runs is told and not
// waited for, and a second Close waits for it.
func TestCloseGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(&queue.Options{Workers: 2})
		l, paused := q.Lane(nil), q.Lane(nil)
		tr := &trace{}
		deaf := tr.held("deaf")
		polite := tr.job("polite")
		polite.do = func(context.Context) {
			<-q.Context().Done()
			tr.add("told: " + context.Cause(q.Context()).Error())
		}
		submit(t, l, deaf, polite, tr.job("c"), tr.job("d"))
		paused.Pause()
		submit(t, paused, tr.job("p"))

		start := time.Now()
		cause := errors.New("out of patience")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, cause)
		defer cancel()
		err := q.Close(ctx)
		isErr(t, "Close()", err, cause)
		if want := "3 jobs dropped and 2 running"; err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("Close() = %v, want %q in it", err, want)
		}
		if got := time.Since(start); got != time.Second {
			t.Errorf("Close() took %v, want 1s", got)
		}
		tr.wantSet(t, "after Close", "run deaf", "run polite", "drop c: queue: closed", "drop d: queue: closed",
			"drop p: queue: closed", "told: queue: closed")

		isErr(t, "second Close()", q.Close(soon(t)), context.DeadlineExceeded)
		go func() {
			time.Sleep(time.Hour)
			deaf.release()
		}()
		closeNow(t, q)
		if got := time.Since(start); got != time.Hour+2*time.Second {
			t.Errorf("three times Close() took %v, want 1h2s", got)
		}
		paused.Resume()
		tr.want(t, "in the end")
		want := queue.Stats{Capacity: 1024, Workers: 2, Accepted: 5, Done: 2, Dropped: 3}
		if diff := cmp.Diff(want, q.Stats()); diff != "" {
			t.Errorf("Stats() (-want +got):\n%s", diff)
		}
	})
}

func TestCloseRefusesBlockedSubmitters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(&queue.Options{Depth: 2, Workers: 1, Policy: queue.Block})
		narrow, l, empty := q.Lane(&queue.LaneOptions{Depth: 1}), q.Lane(nil), q.Lane(nil)
		tr := &trace{}
		a := tr.held("a")
		submit(t, l, a, tr.job("b"))
		submit(t, narrow, tr.job("n"))
		later(t.Context(), narrow, tr, tr.job("1")) // its lane is full
		later(t.Context(), narrow, tr, tr.job("2"))
		later(t.Context(), l, tr, tr.job("3"))
		later(t.Context(), empty, tr, tr.job("4")) // its lane has nothing waiting
		var err error
		go func() {
			err = q.Close(context.Background())
			tr.add("closed")
		}()
		tr.wantSet(t, "while a runs", "run a", "Submit(1) = queue: closed", "Submit(2) = queue: closed",
			"Submit(3) = queue: closed", "Submit(4) = queue: closed")
		a.release()
		tr.want(t, "after a", "run b", "run n", "closed")
		if err != nil {
			t.Errorf("Close() = %v, want nil", err)
		}
	})
}

func TestCloseWaitsForAPausedLane(t *testing.T) {
	for _, end := range []string{"Resume", "Close"} {
		t.Run(end, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := queue.New(nil)
				l := q.Lane(nil)
				tr := &trace{}
				l.Pause()
				submit(t, l, tr.job("a"))
				go func() {
					closeNow(t, q)
					tr.add("closed")
				}()
				tr.want(t, "while paused")
				if end == "Resume" {
					l.Resume()
					tr.want(t, "after Resume", "run a", "closed")
				} else {
					l.Close(nil)
					tr.want(t, "after Close of the lane", "drop a: queue: closed", "closed")
				}
			})
		})
	}
}

// Close must not return while a Drop is still going on elsewhere.
func TestCloseWaitsForDrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(nil)
		l := q.Lane(nil)
		l.Pause()
		tr := &trace{}
		slow := &chatty{tr: tr, drop: func() {
			time.Sleep(time.Minute)
			tr.add("dropped")
		}}
		if err := l.Submit(t.Context(), slow); err != nil {
			t.Fatalf("Submit() = %v, want nil", err)
		}
		go l.Close(nil)
		synctest.Wait()
		isErr(t, "Close() for a second", q.Close(soon(t)), context.DeadlineExceeded)
		closeNow(t, q)
		tr.want(t, "after Close", "dropped")
	})
}

func TestManyClosers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(&queue.Options{Workers: 1})
		l := q.Lane(nil)
		tr := &trace{}
		a := tr.held("a")
		submit(t, l, a, tr.job("b"))
		for i := range 5 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*time.Second)
			go func() {
				defer cancel()
				tr.add(fmt.Sprint("gave up: ", q.Close(ctx) != nil))
			}()
		}
		time.Sleep(2500 * time.Millisecond)
		tr.wantSet(t, "after 2.5 s", "run a", "drop b: queue: closed", "gave up: true", "gave up: true")
		a.release()
		tr.want(t, "after a", "gave up: false", "gave up: false", "gave up: false")
	})
}

// A lane with work that is woken after Close has begun finds no worker alive.
func TestResumeAfterCloseBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(&queue.Options{Workers: 2})
		l := q.Lane(&queue.LaneOptions{Width: 1})
		tr := &trace{}
		l.Pause()
		submitN(t, l, tr, "p", 5)
		go closeNow(t, q)
		synctest.Wait()
		l.Resume()
		tr.want(t, "after Resume", "run p1", "run p2", "run p3", "run p4", "run p5")
	})
}
