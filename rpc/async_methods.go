package rpc

import (
	"context"
	"reflect"
	"time"

	"github.com/polyport/polyport/rpc/internal/envelope"
	"github.com/polyport/polyport/rpc/internal/handles"
)

// maxWait is how long rpc.async.get may be kept waiting.
const maxWait = time.Minute

// asyncGetParams ask what became of a call.
type asyncGetParams struct {
	// Async is the handle.
	Async string `json:"async"`
	// WaitMS is how many milliseconds the answer may wait for the result.
	WaitMS int64 `json:"waitMs,omitempty"`
	// Forget gives the handle up when the result is answered.
	Forget bool `json:"forget,omitempty"`
}

type asyncCancelParams struct {
	// Async is the handle.
	Async string `json:"async"`
}

// asyncCancelResult says what became of the call: "cancelled" or "done".
type asyncCancelResult struct {
	State string `json:"state"`
}

var (
	asyncGetBinder    = newBinder[asyncGetParams](MuxOptions{Codec: JSON()})
	asyncCancelBinder = newBinder[asyncCancelParams](MuxOptions{Codec: JSON()})
)

func init() { //nolint:gochecknoinits // the table of built-in methods is filled by those who have some
	get := &method{name: "rpc.async.get", params: reflect.TypeFor[asyncGetParams](), later: (*request).asyncGet}
	get.o.Store(&MethodOptions{Summary: "Answers what a call with a handle has come to, or that it still runs."})
	builtin(get)
	cancel := &method{
		name: "rpc.async.cancel", params: reflect.TypeFor[asyncCancelParams](), result: reflect.TypeFor[asyncCancelResult](),
		atOnce: true, invoke: asyncCancel,
	}
	cancel.o.Store(&MethodOptions{Summary: "Ends a call with a handle."})
	builtin(cancel)
}

// asyncGet is the method rpc.async.get.
func (r *request) asyncGet() {
	var p asyncGetParams
	if r.session.async == nil {
		r.fail(notFound(r.msg.Method))
		return
	}
	if err := asyncGetBinder.bind(r.msg.Params, &p); err != nil {
		r.fail(errorOf(err))
		return
	}
	h, e := r.find(p.Async)
	if e != nil {
		r.fail(e)
		return
	}
	hold := time.Duration(min(max(0, p.WaitMS), maxWait.Milliseconds())) * time.Millisecond
	w := &waiting{r: r, handle: h, token: envelope.AppendString(nil, p.Async), forget: p.Forget, brief: true}
	w.begin(hold)
}

// asyncCancel is the method rpc.async.cancel.
func asyncCancel(ctx context.Context, params, dst []byte) ([]byte, error) {
	r, _ := ctx.Value(requestKey{}).(*request)
	var p asyncCancelParams
	if r.session.async == nil {
		return dst, notFound(r.msg.Method)
	}
	if err := asyncCancelBinder.bind(params, &p); err != nil {
		return dst, err
	}
	h, e := r.find(p.Async)
	if e != nil {
		return dst, e
	}
	result := asyncCancelResult{State: "done"}
	if store := r.session.async.store; store.Cancel(h) == handles.Cancelled {
		result.State = "cancelled"
		store.Read(h, false) // there is no more to know
	}
	return appendResult(JSON(), dst, &result)
}

// find finds the handle of the caller that is called name.
func (r *request) find(name string) (*handles.Handle, *Error) {
	a := r.session.async
	id, ok := handles.Parse(name)
	if !ok {
		return nil, &Error{Code: CodeInvalidParams, Message: `invalid params: "async" must be a UUID`}
	}
	h, v := a.store.Find(handles.Key{Principal: r.session.principal(r.message), ID: id})
	switch v {
	case handles.Attached:
		return h, nil
	case handles.Buried:
		return nil, a.expired()
	}
	return nil, a.unknown()
}
