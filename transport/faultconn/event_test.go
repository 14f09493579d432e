package faultconn_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport/faultconn"
	"github.com/polyport/polyport/transport/mem"
)

// What both ends see when the connection ends in the middle of a message: the
// wrapped end has sent "request" and the peer "answer".
func TestEndings(t *testing.T) {
	tests := []struct {
		schedule            string
		sent                int   // bytes that the Write claims
		writeErr            error // of that Write
		read                string
		readErr             error
		peerRead            string
		peerReadErr         error
		peerWriteErr        error
		fired               faultconn.Kind
		peerWritesBeforeEnd bool
	}{
		{
			schedule: "write byte 3 cut", fired: faultconn.Cut,
			sent: 3, writeErr: syscall.EPIPE, readErr: io.EOF,
			peerRead: "req", peerReadErr: io.EOF, peerWriteErr: syscall.EPIPE,
		},
		{
			schedule: "read byte 3 cut", fired: faultconn.Cut,
			sent: 7, read: "ans", readErr: io.EOF,
			peerRead: "request", peerReadErr: io.EOF, peerWriteErr: syscall.EPIPE,
		},
		{
			schedule: "write byte 3 reset", fired: faultconn.Reset,
			sent: 3, writeErr: syscall.ECONNRESET, readErr: syscall.ECONNRESET,
			peerRead: "req", peerReadErr: syscall.ECONNRESET, peerWriteErr: syscall.ECONNRESET,
		},
		{
			schedule: "read byte 3 reset", fired: faultconn.Reset,
			sent: 7, read: "ans", readErr: syscall.ECONNRESET,
			peerRead: "request", peerReadErr: syscall.ECONNRESET, peerWriteErr: syscall.ECONNRESET,
		},
		{
			schedule: "write byte 3 halfclose", fired: faultconn.HalfClose,
			sent: 3, writeErr: syscall.EPIPE, read: "answer",
			peerRead: "req", peerReadErr: io.EOF,
		},
		{
			schedule: "read byte 3 halfclose", fired: faultconn.HalfClose,
			sent: 7, read: "ans", readErr: io.EOF,
			peerRead: "request",
		},
		{
			schedule: "write op 0 cut", fired: faultconn.Cut,
			writeErr: io.ErrClosedPipe, readErr: io.EOF,
			peerReadErr: io.EOF, peerWriteErr: syscall.EPIPE,
		},
	}
	for _, test := range tests {
		t.Run(test.schedule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, peer := wrap(t, test.schedule)
				io.WriteString(peer, "answer")
				n, err := io.WriteString(c, "request")
				if n != test.sent {
					t.Errorf("Write() = %d, want %d", n, test.sent)
				}
				wantErr(t, "Write", err, test.writeErr)
				checkRead(t, "own", c, test.read, test.readErr)
				checkRead(t, "peer's", peer, test.peerRead, test.peerReadErr)
				_, err = io.WriteString(peer, "more")
				wantErr(t, "peer's Write", err, test.peerWriteErr)
				if test.writeErr != nil {
					_, err := io.WriteString(c, "again")
					wantErr(t, "second Write", err, test.writeErr)
					wantErr(t, "second Write", err, faultconn.ErrInjected)
				}
				wantFired(t, c, test.fired)
			})
		})
	}
}

// checkRead reads what is there and then checks how the stream goes on; a nil
// error means that nothing more comes for an hour.
func checkRead(t *testing.T, whose string, c net.Conn, want string, wantEnd error) {
	t.Helper()
	buf := make([]byte, len(want))
	if n, err := io.ReadFull(c, buf); string(buf) != want {
		t.Errorf("%s Read() = %q, %v, want %q", whose, buf[:n], err, want)
	}
	start := time.Now()
	c.SetReadDeadline(start.Add(time.Hour))
	n, err := c.Read(make([]byte, 8))
	if wantEnd == nil {
		if n != 0 || !timedOut(err) || time.Since(start) != time.Hour {
			t.Errorf("%s Read() = %d, %v after %v, want a timeout after 1h", whose, n, err, time.Since(start))
		}
		return
	}
	if n != 0 || !errors.Is(err, wantEnd) || isBare(wantEnd) && !isBare(err) {
		t.Errorf("%s Read() = %d, %v, want 0, %v", whose, n, err, wantEnd)
	}
}

