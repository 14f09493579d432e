package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc/internal/handles"
)

// DetachOptions adjust one call of [Detach]. A nil pointer means the defaults.
type DetachOptions struct {
	// Handle names the call: a UUID in its usual form, new for each call that is
	// to be made, the same for each attempt to learn what it came to. A caller
	// who has not logged in needs a random one (version 4). Empty chooses one.
	Handle string
	// Repeatable says that it does no harm if the method is executed twice. Only
	// then is a server that knows handles by an older way asked again after the
	// connection was lost, for that is done by repeating the call.
	Repeatable bool
}

// ErrHandleLost is wrapped by the [CallError] of a call whose server does not
// know its handle: the server has restarted since, or the request never reached
// it. The call is not made again.
var ErrHandleLost = errors.New("rpc: the server does not know the call: it has restarted since, or never got it")

// Detach calls method and returns a future for its result at once, as [Go]
// does, but the call is not bound to the connection: it has a handle, by which
// this client comes back for the result when the server asks it to, or when the
// connection was lost and made again ([ClientOptions].Reconnect). The server
// runs the call once, however often it is asked for, if the method has
// [MethodOptions].Async; else, and on a server that knows no handles, Detach is
// like Go.
//
// params must not be changed until Detach has returned. ctx bounds how long
// this side cares: when it ends the future fails with an unknown outcome and no
// more is sent, but the call goes on at the server, and Detach with the same
// Handle, method and params returns to it. Canceling the future asks the server
// to end the call, in the background.
//
// The future's error is as for [Client.Call]. [CodeExpired] says that the call
// took longer than the server allows, or that the result was not fetched in
// time; [CodeConflict] that the handle belongs to another call. A call that the
// server has lost is an unknown outcome that wraps [ErrHandleLost].
func Detach[R any](ctx context.Context, c *Client, method string, params any, o *DetachOptions) *queue.Future[R] {
	d, err := c.newDetached(method, params, o)
	if err != nil {
		return queue.Failed[R](&CallError{Method: method, Outcome: NotSent, Err: err})
	}
	w, err := d.ask(ctx)
	if OutcomeOf(err) == NotSent {
		return queue.Failed[R](err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	p := queue.NewPromise[R]()
	var unwanted atomic.Bool
	p.OnCancel(func(cause error) {
		unwanted.Store(true)
		cancel(cause)
	})
	go func() {
		defer cancel(nil)
		var r R
		switch err := c.decode(d.follow(ctx, w, err), method, &r); {
		case unwanted.Load():
			d.giveUp(ctx)
		case err != nil:
			p.Reject(err)
		default:
			p.Resolve(r)
		}
	}()
	return p.Future()
}

// NewHandle returns a handle that nobody can guess, for [DetachOptions].
func NewHandle() string { return handles.Random().String() }

// newDetached encodes what may have to be sent more than once.
func (c *Client) newDetached(method string, params any, o *DetachOptions) (*detachedCall, error) {
	if o == nil {
		o = new(DetachOptions)
	}
	d := &detachedCall{c: c, method: method, handle: o.Handle, repeatable: o.Repeatable}
	switch id, ok := handles.Parse(o.Handle); {
	case o.Handle == "":
		d.handle = NewHandle()
	case !ok:
		return nil, fmt.Errorf("rpc: the handle %.40q is not a UUID", o.Handle)
	default:
		d.handle = id.String()
	}
	if params != nil {
		raw, err := c.s.codec.Append(nil, params)
		if err != nil {
			return nil, err
		}
		d.params = json.RawMessage(raw)
	}
	d.plain = c.s.habits().noHandles
	d.metadata = fmt.Appendf(nil, `{"async":%q}`, d.handle)
	return d, nil
}

// A metadataTalk is the metadata of one call and of its answer.
type metadataTalk struct {
	said  []byte // an object; nil for none
	heard []byte // an object, or nil
	bare  bool   // it came with neither result nor error
}

// hear takes what came with the answer. It may be nil.
func (t *metadataTalk) hear(metadata []byte) {
	if t != nil {
		t.heard = metadata
	}
}

// startWith is start with metadata, unless talk is nil.
func (c *Client) startWith(ctx context.Context, method string, params any, talk *metadataTalk) (*waiter, error) {
	w := c.s.calls.spare.Get().(*waiter)
	w.talk = talk
	if err := c.start(ctx, w, nil, method, params); err != nil {
		w.talk = nil
		c.s.calls.spare.Put(w)
		return nil, err
	}
	return w, nil
}
