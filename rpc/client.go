package rpc

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"sync"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc/internal/envelope"
	"github.com/polyport/polyport/transport"
)

// A Client calls the methods of the peer at the other end of a connection, and
// serves the peer's calls if it has a [Mux]. It is safe for concurrent use, and
// meant to be shared: calls of many goroutines travel together.
type Client struct {
	s  *session
	to string // destination of requests; "" is that of the connection

	durable bool

	owner *clientOwner // nil for the client of a [Request], and for one of a [Pool]
	view  *view        // nil for all but one of a [Pool]
}

// clientOwner is what a client that was made by NewClient has to end.
type clientOwner struct {
	queue *queue.Queue // nil if it is somebody else's
	once  sync.Once
	done  chan struct{}
	err   error
}

// ClientOptions adjust a [Client]. A nil pointer means the defaults.
type ClientOptions struct {
	// Codec encodes params and decodes results. Nil means [JSON].
	Codec Codec
	// InFlight is how many calls may wait for their answers; further ones wait
	// for a place. Zero means 1024.
	InFlight int
	// Conns is how many connections [Dial] may make where the wire is in lock-step,
	// which lets one message be in flight on each; the others wait, as many as
	// InFlight. Zero means 1, by which all leave in order.
	Conns int
	// Mux serves the calls of the peer, which start in order and run side by
	// side, as many at once as Queue has workers. Nil answers them with
	// [CodeMethodNotFound].
	Mux *Mux
	// Queue runs the handlers of Mux. Nil means one of the client's own.
	Queue *queue.Queue
	// AutoBatch, if it is above 1, sends calls that come together as one batch, of
	// at most so many: with many callers it takes less time for all and more for
	// each, because a batch is answered when its slowest call is. It is not done
	// towards peers that have shown that they take no batches, nor on wires in
	// lock-step.
	AutoBatch int
	// Durable asks a broker to keep requests across its restart, for servers
	// that serve them at least once. Answers are not kept: the connection that
	// they are for ends with the broker.
	Durable bool
	// Limits bound what the peer may send.
	Limits Limits
	// Interceptors stand around the calls made, and around those of the peer that
	// Mux serves; the first is the outermost.
	Interceptors []Interceptor
	// Receiver is what the peer's host is called in filters of oVirt's events (see
	// [Client.Subscribe]), besides its address. Empty means as [Dial] was told.
	Receiver string
	// Plain sends nothing that JSON-RPC 2.0 does not know: no deadline, nothing
	// that interceptors set, no rpc.cancel. By default they are sent in a way that
	// peers which do not know them do not notice.
	Plain bool
	// Logger gets records of what has no other way out. Nil discards them.
	Logger *slog.Logger
	// Transport adjusts the connection that [Dial] makes.
	Transport *transport.DialOptions
	// Reconnect, if it is not nil, makes [Dial] reconnect when the connection
	// is lost, and adjusts how. Its DialOptions count instead of Transport.
	Reconnect *transport.RedialOptions
}

// Limits bound the JSON that a peer may send. Zero fields mean the defaults.
type Limits struct {
	// Depth is how deep arrays and objects may nest. Zero means 1000.
	Depth int
	// Batch is how many requests a batch may have. Zero means 1000.
	Batch int
	// InFlight is how many requests of one connection may wait or run. Further
	// ones are answered with [CodeBusy]. Zero means 1024.
	InFlight int
	// NullParams takes "params":null for no params, and ScalarParams any other
	// scalar x for [x], for peers that send them. By default both are
	// [CodeInvalidRequest].
	NullParams, ScalarParams bool
}

func (l Limits) envelope() envelope.Limits {
	return envelope.Limits{Depth: l.Depth, Batch: l.Batch, NullParams: l.NullParams, ScalarParams: l.ScalarParams}
}

// Dial connects to the server or broker at rawURL (see [transport.Dial]) and
// returns a Client. The wire's package must have been imported.
func Dial(ctx context.Context, rawURL string, o *ClientOptions) (*Client, error) {
	if o == nil {
		o = new(ClientOptions)
	}
	conn, err := dial(ctx, rawURL, o)
	if err != nil {
		return nil, err
	}
	return newClient(conn, o, hostOf(rawURL)), nil
}

// NewClient returns a Client over conn, which it owns. If conn is in lock-step, the
// first call that ends without its answer, as by its ctx, is the end of the client:
// only [Dial] knows where to get another connection.
func NewClient(conn transport.Conn, o *ClientOptions) *Client { return newClient(conn, o, "") }

