package handles

import (
	"container/list"
	"time"
)

// Handles stand in lines, one for each phase: of all, and of their principal.
// As a phase has one length, the first of a line is the first that is due.

// enter begins a phase of h. It needs mu.
func (s *Store) enter(h *Handle, p phase, lasts time.Duration) {
	h.phase, h.due = p, time.Now().Add(lasts)
	h.queued = [2]*list.Element{s.lines[p].PushBack(h), h.owner.lines[p].PushBack(h)}
	s.arm(h.due)
}

// leave ends the phase of h. It needs mu.
func (s *Store) leave(h *Handle) {
	s.lines[h.phase].Remove(h.queued[0])
	h.owner.lines[h.phase].Remove(h.queued[1])
}

// bury puts a tombstone in the place of a retained handle. It needs mu. Who
// holds h can still read it.
func (s *Store) bury(h *Handle) {
	s.leave(h)
	s.bytes -= len(h.text)
	stone := &Handle{id: h.id, owner: h.owner}
	h.phase = gone
	h.owner.handles[h.id] = stone
	s.enter(stone, buried, s.o.Bury)
	if line := &h.owner.lines[buried]; line.Len() > graves*s.o.Handles {
		s.remove(line.Front().Value.(*Handle))
	}
}

// remove makes h gone. It needs mu.
func (s *Store) remove(h *Handle) {
	s.leave(h)
	h.phase = gone
	s.bytes -= weight + len(h.text)
	delete(h.owner.handles, h.id)
	if len(h.owner.handles) == 0 {
		delete(s.principals, h.owner.name)
		s.bytes -= len(h.owner.name)
	}
}

// makeRoom makes room for one more handle of p, which may be nil, and reports
// whether there is. It needs mu.
func (s *Store) makeRoom(p *principal) bool {
	for p != nil && p.live() >= s.o.Handles {
		if !s.dropRead(&p.lines[retained]) {
			return false
		}
	}
	for s.bytes+weight > s.o.Bytes {
		if !s.dropRead(&s.lines[retained]) && !s.dropGrave() {
			return false
		}
	}
	return true
}

// dropRead makes a tombstone of the first handle in a line that was read. It
// needs mu.
func (s *Store) dropRead(line *list.List) bool {
	for e := line.Front(); e != nil; e = e.Next() {
		if h := e.Value.(*Handle); h.read {
			s.bury(h)
			return true
		}
	}
	return false
}

// dropGrave removes the oldest tombstone of all. It needs mu.
func (s *Store) dropGrave() bool {
	e := s.lines[buried].Front()
	if e == nil {
		return false
	}
	s.remove(e.Value.(*Handle))
	return true
}

// arm makes the timer fire at due, if it would fire later. It needs mu.
func (s *Store) arm(due time.Time) {
	if s.closed || !s.due.IsZero() && !due.Before(s.due) {
		return
	}
	s.due = due
	if s.timer == nil {
		s.timer = time.AfterFunc(time.Until(due), s.sweep)
		return
	}
	s.timer.Reset(time.Until(due))
}

// sweep does what is due.
func (s *Store) sweep() {
	var waits []*Wait
	var expired []*Handle
	s.mu.Lock()
	now := time.Now()
	for h := s.first(running, now); h != nil; h = s.first(running, now) {
		waits = append(waits, s.settle(h, Expired, nil)...)
		expired = append(expired, h)
	}
	for h := s.first(retained, now); h != nil; h = s.first(retained, now) {
		s.bury(h)
	}
	for h := s.first(buried, now); h != nil; h = s.first(buried, now) {
		s.remove(h)
	}
	s.due = time.Time{}
	for p := range s.lines {
		if e := s.lines[p].Front(); e != nil {
			s.arm(e.Value.(*Handle).due)
		}
	}
	s.mu.Unlock()
	tell(waits)
	for _, h := range expired {
		h.stop(Expired)
	}
}

// first returns the first handle in a phase if its time has come, or nil.
func (s *Store) first(p phase, now time.Time) *Handle {
	e := s.lines[p].Front()
	if e == nil {
		return nil
	}
	if h := e.Value.(*Handle); !now.Before(h.due) {
		return h
	}
	return nil
}
