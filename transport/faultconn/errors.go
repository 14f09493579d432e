package faultconn

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// ErrInjected is wrapped by every error that a rule made up, beside the error
// of the real thing such as [syscall.ECONNRESET]. The io.EOF of a cut is bare,
// as callers expect of Read; timeouts are always real.
var ErrInjected = errors.New("faultconn: injected")

// An injectedError is an error that a network would have given.
type injectedError struct {
	call  string
	errno syscall.Errno
}

func injected(call string, errno syscall.Errno) error {
	return &injectedError{call, errno}
}

func (e *injectedError) Error() string {
	return e.call + ": " + e.errno.Error() + " (injected)"
}

func (e *injectedError) Unwrap() []error { return []error{e.errno, ErrInjected} }

// Is lets a broken pipe answer to the name that in-memory pipes use.
func (e *injectedError) Is(target error) bool {
	return e.errno == syscall.EPIPE && target == io.ErrClosedPipe
}

// opError dresses err as the errors of package net are.
func (c *Conn) opError(op string, err error) error {
	oe := &net.OpError{Op: op, Source: c.nc.LocalAddr(), Addr: c.nc.RemoteAddr(), Err: err}
	if oe.Source != nil {
		oe.Net = oe.Source.Network()
	}
	return oe
}