// newClient is NewClient over a connection to a host that was dialed by that name.
func newClient(conn transport.Conn, o *ClientOptions, host string) *Client {
	if o == nil {
		o = new(ClientOptions)
	}
	conn = inLockstep(conn, o)
	owner := &clientOwner{done: make(chan struct{})}
	q := o.Queue
	if q == nil {
		q = queue.New(&queue.Options{Logger: o.Logger})
		owner.queue = q
	}
	inFlight := or(o.Limits.InFlight, 1024)
	habits := habitsOf(conn.Info().Profile)
	c := &Client{owner: owner, durable: o.Durable, s: newSession(q.Context(), conn, sessionOptions{
		mux: o.Mux, codec: orJSON(o.Codec), lane: q.Lane(&queue.LaneOptions{Depth: inFlight}), envelope: o.Limits.envelope(),
		inFlight: inFlight, outgoing: habits.window(conn, or(o.InFlight, 1024)), log: orDiscard(o.Logger), owned: true,
		plain: o.Plain, interceptors: o.Interceptors, habits: habits, host: cmp.Or(o.Receiver, host),
	})}
	if o.AutoBatch > 1 {
		c.s.gather = &gather{c: c, most: min(o.AutoBatch, maxBatch)}
	}
	go func() {
		defer close(owner.done)
		owner.err = c.s.run()
		if owner.queue != nil {
			_ = owner.queue.Close(c.s.ctx) // which has ended: running handlers are told so
		}
	}()
	return c
}

func or(v, def int) int {
	if v > 0 {
		return v
	}
	return def
}

func orJSON(c Codec) Codec {
	if c == nil {
		return JSON()
	}
	return c
}

func orDiscard(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}

// Call calls method and decodes its result into what result points to; a nil
// result throws it away. params is encoded and must become an array or an
// object; nil sends none. A [json.RawMessage] is sent as it is.
//
// ctx bounds the call: if it ends before the request has left, the call was not
// sent; if it ends later, the outcome is unknown, and the peer is told that nobody
// waits any more. The peer learns of ctx's deadline, too, so that the contexts of
// its handlers end with it. The error is an [*Error] if
// the server answered with one, a [*ResultError] if its result does not fit, or
// else a [*CallError]; see [OutcomeOf].
func (c *Client) Call(ctx context.Context, method string, params, result any) error {
	if len(c.s.interceptors) > 0 {
		return c.intercepted(ctx, &outgoingCall{Invocation: Invocation{Method: method, Params: params, Result: result}})
	}
	return c.call(ctx, nil, method, params, result)
}

// call makes a call. x is nil if it is not intercepted.
func (c *Client) call(ctx context.Context, x *outgoingCall, method string, params, result any) error {
	var beside *Invocation
	if x != nil {
		beside = &x.Invocation
	}
	w := c.s.calls.spare.Get().(*waiter)
	if err := c.start(ctx, w, beside, method, params); err != nil {
		c.s.calls.spare.Put(w)
		return err
	}
	if x != nil && x.started != nil {
		x.started()
	}
	return c.finish(ctx, w, method, result, func() error { return c.call(ctx, x, method, params, result) })
}

// start sends a call that w waits for. Its place in flight is held until finish.
func (c *Client) start(ctx context.Context, w *waiter, x *Invocation, method string, params any) error {
	if ctx.Err() != nil {
		return &CallError{Method: method, Outcome: NotSent, Err: context.Cause(ctx)}
	}
	if err := c.reserve(ctx, 1); err != nil {
		return &CallError{Method: method, Outcome: NotSent, Err: err}
	}
	if err := c.send(ctx, w, x, method, params); err != nil {
		c.release(1)
		return err
	}
	return nil
}

// reserve waits for n places among the calls in flight.
func (c *Client) reserve(ctx context.Context, n int) error {
	switch {
	case c.view != nil:
		return c.view.reserve(ctx, n)
	case n == 1:
		return c.s.calls.reserve(ctx, 1)
	}
	return c.s.calls.reserveBatch(ctx, n)
}

// release gives them back.
func (c *Client) release(n int) {
	if c.view != nil {
		c.view.release(n)
		return
	}
	c.s.calls.release(n)
}

