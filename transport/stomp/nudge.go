package stomp

import (
	"sync"
	"time"

	"github.com/polyport/polyport/transport"
)

const (
	// nudgeEvery is the pause before the first nudge, and between two.
	nudgeEvery = 3 * time.Millisecond
	// nudgeLater is how long it takes at most to look again when something else was
	// being written.
	nudgeLater = 8 * nudgeEvery
	// mostNudges is how many may be due. oVirt's client in Java keeps line ends that no
	// frame follows in a buffer of 1024 bytes, and is deaf when it is full; the rest is
	// for heart-beats.
	mostNudges = 1000
)

// nudges are line ends that follow a burst of frames, one for each: oVirt's client in
// Java takes one frame each time that something arrives, and leaves those that came
// with it until more does. A new frame makes them wait until the line has been idle
// again. It is safe for concurrent use.
type nudges struct {
	stream *transport.Stream

	mu    sync.Mutex // protects the fields below
	due   int
	timer *time.Timer // nil before the first frame
	runs  bool
	pause time.Duration
	over  bool
}

// frame notes that a frame has been written, or is about to be.
func (n *nudges) frame() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.due < mostNudges {
		n.due++
	}
	if n.runs || n.over {
		return
	}
	n.runs, n.pause = true, nudgeEvery
	if n.timer == nil {
		n.timer = time.AfterFunc(n.pause, n.nudge)
	} else {
		n.timer.Reset(n.pause)
	}
}

// nudge sends one line end, if nothing was written just before.
func (n *nudges) nudge() {
	sent := n.stream.Follow(eol, nudgeEvery/2)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pause = min(2*n.pause, nudgeLater)
	if sent {
		n.due--
		n.pause = nudgeEvery
	}
	if n.runs = n.due > 0 && !n.over; n.runs {
		n.timer.Reset(n.pause)
	}
}

// stop is for the end of the connection.
func (n *nudges) stop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.over = true
	if n.timer != nil {
		n.timer.Stop()
	}
}
