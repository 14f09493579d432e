package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/polyport/polyport/queue"
)

// ErrNoService says that a name is none of [ServerOptions].Services.
var ErrNoService = errors.New("rpc: no such service")

// A ServiceState says whether a service runs.
type ServiceState uint8

// The states of a service.
const (
	// Running: its requests are served here.
	Running ServiceState = iota
	// Draining: those that were accepted are served to their end, and new ones are
	// forwarded.
	Draining
	// Stopped: all are forwarded.
	Stopped
)

// String returns "running", "draining" or "stopped".
func (s ServiceState) String() string {
	names := [...]string{"running", "draining", "stopped"}
	if int(s) >= len(names) {
		return fmt.Sprintf("ServiceState(%d)", uint8(s))
	}
	return names[s]
}

// ServiceStats are the numbers of a service.
type ServiceStats struct {
	State ServiceState
	// Accepted is how many requests were taken to be served here since the server was
	// made, Unanswered how many of them have no answer yet. A call with a handle
	// counts for itself as long as it runs.
	Accepted   uint64
	Unanswered int
	// Forwarded is how many were handed to who serves the service elsewhere.
	Forwarded uint64
	// Events is how many events were published on its topics, which begin with its
	// name and a dot, in letters of either case.
	Events uint64
	// Queue and Forwarding are the queues of the requests that are served here, and of
	// those that are forwarded.
	Queue, Forwarding queue.Stats
}

// ServiceStats returns the present numbers of [ServerOptions].Services, by their
// names.
func (s *Server) ServiceStats() map[string]ServiceStats {
	all := make(map[string]ServiceStats, len(s.services))
	for name, svc := range s.services {
		state, unanswered := svc.gate.look()
		all[name] = ServiceStats{
			State: state, Unanswered: unanswered, Accepted: svc.accepted.Load(), Forwarded: svc.away.accepted.Load(),
			Events: svc.events.Load(), Queue: svc.queue.Stats(), Forwarding: svc.away.queue.Stats(),
		}
	}
	return all
}

// StartService has a service's requests served here from now on. Those that were
// forwarded are answered by who got them. Starting one that runs does nothing; one
// that drains goes on. The error wraps [ErrNoService].
func (s *Server) StartService(name string) error {
	svc, err := s.service(name)
	if err == nil {
		svc.gate.open()
	}
	return err
}

// DrainService takes no more requests to a service, and returns when those that were
// accepted are answered. From the moment of the call new ones go to where
// [ServerOptions].Forward says, so one may be executed there before an accepted
// one is executed here. The other services go on. Its topics, and the queue with
// its workers, stay for [Server.StartService].
//
// If ctx ends first the error wraps its cause: draining goes on, until the service is
// stopped. It is an error, too, if the service is started meanwhile. Of a service that
// is stopped nothing is left to do. The error wraps [ErrNoService] if there is none of
// that name.
func (s *Server) DrainService(ctx context.Context, name string) error {
	svc, err := s.service(name)
	if err != nil {
		return err
	}
	moved := svc.gate.shut()
	if moved != nil {
		select {
		case <-moved:
		case <-ctx.Done():
		}
	}
	switch state, n := svc.gate.look(); {
	case state == Stopped:
		return nil
	case state == Running:
		return fmt.Errorf("rpc: service %s was started again before it was drained", name)
	default:
		return fmt.Errorf("rpc: %d requests to service %s are not answered yet: %w", n, name, context.Cause(ctx))
	}
}

func (s *Server) service(name string) (*service, error) {
	svc := s.services[name]
	if svc == nil {
		return nil, fmt.Errorf("%w: %.100q is not in ServerOptions.Services", ErrNoService, name)
	}
	return svc, nil
}

// noteService counts an event for the service whose topic it is.
func (h *hub) noteService(topic string) {
	for name, svc := range h.services {
		if len(topic) > len(name) && topic[len(name)] == '.' && strings.EqualFold(topic[:len(name)], name) {
			svc.events.Add(1)
		}
	}
}

// A gate counts the requests to a service that were let in and are not answered,
// and lets none in while it is shut. The zero value is open.
type gate struct {
	word atomic.Int64 // twice their number, and 1 while it is shut

	mu    sync.Mutex    // protects the field below
	moved chan struct{} // closed when a shut gate has nobody left inside, or is opened; nil if nobody waits
}

// enter lets a request in, unless the gate is shut.
func (g *gate) enter() bool {
	for {
		n := g.word.Load()
		if n&1 != 0 {
			return false
		}
		if g.word.CompareAndSwap(n, n+2) {
			return true
		}
	}
}

// again lets in what belongs to a request that is inside, whatever the gate.
func (g *gate) again() { g.word.Add(2) }

// exit undoes enter.
func (g *gate) exit() {
	if g.word.Add(-2) == 1 {
		g.tell()
	}
}

// tell tells those who wait to look.
func (g *gate) tell() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.moved != nil {
		close(g.moved)
		g.moved = nil
	}
}

// shut lets nobody in, and returns what is closed when somebody should look; nil if nobody
// is inside.
func (g *gate) shut() (moved <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.word.Or(1); g.word.Load() == 1 {
		return nil
	}
	if g.moved == nil {
		g.moved = make(chan struct{})
	}
	return g.moved
}

// open lets requests in.
func (g *gate) open() {
	g.word.And(^1)
	g.tell()
}

func (g *gate) look() (state ServiceState, inside int) {
	n := g.word.Load()
	switch {
	case n&1 == 0:
		state = Running
	case n > 1:
		state = Draining
	default:
		state = Stopped
	}
	return state, int(n >> 1)
}
