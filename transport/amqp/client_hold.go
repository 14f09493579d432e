package amqp

import (
	"context"
	"sync"
	"time"

	"github.com/polyport/polyport/transport"
)

const (
	// overhead is what a message takes besides its bytes, about.
	overhead = 512
	// settling bounds the wait for messages to get from the last frames to who
	// receives, which takes as long as goroutines need.
	settling = time.Second
)

// A hold counts what has come and has not left by Recv. When that is as much as
// may be waiting in the other direction nothing more is read, so that the peer
// has to wait: credit alone bounds the number of messages, not their bytes.
type hold struct {
	most int // bytes

	mu       sync.Mutex // protects the fields below, and those of shelves
	bytes    int
	untaken  int // messages that are still on their way through go-amqp
	urgent   int // operations that need the peer's answer
	expected map[string]*shelf
	shelves  map[linkKey]*shelf
	dry      map[linkKey]*shelf // by our handles, those that have had no credit yet
	changed  chan struct{}      // closed at the next change; nil if nobody waits
}

// A shelf is the part of a hold that has come by one link.
type shelf struct {
	hold           *hold
	bytes, untaken int
	gone           bool // the link has ended, what is left counts no more
	// credited is closed when the first credit is on its way.
	credited chan struct{}
}

func newHold(most int) *hold {
	return &hold{most: most, expected: map[string]*shelf{}, shelves: map[linkKey]*shelf{}, dry: map[linkKey]*shelf{}}
}

// expect makes a shelf for the link with a name that is about to be attached.
func (h *hold) expect(name string) *shelf {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &shelf{hold: h, credited: make(chan struct{})}
	h.expected[name] = s
	return s
}

// attached is told of the handle that the peer has given to a link.
func (h *hold) attached(key linkKey, name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.expected[name]; s != nil {
		delete(h.expected, name)
		h.shelves[key] = s
	}
}

// attaching is told of the handle that we have given to a link.
func (h *hold) attaching(key linkKey, name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.expected[name]; s != nil {
		h.dry[key] = s
	}
}

// credit is told of credit that has been written.
func (h *hold) credit(key linkKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.dry[key]; s != nil {
		delete(h.dry, key)
		close(s.credited)
	}
}

// arrived counts n bytes that have come by a link, and the message if that is
// whole with them.
func (h *hold) arrived(key linkKey, n int, whole bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.shelves[key]
	if s == nil {
		return
	}
	if whole {
		n += overhead
		s.untaken++
		h.untaken++
	}
	s.bytes += n
	h.bytes += n
}

// ended forgets the shelves of links whose keys match.
func (h *hold) ended(match func(linkKey) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for k, s := range h.shelves {
		if match(k) {
			s.drop()
			delete(h.shelves, k)
		}
	}
}

// forget is for a link that is of no use any more.
func (s *shelf) forget() {
	h := s.hold
	h.mu.Lock()
	defer h.mu.Unlock()
	s.drop()
	for name, other := range h.expected {
		if other == s {
			delete(h.expected, name)
		}
	}
	for key, other := range h.shelves {
		if other == s {
			delete(h.shelves, key)
		}
	}
	for key, other := range h.dry {
		if other == s {
			delete(h.dry, key)
		}
	}
}

// drop needs mu.
func (s *shelf) drop() {
	if !s.gone {
		s.gone = true
		s.hold.bytes -= s.bytes
		s.hold.untaken -= s.untaken
		s.hold.wake()
	}
}

// taken says that a message has come out of go-amqp.
func (s *shelf) taken() {
	s.hold.mu.Lock()
	defer s.hold.mu.Unlock()
	if !s.gone {
		s.untaken--
		s.hold.untaken--
		s.hold.wake()
	}
}

// left says that a message of n bytes has left.
func (s *shelf) left(n int) {
	s.hold.mu.Lock()
	defer s.hold.mu.Unlock()
	if !s.gone {
		s.bytes -= n + overhead
		s.hold.bytes -= n + overhead
		s.hold.wake()
	}
}

// hurry has everything read until the function that it returns is called,
// however much that is: for an operation whose answer may come after messages.
// Credit is the bound meanwhile.
func (h *hold) hurry() (done func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.urgent++
	h.wake()
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.urgent--
	}
}

// wake needs mu.
func (h *hold) wake() {
	if h.changed != nil {
		close(h.changed)
		h.changed = nil
	}
}

// gate waits until there is room, or ending.
func (h *hold) gate(ending <-chan struct{}) {
	h.wait(ending, func() bool { return h.bytes < h.most || h.urgent > 0 })
}

// calm waits until all messages have come out of go-amqp, which forgets those
// that have not when its connection ends.
func (h *hold) calm(ending context.Context) {
	ctx, cancel := context.WithTimeout(ending, settling)
	defer cancel()
	h.wait(ctx.Done(), func() bool { return h.untaken <= 0 })
}

func (h *hold) wait(ending <-chan struct{}, enough func() bool) {
	for {
		h.mu.Lock()
		if enough() {
			h.mu.Unlock()
			return
		}
		if h.changed == nil {
			h.changed = make(chan struct{})
		}
		changed := h.changed
		h.mu.Unlock()
		select {
		case <-changed:
		case <-ending:
			return
		}
	}
}

// A parcelQueue has what is to come out of Recv. A hold bounds it. The zero value
// is not ready: there must be room for one in ready.
type parcelQueue struct {
	ready chan struct{} // has a token when there may be something

	mu  sync.Mutex // protects the field below
	all []*parcel
}

func (q *parcelQueue) push(p *parcel) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.all = append(q.all, p)
	q.signal()
}

func (q *parcelQueue) signal() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// pop returns the first, or nil.
func (q *parcelQueue) pop() *parcel {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.all) == 0 {
		return nil
	}
	p := q.all[0]
	q.all[0], q.all = nil, q.all[1:]
	if len(q.all) > 0 {
		q.signal() // for another who waits
	} else {
		q.all = nil
	}
	return p
}

// goodbye is a close frame (part 2, section 2.7.9).
func goodbye(dst []byte) []byte {
	return append(dst, 0, 0, 0, 12, 2, 0, 0, 0, 0x00, 0x53, performClose, 0x45)
}

// receiveFrame reads the next frame by f.
func receiveFrame(s *transport.Stream, f func() error) error {
	_, err := s.Receive(context.Background(), func() (*transport.Message, error) { return nil, f() })
	return err
}
