package queue

import "sync"

// A later is a result that is there but not in its final form yet.
type later[T any] struct {
	once sync.Once
	fn   func() (T, error)
}

// ResolveLater completes the future with what fn returns, whether that is a
// value or an error. fn is called once, by whoever asks for the result first and
// on that goroutine, and not at all if nobody does: for work that the goroutine
// which completes the future must not do, and that would not be worth another.
// Whoever is to be told of the result, as by [Future.OnDone], is told on a
// goroutine of its own. A panic of fn becomes a [PanicError]. ResolveLater returns
// false if the future is complete; fn is not called then.
func (p *Promise[T]) ResolveLater(fn func() (T, error)) bool {
	f := &p.f
	f.mu.Lock()
	if f.complete.Load() {
		f.mu.Unlock()
		return false
	}
	f.later = &later[T]{fn: fn}
	var zero T
	subs := f.finish(zero, nil)
	f.mu.Unlock()
	if subs != nil {
		go f.tell(subs)
	}
	return true
}

// result returns the result of a complete future.
func (f *Future[T]) result() (T, error) {
	if l := f.later; l != nil {
		l.once.Do(func() {
			attempt(l.fn, func(v T, err error) { f.val, f.err = v, err })
			l.fn = nil
		})
	}
	return f.val, f.err
}
