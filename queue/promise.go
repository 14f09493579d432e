package queue

import "runtime/debug"

// A Promise is the write side of a [Future]. The producer of a result keeps it
// and hands out the future.
//
// All methods may be called from any goroutine. The zero Promise is ready for
// use. It must not be copied.
type Promise[T any] struct{ f Future[T] }

// NewPromise returns a promise whose future is not complete.
func NewPromise[T any]() *Promise[T] { return new(Promise[T]) }

// Resolved returns a future that is complete with v.
func Resolved[T any](v T) *Future[T] {
	p := NewPromise[T]()
	p.Resolve(v)
	return p.Future()
}

// Failed returns a future that is complete with err, as [Promise.Reject] has it.
func Failed[T any](err error) *Future[T] {
	p := NewPromise[T]()
	p.Reject(err)
	return p.Future()
}

// Future returns the future of the promise, the same each time.
func (p *Promise[T]) Future() *Future[T] { return &p.f }

// Resolve completes the future with v. It returns false, and v is lost, if the
// future is complete.
func (p *Promise[T]) Resolve(v T) bool { return p.f.settle(v, nil) }

// Reject completes the future with err and the zero value. It returns false if
// the future is complete. A nil err, which would pass for a success, is
// replaced by an error that says so.
func (p *Promise[T]) Reject(err error) bool {
	if err == nil {
		err = errNilReject
	}
	var zero T
	return p.f.settle(zero, err)
}

// OnCancel has hook called, with the cause, when [Future.Cancel] completes the
// future, and at once if it has. It is called at most once, on the goroutine
// that cancels, with no lock held and the future complete; it must not block.
// If the future is completed in any other way it is not called. Further hooks
// are called in order. A panic of a hook goes to the caller of Cancel.
func (p *Promise[T]) OnCancel(hook func(cause error)) {
	f := &p.f
	f.mu.Lock()
	if f.canceled {
		f.mu.Unlock()
		hook(f.cause)
		return
	}
	defer f.mu.Unlock()
	if f.complete.Load() {
		return
	}
	if first := f.onCancel; first != nil {
		f.onCancel = func(cause error) {
			first(cause)
			hook(cause)
		}
		return
	}
	f.onCancel = hook
}

// finish completes the future with what fn returns. It calls fn on the present
// goroutine.
func (p *Promise[T]) finish(fn func() (T, error)) {
	attempt(fn, func(v T, err error) { p.complete(v, err) })
}

// complete is Resolve or, for an error that is not nil, Reject.
func (p *Promise[T]) complete(v T, err error) bool {
	if err != nil {
		return p.Reject(err)
	}
	return p.Resolve(v)
}

// attempt calls fn and then calls then, exactly once whatever fn does, with
// what fn returned. A panic or a Goexit of fn becomes a [PanicError]; the Goexit
// goes on after then.
func attempt[T any](fn func() (T, error), then func(T, error)) {
	var v T
	var err error
	returned := false
	defer func() {
		if !returned {
			cause := recover()
			if cause == nil {
				cause = ErrGoexit
			}
			err = &PanicError{Value: cause, Stack: debug.Stack()}
		}
		then(v, err)
	}()
	v, err = fn()
	returned = true
}
