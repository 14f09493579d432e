package rpc

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc/internal/envelope"
	"github.com/polyport/polyport/transport"
)

// A session is one connection, on which both ends may call. One goroutine
// receives: it hands answers to those who wait for them, and requests to the
// queue, and never waits for either. Answers leave by the goroutine that made
// them.
type session struct {
	conn     transport.Conn
	back     transport.Conn // by which answers leave; conn, but where that lets nothing else through
	lockstep *lockstep      // conn, if it is one
	feed     *feed          // what a client hears that can do nothing else; nil for others
	heard    *feed          // feed, or what a client hears besides calling; nil for others
	host     string         // that a client has dialed, or ""
	// answersAll says that the peer waits for an answer to whatever it sends.
	answersAll bool
	replies    transport.ReplyAddresser // nil if answers need no address
	gatherer   transport.Gatherer       // may be nil
	mux        *Mux
	codec      Codec
	lanes      lanes
	envelope   envelope.Limits
	tolerant   envelope.Limits // for peers with such habits
	log        *slog.Logger
	owned      bool    // by a client, whose callers may lead
	plain      bool    // send nothing that JSON-RPC 2.0 does not know
	passes     string  // a header that is sent nevertheless, or ""
	own        *habits // of a client; nil at a server
	// interceptors stand around calls in both directions, the first outermost.
	interceptors []Interceptor
	forward      Forwarder // finds who serves what is not served here; may be nil

	ctx    context.Context // ends with the connection
	cancel context.CancelCauseFunc

	ended chan struct{} // closed when the connection has ended and all is settled
	err   error         // why; to be read when ended is closed

	receiving receiving
	calls     calls
	serving   serving
	roll      roll
	late      lateReplies
	parked    parked
	// The subscriptions of the peer, and those of this end.
	subscribers   subscribers
	subscriptions subscriptions

	scratch  []envelope.Message // of the goroutine that receives
	stats    counters
	closing  atomic.Bool  // by Client.Close
	metadata atomic.Int32 // what the peer has shown of itself; see learn
	async    *asyncCalls  // of the server; nil at a client
	pushes   atomic.Int32 // promised
	gather   *gather      // nil without [ClientOptions].AutoBatch
	// mostBatch is how many requests of a batch the peer has shown to take; 0 if it
	// has not, 1 if it takes no batches.
	mostBatch atomic.Int64
}

type counters struct {
	stray, dropped atomic.Uint64
}

// sessionOptions are what clients and servers have in common.
type sessionOptions struct {
	mux      *Mux
	codec    Codec
	lane     *queue.Lane
	services map[string]*service
	// elsewhere and forward are for what is not served here; both may be nil.
	elsewhere *service
	forward   Forwarder
	envelope  envelope.Limits
	inFlight  int // requests of the peer
	outgoing  int // calls of ours
	owned     bool
	events    *hub // nil if this end publishes nothing
	async     *asyncCalls
	log       *slog.Logger

	plain        bool
	interceptors []Interceptor
	habits       *habits // of a client, and the host that it has dialed
	host         string
}

func newSession(ctx context.Context, conn transport.Conn, o sessionOptions) *session {
	s := &session{
		conn: conn, mux: o.mux, codec: o.codec, envelope: o.envelope, log: o.log, owned: o.owned,
		async: o.async, plain: o.plain, interceptors: o.interceptors, host: o.host, tolerant: tolerating(o.envelope),
	}
	s.keepStep(conn)
	s.onlyHear(conn)
	if o.habits != nil {
		s.adopt(o.habits)
		s.hearEvents(conn)
	}
	s.lanes.common, s.lanes.services, s.lanes.elsewhere, s.forward = o.lane, o.services, o.elsewhere, o.forward
	if s.feed == nil {
		s.replies, _ = transport.As[transport.ReplyAddresser](conn)
	}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	s.calls.init(o.outgoing)
	s.serving.limit = o.inFlight
	s.late.s, s.late.most = s, max(o.inFlight, 1024)
	s.parked.s = s
	s.subscribers.s, s.subscribers.hub, s.subscriptions.s = s, o.events, s
	s.ended = make(chan struct{})
	s.receiving.s, s.receiving.wake = s, make(chan struct{}, 1)
	if s.gatherer, _ = transport.As[transport.Gatherer](conn); s.gatherer != nil {
		s.gatherer.Gather()
	}
	return s
}

