package amqp

import (
	"cmp"
	"context"
	"runtime"
	"sync"
	"time"

	goamqp "github.com/Azure/go-amqp"
	"golang.org/x/sync/semaphore"

	"github.com/polyport/polyport/transport"
)

// An outlet sends to one address, by a link in a session of its own. Messages
// that the peer does not take at once wait in its bounded queue, for the link, its
// credit and the session's window. go-amqp never sees the context of who sends.
type outlet struct {
	c      *clientConn
	target string // the link's address; "" takes messages to any

	room *semaphore.Weighted // bytes
	// taking ends when nothing more is taken in.
	taking  context.Context
	refuse  context.CancelFunc
	wake    chan struct{} // has a token when queue or err has changed
	up      chan struct{} // closed when the first attempt to get a link is over
	gone    chan struct{} // closed when all is over
	mu      sync.Mutex    // protects the fields below
	queue   []*letter
	working bool        // a letter is being sent
	over    bool        // nobody looks at the queue any more
	overdue *time.Timer // runs, if it is not nil, while acceptances wait
	err     error       // why nothing more is taken in
	used    time.Time   // when a message was last sent
	limit   uint64      // bytes that the peer takes in a message, or 0

	spout *spout // nil while there is no link

	// The following belong to run.
	seat   *seat
	sender *goamqp.Sender
	holds  bool // what is written gathers below
}

// alone is how long nobody must have sent by an outlet for the next to do so by
// itself: less than a round trip takes, and more than passes between messages
// that can leave together.
const alone = 30 * time.Microsecond

// A letter is what an outlet sends: a message, or a mark.
type letter struct {
	m           *transport.Message // until the payload is made of it
	to, subject string             // of the message, in place of its own
	payload     []byte             // what is left to be written of the message
	begun       bool               // the peer has got some of it
	whole       bool               // it has got all
	need        int64              // room
	size        int                // of the message, at most, in bytes
	done        func(error)        // of SendConfirmed, or nil
	passed      func()             // of a mark: all before it is sent; protected by the outlet's mu
	since       time.Time          // of a mark that may become overdue
	probe       bool               // a mark: look whether there is a link
	waits       bool               // its Send waits for the link; protected by the outlet's mu
	err         error              // for that Send; likewise
}

// keep makes a letter of its own of one that shares the message of who sends it.
func (l *letter) keep() {
	if l.m != nil {
		l.payload = appendMessage(make([]byte, 0, l.size), l.m, l.to, l.subject)
		l.m = nil
	}
}

// idle reports whether nothing waits, and since when.
func (o *outlet) idle() (since time.Time, idle bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case <-o.up:
		return o.used, len(o.queue) == 0 && !o.working
	default:
		return o.used, false
	}
}

// seal takes nothing more in; what waits is still sent.
func (o *outlet) seal(err error) {
	o.mu.Lock()
	o.err = cmp.Or(o.err, err)
	o.mu.Unlock()
	o.refuse()
	o.signal()
}

func (o *outlet) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// put sends a letter, or has it wait in the queue for the peer. It waits for room
// there itself and, at first, for the link.
func (o *outlet) put(ctx context.Context, l *letter) error {
	if done, err := o.sendNow(l); done {
		return err
	}
	l.keep()
	if err := o.wait(ctx, l.need); err != nil {
		return err
	}
	o.mu.Lock()
	if err := cmp.Or(o.err, o.refuses(l)); err != nil {
		o.mu.Unlock()
		o.room.Release(l.need)
		return err
	}
	select {
	case <-o.up:
	default:
		l.waits = true
	}
	waits := l.waits
	o.queue = append(o.queue, l)
	o.mu.Unlock()
	o.signal()
	if !waits {
		return nil
	}
	select {
	case <-o.up:
	case <-ctx.Done():
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	l.waits = false
	return l.err
}

// sendNow sends a letter on the goroutine of who sends it, if that is alone and
// the peer takes it at once: a hop less, and no copy.
func (o *outlet) sendNow(l *letter) (done bool, err error) {
	s := o.lone(l)
	if s == nil {
		return false, nil
	}
	err = s.write(unwilling, l)
	switch {
	case err == nil || isFull(err):
		return l.whole, nil
	case l.whole && l.done != nil: // which is told
		return true, nil
	case l.whole:
		return true, o.c.lost(cmp.Or(context.Cause(o.c.ctx), err))
	}
	return true, o.c.opError("send", cmp.Or(context.Cause(o.c.ctx), err))
}

// lone returns the link to send a letter by at once, or nil if it has to wait.
func (o *outlet) lone(l *letter) *spout {
	o.mu.Lock()
	defer o.mu.Unlock()
	s, now := o.spout, time.Now()
	switch {
	case s == nil || o.err != nil || len(o.queue) > 0 || o.working || now.Sub(o.used) < alone:
		return nil
	case l.size > s.largest || o.refuses(l) != nil:
		return nil
	}
	o.used = now
	return s
}

// refuses returns why the peer takes no such letter, as far as it has said. It
// needs mu.
func (o *outlet) refuses(l *letter) error {
	if l.done != nil && o.spout != nil && o.spout.settles() {
		return transport.WithReason(transport.ErrUnsupported, "the peer takes settled messages, which are not confirmed")
	}
	if o.limit == 0 || uint64(l.size) <= o.limit {
		return nil
	}
	l.keep()
	if n := len(l.payload); uint64(n) > o.limit {
		return tooLarge("the message has %d bytes, the peer's limit is %d", n, o.limit)
	}
	return nil
}

// wait waits for room for n bytes, until ctx ends or nothing more is taken in.
func (o *outlet) wait(ctx context.Context, n int64) error {
	if o.room.TryAcquire(n) {
		return nil
	}
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(o.taking, cancel)()
	if o.room.Acquire(waiting, n) == nil {
		return nil
	}
	if ctx.Err() == nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		return cmp.Or(o.err, context.Cause(o.c.ctx), transport.ErrClosed)
	}
	return busy(ctx, "the peer has not taken earlier messages to this address")
}

