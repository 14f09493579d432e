package port

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// A replay is a byte stream whose first bytes were read before, and are read again.
// After that it costs a branch. It has the abilities that plain and secured add: one
// of them must not have those of the other.
type replay struct {
	net.Conn
	drained atomic.Bool
	mu      sync.Mutex // protects the field below
	first   []byte
}

// Read is that of [net.Conn]. It gives out the first bytes even if a deadline has
// passed.
func (r *replay) Read(p []byte) (int, error) {
	if !r.drained.Load() {
		if n := r.again(p); n > 0 || len(p) == 0 {
			return n, nil
		}
	}
	return r.Conn.Read(p)
}

// again gives out what is left of the first bytes.
func (r *replay) again(p []byte) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := copy(p, r.first)
	if r.first = r.first[n:]; len(r.first) == 0 {
		r.first = nil
		r.drained.Store(true)
	}
	return n
}

// CloseWrite is that of [net.TCPConn] and [tls.Conn].
func (r *replay) CloseWrite() error {
	if c, ok := r.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// plain is a replay of a byte stream without TLS.
type plain struct{ replay }

// SyscallConn is that of the stream below, if it has one. It is for writing: reading
// by it misses the first bytes.
func (p *plain) SyscallConn() (syscall.RawConn, error) {
	if s, ok := p.Conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// secured is a replay of what was decrypted.
type secured struct {
	replay
	session *tls.Conn
	// anonymous hides the client's certificate.
	anonymous bool
}

// NetConn is that of [tls.Conn].
func (s *secured) NetConn() net.Conn { return s.session.NetConn() }

// ConnectionState is that of [tls.Conn].
func (s *secured) ConnectionState() tls.ConnectionState {
	state := s.session.ConnectionState()
	if s.anonymous {
		state.PeerCertificates, state.VerifiedChains = nil, nil
	}
	return state
}

// newReplay returns nc as it was before first was read from it. w is the wire that
// gets it.
func newReplay(nc net.Conn, first []byte, w *served) net.Conn {
	if t, ok := nc.(*tls.Conn); ok {
		return &secured{replay: replay{Conn: nc, first: first}, session: t, anonymous: w != nil && w.certs == Off && w.ruled}
	}
	return &plain{replay{Conn: nc, first: first}}
}
