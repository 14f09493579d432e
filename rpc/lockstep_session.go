package rpc

import (
	"context"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/transport"
)

// keepStep sees to it that a session over a wire in lock-step keeps step. A client
// calls by its lockstep; a server answers every message, and sends nothing else.
func (s *session) keepStep(conn transport.Conn) {
	s.back = conn
	if l, ok := conn.(*lockstep); ok {
		s.lockstep = l
		l.serve(s)
		return
	}
	if conn.Info().Lockstep {
		s.conn, s.answersAll = mute{conn}, true
	}
}

// A mute is the connection of a server in lock-step for all but answers: whatever
// else it sent would be taken for one.
type mute struct{ transport.Conn }

// Unwrap returns the connection.
func (m mute) Unwrap() transport.Conn { return m.Conn }

// Send fails.
func (m mute) Send(context.Context, *transport.Message) error {
	return &transport.OpError{
		Op: "send", Scheme: m.Info().Scheme,
		Err: transport.WithReason(transport.ErrUnsupported, "the caller's wire is in lock-step: it can be answered, not called"),
	}
}

// revoke says what is known of the calls of the message whose first call is id,
// whose caller gives up. In lock-step it ends their exchange. It comes before they
// are abandoned: if the exchange has ended by then, they have been told.
func (s *session) revoke(ctx context.Context, id uint64) Outcome {
	if s.lockstep == nil {
		return Unknown
	}
	return s.lockstep.takeBack(ctx, id)
}

// silent closes the account of a message to which there is nothing to say, and of
// the n requests in it that were admitted. Where every message wants an answer it
// gets an empty one.
func (s *session) silent(m *transport.Message, o transport.Outcome, n int) {
	if s.answersAll {
		s.answer(m, newOutgoing(), n)
		return
	}
	s.settle(m, o)
	if n > 0 {
		s.serving.leave(n)
		s.serving.done(n)
	}
}

// Late returns how many answers came that nobody waited for, because their calls
// had ended or because there were none. They were dropped.
func (c *Client) Late() uint64 { return c.s.stats.stray.Load() }

// LockstepStats returns the numbers of the connections by which the client calls; ok
// is false if the wire is not in lock-step. Queue counts messages, and Late is that
// of the method Late.
func (c *Client) LockstepStats() (stats queue.LockstepStats, ok bool) {
	if c.s.lockstep == nil {
		return stats, false
	}
	stats = c.s.lockstep.pool.Stats()
	stats.Late = c.Late()
	return stats, true
}
