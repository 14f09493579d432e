package transport_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/polyport/polyport/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ended returns a context that has ended.
func ended(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// background runs f until the test is over, which waits for it.
func background(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	t.Cleanup(func() { <-done })
	go func() {
		defer close(done)
		f()
	}()
}

// text returns an enc for a Writer that appends s.
func text(s string) func([]byte) []byte {
	return func(dst []byte) []byte { return append(dst, s...) }
}

// settings returns options with defaults and the changes that f makes.
func settings(f func(*transport.Options)) *transport.Options {
	o := &transport.DialOptions{}
	o.Heartbeat = -1
	if f != nil {
		f(&o.Options)
	}
	return &o.WithDefaults().Options
}

// checkErr compares an error by its kind and by whether it says NotSent.
func checkErr(t *testing.T, what string, err, want error, notSent bool) {
	t.Helper()
	if !errors.Is(err, want) || transport.NotSent(err) != notSent {
		t.Errorf("%s = %v (NotSent %v), want %v (NotSent %v)", what, err, transport.NotSent(err), want, notSent)
	}
}

// checkTook compares the virtual time since start.
func checkTook(t *testing.T, what string, start time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(start); got != want {
		t.Errorf("%s took %v, want %v", what, got, want)
	}
}

// readAll returns what comes from r until its end.
func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Errorf("ReadAll = %v, want nil", err)
	}
	return string(b)
}

// readN returns the next n bytes from r.
func readN(t *testing.T, r io.Reader, n int) string {
	t.Helper()
	b := make([]byte, n)
	if m, err := io.ReadFull(r, b); err != nil {
		t.Errorf("ReadFull(%d) = %q, %v, want nil", n, b[:m], err)
	}
	return string(b)
}

// tcpPair returns the two ends of a TCP connection on this machine.
func tcpPair(t *testing.T) (a, b *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	near, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near.(*net.TCPConn), far.(*net.TCPConn)
}