// send encodes and sends the request that w waits for. If w was answered in
// spite of an error, there is none.
func (c *Client) send(ctx context.Context, w *waiter, x *Invocation, method string, params any) error {
	replyTo, err := c.replyAddress(ctx)
	if err != nil {
		return c.s.failed(method, err)
	}
	out := c.outgoing()
	out.msg.ReplyTo = replyTo
	epoch, err := c.begin(ctx, out, w, x, method, params)
	switch {
	case err != nil:
		out.free()
		return &CallError{Method: method, Outcome: NotSent, Err: err}
	case w.talk == nil && c.gathers() && len(out.msg.Headers) == 0: // which would count for the others, too
		c.s.gather.add(ctx, out, w, epoch)
		return nil
	}
	defer out.free()
	if err := c.s.conn.Send(ctx, &out.msg); err != nil {
		if c.s.calls.abandon(w) {
			return c.s.failed(method, err)
		}
		return nil
	}
	c.s.calls.sent(epoch, w)
	return nil
}

// begin makes out the request that w waits for, and lets it be answered.
func (c *Client) begin(ctx context.Context, out *outgoing, w *waiter, x *Invocation, method string, params any) (epoch uint64, err error) {
	metadata := c.accompany(ctx, out, x, w.talk == nil && c.s.mayMetadata())
	w.metadata = metadata != nil
	if w.talk != nil {
		metadata = w.talk.said
	}
	w.view = c.view
	if epoch, err = c.s.calls.begin(nil, w); err != nil {
		return 0, err
	}
	out.msg.CorrelationID = transport.NumberID(w.id) // for an answer that cannot name the id
	var digits [20]byte
	out.msg.Body, err = c.appendRequest(out.msg.Body, c.s.calls.appendID(digits[:0], w.id), method, params, metadata)
	if err != nil {
		c.s.calls.abandon(w)
	}
	return epoch, err
}

// outgoing returns a message to whom the client calls.
func (c *Client) outgoing() *outgoing {
	out := newOutgoing()
	out.msg.To, out.msg.ContentType, out.msg.Durable = c.to, contentType, c.durable
	return out
}

func (c *Client) replyAddress(ctx context.Context) (string, error) {
	if c.s.replies == nil {
		return "", nil
	}
	return c.s.replies.ReplyAddress(ctx)
}

// appendRequest appends a request, or a notification if id is nil.
func (c *Client) appendRequest(dst, id []byte, method string, params any, metadata []byte) ([]byte, error) {
	if params == nil {
		return envelope.AppendTail(envelope.AppendMetadata(envelope.AppendRequestOpen(dst, id, method), metadata)), nil
	}
	dst = envelope.AppendRequestHead(dst, id, method)
	if raw, ok := params.(rawParams); ok {
		return envelope.AppendTail(envelope.AppendMetadata(append(dst, raw...), metadata)), nil
	}
	at := len(dst)
	dst, err := c.s.codec.Append(dst, params)
	switch {
	case err != nil:
		return dst, err
	case len(dst) == at || dst[at] != '[' && dst[at] != '{' && (!c.s.bareParams() || dst[at] == 'n'):
		return dst, ErrParams
	}
	return envelope.AppendTail(envelope.AppendMetadata(dst, metadata)), nil
}

// finish waits for the answer and decodes it. If the peer refused the way in
// which the request was sent, and executed nothing, again sends it in another.
func (c *Client) finish(ctx context.Context, w *waiter, method string, result any, again func() error) error {
	metadata := w.metadata
	a := c.await(ctx, w)
	if c.s.refusesBatch(a, 0) {
		return again()
	}
	err := c.decode(a, method, result)
	if metadata {
		err = c.s.learn(err, again)
	}
	return err
}

// await waits for the answer to a call, and gives its place in flight back.
func (c *Client) await(ctx context.Context, w *waiter) answer {
	c.s.receiving.lead(ctx, w)
	select {
	case <-w.ready:
	case <-ctx.Done():
		outcome := c.s.revoke(ctx, w.id)
		switch gathered, given := c.s.calls.giveBack(w); {
		case !given:
			<-w.ready
		case gathered:
			w.answer = answer{err: context.Cause(ctx), outcome: NotSent}
		default:
			w.answer = answer{err: context.Cause(ctx), outcome: outcome}
			if w.talk == nil { // a call with a handle has its own way to be cancelled
				c.takeBack(ctx, w)
			}
		}
	}
	a := w.answer
	w.answer, w.talk = answer{}, nil
	c.s.calls.spare.Put(w)
	c.release(1)
	return a
}

