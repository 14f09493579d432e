package queue

import "context"

// A Lane is one peer's way into a [Queue]: its jobs start in the order in which
// they were submitted, and lanes that have jobs waiting take turns, one job
// each. A lane that has nothing waiting costs the queue nothing and needs no
// Close to be collected.
//
// All methods may be called from any goroutine. Make one with [Queue.Lane].
type Lane struct {
	q            *Queue
	depth, width int

	// The fields below are protected by q.mu.
	closed, paused   bool
	waiting, running int
	jobs             chain
	blocked          submitters
	links            [laneLists]laneLink
}

// Lane returns a new lane of the queue. The lanes of a closed queue refuse
// every job with [ErrClosed].
func (q *Queue) Lane(o *LaneOptions) *Lane {
	return &Lane{q: q, depth: o.depth(q.depth), width: o.width()}
}

// Depth returns how many jobs of the lane may wait.
func (l *Lane) Depth() int { return l.depth }

// Submit queues j, or starts it at once if a worker is free and it is j's turn.
// ctx is kept with the job: it bounds the wait for a place under a policy that
// waits, it is what Run receives, and if it ends before j's turn comes, j is
// dropped then with the cause. It may be dropped sooner, when it is the oldest
// that waits in the lane and there is no place for another. ctx and j must not
// be nil.
//
// The error is [ErrFull], [ErrClosed], or the cause of ctx's end. After an
// error neither Run nor Drop of j is ever called by the queue.
//
// Under the policies [Block] and [BlockFor], those who wait for a place are
// served in order within a lane, and lanes take turns. A job that submits to
// its own queue under them may wait for a place that only its own end would
// free.
func (l *Lane) Submit(ctx context.Context, j Job) error {
	q := l.q
	if err := ended(ctx); err != nil {
		return q.refuse(1, err)
	}
	q.mu.Lock()
	if w := l.handOver(ctx, j); w != nil {
		q.mu.Unlock()
		q.start(w)
		return nil
	}
	one := [1]Job{j}
	return l.submit(ctx, one[:], q.policy)
}

// SubmitAll is Submit for several jobs that belong together: all of them are
// accepted, in order and with no other job of the lane between them, or none
// is. A unit that is larger than the depth of the lane could never wait as a
// whole, so it is refused with [ErrFull] under every policy. Under
// [DropOldest] it drops as many jobs as it needs places, or none. No jobs at
// all are always accepted. The slice is not kept.
func (l *Lane) SubmitAll(ctx context.Context, jobs []Job) error {
	if len(jobs) == 0 {
		return nil
	}
	if err := ended(ctx); err != nil {
		return l.q.refuse(len(jobs), err)
	}
	l.q.mu.Lock()
	return l.submit(ctx, jobs, l.q.policy)
}

// SubmitWait is [Lane.SubmitAll] under the policy [Block], whichever the queue
// has: for work that its sender counts as under way, so that nothing is gained
// by refusing it. While it waits, jobs that come to the lane later do not get
// ahead of it: under the policies that do not wait they are refused.
func (l *Lane) SubmitWait(ctx context.Context, jobs []Job) error {
	if len(jobs) == 0 {
		return nil
	}
	if err := ended(ctx); err != nil {
		return l.q.refuse(len(jobs), err)
	}
	l.q.mu.Lock()
	return l.submit(ctx, jobs, Block)
}

// handOver gives j to a worker directly if that is fair and possible. Callers
// hold mu.
func (l *Lane) handOver(ctx context.Context, j Job) *worker {
	q := l.q
	if l.closed || q.closed || l.blocked.head != nil || q.running == q.width || !l.mayStart() {
		return nil
	}
	// If there is an idle worker, no job waits that may start: neither in
	// another lane nor, as this one may start jobs, here.
	w := q.takeWorker()
	if w == nil {
		return nil
	}
	q.count.accepted++
	l.assign(ctx, w, j)
	return w
}

// submit queues jobs, or does what policy p says. It is called with mu held
// and releases it.
func (l *Lane) submit(ctx context.Context, jobs []Job, p Policy) error {
	q, n := l.q, len(jobs)
	switch {
	case l.closed || q.closed:
		return q.refuseLocked(n, ErrClosed)
	case n > l.depth:
		return q.refuseLocked(n, ErrFull)
	case !l.fits(n):
		return l.overflow(ctx, jobs, p)
	}
	l.push(ctx, jobs)
	wake := q.settle()
	q.mu.Unlock()
	wake.start(q)
	return nil
}

