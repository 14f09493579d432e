package queue

import "context"

// This file keeps three promises, all of them by calling settle after every
// change that could break one and before mu is released:
//
//   - No worker is idle, or could yet be started, while a job may start.
//   - No submitter is blocked while there is a place for its jobs.
//   - Once the queue is closed and nothing waits, no worker is parked.
//
// Whoever is granted something is granted it under mu, by the one who made it
// possible, and only told of it later. That is why no wake-up can be lost: none
// is needed to keep the state right.

// refresh puts l on the lists where it belongs and takes it off the others. It
// must be called after any change to l. Callers hold mu.
func (q *Queue) refresh(l *Lane) {
	q.ready.set(l, l.waiting > 0 && l.mayStart())
	q.hungry.set(l, l.blocked.head != nil && l.waiting+len(l.blocked.head.jobs) <= l.depth)
	q.holding.set(l, l.waiting > 0)
}

// mayStart reports whether the lane's own rules let one more job start.
func (l *Lane) mayStart() bool {
	return !l.paused && (l.width == 0 || l.running < l.width)
}

// idlers is how many workers are parked or could be started. Callers hold mu.
// Of the jobs that run, those that run where they were submitted have none.
func (q *Queue) idlers() int { return min(q.parked+q.width-q.alive, q.width-q.running) }

// startable is how many of n new jobs of l would start at once, and so need no
// place to wait in. They would wait behind others only if there were no idle
// worker. Callers hold mu and have settled what came before.
func (q *Queue) startable(l *Lane, n int) int {
	if !l.mayStart() {
		return 0
	}
	n = min(n, q.idlers())
	if l.width > 0 {
		n = min(n, l.width-l.running)
	}
	return n
}

// settle starts what may start and admits whom there is room for, until neither
// makes progress. Callers hold mu, and call start on the result after they have
// released it.
func (q *Queue) settle() (wake wakeList) {
	for {
		if w := q.dispatch(); w != nil {
			wake.push(w)
		} else if !q.admit() {
			break
		}
	}
	if !q.closed || q.waiting > 0 {
		return wake
	}
	for q.idle != nil {
		wake.push(q.takeWorker())
	}
	q.conclude()
	return wake
}

// conclude closes gone when its time has come. Callers hold mu.
func (q *Queue) conclude() {
	if q.closed && !q.over && q.waiting == 0 && q.dropping == 0 && q.alive == 0 && q.here == 0 {
		q.over = true
		close(q.gone)
	}
}

// dispatch gives the next job of the round to an idle worker, and returns that
// worker, or nil if there is no such job or worker.
func (q *Queue) dispatch() *worker {
	l := q.ready.head
	if l == nil {
		return nil
	}
	if q.running == q.width {
		return nil
	}
	w := q.takeWorker()
	if w == nil {
		return nil
	}
	q.ready.set(l, false) // so that refresh puts it at the end of the round
	n := l.jobs.cut(1)
	l.waiting--
	q.waiting--
	l.assign(n.ctx, w, n.job)
	q.freeNode(n)
	q.refresh(l)
	return w
}

// assign gives w a job of l. Callers hold mu.
func (l *Lane) assign(ctx context.Context, w *worker, j Job) {
	w.lane, w.ctx, w.job, w.outcome = l, ctx, j, pending
	l.running++
	l.q.running++
}

// admit lets one blocked submitter in, and reports whether it did.
//
// The submitter whose turn it is takes all the places it needs before any other
// gets one, or a large unit would wait for ever. Others are only let in when
// their jobs need no place at all because they start at once.
func (q *Queue) admit() bool {
	for l := q.hungry.head; l != nil; l = q.hungry.next(l) {
		b := l.blocked.head
		n := len(b.jobs)
		places := n - q.startable(l, n)
		if places == 0 || l == q.hungry.head && q.waiting+places <= q.depth {
			q.hungry.set(l, false)
			q.unblock(b)
			l.push(b.ctx, b.jobs)
			b.answer <- nil
			return true
		}
		if q.idlers() == 0 {
			return false
		}
	}
	return false
}

// push appends jobs to the lane. Callers hold mu and have seen that they fit.
func (l *Lane) push(ctx context.Context, jobs []Job) {
	for _, j := range jobs {
		l.jobs.push(l.q.newNode(ctx, j))
	}
	l.waiting += len(jobs)
	l.q.waiting += len(jobs)
	l.q.count.accepted += uint64(len(jobs))
	l.q.refresh(l)
}
