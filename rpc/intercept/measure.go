package intercept

import (
	"context"
	"errors"
	"time"

	"github.com/polyport/polyport/rpc"
)

// UnknownMethod is the Method of a [Call] of a method that does not exist: what
// peers make up must not become a label.
const UnknownMethod = "(unknown)"

// A Call is what a [Metrics] may use for labels. Its fields have few values.
type Call struct {
	// Method is the one called, [UnknownMethod] or, for a batch that is sent,
	// "batch".
	Method string
	// Wire is the scheme of the connection's wire.
	Wire string
	// Incoming says that this end serves the call; Notification that it wants no
	// answer.
	Incoming, Notification bool
}

// CallOf returns the labels of a call.
func CallOf(c *rpc.Invocation) Call {
	method := c.Method
	if !c.Known {
		method = UnknownMethod
	}
	return Call{Method: method, Wire: c.Info.Scheme, Incoming: c.Incoming, Notification: c.Notification}
}

// A Result is what came of a call.
type Result struct {
	// Outcome is Answered on incoming calls.
	Outcome rpc.Outcome
	// Failed says that there was an error, and Code which one the answer has: any,
	// 0 too, if Failed is true and Outcome is Answered.
	Failed bool
	Code   rpc.Code
}

// ResultOf returns what came of a call for which Next returned err.
func ResultOf(c *rpc.Invocation, err error) Result {
	r := Result{Failed: err != nil}
	e, answered := errors.AsType[*rpc.Error](err)
	switch {
	case err == nil:
	case answered && e != nil:
		r.Code = e.Code
	case !c.Incoming:
		r.Outcome = rpc.OutcomeOf(err)
	case answered:
		r.Code = rpc.CodeInternal
	case errors.Is(err, context.DeadlineExceeded):
		r.Code = rpc.CodeDeadline
	case errors.Is(err, context.Canceled):
		r.Code = rpc.CodeCancelled
	default:
		r.Code = rpc.CodeHandler
	}
	return r
}

// Metrics is told of calls. Its methods are called by many goroutines at once, on
// those of the calls, so they must be quick. The difference between what has
// started and what has ended is what is in flight.
type Metrics interface {
	// Started is called when a call begins.
	Started(ctx context.Context, c Call)
	// Ended is called once for each Started, whatever becomes of the call, with
	// the same c.
	Ended(ctx context.Context, c Call, r Result, took time.Duration)
}

// Measure tells m of each call in both directions. A call that ends with a panic
// counts as one that failed with [rpc.CodeInternal]. m must not be nil.
func Measure(m Metrics) rpc.Interceptor {
	return func(ctx context.Context, c *rpc.Invocation) error {
		call, began := CallOf(c), time.Now()
		result := Result{Failed: true, Code: rpc.CodeInternal}
		if !c.Incoming {
			result = Result{Failed: true, Outcome: rpc.Unknown}
		}
		m.Started(ctx, call)
		defer func() { m.Ended(ctx, call, result, time.Since(began)) }()
		err := c.Next(ctx)
		result = ResultOf(c, err)
		return err
	}
}
