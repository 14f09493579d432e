package rpc

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/transport"
)

const (
	// tick is how often a session looks whether somebody receives. A handler
	// that runs where its request was received keeps nobody from receiving for
	// longer than two of them.
	tick = time.Millisecond
	// alone is how many answers in a row must have come for the only call that
	// waited before callers receive for themselves.
	alone = 16
)

// receiving says which goroutine of a session receives. To wake another
// goroutine costs more than all else that is done for a small call, so a
// request that takes little time is served by the goroutine that received it,
// and a caller who is alone receives its own answer.
//
// One goroutine at a time receives. By default it is the session's loop. When a
// handler that it runs takes longer than thought, another loop takes its place
// (the handler goes on, and its goroutine ends with it). When one caller after
// the other waited alone, the loop parks and leaves it to callers to lead: each
// receives until it has its answer. The loop comes back when there is no leader
// while others wait, and when there was none for a tick.
type receiving struct {
	s    *session
	wake chan struct{} // has a token when the parked loop is to go on

	mu      sync.Mutex // protects the fields below
	timer   *time.Timer
	armed   bool   // the timer runs
	served  uint64 // requests served where they were received
	now     uint64 // the one being served, 0 for none
	job     quickJob
	parked  bool
	leading bool
	led     uint64 // how often somebody led
	// seen are now and led at the last tick.
	seenNow, seenLed uint64
	// left and failure are what a leader's Recv returned, for the loop.
	left    *transport.Message
	failure error
	closed  bool

	streak int         // answers for the only one who waited; of the loop
	lent   atomic.Bool // whoever waited for the last future lent its goroutine
}

// arm makes the timer run. It needs mu.
func (r *receiving) arm() {
	if r.armed || r.closed {
		return
	}
	r.armed = true
	if r.timer == nil {
		r.timer = time.AfterFunc(tick, r.look)
		return
	}
	r.timer.Reset(tick)
}

// look is called at each tick.
func (r *receiving) look() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.armed = false
	switch {
	case r.now != 0 && r.now == r.seenNow:
		r.job.doubt() // or the next like it would hold up the connection as long
		r.now, r.job = 0, nil
		go r.s.loop()
	case r.parked && !r.leading && r.led == r.seenLed:
		r.unpark()
	case r.now != 0 || r.parked && !r.leading || r.served != r.seenNow:
		r.arm()
	}
	r.seenNow, r.seenLed = r.served, r.led
}

// unpark lets the loop go on. It needs mu, and the loop to be parked.
func (r *receiving) unpark() {
	r.parked = false
	r.wake <- struct{}{}
}

// begin notes that a request is about to be served by the loop itself.
func (r *receiving) begin(j quickJob) (n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.served++
	r.now, r.job = r.served, j
	r.arm()
	return r.now
}

// done reports whether the goroutine that called begin is still the loop.
func (r *receiving) done(n uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now != n {
		return false
	}
	r.now, r.job = 0, nil
	return true
}

// park lets callers lead, and returns when the loop has to go on.
func (r *receiving) park() {
	r.streak = 0
	r.mu.Lock()
	if r.closed || r.s.calls.wait() { // who waits by now counts on the loop
		r.mu.Unlock()
		return
	}
	r.parked = true
	r.arm()
	r.mu.Unlock()
	<-r.wake
	r.streak = 0
}

// next returns what a leader has left to the loop, or else what is received.
func (r *receiving) next() (m *transport.Message, err error) {
	r.mu.Lock()
	m, err = r.left, r.failure
	r.left, r.failure = nil, nil
	r.mu.Unlock()
	if m != nil || err != nil {
		return m, err
	}
	return r.s.conn.Recv(context.Background())
}

// lead receives on behalf of a caller, until it has its answer or ctx ends, if
// nobody else does.
func (r *receiving) lead(ctx context.Context, w *waiter) {
	r.mu.Lock()
	lead := r.parked && !r.leading
	r.leading = r.leading || lead
	r.mu.Unlock()
	if !lead {
		return
	}
	var left *transport.Message
	var err error
	for !w.answered() && left == nil && err == nil {
		var m *transport.Message
		if m, err = r.s.conn.Recv(ctx); err == nil && !r.s.receive(m, nil) {
			left = m
		}
	}
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		err = nil // of the caller's alone
	}
	if r.s.gatherer != nil {
		r.s.gatherer.Release()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leading = false
	r.led++
	r.left, r.failure = left, err
	if left != nil || err != nil || r.closed || r.s.calls.wait() {
		r.unpark()
	} else {
		r.arm()
	}
}

// vacant reports whether a caller could lead now.
func (r *receiving) vacant() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.parked && !r.leading
}

// follow sees to it that somebody receives, for one who will not.
func (r *receiving) follow() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.parked && !r.leading {
		r.unpark()
	}
}

// close lets nobody lead or park any more.
func (r *receiving) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.timer != nil {
		r.timer.Stop()
	}
	if r.parked && !r.leading {
		r.unpark()
	}
}

// loop receives until the connection ends, and then settles every account; or
// until another loop has taken its place.
func (s *session) loop() {
	at := &place{s: s}
	left := false
	defer func() {
		if !left && !at.taken { // a handler called Goexit
			go s.loop()
		}
	}()
	for {
		if s.receiving.streak >= alone {
			s.receiving.park()
		}
		m, err := at.next()
		switch {
		case err == nil:
			s.receive(m, at)
			if at.taken {
				left = true
				return
			}
		case errors.Is(err, transport.ErrReconnecting):
			s.log.Warn("connection lost", "err", err)
			s.calls.lose(err)
			s.metadata.Store(metadataUnknown) // the next peer may be another one
			if s.heard != nil {
				s.heard.lost()
			} else {
				s.subscriptions.lost()
			}
		default:
			left = true
			s.end(s.why(err))
			return
		}
	}
}

// A place is where requests that take little time may be served: on the loop.
type place struct {
	s     *session
	job   quickJob // the one being served
	taken bool     // another loop has taken over
	brief *method  // of the last request, if it was served here because it was alone
}

// fits reports whether requests of m may be served here: they take little time,
// or the one at hand is alone and takes some.
func (p *place) fits(m *method) bool {
	switch {
	case m == nil:
		return false
	case m.quick.enough():
		return true
	case !m.brief.enough() || !p.s.alone():
		return false
	}
	p.brief = m
	return true
}

// next is what is received next. If that was there at once, it had to wait for
// what was served here.
func (p *place) next() (*transport.Message, error) {
	m := p.brief
	if m == nil {
		return p.s.receiving.next()
	}
	p.brief = nil
	began := time.Now()
	defer func() { m.brief.note(time.Since(began) > little) }()
	return p.s.receiving.next()
}

// A quickJob is one that has proven quick.
type quickJob interface {
	queue.Job
	// way is the lane that it would go by.
	way() *queue.Lane
	// doubt makes those like it prove it again.
	doubt()
}

// serve runs j here if it can.
func (p *place) serve(ctx context.Context, j quickJob) bool {
	p.job = j
	served := j.way().RunHere(ctx, p)
	p.job = nil
	return served
}

// Run implements [queue.Job]. Nobody may take over before the job has its turn: what
// the next loop receives would come before it.
func (p *place) Run(ctx context.Context) {
	n := p.s.receiving.begin(p.job)
	defer func() { p.taken = !p.s.receiving.done(n) }() // also when the job ends its goroutine
	p.job.Run(ctx)
}

// Drop implements [queue.Job].
func (p *place) Drop(err error) { p.job.Drop(err) }
