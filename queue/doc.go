// Package queue holds work until there is someone to do it, within bounds, and
// hands out futures of its results.
//
// It knows nothing of RPC or of any transport: a server puts one [Job] for each
// request into a [Queue], a client gets a [Future] for each call, and
// [Lockstep] makes futures out of wires that allow one request at a time.
//
// # Queues and lanes
//
// A [Queue] has room for a number of waiting jobs and a number of workers that
// run them. Jobs come in through a [Lane], of which each peer has its own:
//
//	q := queue.New(&queue.Options{Depth: 1024, Workers: 256})
//	lane := q.Lane(&queue.LaneOptions{Depth: 128})
//	err := lane.Submit(ctx, job)
//
// Lanes that have jobs waiting take turns, one job each: before a lane's next
// job starts, every other lane starts one at the most, however many it has.
// Inside a lane jobs start in the order in which they were submitted; with
// [LaneOptions.Width] 1 each also waits for the end of the one before.
// [LaneOptions.Depth] keeps one peer from taking all the places.
//
// Submit does not allocate. When a worker is free and it is the job's turn, the
// job is handed over directly, to the worker that was parked last. Under load
// workers take the next job themselves and do not park.
//
// # What happens to a job
//
// For every job that was accepted either Run or Drop is called, exactly once,
// whatever happens at the same time. For a job that was refused, because Submit
// returned an error, neither is. So a server may answer "busy" on an error, and
// must answer from Run or from Drop otherwise.
//
// A job is dropped when its context has ended before its turn, when its lane or
// the queue is closed, or for a newer one under the policy [DropOldest]. A job
// that panics is logged and counted; it takes nothing with it.
//
// # When there is no place
//
// The [Policy] of the queue decides. [Reject], the default, refuses the job
// with [ErrFull]: right for a reader that must not wait, because the answers to
// our own calls come over the same wire. [Block] and [BlockFor] make the
// submitter wait: right where that pushes back on the one who is too fast.
// [DropOldest] is for events. Those who wait are served first come first served
// within a lane, and lanes take turns. A unit of jobs that belong together is
// accepted whole or not at all; see [Lane.SubmitAll].
//
// [Lane.Pause] keeps a lane's jobs from starting, for a peer that does not read
// its answers. They keep their places meanwhile.
//
// # Closing
//
// [Queue.Close] refuses new jobs at once and lets the others end. If its context
// ends first it drops what waits and tells what runs, through [Queue.Context],
// and returns without waiting for a job that never ends. Every goroutine of the
// queue belongs to it: when Close has returned nil, none is left.
//
// # Futures
//
// A [Future] is completed once, by whatever comes first: the result, an error,
// or [Future.Cancel]. The one who does the work holds the [Promise]. [Submit]
// runs a function in a lane and returns its future:
//
//	f := queue.Submit(ctx, lane, func(ctx context.Context) (int, error) { … })
//	v, err := f.Get(waitCtx)
//
// Submit returns no error of its own. If the function cannot be queued, the
// future has failed already. ctx bounds the work and waitCtx the wait: an error
// of Get that wraps [ErrWait] says nothing about the work, which goes on. An
// error that wraps [ErrNotRun] or [ErrNotSent] says that nothing was done, so
// that trying again is safe.
//
// [Then], [All], [Race] and [Future.OnDone] combine futures. Functions given to
// them are called with no lock held and on goroutines of their own, never on
// the one that completes the future, so they may block and may use the same
// future. Such a goroutine belongs to the one who holds the future that they
// returned, which is complete when the function has returned or was canceled.
//
// # One request in flight
//
// [Lockstep] takes an [Exchanger], a connection on which each request must be
// answered before the next, and makes futures of its exchanges. A connection on
// which something went wrong is closed and replaced, so that an answer that
// comes too late is lost with it, and never taken for the answer to the next
// request.
package queue
