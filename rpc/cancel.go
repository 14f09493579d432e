package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/polyport/polyport/rpc/internal/envelope"
)

// errHandled ends the context of a handler that has returned.
var errHandled = fmt.Errorf("rpc: the request has been handled: %w", context.Canceled)

// errCancelled ends the context of a handler whose caller gave up.
var errCancelled = fmt.Errorf("rpc: cancelled by the caller: %w", context.Canceled)

// A life is the part of a request that is its context: how long it lasts. It
// costs nothing to speak of until somebody wants to be told of its end.
type life struct {
	context.Context // what it lasts no longer than

	deadline time.Time // zero for none
	over     atomic.Pointer[error]
	told     atomic.Pointer[told]
}

// told is the context that tells of the end.
type told struct {
	context.Context
	stop context.CancelCauseFunc
}

// Deadline implements [context.Context].
func (l *life) Deadline() (time.Time, bool) {
	d, ok := l.Context.Deadline()
	if l.deadline.IsZero() || ok && d.Before(l.deadline) {
		return d, ok
	}
	return l.deadline, true
}

// Done implements [context.Context].
func (l *life) Done() <-chan struct{} { return l.tell().Done() }

// Err implements [context.Context].
func (l *life) Err() error {
	if t := l.told.Load(); t != nil {
		return t.Err()
	}
	switch {
	case l.over.Load() != nil:
		return context.Canceled
	case !l.deadline.IsZero() && !time.Now().Before(l.deadline):
		return context.DeadlineExceeded
	}
	return l.Context.Err()
}

// Value implements [context.Context].
func (l *life) Value(key any) any {
	if t := l.told.Load(); t != nil {
		return t.Value(key)
	}
	return l.Context.Value(key)
}

// tell makes the context that tells of the end.
func (l *life) tell() *told {
	if t := l.told.Load(); t != nil {
		return t
	}
	ctx, stop := context.WithCancelCause(l.Context)
	if !l.deadline.IsZero() {
		outer := stop
		ctx2, cancel := context.WithDeadline(ctx, l.deadline)
		ctx, stop = ctx2, func(cause error) { outer(cause); cancel() }
	}
	t := &told{Context: ctx, stop: stop}
	if !l.told.CompareAndSwap(nil, t) {
		stop(nil)
		return l.told.Load()
	}
	if cause := l.over.Load(); cause != nil {
		stop(*cause)
	}
	return t
}

// end ends it. The first cause counts; it is a pointer to a variable of the
// package, lest each request cost an allocation.
func (l *life) end(cause *error) {
	if !l.over.CompareAndSwap(nil, cause) {
		return
	}
	if t := l.told.Load(); t != nil {
		t.stop(*cause)
	}
}

// lapsed returns why nobody waits for the answer any more, as far as that is the
// caller's doing, or nil.
func (l *life) lapsed() error {
	switch {
	case l.over.Load() != nil:
		return errCancelled
	case !l.deadline.IsZero() && !time.Now().Before(l.deadline):
		return context.DeadlineExceeded
	}
	return nil
}

// A roll is the requests of a peer that are neither answered nor dropped, so
// that they can be cancelled.
type roll struct {
	mu    sync.Mutex // protects the fields below and the links of requests
	first *request
}

func (l *roll) add(r *request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.next = l.first; r.next != nil {
		r.next.prev = r
	}
	l.first = r
	r.listed = true
}

func (l *roll) remove(r *request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !r.listed {
		return
	}
	r.listed = false
	if r.prev == nil {
		l.first = r.next
	} else {
		r.prev.next = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	}
	r.prev, r.next = nil, nil
}

// find returns the oldest request with that id, to be answered to that address.
func (l *roll) find(id []byte, replyTo string) (found *request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for r := l.first; r != nil; r = r.next {
		if bytes.Equal(r.msg.ID, id) && r.message.ReplyTo == replyTo {
			found = r
		}
	}
	return found
}

// nameCancel is the notification by which a caller takes a call back:
//
//	{"jsonrpc":"2.0","method":"rpc.cancel","params":{"id":1}}
//
// Its id is that of the request, and it comes over the same connection and, on
// wires with reply addresses, with the same one. It is a hint: the request is
// answered all the same, with its result or with [CodeCancelled].
const nameCancel = "rpc.cancel"

func init() { //nolint:gochecknoinits // the table of built-in methods is filled where they are
	type params struct {
		ID json.RawMessage `json:"id"`
	}
	b := newBinder[params](MuxOptions{Codec: JSON()})
	cancel := func(ctx context.Context, raw, dst []byte) ([]byte, error) {
		var p params
		if err := b.bind(raw, &p); err != nil {
			return dst, err
		}
		r := ctx.Value(requestKey{}).(*request)
		found := r.session.roll.find(p.ID, r.message.ReplyTo)
		if found != nil {
			found.end(&errCancelled)
		}
		return strconv.AppendBool(dst, found != nil), nil
	}
	builtin(&method{name: nameCancel, params: reflect.TypeFor[params](), atOnce: true, invoke: cancel})
}

// takeBack tells the peer that nobody waits for the answers to calls any more.
// It is a hint, so it waits for nothing.
func (c *Client) takeBack(ctx context.Context, ws ...*waiter) {
	if c.s.plain || len(ws) == 0 || c.s.conn.Info().Lockstep {
		return // on such a wire nothing may be sent before the answer has come
	}
	out := c.outgoing()
	defer out.free()
	out.msg.Durable = false
	var err error
	if out.msg.ReplyTo, err = c.replyAddress(ctx); err != nil {
		return
	}
	body := out.msg.Body
	for i, w := range ws {
		if len(ws) > 1 {
			body = append(body, "[,"[min(i, 1)])
		}
		body = append(envelope.AppendRequestHead(body, nil, nameCancel), `{"id":`...)
		body = envelope.AppendTail(append(strconv.AppendUint(body, w.id, 10), '}'))
	}
	if len(ws) > 1 {
		body = append(body, ']')
	}
	out.msg.Body = body
	if err := c.s.conn.Send(noWait, &out.msg); err != nil {
		c.s.log.Debug("a cancel was not sent", "err", err)
	}
}
