package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc/internal/envelope"
	"github.com/polyport/polyport/transport"
)

// A Server answers the requests of any number of connections, whatever their
// wires, with the handlers of one [Mux] on one queue. Its methods are safe for
// concurrent use.
type Server struct {
	mux   *Mux
	o     ServerOptions
	queue *queue.Queue
	owned bool // the queue was made here
	// services are those with queues of their own, by name.
	services  map[string]*service
	elsewhere *service // for those that are not known; nil if nothing is forwarded
	events    *hub
	async     *asyncCalls
	ctx       context.Context // ends with Shutdown
	stop      context.CancelFunc

	mu       sync.Mutex // protects the fields below
	sessions map[*session]struct{}
	closed   bool
	wg       sync.WaitGroup
}

// ServerOptions adjust a [Server]. A nil pointer means the defaults.
type ServerOptions struct {
	// Queue runs the handlers; its depth and number of workers bound them all.
	// Nil means one of the server's own with the defaults of [queue.Options].
	Queue *queue.Queue
	// Width is how many handlers may run at once for one connection, so that
	// one peer cannot take all workers. Only with a Width of 1 are requests and
	// notifications handled one after the other, in the order in which they
	// came; else they are started in that order and run side by side. A handler that waits for a call to its
	// own caller counts: where calls nest, Width has to be larger than the
	// nested calls at once. Zero means 64.
	Width int
	// Services give services queues of their own, by name: the methods of Task are
	// those called Task.something.
	Services map[string]ServiceOptions
	// Forward finds who serves a service that does not run here: one of Services while it
	// is stopped, and any other that the Mux has no method of. Nil means nobody: then the
	// requests of the first are answered with [CodeShuttingDown], those of the others
	// with [CodeMethodNotFound].
	Forward Forwarder
	// Limits bound what one peer may send.
	Limits Limits
	// Async adjusts how calls with handles are treated.
	Async *AsyncOptions
	// Codec is for the calls that handlers make to their callers. Nil means
	// [JSON].
	Codec Codec
	// Interceptors stand around the calls served, and around those that handlers
	// make to their callers; the first is the outermost.
	Interceptors []Interceptor
	// Plain is as in [ClientOptions], for calls that handlers make.
	Plain bool
	// Events adjust how events are published. Nil means the defaults.
	Events *EventOptions
	// Logger gets records of what has no other way out. Nil discards them.
	Logger *slog.Logger
}

// An Acceptor hands out connections; [*transport.Listener] is one.
type Acceptor interface {
	// Accept returns the next connection, or an error that wraps
	// [transport.ErrClosed] when there will be none.
	Accept(ctx context.Context) (transport.Conn, error)
}

// ErrServerClosed is returned by Serve and ServeConn after Shutdown.
var ErrServerClosed = errors.New("rpc: server closed")

// NewServer returns a Server with the methods of mux. Shutdown must be called
// to end its goroutines.
func NewServer(mux *Mux, o *ServerOptions) *Server {
	s := &Server{mux: mux, sessions: make(map[*session]struct{})}
	s.ctx, s.stop = context.WithCancel(context.Background())
	if o != nil {
		s.o = *o
	}
	s.o.Width, s.o.Limits.InFlight = or(s.o.Width, 64), or(s.o.Limits.InFlight, 1024)
	s.o.Codec, s.o.Logger = orJSON(s.o.Codec), orDiscard(s.o.Logger)
	s.events = newHub(s.o.Events, s.o.Codec, s.o.Logger)
	if s.queue = s.o.Queue; s.queue == nil {
		s.queue, s.owned = queue.New(&queue.Options{Logger: s.o.Logger}), true
	}
	for name, so := range s.o.Services {
		if s.services == nil {
			s.services = make(map[string]*service)
		}
		s.services[name] = newService(so, &s.o)
	}
	if s.o.Forward != nil {
		s.elsewhere = newAway(s.o.Limits.InFlight, s.o.Width, &s.o)
		s.elsewhere.unnamed = true
	}
	s.events.services = s.services
	s.async = newAsyncCalls(s.ctx, s.queue, s.o.Async)
	s.events.listen()
	return s
}

// QueueStats returns the present numbers of the queues: of the common one under
// the empty name, and of those of services under theirs.
func (s *Server) QueueStats() map[string]queue.Stats {
	all := map[string]queue.Stats{"": s.queue.Stats()}
	for name, svc := range s.services {
		all[name] = svc.queue.Stats()
	}
	return all
}

// Serve serves the connections of a until it is closed, ctx ends or Shutdown is
// called. The error is nil in the first two cases and [ErrServerClosed] in the
// third, or else says why accepting failed. Serve does not close a, and the
// connections live on.
func (s *Server) Serve(ctx context.Context, a Acceptor) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	for {
		conn, err := a.Accept(ctx)
		switch {
		case err == nil:
		case s.ctx.Err() != nil:
			return ErrServerClosed
		case ctx.Err() != nil || errors.Is(err, transport.ErrClosed):
			return nil // an end that was asked for
		default:
			return err
		}
		sess, err := s.open(conn)
		if err != nil {
			_ = conn.Close()
			return err
		}
		go func() { _ = s.run(sess) }() // which logs why the connection ended
	}
}

// ServeConn serves one connection, which it owns, until it ends, and returns
// why; nil if the peer closed it. A connection to a broker with subscriptions
// to queues of requests is served in the same way.
func (s *Server) ServeConn(conn transport.Conn) error {
	sess, err := s.open(conn)
	if err != nil {
		_ = conn.Close()
		return err
	}
	if err := s.run(sess); !errors.Is(err, transport.ErrClosed) {
		return err
	}
	return nil
}

