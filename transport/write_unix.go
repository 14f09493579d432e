//go:build unix

package transport

import (
	"errors"
	"net"
	"syscall"
)

// atOnce writes as much as a socket takes without waiting, and without touching
// its deadline. It is for one goroutine at a time.
type atOnce struct {
	raw  syscall.RawConn // nil if there is no socket to be had
	call func(fd uintptr) bool

	b   []byte
	n   int
	err error
}

func (a *atOnce) init(nc net.Conn) {
	if isTLS(nc) {
		return
	}
	if s, ok := nc.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			a.raw, a.call = raw, a.attempt
		}
	}
}

func (a *atOnce) able() bool { return a.raw != nil }

// write returns how much of b went. That it was not all is no error.
func (a *atOnce) write(b []byte) (n int, err error) {
	if a.raw == nil {
		return 0, nil
	}
	a.b, a.n, a.err = b, 0, nil
	err = a.raw.Write(a.call)
	a.b = nil
	if err == nil {
		err = a.err
	}
	return a.n, err
}

// attempt never asks to be called again when there is room.
func (a *atOnce) attempt(fd uintptr) bool {
	for a.n < len(a.b) {
		n, err := syscall.Write(int(fd), a.b[a.n:])
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN):
			return true
		case err != nil:
			a.err = err
			return true
		default:
			a.n += n
		}
	}
	return true
}
