package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc/internal/envelope"
	"github.com/polyport/polyport/transport"
)

// A request is one call or notification being served. It is its own job in the
// queue and its handler's own context, so that serving it takes one allocation.
type request struct {
	life

	session *session
	message *transport.Message
	method  *method // nil if there is none of that name
	msg     asked
	batch   *batchAnswer // nil for a request that came alone
	slot    int          // in the batch

	lane    *queue.Lane // by which it goes to its handler; nil if there is no place
	service *service    // nil if it is not one with a queue of its own
	keyed   *keyedLane  // lane, if it is that of a key
	counted bool        // among those of its connection that go by keys

	prev, next *request // in the roll
	listed     bool
	away       bool // it is forwarded
	entered    bool // it is inside the gate of its service
}

// asked is what a request says: the parts of its message that one has.
type asked struct {
	ID, Method, Params, Metadata []byte
	Kind                         envelope.Kind
}

func askedBy(m *envelope.Message) asked {
	return asked{ID: m.ID, Method: m.Method, Params: m.Params, Metadata: m.Metadata, Kind: m.Kind}
}

type requestKey struct{}

// Value finds the request in its own context.
func (r *request) Value(key any) any {
	if key == (requestKey{}) {
		return r
	}
	return r.life.Value(key)
}

// Run serves the request on a worker of the queue. Whatever the handler does,
// the request is answered.
func (r *request) Run(context.Context) {
	if err := r.lapsed(); err != nil { // not all have waited under their own context
		r.Drop(err)
		return
	}
	if r.batch != nil && r.diverted() {
		return
	}
	out := newOutgoing()
	out.id = r.msg.ID
	whole := false
	defer func() {
		if !whole {
			r.log(recover())
			out.msg.Body = envelope.AppendError(out.msg.Body[:0], r.msg.ID, int(CodeInternal), "internal error", nil)
		}
		if r.msg.Kind == envelope.Notification {
			out.free()
			out = nil
		}
		r.done(out)
	}()
	out.msg.Body = r.appendAnswer(out.msg.Body)
	whole = true
}

