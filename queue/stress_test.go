package queue_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/polyport/polyport/queue"
)

// An entry of the ledger is a job that counts what is done with it.
type entry struct {
	runs, drops atomic.Int32
	lane        *stressLane
	seq         int64
	work        int
}

func (e *entry) Run(context.Context) {
	e.runs.Add(1)
	if n := e.lane.running.Add(1); e.lane.width > 0 && n > e.lane.width {
		e.lane.broken.Store(true)
	}
	if e.lane.width == 1 && e.lane.last.Swap(e.seq) >= e.seq {
		e.lane.broken.Store(true)
	}
	for range e.work { // enough for others to come in between
		e.lane.sink.Add(1)
	}
	e.lane.running.Add(-1)
	switch e.work % 50 {
	case 7:
		panic("some jobs panic")
	case 9:
		e.lane.l.Pause()
		e.lane.l.Resume()
	}
}

func (e *entry) Drop(error) { e.drops.Add(1) }

type stressLane struct {
	l       *queue.Lane
	width   int32
	running atomic.Int32
	last    atomic.Int64
	sink    atomic.Int64
	broken  atomic.Bool // a job overlapped or overtook another
}

// TestLedger lets many goroutines do everything at once, closes the queue in
// the midst of it, and then looks at the books: each job that was accepted must
// have been run or dropped, once, and each that was refused neither.
func TestLedger(t *testing.T) {
	for _, policy := range []queue.Policy{queue.Reject, queue.Block, queue.BlockFor, queue.DropOldest} {
		for _, patience := range []time.Duration{time.Minute, 0} {
			t.Run(fmt.Sprintf("%v, close after %v", policy, patience), func(t *testing.T) {
				stress(t, policy, patience)
			})
		}
	}
}

func stress(t *testing.T, policy queue.Policy, patience time.Duration) {
	q := queue.New(&queue.Options{Depth: 16, Workers: 4, Policy: policy, BlockFor: time.Millisecond})
	var lanes []*stressLane
	for i := range 6 {
		width := i % 3
		s := &stressLane{l: q.Lane(&queue.LaneOptions{Depth: 4 * (i % 4), Width: width}), width: int32(width)}
		s.last.Store(-1)
		lanes = append(lanes, s)
	}
	stop := make(chan struct{})
	var submitters, others sync.WaitGroup
	books := make([]book, len(lanes))
	per := 3000
	if testing.Short() {
		per = 500
	}
	for i, s := range lanes {
		submitters.Go(func() { books[i].fill(s, per, uint64(i)) })
	}
	others.Go(func() { disturb(lanes, q, stop) })

	if patience == 0 { // close while submitters are at it, and some are blocked
		for s := q.Stats(); s.Accepted+s.Rejected < uint64(per); s = q.Stats() {
			runtime.Gosched()
		}
	} else {
		submitters.Wait()
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := q.Close(ctx)
	if patience > 0 && err != nil {
		t.Errorf("Close() = %v, want nil", err)
	}
	submitters.Wait()
	close(stop)
	others.Wait()
	closeNow(t, q)
	audit(t, q, lanes, books)
}

// A book holds what one goroutine submitted.
type book struct{ accepted, refused []*entry }

func (b *book) fill(s *stressLane, n int, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	seq := int64(0)
	var late []context.CancelFunc
	defer func() {
		for _, cancel := range late {
			cancel()
		}
	}()
	for range n {
		ctx, cancel := context.Background(), context.CancelFunc(func() {})
		if rnd.IntN(4) == 0 {
			ctx, cancel = context.WithTimeout(ctx, time.Duration(rnd.IntN(300))*time.Microsecond)
		}
		unit := make([]*entry, 1)
		if rnd.IntN(8) == 0 {
			unit = make([]*entry, 1+rnd.IntN(5))
		}
		jobs := make([]queue.Job, len(unit))
		for i := range unit {
			seq++
			unit[i] = &entry{lane: s, seq: seq, work: rnd.IntN(200)}
			jobs[i] = unit[i]
		}
		var err error
		if len(jobs) == 1 {
			err = s.l.Submit(ctx, jobs[0])
		} else {
			err = s.l.SubmitAll(ctx, jobs)
		}
		if err == nil {
			b.accepted = append(b.accepted, unit...)
		} else {
			b.refused = append(b.refused, unit...)
		}
		if errors.Is(err, queue.ErrFull) {
			runtime.Gosched()
		}
		if rnd.IntN(2) == 0 {
			cancel()
		} else {
			late = append(late, cancel)
		}
	}
}

// disturb pauses, resumes and closes until it is told to stop.
func disturb(lanes []*stressLane, q *queue.Queue, stop chan struct{}) {
	rnd := rand.New(rand.NewPCG(99, 1))
	for i := 0; ; i++ {
		s := lanes[rnd.IntN(len(lanes))]
		s.l.Pause()
		q.Stats()
		if i == 200 {
			lanes[0].l.Close(nil)
		}
		s.l.Resume()
		select {
		case <-stop:
			return
		case <-time.After(10 * time.Microsecond):
		}
	}
}

func audit(t *testing.T, q *queue.Queue, lanes []*stressLane, books []book) {
	t.Helper()
	accepted, runs, drops := 0, 0, 0
	for _, b := range books {
		accepted += len(b.accepted)
		for _, e := range b.accepted {
			r, d := int(e.runs.Load()), int(e.drops.Load())
			if r+d != 1 {
				t.Errorf("an accepted job was run %d times and dropped %d times, want one in all", r, d)
			}
			runs += r
			drops += d
		}
		for _, e := range b.refused {
			if r, d := e.runs.Load(), e.drops.Load(); r+d != 0 {
				t.Errorf("a refused job was run %d times and dropped %d times, want neither", r, d)
			}
		}
	}
	for i, s := range lanes {
		if s.broken.Load() {
			t.Errorf("lane %d: a job overlapped or overtook another", i)
		}
	}
	s := q.Stats()
	if s.Accepted != uint64(accepted) || s.Done != uint64(runs) || s.Dropped+s.Expired != uint64(drops) ||
		s.Waiting != 0 || s.Running != 0 || s.Blocked != 0 {
		t.Errorf("Stats() = %+v, want Accepted %d, Done %d, Dropped + Expired %d, nothing left", s, accepted, runs, drops)
	}
	t.Logf("%+v", s)
}

// TestBlockedNeverForgotten moves many more goroutines than there are places
// through a small queue. A single lost wake-up would leave one of them behind.
func TestBlockedNeverForgotten(t *testing.T) {
	q := queue.New(&queue.Options{Depth: 2, Workers: 2, Policy: queue.Block})
	const goroutines, each = 32, 200
	var wg sync.WaitGroup
	var ran atomic.Int64
	for g := range goroutines {
		l := q.Lane(&queue.LaneOptions{Depth: 1 + g%2, Width: g % 2})
		wg.Go(func() {
			for i := range each {
				ctx, cancel := context.WithCancel(t.Context())
				if i%7 == 0 {
					go cancel()
				}
				err := l.Submit(ctx, counter{&ran})
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("Submit() = %v, want nil or %v", err, context.Canceled)
				}
				if err != nil {
					ran.Add(1)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	closeNow(t, q)
	if got := ran.Load(); got != goroutines*each {
		t.Errorf("%d jobs ended, want %d", got, goroutines*each)
	}
}

// A counter counts its end, whatever it is.
type counter struct{ n *atomic.Int64 }

func (c counter) Run(context.Context) { c.n.Add(1) }
func (c counter) Drop(error)          { c.n.Add(1) }