// flush waits until all that was put before has been written.
func (o *outlet) flush(ctx context.Context) error {
	passed := make(chan struct{})
	o.mark(&letter{passed: func() { close(passed) }})
	select {
	case <-passed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// finish sends what waits, and ends the link.
func (o *outlet) finish(ctx context.Context) {
	o.seal(transport.ErrClosed)
	select {
	case <-o.gone:
	case <-ctx.Done():
	}
}

// run sends what is in the queue.
func (o *outlet) run() {
	err := o.attach()
	if err == nil {
		close(o.up)
	}
	for err == nil {
		l := o.next()
		if l == nil {
			break
		}
		err = o.deliver(l)
	}
	o.end(err)
}

// next waits for a letter. There is none any more if it returns nil.
func (o *outlet) next() *letter {
	for joined := true; o.c.ctx.Err() == nil; {
		o.mu.Lock()
		if o.working = len(o.queue) > 0; o.working {
			l := o.queue[0]
			o.queue[0] = nil
			o.queue = o.queue[1:]
			more := len(o.queue) > 0
			o.mu.Unlock()
			if more {
				o.hold()
			}
			return l
		}
		if joined {
			o.mu.Unlock()
			runtime.Gosched() // let those who are about to send join
			joined = false
			continue
		}
		o.queue, o.used = nil, time.Now()
		sealed := o.err != nil
		o.mu.Unlock()
		o.release()
		if sealed {
			return nil
		}
		select {
		case <-o.wake:
		case <-o.c.ctx.Done():
		}
		runtime.Gosched() // likewise
	}
	return nil
}

// hold has what is written gather, until release, so that messages that wait one
// behind the other leave together.
func (o *outlet) hold() {
	if !o.holds {
		o.holds = true
		o.c.guard.stream.Hold()
	}
}

// release writes what has gathered.
func (o *outlet) release() {
	if o.holds {
		o.holds = false
		o.c.guard.stream.Release()
	}
}

// deliver sends one letter. It returns an error if there is no link any more
// and none can be had.
func (o *outlet) deliver(l *letter) error {
	switch {
	case l.probe:
		o.probe()
		return nil
	case l.payload == nil:
		o.pass(l)
		return nil
	}
	defer o.room.Release(l.need)
	if !o.alive() {
		o.detach()
		if err := o.attach(); err != nil {
			o.fail(l, o.c.opError("send", err))
			return err
		}
	}
	o.mu.Lock()
	err := o.refuses(l)
	o.mu.Unlock()
	if err == nil {
		err = o.transfer(l)
	}
	switch {
	case err == nil:
	case !l.begun:
		o.fail(l, o.c.opError("send", cmp.Or(context.Cause(o.c.ctx), err)))
	case l.done == nil: // else the spout tells
		o.fail(l, o.c.lost(cmp.Or(context.Cause(o.c.ctx), err)))
	}
	return nil
}

// transfer writes a letter, as the peer takes it.
func (o *outlet) transfer(l *letter) error {
	for {
		if err := o.spout.write(o.c.ctx, l); err != nil || l.whole {
			return err
		}
		o.release() // the peer may have to see it first
		if err := o.spout.wait(o.c.ctx, l); err != nil {
			return err
		}
	}
}

// mark puts a letter that is no message.
func (o *outlet) mark(l *letter) {
	o.mu.Lock()
	over := o.over
	if !over {
		o.queue = append(o.queue, l)
		o.watch(l)
	}
	o.mu.Unlock()
	if over {
		o.pass(l)
		return
	}
	o.signal()
}

// fail tells what became of a letter that was not sent, or may not have been.
func (o *outlet) fail(l *letter, err error) {
	o.mu.Lock()
	waits := l.waits
	if waits {
		l.err = err
	}
	o.mu.Unlock()
	switch {
	case waits:
	case l.done != nil:
		l.done(err)
	default:
		o.c.undelivered(o.target, err)
	}
}

// end tells all who wait that there is no link.
func (o *outlet) end(err error) {
	c := o.c
	c.mu.Lock()
	if c.outlets[o.target] == o {
		delete(c.outlets, o.target)
	}
	c.mu.Unlock()
	o.mu.Lock()
	o.err = cmp.Or(o.err, context.Cause(c.ctx), err)
	left := o.queue
	o.queue, o.over = nil, true
	err = o.err
	o.mu.Unlock()
	o.refuse()
	for _, l := range left {
		if l.payload == nil {
			o.pass(l)
			continue
		}
		o.room.Release(l.need)
		o.fail(l, err)
	}
	select {
	case <-o.up:
	default:
		close(o.up)
	}
	o.detach()
	close(o.gone)
}
