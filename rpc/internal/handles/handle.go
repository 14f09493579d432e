package handles

import (
	"container/list"
	"time"
)

// A Key is the full name of a call.
type Key struct {
	// Principal is whose it is; "" is everybody whom nobody vouches for.
	Principal string
	// ID is the name that the caller chose.
	ID UUID
}

// A State is what became of a call.
type State uint8

// The states. All but Running are final.
const (
	Running State = iota
	Done
	Failed
	Cancelled
	Expired
)

// String returns the name in lower case.
func (s State) String() string {
	return [...]string{"running", "done", "failed", "cancelled", "expired"}[s]
}

// A Handle is one call. Its methods are those of the [Store].
type Handle struct {
	id     UUID
	owner  *principal
	call   Call
	stop   func(State)
	phase  phase
	state  State
	text   []byte
	read   bool
	due    time.Time // the end of its phase
	queued [2]*list.Element
	waits  []*Wait
}

// ID returns the name that the caller chose.
func (h *Handle) ID() UUID { return h.id }

// A phase is how long a handle is still there.
type phase uint8

const (
	running phase = iota
	retained
	buried
	gone
)

// phases is how many of them have handles in them.
const phases = gone

// A Wait is somebody who waits for the end of a call. It must not be copied,
// and is used once.
type Wait struct {
	// Ended is called when the call has ended, with no lock held. It must not
	// block.
	Ended func()
}

// A principal is what belongs to one of them.
type principal struct {
	name    string
	handles map[UUID]*Handle
	lines   [phases]list.List // of handles by phase, the oldest first
}

// live returns how many handles are no tombstones.
func (p *principal) live() int { return p.lines[running].Len() + p.lines[retained].Len() }
