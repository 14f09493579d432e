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

// serving counts the requests of a peer that were admitted and not yet
// answered.
type serving struct {
	limit int

	mu       sync.Mutex // protects the fields below
	count    int
	draining bool
	idle     chan struct{} // closed when count is 0; nil if nobody waits
}

// admit takes n requests in, or none.
func (s *serving) admit(n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return errShuttingDown
	case s.count+n > s.limit:
		return errInFlight
	}
	s.count += n
	return nil
}

// done says that n requests are answered, or never will be.
func (s *serving) done(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count -= n; s.count == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
}

// drain admits no more and waits until what was admitted is answered.
func (s *serving) drain(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	if s.count == 0 {
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

// inFlight returns how many requests are admitted and not answered.
func (s *serving) inFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}
