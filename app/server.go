package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/fx"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// Output is where a server writes. The zero value discards everything.
type Output struct {
	// Stdout gets one line for each address listened at, before anything else, a
	// further one if it has a profile, and one that tells of the broker, if there is
	// one.
	Stdout io.Writer
	// Log gets the log records.
	Log io.Writer
	// JSON makes the lines on Stdout JSON objects.
	JSON bool
}

// An Endpoint is an address that a server listens at.
type Endpoint struct {
	// Addr is the address bound: "127.0.0.1:7070", or a name on the wire mem.
	Addr string
	// Wires are the schemes that can be spoken there: those without TLS in order,
	// then those with it.
	Wires []string
	// Profile is the older system whose programs are served there as they are, or
	// "".
	Profile transport.Profile
}

// URL returns what a client on the same machine dials to reach e over a wire.
func (e Endpoint) URL(wire string) string { return (&url.URL{Scheme: wire, Host: e.Addr}).String() }

// A Server listens at the configured addresses and serves an [rpc.Server]
// there, with the topic "clock", {"time":"2026-11-22T15:04:05Z"} once a second.
// Start and Stop are its lifecycle, each to be called once, in this
// order; the other methods may be called at any time, from anywhere.
type Server struct {
	p Params

	wg   sync.WaitGroup // the goroutines that serve
	done chan struct{}

	mu        sync.Mutex // protects the fields below
	listeners []*transport.Listener
	consumers []consumer
	endpoints []Endpoint
	stopping  bool
	err       error
}

// A consumer is the connection by which queues of a broker are served.
type consumer struct {
	broker string   // its URL, with password
	urls   []string // of the queues, without password
	conn   transport.Conn
}

// Params are what [NewServer] needs.
type Params struct {
	fx.In

	Config  Config
	Output  Output `optional:"true"`
	Log     *slog.Logger
	RPC     *rpc.Server
	Queue   *queue.Queue
	Options *transport.ListenOptions
	Broker  *transport.RedialOptions
	// Hub is the server's own broker, and Forwarder finds services by it, if there
	// is one.
	Hub       *broker.Hub `optional:"true"`
	Forwarder *Forwarder  `optional:"true"`
	// Shutdowner, if there is one, is told when the server fails.
	Shutdowner fx.Shutdowner `optional:"true"`
}

// NewServer returns a Server that does not listen yet.
func NewServer(p Params) *Server {
	p.Config = p.Config.WithDefaults()
	if p.Hub != nil {
		with := *p.Options
		with.Broker = p.Hub
		p.Options = &with
	}
	return &Server{p: p, done: make(chan struct{})}
}

// Start listens at all addresses and subscribes to all queues, writes the lines
// "listening ADDR WIRES", "profile NAME ADDR WIRES" and "consuming URL", and serves them until Stop. If one
// of them cannot be had it takes none. Connections to brokers that are lost
// later are made again; a broker that refuses the subscription ends the server.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, step := range []func(context.Context) error{s.listen, s.consume, s.announce} {
		if err := step(ctx); err != nil {
			s.abandon()
			return err
		}
	}
	for _, l := range s.listeners {
		s.wg.Go(func() { s.failed(l.Addr().String(), s.p.RPC.Serve(context.Background(), l)) })
	}
	s.wg.Go(s.clock)
	for _, c := range s.consumers {
		s.wg.Go(func() { s.failed(strings.Join(c.urls, " "), s.p.RPC.ServeConn(c.conn)) })
	}
	return nil
}

// abandon gives back what a failed start has taken. It needs mu.
func (s *Server) abandon() {
	for _, l := range s.listeners {
		_ = l.Close()
	}
	for _, c := range s.consumers {
		_ = c.conn.Close()
	}
	s.listeners, s.consumers, s.endpoints = nil, nil, nil
}

// listen needs mu.
func (s *Server) listen(ctx context.Context) error {
	for _, addr := range s.p.Config.Listen {
		u, err := listenURL(addr)
		if err != nil {
			return &ConfigError{Key: "listen", Err: err}
		}
		l, wires, err := s.open(ctx, u)
		if err != nil {
			return err
		}
		s.listeners = append(s.listeners, l)
		s.endpoints = append(s.endpoints, Endpoint{Addr: l.Addr().String(), Wires: wires, Profile: s.p.Config.profileOf(u)})
	}
	return nil
}

