package amqp

import (
	"context"
	"sync/atomic"
	"time"
)

// answering is how long an acceptance waits for the answer before it. A peer that
// takes no answers for longer gets to see the acceptance first.
const answering = time.Second

// afterSent calls f when all that was sent before has been written: a message is
// accepted after its answer was, which has another link, so that a process that
// is killed in between has not lost it. It does not wait for that itself, or the
// next message would wait behind each answer.
func (c *clientConn) afterSent(f func()) {
	var busy []*outlet
	for _, o := range c.allOutlets() {
		if _, idle := o.idle(); !idle {
			busy = append(busy, o)
		}
	}
	if len(busy) == 0 {
		f()
		return
	}
	var left atomic.Int64
	left.Store(int64(len(busy)))
	passed := func() {
		if left.Add(-1) == 0 {
			f()
		}
	}
	for _, o := range busy {
		o.mark(&letter{passed: passed, since: time.Now()})
	}
}

// sentAll waits until afterSent has nothing to wait for.
func (c *clientConn) sentAll(ctx context.Context) {
	for _, o := range c.allOutlets() {
		if _, idle := o.idle(); !idle {
			_ = o.flush(ctx)
		}
	}
}

// pass tells who waits that all before a mark is sent, unless it was overdue. What
// is held back in a burst counts as sent, for what follows leaves after it.
func (o *outlet) pass(l *letter) {
	o.mu.Lock()
	passed := l.passed
	l.passed = nil
	o.mu.Unlock()
	if passed != nil {
		passed()
	}
}

// watch sees to it that a mark is not overdue for long. It needs mu.
func (o *outlet) watch(l *letter) {
	if !l.since.IsZero() && o.overdue == nil {
		o.overdue = time.AfterFunc(answering, o.hurry)
	}
}

// hurry lets the marks pass that have waited for long.
func (o *outlet) hurry() {
	var late []*letter
	o.mu.Lock()
	o.overdue = nil
	for _, l := range o.queue {
		switch {
		case l.passed == nil || l.since.IsZero():
		case time.Since(l.since) >= answering:
			late = append(late, l)
		case o.overdue == nil:
			o.overdue = time.AfterFunc(answering-time.Since(l.since), o.hurry)
		}
	}
	o.mu.Unlock()
	for _, l := range late {
		o.pass(l)
	}
}
