package http

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/polyport/polyport/transport"
)

const (
	// idleTimeout is how long a byte stream may wait for its next request.
	idleTimeout = 2 * time.Minute
	// streams is how many requests an HTTP/2 peer may have under way at once.
	streams = 100
)

// A host serves the byte streams of one listener by one http.Server, which gets
// them from Serve, one by one.
type host struct {
	o      *transport.ListenOptions
	own    *Options
	doors  *doors
	ready  func(transport.Conn)
	server *http.Server
	feed   chan net.Conn
	closed chan struct{} // closed when Close has begun
	wg     sync.WaitGroup

	mu      sync.Mutex // protects the fields below
	streams map[net.Conn]*stream
	closing bool
}

// Host returns what serves the byte streams of a listener.
func (t Transport) Host(o *transport.ListenOptions, ready func(transport.Conn)) transport.Host {
	return t.newHost(o, ready)
}

func (t Transport) newHost(o *transport.ListenOptions, ready func(transport.Conn)) *host {
	o = o.WithDefaults()
	h := &host{
		o: o, own: t.options(), doors: newDoors(o, t.options()), ready: ready,
		feed: make(chan net.Conn), closed: make(chan struct{}), streams: make(map[net.Conn]*stream),
	}
	h.server = h.newServer()
	h.wg.Go(func() { _ = h.server.Serve(feeder{h}) })
	return h
}

func (h *host) newServer() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	s := &http.Server{
		Handler:                      h,
		DisableGeneralOptionsHandler: true,
		Protocols:                    protocols,
		HTTP2:                        &http.HTTP2Config{MaxConcurrentStreams: streams, WriteByteTimeout: h.o.WriteStall},
		ReadHeaderTimeout:            min(h.o.HandshakeTimeout*9/10, h.o.FrameTimeout),
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               h.o.Limits.HeaderBytes,
		ErrorLog:                     slog.NewLogLogger(h.o.Logger.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, nc net.Conn) context.Context {
			return context.WithValue(ctx, streamKey{}, h.stream(nc))
		},
		ConnState: func(nc net.Conn, state http.ConnState) {
			switch state {
			case http.StateClosed:
				h.gone(nc)
			case http.StateHijacked:
				if s := h.stream(nc); s != nil {
					s.hijacked.Store(true)
				}
			case http.StateActive, http.StateIdle:
				if s := h.stream(nc); s != nil {
					s.turn(state == http.StateIdle)
				}
			}
		},
	}
	if h.o.Heartbeat < 0 { // without signs of life silence means nothing
		s.IdleTimeout = 365 * 24 * time.Hour
	}
	return s
}

// feeder is the listener of the http.Server.
type feeder struct{ *host }

func (f feeder) Accept() (net.Conn, error) {
	select {
	case nc := <-f.feed:
		return nc, nil
	case <-f.closed:
		return nil, net.ErrClosed
	}
}

func (f feeder) Close() error   { return nil }
func (f feeder) Addr() net.Addr { return &net.TCPAddr{} }

// Serve takes a byte stream over, and returns when the head of its first request
// is there.
func (h *host) Serve(ctx context.Context, nc net.Conn) (transport.Conn, error) {
	_, err := h.serve(ctx, nc)
	return nil, err
}

func (h *host) serve(ctx context.Context, nc net.Conn) (*stream, error) {
	if h.own.Compat || h.o.Profile == transport.OpenDaylight {
		nc = tolerate(nc, h.o.Limits.HeaderBytes)
	}
	s := newStream(h, nc)
	if !h.add(s) {
		_ = nc.Close()
		return nil, transport.ErrClosed
	}
	select {
	case h.feed <- s.nc:
	case <-h.closed:
		h.gone(s.nc)
		_ = nc.Close()
		return nil, transport.ErrClosed
	}
	select {
	case <-s.begun:
		return s, nil
	case <-s.over:
	case <-ctx.Done():
		s.cut() // net/http sets deadlines of its own: this holds whatever they are
		<-s.over
	}
	select {
	case <-s.begun: // and is over already
		return s, nil
	default:
	}
	if ctx.Err() != nil {
		return nil, os.ErrDeadlineExceeded
	}
	return nil, transport.WithReason(transport.ErrClosed, "the connection ended before a request of HTTP was there")
}

// Close ends the byte streams that carry no conversation, and those that do when
// their conversations end.
func (h *host) Close() error {
	h.mu.Lock()
	if !h.closing {
		h.closing = true
		close(h.closed)
	}
	var all []*stream
	for _, s := range h.streams {
		all = append(all, s)
	}
	h.mu.Unlock()
	var ended []*stream
	for _, s := range all {
		if s.retire() {
			ended = append(ended, s)
		}
	}
	for _, s := range ended {
		<-s.over
	}
	h.wg.Wait()
	return nil
}

func (h *host) add(s *stream) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing {
		return false
	}
	h.streams[s.nc] = s
	return true
}

func (h *host) stream(nc net.Conn) *stream {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.streams[nc]
}

// gone says that the http.Server is done with a byte stream.
func (h *host) gone(nc net.Conn) {
	h.mu.Lock()
	s := h.streams[nc]
	delete(h.streams, nc)
	h.mu.Unlock()
	if s != nil {
		s.end()
	}
}

// Server accepts the first conversation of a byte stream, and no other: it is for
// who has one stream. A [transport.Listener] uses Host.
func (t Transport) Server(ctx context.Context, nc net.Conn, o *transport.ListenOptions) (transport.Conn, error) {
	first := make(chan transport.Conn, 1)
	taken := false
	var mu sync.Mutex
	h := t.newHost(o, func(c transport.Conn) {
		mu.Lock()
		defer mu.Unlock()
		if taken {
			_ = c.Close()
			return
		}
		taken = true
		first <- c
	})
	on, err := h.serve(ctx, nc)
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	select {
	case c := <-first:
		return &single{Conn: c, host: h}, nil
	case <-ctx.Done():
	case <-on.over:
	}
	mu.Lock()
	defer mu.Unlock()
	taken = true
	select {
	case c := <-first:
		return &single{Conn: c, host: h}, nil
	default:
	}
	on.cut()
	<-on.over
	_ = h.Close()
	if ctx.Err() != nil {
		return nil, os.ErrDeadlineExceeded
	}
	return nil, transport.WithReason(transport.ErrClosed, "the connection ended before a request had a message")
}

// single is the only conversation of a byte stream.
type single struct {
	transport.Conn
	host *host
}

// Close ends the conversation and its byte stream.
func (s *single) Close() error { return errors.Join(s.Conn.Close(), s.host.Close()) }

// Unwrap returns the conversation.
func (s *single) Unwrap() transport.Conn { return s.Conn }
