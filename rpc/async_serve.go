package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/polyport/polyport/rpc/internal/envelope"
	"github.com/polyport/polyport/rpc/internal/handles"
)

// Why the context of a handler ended.
var (
	errHandleExpired   = fmt.Errorf("rpc: the call took longer than its time to live: %w", context.DeadlineExceeded)
	errHandleCancelled = fmt.Errorf("rpc: the call was cancelled by its caller: %w", context.Canceled)
)

// diverted reports whether the request takes another way than that of an
// ordinary call, and sends it there. It waits for nothing.
func (r *request) diverted() bool {
	switch {
	case r.method != nil && r.method.later != nil:
		r.method.later(r)
		return true
	case r.msg.Metadata == nil || r.msg.Kind != envelope.Request || r.session.async == nil:
		return false
	}
	return r.detach()
}

// detach serves a call that comes with a handle, and returns false for any
// other.
func (r *request) detach() bool {
	a := r.session.async
	ask := askOf(r.msg.Metadata)
	async := r.method != nil && !r.away && r.method.o.Load().Async
	key := handles.Key{Principal: r.session.principal(r.message), ID: ask.id}
	switch {
	case ask.kind == askNone || ask.kind == askAny && (!async || !r.acked(ask)):
		return false
	case ask.kind == askInvalid:
		r.fail(&Error{Code: CodeInvalidRequest, Message: "invalid metadata.async: expected a UUID in quotes, or true"})
		return true
	case ask.kind == askAny:
		key.ID = handles.Random()
		ask.token = []byte(`"` + key.ID.String() + `"`)
	case key.Principal == "" && !key.ID.Secret():
		r.fail(&Error{Code: CodeInvalidRequest, Message: "invalid metadata.async: without a login it must be random (version 4)"})
		return true
	}
	call := handles.CallOf(r.msg.Method, r.msg.Params)
	if async {
		r.begin(key, call, ask)
		return true
	}
	h, verdict := a.store.Look(key, call)
	if verdict == handles.Unknown {
		if r.away {
			r.lostHandle()
		}
		return r.away
	}
	r.attach(h, verdict, ask)
	return true
}

// begin runs a call that is new, or attaches to the one that has its handle.
func (r *request) begin(key handles.Key, call handles.Call, ask asyncAsk) {
	a := r.session.async
	ctx, cancel := context.WithCancelCause(a.ctx)
	d := &detached{calls: a, key: key, cancel: cancel}
	d.session, d.message, d.method, d.service, d.msg, d.slot, d.Context = r.session, r.message, r.method, r.service, r.msg, -1, ctx
	h, verdict := a.store.Begin(key, call, d.stop)
	if verdict != handles.Started {
		d.cancel(nil)
		r.attach(h, verdict, ask)
		return
	}
	d.handle = h
	if d.entered = r.entered; d.entered {
		d.service.gate.again()
	}
	if err := a.submit(d); err != nil && !r.session.parked.takes(r.message, err, r.session.lanes.common, d) {
		d.withdraw(err)
	}
	r.await(h, ask, a.o.Grace)
}

// attach answers a call whose handle is known.
func (r *request) attach(h *handles.Handle, v handles.Verdict, ask asyncAsk) {
	switch v {
	case handles.Attached:
		r.await(h, ask, r.session.async.o.Poll)
	case handles.Conflict:
		r.fail(&Error{Code: CodeConflict, Message: "the handle belongs to another call; nothing was executed"})
	case handles.Buried:
		r.fail(r.session.async.expired())
	default:
		r.fail(&Error{Code: CodeBusy, Message: "busy: too many calls with handles; nothing was executed"})
	}
}

// acked reports whether the answer has to make room for others, so that it must
// not be late.
func (r *request) acked(ask asyncAsk) bool {
	return ask.push || r.batch != nil || r.session.takesTurns()
}

// await answers with the result of a call when it is there, or after some time
// with an acknowledgement if the answer must not be late.
func (r *request) await(h *handles.Handle, ask asyncAsk, hold time.Duration) {
	if !r.acked(ask) {
		hold = math.MaxInt64
	}
	w := &waiting{r: r, handle: h, token: ask.token, push: ask.push}
	w.begin(hold)
}

