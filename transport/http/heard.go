package http

import (
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
)

// A listening notes that bytes have come, so that a peer that breaks the rules of
// HTTP, which net/http keeps to itself, can be told from one that has gone.
type listening struct {
	net.Conn
	heard *atomic.Bool
}

func (l *listening) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if n > 0 && !l.heard.Load() {
		l.heard.Store(true)
	}
	return n, err
}

// CloseWrite is that of the connection below, if it has one.
func (l *listening) CloseWrite() error {
	if c, ok := l.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SyscallConn is that of the connection below, if it has one.
func (l *listening) SyscallConn() (syscall.RawConn, error) {
	if c, ok := l.Conn.(syscall.Conn); ok {
		return c.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// session is what a net.Conn is that has a TLS session; see [transport.TLSState].
type session interface {
	net.Conn
	ConnectionState() tls.ConnectionState
	NetConn() net.Conn
}

// A listeningTLS is a listening that shows the TLS session.
type listeningTLS struct {
	listening
	session session
}

func (l *listeningTLS) ConnectionState() tls.ConnectionState { return l.session.ConnectionState() }
func (l *listeningTLS) NetConn() net.Conn                    { return l.session.NetConn() }

// listen returns nc with an ear to it. A [*tls.Conn] stays what it is: by its type
// net/http knows that HTTP/2 may have been agreed.
func listen(nc net.Conn, heard *atomic.Bool) net.Conn {
	switch s := nc.(type) {
	case *tls.Conn:
		return nc
	case session:
		return &listeningTLS{listening{nc, heard}, s}
	}
	return &listening{nc, heard}
}
