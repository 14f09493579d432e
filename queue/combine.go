package queue

import "sync/atomic"

// OnDone has fn called with the result when the future is complete, on a
// goroutine of its own, so that neither the producer nor another callback ever
// waits for it.
//
// The future that OnDone returns is complete when fn has returned: that is how
// the owner of fn waits for its goroutine. If fn panics, it holds a
// [PanicError], and nothing else learns of the panic. Canceling it keeps fn
// from being called if it has not been called yet.
func (f *Future[T]) OnDone(fn func(T, error)) *Future[struct{}] {
	p := NewPromise[struct{}]()
	follow(f, p, func(v T, err error) {
		go p.run(func() (struct{}, error) {
			fn(v, err)
			return struct{}{}, nil
		})
	})
	return p.Future()
}

// Then returns the future of fn's result. fn is called with the value of f when
// f is complete, on a goroutine of its own; if f fails, its error becomes that
// of the new future and fn is not called. A panic of fn becomes a [PanicError].
//
// Canceling the new future leaves f alone, which others may wait for, and keeps
// fn from being called if it has not been called yet.
func Then[A, B any](f *Future[A], fn func(A) (B, error)) *Future[B] {
	p := NewPromise[B]()
	follow(f, p, func(v A, err error) {
		if err != nil {
			p.Reject(err)
			return
		}
		go p.run(func() (B, error) { return fn(v) })
	})
	return p.Future()
}

// follow has fn called with f's result unless p is canceled before.
func follow[A, B any](f *Future[A], p *Promise[B], fn func(A, error)) {
	s := new(sub[A])
	p.OnCancel(func(error) { f.unsubscribe(s) })
	f.subscribe(s, fn)
}

// run is finish, unless the future was completed before it could begin.
func (p *Promise[T]) run(fn func() (T, error)) {
	if !p.f.complete.Load() {
		p.finish(fn)
	}
}

// All returns the future of all the values, in the order of fs. It fails as
// soon as one of fs fails, with that error. Of no futures it is complete with
// an empty slice. Neither its failure nor its cancel touches fs.
func All[T any](fs ...*Future[T]) *Future[[]T] {
	p := NewPromise[[]T]()
	vs := make([]T, len(fs))
	if len(fs) == 0 {
		p.Resolve(vs)
		return p.Future()
	}
	var left atomic.Int64
	left.Store(int64(len(fs)))
	join(fs, p, func(i int, v T, err error) bool {
		if err != nil {
			return p.Reject(err)
		}
		vs[i] = v
		return left.Add(-1) == 0 && p.Resolve(vs)
	})
	return p.Future()
}

// Race returns the future of the result, value or error, of whichever of fs is
// complete first. Of no futures it fails with [ErrNoFutures]. Neither its end
// nor its cancel touches the others.
func Race[T any](fs ...*Future[T]) *Future[T] {
	p := NewPromise[T]()
	if len(fs) == 0 {
		p.Reject(ErrNoFutures)
		return p.Future()
	}
	join(fs, p, func(_ int, v T, err error) bool { return p.f.settle(v, err) })
	return p.Future()
}

// join has one called with each result of fs until it returns true, which says
// that p is complete, or p is canceled. From then on no future of fs refers to
// p, so a future that is never complete keeps nothing alive.
func join[A, B any](fs []*Future[A], p *Promise[B], one func(i int, v A, err error) bool) {
	subs := make([]sub[A], len(fs))
	withdraw := func() {
		for i, f := range fs {
			f.unsubscribe(&subs[i])
		}
	}
	p.OnCancel(func(error) { withdraw() })
	for i, f := range fs {
		f.subscribe(&subs[i], func(v A, err error) {
			if one(i, v, err) {
				withdraw()
			}
		})
	}
	if p.f.complete.Load() { // perhaps before the last of them was subscribed to
		withdraw()
	}
}
