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
	"sync"
	"time"

	"go.uber.org/fx"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// Output is where a server writes. The zero value discards everything.
type Output struct {
	// Stdout gets one line for each address listened at, before anything else.
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
	// Wires are the schemes that can be spoken there.
	Wires []string
}

// URL returns what a client on the same machine dials to reach e over a wire.
func (e Endpoint) URL(wire string) string { return (&url.URL{Scheme: wire, Host: e.Addr}).String() }

// A Server listens at the configured addresses and serves an [rpc.Server]
// there. Start and Stop are its lifecycle, each to be called once, in this
// order; the other methods may be called at any time, from anywhere.
type Server struct {
	p Params

	wg   sync.WaitGroup // the goroutines that serve
	done chan struct{}

	mu        sync.Mutex // protects the fields below
	listeners []*transport.Listener
	endpoints []Endpoint
	stopping  bool
	err       error
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
	// Shutdowner, if there is one, is told when the server fails.
	Shutdowner fx.Shutdowner `optional:"true"`
}

// NewServer returns a Server that does not listen yet.
func NewServer(p Params) *Server {
	p.Config = p.Config.WithDefaults()
	return &Server{p: p, done: make(chan struct{})}
}

// Start listens at all addresses, writes the line "listening ADDR WIRES" for
// each, and serves them until Stop. If it cannot listen at one it listens at
// none.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.listen(ctx); err != nil {
		for _, l := range s.listeners {
			_ = l.Close()
		}
		s.listeners, s.endpoints = nil, nil
		return err
	}
	for _, l := range s.listeners {
		s.wg.Go(func() { s.serve(l) })
	}
	return nil
}

// listen needs mu.
func (s *Server) listen(ctx context.Context) error {
	for _, addr := range s.p.Config.Listen {
		u, err := listenURL(addr)
		if err != nil {
			return &ConfigError{Key: "listen", Err: err}
		}
		l, err := transport.Listen(ctx, u.String(), s.p.Options)
		if err != nil {
			return err
		}
		s.listeners = append(s.listeners, l)
		s.endpoints = append(s.endpoints, Endpoint{Addr: l.Addr().String(), Wires: []string{u.Scheme}})
	}
	for _, e := range s.endpoints {
		if err := s.p.Output.announce(e); err != nil {
			return fmt.Errorf("app: cannot say that it listens: %w", err)
		}
		s.p.Log.Info("listening", "addr", e.Addr, "wires", e.Wires)
	}
	return nil
}

// announce writes the line for e.
func (o Output) announce(e Endpoint) error {
	if o.Stdout == nil {
		return nil
	}
	if o.JSON {
		return json.NewEncoder(o.Stdout).Encode(map[string]any{"listening": e.Addr, "wires": e.Wires})
	}
	_, err := fmt.Fprintln(o.Stdout, append([]any{"listening", e.Addr}, anys(e.Wires)...)...)
	return err
}

func anys(list []string) []any {
	all := make([]any, len(list))
	for i, s := range list {
		all[i] = s
	}
	return all
}

func (s *Server) serve(l *transport.Listener) {
	err := s.p.RPC.Serve(context.Background(), l)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping || s.err != nil {
		return
	}
	if err == nil {
		err = errors.New("the listener has ended")
	}
	s.err = fmt.Errorf("app: serving %s: %w", l.Addr(), err)
	close(s.done)
	s.p.Log.Error("serving failed", "addr", l.Addr(), "err", err)
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

// drainContext ends early enough to close the connections within what is left
// of ctx and limit.
func drainContext(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline))
	}
	return context.WithTimeoutCause(ctx, limit-min(limit/4, 2*time.Second), errors.New("the stop timeout has passed"))
}