// decode turns an answer into what Call returns.
func (c *Client) decode(a answer, method string, result any) error {
	switch {
	case a.err != nil:
		return &CallError{Method: method, Outcome: a.outcome, Err: a.err}
	case a.fault != nil:
		return c.s.habits().understand(decodeError(c.s.codec, a.fault))
	case result == nil:
		return nil
	}
	if err := c.s.codec.Decode(a.result, result); err != nil {
		return &ResultError{Method: method, Err: err}
	}
	return nil
}

// decodeError decodes an error object. One that is malformed is still an
// answer.
func decodeError(c Codec, raw []byte) error {
	var e struct {
		Code    int64           `json:"code"`
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data"`
	}
	if err := c.Decode(raw, &e); err != nil {
		return &Error{Code: CodeInternal, Message: "the peer sent a malformed error object", Data: append(json.RawMessage(nil), raw...)}
	}
	return &Error{Code: Code(e.Code), Message: e.Message, Data: e.Data}
}

// Notify calls method without wanting an answer. A nil error says that the
// notification is on its way. Its params are as in Call. Whether the peer has
// done with one notification before it starts the next is up to the peer; see
// [ServerOptions].Width.
func (c *Client) Notify(ctx context.Context, method string, params any) error {
	if len(c.s.interceptors) > 0 {
		return c.intercepted(ctx, &outgoingCall{Invocation: Invocation{Method: method, Notification: true, Params: params}})
	}
	return c.notify(ctx, nil, method, params)
}

// notify sends a notification. x is nil if it is not intercepted.
func (c *Client) notify(ctx context.Context, x *Invocation, method string, params any) error {
	if ctx.Err() != nil {
		return &CallError{Method: method, Outcome: NotSent, Err: context.Cause(ctx)}
	}
	if err := c.s.mayNotify(); err != nil {
		return &CallError{Method: method, Outcome: NotSent, Err: err}
	}
	if c.view != nil && c.view.over() {
		return &CallError{Method: method, Outcome: NotSent, Err: closedUser()}
	}
	out := c.outgoing()
	defer out.free()
	metadata := c.accompany(ctx, out, x, c.s.metadata.Load() == metadataTaken)
	var err error
	if out.msg.Body, err = c.appendRequest(out.msg.Body, nil, method, params, metadata); err != nil {
		return &CallError{Method: method, Outcome: NotSent, Err: err}
	}
	return c.sendNotification(ctx, out, method)
}

// sendNotification sends one, in its turn where calls take turns.
func (c *Client) sendNotification(ctx context.Context, out *outgoing, method string) error {
	if c.s.calls.inTurn && c.s.lockstep == nil {
		if err := c.reserve(ctx, 1); err != nil {
			return &CallError{Method: method, Outcome: NotSent, Err: err}
		}
		defer c.release(1)
		c.s.calls.owe()
	}
	if err := c.s.conn.Send(ctx, &out.msg); err != nil {
		return c.s.failed(method, err)
	}
	return nil
}

// Call is [Client.Call] with the result as a value.
func Call[R any](ctx context.Context, c *Client, method string, params any) (R, error) {
	var r R
	err := c.Call(ctx, method, params, &r)
	return r, err
}

// Close says goodbye and closes the connection; calls that wait end as unknown.
// It returns when the client no longer receives and what waited for a worker
// was dropped, always with nil, and may be called again. It does not wait for
// handlers of the client's own [Mux] that still run: their contexts have ended,
// and each keeps its worker until it returns. Futures of [Go] may be completed
// just after. On the client of a [Request] Close does nothing: the connection
// is the server's.
func (c *Client) Close() error {
	if c.owner == nil {
		if c.view != nil {
			c.view.close(c)
		}
		return nil
	}
	c.owner.once.Do(func() {
		c.s.closing.Store(true)
		c.s.receiving.close()
		_ = c.s.conn.Close()
	})
	<-c.owner.done
	return nil
}

// Done is closed when the connection has ended for good.
func (c *Client) Done() <-chan struct{} { return c.s.ctx.Done() }

// Err returns why the connection ended, or nil while it lasts.
func (c *Client) Err() error { return context.Cause(c.s.ctx) }

// Info says what was negotiated with the peer.
func (c *Client) Info() *transport.Info { return c.s.conn.Info() }

// Flush waits until all that was sent so far is with the operating system.
func (c *Client) Flush(ctx context.Context) error {
	if f, ok := transport.As[transport.Flusher](c.s.conn); ok {
		return f.Flush(ctx)
	}
	return nil
}
