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
	// mostNudges is how many may be due. oVirt's client in Java reads into a buffer of
	// 1024 bytes as long as there is more to read, so it leaves no more frames than
	// have room there; and line ends that no frame follows stay in it, too, where the
	// head of the next one needs room.
	mostNudges = 8
	// mostSecureNudges is the same with TLS, where it leaves what it has not decrypted,
	// of up to 16 KiB.
	mostSecureNudges = 104
)

// nudges are line ends that follow a burst of frames, one for each that the peer may
// not have come to: oVirt's client in Java takes one frame each time that something
// arrives, and leaves those that came with it until more does. A new frame makes them
// wait until the line has been idle again. It is safe for concurrent use.
//
// With TLS the client decrypts one record each time, and a line end is one, so it
// stays as far behind as it was, with line ends in the place of frames. What comes
// later is behind them, and needs as many nudges again. It catches up by one when it
// sends.
type nudges struct {
	stream *transport.Stream
	secure bool // with TLS

	mu     sync.Mutex // protects the fields below
	due    int
	behind int         // at most so many records the peer has not come to; with TLS alone
	timer  *time.Timer // nil before the first frame
	runs   bool
	pause  time.Duration
	over   bool
}

// frame notes that a frame has been written, or is about to be.
func (n *nudges) frame() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.due = min(n.due+1, mostNudges)
	if n.secure {
		if n.runs { // it may have come together with the one before
			n.behind = min(n.behind+1, mostSecureNudges)
		}
		n.due = max(n.due, n.behind+1)
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

// heard notes that the peer has sent something. While nudges are due it may have done
// so before the frames of a burst came to it.
func (n *nudges) heard() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.runs {
		n.behind = max(n.behind-1, 0)
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