// log notes that a handler did not return. v is what it panicked with, nil if
// it ended its goroutine.
func (r *request) log(v any) {
	r.session.log.LogAttrs(r, slog.LevelError, "handler panicked", slog.String("method", shown(r.msg.Method)),
		slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
}

// appendAnswer runs the handler and appends the response.
func (r *request) appendAnswer(dst []byte) []byte {
	start := len(dst)
	dst = envelope.AppendResultHead(dst, r.msg.ID)
	at := len(dst)
	dst, err := r.call(dst)
	if err != nil {
		if e, ok := errors.AsType[*relayedError](err); ok {
			return envelope.AppendTail(append(envelope.AppendErrorHead(dst[:start], r.msg.ID), e.raw...))
		}
		e := errorOf(err)
		if r.msg.Kind == envelope.Notification {
			r.session.log.Debug("notification failed", "method", shown(r.msg.Method), "err", e)
		}
		return r.session.appendError(dst[:start], r.msg.ID, e)
	}
	return envelope.AppendTail(r.session.orTrue(dst, at))
}

// call runs the handler, inside the interceptors if there are any.
func (r *request) call(dst []byte) ([]byte, error) {
	params := wrapScalar(r.msg.Params)
	if len(r.session.interceptors) == 0 || r.session.servesAtOnce(r.method) {
		return r.invoke(r, dst, params)
	}
	return r.intercepted(dst, params)
}

// invoke runs the handler.
func (r *request) invoke(ctx context.Context, dst, params []byte) ([]byte, error) {
	if r.away {
		return r.forward(ctx, dst, params)
	}
	m := r.method
	if m == nil {
		return dst, notFound(r.msg.Method)
	}
	began := time.Now()
	dst, err := m.invoke(ctx, params, dst)
	m.took(time.Since(began), r.session.alone)
	return dst, err
}

func notFound(method []byte) *Error {
	return &Error{Code: CodeMethodNotFound, Message: fmt.Sprintf("method %.100q not found", method)}
}

// wrapScalar makes [x] of a scalar x, which only [Limits].ScalarParams lets
// come this far.
func wrapScalar(params []byte) []byte {
	if params == nil || envelope.IsArray(params) || envelope.IsObject(params) {
		return params
	}
	return append(append([]byte{'['}, params...), ']')
}

// exempt is 1 if r does not count towards the limit of requests in flight.
func (r *request) exempt() int {
	if r.service == nil {
		return 0
	}
	return 1
}

func (r *request) way() *queue.Lane { return r.lane }

func (r *request) doubt() { r.method.doubt() }

// Drop is called when the request will never run: it was admitted, but the
// connection or the queue has ended since, or its caller has given up, or a newer
// one took its place. One that is not settled goes to whoever is next in the
// first case; in the others it would wait with this connection for its end.
func (r *request) Drop(err error) {
	if r.message.Unsettled() && r.batch == nil && !r.forgone(err) {
		r.leave()
		n := r.places()
		r.session.serving.leave(n)
		r.exit(true)
		r.session.serving.done(n)
		return
	}
	if r.msg.Kind == envelope.Notification {
		r.done(nil)
		return
	}
	r.done(r.session.refused(r.msg.ID, err))
}

// forgone reports whether r is not executed for a reason of its own, and not of
// the connection or the queue, so that nobody else should execute it either.
func (r *request) forgone(err error) bool {
	return r.session.ctx.Err() == nil && (errors.Is(err, queue.ErrDropped) || r.Err() != nil)
}

// done hands over the answer, or nil where none is due.
func (r *request) done(out *outgoing) {
	r.leave()
	if r.service != nil {
		defer r.exit(true)
	}
	if r.batch != nil {
		r.batch.done(r, out)
		return
	}
	n := r.places()
	if out == nil {
		r.session.silent(r.message, transport.Accepted, n)
		return
	}
	r.session.answer(r.message, out, n)
}

// places is how many places in flight r has. One that is served at once was not
// admitted: the number of such answers is bounded as that of refusals is.
func (r *request) places() int {
	if r.session.servesAtOnce(r.method) {
		return 0
	}
	return 1
}

// answer sends an answer on its way, and closes the account of n requests; it
// is 0 if what is answered was not admitted. It waits for no room.
func (s *session) answer(m *transport.Message, out *outgoing, n int) {
	out.to(m)
	s.serving.leave(n)
	if s.late.behind() || errors.Is(s.send(noWait, out), transport.ErrBusy) {
		s.serving.leave(-n)
		s.late.add(lateReply{out: out, message: m, n: n})
		return
	}
	s.answeredPeer(m, out, n)
}

// answeredPeer closes the account of n requests that have no places any more.
func (s *session) answeredPeer(m *transport.Message, out *outgoing, n int) {
	out.free()
	s.settle(m, transport.Accepted)
	s.serving.done(n)
}

// noWait is a context that has ended, with which Send only tries.
var noWait = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// send sends an answer, or in its place an error if it is too large.
func (s *session) send(ctx context.Context, out *outgoing) error {
	err := s.back.Send(ctx, &out.msg)
	if errors.Is(err, transport.ErrTooLarge) {
		s.tooLarge(out, err)
		err = s.back.Send(ctx, &out.msg)
	}
	if err != nil && !errors.Is(err, transport.ErrBusy) {
		s.log.Debug("answer not sent", "err", err)
	}
	return err
}

// tooLarge replaces an answer that cannot be sent by an error that says so.
func (s *session) tooLarge(out *outgoing, cause error) {
	e := Errorf(CodeInternal, "the answer cannot be sent: %v", cause)
	out.msg.Body = envelope.AppendError(out.msg.Body[:0], out.id, int(e.Code), e.Message, nil)
}
