package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/polyport/polyport/rpc/internal/envelope"
	"github.com/polyport/polyport/transport"
)

// How a client comes back for a result.
const (
	firstPause = 50 * time.Millisecond // if the server does not say
	leastPause = 10 * time.Millisecond // if it says less
	mostPause  = 5 * time.Second
	// longPoll is how long rpc.async.get waits for the result on a wire on which
	// that holds up nothing.
	longPoll = 20 * time.Second
	// giveUpTime is how long it may take to tell a server that a call is not
	// wanted any more.
	giveUpTime = 5 * time.Second
)

// A detachedCall is a call of [Detach] on its way: sent, then acknowledged or
// cut off and asked after as often as needed, then answered. One goroutine has
// it.
type detachedCall struct {
	c          *Client
	method     string
	params     any // encoded, or nil
	handle     string
	metadata   []byte
	repeatable bool

	talk   metadataTalk // the last question and its answer
	plain  bool         // it was sent without metadata
	sent   bool         // it may be known to the server
	by     way          // what is asked next
	knows  bool         // the server has rpc.async.get
	older  bool         // it has not, but acknowledges
	lost   error        // why the first answer did not come
	pauses *backoff.ExponentialBackOff
}

// A way is how the server is asked.
type way uint8

const (
	byCall way = iota // the call itself, also to come back to an older server
	byGet             // rpc.async.get
)

// ask sends what is to be sent next.
func (d *detachedCall) ask(ctx context.Context) (w *waiter, err error) {
	if d.by == byGet {
		wait := longPoll
		if d.c.Info().Lockstep {
			wait = 0 // others want to use the connection, too
		}
		params := json.RawMessage(fmt.Appendf(nil, `{"async":%q,"waitMs":%d}`, d.handle, wait.Milliseconds()))
		d.talk = metadataTalk{}
		return d.c.startWith(ctx, "rpc.async.get", params, &d.talk)
	}
	d.plain = d.plain || d.c.s.metadata.Load() == metadataRefused
	if d.plain {
		return d.c.startWith(ctx, d.method, d.params, nil)
	}
	d.talk = metadataTalk{said: d.metadata}
	w, err = d.c.startWith(ctx, d.method, d.params, &d.talk)
	d.sent = d.sent || OutcomeOf(err) != NotSent
	return w, err
}

// follow takes the answer to what ask has sent, or why it could not, and asks
// on until there is a final one.
func (d *detachedCall) follow(ctx context.Context, w *waiter, err error) answer {
	for {
		a := d.receive(ctx, w, err)
		again, pause := d.judge(&a)
		if !again || pause && !d.pause(ctx) {
			if again {
				a = answer{err: context.Cause(ctx), outcome: Unknown}
			}
			return a
		}
		w, err = d.ask(ctx)
	}
}

// receive waits for the answer to what was sent.
func (d *detachedCall) receive(ctx context.Context, w *waiter, err error) answer {
	if err == nil {
		return d.c.await(ctx, w)
	}
	e, ok := errors.AsType[*CallError](err)
	switch {
	case !ok:
		return answer{err: err, outcome: Unknown}
	case e.Outcome == NotSent && !d.sent:
		return answer{err: e.Err, outcome: NotSent}
	case e.Outcome == Unknown && d.c.s.ctx.Err() == nil && ctx.Err() == nil:
		return answer{err: fmt.Errorf("%w: %w", transport.ErrReconnecting, e.Err), outcome: Unknown}
	}
	return answer{err: e.Err, outcome: Unknown}
}

// judge decides whether an answer is final, which it may change, or else how to
// ask again.
func (d *detachedCall) judge(a *answer) (again, pause bool) {
	switch {
	case a.err != nil:
		return d.cut(a)
	case a.fault != nil:
		return d.failed(a)
	}
	if !d.plain && d.by == byCall {
		d.c.s.metadata.Store(metadataTaken)
	}
	pending := d.pending(a)
	if d.talk.bare && !pending {
		*a = answer{err: fmt.Errorf("%w: neither result nor error", ErrBadAnswer), outcome: Unknown}
	}
	return pending, true
}

// cut is what follows the loss of a connection, or another end without answer.
func (d *detachedCall) cut(a *answer) (again, pause bool) {
	if !errors.Is(a.err, transport.ErrReconnecting) || d.plain {
		return false, false
	}
	if d.lost == nil {
		d.lost = a.err
	}
	if d.older {
		d.by = byCall
		return d.repeatable, true
	}
	d.by = byGet
	return true, false
}

