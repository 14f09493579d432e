package amqp

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	goamqp "github.com/Azure/go-amqp"
	"golang.org/x/sync/semaphore"

	"github.com/polyport/polyport/transport"
)

// fresh is how long a link that has just taken a message counts as alive.
const fresh = 20 * time.Millisecond

// An outlet sends to one address, by a link in a session of its own. Messages
// wait in its bounded queue, for the link, its credit and the session's window;
// go-amqp never sees the context of who sends.
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
	used    time.Time   // when the queue was last empty
	limit   uint64      // bytes that the peer takes in a message, or 0

	// The following belong to run.
	seat    *seat
	sender  *goamqp.Sender
	last    time.Time // when the link has taken a message
	settles bool      // the peer takes messages that are settled when sent
	burst   burst
}

// A letter is what waits in an outlet: a message, or a mark.
type letter struct {
	msg    *goamqp.Message
	need   int64
	size   int         // in bytes, about
	done   func(error) // of SendConfirmed, or nil
	passed func()      // of a mark: all before it is sent; protected by the outlet's mu
	since  time.Time   // of a mark that may become overdue
	probe  bool        // a mark: look whether there is a link
	waits  bool        // its Send waits for the link; protected by the outlet's mu
	err    error       // for that Send; likewise
}

// errEvicted: the outlet has made way for another since it was looked up.
var errEvicted = errors.New("amqp: the link was given up")

// Send sends m to its address, or that of the URL.
func (c *clientConn) Send(ctx context.Context, m *transport.Message) error {
	return c.send(ctx, m, nil)
}

// SendConfirmed sends m unsettled; done is told of the outcome.
func (c *clientConn) SendConfirmed(ctx context.Context, m *transport.Message, done func(error)) error {
	if err := c.awaitConfirm(ctx); err != nil {
		return c.opError("send", err)
	}
	err := c.send(ctx, m, func(err error) {
		<-c.confirms
		done(err)
	})
	if err != nil {
		<-c.confirms
	}
	return err
}

// awaitConfirm takes one of confirms.
func (c *clientConn) awaitConfirm(ctx context.Context) error {
	select {
	case c.confirms <- struct{}{}:
		return nil
	default:
	}
	select {
	case c.confirms <- struct{}{}:
		return nil
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	case <-ctx.Done():
		return busy(ctx, "too many messages wait for their confirmation")
	}
}

func busy(ctx context.Context, why string) error {
	return errors.Join(transport.WithReason(transport.ErrBusy, why), context.Cause(ctx))
}

func (c *clientConn) send(ctx context.Context, m *transport.Message, done func(error)) error {
	size, err := check(m, &c.info.Limits)
	if err == nil {
		err = c.peer.check(m)
	}
	if err != nil {
		return c.opError("send", err)
	}
	to := cmp.Or(m.To, c.to)
	r := c.peer.route(to, c.to, m.Subject)
	msg := encode(m, to, cmp.Or(r.subject, m.Subject))
	l := &letter{msg: msg, need: min(int64(size), c.buffer), size: size, done: done}
	for err = errEvicted; errors.Is(err, errEvicted); {
		var o *outlet
		if o, err = c.outlet(r.target); err == nil {
			err = o.put(ctx, l)
		}
	}
	if _, told := errors.AsType[*transport.OpError](err); err != nil && !told {
		err = c.opError("send", err)
	}
	return err
}

// outlet finds the outlet of a link's address, or makes it.
func (c *clientConn) outlet(target string) (*outlet, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.over(); err != nil || c.dead {
		return nil, cmp.Or(err, transport.ErrClosed)
	}
	o := c.outlets[target]
	if o == nil {
		o = &outlet{
			c: c, target: target, room: semaphore.NewWeighted(c.buffer), settles: true,
			wake: make(chan struct{}, 1), up: make(chan struct{}), gone: make(chan struct{}),
			burst: burst{stream: c.guard.stream},
		}
		o.taking, o.refuse = context.WithCancel(c.ctx)
		c.outlets[target] = o
		c.pumps.Go(o.run)
	}
	return o, nil
}

func (c *clientConn) allOutlets() (all []*outlet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.outlets {
		all = append(all, o)
	}
	return all
}

