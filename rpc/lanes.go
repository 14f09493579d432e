package rpc

import (
	"bytes"
	"sync"

	"github.com/polyport/polyport/queue"
)

// lanes are the ways of one peer into the queues: one into the common queue, and
// one into that of each service that has its own, made when the peer first calls
// it.
type lanes struct {
	common   *queue.Lane
	services map[string]*service // nil if there are none
	// elsewhere is by which requests go that nobody knows here; nil if they go nowhere.
	elsewhere *service

	mu     sync.Mutex // protects the fields below
	own    map[*service]*queue.Lane
	keyed  map[*service]int // requests under way that go by keys, whose lanes are everybody's
	paused bool
	closed bool
}

// service returns the service with a queue of its own that a method belongs to, or
// nil.
func (l *lanes) service(method []byte) *service {
	if len(l.services) == 0 {
		return nil
	}
	dot := bytes.LastIndexByte(method, '.')
	if dot < 0 {
		return nil
	}
	return l.services[string(method[:dot])]
}

// of returns the peer's lane into the queue of a service.
func (l *lanes) of(s *service) *queue.Lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	lane := l.own[s]
	if lane == nil {
		if l.own == nil {
			l.own = make(map[*service]*queue.Lane)
		}
		lane = s.queue.Lane(&queue.LaneOptions{Depth: s.inFlight, Width: s.width})
		l.own[s] = lane
		if l.paused {
			lane.Pause()
		}
		if l.closed {
			lane.Close(nil)
		}
	}
	return lane
}

// all returns the lanes that there are, and notes what is about to be done to
// them.
func (l *lanes) all(note func()) []*queue.Lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	note()
	all := []*queue.Lane{l.common}
	for _, lane := range l.own {
		all = append(all, lane)
	}
	return all
}

func (l *lanes) pause() {
	for _, lane := range l.all(func() { l.paused = true }) {
		lane.Pause()
	}
}

func (l *lanes) resume() {
	for _, lane := range l.all(func() { l.paused = false }) {
		lane.Resume()
	}
}

func (l *lanes) close(err error) {
	for _, lane := range l.all(func() { l.closed = true }) {
		lane.Close(err)
	}
}

// enter counts one more request to a service that goes by keys, unless the peer
// has as many as it may, or does not read its answers.
func (l *lanes) enter(s *service) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.paused || l.keyed[s] >= s.inFlight {
		return false
	}
	if l.keyed == nil {
		l.keyed = make(map[*service]int)
	}
	l.keyed[s]++
	return true
}

// leave undoes enter.
func (l *lanes) leave(s *service) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keyed[s]--
}
