package queue

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// A Future is the result of work that may not have ended yet: a value or an
// error, set exactly once by whatever comes first, the producer's result or a
// cancel. It is the read side of a [Promise]; waiting for it neither drives nor
// bounds the work.
//
// All methods may be called from any goroutine. A Future must not be copied.
type Future[T any] struct {
	// complete is set last, when val and err will change no more, save by later.
	complete atomic.Bool
	later    *later[T] // nil if val and err are the result, or that of source is
	fetch    bool      // the result is that of source
	fetched  sync.Once
	source   Source[T] // nil without one

	mu       sync.Mutex // protects the fields below, and val and err until complete is set
	val      T
	err      error
	done     chan struct{} // made when first asked for: many futures are only ever read when complete
	subs     *sub[T]
	onCancel func(error)
	canceled bool  // by Cancel
	cause    error // of Cancel
}

// A sub is a subscription to a future's completion. Its function is called on
// the completing goroutine, so it must not block and is never a user's.
type sub[T any] struct {
	prev, next *sub[T]
	on         bool
	fn         func(T, error)
}

// Done returns a channel that is closed when the future is complete. It is the
// same channel each time.
func (f *Future[T]) Done() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done == nil {
		f.done = make(chan struct{})
		if f.complete.Load() {
			close(f.done)
		}
	}
	return f.done
}

// Get waits for the result. If ctx ends first, the error wraps [ErrWait], ctx's
// error and its cause, and the work goes on; a complete future is returned even
// when ctx has ended. The work's own errors are returned as they are. They wrap
// ErrWait only if the work itself waited for a future in vain; [Future.TryGet]
// tells the two apart.
func (f *Future[T]) Get(ctx context.Context) (T, error) {
	if f.source != nil && !f.complete.Load() {
		f.source.Lend(ctx)
	}
	if f.complete.Load() {
		return f.result()
	}
	select {
	case <-f.Done():
	case <-ctx.Done():
		if !f.complete.Load() {
			var zero T
			return zero, &waitError{err: ctx.Err(), cause: context.Cause(ctx)}
		}
	}
	return f.result()
}

// TryGet returns the result if ok, and zeroes if the future is not complete.
func (f *Future[T]) TryGet() (v T, err error, ok bool) { //nolint:revive // ok goes last, as for a map or a channel
	if !f.complete.Load() {
		return v, nil, false
	}
	v, err = f.result()
	return v, err, true
}

// Cancel completes the future at once, with an error that wraps [ErrCanceled]
// and cause, and then calls the hook of the producer, on the same goroutine,
// so that the work can be stopped. It returns false, and does nothing, if the
// future is complete. cause may be nil. The cancel tells nothing about whether
// the work has been done.
func (f *Future[T]) Cancel(cause error) bool {
	err := ErrCanceled
	if cause != nil {
		err = fmt.Errorf("%w: %w", ErrCanceled, cause)
	}
	f.mu.Lock()
	if f.complete.Load() {
		f.mu.Unlock()
		return false
	}
	f.canceled, f.cause = true, cause
	hook := f.onCancel
	var zero T
	subs := f.finish(zero, err)
	f.mu.Unlock()
	f.tell(subs)
	if f.source != nil {
		f.source.Cancelled(cause)
	}
	if hook != nil {
		hook(cause)
	}
	return true
}

// settle completes the future and reports whether it did.
func (f *Future[T]) settle(v T, err error) bool {
	f.mu.Lock()
	if f.complete.Load() {
		f.mu.Unlock()
		return false
	}
	subs := f.finish(v, err)
	f.mu.Unlock()
	f.tell(subs)
	return true
}

// finish sets the result and returns those to be told of it outside the lock.
// Callers hold mu.
func (f *Future[T]) finish(v T, err error) *sub[T] {
	f.val, f.err = v, err
	f.complete.Store(true)
	if f.done != nil {
		close(f.done)
	}
	subs := f.subs
	f.subs, f.onCancel = nil, nil
	for s := subs; s != nil; s = s.next {
		s.on = false
	}
	return subs
}

// tell calls the subscribers, the latest first.
func (f *Future[T]) tell(subs *sub[T]) {
	if subs == nil {
		return
	}
	v, err := f.result()
	for s := subs; s != nil; s = s.next {
		s.fn(v, err)
	}
}

// subscribe has fn called when the future is complete, at once if it is.
func (f *Future[T]) subscribe(s *sub[T], fn func(T, error)) {
	f.mu.Lock()
	if f.complete.Load() {
		f.mu.Unlock()
		fn(f.result())
		return
	}
	s.fn, s.on, s.next = fn, true, f.subs
	if f.subs != nil {
		f.subs.prev = s
	}
	f.subs = s
	f.mu.Unlock()
}

// unsubscribe undoes subscribe, unless fn has been called or is about to be.
func (f *Future[T]) unsubscribe(s *sub[T]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !s.on {
		return
	}
	s.on = false
	if s.prev == nil {
		f.subs = s.next
	} else {
		s.prev.next = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	}
}
