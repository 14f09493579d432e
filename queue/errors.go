package queue

import (
	"context"
	"errors"
	"fmt"
)

var (
	// ErrFull reports that there was no place left for a job.
	ErrFull = errors.New("queue: full")
	// ErrClosed reports that the queue, the lane or the adaptor is closed.
	ErrClosed = errors.New("queue: closed")
	// ErrDropped is what a waiting job is dropped with when a newer one takes
	// its place; see [DropOldest].
	ErrDropped = errors.New("queue: dropped for a newer job")
	// ErrNotRun is wrapped by the error of a future of [Submit] whose function
	// was never called: doing it again is safe.
	ErrNotRun = errors.New("queue: not run")
	// ErrNotSent is wrapped by the error of a future of [Lockstep] whose
	// request was never given to an [Exchanger]: sending it again is safe.
	ErrNotSent = errors.New("queue: not sent")
	// ErrTimeout is the error of a future of [Lockstep] whose turn lasted longer
	// than [LockstepOptions.Timeout]. It wraps [context.DeadlineExceeded], and
	// is itself wrapped with [ErrNotSent] if the time went into opening.
	ErrTimeout = fmt.Errorf("queue: exchange timed out: %w", context.DeadlineExceeded)
	// ErrCanceled is wrapped by the error of a future that [Future.Cancel]
	// completed.
	ErrCanceled = errors.New("queue: future canceled")
	// ErrWait is wrapped by the error of a [Future.Get] whose own context
	// ended: nothing is known about the future, which goes on.
	ErrWait = errors.New("queue: wait for a future ended")
	// ErrGoexit is the Value of the [PanicError] of a function that ended its
	// goroutine with [runtime.Goexit].
	ErrGoexit = errors.New("queue: runtime.Goexit called")
	// ErrNoFutures is the error of [Race] without futures.
	ErrNoFutures = errors.New("queue: race of no futures")

	errNilReject = errors.New("queue: rejected without an error")
)

// A PanicError is the error of a future whose function panicked.
type PanicError struct {
	// Value is what was given to panic, or [ErrGoexit].
	Value any
	// Stack is the stack of the goroutine that panicked, as [debug.Stack]
	// formats it.
	Stack []byte
}

// Error says what the panic was, without the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("queue: panic: %v", e.Value) }

// Unwrap returns Value if it is an error, and nil if not.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// A waitError keeps ctx's error beside its cause, because a cause need not wrap
// the error.
type waitError struct{ err, cause error }

func (e *waitError) Error() string { return ErrWait.Error() + ": " + e.cause.Error() }

func (e *waitError) Unwrap() []error { return []error{ErrWait, e.err, e.cause} }

// ended returns the cause of ctx's end, or nil while ctx goes on.
func ended(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return context.Cause(ctx)
}