// announce needs mu.
func (s *Server) announce(context.Context) error {
	for _, e := range s.endpoints {
		if err := s.announceEndpoint(e); err != nil {
			return err
		}
	}
	if s.p.Hub != nil {
		const queues, topics = "/queue/NAME", "/topic/NAME"
		if err := s.p.Output.print([]any{"broker", queues, topics}, map[string]any{"broker": []string{queues, topics}}); err != nil {
			return err
		}
	}
	for _, raw := range s.p.Config.Consume {
		u, err := consumeURL(raw)
		if err != nil {
			return &ConfigError{Key: "consume", Err: err}
		}
		if err := s.p.Output.print([]any{"consuming", shown(u)}, map[string]any{"consuming": shown(u)}); err != nil {
			return err
		}
	}
	for _, c := range s.consumers {
		s.p.Log.Info("consuming", "queues", c.urls, "peer", c.conn.Info().Peer, "at_least_once", s.p.Config.Consumer.AtLeastOnce)
	}
	return nil
}

func (s *Server) announceEndpoint(e Endpoint) error {
	line := append([]any{"listening", e.Addr}, anys(e.Wires)...)
	if err := s.p.Output.print(line, map[string]any{"listening": e.Addr, "wires": e.Wires}); err != nil {
		return err
	}
	if e.Profile == "" {
		s.p.Log.Info("listening", "addr", e.Addr, "wires", e.Wires)
		return nil
	}
	s.p.Log.Info("listening", "addr", e.Addr, "wires", e.Wires, "profile", e.Profile)
	wires := having(e.Wires, e.Profile)
	line = append([]any{"profile", e.Profile, e.Addr}, anys(wires)...)
	return s.p.Output.print(line, map[string]any{"profile": e.Profile, "address": e.Addr, "wires": wires})
}

// print writes a line, or what says the same in JSON.
func (o Output) print(line []any, object map[string]any) error {
	if o.Stdout == nil {
		return nil
	}
	var err error
	if o.JSON {
		err = json.NewEncoder(o.Stdout).Encode(object)
	} else {
		_, err = fmt.Fprintln(o.Stdout, line...)
	}
	if err != nil {
		return fmt.Errorf("app: cannot say what is served: %w", err)
	}
	return nil
}

func anys(list []string) []any {
	all := make([]any, len(list))
	for i, s := range list {
		all[i] = s
	}
	return all
}

// failed ends the server when something that it serves has ended unasked.
func (s *Server) failed(what string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping || s.err != nil {
		return
	}
	if err == nil {
		err = errors.New("it has ended")
	}
	s.err = fmt.Errorf("app: serving %s: %w", what, err)
	close(s.done)
	s.p.Log.Error("serving failed", "what", what, "err", err)
	if s.p.Shutdowner != nil {
		_ = s.p.Shutdowner.Shutdown(fx.ExitCode(1))
	}
}

// Done is closed when the server has failed or Stop has begun.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err returns why the server failed, or nil.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Endpoints returns the addresses listened at, in the order of the
// configuration.
func (s *Server) Endpoints() []Endpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.endpoints)
}

// Stop refuses new connections and requests, answers the requests that were
// accepted, closes the connections, and returns when all goroutines have ended.
// It does so before ctx ends, and within the stop timeout of the configuration.
// An error says that requests were not answered in that time.
func (s *Server) Stop(ctx context.Context) error {
	began := time.Now()
	s.mu.Lock()
	first := !s.stopping
	s.stopping = true
	if first && s.err == nil {
		close(s.done)
	}
	listeners := s.listeners
	s.mu.Unlock()
	s.p.Log.Info("stopping", "connections", s.p.RPC.Connections())

	ctx, cancel := drainContext(ctx, s.p.Config.StopTimeout)
	defer cancel()
	var closing sync.WaitGroup
	for _, l := range listeners {
		closing.Go(func() { _ = l.Close() })
	}
	closing.Wait()
	err := s.p.RPC.Shutdown(ctx)
	s.closeHub()
	s.wg.Wait()
	if err == nil {
		err = s.p.Queue.Close(ctx)
	} else {
		_ = s.p.Queue.Close(ctx)
	}
	if err != nil {
		s.p.Log.Error("stopped too late for some requests", "err", err, "took", time.Since(began))
		return err
	}
	s.p.Log.Info("stopped", "unanswered", 0, "took", time.Since(began))
	return nil
}

// closeHub ends the broker, when what was forwarded by it has been answered.
func (s *Server) closeHub() {
	if s.p.Forwarder != nil {
		s.p.Forwarder.Close()
	}
	if s.p.Hub != nil {
		_ = s.p.Hub.Close() // it always returns nil
	}
}

// drainContext ends early enough to close the connections within what is left
// of ctx and limit.
func drainContext(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline))
	}
	return context.WithTimeoutCause(ctx, limit-min(limit/4, 2*time.Second), errors.New("the stop timeout has passed"))
}
