package queue

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
)

// The outcome of the job that a worker holds.
const (
	pending = iota // not touched yet
	ran
	expired
)

// A worker is a goroutine that runs jobs. It is given its job under mu while it
// is parked or not yet started, takes the next one itself when it can, and
// reads its own fields without mu while it holds a job.
type worker struct {
	next    *worker       // the idle worker below, or the next one to wake
	wake    chan struct{} // holds one token: a job was given, or it is time to end
	fresh   bool          // the goroutine is yet to be started
	lane    *Lane
	ctx     context.Context
	job     Job
	outcome int
}

// A wakeList holds the workers that were given a job, or the order to end,
// under mu, and are to be told of it outside.
type wakeList struct{ head, tail *worker }

func (s *wakeList) push(w *worker) {
	w.next = nil
	if s.tail == nil {
		s.head = w
	} else {
		s.tail.next = w
	}
	s.tail = w
}

// start sends them to work. It must be called after mu was released.
func (s *wakeList) start(q *Queue) {
	for w := s.head; w != nil; {
		next := w.next // w is its own master once it is awake
		q.start(w)
		w = next
	}
}

func (q *Queue) start(w *worker) {
	if w.fresh {
		w.fresh = false
		go q.work(w)
		return
	}
	w.wake <- struct{}{}
}

// takeWorker returns a worker for one more job, or nil if all are busy.
// The worker parked last is the one whose memory is warm. Callers hold mu.
func (q *Queue) takeWorker() *worker {
	if w := q.idle; w != nil {
		q.idle = w.next
		q.parked--
		return w
	}
	if q.alive == q.width {
		return nil
	}
	w := &worker{wake: make(chan struct{}, 1), fresh: true}
	q.workers = append(q.workers, w)
	q.alive++
	return w
}

// work runs w's jobs until the queue needs w no more.
func (q *Queue) work(w *worker) {
	left := false
	defer func() {
		if !left { // a job called Goexit; its outcome is set, the rest is as ever
			go q.work(w)
		}
	}()
	for {
		if w.outcome == pending {
			q.perform(w)
		}
		if !q.proceed(w) {
			left = true
			return
		}
	}
}

// perform calls Run or Drop of the job that w holds.
func (q *Queue) perform(w *worker) {
	defer func() {
		if v := recover(); v != nil {
			q.report("Run", w.job, v)
		}
	}()
	w.outcome = ran
	if err := ended(w.ctx); err != nil {
		w.outcome = expired
		q.drop(w.job, err)
		return
	}
	w.job.Run(w.ctx)
}

// drop calls j.Drop and contains its panic.
func (q *Queue) drop(j Job, err error) {
	defer func() {
		if v := recover(); v != nil {
			q.report("Drop", j, v)
		}
	}()
	j.Drop(err)
}

// report counts and logs a panic. It runs inside the deferred function that
// recovered v, where the stack still shows the place.
func (q *Queue) report(method string, j Job, v any) {
	q.mu.Lock()
	q.count.panicked++
	q.mu.Unlock()
	q.log.Error("queue: job panicked",
		slog.String("method", method),
		slog.Any("panic", v),
		slog.String("job", fmt.Sprintf("%T", j)),
		slog.String("stack", string(debug.Stack())))
}

// proceed settles the job that w has done and gets w the next one, for which it
// parks if it must. It returns false when w is to end.
func (q *Queue) proceed(w *worker) bool {
	q.mu.Lock()
	q.finish(w)
	// Parking first and settling then makes one rule of two: a worker that
	// has ended its job is an idle worker like any other, and as the last one
	// parked it is the first to be given work.
	w.next, q.idle = q.idle, w
	q.parked++
	wake := q.settle()
	again := w.job != nil
	if again {
		wake.head = w.next
	}
	q.mu.Unlock()
	wake.start(q)
	if again {
		return true
	}
	<-w.wake
	if w.job != nil {
		return true
	}
	q.mu.Lock()
	q.alive--
	q.conclude()
	q.mu.Unlock()
	return false
}

// finish takes the job off w's hands. Callers hold mu.
func (q *Queue) finish(w *worker) {
	if w.outcome == expired {
		q.count.expired++
	} else {
		q.count.done++
	}
	l := w.lane
	w.lane, w.ctx, w.job = nil, nil, nil
	l.running--
	q.running--
	q.refresh(l)
}
