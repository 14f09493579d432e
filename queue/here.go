package queue

import "context"

// RunHere runs j on the caller's goroutine and returns true, if Submit would
// start j at once; if not it returns false and has done nothing. It counts as
// any running job does. For a job that takes no longer than to wake another
// goroutine. A panic of j is contained, but a j that calls [runtime.Goexit] ends
// the caller.
func (l *Lane) RunHere(ctx context.Context, j Job) bool {
	if ended(ctx) != nil || !l.enter() {
		return false
	}
	defer l.leave()
	defer func() {
		if v := recover(); v != nil {
			l.q.report("Run", j, v)
		}
	}()
	j.Run(ctx)
	return true
}

// enter counts one more job as running, if it may start now.
func (l *Lane) enter() bool {
	q := l.q
	q.mu.Lock()
	defer q.mu.Unlock()
	// While there is an idle worker no other job waits that may start.
	if l.closed || q.closed || l.blocked.head != nil || l.waiting > 0 || !l.mayStart() || q.idlers() == 0 {
		return false
	}
	q.count.accepted++
	l.running++
	q.running++
	q.here++
	return true
}

// leave undoes enter.
func (l *Lane) leave() {
	q := l.q
	q.mu.Lock()
	q.count.done++
	l.running--
	q.running--
	q.here--
	q.refresh(l)
	wake := q.settle()
	q.mu.Unlock()
	wake.start(q)
}
