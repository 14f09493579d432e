package rpc

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/polyport/polyport/rpc/internal/envelope"
	"github.com/polyport/polyport/transport"
)

// A Forwarder finds who serves a service that does not run here: the methods of
// Task are those called Task.something. It is called for each request that is forwarded,
// by many goroutines at once, and ctx is the request's; so it had better
// return the same client as before. The error wraps [transport.ErrNoRoute] if nobody serves
// it. Interceptors of the client do not stand around what is forwarded; those of the
// server do.
type Forwarder func(ctx context.Context, service string) (*Client, error)

// rawParams are params that are sent as they are.
type rawParams []byte

// A relayedError is an error object that another server has sent.
type relayedError struct {
	e   *Error
	raw []byte
}

// Error returns the text of the error.
func (e *relayedError) Error() string { return e.e.Error() }

// Unwrap returns the error.
func (e *relayedError) Unwrap() error { return e.e }

// namespace is the service that a method belongs to by its name, or "".
func namespace[T string | []byte](method T) T {
	dot := strings.LastIndexByte(string(method), '.')
	if dot < 0 {
		return method[:0]
	}
	return method[:dot]
}

// forward has a request served elsewhere: params go there as they came, and the
// result or the error comes back as it is. The deadline, and what else travels
// beside the call, goes with it, and so does its end.
func (r *request) forward(ctx context.Context, dst, params []byte) ([]byte, error) {
	service, method := string(namespace(r.msg.Method)), string(r.msg.Method)
	if r.session.forward == nil {
		return dst, r.unserved(service, NotSent, transport.ErrNoRoute)
	}
	beside, hops := r.hop()
	if hops > maxHops {
		return dst, Errorf(CodeShuttingDown, "service %.100q is sought in a circle: %d servers have passed the request on; nothing was executed", service, maxHops)
	}
	c, err := r.session.forward(ctx, service)
	if err == nil && c == nil {
		err = transport.ErrNoRoute
	}
	if err != nil {
		return dst, r.unserved(service, NotSent, err)
	}
	x := &Invocation{beside: beside}
	var p any
	if params != nil {
		p = rawParams(params)
	}
	if r.msg.Kind == envelope.Notification {
		if err := c.notify(ctx, x, method, p); err != nil {
			return dst, r.unserved(service, OutcomeOf(err), err)
		}
		return append(dst, "null"...), nil
	}
	switch a := c.exchange(ctx, x, method, p); {
	case a.err != nil:
		return dst, r.unserved(service, a.outcome, a.err)
	case a.fault != nil:
		e, _ := errors.AsType[*Error](decodeError(JSON(), a.fault))
		return dst, &relayedError{e: e, raw: a.fault}
	default:
		return append(dst, a.result...), nil
	}
}

const (
	// headerForwarded counts the servers that have passed a request on.
	headerForwarded = "forwarded"
	maxHops         = 8
)

// hop returns what is to travel beside a request that is passed on, and how often it was then.
func (r *request) hop() (beside []transport.Header, hops int) {
	all := r.beside()
	beside = make([]transport.Header, 0, len(all)+1)
	for _, h := range all {
		if h.Name == headerForwarded {
			hops, _ = strconv.Atoi(h.Value)
			continue
		}
		beside = append(beside, h)
	}
	hops = max(hops, 0) + 1
	return append(beside, transport.Header{Name: headerForwarded, Value: strconv.Itoa(hops)}), hops
}

// unserved is the answer to a request that came to nothing elsewhere.
func (r *request) unserved(service string, o Outcome, err error) error {
	switch {
	case r.Err() != nil:
		return context.Cause(r)
	case o == Unknown:
		r.session.log.Warn("a forwarded request was lost", "method", shown(r.msg.Method), "err", err)
		e := Errorf(CodeInternal, "the connection to service %.100q was lost: whether the call was executed is not known", service)
		e.Data = []byte(`{"outcome":"unknown"}`)
		return e
	case errors.Is(err, transport.ErrBusy):
		return refusal(err)
	case errors.Is(err, transport.ErrNoRoute) && r.service.unnamed:
		return notFound(r.msg.Method)
	case errors.Is(err, transport.ErrNoRoute):
		return Errorf(CodeShuttingDown, "service %.100q is not running here, nor known to run elsewhere; nothing was executed", service)
	}
	r.session.log.Warn("a service cannot be reached", "service", service, "err", err)
	return Errorf(CodeShuttingDown, "service %.100q is not running here, and cannot be reached; nothing was executed", service)
}

// lostHandle refuses a call with a handle that would have to be forwarded: handles belong
// to the server that has given or taken them.
func (r *request) lostHandle() {
	r.fail(Errorf(CodeShuttingDown, "service %.100q is not running here, and calls with handles are not passed on; nothing was executed",
		namespace(r.msg.Method)))
}

// elsewhereFor is by which requests go whose methods nobody knows here, nil if they
// go nowhere.
func (l *lanes) elsewhereFor(method []byte) *service {
	if l.elsewhere == nil || bytes.HasPrefix(method, []byte(reserved)) || len(namespace(method)) == 0 {
		return nil
	}
	return l.elsewhere
}
