package transport_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

const linger = 3 * time.Second

func withLinger(o *transport.Options) { o.Linger = linger }

func TestStreamClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := newStream(t, withLinger)
		var reason error
		c.OnEnd(func(err error) { reason = err })
		var receiver sync.WaitGroup
		receiver.Go(func() { checkRecvErr(t, c, transport.ErrClosed) })
		for _, m := range []string{"one", "two", "three"} {
			if err := c.Send(t.Context(), line(m)); err != nil {
				t.Errorf("Send = %v, want nil", err)
			}
		}
		synctest.Wait() // somebody is in Recv
		background(t, func() {
			if got, want := readAll(t, peer), "one\ntwo\nthree\nbye\n"; got != want {
				t.Errorf("the peer got %q, want %q", got, want)
			}
			time.Sleep(time.Second)
			peer.Close()
		})
		start := time.Now()
		if err := c.Close(); err != nil {
			t.Errorf("Close = %v, want nil", err)
		}
		checkTook(t, "Close with a peer that closes after 1 s", start, time.Second)
		receiver.Wait()
		if !errors.Is(reason, transport.ErrClosed) {
			t.Errorf("OnEnd was told %v, want %v", reason, transport.ErrClosed)
		}
		checkErr(t, "Send after Close", c.Send(t.Context(), line("x")), transport.ErrClosed, true)
		checkRecvErr(t, c, transport.ErrClosed)
		if err := c.Close(); err != nil {
			t.Errorf("second Close = %v, want nil", err)
		}
	})
}

func TestStreamCloseIsBounded(t *testing.T) {
	tests := []struct {
		name string
		peer func(net.Conn)
		want time.Duration
	}{
		{"a peer that reads and stays", func(nc net.Conn) { _, _ = io.Copy(io.Discard, nc) }, linger},
		{"a peer that does nothing", func(net.Conn) {}, linger},
		{"a peer that never stops talking", func(nc net.Conn) {
			for {
				if _, err := io.WriteString(nc, "late\n"); err != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		}, linger},
		{"a peer that is gone", func(nc net.Conn) { nc.Close() }, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, peer := newStream(t, withLinger)
				for range 100 { // more than fits
					_ = c.Send(ended(t), line(strings.Repeat("x", 999)))
				}
				background(t, func() { tt.peer(peer) })
				synctest.Wait()
				start := time.Now()
				c.Close()
				checkTook(t, "Close", start, tt.want)
			})
		})
	}
}

func TestStreamCloseTLSIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _, _ := tlsPipe(t, 16<<10)
		c := newLineConn(client, settings(withLinger))
		// One record that leaves no room in the pipe for what TLS says last.
		if err := c.Write(t.Context(), "send", 16<<10, text(strings.Repeat("x", 16<<10-22))); err != nil {
			t.Errorf("Write = %v, want nil", err)
		}
		synctest.Wait()
		start := time.Now()
		_ = c.Stream.Close(nil)
		checkTook(t, "Close", start, linger)
	})
}

func TestStreamCloseFreesBlockedSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := mem.PipeSize(10)
		defer b.Close()
		c := newLineConn(a, settings(func(o *transport.Options) { o.Linger, o.SendBuffer = linger, 10 }))
		for range 2 {
			_ = c.Send(ended(t), line("123456789"))
		}
		blocked := make(chan error)
		for range 3 {
			go func() { blocked <- c.Send(t.Context(), line("123456789")) }()
		}
		synctest.Wait()
		start := time.Now()
		go c.Close()
		for range 3 {
			checkErr(t, "Send that waits for room", <-blocked, transport.ErrClosed, true)
		}
		<-c.Ending()
		checkTook(t, "freeing the senders", start, 0)
		time.Sleep(linger)
	})
}

func TestStreamCloseFromEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newStream(t, withLinger)
		start := time.Now()
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if err := c.Close(); err != nil {
					t.Errorf("Close = %v, want nil", err)
				}
				checkTook(t, "Close", start, linger)
				if c.Err() == nil {
					t.Error("Close returned before the stream had ended")
				}
			})
		}
		wg.Wait()
	})
}

// A failure makes Close stop waiting.
func TestStreamFailWhileClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newStream(t, withLinger)
		start := time.Now()
		time.AfterFunc(time.Second, func() { c.Fail(errEnd) })
		c.Close()
		checkTook(t, "Close of a stream that fails after 1 s", start, time.Second)
		if err := c.Err(); !errors.Is(err, errEnd) {
			t.Errorf("Err = %v, want %v", err, errEnd)
		}
	})
}