// fail answers with an error.
func (r *request) fail(e *Error) {
	r.reply(func(dst []byte) []byte {
		return r.session.appendError(dst, r.msg.ID, e)
	})
}

// reply answers a request that does so later than its Run, with what appends
// the response.
func (r *request) reply(appendTo func([]byte) []byte) {
	if r.msg.Kind == envelope.Notification {
		r.done(nil)
		return
	}
	out := newOutgoing()
	out.id = r.msg.ID
	out.msg.Body = appendTo(out.msg.Body)
	r.done(out)
}

func (a *asyncCalls) expired() *Error {
	return &Error{Code: CodeExpired, Message: "the handle has expired; the call is not made again", Data: a.epochData()}
}

func (a *asyncCalls) unknown() *Error {
	return &Error{Code: CodeUnknownHandle, Message: "unknown handle", Data: a.epochData()}
}

// epochData tells callers whether this is the server that they know.
func (a *asyncCalls) epochData() []byte { return []byte(`{"epoch":"` + a.store.Epoch() + `"}`) }

// appendResult appends the response to the call with an id that a handle has
// come to.
func (a *asyncCalls) appendResult(dst, id []byte, h *handles.Handle) []byte {
	state, text := a.store.Result(h)
	e := &Error{Code: CodeInternal, Message: "there was no room to keep the result"}
	switch {
	case state == handles.Done && text != nil:
		return envelope.AppendResult(dst, id, text)
	case state == handles.Failed && text != nil:
		return envelope.AppendTail(append(envelope.AppendErrorHead(dst, id), text...))
	case state == handles.Cancelled:
		e = &Error{Code: CodeCancelled, Message: "cancelled"}
	case state == handles.Expired:
		e = a.expired()
	}
	return envelope.AppendError(dst, id, int(e.Code), e.Message, e.Data)
}

// detached is a call that runs apart from the request that brought it. It is
// its own job in the queue, and its handler finds the request in it.
type detached struct {
	request

	calls  *asyncCalls
	key    handles.Key
	handle *handles.Handle
	apart  *asyncLane // protected by calls.mu
	cancel context.CancelCauseFunc
}

// stop is called when the handler is to end.
func (d *detached) stop(why handles.State) {
	if why == handles.Expired {
		d.cancel(errHandleExpired)
		return
	}
	d.cancel(errHandleCancelled)
}

// Run runs the handler. Whatever it does, the handle comes to something.
func (d *detached) Run(context.Context) {
	out := newOutgoing()
	whole := false
	defer func() {
		if !whole {
			d.log(recover())
			out.msg.Body = envelope.AppendError(out.msg.Body[:0], d.msg.ID, int(CodeInternal), "internal error", nil)
		}
		d.finish(out.msg.Body)
		out.free()
	}()
	out.msg.Body = d.appendAnswer(out.msg.Body)
	whole = true
}

var anyDepth = &envelope.Limits{Depth: math.MaxInt}

// finish keeps what stands in a response.
func (d *detached) finish(body []byte) {
	state, text := handles.Failed, []byte(nil)
	if msgs, _, fault := envelope.Scan(body, anyDepth, nil); fault == nil && msgs[0].Error != nil {
		text = bytes.Clone(msgs[0].Error)
	} else if fault == nil && msgs[0].Result != nil {
		state, text = handles.Done, bytes.Clone(msgs[0].Result)
	}
	d.calls.store.Finish(d.handle, state, text)
	d.cancel(nil)
	d.out()
	d.calls.left(d)
}

// Drop is called when the handler will never run.
func (d *detached) Drop(err error) {
	d.withdraw(err)
	d.calls.left(d)
}

// withdraw forgets the handle.
func (d *detached) withdraw(err error) {
	d.calls.store.Withdraw(d.handle, errorText(refusal(err)))
	d.cancel(err)
	d.out()
}

// errorText is the error object of e.
func errorText(e *Error) []byte {
	body := envelope.AppendError(nil, nil, int(e.Code), e.Message, e.Data)
	msgs, _, _ := envelope.Scan(body, nil, nil)
	return msgs[0].Error
}

var errSessionEnded = errors.New("rpc: the connection ended before the answer")
