package transport

import (
	"context"
	"sync"
)

// NewAsker returns c, the end that dialed, as one in lock-step: see
// [Info].Lockstep, which the wire sets. The Conn shows nothing of c, which runs
// on s, but what makes sense there: no ability but [Flusher]. refuse is called
// from inside Recv when the peer breaks the rule, and ends the stream because of
// the error, which it tells the peer if the wire can; nil means [Stream.Fail].
func NewAsker(c Conn, s *Stream, refuse func(error)) Conn { return newTurns(c, s, refuse, true) }

// NewAnswerer is [NewAsker] for the end that was dialed.
func NewAnswerer(c Conn, s *Stream, refuse func(error)) Conn { return newTurns(c, s, refuse, false) }

func newTurns(c Conn, s *Stream, refuse func(error), asks bool) Conn {
	if refuse == nil {
		refuse = s.Fail
	}
	return &turns{conn: c, stream: s, refuse: refuse, asks: asks}
}

// turns keeps an end of a connection in lock-step.
type turns struct {
	conn   Conn
	stream *Stream
	refuse func(error)
	asks   bool

	mu sync.Mutex // protects the field below
	// open says that a question waits for its answer: at the end that asks it was
	// sent, at the other it was received.
	open bool
}

// Send sends m if it is this end's turn.
func (t *turns) Send(ctx context.Context, m *Message) error {
	if !t.change(t.asks) {
		return t.outOfTurn()
	}
	err := t.conn.Send(ctx, m)
	if err != nil && NotSent(err) {
		t.change(!t.asks)
	}
	return err
}

// outOfTurn says why nothing can be sent: when all is over, that comes first.
func (t *turns) outOfTurn() error {
	if err := t.stream.Over("send"); err != nil {
		return err
	}
	why := WithReason(ErrUnsupported, "in lock-step this end can only answer, and no message waits for an answer")
	if t.asks {
		why = WithReason(ErrBusy, "in lock-step the next message has to wait for the answer to the last")
	}
	return t.stream.opError("send", why)
}

// Recv returns the next message and makes it this end's turn.
func (t *turns) Recv(ctx context.Context) (*Message, error) {
	m, err := t.conn.Recv(ctx)
	if err != nil || t.change(!t.asks) {
		return m, err
	}
	what := "a message before the last was answered"
	if t.asks {
		what = "an answer to nothing"
	}
	err = WithReason(ErrProtocol, what+", on a connection in lock-step")
	t.refuse(err)
	return nil, t.stream.opError("receive", err)
}

// change opens or closes the question, and reports whether it was not so before.
func (t *turns) change(open bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	changed := t.open != open
	t.open = open
	return changed
}

// Flush waits until what was sent is written.
func (t *turns) Flush(ctx context.Context) error { return t.stream.Flush(ctx) }

// Close ends the connection.
func (t *turns) Close() error { return t.conn.Close() }

// Info returns what was negotiated.
func (t *turns) Info() *Info { return t.conn.Info() }
