package broker

import (
	"errors"

	"github.com/polyport/polyport/transport"
)

// MaySend is that of [transport.Permitter].
func (s *session) MaySend(to string) error {
	d, err := s.resolve(to)
	if errors.Is(err, transport.ErrNoRoute) {
		return nil // it may be there by the time of the first message
	}
	if err != nil || d.Kind == Reply {
		return err
	}
	return s.may(Send, d)
}