// open makes a session. Whoever gets it has to run it.
func (s *Server) open(conn transport.Conn) (*session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrServerClosed
	}
	sess := newSession(s.queue.Context(), conn, sessionOptions{
		mux: s.mux, codec: s.o.Codec, envelope: s.o.Limits.envelope(),
		lane:     s.queue.Lane(&queue.LaneOptions{Depth: s.o.Limits.InFlight, Width: s.o.Width}),
		inFlight: s.o.Limits.InFlight, outgoing: 1024, log: s.o.Logger.With("remote", conn.Info().Remote),
		services: s.services, elsewhere: s.elsewhere, forward: s.o.Forward,
		events: s.events, async: s.async, plain: s.o.Plain, interceptors: s.o.Interceptors,
	})
	if a, ok := transport.As[transport.Audience](conn); ok && (conn.Info().Feed || conn.Info().Audience) {
		sess.subscribers.listenedTo(a)
	}
	s.sessions[sess] = struct{}{}
	s.wg.Add(1)
	return sess, nil
}

func (s *Server) run(sess *session) error {
	defer s.wg.Done()
	sess.log.Debug("connected", "wire", sess.conn.Info().Scheme, "user", sess.conn.Info().User)
	err := sess.run()
	sess.log.Debug("disconnected", "err", err)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, sess)
	return err
}

// Connections returns how many connections are being served.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// Shutdown refuses new requests with [CodeShuttingDown], answers those it has
// accepted, ends the subscriptions, whose subscribers are told so (those of feeds
// get what waits for them), closes the connections, and returns when all goroutines of the server have ended. Calls
// with handles that nobody waits for are not waited for: their contexts end when
// the others are answered. If ctx ends first, the contexts of handlers that still run
// are cancelled, what waits is dropped, the connections are closed, and the
// error is a [*ShutdownError]. Close listeners before.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	s.mu.Lock()
	s.closed = true
	sessions := make([]*session, 0, len(s.sessions))
	for sess := range s.sessions {
		sessions = append(sessions, sess)
	}
	s.mu.Unlock()
	var wg, answered sync.WaitGroup
	var mu sync.Mutex
	unanswered := 0
	answered.Add(len(sessions))
	for _, sess := range sessions {
		wg.Go(func() {
			sess.subscribers.refuse(shuttingDown())
			if sess.serving.drain(ctx) != nil {
				mu.Lock()
				defer mu.Unlock()
				unanswered += sess.serving.open()
			}
			answered.Done()
			sess.subscribers.flush(ctx, &answered)
			sess.subscribers.close(shuttingDown())
			sess.cancel(ErrServerClosed)
			_ = sess.conn.Close()
		})
	}
	wg.Wait()
	s.events.hangUp()
	s.async.close()
	s.wg.Wait()
	var err error
	if s.owned {
		err = s.queue.Close(ctx)
	}
	for _, svc := range s.services {
		err = errors.Join(err, svc.queue.Close(ctx), svc.away.queue.Close(ctx))
	}
	if s.elsewhere != nil {
		err = errors.Join(err, s.elsewhere.queue.Close(ctx))
	}
	if unanswered > 0 {
		return &ShutdownError{Unanswered: unanswered, Err: context.Cause(ctx)}
	}
	return err
}

// ShutdownError says that Shutdown gave up.
type ShutdownError struct {
	// Unanswered is how many accepted requests have no answer.
	Unanswered int
	// Err is the cause of the context's end.
	Err error
}

// Error returns "rpc: N requests were not answered in time: CAUSE".
func (e *ShutdownError) Error() string {
	return fmt.Sprintf("rpc: %d requests were not answered in time: %v", e.Unanswered, e.Err)
}

// Unwrap returns the cause.
func (e *ShutdownError) Unwrap() error { return e.Err }

// A Request is what a handler can learn about the call it serves.
type Request struct {
	// Method is the one called.
	Method string
	// Notification says that there will be no answer.
	Notification bool
	// Info is about the connection: the wire, the peer's address, user and
	// certificate.
	Info *transport.Info
	// Headers are those of the message, where the wire has any.
	Headers []transport.Header
	// Attempt is how many earlier deliveries of the message are known to have
	// failed: more than 0 says that the call may have been executed before, by
	// this server or another one that serves the same queue at least once.
	Attempt int
	// Brokered says that the request came out of a broker's queue: Info is about the
	// connection to the broker, and nobody knows who sent the request.
	Brokered bool

	r *request
}

// FromContext returns the request that a handler serves, given the handler's
// context or one made from it; ok is false for any other.
func FromContext(ctx context.Context) (req Request, ok bool) {
	r, ok := ctx.Value(requestKey{}).(*request)
	if !ok {
		return Request{}, false
	}
	return Request{
		Method: string(r.msg.Method), Notification: r.msg.Kind == envelope.Notification,
		Info: r.session.conn.Info(), Headers: r.message.Headers, Attempt: r.message.Attempt,
		Brokered: r.message.Subscription != "", r: r,
	}, true
}

// Client returns a client that calls back whoever made the request, over the
// same connection. Its calls fail with [CodeMethodNotFound] unless the caller
// serves methods too, and with [transport.ErrNoRoute] if the wire needs a reply
// address and the request had none.
func (q Request) Client() *Client { return &Client{s: q.r.session, to: q.r.message.ReplyTo} }

// validData returns data if it is JSON, else nil: a handler's mistake in it
// must not make the answer unreadable.
func validData(data json.RawMessage) []byte {
	if len(data) == 0 {
		return nil
	}
	if out, err := appendRaw(nil, data); err == nil {
		return out
	}
	return nil
}

// faultData is the error data for a body that is over a limit.
func faultData(f *envelope.Fault) json.RawMessage {
	if f.Max == 0 {
		return nil
	}
	return fmt.Appendf(nil, `{"max":%d}`, f.Max)
}
