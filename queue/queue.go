package queue

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// A Job is work for a [Queue]. For every job that a queue accepts exactly one
// of the two methods is called, exactly once, never while a lock of the queue
// is held. The queue lets go of the job when that call returns.
type Job interface {
	// Run does the work. ctx is the one the job was submitted with, and it had
	// not ended shortly before the call. A panic ends nothing but this job: it
	// is logged and counted. So is Run calling [runtime.Goexit], which ends
	// its goroutine, for the queue then starts another.
	Run(ctx context.Context)
	// Drop is called instead of Run when the job will never run: with the
	// cause of its context's end, with [ErrDropped], with what the lane was
	// closed with, or with [ErrClosed]. It is called on the goroutine that
	// found the job out, so it must not block; a panic is logged and counted.
	Drop(err error)
}

// A Queue is a bounded set of waiting jobs with workers that run them. Jobs are
// submitted to lanes, one for each peer; see [Queue.Lane].
//
// All methods may be called from any goroutine. Make one with [New]; it must be
// closed to end its goroutines.
type Queue struct {
	depth, width int // width is how many workers there may be
	policy       Policy
	blockFor     time.Duration
	log          *slog.Logger
	ctx          context.Context
	cancel       context.CancelCauseFunc
	gone         chan struct{} // closed when q is closed, empty and without workers

	mu       sync.Mutex // protects the fields below and those of lanes, workers and submitters
	closed   bool
	over     bool      // gone is closed
	ready    laneList  // the round: the lane at its head starts the next job
	hungry   laneList  // the same for blocked submitters
	holding  laneList  // every lane with waiting jobs, paused ones too
	idle     *worker   // parked workers, the last parked first
	parked   int       // length of idle
	workers  []*worker // all that were ever started, for [Queue.abort]
	alive    int       // workers that have not ended
	here     int       // jobs that run where they were submitted; see [Lane.RunHere]
	waiting  int
	running  int
	dropping int // jobs whose Drop is due or being called outside mu
	blocked  int
	free     *node
	spare    []*submitter
	count    counters
}

type counters struct {
	accepted, rejected, done, panicked, dropped, expired uint64
}

// New returns a queue with the given options. It panics if the policy is none
// of the constants of type [Policy].
func New(o *Options) *Queue {
	if !o.policy().valid() {
		panic("queue: New with unknown " + o.policy().String())
	}
	q := &Queue{
		depth:    o.depth(),
		width:    o.workers(),
		policy:   o.policy(),
		blockFor: o.blockFor(),
		log:      o.logger(),
		gone:     make(chan struct{}),
		ready:    laneList{kind: onReady},
		hungry:   laneList{kind: onHungry},
		holding:  laneList{kind: onHolding},
	}
	q.ctx, q.cancel = context.WithCancelCause(context.Background())
	return q
}

// Context returns a context that ends, with the cause [ErrClosed], when [Queue.Close]
// gives up waiting or has nothing left to wait for. A job is run with the very
// context it was submitted with, which costs nothing; to have running jobs
// told that Close has given up, submit them with contexts derived from this
// one, as a server does that derives each connection's context from it. Jobs
// of [Submit] and [Lockstep] are told in any case.
func (q *Queue) Context() context.Context { return q.ctx }

// Stats is a snapshot of a [Queue], all of it taken at one moment. Each job
// that was accepted is in exactly one of Waiting, Running, Done, Dropped and
// Expired, so these always add up to Accepted.
type Stats struct {
	Waiting  int // jobs that wait for their turn, at most Capacity
	Running  int // jobs that run, at most Workers
	Blocked  int // submitters that wait for a place
	Capacity int // [Options.Depth]
	Workers  int // [Options.Workers]

	Accepted uint64 // jobs that Submit and SubmitAll accepted
	Rejected uint64 // jobs that they refused, for whatever reason
	Done     uint64 // jobs that were run to their end
	Panicked uint64 // panics of Run and Drop; the job is counted elsewhere too
	Dropped  uint64 // jobs dropped for a newer one, or when something was closed
	Expired  uint64 // jobs dropped because their context had ended
}

// Stats returns the present numbers.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	return Stats{
		Waiting:  q.waiting,
		Running:  q.running,
		Blocked:  q.blocked,
		Capacity: q.depth,
		Workers:  q.width,
		Accepted: q.count.accepted,
		Rejected: q.count.rejected,
		Done:     q.count.done,
		Panicked: q.count.panicked,
		Dropped:  q.count.dropped,
		Expired:  q.count.expired,
	}
}