// fits reports whether n new jobs may be taken without overtaking a blocked
// submitter. Callers hold mu.
func (l *Lane) fits(n int) bool {
	q := l.q
	if l.blocked.head != nil || l.waiting+n > l.depth {
		return false
	}
	places := n - q.startable(l, n)
	return places == 0 || q.hungry.head == nil && q.waiting+places <= q.depth
}

// overflow does what is to be done with jobs that do not fit. It is called with
// mu held and releases it.
func (l *Lane) overflow(ctx context.Context, jobs []Job, p Policy) error {
	q, n := l.q, len(jobs)
	dead := l.shed()
	need := max(l.waiting+n-l.depth, q.waiting+n-q.startable(l, n)-q.depth)
	var old *node
	var b *submitter
	var err error
	switch {
	case l.fits(n):
		l.push(ctx, jobs)
	case p == DropOldest && need <= l.waiting && l.blocked.head == nil:
		old = l.detach(need, &q.count.dropped)
		l.push(ctx, jobs)
	case p == Block || p == BlockFor:
		b = q.newSubmitter(ctx, l, jobs)
	default:
		err = ErrFull
		q.count.rejected += uint64(n)
	}
	wake := q.settle()
	q.mu.Unlock()
	wake.start(q)
	q.dropAll(dead, nil)
	q.dropAll(old, ErrDropped)
	if b != nil {
		err = q.await(b, p)
	}
	return err
}

// shed detaches the lane's oldest jobs as long as their contexts have ended.
// Looking no further keeps the cost of a refusal constant, and finds most of
// the dead where deadlines are alike. Callers hold mu.
func (l *Lane) shed() *node {
	n := 0
	for o := l.jobs.head; o != nil && o.ctx.Err() != nil; o = o.next {
		n++
	}
	return l.detach(n, &l.q.count.expired)
}

// refuse counts n refused jobs and returns err.
func (q *Queue) refuse(n int, err error) error {
	q.mu.Lock()
	return q.refuseLocked(n, err)
}

// refuseLocked is refuse for callers that hold mu, and releases it.
func (q *Queue) refuseLocked(n int, err error) error {
	q.count.rejected += uint64(n)
	q.mu.Unlock()
	return err
}

// Pause keeps the lane's waiting jobs from starting until Resume. New jobs are
// still accepted while there is room; those already handed to a worker go on.
// Pausing a paused lane does nothing.
func (l *Lane) Pause() {
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	l.paused = true
	l.q.refresh(l)
}

// Resume undoes Pause. Resuming a lane that is not paused does nothing.
func (l *Lane) Resume() {
	l.q.mu.Lock()
	l.paused = false
	l.q.refresh(l)
	wake := l.q.settle()
	l.q.mu.Unlock()
	wake.start(l.q)
}

// Close drops the jobs that wait in the lane with err, or with [ErrClosed] if
// err is nil, and makes the lane refuse all others with ErrClosed, those of
// blocked submitters included. Running jobs go on. When Close returns, Drop has
// returned for every job that it dropped. Closing a closed lane does nothing.
func (l *Lane) Close(err error) {
	if err == nil {
		err = ErrClosed
	}
	q := l.q
	q.mu.Lock()
	l.closed = true
	l.turnAway()
	old := l.detach(l.waiting, &q.count.dropped)
	wake := q.settle()
	q.mu.Unlock()
	wake.start(q)
	q.dropAll(old, err)
}

// detach takes the oldest n jobs out of the lane, for dropAll, and adds them to
// count. Callers hold mu.
func (l *Lane) detach(n int, count *uint64) *node {
	if n <= 0 {
		return nil
	}
	q := l.q
	l.waiting -= n
	q.waiting -= n
	q.dropping += n
	*count += uint64(n)
	old := l.jobs.cut(n)
	q.refresh(l)
	return old
}

// dropAll drops detached jobs with err or, if err is nil, each with the cause of
// its context's end. It must be called without mu.
func (q *Queue) dropAll(old *node, err error) {
	for n := old; n != nil; {
		next := n.next
		why := err
		if why == nil {
			why = context.Cause(n.ctx)
		}
		q.drop(n.job, why)
		q.mu.Lock()
		q.freeNode(n)
		q.dropping--
		q.conclude()
		q.mu.Unlock()
		n = next
	}
}

// LaneStats is a snapshot of a [Lane].
type LaneStats struct {
	Waiting int  // jobs that wait for their turn
	Running int  // jobs that run
	Blocked int  // submitters that wait for a place
	Paused  bool // see [Lane.Pause]
}

// Stats returns the present numbers.
func (l *Lane) Stats() LaneStats {
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	return LaneStats{Waiting: l.waiting, Running: l.running, Blocked: l.blocked.n, Paused: l.paused}
}
