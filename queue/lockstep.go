package queue

import (
	"context"
	"errors"
	"sync"
	"time"
)

// An Exchanger sends a request and waits for its answer over something that
// allows one request in flight, such as a ZMQ REQ socket or a plain HTTP
// connection. [Lockstep] calls Exchange from one goroutine at a time.
//
// One that also has a method Alive() bool is asked before an idle connection is
// used again, and replaced if the answer is false. Alive must not wait.
type Exchanger[Req, Resp any] interface {
	// Exchange sends r and returns the answer to it. It should return soon
	// after ctx has ended, and must return soon after Close was called. After
	// an error the state of the connection is taken to be unknown: Exchange is
	// not called again.
	Exchange(ctx context.Context, r Req) (Resp, error)
	// Close frees the connection. It is called exactly once, perhaps while
	// Exchange runs or just before it begins, when ctx ends at that very
	// moment, and must not wait for the peer.
	Close() error
}

// LockstepOptions adjusts a [Lockstep]. A nil *LockstepOptions means the
// defaults.
type LockstepOptions struct {
	// Conns is how many connections may be open, and so how many requests may
	// be in flight. With one, requests are sent in order. Zero or less means 1.
	Conns int
	// Depth is how many requests may wait. Zero or less means 1024.
	Depth int
	// Policy is what happens to a request that finds no place. The zero value
	// is [Reject].
	Policy Policy
	// BlockFor is for the policy [BlockFor]; see [Options.BlockFor].
	BlockFor time.Duration
	// Timeout bounds each exchange, from the moment when it is the request's
	// turn; opening a connection, if it needs one, is included. Zero or less
	// means 30 s.
	Timeout time.Duration
}

func (o *LockstepOptions) conns() int {
	if o == nil || o.Conns <= 0 {
		return 1
	}
	return o.Conns
}

func (o *LockstepOptions) timeout() time.Duration {
	if o == nil || o.Timeout <= 0 {
		return 30 * time.Second
	}
	return o.Timeout
}

func (o *LockstepOptions) queue() *Options {
	if o == nil {
		o = &LockstepOptions{}
	}
	return &Options{Depth: o.Depth, Workers: o.conns(), Policy: o.Policy, BlockFor: o.BlockFor}
}

// A Lockstep turns exchanges over connections that allow one request in flight
// each into futures. A connection is opened when a request needs one, and used
// again only after an exchange that went well: after a failure, a timeout or a
// cancel it is closed, and the next request that needs one opens another. So a
// late answer meets no other request.
//
// All methods may be called from any goroutine. Make one with [NewLockstep]; it
// must be closed.
type Lockstep[Req, Resp any] struct {
	open    func(context.Context) (Exchanger[Req, Resp], error)
	timeout time.Duration
	q       *Queue
	lane    *Lane

	mu     sync.Mutex // protects the fields below
	closed bool
	idle   []*conn[Req, Resp] // the last used at the end
	count  LockstepStats      // without Queue
}

// NewLockstep returns an adaptor that opens its connections with open, whose
// ctx bounds the opening only. It panics if open is nil or the policy is none
// of the constants of type [Policy].
func NewLockstep[Req, Resp any](
	open func(ctx context.Context) (Exchanger[Req, Resp], error), o *LockstepOptions,
) *Lockstep[Req, Resp] {
	if open == nil {
		panic("queue: NewLockstep with nil open")
	}
	l := &Lockstep[Req, Resp]{open: open, timeout: o.timeout(), q: New(o.queue())}
	l.lane = l.q.Lane(nil)
	return l
}

// Do queues req and returns the future of its answer. It waits no longer than
// the policy says, and it never fails itself. Three outcomes can be told apart:
//
//   - The request was not sent: the error wraps [ErrNotSent] and the reason,
//     such as [ErrFull], [ErrClosed], the cause of ctx's end before req was
//     sent, or the error of open.
//   - The request was given to an [Exchanger] and not answered; the peer may
//     have done what it asks for. The error is that of Exchange as it is, a
//     [PanicError], [ErrTimeout], the cause of ctx's end, or ErrClosed when
//     Close gave up.
//   - The request was answered.
//
// ctx bounds the work. Canceling the future ends an exchange that goes on, and
// keeps one that has not begun from being sent.
func (l *Lockstep[Req, Resp]) Do(ctx context.Context, req Req) *Future[Resp] {
	x := &exchange[Req, Resp]{l: l, req: req}
	x.unstarted = ErrNotSent
	return x.submit(ctx, l.lane, x)
}

// Close refuses new requests at once, lets those that wait and those in flight
// go on until ctx ends, fails what is left then, and closes the connections. It
// returns what [Queue.Close] returns, joined with the errors of the connections
// that were idle. It may be called any number of times.
func (l *Lockstep[Req, Resp]) Close(ctx context.Context) error {
	errs := []error{l.q.Close(ctx)}
	l.mu.Lock()
	l.closed = true // from here on, whoever is done with a connection closes it
	idle := l.idle
	l.idle = nil
	l.count.Open -= len(idle)
	l.mu.Unlock()
	for _, c := range idle {
		errs = append(errs, c.close())
	}
	return errors.Join(errs...)
}

// LockstepStats is a snapshot of a [Lockstep].
type LockstepStats struct {
	Queue    Stats  // its requests; those in flight are Running
	Open     int    // connections, at most [LockstepOptions.Conns]
	Opened   uint64 // connections that were ever opened
	Replaced uint64 // connections closed because an exchange did not go well, or found dead
	Late     uint64 // answers that came after their request had failed, and were discarded
}

// Stats returns the present numbers.
func (l *Lockstep[Req, Resp]) Stats() LockstepStats {
	l.mu.Lock()
	s := l.count
	l.mu.Unlock()
	s.Queue = l.q.Stats()
	return s
}
