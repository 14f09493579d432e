package amqp

import (
	"cmp"
	"context"
	"errors"

	goamqp "github.com/Azure/go-amqp"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/frames"
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
	return transport.WithReason(kind, cmp.Or(phrase(condition, description), "the peer gave no reason"))
}

// phrase puts a condition and its description together.
func phrase(condition, description string) string {
	if description == "" {
		return condition
	}
	return condition + ": " + description
}

// linkErr says in our words why a link, a session or an attempt to get one has
// failed. It is nil for nil.
func linkErr(err error) error {
	if err == nil {
		return nil
	}
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

// isOwn reports whether go-amqp refused by itself, without a word from the peer.
func isOwn(err error) bool {
	_, own := err.(*goamqp.Error) //nolint:errorlint // the peer's come wrapped
	return own
}

// isCondition reports whether err is the peer's, with this condition.
func isCondition(err error, c goamqp.ErrCond) bool {
	e, ok := errors.AsType[*goamqp.Error](err)
	return ok && e.Condition == c
}

// outcomeError is what an outcome amounts to. A peer may settle without saying
// how.
func outcomeError(x *frames.Disposition) error {
	switch x.Outcome {
	case frames.Rejected:
		if x.Error == nil {
			return transport.WithReason(transport.ErrRefused, "the peer rejected the message and gave no reason")
		}
		return transport.WithReason(transport.ErrRefused, "the peer rejected the message: "+phrase(x.Error.Condition, x.Error.Description))
	case frames.Released:
		return transport.WithReason(transport.ErrNoRoute, "the peer released the message: nobody is there to take it")
	case frames.Modified:
		return transport.WithReason(transport.ErrNoRoute, "the peer has tried to deliver the message and failed")
	}
	return nil
}

// opError is an error of one operation that sent nothing.
func (c *clientConn) opError(op string, err error) error {
	return &transport.OpError{Op: op, Scheme: scheme, Addr: c.info.Remote.String(), Err: err}
}

// lost is the error for a message that may have been sent.
func (c *clientConn) lost(err error) error {
	return &transport.OpError{Op: "send", Scheme: scheme, Addr: c.info.Remote.String(), MaybeSent: true, Err: err}
}