// An event of unit Time needs no traffic: it gets at operations that wait.
func TestTimedEvents(t *testing.T) {
	tests := []struct {
		kind              string
		readErr, writeErr error // nil: a timeout
		peerErr           error
	}{
		{"cut", io.EOF, syscall.EPIPE, io.EOF},
		{"reset", syscall.ECONNRESET, syscall.ECONNRESET, syscall.ECONNRESET},
		{"blackhole", nil, nil, nil},
		{"halfclose", nil, syscall.EPIPE, io.EOF},
		{"stall", nil, nil, nil},
	}
	for _, test := range tests {
		t.Run(test.kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := mem.PipeSize(16)
				c := faultconn.Wrap(near, parse(t, "write time 5s "+test.kind))
				defer func() { c.Close(); near.Close(); far.Close() }()
				start := time.Now()
				c.SetDeadline(start.Add(time.Minute))
				read, write := make(chan error), make(chan error)
				go func() {
					_, err := c.Read(make([]byte, 1))
					read <- err
				}()
				go func() {
					_, err := c.Write(make([]byte, 17))
					write <- err
				}()
				check := func(what string, err, want error) {
					t.Helper()
					after := 5 * time.Second
					if want == nil {
						after = time.Minute
					}
					if d := time.Since(start); d != after {
						t.Errorf("%s came back after %v, want %v", what, d, after)
					}
					if want == nil && !timedOut(err) || want != nil && !errors.Is(err, want) {
						t.Errorf("%s: err = %v, want %v (nil: a timeout)", what, err, want)
					}
				}
				// Whichever is first; the other one must be as late as it should.
				for range 2 {
					select {
					case err := <-read:
						check("Read", err, test.readErr)
					case err := <-write:
						// A half close finds 16 bytes of the Write in the pipe
						// and none of the rest.
						check("Write", err, test.writeErr)
					}
				}
				if got := c.Fired(); len(got) != 1 {
					t.Errorf("Fired() = %v, want %s", got, test.kind)
				}
				if test.peerErr != nil {
					io.ReadFull(far, make([]byte, 16))
					_, err := far.Read(make([]byte, 1))
					wantErr(t, "peer's Read", err, test.peerErr)
				}
			})
		})
	}
}

func TestBlackHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := wrap(t, "write byte 3 blackhole")
		io.WriteString(peer, "too late")
		for range 100 {
			if n, err := c.Write(make([]byte, 10_000)); n != 10_000 || err != nil {
				t.Fatalf("Write() = %d, %v, want 10000, nil", n, err)
			}
		}
		wantFired(t, c, faultconn.BlackHole)
		checkRead(t, "own", c, "", nil)
		checkRead(t, "peer's", peer, "\x00\x00\x00", nil)
		if _, err := io.WriteString(peer, "hello?"); err != nil {
			t.Errorf("peer's Write = %v, want nil", err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Errorf("CloseWrite() = %v, want nil", err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("Close() = %v, want nil", err)
		}
		checkRead(t, "peer's", peer, "", nil) // no FIN
		_, err := c.Write([]byte("x"))
		wantErr(t, "Write after Close", err, net.ErrClosed)
		c.NetConn().Close()
		peer.SetReadDeadline(time.Time{})
		if _, err := peer.Read(make([]byte, 1)); !isBare(err) {
			t.Errorf("peer's Read once NetConn was closed = %v, want %v", err, io.EOF)
		}
	})
}

// A black hole with a send buffer fills up.
func TestBlackHoleFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := wrap(t, "write byte 0 blackhole 100")
		if n, err := c.Write(make([]byte, 60)); n != 60 || err != nil {
			t.Errorf("Write(60) = %d, %v, want 60, nil", n, err)
		}
		start := time.Now()
		c.SetWriteDeadline(start.Add(30 * time.Second))
		n, err := c.Write(make([]byte, 60))
		if n != 40 || !timedOut(err) || time.Since(start) != 30*time.Second {
			t.Errorf("Write(60) = %d, %v after %v, want 40, a timeout after 30s", n, err, time.Since(start))
		}
	})
}

