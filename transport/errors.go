package transport

import (
	"errors"
	"strings"
)

// The kinds of failure, wrapped in an [OpError]; use errors.Is.
var (
	// ErrClosed: the connection or listener is closed, by either side.
	ErrClosed = errors.New("transport: closed")
	// ErrTooLarge: a message, frame or field is over a limit.
	ErrTooLarge = errors.New("transport: too large")
	// ErrBusy: the send buffer had no room before the context ended.
	ErrBusy = errors.New("transport: no room in the send buffer")
	// ErrNoRoute: the message has no destination, or nobody is there.
	ErrNoRoute = errors.New("transport: no route to the destination")
	// ErrProtocol: the peer broke the wire's rules.
	ErrProtocol = errors.New("transport: protocol error")
	// ErrRefused: the peer turned us away: credentials, version, a destination.
	ErrRefused = errors.New("transport: refused by the peer")
	// ErrCertificateRequired: an [Authenticator] lets nobody in without a client
	// certificate that was verified.
	ErrCertificateRequired = errors.New("transport: a client certificate is required")
	// ErrHeartbeat: the peer was silent for longer than it promised.
	ErrHeartbeat = errors.New("transport: no sign of life from the peer")
	// ErrStalled: the peer did not take our bytes for longer than the stall
	// limit.
	ErrStalled = errors.New("transport: the peer does not read")
	// ErrSlow: a frame of the peer took longer than the frame timeout to
	// arrive.
	ErrSlow = errors.New("transport: the peer began a frame and did not finish it in time")
	// ErrPlaintext: a password would cross the network, or has, in the clear.
	ErrPlaintext = errors.New("transport: credentials without TLS")
	// ErrUnsupported: the wire, or what was negotiated, has not got this
	// ability.
	ErrUnsupported = errors.New("transport: not supported by this wire")
	// ErrInvalid: the message cannot be said on this wire.
	ErrInvalid = errors.New("transport: message cannot be sent on this wire")
	// ErrReconnecting: the connection was lost and will be made anew. What was
	// sent and not answered before is unknown.
	ErrReconnecting = errors.New("transport: connection lost, reconnecting")
)

// OpError says which operation failed, on which wire and address.
type OpError struct {
	// Op is "dial", "handshake", "listen", "accept", "send", "receive",
	// "subscribe", "settle", "flush" or "close".
	Op string
	// Scheme and Addr are the wire and the peer's address, where known.
	Scheme, Addr string
	// MaybeSent is set when part of a message may have left before the failure.
	MaybeSent bool
	// Err is the cause.
	Err error
}

// Error returns "OP SCHEME://ADDR: CAUSE".
func (e *OpError) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	b.WriteString(strings.TrimRight(" "+e.Scheme, " "))
	switch {
	case e.Scheme != "" && e.Addr != "":
		b.WriteString("://" + e.Addr)
	case e.Addr != "":
		b.WriteString(" " + e.Addr)
	}
	b.WriteString(": ")
	b.WriteString(e.Err.Error())
	return b.String()
}

// Unwrap returns the cause.
func (e *OpError) Unwrap() error { return e.Err }

// NotSent reports whether err, returned by a Send, proves that no byte of the
// message left, so that sending it again cannot double it. It is false for nil.
func NotSent(err error) bool {
	if err == nil {
		return false
	}
	e, ok := errors.AsType[*OpError](err)
	return ok && !e.MaybeSent
}

// WithReason is err with a sentence for a person, kept findable by errors.Is.
func WithReason(err error, reason string) error { return &reasoned{err, reason} }

// Reason returns the sentence given to [WithReason] for err or for an error
// that it wraps, else err's text without the name of this package.
func Reason(err error) string {
	if r, ok := errors.AsType[*reasoned](err); ok {
		return r.reason
	}
	return strings.TrimPrefix(err.Error(), "transport: ")
}

type reasoned struct {
	err    error
	reason string
}

func (e *reasoned) Error() string { return e.err.Error() + ": " + e.reason }
func (e *reasoned) Unwrap() error { return e.err }
