package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/polyport/polyport/rpc/internal/envelope"
	"github.com/polyport/polyport/transport"
)

// An Interceptor stands around calls, those that this end makes and those that
// it serves: it does what it likes before and after [Invocation.Next], which makes the
// call and returns what came of it. One that does not call Next answers in its
// place. It may call Next again, but not for a batch, which is sent once. It is
// called by many goroutines at once. A panic of one is like that of a handler if
// the call is an incoming one, and else the caller's; it is a PanicError of package queue
// in the futures of [Go].
//
// What it returns is what the next one out gets, and in the end the caller: for
// an outgoing call as [Client.Call] has it, for an incoming one as a handler's
// error. An error of another type that an interceptor returns instead of making
// an outgoing call comes out as a [*CallError] with the outcome [NotSent].
//
// A batch that this end sends is one outgoing call named "batch"; each call of a
// batch that it serves is an incoming one. Requests that take no handler, such as
// rpc.cancel, are not intercepted.
type Interceptor func(ctx context.Context, c *Invocation) error

// An Invocation is one call on its way through interceptors. It is valid until the
// interceptor returns, and for one goroutine at a time.
//
// Get, Set and Keys are of the named texts that travel beside the call, in the
// headers of its message or in its metadata. They make an Invocation what OpenTelemetry
// calls a TextMapCarrier.
type Invocation struct {
	// Method is the one called. On an incoming call that Known denies it is
	// whatever the peer wrote, cut off after 100 bytes: not for labels.
	Method string
	// Incoming says that this end serves the call; else it makes it.
	Incoming bool
	// Known says that there is such a method here; always on outgoing calls.
	Known bool
	// Notification says that no answer is wanted.
	Notification bool
	// Info is about the connection.
	Info *transport.Info
	// Params are those of an outgoing call as the caller gave them, RawParams the
	// JSON text of those of an incoming one, nil if it has none. Result is where
	// the result of an outgoing call goes, and RawResult the JSON text of that of
	// an incoming one, once Next has returned nil. What is there when the outermost
	// interceptor returns nil is the answer, null if it is nil: so an interceptor
	// may set it, before Next RawParams, too. The texts that it finds may be read
	// until it returns and must not be written to.
	Params, Result       any
	RawParams, RawResult json.RawMessage

	chain   []Interceptor
	at      int
	reached bool // the call was made
	end     caller
	beside  []transport.Header
}

// caller is what is inside all interceptors.
type caller interface {
	make(ctx context.Context) error
}

// Next makes the call, by way of the interceptors that are further in, and
// returns what came of it. ctx is the call's from there on.
func (c *Invocation) Next(ctx context.Context) error {
	if c.at == len(c.chain) {
		c.reached = true
		return c.end.make(ctx)
	}
	at := c.at
	defer func() { c.at = at }()
	c.at++
	return c.chain[at](ctx, c)
}

// Get returns the text called name that came with an incoming call, or that was
// set for an outgoing one, or "".
func (c *Invocation) Get(name string) string {
	for _, h := range c.beside {
		if h.Name == name {
			return h.Value
		}
	}
	return ""
}

// Set sends a text along with an outgoing call, in place of an earlier one of
// that name. A Plain client leaves it out, and so do others where the peer refuses
// metadata; a name or a text that the wire cannot carry, such as the name of a
// header of its own, fails the call, as one that was not sent. On an incoming call
// Set changes what further interceptors see.
func (c *Invocation) Set(name, value string) {
	c.beside = slices.Clone(c.beside) // on an incoming call they are the message's
	for i := range c.beside {
		if c.beside[i].Name == name {
			c.beside[i].Value = value
			return
		}
	}
	c.beside = append(c.beside, transport.Header{Name: name, Value: value})
}

// Keys returns the names that Get knows.
func (c *Invocation) Keys() []string {
	names := make([]string, len(c.beside))
	for i, h := range c.beside {
		names[i] = h.Name
	}
	return names
}

// outcome makes what the chain of an outgoing call returned what Call returns.
func (c *Invocation) outcome(err error) error {
	if err == nil || c.reached {
		return err
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	if _, ok := errors.AsType[*CallError](err); ok {
		return err
	}
	return &CallError{Method: c.Method, Outcome: NotSent, Err: err}
}

// An incomingCall is a request on its way to its handler.
type incomingCall struct {
	Invocation
	r     *request
	start int
	dst   []byte
}

// intercepted runs the handler inside the interceptors.
func (r *request) intercepted(dst, params []byte) ([]byte, error) {
	in := &incomingCall{r: r, dst: dst, start: len(dst)}
	c := &in.Invocation
	c.Incoming, c.Notification, c.Info = true, r.msg.Kind == envelope.Notification, r.session.conn.Info()
	c.RawParams, c.beside = params, r.beside()
	c.chain, c.end = r.session.interceptors, in
	if r.method != nil {
		c.Known, c.Method = true, r.method.name
	} else {
		c.Method = shown(r.msg.Method)
	}
	if err := c.Next(r); err != nil {
		return in.dst, err
	}
	if made := in.dst[in.start:]; c.reached && len(made) > 0 && len(c.RawResult) == len(made) && &c.RawResult[0] == &made[0] {
		return in.dst, nil // the handler's, which needs no check
	}
	return appendResult(jsonCodec{}, in.dst[:in.start], c.RawResult)
}

func (in *incomingCall) make(ctx context.Context) (err error) {
	in.RawResult = nil
	if in.dst, err = in.r.invoke(ctx, in.dst[:in.start], in.RawParams); err == nil {
		in.RawResult = in.dst[in.start:len(in.dst):len(in.dst)]
	}
	return err
}

// An outgoingCall is a call on its way to the peer.
type outgoingCall struct {
	Invocation
	client  *Client
	batch   *Batch // nil for a single call
	sent    bool   // the batch, whatever became of it
	started func() // called when the request has been sent, if it is not nil
}

// intercepted makes a call inside the interceptors.
func (c *Client) intercepted(ctx context.Context, o *outgoingCall) error {
	o.Known, o.Info, o.client, o.chain, o.end = true, c.Info(), c, c.s.interceptors, o
	return o.outcome(o.Next(ctx))
}

// errInPlace is what the futures of a batch hold that an interceptor answered.
var errInPlace = errors.New("rpc: an interceptor took the place of the batch")

// interceptedBatch sends a batch inside the interceptors. Whatever these do, its
// futures are settled.
func (c *Client) interceptedBatch(ctx context.Context, b *Batch) (err error) {
	o := &outgoingCall{Invocation: Invocation{Method: "batch", Params: b}, batch: b}
	defer func() {
		if o.reached {
			return
		}
		cause := err
		if e, ok := errors.AsType[*CallError](err); ok {
			cause = e.Err
		}
		if cause == nil {
			cause = errInPlace
		}
		items := b.items
		b.items = nil
		for _, it := range items {
			if it.call != nil {
				it.call.settle(c, it.method, answer{err: cause, outcome: NotSent})
			}
		}
	}()
	return c.intercepted(ctx, o)
}

func (o *outgoingCall) make(ctx context.Context) error {
	switch {
	case o.batch != nil && o.sent:
		return notSentBatch(errors.New("rpc: a batch is sent once, so Next may be called once"))
	case o.batch != nil:
		o.sent = true
		return o.client.sendAll(ctx, &o.Invocation, o.batch)
	case o.Notification:
		return o.client.notify(ctx, &o.Invocation, o.Method, o.Params)
	}
	return o.client.call(ctx, o, o.Method, o.Params, o.Result)
}
