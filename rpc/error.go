package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/polyport/polyport/transport"
)

// Code is the number of an error (specification, section 5.1). Programs may use
// any outside -32768 to -32000 for errors of their own.
type Code int

// The codes that polyport sends by itself.
const (
	CodeParse          Code = -32700 // the text is not JSON
	CodeInvalidRequest Code = -32600 // the JSON is not a Request
	CodeMethodNotFound Code = -32601
	CodeInvalidParams  Code = -32602
	CodeInternal       Code = -32603 // a handler panicked, or its result cannot be sent
	CodeHandler        Code = -32000 // a handler returned a plain error
	CodeBusy           Code = -32009 // no place in the queue: nothing was executed
	CodeUnknownHandle  Code = -32050 // there is no call with this handle, or no such subscription
	CodeExpired        Code = -32051 // the call with this handle took too long, or its result is no longer kept
	CodeCancelled      Code = -32052
	CodeConflict       Code = -32053 // the handle belongs to another call, or the name to another subscription: nothing was executed
	CodeShuttingDown   Code = -32054 // nothing was executed
	CodeDeadline       Code = -32055 // the handler's deadline passed
)

// Error is the error object of a response. On the client's side it means that
// the server answered; an error of any other type means that it did not. A
// handler returns one to choose the code.
type Error struct {
	// Code is the number, Message a short sentence.
	Code    Code
	Message string
	// Data is any JSON value, or nil.
	Data json.RawMessage
}

// Errorf returns an Error with a formatted message.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Error returns "MESSAGE (CODE)".
func (e *Error) Error() string { return fmt.Sprintf("%s (%d)", e.Message, e.Code) }

// An Outcome is what is known of a call.
type Outcome uint8

const (
	// Answered: the server answered, with a result or an error.
	Answered Outcome = iota
	// NotSent: the request never left, so calling again cannot run it twice.
	NotSent
	// Unknown: the request may have been executed; no answer came.
	Unknown
)

// String returns "answered", "not sent" or "unknown".
func (o Outcome) String() string { return [...]string{"answered", "not sent", "unknown"}[o] }

// CallError says why a call has no answer.
type CallError struct {
	// Method is the one called, or "batch".
	Method string
	// Outcome is NotSent or Unknown.
	Outcome Outcome
	// Err is the cause: of the transport, of the context, of encoding.
	Err error
}

// Error returns "call METHOD: not sent: CAUSE" or "call METHOD: outcome
// unknown: CAUSE".
func (e *CallError) Error() string {
	outcome := "not sent"
	if e.Outcome == Unknown {
		outcome = "outcome unknown"
	}
	return fmt.Sprintf("call %s: %s: %v", e.Method, outcome, e.Err)
}

// Unwrap returns the cause.
func (e *CallError) Unwrap() error { return e.Err }

// OutcomeOf tells what an error returned by a call says of it. An error that no
// call returns counts as Unknown; nil and an answer that could not be decoded
// as Answered.
func OutcomeOf(err error) Outcome {
	if err == nil {
		return Answered
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return Answered
	}
	if _, ok := errors.AsType[*ResultError](err); ok {
		return Answered
	}
	if e, ok := errors.AsType[*CallError](err); ok {
		return e.Outcome
	}
	return Unknown
}

// ResultError says that an answer came whose result does not fit the type that
// the caller wants.
type ResultError struct {
	// Method is the one called.
	Method string
	// Err is what the codec found.
	Err error
}

// Error returns "call METHOD: cannot use the result: CAUSE".
func (e *ResultError) Error() string {
	return fmt.Sprintf("call %s: cannot use the result: %v", e.Method, e.Err)
}

// Unwrap returns the cause.
func (e *ResultError) Unwrap() error { return e.Err }

// Errors that a [CallError] may wrap.
var (
	// ErrClosed: the client was closed.
	ErrClosed = errors.New("rpc: client closed")
	// ErrParams: the params are not an array or an object.
	ErrParams = errors.New("rpc: params must be a JSON array or object")
	// ErrNoAnswer: the answer to a batch lacks this call.
	ErrNoAnswer = errors.New("rpc: the answer to the batch lacks this call")
	// ErrBadAnswer: something came in the place of an answer that is none.
	ErrBadAnswer = errors.New("rpc: malformed answer")
)

// failed makes the CallError for a Send that failed.
func (s *session) failed(method string, err error) *CallError {
	o := Unknown
	if transport.NotSent(err) {
		o = NotSent
	}
	return &CallError{Method: method, Outcome: o, Err: s.why(err)}
}

// why adds to a transport's error that we closed the connection ourselves.
func (s *session) why(err error) error {
	if s.closing.Load() && !errors.Is(err, ErrClosed) {
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return err
}

// errorOf turns what a handler returned into an error object.
func errorOf(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok && e != nil {
		return e
	} else if ok { // the commonest slip with errors in Go
		return &Error{Code: CodeInternal, Message: "internal error"}
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Code: CodeDeadline, Message: "deadline exceeded"}
	case errors.Is(err, context.Canceled):
		return &Error{Code: CodeCancelled, Message: "cancelled"}
	}
	return &Error{Code: CodeHandler, Message: err.Error()}
}
