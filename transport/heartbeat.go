package transport

import (
	"sync"
	"time"
)

// MinHeartbeat is the shortest interval of signs of life that is offered or
// accepted.
const MinHeartbeat = time.Second

// Negotiate returns the interval that an offer and a wish agree on, by the rule
// of STOMP 1.2 ("Heart-beating"): none if either is zero, else the longer, and
// never less than [MinHeartbeat].
func Negotiate(offer, wish time.Duration) time.Duration {
	if offer <= 0 || wish <= 0 {
		return 0
	}
	return max(offer, wish, MinHeartbeat)
}

// heartbeat sends signs of life at two thirds of the promised interval, and
// judges the peer's silence with a grace of a tenth. Its timers depend on
// neither the reading nor the writing goroutine. Time during which nobody reads
// does not count as silence: what the peer sent meanwhile waits unread.
type heartbeat struct {
	stream *Stream
	beat   []byte
	every  time.Duration // between signs of life sent
	asks   bool          // the peer shows life only if it is asked
	limit  time.Duration // of the peer's silence

	mu       sync.Mutex // protects the fields below
	stopped  bool
	sender   *time.Timer
	listener *time.Timer
}

func (h *heartbeat) start() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped {
		return
	}
	if h.every > 0 {
		h.sender = time.AfterFunc(h.every, h.send)
	}
	if h.limit > 0 {
		h.listener = time.AfterFunc(h.limit, h.listen)
	}
}

func (h *heartbeat) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
	for _, t := range []*time.Timer{h.sender, h.listener} {
		if t != nil {
			t.Stop()
		}
	}
}

// again sets a timer unless the heart has stopped.
func (h *heartbeat) again(t **time.Timer, d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.stopped {
		(*t).Reset(d)
	}
}

func (h *heartbeat) send() {
	idle, reading := now()-h.stream.writer.lastWrite(), true
	if h.asks {
		var deaf time.Duration
		deaf, reading = h.stream.clock.silence()
		idle = max(idle, deaf)
	}
	left := h.every - idle
	switch {
	case left > 0 && !reading: // look again, but not all the time
		left = max(left, h.every/10)
	case left > 0:
	case h.asks:
		_ = h.stream.writer.Control(func(dst []byte) []byte { return append(dst, h.beat...) })
		left = h.every
	default:
		h.stream.writer.Beat(h.beat, now()-h.every)
		left = h.every
	}
	h.again(&h.sender, left)
}

func (h *heartbeat) listen() {
	silent, reading := h.stream.clock.silence()
	if silent >= h.limit {
		h.stream.Fail(ErrHeartbeat)
		return
	}
	left := h.limit - silent
	if !reading { // look again, but not all the time
		left = max(left, h.limit/10)
	}
	h.again(&h.listener, left)
}
