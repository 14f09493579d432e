package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/rpc"
)

// The exit statuses.
const (
	exitOK       = 0
	exitError    = 1 // the answer is an error, or something failed here
	exitUsage    = 2
	exitNoAnswer = 3
)

// errReported means exit status 1 when all has been said.
var errReported = errors.New("cli: reported")

// usageError is about the command line, a file it names or a setting.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// An unansweredError says why something that was to be answered was not.
type unansweredError struct {
	outcome rpc.Outcome
	to      target
	err     error
	handle  string // by which one can come back; "" for none
}

func (e unansweredError) Error() string { return e.outcome.String() + ": " + e.err.Error() }
func (e unansweredError) Unwrap() error { return e.err }

// callError makes an unansweredError of what a call returned, unless it was answered.
func callError(err error, to target) error {
	if err == nil || rpc.OutcomeOf(err) == rpc.Answered || errors.Is(err, errReported) {
		return err
	}
	if _, ok := errors.AsType[documentError](err); ok {
		return err
	}
	cause := err
	if e, ok := errors.AsType[*rpc.CallError](err); ok {
		cause = e.Err
	}
	return unansweredError{outcome: rpc.OutcomeOf(err), to: to, err: cause}
}

// report says on stderr why a verb failed, and returns the exit status.
func (e *environment) report(c *common, err error) int {
	if err == nil {
		return exitOK
	}
	if errors.Is(err, errReported) {
		return exitError
	}
	if answer, ok := errors.AsType[*rpc.Error](err); ok {
		writeJSON(e.stderr, errorObject(answer))
		if means := theirs(answer); means != "" && (c == nil || !c.JSON) {
			fmt.Fprintf(e.stderr, "    %s\n", means)
		}
		return exitError
	}
	f := e.failure(c, err)
	if c != nil && c.JSON {
		writeJSON(e.stderr, f)
		return f.Exit
	}
	fmt.Fprintf(e.stderr, "%s: %s\n", f.who, f.Text)
	if f.Advice != "" {
		fmt.Fprintf(e.stderr, "    %s\n", f.Advice)
	}
	return f.Exit
}

// A failure is what is printed of one.
type failure struct {
	Exit    int    `json:"exit"`
	Outcome string `json:"outcome,omitempty"`
	Text    string `json:"error"`
	Advice  string `json:"advice,omitempty"`

	who string
}

func (e *environment) failure(c *common, err error) failure {
	f := failure{Exit: exitError, Text: err.Error(), who: "polyport"}
	if e.verb != "" {
		f.who += " " + e.verb
	}
	if config, ok := errors.AsType[*app.ConfigError](err); ok {
		err = usageError{config} // without what fx says around it
	}
	if usage, ok := errors.AsType[usageError](err); ok {
		f.Exit, f.Text, f.Advice = exitUsage, usage.Error(), "see: "+f.who+" --help"
	} else if missing, ok := errors.AsType[unansweredError](err); ok {
		f.Exit, f.Outcome = exitNoAnswer, missing.outcome.String()
		f.Text, f.Advice = missing.explain(c)
	} else if short, ok := errors.AsType[eventsError](err); ok {
		f.Exit, f.Advice = exitNoAnswer, short.advice
	} else if errors.Is(err, syscall.EADDRINUSE) {
		f.Advice = "another program listens there; choose another address with --listen, or port 0 for a free one"
	}
	return f
}

type rawMessage = json.RawMessage

// errorObject is e as it was in the answer.
func errorObject(e *rpc.Error) any {
	return struct {
		Code    rpc.Code   `json:"code"`
		Message string     `json:"message"`
		Data    rawMessage `json:"data,omitempty"`
	}{e.Code, e.Message, e.Data}
}

// writeJSON writes v as one line. A write that fails has no other place to be
// told.
func writeJSON(w io.Writer, v any) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) //nolint:errchkjson // all that is given here can be encoded
}
