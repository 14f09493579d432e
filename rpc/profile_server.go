package rpc

import (
	"bytes"

	"github.com/polyport/polyport/rpc/internal/envelope"
	"github.com/polyport/polyport/transport"
)

// appendError appends an error as an answer, with the code that the peer knows.
func (s *session) appendError(dst, id []byte, e *Error) []byte {
	code := e.Code
	if code == CodeBusy || code == CodeShuttingDown {
		code = s.habits().said(code)
	}
	return envelope.AppendError(dst, id, int(code), e.Message, validData(e.Data))
}

// said is what the programs of a profile say for a code.
func (h *habits) said(code Code) Code {
	switch {
	case code == CodeBusy && h.busy != 0:
		return h.busy
	case code == CodeShuttingDown && h.notReady != 0:
		return h.notReady
	}
	return code
}

// orTrue puts true in the place of a result that is null, the result being what dst
// has from at on, if the peer expects one.
func (s *session) orTrue(dst []byte, at int) []byte {
	if string(dst[at:]) == "null" && s.habits().trueForNull {
		return append(dst[:at], "true"...)
	}
	return dst
}

// underWay reports whether a request is one that the peer has sent before, by the same
// connection, and whose answer will come: a caller who has waited too long tries again
// with the same id, and takes one answer for both.
func (s *session) underWay(m *transport.Message, msg *envelope.Message) bool {
	if msg.Kind != envelope.Request || !s.habits().again {
		return false
	}
	r := s.roll.find(msg.ID, m.ReplyTo)
	return r != nil && bytes.Equal(r.msg.Method, msg.Method) && bytes.Equal(r.msg.Params, msg.Params)
}

// takesTurns reports whether the peer has one call at a time in flight, so that an
// answer that is late holds up others.
func (s *session) takesTurns() bool { return s.conn.Info().Lockstep || s.habits().inTurn }
