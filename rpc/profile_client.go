package rpc

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/polyport/polyport/transport"
)

// mayNotify says why no notification may be sent to the peer, nil if one may.
func (s *session) mayNotify() error {
	if s.own == nil || s.own.noNotifications == "" {
		return nil
	}
	return transport.WithReason(transport.ErrUnsupported, s.own.noNotifications)
}

// maySend says why a batch is not sent.
func (s *session) maySend(items []item) *CallError {
	for _, it := range items {
		if it.call != nil {
			continue
		}
		if err := s.mayNotify(); err != nil {
			return notSentBatch(fmt.Errorf("%s: %w", it.method, err))
		}
	}
	return nil
}

// understand says an error of the peer with our code for what it means. Its own
// code is in Data then, unless there is something else.
func (h *habits) understand(err error) error {
	if h.busy == 0 && h.notReady == 0 {
		return err
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	theirs := e.Code
	switch theirs {
	case h.busy:
		e.Code = CodeBusy
	case h.notReady:
		e.Code = CodeShuttingDown
	default:
		return err
	}
	if e.Data == nil {
		e.Data = json.RawMessage(fmt.Sprintf(`{"code":%d}`, theirs))
	}
	return err
}

// only returns the call that an error without an id answers, if calls take turns.
// Such an error may be about something sent before, too: a notification, or a call
// that was given up. It needs mu.
func (c *calls) only() *waiter {
	if !c.inTurn || len(c.waiting) != 1 {
		return nil
	}
	if c.owed > 0 {
		c.owed--
		return nil
	}
	for _, w := range c.waiting {
		return w
	}
	return nil
}

// owe notes that something was sent that no call waits for, and that may be
// answered without an id.
func (c *calls) owe() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owed++
}

// window is how many calls may be in flight on conn, of most. Where the wire is in
// lock-step it sees to that itself, and more may wait.
func (h *habits) window(conn transport.Conn, most int) int {
	if h.inTurn && !conn.Info().Lockstep {
		return 1
	}
	return most
}

// bareParams reports whether params may be a scalar.
func (s *session) bareParams() bool { return s.own != nil && s.own.bareParams }

// passing appends the header that is sent even though nothing else is.
func (s *session) passing(dst []transport.Header, x *Invocation) []transport.Header {
	if s.passes == "" || x == nil {
		return dst
	}
	for _, h := range x.beside {
		if h.Name == s.passes {
			dst = append(dst, h)
		}
	}
	return dst
}
