package rpc

import "github.com/polyport/polyport/rpc/internal/envelope"

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

// takesTurns reports whether the peer has one call at a time in flight, so that an
// answer that is late holds up others.
func (s *session) takesTurns() bool { return s.conn.Info().Lockstep || s.habits().inTurn }
