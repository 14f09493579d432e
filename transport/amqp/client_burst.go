package amqp

import (
	"sync"
	"time"

	"github.com/polyport/polyport/transport"
)

const (
	// held is how long frames are held back at most for others to join them.
	held = time.Millisecond
	// unheld is for how long none are once that has held up the sender itself.
	unheld = 100 * time.Millisecond
)

// A burst lets the messages that wait in an outlet leave by few writes. go-amqp
// writes frame by frame, and returns from Send when its net.Conn has the frame; so
// the frames are held back there while more messages wait. Only a timer can tell
// that go-amqp waits for credit, or for the session's window: the peer may have
// to see what is held first.
type burst struct {
	stream *transport.Stream

	mu      sync.Mutex // protects the fields below
	timer   *time.Timer
	armed   bool // the timer runs
	holding bool
	last    time.Time // of hold
	until   time.Time // when to hold again
}

// hold holds back what is written from now on until release. It is called before
// each message that others wait behind.
func (b *burst) hold() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = time.Now()
	if b.holding || b.last.Before(b.until) {
		return
	}
	b.holding = true
	b.stream.Hold()
	switch {
	case b.armed: // it costs more to set the timer for each burst than to look once too often
	case b.timer == nil:
		b.timer = time.AfterFunc(held, b.look)
	default:
		b.timer.Reset(held)
	}
	b.armed = true
}

// look lets go of what is held for a sender that gets nowhere, and does without
// for a while.
func (b *burst) look() {
	b.mu.Lock()
	b.armed = false
	if now := time.Now(); b.holding && now.Sub(b.last) > held/2 {
		b.until = now.Add(unheld)
	}
	b.mu.Unlock()
	b.release()
}

// release writes what is held.
func (b *burst) release() {
	b.mu.Lock()
	was := b.holding
	b.holding = false
	b.mu.Unlock()
	if was {
		b.stream.Release()
	}
}
