package http

import (
	"crypto/subtle"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/polyport/polyport/transport"
)

// streamKey is the key of the *stream in the context of a request.
type streamKey struct{}

// A stream is one byte stream, as its requests share it.
type stream struct {
	host  *host
	nc    net.Conn
	begun chan struct{} // closed when the first request is there
	begin func()
	over  chan struct{} // closed when the http.Server is done with it

	// hijacked says that a conversation has taken it over, or is about to.
	hijacked atomic.Bool
	heard    atomic.Bool // bytes have come since the last request began or ended

	mu     sync.Mutex // protects the fields below
	people []person   // who has shown credentials
	lanes  []*lane    // all that are open
	quiet  bool       // no request is under way
	served bool       // the one that is has come to the handler
	two    bool       // it is HTTP/2
	last   bool       // to be closed when that is so
	ended  bool
}

// A person is who sends requests, by what they show.
type person struct {
	authorization string
	info          *transport.Info
}

// most is how many people and lanes an HTTP/1.1 stream may have, which carries one
// request at a time: there is more than one of each only behind a proxy.
const most = 8

func newStream(h *host, nc net.Conn) *stream {
	s := &stream{host: h, begun: make(chan struct{}), over: make(chan struct{}), quiet: true}
	s.nc = listen(nc, &s.heard)
	s.begin = sync.OnceFunc(func() { close(s.begun) })
	return s
}

// turn says that requests are under way, or none is any more.
func (s *stream) turn(quiet bool) {
	s.mu.Lock()
	s.quiet, s.served = quiet, false
	s.heard.Store(false)
	now := s.last && quiet && !s.ended
	s.mu.Unlock()
	if now {
		s.finish()
	}
}

// enter says that the request under way has come whole, and is sound.
func (s *stream) enter(r *http.Request) {
	s.begin()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.served, s.two = true, r.ProtoMajor == 2
}

// known returns what is known of who shows an authorization, or nil.
func (s *stream) known(authorization string) *transport.Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.people {
		if subtle.ConstantTimeCompare([]byte(p.authorization), []byte(authorization)) == 1 {
			return p.info
		}
	}
	return nil
}

// meet notes that who shows an authorization is user.
func (s *stream) meet(r *http.Request, authorization, user string) *transport.Info {
	info := &transport.Info{
		Scheme: schemeHTTP, Version: strconv.Itoa(r.ProtoMajor) + "." + strconv.Itoa(r.ProtoMinor),
		Peer: brief(r.UserAgent()), User: user, Local: s.nc.LocalAddr(), Remote: s.nc.RemoteAddr(), TLS: r.TLS,
		Limits: s.host.o.Limits, Lockstep: true, Headers: true, Profile: s.host.profile(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.people) >= most {
		s.people = s.people[1:]
	}
	s.people = append(s.people, person{authorization, info})
	return info
}

// lane returns a lane of who info is about on which nothing is asked. It may be a
// new one, which the listener has to accept first. It returns nil when the stream
// is at its end.
func (s *stream) lane(info *transport.Info) *lane {
	s.mu.Lock()
	var spare *lane
	for _, l := range s.lanes {
		if l.busy {
			continue
		}
		if l.info.User == info.User {
			l.busy = true
			s.mu.Unlock()
			return l
		}
		spare = l
	}
	if s.ended || s.last {
		s.mu.Unlock()
		return nil
	}
	l := newLane(s, info)
	s.lanes = append(s.lanes, l)
	crowded := len(s.lanes) > most
	s.mu.Unlock()
	if crowded && spare != nil {
		spare.fail(transport.WithReason(transport.ErrClosed, "others use the connection now"))
	}
	s.host.ready(l)
	return l
}

// free takes a lane back.
func (s *stream) free(l *lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.busy = false
}

// drop forgets a lane that is closed, and reports whether the stream is to be
// closed as well: over HTTP/1.1 the two are one.
func (s *stream) drop(l *lane) {
	s.mu.Lock()
	i := slices.Index(s.lanes, l)
	if i >= 0 {
		s.lanes = slices.Delete(s.lanes, i, i+1)
	}
	s.last = s.last || len(s.lanes) == 0 && (!s.two || s.host.isClosing())
	now := s.last && s.quiet && !s.ended
	s.mu.Unlock()
	if now {
		s.finish()
	}
}

// closes reports whether the stream is to be closed when no request is under way.
func (s *stream) closes() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// retire closes the stream if it carries no conversation, and reports whether it
// will end without one.
func (s *stream) retire() bool {
	s.mu.Lock()
	free := len(s.lanes) == 0 && s.quiet
	s.last = s.last || free
	s.mu.Unlock()
	if free {
		s.cut()
	}
	return free
}

// end says that nothing comes by the stream any more.
func (s *stream) end() {
	s.mu.Lock()
	s.ended = true
	lanes := slices.Clone(s.lanes)
	err := transport.WithReason(transport.ErrClosed, "the peer closed the connection")
	if s.quiet && s.heard.Load() || !s.quiet && !s.served {
		err = malformed("what the peer sent is no request of HTTP, or not a whole one")
	}
	s.mu.Unlock()
	for _, l := range lanes {
		l.fail(err)
	}
	close(s.over)
}

// finish closes the byte stream when all responses have left. Over HTTP/2 net/http
// says that no request is under way just before it writes the end of the last.
func (s *stream) finish() {
	if s.two {
		time.AfterFunc(grace, s.shut)
		return
	}
	s.shut()
}

// grace is more than enough for that.
const grace = 50 * time.Millisecond

// shut closes the byte stream, with TLS's word for it, within the linger time.
func (s *stream) shut() {
	late := time.AfterFunc(s.host.o.Linger, s.cut)
	defer late.Stop()
	_ = s.nc.Close()
}

// cut closes the byte stream at once.
func (s *stream) cut() { transport.CloseNow(s.nc) }

func (h *host) isClosing() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closing
}

// brief is what is kept of a text that a peer chose.
func brief(s string) string { return s[:min(len(s), 100)] }
