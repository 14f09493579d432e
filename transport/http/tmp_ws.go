package http

import (
	"fmt"

	"github.com/polyport/polyport/transport"
)

// tooLarge is the error for what is over a limit.
func tooLarge(format string, args ...any) error {
	return transport.WithReason(transport.ErrTooLarge, fmt.Sprintf(format, args...))
}

// refused is the error for a peer that does not let us in.
func refused(format string, args ...any) error {
	return transport.WithReason(transport.ErrRefused, fmt.Sprintf(format, args...))
}

// malformed is the error for what breaks the rules of HTTP.
func malformed(format string, args ...any) error {
	return transport.WithReason(transport.ErrProtocol, fmt.Sprintf(format, args...))
}
