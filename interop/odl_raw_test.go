package interop_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// dialRaw is a connection to a port, which has 5 s for everything.
func dialRaw(t *testing.T, port int) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return nc
}

// A rawZMQ shakes hands as OpenDaylight does, with whoever dials, and shows what came.
type rawZMQ struct {
	l     net.Listener
	conns chan net.Conn
}

func newRawZMQ(t *testing.T, publishes bool) *rawZMQ {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &rawZMQ{l, make(chan net.Conn, 1)}
	t.Cleanup(func() { _ = l.Close() })
	socket := map[bool]string{true: "PUB", false: "REP"}[publishes]
	go func() {
		nc, err := l.Accept()
		if err != nil {
			close(s.conns)
			return
		}
		_, _ = strings.NewReader(zmqGreeting + zmqReady + "\x03" + socket).WriteTo(nc)
		s.conns <- nc
	}()
	return s
}

func (s *rawZMQ) addr() string { return s.l.Addr().String() }

// read returns the next n bytes that came.
func (s *rawZMQ) read(t *testing.T, n int) string {
	t.Helper()
	nc, ok := <-s.conns
	if !ok {
		t.Fatal("nobody dialed")
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(5 * time.Second))
	got, err := readUntil(nc, n)
	if err != nil {
		t.Errorf("%q, then %v", got, err)
	}
	return string(got)
}

// readUntil reads n bytes, or until the connection ends.
func readUntil(nc net.Conn, n int) ([]byte, error) {
	b := make([]byte, n)
	m, err := io.ReadFull(nc, b)
	return b[:m], err
}
