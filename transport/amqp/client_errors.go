package amqp

import (
	"cmp"
	"context"
	"errors"

	goamqp "github.com/Azure/go-amqp"

	"github.com/polyport/polyport/transport"
)

// conditionError makes an error of a condition (part 2, section 2.8.15) and its
// description.
func conditionError(condition, description string) error {
	kind := transport.ErrClosed
	switch goamqp.ErrCond(condition) {
	case goamqp.ErrCondUnauthorizedAccess, goamqp.ErrCondNotFound, goamqp.ErrCondNotAllowed, goamqp.ErrCondInvalidField,
		goamqp.ErrCondNotImplemented, goamqp.ErrCondPreconditionFailed, goamqp.ErrCondResourceLocked,
		goamqp.ErrCondResourceLimitExceeded:
		kind = transport.ErrRefused
	case goamqp.ErrCondMessageSizeExceeded:
		kind = transport.ErrTooLarge
	case goamqp.ErrCondDecodeError, goamqp.ErrCondFramingError:
		kind = transport.ErrProtocol
	}
	text := condition
	if description != "" {
		text += ": " + description
	}
	return transport.WithReason(kind, cmp.Or(text, "the peer gave no reason"))
}

// linkErr says in our words why a link, a session or an attempt to get one has
// failed.
func linkErr(err error) error {
	if e, ok := errors.AsType[*goamqp.Error](err); ok {
		return conditionError(string(e.Condition), e.Description)
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return errors.Join(transport.ErrBusy, err)
	}
	return transport.WithReason(transport.ErrClosed, err.Error())
}

// isLoss reports whether err says that a link, its session or its connection
// has ended.
func isLoss(err error) bool {
	var link *goamqp.LinkError
	var session *goamqp.SessionError
	var conn *goamqp.ConnError
	return errors.As(err, &link) || errors.As(err, &session) || errors.As(err, &conn)
}

// isOwn reports whether go-amqp refused to send, without a word from the peer.
func isOwn(err error) bool {
	_, own := err.(*goamqp.Error) //nolint:errorlint // the peer's come wrapped
	return own
}

// isCondition reports whether err is the peer's, with this condition.
func isCondition(err error, c goamqp.ErrCond) bool {
	e, ok := errors.AsType[*goamqp.Error](err)
	return ok && e.Condition == c
}

// outcomeError is what a confirmation amounts to.
func outcomeError(s goamqp.DeliveryState) error {
	switch s := s.(type) {
	case *goamqp.StateAccepted:
		return nil
	case *goamqp.StateRejected:
		if s.Error == nil {
			return transport.WithReason(transport.ErrRefused, "the peer rejected the message and gave no reason")
		}
		return transport.WithReason(transport.ErrRefused, "the peer rejected the message: "+s.Error.Error())
	case *goamqp.StateReleased:
		return transport.WithReason(transport.ErrNoRoute, "the peer released the message: nobody is there to take it")
	case *goamqp.StateModified:
		return transport.WithReason(transport.ErrNoRoute, "the peer has tried to deliver the message and failed")
	}
	return transport.WithReason(transport.ErrProtocol, "the peer settled the message without an outcome")
}

// opError is an error of one operation that sent nothing.
func (c *clientConn) opError(op string, err error) error {
	return &transport.OpError{Op: op, Scheme: scheme, Addr: c.info.Remote.String(), Err: err}
}

// lost is the error for a message that may have been sent.
func (c *clientConn) lost(err error) error {
	return &transport.OpError{Op: "send", Scheme: scheme, Addr: c.info.Remote.String(), MaybeSent: true, Err: err}
}