// refuser is a wire that aborts when it reads the message "bad".
func refuser(c *lineConn) func() (*transport.Message, error) {
	return func() (*transport.Message, error) {
		m, err := c.next()
		if err == nil && string(m.Body) == "bad" {
			err = transport.WithReason(transport.ErrProtocol, "bad message")
			c.Abort(err, text("refused\n"))
		}
		return m, err
	}
}

func TestStreamAbort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := newStream(t, withLinger)
		told := 0
		c.OnEnd(func(err error) {
			if told++; !errors.Is(err, transport.ErrProtocol) {
				t.Errorf("OnEnd was told %v, want %v", err, transport.ErrProtocol)
			}
		})
		say(t, peer, "good\nbad\nmore")
		_ = c.Send(t.Context(), line("answer"))
		start := time.Now()
		closed := make(chan struct{})
		go func() {
			<-c.Ending()
			c.Close() // waits for the Abort under way
			close(closed)
		}()
		if m, err := c.Receive(t.Context(), refuser(c)); err != nil || string(m.Body) != "good" {
			t.Errorf("Receive = %v, %v, want good", m, err)
		}
		if _, err := c.Receive(t.Context(), refuser(c)); !errors.Is(err, transport.ErrProtocol) {
			t.Errorf("Receive = %v, want %v", err, transport.ErrProtocol)
		}
		checkTook(t, "Receive with an Abort", start, linger)
		<-closed
		checkTook(t, "Close", start, linger)
		if got, want := readAll(t, peer), "answer\nrefused\n"; got != want {
			t.Errorf("the peer got %q, want %q", got, want)
		}
		if told != 1 {
			t.Errorf("OnEnd was told %d times, want once", told)
		}
	})
}

// Who aborts what is closing, or was aborted, has nothing to say.
func TestStreamAbortTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := newStream(t, withLinger)
		_, err := c.Receive(t.Context(), func() (*transport.Message, error) {
			c.Abort(errEnd, text("first\n"))
			c.Abort(transport.ErrProtocol, text("second\n"))
			return nil, transport.ErrProtocol
		})
		if !errors.Is(err, errEnd) {
			t.Errorf("Receive = %v, want %v", err, errEnd)
		}
		if got, want := readAll(t, peer), "first\n"; got != want {
			t.Errorf("the peer got %q, want %q", got, want)
		}
	})
}

// A connection that cannot be half-closed gets the goodbye nevertheless.
func TestStreamCloseWithoutHalfClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		c := newLineConn(near, settings(withLinger))
		background(t, func() {
			if got, want := readN(t, far, 4), "bye\n"; got != want {
				t.Errorf("the peer got %q, want %q", got, want)
			}
			time.Sleep(time.Second)
			far.Close()
		})
		start := time.Now()
		c.Close()
		checkTook(t, "Close", start, time.Second)
	})
}

// Closing while the peer is still sending must not reset the connection, or
// the peer would lose what we said last.
func TestStreamCloseDoesNotReset(t *testing.T) {
	goodbyes := map[string]func(*testing.T, *lineConn){
		"Close": func(_ *testing.T, c *lineConn) { c.Close() },
		"Abort": func(t *testing.T, c *lineConn) {
			t.Helper()
			_, err := c.Receive(t.Context(), func() (*transport.Message, error) {
				c.Abort(errEnd, text("bye\n"))
				return nil, errEnd
			})
			if !errors.Is(err, errEnd) {
				t.Errorf("Receive = %v, want %v", err, errEnd)
			}
		},
	}
	for name, goodbye := range goodbyes {
		t.Run(name, func(t *testing.T) {
			near, far := tcpPair(t)
			c := newLineConn(near, settings(func(o *transport.Options) { o.Linger = 30 * time.Second }))
			say(t, far, strings.Repeat("unread\n", 1000))
			var wg sync.WaitGroup
			wg.Go(func() { goodbye(t, c) })
			for range 100 {
				say(t, far, "late\n") // a reset would make it fail, or the read below
			}
			if got, want := readAll(t, far), "bye\n"; got != want {
				t.Errorf("the peer got %q, want %q", got, want)
			}
			far.Close()
			wg.Wait()
		})
	}
}

func TestStreamFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := mem.PipeSize(10)
		c := newLineConn(a, settings(withLinger))
		defer c.Close()
		defer b.Close()
		_ = c.Send(t.Context(), line("more than 10 bytes"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Flush = %v, want %v", err, context.DeadlineExceeded)
		}
		go func() { _, _ = io.Copy(io.Discard, b) }()
		if err := c.Flush(t.Context()); err != nil {
			t.Errorf("Flush = %v, want nil", err)
		}
	})
}
