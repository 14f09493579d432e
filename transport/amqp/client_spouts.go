package amqp

import (
	"sync"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/codec"
	"github.com/polyport/polyport/transport/amqp/internal/frames"
)

// spouts are the links to send by, as a guard sees them. It reads what the peer
// says in their sessions in go-amqp's place.
type spouts struct {
	mu       sync.Mutex        // protects the field below
	expected map[string]*spout // by the link's name, until the peer has attached it

	// The following belong to who reads, and are by the peer's channels.
	windows map[uint16]uint32 // of sessions without a link, about which nothing else is known
	all     map[uint16]*spout
}

func newSpouts() spouts {
	return spouts{expected: map[string]*spout{}, windows: map[uint16]uint32{}, all: map[uint16]*spout{}}
}

// expect is told of the name of a link that is about to be attached.
func (t *spouts) expect(name string, s *spout) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expected[name] = s
}

// forget is for a link that was not attached.
func (t *spouts) forget(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.expected, name)
}

// attaching is told of the handle that we have given to a link.
func (t *spouts) attaching(key linkKey, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.expected[name]; s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.channel, s.handle = uint16(key.channel), key.handle
	}
}

// begun notes the window that the peer begins a session with.
func (t *spouts) begun(channel uint16, c composite) {
	var b frames.BeginFrame
	d := codec.NewDecoder(c.fields)
	b.Parse(&d)
	delete(t.all, channel)
	t.windows[channel] = b.IncomingWindow
}

// attached is told of what the peer says of a link.
func (t *spouts) attached(channel uint16, c composite) {
	var a frames.Attach
	d := codec.NewDecoder(c.fields)
	a.Parse(&d)
	t.mu.Lock()
	s := t.expected[string(a.Name)]
	delete(t.expected, string(a.Name))
	t.mu.Unlock()
	if s != nil && a.Receiver {
		s.attached(t.windows[channel], &a)
		t.all[channel] = s
	}
}

// flowed takes in a flow frame of a session in which we send.
func (t *spouts) flowed(channel uint16, c composite) (ours bool, err error) {
	var f frames.Flow
	d := codec.NewDecoder(c.fields)
	f.Parse(&d)
	switch s := t.all[channel]; {
	case s == nil:
		if _, begun := t.windows[channel]; begun {
			t.windows[channel] = left(f.IncomingWindow, f.NextIncomingID, 0)
		}
		return false, nil
	case d.Err() != nil:
		return true, damaged("a flow: %v", d.Err())
	default:
		s.flowed(&f)
		return true, nil
	}
}

// settled takes in a disposition frame of a session in which we send.
func (t *spouts) settled(channel uint16, c composite) (ours bool, err error) {
	s := t.all[channel]
	if s == nil {
		return false, nil
	}
	var x frames.Disposition
	d := codec.NewDecoder(c.fields)
	x.Parse(&d)
	if err := d.Err(); err != nil {
		return true, damaged("a disposition: %v", err)
	}
	s.settled(&x)
	return true, nil
}

// ended is told of the end of a link or of its session, and why if the peer says.
func (t *spouts) ended(channel uint16, session bool, reason error) {
	if s := t.all[channel]; s != nil {
		if reason == nil {
			reason = transport.WithReason(transport.ErrClosed, "the peer has ended the link")
		}
		s.end(reason)
	}
	if session {
		delete(t.all, channel)
		delete(t.windows, channel)
	}
}
