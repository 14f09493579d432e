package queue

import (
	"context"
	"sync"
)

// A Source is a producer that has something to do with its future at each step,
// and is spared a function for each. Its methods are called with no lock held.
type Source[T any] interface {
	// Cancelled is called as the hook of [Promise.OnCancel] is.
	Cancelled(cause error)
	// Lend is called by each [Future.Get] that would have to wait, before it does:
	// a producer that needs a goroutine to wait for something can use that one
	// meanwhile. It must return when the future is complete or ctx has ended, and
	// may return at any time. The work may not depend on it.
	Lend(ctx context.Context)
	// Result is called as the function of [Promise.ResolveLater] is, after
	// [Promise.ResolveFromSource].
	Result() (T, error)
}

// SetSource makes s the source of the future. It is to be called once, before the
// future is handed out.
func (p *Promise[T]) SetSource(s Source[T]) { p.f.source = s }

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
	return p.resolveBy(func(f *Future[T]) { f.later = &later[T]{fn: fn} })
}

// ResolveFromSource is [Promise.ResolveLater] with the result of the source.
func (p *Promise[T]) ResolveFromSource() bool {
	return p.resolveBy(func(f *Future[T]) { f.fetch = true })
}

// resolveBy completes the future in a way that is noted with mu held.
func (p *Promise[T]) resolveBy(note func(*Future[T])) bool {
	f := &p.f
	f.mu.Lock()
	if f.complete.Load() {
		f.mu.Unlock()
		return false
	}
	note(f)
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
	if f.fetch {
		f.fetched.Do(func() {
			attempt(f.source.Result, func(v T, err error) { f.val, f.err = v, err })
		})
	}
	if l := f.later; l != nil {
		l.once.Do(func() {
			attempt(l.fn, func(v T, err error) { f.val, f.err = v, err })
			l.fn = nil
		})
	}
	return f.val, f.err
}
