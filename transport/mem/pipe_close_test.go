package mem_test

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// full makes the next Write to c wait.
func full(t *testing.T, c net.Conn, size int) {
	t.Helper()
	if _, err := c.Write(make([]byte, size)); err != nil {
		t.Fatalf("Write(%d) = %v, want nil", size, err)
	}
}

// What each end sees after one of them did something. The peer had written
// "there" and the end itself "here" before.
func TestAfterClose(t *testing.T) {
	const here, there = "here", "there"
	tests := []struct {
		name              string
		do                func(tcpLike)
		read              string // what the end itself still reads
		readErr, writeErr error
		peerRead          string
		peerReadErr       error
		peerWriteErr      error
	}{
		{
			"Close", func(c tcpLike) { c.Close() },
			"", net.ErrClosed, net.ErrClosed,
			here, io.EOF, syscall.EPIPE,
		},
		{
			"Close twice", func(c tcpLike) { c.Close(); c.Close() },
			"", net.ErrClosed, net.ErrClosed,
			here, io.EOF, io.ErrClosedPipe,
		},
		{
			"CloseWrite", func(c tcpLike) { c.CloseWrite() },
			there, nil, io.ErrClosedPipe,
			here, io.EOF, nil,
		},
		{
			"CloseWrite twice", func(c tcpLike) { c.CloseWrite(); c.CloseWrite() },
			there, nil, syscall.EPIPE,
			here, io.EOF, nil,
		},
		{
			"CloseRead", func(c tcpLike) { c.CloseRead() },
			"", io.EOF, nil,
			here, nil, syscall.EPIPE,
		},
		{
			"CloseRead twice", func(c tcpLike) { c.CloseRead(); c.CloseRead() },
			"", io.EOF, nil,
			here, nil, io.ErrClosedPipe,
		},
		{
			"both halves", func(c tcpLike) { c.CloseRead(); c.CloseWrite() },
			"", io.EOF, syscall.EPIPE,
			here, io.EOF, syscall.EPIPE,
		},
		{
			"reset", func(c tcpLike) { c.SetLinger(0); c.Close() },
			"", net.ErrClosed, net.ErrClosed,
			here, syscall.ECONNRESET, syscall.ECONNRESET,
		},
		{
			"reset undone", func(c tcpLike) { c.SetLinger(0); c.SetLinger(-1); c.Close() },
			"", net.ErrClosed, net.ErrClosed,
			here, io.EOF, syscall.EPIPE,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := pair(t, 0)
				a.Write([]byte(here))
				b.Write([]byte(there))
				test.do(a)
				checkRead(t, "own", a, test.read, test.readErr)
				checkRead(t, "peer's", b, test.peerRead, test.peerReadErr)
				if _, err := a.Write([]byte("x")); !errors.Is(err, test.writeErr) {
					t.Errorf("own Write: err = %v, want %v", err, test.writeErr)
				}
				_, err := b.Write([]byte("x"))
				if !errors.Is(err, test.peerWriteErr) {
					t.Errorf("peer's Write: err = %v, want %v", err, test.peerWriteErr)
				}
				if errors.Is(err, net.ErrClosed) {
					t.Errorf("peer's Write: err = %v, want one that is not net.ErrClosed", err)
				}
			})
		})
	}
}

// checkRead reads what is there and then checks how the stream goes on; a nil
// error means that nothing more comes for now.
func checkRead(t *testing.T, whose string, c net.Conn, want string, wantErr error) {
	t.Helper()
	if got := readN(t, c, len(want)); got != want {
		t.Errorf("%s Read() = %q, want %q", whose, got, want)
	}
	if wantErr == nil {
		return
	}
	for range 2 {
		n, err := c.Read(make([]byte, 8))
		if n != 0 || !errors.Is(err, wantErr) {
			t.Errorf("%s Read() = %d, %v, want 0, %v", whose, n, err, wantErr)
		}
		if errors.Is(wantErr, io.EOF) && err != io.EOF { //nolint:errorlint // many callers of Read compare
			t.Errorf("%s Read(): err = %#v, want the bare io.EOF", whose, err)
		}
	}
}