// run returns why the connection ended when it has, and all is settled.
func (s *session) run() error {
	go s.loop()
	<-s.ended
	return s.err
}

// end settles every account.
func (s *session) end(err error) {
	s.receiving.close()
	s.cancel(err)
	s.calls.close(err)
	if s.gather != nil {
		s.gather.end()
	}
	s.lanes.close(err)
	s.late.end()
	s.parked.wg.Wait()
	s.subscribers.close(nil)
	s.subscriptions.end(err)
	if err := s.conn.Close(); err != nil {
		s.log.Debug("closing the connection", "err", err)
	}
	s.err = err
	close(s.ended)
}

// receive sorts one body. at is nil for one who leads: it takes answers alone,
// and false leaves all else, which may make it wait, to the loop.
func (s *session) receive(m *transport.Message, at *place) bool {
	msgs, isBatch, fault := envelope.Scan(m.Body, s.limits(), s.scratch[:0])
	s.scratch = msgs[:0]
	switch {
	case s.heard.brings(m):
		s.heard.hearParts(msgs, fault != nil)
		s.settle(m, transport.Accepted)
	case s.feed != nil:
		s.feed.hear(m, msgs, isBatch || fault != nil)
		s.settle(m, transport.Accepted)
	case at == nil && (fault != nil || isBatch || msgs[0].Kind != envelope.Response):
		clear(msgs)
		return false
	case fault != nil && s.unusable(m, fault):
		s.settle(m, transport.Accepted)
	case fault != nil:
		s.refuse(m, nil, faultError(fault))
	case isBatch:
		s.receiveBatch(m, msgs, at)
		return true
	case msgs[0].Kind == envelope.Response:
		s.answered(m, &msgs[0])
		s.silent(m, transport.Accepted, 0)
	case msgs[0].Kind == envelope.Invalid && s.bareAck(&msgs[0]):
		s.settle(m, transport.Accepted)
	case msgs[0].Kind == envelope.Invalid:
		s.refuse(m, msgs[0].ID, invalidRequest(&msgs[0]))
	default:
		msg := msgs[0]
		clear(msgs)
		s.serve(m, msg, at) // another goroutine may have scratch after this
		return true
	}
	clear(msgs) // they keep the body alive
	return true
}

// serve admits one request to the queue, or serves it here.
func (s *session) serve(m *transport.Message, msg envelope.Message, at *place) {
	if msg.Metadata != nil && s.subscriptions.takes(m, &msg) || s.heard.takes(m, &msg) || !s.answerable(m, msg.Kind) {
		return
	}
	if s.underWay(m, &msg) {
		s.settle(m, transport.Accepted)
		return
	}
	r := &request{session: s, message: m, method: s.find(msg.Method), msg: askedBy(&msg)}
	r.Context, r.deadline = s.ctx, deadline(m, &msg)
	if s.servesAtOnce(r.method) {
		r.Run(s.ctx) // it has no place in flight
		return
	}
	r.route()
	err := queue.ErrFull
	if r.lane != nil {
		err = s.serving.admit(1, r.exempt(), m.Unsettled())
	}
	if err == nil {
		s.enroll(r)
		if r.diverted() || s.parked.follows(m, r.lane, r) {
			return
		}
		if !r.away && at.fits(r.method) && at.serve(r, r) {
			return
		}
		err = r.lane.Submit(r, r)
		if err == nil || s.parked.takes(m, err, r.lane, r) {
			return
		}
		s.serving.leave(1)
		s.serving.unexempt(r.exempt())
		s.serving.done(1)
	}
	forgone := r.forgone(err)
	r.leave()
	r.exit(false)
	if m.Unsettled() && !forgone {
		return // whoever is next will get it
	}
	if msg.Kind == envelope.Notification {
		s.drop(msg.Method, err)
		outcome := transport.Released
		if forgone {
			outcome = transport.Accepted
		}
		s.silent(m, outcome, 0)
		return
	}
	s.refuse(m, msg.ID, refusal(err))
}

// enroll lets a request be cancelled, if it wants an answer.
func (s *session) enroll(r *request) {
	if r.msg.Kind == envelope.Request {
		s.roll.add(r)
	}
}

