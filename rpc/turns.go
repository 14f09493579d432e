package rpc

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/polyport/polyport/transport"
)

// turns share out the places that calls have on one connection among its users.
// Each has at most so many, and while there are none free, those who wait get them
// in turn: one user's call, then the next one's, however many wait of either.
type turns struct {
	mu    sync.Mutex // protects the fields below, and those of users
	free  int
	all   int
	round []*user // who have calls waiting; the first is next
}

// A user is one of those who share.
type user struct {
	turns   *turns
	most    int // calls at once
	held    int
	waiting []*turnWait
	closed  bool
}

// A turnWait is a call, or a batch of n, that waits for its places.
type turnWait struct {
	n     int
	ready chan error
}

func newTurns(n int) *turns { return &turns{free: n, all: n} }

// user returns a new one, with at most so many calls at once.
func (t *turns) user(most int) *user { return &user{turns: t, most: min(most, t.all)} }

// reserve waits for n places, which come together.
func (u *user) reserve(ctx context.Context, n int) error {
	t := u.turns
	t.mu.Lock()
	switch {
	case u.closed:
		t.mu.Unlock()
		return closedUser()
	case n > u.most:
		t.mu.Unlock()
		return fmt.Errorf("rpc: a batch of %d calls is over the limit of %d in flight", n, u.most)
	case len(t.round) == 0 && u.fits(n):
		u.take(n)
		t.mu.Unlock()
		return nil
	}
	w := &turnWait{n: n, ready: make(chan error, 1)}
	if u.waiting = append(u.waiting, w); len(u.waiting) == 1 {
		t.round = append(t.round, u)
	}
	t.grant()
	t.mu.Unlock()
	select {
	case err := <-w.ready:
		return err
	case <-ctx.Done():
		return u.giveUp(ctx, w)
	}
}

// giveUp takes back a call that waits, or what it has got meanwhile.
func (u *user) giveUp(ctx context.Context, w *turnWait) error {
	t := u.turns
	t.mu.Lock()
	defer t.mu.Unlock()
	at := slices.Index(u.waiting, w)
	if at < 0 {
		if err := <-w.ready; err != nil {
			return err
		}
		u.put(w.n)
	} else if u.waiting = slices.Delete(u.waiting, at, at+1); len(u.waiting) == 0 {
		t.leave(u)
	}
	t.grant()
	return context.Cause(ctx)
}

// release gives n places back.
func (u *user) release(n int) {
	u.turns.mu.Lock()
	defer u.turns.mu.Unlock()
	u.put(n)
	u.turns.grant()
}

// close refuses all that waits, and all that comes.
func (u *user) close() {
	t := u.turns
	t.mu.Lock()
	defer t.mu.Unlock()
	u.closed = true
	for _, w := range u.waiting {
		w.ready <- closedUser()
	}
	u.waiting = nil
	t.leave(u)
	t.grant()
}

// over reports whether it was closed.
func (u *user) over() bool {
	u.turns.mu.Lock()
	defer u.turns.mu.Unlock()
	return u.closed
}

// closedUser is an error of which nothing was sent.
func closedUser() error { return fmt.Errorf("%w: %w", ErrClosed, transport.ErrClosed) }

// What follows needs mu.

func (u *user) fits(n int) bool { return u.turns.free >= n && u.held+n <= u.most }

func (u *user) take(n int) {
	u.held += n
	u.turns.free -= n
}

func (u *user) put(n int) {
	u.held -= n
	u.turns.free += n
}

func (t *turns) leave(u *user) {
	t.round = slices.DeleteFunc(t.round, func(o *user) bool { return o == u })
}

// grant gives free places to those whose turn it is. Users who have all that they may are
// passed over; a batch that needs more places than are free is waited for.
func (t *turns) grant() {
	for passed := 0; passed < len(t.round); {
		u := t.round[0]
		w := u.waiting[0]
		if u.held+w.n > u.most {
			t.round = append(t.round[1:], u)
			passed++
			continue
		}
		if t.free < w.n {
			return
		}
		passed = 0
		u.take(w.n)
		w.ready <- nil
		t.round = t.round[1:]
		if u.waiting = u.waiting[1:]; len(u.waiting) > 0 {
			t.round = append(t.round, u)
		}
	}
}

// waits returns how many calls wait.
func (t *turns) waits() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, u := range t.round {
		n += len(u.waiting)
	}
	return n
}