// evict has the outlet go that was not used for the longest time, so that its
// session becomes free, and waits until it has.
func (c *clientConn) evict(ctx context.Context) error {
	var oldest *outlet
	var since time.Time
	for _, o := range c.allOutlets() {
		if used, idle := o.idle(); idle && (oldest == nil || used.Before(since)) {
			oldest, since = o, used
		}
	}
	if oldest == nil {
		return transport.WithReason(transport.ErrBusy, "all sessions that the peer allows are in use")
	}
	c.mu.Lock()
	delete(c.outlets, oldest.target)
	c.mu.Unlock()
	oldest.seal(errEvicted)
	select {
	case <-oldest.gone:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
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

// put waits for room and, at first, for the link.
func (o *outlet) put(ctx context.Context, l *letter) error {
	if err := o.wait(ctx, l.need); err != nil {
		return err
	}
	o.mu.Lock()
	if err := cmp.Or(o.err, o.tooLarge(l)); err != nil {
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

// tooLarge reports whether the peer has said that it takes no such message. It
// needs mu.
func (o *outlet) tooLarge(l *letter) error {
	if n := len(l.msg.Data[0]); o.limit > 0 && uint64(n) > o.limit {
		return tooLarge("the body has %d bytes, the peer's limit is %d", n, o.limit)
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
				o.burst.hold()
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
		o.burst.release()
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

// deliver sends one letter. It returns an error if there is no link any more
// and none can be had.
func (o *outlet) deliver(l *letter) error {
	switch {
	case l.probe:
		o.probe()
		return nil
	case l.msg == nil:
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
	err := o.transfer(l)
	switch {
	case err == nil:
		o.last = time.Now()
	case isOwn(err):
		o.fail(l, o.c.opError("send", linkErr(err)))
	default:
		o.last = time.Time{} // look whether there is a link before the next
		o.fail(l, o.c.lost(cmp.Or(context.Cause(o.c.ctx), linkErr(err))))
	}
	return nil
}

// probe has all outlets look whether they have a link.
func (c *clientConn) probe() {
	for _, o := range c.allOutlets() {
		o.mark(&letter{probe: true})
	}
}

// probe looks whether there is a link. If there is none, what was sent last may
// be lost.
func (o *outlet) probe() {
	if err := o.lost(); err != nil {
		o.detach()
		o.c.undelivered(o.target, o.c.lost(linkErr(err)))
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

// alive reports whether there is a link.
func (o *outlet) alive() bool {
	return o.sender != nil && (time.Since(o.last) < fresh || o.lost() == nil)
}

// lost returns why there is no link any more, or nil. To hand in a delivery tag
// that is too long sends nothing: it is refused, unless the link has ended,
// which is told first.
func (o *outlet) lost() error {
	if o.sender == nil {
		return nil
	}
	_, err := o.sender.SendWithReceipt(context.Background(), overlong, nil)
	if isLoss(err) {
		return err
	}
	return nil
}

// overlong is a message whose delivery tag is over the limit of 32 bytes.
var overlong = &goamqp.Message{DeliveryTag: make([]byte, 33)}

// transfer hands a letter to go-amqp, and returns when it is written.
func (o *outlet) transfer(l *letter) error {
	if l.done == nil && o.settles && l.size < o.c.inOne {
		err := o.sender.Send(context.Background(), l.msg, &goamqp.SendOptions{Settled: true})
		if err == nil || isLoss(err) || isOwn(err) {
			return err
		}
		o.settles = false // nothing was sent: the link is for unsettled messages only
	}
	receipt, err := o.sender.SendWithReceipt(context.Background(), l.msg, nil)
	if err == nil && l.done != nil {
		o.c.pumps.Go(func() { l.done(o.c.outcome(receipt)) })
	}
	return err
}

// outcome waits for the outcome of a message.
func (c *clientConn) outcome(r goamqp.SendReceipt) error {
	state, err := r.Wait(c.ctx)
	switch {
	case err != nil:
		return c.lost(cmp.Or(context.Cause(c.ctx), linkErr(err)))
	case state == nil: // the peer settled without saying how
		return nil
	}
	if err := outcomeError(state); err != nil {
		return c.opError("send", err)
	}
	return nil
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

// undelivered is told of what Send has accepted and is lost. One who serves
// must not be lost to all for an answer to somebody who has gone; one who only
// calls has to learn that nobody will answer.
func (c *clientConn) undelivered(target string, err error) {
	if c.over() != nil {
		return
	}
	c.mu.Lock()
	serves := len(c.inlets) > 0
	c.mu.Unlock()
	if target == c.to && !serves {
		c.fail(err)
		return
	}
	c.log.Warn("a message could not be sent", "to", target, "remote", c.info.Remote, "err", err)
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
		if l.msg == nil {
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
	o.burst.release()
	o.detach()
	close(o.gone)
}

// attach gets a link in a session of its own.
func (o *outlet) attach() error {
	if err := o.c.patiently(context.Background(), o.open); err != nil {
		return linkErr(err)
	}
	o.settles, o.last = true, time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.limit = o.sender.MaxMessageSize()
	return nil
}

// open asks for the link.
func (o *outlet) open(ctx context.Context) error {
	address, durable := o.target, o.target != "" && o.c.peer.declares(o.target)
	for {
		s, err := o.c.ownSeat(ctx)
		if err != nil {
			return err
		}
		var opts goamqp.SenderOptions
		if durable {
			opts.TargetDurability = goamqp.DurabilityConfiguration
		}
		if isTopic(address) && o.c.peer.rabbit == 0 {
			opts.TargetCapabilities = []string{"topic"}
		}
		sender, err := s.NewSender(ctx, address, &opts)
		if err == nil {
			o.seat, o.sender = s, sender
			return nil
		}
		o.c.leaveSoon(s)
		if !durable || !isCondition(err, goamqp.ErrCondPreconditionFailed) {
			return err
		}
		address, durable = o.c.peer.existing(address), false
	}
}

// detach ends the link and its session. Proton forgets what it has not yet
// looked at when a session ends before its links; RabbitMQ 3 never answers the
// end of a link alone.
func (o *outlet) detach() {
	if o.seat == nil {
		return
	}
	ctx, cancel := context.WithTimeout(o.c.ctx, endPatience)
	defer cancel()
	if o.c.peer.rabbit == 0 {
		_ = o.sender.Close(ctx)
	}
	o.c.leave(ctx, o.seat)
	o.seat, o.sender = nil, nil
}