// Bytes that were under way when the hole opened still come out.
func TestBlackHoleBehindLateBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := wrap(t, "write byte 0 latency 1s; write byte 3 blackhole")
		io.WriteString(c, "abcdef")
		c.Close()
		checkRead(t, "peer's", peer, "abc", nil)
	})
}

// A stalled reader closes the peer's window: 64 KiB fit into the pipe.
func TestReaderStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := wrap(t, "read byte 0 stall 30s")
		var reader sync.WaitGroup
		defer reader.Wait()
		reader.Go(func() {
			if n, err := io.ReadFull(c, make([]byte, 100_000)); err != nil {
				t.Errorf("ReadFull() = %d, %v, want 100000, nil", n, err)
			}
		})
		start := time.Now()
		if n, err := peer.Write(make([]byte, 100_000)); n != 100_000 || err != nil {
			t.Errorf("peer's Write() = %d, %v, want 100000, nil", n, err)
		}
		if d := time.Since(start); d != 30*time.Second {
			t.Errorf("peer's Write() took %v, want 30s", d)
		}
		wantFired(t, c, faultconn.Stall)
	})
}

// The window of a stalled writer is closed: 64 KiB more go into its buffer.
func TestWriterStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := wrap(t, "write byte 5 stall")
		c.SetWriteDeadline(time.Now().Add(time.Hour))
		n, err := c.Write(make([]byte, 100_000))
		if want := 5 + 64<<10; n != want || !timedOut(err) {
			t.Errorf("Write() = %d, %v, want %d, a timeout", n, err, want)
		}
		checkRead(t, "peer's", peer, "\x00\x00\x00\x00\x00", nil)
		// The bytes that are stalled for ever are not waited for.
		c.Close()
		checkRead(t, "peer's", peer, "", io.EOF)
	})
}

// A fault that the inner connection cannot express neither happens nor counts.
func TestUnsupported(t *testing.T) {
	for _, kind := range []string{"reset", "halfclose"} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe() // has neither SetLinger nor CloseWrite
			c := faultconn.Wrap(near, parse(t, "write byte 2 "+kind))
			defer far.Close()
			defer c.Close()
			go c.Write([]byte("whole"))
			buf := make([]byte, 5)
			if _, err := io.ReadFull(far, buf); string(buf) != "whole" {
				t.Errorf("%s: peer's Read = %q, %v, want %q", kind, buf, err, "whole")
			}
			wantFired(t, c)
			wantErr(t, "CloseWrite", c.CloseWrite(), errors.ErrUnsupported)
			wantErr(t, "SetLinger", c.SetLinger(0), errors.ErrUnsupported)
		})
	}
}

// Only what happens first counts.
func TestEventsAfterTheEnd(t *testing.T) {
	for _, first := range []string{"cut", "reset", "blackhole"} {
		for _, second := range []string{"cut", "reset", "blackhole", "halfclose", "stall"} {
			synctest.Test(t, func(t *testing.T) {
				c, _ := wrap(t, fmt.Sprintf("write byte 2 %s; write byte 2 %s; read time 1s %s", first, second, second))
				io.WriteString(c, "abcd")
				io.WriteString(c, "abcd")
				time.Sleep(time.Minute)
				if got := c.Fired(); len(got) != 1 {
					t.Errorf("%s, then %s: Fired() = %v, want only the first", first, second, got)
				}
			})
		}
	}
}

// Close gets at a Write that met the peer's full window before everything
// went black.
func TestBlackHoleClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := mem.PipeSize(16)
		defer far.Close()
		defer near.Close()
		c := faultconn.Wrap(near, parse(t, "read time 1s blackhole"))
		time.AfterFunc(time.Minute, func() { c.Close() })
		start := time.Now()
		n, err := c.Write(make([]byte, 17))
		wantErr(t, "Write", err, net.ErrClosed)
		if d := time.Since(start); n != 16 || d != time.Minute {
			t.Errorf("Write() = %d after %v, want 16 after 1m", n, d)
		}
	})
}