// What ends an operation that waits, and how.
func TestUnblock(t *testing.T) {
	const size = 16
	read := func(c net.Conn) error { _, err := c.Read(make([]byte, 1)); return err }
	write := func(c net.Conn) error { _, err := c.Write(make([]byte, 2*size)); return err }
	tests := []struct {
		name string
		op   func(net.Conn) error
		do   func(own, peer tcpLike)
		want error
	}{
		{"Read by Close", read, func(own, _ tcpLike) { own.Close() }, net.ErrClosed},
		{"Read by CloseRead", read, func(own, _ tcpLike) { own.CloseRead() }, io.EOF},
		{"Read by peer's Close", read, func(_, peer tcpLike) { peer.Close() }, io.EOF},
		{"Read by peer's CloseWrite", read, func(_, peer tcpLike) { peer.CloseWrite() }, io.EOF},
		{"Read by peer's reset", read, func(_, peer tcpLike) { peer.SetLinger(0); peer.Close() }, syscall.ECONNRESET},
		{"Read by bytes", read, func(_, peer tcpLike) { peer.Write([]byte("x")) }, nil},
		{"Write by Close", write, func(own, _ tcpLike) { own.Close() }, net.ErrClosed},
		{"Write by CloseWrite", write, func(own, _ tcpLike) { own.CloseWrite() }, io.ErrClosedPipe},
		{"Write by peer's Close", write, func(_, peer tcpLike) { peer.Close() }, io.ErrClosedPipe},
		{"Write by peer's reset", write, func(_, peer tcpLike) { peer.SetLinger(0); peer.Close() }, syscall.ECONNRESET},
		{"Write by peer's CloseRead", write, func(_, peer tcpLike) { peer.CloseRead() }, io.ErrClosedPipe},
		{"Write by room", write, func(_, peer tcpLike) { io.ReadFull(peer, make([]byte, 3*size)) }, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := pair(t, size)
				full(t, a, size)
				done := make(chan error, 1)
				go func() { done <- test.op(a) }()
				time.Sleep(time.Hour)
				select {
				case err := <-done:
					t.Fatalf("did not wait: err = %v", err)
				default:
				}
				test.do(a, b)
				if err := <-done; !errors.Is(err, test.want) {
					t.Errorf("err = %v, want %v", err, test.want)
				}
			})
		})
	}
}

// An end can be closed while the other one half of the connection is in use.
func TestHalfClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, 0)
		go func() {
			question, err := io.ReadAll(b)
			if err != nil {
				t.Errorf("ReadAll() = %v, want nil", err)
			}
			b.Write(append([]byte("re: "), question...))
			b.Close()
		}()
		a.Write([]byte("question"))
		a.CloseWrite()
		if got, err := io.ReadAll(a); string(got) != "re: question" || err != nil {
			t.Errorf("ReadAll() = %q, %v, want %q, nil", got, err, "re: question")
		}
	})
}

func TestMethodsAfterClose(t *testing.T) {
	a, _ := pair(t, 0)
	a.Close()
	calls := map[string]error{
		"Close":            a.Close(),
		"CloseRead":        a.CloseRead(),
		"CloseWrite":       a.CloseWrite(),
		"SetLinger":        a.SetLinger(0),
		"SetDeadline":      a.SetDeadline(time.Now()),
		"SetReadDeadline":  a.SetReadDeadline(time.Now()),
		"SetWriteDeadline": a.SetWriteDeadline(time.Now()),
	}
	for name, err := range calls {
		if name == "Close" {
			if err != nil {
				t.Errorf("second Close() = %v, want nil", err)
			}
			continue
		}
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s after Close: err = %v, want %v", name, err, net.ErrClosed)
		}
		if _, ok := errors.AsType[*net.OpError](err); !ok {
			t.Errorf("%s after Close: err is a %T, want *net.OpError", name, err)
		}
	}
}

// The peer of a closed end can still move its deadlines and read.
func TestPeerAfterClose(t *testing.T) {
	a, b := pair(t, 0)
	a.Write([]byte("last"))
	a.Close()
	if err := b.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Errorf("SetDeadline() = %v, want nil", err)
	}
	if got, err := io.ReadAll(b); string(got) != "last" || err != nil {
		t.Errorf("ReadAll() = %q, %v, want %q, nil", got, err, "last")
	}
}
