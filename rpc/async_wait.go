package rpc

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/polyport/polyport/rpc/internal/envelope"
	"github.com/polyport/polyport/rpc/internal/handles"
)

// A waiting request is answered once: with what its handle comes to, or with an
// acknowledgement when it has been held for long enough. It holds no goroutine.
// If its connection ends first there is nobody to answer, and the handle goes
// on.
type waiting struct {
	handles.Wait

	r      *request
	handle *handles.Handle
	token  []byte // of the handle, for the acknowledgement
	forget bool   // the caller will not come again
	push   bool   // the caller wants to be told of the end after it was acknowledged
	brief  bool   // it does not outlive the start of a shutdown
	told   bool   // it was acknowledged: this is the push

	mu     sync.Mutex // protects the fields below
	over   bool
	timer  *time.Timer
	unbind []func() bool
}

// begin waits for at most so long; the longest Duration means for ever.
func (w *waiting) begin(hold time.Duration) {
	a := w.r.session.async
	w.Ended = w.ended
	switch {
	case !a.store.Wait(w.handle, &w.Wait):
		w.ended()
	case hold <= 0:
		w.held()
	default:
		w.arm(hold)
	}
}

func (w *waiting) arm(hold time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	if hold < math.MaxInt64 {
		w.timer = time.AfterFunc(hold, w.held)
	}
	w.unbind = append(w.unbind, context.AfterFunc(w.r.session.ctx, w.left))
	if w.brief {
		w.unbind = append(w.unbind, context.AfterFunc(w.r.session.async.stopping, w.stopped))
	}
}

// claim reports whether the caller is the one to answer.
func (w *waiting) claim() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return false
	}
	w.over = true
	if w.timer != nil {
		w.timer.Stop()
	}
	for _, unbind := range w.unbind {
		unbind()
	}
	return true
}

// ended is called when the handle has come to something.
func (w *waiting) ended() {
	if !w.claim() {
		return
	}
	if w.told {
		w.tell()
		return
	}
	a, r := w.r.session.async, w.r
	r.reply(func(dst []byte) []byte { return a.appendResult(dst, r.msg.ID, w.handle) })
	a.store.Read(w.handle, w.forget)
}

// held is called when it has waited for long enough.
func (w *waiting) held() {
	a, r := w.r.session.async, w.r
	if !w.claim() {
		return
	}
	a.store.Leave(w.handle, &w.Wait)
	r.reply(func(dst []byte) []byte { return a.appendAck(dst, r.msg.ID, w.token) })
	if w.push {
		r.pushLater(w)
	}
}

// stopped is called when the server begins to shut down.
func (w *waiting) stopped() {
	if w.claim() {
		w.r.session.async.store.Leave(w.handle, &w.Wait)
		w.r.fail(refusal(ErrServerClosed))
	}
}

// left is called when the connection has ended.
func (w *waiting) left() {
	if !w.claim() {
		return
	}
	w.r.session.async.store.Leave(w.handle, &w.Wait)
	if w.told {
		w.r.session.pushes.Add(-1)
		return
	}
	w.r.Drop(errSessionEnded)
}

// pushLater has the caller told of the end of a call that was acknowledged. Of
// more than it may have requests in flight it is not: it can always ask.
func (r *request) pushLater(after *waiting) {
	s := r.session
	if int(s.pushes.Add(1)) > s.serving.limit {
		s.pushes.Add(-1)
		return
	}
	w := &waiting{r: r, handle: after.handle, token: after.token, told: true}
	w.begin(math.MaxInt64)
}

// tell sends the notification rpc.async.done, if there is room for it now. The
// caller may miss it, so its result is not taken for read.
func (w *waiting) tell() {
	s, m := w.r.session, w.r.message
	s.pushes.Add(-1)
	if s.late.behind() {
		return // it would overtake the acknowledgement
	}
	out := newOutgoing()
	defer out.free()
	out.msg.To, out.msg.ContentType = m.ReplyTo, contentType
	out.msg.Body = s.async.appendDone(out.msg.Body, w.token, w.handle)
	if err := s.conn.Send(noWait, &out.msg); err != nil {
		s.log.Debug("push not sent", "err", err)
	}
}

// appendDone appends the notification that a handle has come to something.
func (a *asyncCalls) appendDone(dst, token []byte, h *handles.Handle) []byte {
	answer := a.appendResult(nil, nil, h)
	msgs, _, fault := envelope.Scan(answer, anyDepth, nil)
	dst = append(envelope.AppendRequestHead(dst, nil, "rpc.async.done"), `{"async":`...)
	dst = append(dst, token...)
	switch {
	case fault != nil: // a handler's result that is not JSON was not kept
	case msgs[0].Error != nil:
		dst = append(append(dst, `,"error":`...), msgs[0].Error...)
	default:
		dst = append(append(dst, `,"result":`...), msgs[0].Result...)
	}
	return envelope.AppendTail(append(dst, '}'))
}
