package acceptor

import (
	"errors"
	"fmt"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/frames"
)

// The conditions of errors (sections 2.8.15 to 2.8.18) that are in use here.
const (
	decodeError       = "amqp:decode-error"
	invalidField      = "amqp:invalid-field"
	notAllowed        = "amqp:not-allowed"
	notFound          = "amqp:not-found"
	notImplemented    = "amqp:not-implemented"
	preconditionFails = "amqp:precondition-failed"
	resourceLimit     = "amqp:resource-limit-exceeded"
	unauthorized      = "amqp:unauthorized-access"
	framingError      = "amqp:connection:framing-error"
	windowViolation   = "amqp:session:window-violation"
	handleInUse       = "amqp:session:handle-in-use"
	unattachedHandle  = "amqp:session:unattached-handle"
	transferLimit     = "amqp:link:transfer-limit-exceeded"
	messageSize       = "amqp:link:message-size-exceeded"
	stolen            = "amqp:link:stolen"
	detachForced      = "amqp:link:detach-forced"
	internalError     = "amqp:internal-error"
)

// A fault is why the connection ends: the condition for the peer, and a sentence
// for people at both ends.
type fault struct {
	condition string
	err       error // made by transport.WithReason
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// broken is the fault of a peer that broke the rules.
func broken(condition, format string, args ...any) error {
	return &fault{condition, transport.WithReason(transport.ErrProtocol, fmt.Sprintf(format, args...))}
}

// tooLarge is the fault of one that sent too much.
func tooLarge(condition, format string, args ...any) error {
	return &fault{condition, transport.WithReason(transport.ErrTooLarge, fmt.Sprintf(format, args...))}
}

// refused is the fault of one that is not let in.
func refused(condition, format string, args ...any) error {
	return &fault{condition, transport.WithReason(transport.ErrRefused, fmt.Sprintf(format, args...))}
}

// malformed is the fault of a performative that cannot be read.
func malformed(what string, err error) error { return broken(decodeError, "%s: %v", what, err) }

// told is what the peer is told of err.
func told(err error) *frames.Error {
	f, ok := errors.AsType[*fault](err)
	if !ok {
		return nil
	}
	return &frames.Error{Condition: f.condition, Description: transport.Reason(f.err)}
}

// refusal is the error of a link, a session or a delivery, which the connection
// survives.
func refusal(condition, format string, args ...any) *frames.Error {
	return &frames.Error{Condition: condition, Description: fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error {
	return transport.WithReason(transport.ErrInvalid, fmt.Sprintf(format, args...))
}

func oversize(format string, args ...any) error {
	return transport.WithReason(transport.ErrTooLarge, fmt.Sprintf(format, args...))
}
