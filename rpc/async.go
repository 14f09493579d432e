package rpc

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc/internal/envelope"
	"github.com/polyport/polyport/rpc/internal/handles"
	"github.com/polyport/polyport/transport"
)

// AsyncOptions adjust how a [Server] treats calls that come with a handle, of
// methods with [MethodOptions].Async. A nil pointer means the defaults.
type AsyncOptions struct {
	// Grace is how long a caller whose connection carries one call at a time,
	// or whose call is one of a batch, waits for the result before it is told
	// to come back for it. Zero means 50 ms, less than zero no time at all.
	Grace time.Duration
	// Poll is how long such a caller is asked to wait before it comes back, and
	// how long one who comes back by repeating the call may be kept waiting.
	// Zero means 200 ms.
	Poll time.Duration
	// TTL is how long a call may run before it ends with [CodeExpired]. Zero
	// means 10 minutes.
	TTL time.Duration
	// Retain is how long a result is kept for its caller. For 10 minutes more
	// it is known that the call was made, so that it is not made again. Zero
	// means 1 minute.
	Retain time.Duration
	// Handles is how many handles one user may have whose calls run or whose
	// results are kept; all callers without a name are one user. Results that
	// were fetched make room for new calls. Zero means 256.
	Handles int
	// Width is how many such calls of one user may run at once; the others wait
	// in the queue. Zero means 64.
	Width int
	// Bytes bounds what all handles hold together. Zero means 64 MiB.
	Bytes int
}

func (o *AsyncOptions) withDefaults() AsyncOptions {
	var d AsyncOptions
	if o != nil {
		d = *o
	}
	switch {
	case d.Grace == 0:
		d.Grace = 50 * time.Millisecond
	case d.Grace < 0:
		d.Grace = 0
	}
	if d.Poll <= 0 {
		d.Poll = 200 * time.Millisecond
	}
	d.Handles, d.Width = or(d.Handles, 256), or(d.Width, 64)
	return d
}

// asyncCalls are the calls of a server that came with a handle. They belong to
// the server, not to the connections that they came by.
type asyncCalls struct {
	o      AsyncOptions
	store  *handles.Store
	queue  *queue.Queue
	ctx    context.Context // of the handlers
	cancel context.CancelCauseFunc
	// stopping ends when the server shuts down.
	stopping context.Context

	mu    sync.Mutex // protects the field below
	lanes map[asyncLaneKey]*asyncLane
}

// An asyncLaneKey says whose calls a lane is for, and of which service if that has
// a queue of its own.
type asyncLaneKey struct {
	principal string
	service   *service
}

// An asyncLane is the way into the queue of one user's calls. It is there as
// long as there are any.
type asyncLane struct {
	*queue.Lane
	calls int
}

func newAsyncCalls(stopping context.Context, q *queue.Queue, o *AsyncOptions) *asyncCalls {
	a := &asyncCalls{o: o.withDefaults(), queue: q, stopping: stopping, lanes: make(map[asyncLaneKey]*asyncLane)}
	a.store = handles.New(handles.Options{TTL: a.o.TTL, Retain: a.o.Retain, Handles: a.o.Handles, Bytes: a.o.Bytes})
	a.ctx, a.cancel = context.WithCancelCause(q.Context())
	return a
}

// close ends what still runs. Nobody can come for it any more.
func (a *asyncCalls) close() {
	a.store.Close()
	a.cancel(ErrServerClosed)
	a.mu.Lock()
	lanes := make([]*asyncLane, 0, len(a.lanes))
	for _, l := range a.lanes {
		lanes = append(lanes, l)
	}
	a.mu.Unlock()
	for _, l := range lanes {
		l.Close(ErrServerClosed)
	}
}

func (d *detached) laneKey() asyncLaneKey {
	return asyncLaneKey{principal: d.key.Principal, service: d.service}
}

// submit queues a call.
func (a *asyncCalls) submit(d *detached) error {
	a.mu.Lock()
	l := a.lanes[d.laneKey()]
	if l == nil {
		q := a.queue
		if d.service != nil {
			q = d.service.queue
		}
		l = &asyncLane{Lane: q.Lane(&queue.LaneOptions{Depth: a.o.Handles, Width: a.o.Width})}
		a.lanes[d.laneKey()] = l
	}
	l.calls++
	d.apart = l
	a.mu.Unlock()
	err := l.Submit(d, d)
	if err != nil {
		a.left(d)
	}
	return err
}

// left notes that a call is no longer in its lane, if it is in one.
func (a *asyncCalls) left(d *detached) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := d.apart
	if l == nil {
		return
	}
	d.apart = nil
	if l.calls--; l.calls == 0 {
		delete(a.lanes, d.laneKey())
	}
}

// appendAck appends the answer that tells a caller to come back. It is one that
// callers who know nothing of state take for theirs, too.
func (a *asyncCalls) appendAck(dst, id, token []byte) []byte {
	dst = append(envelope.AppendResultHead(dst, id), "null"...)
	m := append([]byte(`{"async":`), token...)
	m = append(m, `,"state":"pending","pollMs":`...)
	m = strconv.AppendInt(m, a.o.Poll.Milliseconds(), 10)
	m = append(m, `,"ttlMs":`...)
	m = append(strconv.AppendInt(m, a.store.TTL().Milliseconds(), 10), '}')
	return envelope.AppendTail(envelope.AppendMetadata(dst, m))
}

// An asyncAsk is what a caller wants by the member async of its metadata.
type asyncAsk struct {
	kind  askKind
	token []byte // raw, as the caller wrote it
	id    handles.UUID
	push  bool
}

type askKind uint8

const (
	askNone    askKind = iota // an ordinary call
	askAny                    // a handle that we choose
	askNamed                  // a handle that the caller has chosen
	askInvalid                // what cannot be understood: the caller believes that it can repeat the call
)

// askOf reads metadata, an object.
func askOf(metadata []byte) (ask asyncAsk) {
	seen := false
	envelope.Members(metadata, func(name, value []byte) bool {
		switch string(name) {
		case "async":
			if seen {
				ask.kind = askInvalid
				return false
			}
			seen = true
			ask.kind, ask.token, ask.id = askKindOf(value)
		case "push":
			ask.push = string(value) == "true"
		}
		return true
	})
	return ask
}

func askKindOf(value []byte) (askKind, []byte, handles.UUID) {
	switch string(value) {
	case "null", "false":
		return askNone, nil, handles.UUID{}
	case "true":
		return askAny, nil, handles.UUID{}
	}
	if id, ok := handles.Parse(unquote(value)); ok {
		return askNamed, value, id
	}
	return askInvalid, nil, handles.UUID{}
}

// unquote returns the text of a raw string without escapes, or "".
func unquote(raw []byte) string {
	if len(raw) < 2 || raw[0] != '"' {
		return ""
	}
	return string(raw[1 : len(raw)-1])
}

// principal is whose handles a message can name. What comes through a broker
// comes from anybody.
func (s *session) principal(m *transport.Message) string {
	if m.Subscription != "" {
		return ""
	}
	return s.conn.Info().User
}
