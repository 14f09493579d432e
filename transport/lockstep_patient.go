package transport

import (
	"context"
	"sync/atomic"
)

// NewPatientAnswerer is [NewAnswerer] towards peers that may not keep the rule,
// such as those that give up a call and then make the next: what they ask before
// the last was answered waits for its turn. One such message is taken in, and the
// others stay with the byte stream.
func NewPatientAnswerer(c Conn, s *Stream) Conn {
	return &patient{conn: c, stream: s, turn: make(chan struct{}, 1)}
}

// patient keeps the end that answers in lock-step, and not its peer.
type patient struct {
	conn   Conn
	stream *Stream
	next   *Message      // received and not handed out; belongs to Recv
	turn   chan struct{} // of room for one: taken from a question to its answer
	open   atomic.Bool   // a question waits for its answer
}

// Recv returns the next message, when the last is answered.
func (p *patient) Recv(ctx context.Context) (*Message, error) {
	if p.next == nil {
		m, err := p.conn.Recv(ctx)
		if err != nil {
			return nil, err
		}
		p.next = m
	}
	select {
	case p.turn <- struct{}{}:
		m := p.next
		p.next = nil
		p.open.Store(true)
		return m, nil
	case <-p.stream.Ending():
		return p.conn.Recv(ctx) // which says why
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Send answers the message that came out of Recv.
func (p *patient) Send(ctx context.Context, m *Message) error {
	if err := p.stream.Over("send"); err != nil {
		return err
	}
	if !p.open.CompareAndSwap(true, false) {
		return p.stream.opError("send", WithReason(ErrUnsupported,
			"in lock-step this end can only answer, and no message waits for an answer"))
	}
	err := p.conn.Send(ctx, m)
	if NotSent(err) {
		p.open.Store(true)
	} else {
		<-p.turn
	}
	return err
}

// Flush waits until what was sent is written.
func (p *patient) Flush(ctx context.Context) error { return p.stream.Flush(ctx) }

// Close ends the connection.
func (p *patient) Close() error { return p.conn.Close() }

// Info returns what was negotiated.
func (p *patient) Info() *Info { return p.conn.Info() }