// alone reports whether nobody but a request that has a place needs somebody to
// receive: no other request is under way, and this end makes no calls, of which
// the handler's own may be one.
func (s *session) alone() bool { return s.serving.alone() && !s.calls.any() }

// drop counts a notification for which there was no place, and says so when
// their number has doubled: a flood of them must not become one of records.
func (s *session) drop(method []byte, err error) {
	if n := s.stats.dropped.Add(1); n&(n-1) == 0 {
		s.log.Warn("notifications dropped", "count", n, "last", shown(method), "err", err)
	}
}

// shown is a method's name, which the peer chose, fit for a record.
func shown(method []byte) string { return string(method[:min(len(method), 100)]) }

// refusal is the error object for a request that was not admitted.
func refusal(err error) *Error {
	if errors.Is(err, errShuttingDown) || errors.Is(err, ErrServerClosed) || errors.Is(err, queue.ErrClosed) {
		return &Error{Code: CodeShuttingDown, Message: "shutting down; nothing was executed"}
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Code: CodeDeadline, Message: "deadline exceeded; nothing was executed"}
	case errors.Is(err, context.Canceled):
		return &Error{Code: CodeCancelled, Message: "cancelled; nothing was executed"}
	}
	return &Error{Code: CodeBusy, Message: "busy; nothing was executed"}
}

// answerable rejects a request that wants an answer and names no way back.
func (s *session) answerable(m *transport.Message, k envelope.Kind) bool {
	if k != envelope.Request || m.ReplyTo != "" || !s.conn.Info().Addressed {
		return true
	}
	s.settle(m, transport.Rejected("a request with an id needs the header reply-to, or its answer cannot be delivered"))
	return false
}

// refuse answers a message of which nothing was executed.
func (s *session) refuse(m *transport.Message, id []byte, e *Error) {
	if m.ReplyTo == "" && s.conn.Info().Addressed {
		s.log.Warn("a message that cannot be used, nor answered", "err", e.Message)
		s.settle(m, transport.Rejected(e.Message))
		return
	}
	out := newOutgoing()
	out.id = id
	out.msg.Body = s.appendError(out.msg.Body, id, e)
	s.answer(m, out, 0)
}

func (s *session) settle(m *transport.Message, o transport.Outcome) {
	if err := m.Settle(o); err != nil {
		s.log.Debug("settling a message", "outcome", o.String(), "err", err)
	}
}

func invalidRequest(m *envelope.Message) *Error {
	return &Error{Code: CodeInvalidRequest, Message: "invalid request: " + m.Reason}
}

func faultError(f *envelope.Fault) *Error {
	e := &Error{Code: Code(f.Code), Message: "parse error: " + f.Reason}
	if e.Code != CodeParse {
		e.Message = "invalid request: " + f.Reason
	}
	e.Data = faultData(f)
	return e
}

// outgoing is a message being made, with its buffer.
type outgoing struct {
	msg    transport.Message
	id     []byte              // of the one request that it answers, or nil
	beside [4]transport.Header // room for what travels beside a call
	// spared is how often in a row a large buffer was used for little.
	spared int
}

var outgoings = sync.Pool{New: func() any {
	return &outgoing{msg: transport.Message{Body: make([]byte, 0, 512)}}
}}

func newOutgoing() *outgoing { return outgoings.Get().(*outgoing) }

const contentType = "application/json"

// to makes o the answer to m.
func (o *outgoing) to(m *transport.Message) {
	o.msg.To, o.msg.CorrelationID, o.msg.ContentType = m.ReplyTo, m.CorrelationID, contentType
	if m.CorrelationID.IsZero() {
		o.msg.CorrelationID = m.ID
	}
}

const (
	// large is what a buffer may have without being looked at, huge what none may.
	large, huge = 64 << 10, 4 << 20
	// sparing is how often in a row a large buffer may be used for little.
	sparing = 4
)

// free gives o back. A large buffer is kept as long as large messages need it.
func (o *outgoing) free() {
	body, spared := o.msg.Body, o.spared+1
	if cap(body) <= large || len(body) >= cap(body)/4 {
		spared = 0
	}
	if cap(body) > huge || spared > sparing {
		body, spared = make([]byte, 0, 512), 0
	}
	*o = outgoing{msg: transport.Message{Body: body[:0]}, spared: spared}
	outgoings.Put(o)
}
