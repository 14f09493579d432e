package transport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/faultconn"
	"github.com/polyport/polyport/transport/mem"
)

// newStream returns a lineConn and the other end of its byte stream.
func newStream(t *testing.T, f func(*transport.Options)) (*lineConn, net.Conn) {
	t.Helper()
	a, b := mem.Pipe()
	c := newLineConn(a, settings(f))
	t.Cleanup(func() {
		b.Close()
		c.Close()
	})
	return c, b
}

// say writes to the other end of a stream.
func say(t *testing.T, nc io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(nc, s); err != nil {
		t.Errorf("Write(%q) = %v, want nil", s, err)
	}
}

// checkRecv expects a message.
func checkRecv(t *testing.T, c transport.Conn, want string) {
	t.Helper()
	m, err := c.Recv(t.Context())
	if err != nil {
		t.Errorf("Recv = %v, want %q", err, want)
		return
	}
	if got := string(m.Body); got != want {
		t.Errorf("Recv = %q, want %q", got, want)
	}
}

// checkRecvErr expects that Recv fails.
func checkRecvErr(t *testing.T, c transport.Conn, want error) error {
	t.Helper()
	m, err := c.Recv(t.Context())
	if !errors.Is(err, want) {
		t.Errorf("Recv = %v, %v, want %v", m, err, want)
	}
	return err
}

func TestStreamReceiveInterruptedAtEveryByte(t *testing.T) {
	const message = "a message of some length"
	synctest.Test(t, func(t *testing.T) {
		c, peer := newStream(t, nil)
		mine := errors.New("mine")
		for i := range len(message) {
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, mine)
			start := time.Now()
			say(t, peer, message[i:i+1])
			if _, err := c.Recv(ctx); !errors.Is(err, mine) {
				t.Errorf("Recv after %d bytes = %v, want the cause of its ctx", i+1, err)
			}
			checkTook(t, "Recv", start, time.Second)
			cancel()
		}
		say(t, peer, "\nnext\n")
		checkRecv(t, c, message)
		checkRecv(t, c, "next")
	})
}

func TestStreamReceiveWithEndedContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := newStream(t, nil)
		const messages = 100
		say(t, peer, strings.Repeat("message\n", messages))
		got := 0
		for tries := 0; got < messages && tries < 100*messages; tries++ {
			m, err := c.Recv(ended(t))
			switch {
			case err == nil && string(m.Body) == "message":
				got++
			case !errors.Is(err, context.Canceled):
				t.Fatalf("Recv(ended) = %v, %v, want a message or %v", m, err, context.Canceled)
			}
		}
		for range messages - got {
			checkRecv(t, c, "message")
		}
		if _, err := c.Recv(ended(t)); !errors.Is(err, context.Canceled) {
			t.Errorf("Recv(ended) of nothing = %v, want %v", err, context.Canceled)
		}
	})
}

// Interruptions at chance moments, on a connection that is slow and jittery.
func TestStreamReceiveLosesNothing(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			a, b := mem.Pipe()
			s := faultconn.Random(seed, faultconn.Slice, faultconn.Jitter, faultconn.Bandwidth)
			c := newLineConn(faultconn.Wrap(a, s), settings(func(o *transport.Options) { o.FrameTimeout = time.Hour }))
			defer b.Close()
			defer c.Close()
			go func() {
				for i := range 20 {
					fmt.Fprintf(b, "%d%s\n", i, strings.Repeat(".", 7*i))
				}
			}()
			for i := 0; i < 20; {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+i)*time.Millisecond)
				m, err := c.Recv(ctx)
				cancel()
				if err != nil {
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Fatalf("Recv = %v, want a message (faults: %v)", err, s)
					}
					continue
				}
				if got, want := string(m.Body), fmt.Sprintf("%d%s", i, strings.Repeat(".", 7*i)); got != want {
					t.Fatalf("Recv = %q, want %q (faults: %v)", got, want, s)
				}
				i++
			}
		})
	}
}

func TestStreamReceiveOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := newStream(t, nil)
		var inside, most, got atomic.Int32
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				_, err := c.Receive(t.Context(), func() (*transport.Message, error) {
					most.Store(max(most.Load(), inside.Add(1)))
					defer inside.Add(-1)
					return c.next()
				})
				if err == nil {
					got.Add(1)
				}
			})
		}
		synctest.Wait()
		say(t, peer, strings.Repeat("message\n", 10))
		wg.Wait()
		if most.Load() != 1 || got.Load() != 10 {
			t.Errorf("%d at a time got %d messages, want 1 at a time and 10", most.Load(), got.Load())
		}
	})
}

func TestStreamFailMapsErrors(t *testing.T) {
	wire := transport.WithReason(transport.ErrProtocol, "no such frame")
	tests := []struct {
		err, want error
	}{
		{io.EOF, transport.ErrClosed},
		{io.ErrUnexpectedEOF, transport.ErrClosed},
		{io.ErrClosedPipe, transport.ErrClosed},
		{net.ErrClosed, transport.ErrClosed},
		{syscall.ECONNRESET, transport.ErrClosed},
		{syscall.EPIPE, transport.ErrClosed},
		{syscall.ECONNABORTED, transport.ErrClosed},
		{syscall.ETIMEDOUT, transport.ErrClosed},
		{syscall.EHOSTUNREACH, transport.ErrClosed},
		{wire, wire},
		{transport.ErrHeartbeat, transport.ErrHeartbeat},
		{transport.ErrStalled, transport.ErrStalled},
		{transport.ErrClosed, transport.ErrClosed},
	}
	for _, tt := range tests {
		for _, err := range []error{tt.err, &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", tt.err)}} {
			if _, wrapped := errors.AsType[*net.OpError](err); wrapped && errors.Is(tt.want, tt.err) {
				continue // ours do not come from a net.Conn
			}
			c, _ := newStream(t, nil)
			c.Fail(err)
			if got := c.Err(); !errors.Is(got, tt.want) {
				t.Errorf("Fail(%v): Err = %v, want %v", err, got, tt.want)
			}
			checkRecvErr(t, c, tt.want)
			checkErr(t, "Send", c.Send(t.Context(), line("x")), tt.want, true)
		}
	}
}

func TestStreamFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := newStream(t, func(o *transport.Options) { o.SendBuffer = 10 })
		var wg sync.WaitGroup
		wg.Go(func() { checkRecvErr(t, c, errEnd) })
		wg.Go(func() {
			for range 10_000 { // more than the pipe holds
				if err := c.Send(t.Context(), line("123456789")); err != nil {
					checkErr(t, "Send", err, errEnd, true)
					return
				}
			}
			t.Error("Send never failed")
		})
		synctest.Wait()
		start := time.Now()
		c.Fail(errEnd)
		c.Fail(transport.ErrProtocol)
		wg.Wait()
		if err := c.Flush(t.Context()); !errors.Is(err, errEnd) {
			t.Errorf("Flush = %v, want %v", err, errEnd)
		}
		if err := c.Control("settle", text("x")); !errors.Is(err, errEnd) {
			t.Errorf("Control = %v, want %v", err, errEnd)
		}
		c.Close()
		checkTook(t, "Fail and Close", start, 0)
		if got := readAll(t, peer); strings.Contains(got, "bye") {
			t.Errorf("the peer got a goodbye from a stream that failed")
		}
	})
}

func TestStreamOnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newStream(t, nil)
		calls := make(map[string][]error)
		note := func(name string) func(error) {
			return func(err error) { calls[name] = append(calls[name], err) }
		}
		c.OnEnd(note("first"))
		c.OnEnd(note("second"))
		select {
		case <-c.Ending():
			t.Error("Ending is closed at the start")
		default:
		}
		c.Fail(errEnd)
		<-c.Ending()
		c.OnEnd(note("late"))
		c.Fail(transport.ErrClosed)
		c.Close()
		for _, name := range []string{"first", "second", "late"} {
			if got := calls[name]; len(got) != 1 || !errors.Is(got[0], errEnd) {
				t.Errorf("the %s function was told %v, want once %v", name, got, errEnd)
			}
		}
	})
}

func TestStreamControlOfAPeerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := mem.PipeSize(10)
		defer b.Close()
		c := newLineConn(a, settings(func(o *transport.Options) { o.SendBuffer = 100 }))
		defer c.Close()
		var err error
		n := 0
		start := time.Now()
		for ; err == nil && n < 1000; n++ {
			err = c.Control("receive", text("0123456789"))
		}
		checkErr(t, "Control", err, transport.ErrStalled, true)
		checkRecvErr(t, c, transport.ErrStalled)
		checkTook(t, "giving up", start, 0)
		if n < 20 || n > 50 { // twice the buffer, and what is being written
			t.Errorf("%d frames of 10 bytes were taken, want 20 to 50", n)
		}
	})
}

// TLS would spend up to 5 s on a goodbye.
func TestStreamFailTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _, _ := tlsPipe(t, 16<<10)
		c := newLineConn(client, settings(nil))
		// One record that leaves no room in the pipe for what TLS says last.
		if err := c.Write(t.Context(), "send", 16<<10, text(strings.Repeat("x", 16<<10-22))); err != nil {
			t.Errorf("Write = %v, want nil", err)
		}
		synctest.Wait()
		start := time.Now()
		c.Fail(errEnd)
		checkTook(t, "Fail", start, 0)
	})
}

// A stream that is over must not be kept by its timers.
func TestStreamIsCollected(t *testing.T) {
	ends := map[string]func(*transport.Stream){
		"failed": func(s *transport.Stream) {
			s.StartHeartbeat(time.Hour, time.Hour, []byte("\n"))
			s.MidFrame()
			s.Fail(errEnd)
		},
		"closed": func(s *transport.Stream) {
			s.StartHeartbeat(time.Hour, time.Hour, []byte("\n"))
			_ = s.Close(nil)
		},
		"failed before the heart-beat": func(s *transport.Stream) {
			s.Fail(errEnd)
			s.StartHeartbeat(time.Hour, time.Hour, []byte("\n"))
		},
		"forgotten": func(*transport.Stream) {},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			old := func() weak.Pointer[transport.Stream] {
				a, b := mem.Pipe()
				b.Close()
				s := transport.NewStream(a, "test", settings(func(o *transport.Options) { o.FrameTimeout = time.Hour }), 4096)
				end(s)
				return weak.Make(s)
			}()
			for range 100 { // a goroutine may be about to end
				if runtime.GC(); old.Value() == nil {
					return
				}
			}
			t.Error("the stream was not collected")
		})
	}
}

func TestStreamErrorsSayWhere(t *testing.T) {
	c, _ := newStream(t, nil)
	c.Fail(transport.ErrHeartbeat)
	err := c.Write(t.Context(), "subscribe", 1, text("x"))
	op, ok := errors.AsType[*transport.OpError](err)
	if !ok || op.Op != "subscribe" || op.Scheme != "line" || op.Addr != c.RemoteAddr().String() {
		t.Errorf("Write = %#v, want an OpError with op, scheme and address", err)
	}
	if got, want := err.Error(), "subscribe line://pipe:b: transport: no sign of life from the peer"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
}

// Part of a message may have left when a write fails.
func TestStreamWriteErrorMaybeSent(t *testing.T) {
	tests := []struct {
		name    string
		at      int64 // the byte in front of which the connection is cut
		notSent bool
	}{
		{"at once", 0, true},
		{"in the middle", 3, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := mem.Pipe()
				defer b.Close()
				cut := &faultconn.Schedule{Rules: []faultconn.Rule{{Dir: faultconn.Write, Unit: faultconn.Byte, At: tt.at, Kind: faultconn.Cut}}}
				c := newLineConn(faultconn.Wrap(a, cut), settings(nil))
				defer c.Close()
				checkErr(t, "Send", c.Send(t.Context(), line("message")), transport.ErrClosed, tt.notSent)
				checkErr(t, "the next Send", c.Send(t.Context(), line("message")), transport.ErrClosed, true)
			})
		})
	}
}

func TestStreamAddresses(t *testing.T) {
	c, peer := newStream(t, nil)
	if got, want := c.LocalAddr(), peer.RemoteAddr(); got != want {
		t.Errorf("LocalAddr = %v, want %v", got, want)
	}
	if got, want := c.RemoteAddr(), peer.LocalAddr(); got != want {
		t.Errorf("RemoteAddr = %v, want %v", got, want)
	}
}
