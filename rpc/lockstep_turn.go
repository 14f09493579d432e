package rpc

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc/internal/envelope"
	"github.com/polyport/polyport/transport"
)

// A turn is a message of a client in lock-step, until it is answered.
type turn struct {
	msg  transport.Message
	id   uint64 // of its first call, 0 if it has none
	done *queue.Future[struct{}]

	unwatch func() bool // from when on the end of the call's ctx is none of the exchange
	phase   atomic.Int32
	left    chan struct{} // closed when it has left, or will not
	once    sync.Once
}

// The phases of a turn.
const (
	turnWaits = iota
	turnLeaves
	turnTakenBack
)

// newTurn copies m, which its sender wants back.
func newTurn(m *transport.Message) *turn {
	t := &turn{msg: *m, id: m.CorrelationID.Number(), left: make(chan struct{}), unwatch: func() bool { return true }}
	t.msg.Body, t.msg.Headers = slices.Clone(m.Body), slices.Clone(m.Headers)
	return t
}

// until returns the context of the exchange. It ends with ctx, but not after the
// answer: who has it may end ctx before the exchange is over, which would cost the
// connection.
func (t *turn) until(ctx context.Context) context.Context {
	if ctx.Done() == nil {
		return ctx
	}
	own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	t.unwatch = context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	return own
}

// leave reports whether the message may leave, which then counts as done.
func (t *turn) leave() bool { return t.phase.CompareAndSwap(turnWaits, turnLeaves) }

// stay says that the message has not left after all.
func (t *turn) stay() { t.phase.Store(turnTakenBack) }

// takeBack reports whether the message has not left, and will not.
func (t *turn) takeBack() bool {
	t.phase.CompareAndSwap(turnWaits, turnTakenBack)
	return t.phase.Load() == turnTakenBack
}

// gone says that the message is with the connection, or will not be.
func (t *turn) gone() { t.once.Do(func() { close(t.left) }) }

// answeredTurn hands m, the answer to t, to the calls of t and to no others. An error
// says that it was not the answer it should have been; no call of t waits after.
func (s *session) answeredTurn(t *turn, m *transport.Message) error {
	if t.id == 0 {
		s.ignored(m)
		return nil
	}
	bad := fmt.Errorf("%w: it is to another call", ErrBadAnswer)
	msgs, _, fault := envelope.Scan(m.Body, s.limits(), nil)
	switch {
	case len(m.Body) == 0:
		bad = fmt.Errorf("%w: it is empty", ErrBadAnswer)
	case fault != nil:
		bad = fmt.Errorf("%w: %w", ErrBadAnswer, fault)
	}
	if len(msgs) == 1 && msgs[0].Kind == envelope.Invalid && string(msgs[0].ID) == strconv.FormatUint(t.id, 10) && s.bareAck(&msgs[0]) {
		return nil
	}
	m.CorrelationID = transport.NumberID(t.id) // an error that names no id is about this message
	c := &s.calls
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range msgs {
		if msgs[i].Kind != envelope.Response || !c.within(t.id, msgs[i].ID) {
			s.stats.stray.Add(1)
			s.log.Debug("answer to another call", "id", string(msgs[i].ID))
		} else if s.match(m, &msgs[i]) != nil {
			bad = ErrNoAnswer // to the rest of the batch
		}
	}
	if _, left := c.blame(m, answer{err: bad, outcome: Unknown}); left {
		return bad
	}
	return nil
}

// ignored notes an answer to a message without calls, which should be empty.
func (s *session) ignored(m *transport.Message) {
	if len(m.Body) > 0 {
		s.stats.stray.Add(1)
		s.log.Debug("answer to a notification", "bytes", len(m.Body))
	}
}

// within reports whether the id of a response is one of the message whose first
// call is first, or none at all. It needs mu.
func (c *calls) within(first uint64, id []byte) bool {
	n, ok := number(id)
	if !ok {
		return true
	}
	w := c.waiting[n]
	return w != nil && w.message() == first
}

// message returns the id of the first call of the message by which w went.
func (w *waiter) message() uint64 {
	if w.group != nil {
		return w.group.id.Number()
	}
	return w.id
}

// failMessage ends the calls of a message that still wait.
func (c *calls) failMessage(first uint64, a answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if first != 0 {
		c.blame(&transport.Message{CorrelationID: transport.NumberID(first)}, a)
	}
}
