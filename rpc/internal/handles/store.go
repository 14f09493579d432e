package handles

import (
	"container/list"
	"slices"
	"sync"
	"time"
)

// A Store holds handles. It is safe for concurrent use. Functions that it was
// given are called without its lock, on the goroutine whose call made them due
// or on that of the timer.
type Store struct {
	o     Options
	epoch string

	mu         sync.Mutex // protects the fields below, and handles
	principals map[string]*principal
	lines      [phases]list.List // of all handles by phase, in the order in which they are due
	bytes      int
	timer      *time.Timer
	due        time.Time // when the timer fires; zero if it does not run
	closed     bool
}

// New returns an empty Store. Close ends its timer.
func New(o Options) *Store {
	return &Store{o: o.withDefaults(), epoch: Random().String(), principals: make(map[string]*principal)}
}

// Epoch names this Store among all: who finds another one knows that what it
// had begun is lost.
func (s *Store) Epoch() string { return s.epoch }

// TTL returns how long a call may run.
func (s *Store) TTL() time.Duration { return s.o.TTL }

// A Verdict is what a Store knows of a key.
type Verdict uint8

const (
	// Unknown: there is no such handle.
	Unknown Verdict = iota
	// Started: the handle is new, and its call is to be run.
	Started
	// Attached: the handle is there, of the same call.
	Attached
	// Conflict: the handle is there, of another call.
	Conflict
	// Buried: there is a tombstone. The call must not be run again.
	Buried
	// Full: there is no room for one more.
	Full
)

// String returns the name in lower case.
func (v Verdict) String() string {
	return [...]string{"unknown", "started", "attached", "conflict", "buried", "full"}[v]
}

// Begin finds the handle k for a call c, or makes it. The handle is nil unless
// it is Started or Attached. stop is called if the call is to end before it has
// finished, with Cancelled or Expired.
func (s *Store) Begin(k Key, c Call, stop func(State)) (*Handle, Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h, v := s.find(k, &c); v != Unknown {
		return h, v
	}
	if s.closed || !s.makeRoom(s.principals[k.Principal]) {
		return nil, Full
	}
	p := s.principals[k.Principal]
	if p == nil {
		p = &principal{name: k.Principal, handles: make(map[UUID]*Handle)}
		s.principals[p.name] = p
		s.bytes += len(p.name)
	}
	h := &Handle{id: k.ID, owner: p, call: c, stop: stop}
	p.handles[k.ID] = h
	s.bytes += weight
	s.enter(h, running, s.o.TTL)
	return h, Started
}

// Look finds the handle k for a call c: Attached, Conflict, Buried or Unknown.
func (s *Store) Look(k Key, c Call) (*Handle, Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(k, &c)
}

// Find finds the handle k, whatever its call: Attached, Buried or Unknown.
func (s *Store) Find(k Key) (*Handle, Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(k, nil)
}

// find needs mu.
func (s *Store) find(k Key, c *Call) (*Handle, Verdict) {
	p := s.principals[k.Principal]
	if p == nil {
		return nil, Unknown
	}
	h := p.handles[k.ID]
	switch {
	case h == nil:
		return nil, Unknown
	case h.phase == buried:
		return nil, Buried
	case c != nil && !c.answers(h.call):
		return nil, Conflict
	}
	return h, Attached
}

// Withdraw undoes a Begin whose call could not be run: it is as if it had never
// been there, but for those who wait for it. To them it has failed with text.
func (s *Store) Withdraw(h *Handle, text []byte) {
	s.end(h, Failed, text, func() { s.remove(h) })
}

// Finish says what a running call has come to: Done or Failed, with a text that
// the Store keeps. False means that it had ended before. A text for which there
// is no room is replaced by nil.
func (s *Store) Finish(h *Handle, to State, text []byte) bool {
	return s.end(h, to, text, nil)
}

// Cancel ends a call, unless it has ended, and returns what became of it.
func (s *Store) Cancel(h *Handle) State {
	if s.end(h, Cancelled, nil, nil) {
		h.stop(Cancelled)
	}
	state, _ := s.Result(h)
	return state
}

// end ends a running handle, retains it, and tells those who wait. then is
// called with mu held.
func (s *Store) end(h *Handle, to State, text []byte, then func()) bool {
	s.mu.Lock()
	if h.phase != running || h.state != Running {
		s.mu.Unlock()
		return false
	}
	waits := s.settle(h, to, text)
	if then != nil {
		then()
	}
	s.mu.Unlock()
	tell(waits)
	return true
}

// settle needs mu, and h to run. Its result is to be told.
func (s *Store) settle(h *Handle, to State, text []byte) []*Wait {
	s.leave(h)
	for text != nil && s.bytes+len(text) > s.o.Bytes {
		if !s.dropRead(&s.lines[retained]) {
			text = nil
		}
	}
	h.state, h.text = to, text
	s.bytes += len(text)
	s.enter(h, retained, s.o.Retain)
	waits := h.waits
	h.waits = nil
	return waits
}

func tell(waits []*Wait) {
	for _, w := range waits {
		w.Ended()
	}
}

// Result returns what became of a call, with the text of Finish. The caller must
// not change it.
func (s *Store) Result(h *Handle) (State, []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return h.state, h.text
}

// Read notes that the result of h was handed to its caller, so that it need not
// stay if there is no room. forget makes it a tombstone at once.
func (s *Store) Read(h *Handle, forget bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.read = true
	if forget && h.phase == retained {
		s.bury(h)
	}
}

// Wait has w told of the end of h, and returns false if h has ended.
func (s *Store) Wait(h *Handle, w *Wait) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.state != Running {
		return false
	}
	h.waits = append(h.waits, w)
	return true
}

// Leave keeps w from being told, if it has not been.
func (s *Store) Leave(h *Handle, w *Wait) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(h.waits, w); i >= 0 {
		h.waits = slices.Delete(h.waits, i, i+1)
	}
}

// Close ends the timer and makes Begin refuse. What is there stays.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
}

// Size is how much a Store holds.
type Size struct{ Running, Retained, Tombstones, Bytes int }

// Size returns the present numbers.
func (s *Store) Size() Size {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Size{s.lines[running].Len(), s.lines[retained].Len(), s.lines[buried].Len(), s.bytes}
}
