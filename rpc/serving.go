package rpc

import (
	"context"
	"errors"
	"sync"
)

var (
	errShuttingDown = errors.New("rpc: shutting down")
	errInFlight     = errors.New("rpc: too many requests in flight on this connection")
)

// serving counts the requests of a peer that were admitted. A request has a
// place in flight until its answer is about to leave, so that a peer which
// sends the next one on receiving the answer is not refused; it is unanswered
// until the answer has left.
type serving struct {
	limit int // of places

	mu         sync.Mutex // protects the fields below
	places     int
	exempt     int // places that the limit does not count: of services with queues of their own
	unanswered int
	draining   bool
	idle       chan struct{} // closed when nothing is unanswered; nil if nobody waits
}

// admit takes n requests in, or none; exempt of them are bounded elsewhere. Of
// those that their sender counts as under way it bounds the number itself.
func (s *serving) admit(n, exempt int, counted bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return errShuttingDown
	case !counted && n > exempt && s.places-s.exempt+n-exempt > s.limit:
		return errInFlight
	}
	s.places += n
	s.exempt += exempt
	s.unanswered += n
	return nil
}

// unexempt says that the places of n exempt requests are given back.
func (s *serving) unexempt(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exempt -= n
}

// leave gives back the places of n requests, or takes them again if n is
// negative, beyond the limit if need be: their answers could not leave after
// all.
func (s *serving) leave(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.places -= n
}

// done says that n requests that have no places any more are answered, or never
// will be.
func (s *serving) done(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unanswered -= n; s.unanswered == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
}

// alone reports whether a request that has a place is the only one.
func (s *serving) alone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.places <= 1
}

// drain admits no more and waits until what was admitted is answered.
func (s *serving) drain(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	if s.unanswered == 0 {
		s.mu.Unlock()
		return nil
	}
	if s.idle == nil {
		s.idle = make(chan struct{})
	}
	idle := s.idle
	s.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// open returns how many requests are unanswered.
func (s *serving) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unanswered
}