// failed is what follows an error object.
func (d *detachedCall) failed(a *answer) (again, pause bool) {
	e, ok := errors.AsType[*Error](decodeError(d.c.s.codec, a.fault))
	if !ok {
		return false, false
	}
	if d.by == byCall {
		again = d.refused(e)
		if !again && !d.plain {
			d.c.s.metadata.Store(metadataTaken)
		}
		return again, false
	}
	switch {
	case e.Code == CodeUnknownHandle:
		*a = answer{err: ErrHandleLost, outcome: Unknown}
		return false, false
	case e.Code == CodeBusy || e.Code == CodeShuttingDown:
		return true, true
	case !d.knows && (e.Code == CodeMethodNotFound || e.Code == CodeInvalidRequest):
		// It knows no handles, or by the older way alone.
		d.by = byCall
		*a = answer{err: d.lost, outcome: Unknown}
		return d.repeatable, false
	}
	return false, false
}

// refused reports whether the peer has refused the metadata, in which case it
// is asked once more without.
func (d *detachedCall) refused(e *Error) bool {
	if d.plain || e.Code != CodeInvalidRequest || d.c.s.metadata.Load() == metadataTaken ||
		strings.HasPrefix(e.Message, "invalid metadata.") {
		return false
	}
	d.c.s.metadata.Store(metadataRefused)
	d.plain, d.sent = true, false // nothing was executed
	return true
}

// pending reports whether an answer is an acknowledgement: it names the handle
// and says so, or is of an older server, which has no word for it.
func (d *detachedCall) pending(a *answer) bool {
	var async, state []byte
	pollMS := uint64(0)
	envelope.Members(d.talk.heard, func(name, value []byte) bool {
		switch string(name) {
		case "async":
			async = value
		case "state":
			state = value
		case "pollMs":
			pollMS, _ = number(value)
		}
		return true
	})
	if d.plain || !strings.EqualFold(unquote(async), d.handle) {
		return false
	}
	switch {
	case string(state) == `"pending"`:
		d.knows, d.by = true, byGet
	case state == nil && !d.knows && string(a.result) == "null":
		d.older, d.by = true, byCall
	default:
		return false
	}
	if d.pauses == nil {
		d.pauseFrom(time.Duration(min(pollMS, uint64(mostPause.Milliseconds()))) * time.Millisecond)
	}
	return true
}

func (d *detachedCall) pauseFrom(first time.Duration) {
	if first == 0 {
		first = firstPause
	}
	d.pauses = &backoff.ExponentialBackOff{
		InitialInterval: max(first, leastPause), MaxInterval: mostPause, Multiplier: 1.5, RandomizationFactor: 0.2,
	}
	d.pauses.Reset()
}

// pause waits before the server is asked again, each time for longer, and
// returns false if ctx ends first.
func (d *detachedCall) pause(ctx context.Context) bool {
	if d.pauses == nil {
		d.pauseFrom(0)
	}
	if d.by == byGet && !d.c.Info().Lockstep {
		d.pauses.Reset() // the server has kept us waiting already
	}
	timer := time.NewTimer(d.pauses.NextBackOff())
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// giveUp asks the server to end the call.
func (d *detachedCall) giveUp(ctx context.Context) {
	if d.plain || d.older || !d.sent {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveUpTime)
	defer cancel()
	params := json.RawMessage(fmt.Appendf(nil, `{"async":%q}`, d.handle))
	if err := d.c.Notify(ctx, "rpc.async.cancel", params); err != nil {
		d.c.s.log.Debug("cancelling a call", "handle", d.handle, "err", err)
	}
}

// bareAck takes what an older server sends in the place of an acknowledgement:
// an answer with neither result nor error. It returns false if msg is none to a
// call with a handle.
func (s *session) bareAck(msg *envelope.Message) bool {
	n, ok := number(msg.ID)
	if !ok || msg.Metadata == nil {
		return false
	}
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	w := s.calls.waiting[n]
	if w == nil || w.talk == nil || w.talk.said == nil {
		return false
	}
	w.talk.heard, w.talk.bare = msg.Metadata, true
	s.calls.settle(w, answer{result: []byte("null"), outcome: Answered})
	return true
}
