package transport_test

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport"
)

var errEnd = errors.New("the end")

// checkEnded expects that w takes nothing more.
func checkEnded(t *testing.T, w *transport.Writer, want error) {
	t.Helper()
	if err := w.Append(t.Context(), 1, text("late")); !errors.Is(err, want) {
		t.Errorf("Append after the end = %v, want %v", err, want)
	}
	if err := w.Control(text("late")); !errors.Is(err, want) {
		t.Errorf("Control after the end = %v, want %v", err, want)
	}
}

// waiter starts an Append that finds no room.
func waiter(t *testing.T, w *transport.Writer) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- w.Append(t.Context(), 10, text("waiter")) }()
	synctest.Wait()
	select {
	case err := <-done:
		t.Errorf("Append without room = %v, want it to wait", err)
	default:
	}
	return done
}

func TestWriterSeal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, gate := gated()
		w := newWriter(t, c, 10)
		put(t, w, "12345", "67890")
		first, second := waiter(t, w), waiter(t, w)
		start := time.Now()
		w.Seal(errEnd, text(" bye"))
		for _, done := range []<-chan error{first, second} {
			if err := <-done; !errors.Is(err, errEnd) {
				t.Errorf("Append that waited for room = %v, want %v", err, errEnd)
			}
		}
		checkTook(t, "Seal with a full buffer", start, 0)
		checkEnded(t, w, errEnd)
		w.Seal(transport.ErrClosed, text(" again"))
		checkEnded(t, w, errEnd)
		close(gate)
		if err := w.Flush(t.Context()); err != nil {
			t.Errorf("Flush = %v, want nil", err)
		}
		if got, want := c.written(), "1234567890 bye"; got != want {
			t.Errorf("written %q, want %q", got, want)
		}
	})
}

func TestWriterSealWithoutLastBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, gate := gated()
		w := newWriter(t, c, 10)
		put(t, w, "a")
		w.Seal(errEnd, nil)
		close(gate)
		if err := w.Flush(t.Context()); err != nil {
			t.Errorf("Flush = %v, want nil", err)
		}
		checkEnded(t, w, errEnd)
		if got, want := c.written(), "a"; got != want {
			t.Errorf("written %q, want %q", got, want)
		}
	})
}

func TestWriterStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, gate := gated()
		w := newWriter(t, c, 10)
		put(t, w, "12345") // under way
		put(t, w, "67890") // gathered
		done := waiter(t, w)
		w.Stop(errEnd)
		if err := <-done; !errors.Is(err, errEnd) {
			t.Errorf("Append that waited for room = %v, want %v", err, errEnd)
		}
		w.Stop(transport.ErrClosed)
		w.Seal(transport.ErrClosed, text("bye"))
		checkEnded(t, w, errEnd)
		close(gate)
		synctest.Wait()
		if err := w.Flush(t.Context()); !errors.Is(err, errEnd) {
			t.Errorf("Flush = %v, want %v: bytes were thrown away", err, errEnd)
		}
		if got, want := c.written(), "12345"; got != want {
			t.Errorf("written %q, want %q", got, want)
		}
	})
}

// What a write under way meets with after Stop is nobody's business.
func TestWriterStopBeforeAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &fakeConn{take: func(*fakeConn, []byte) (int, error) {
			time.Sleep(time.Microsecond)
			return 0, syscall.EPIPE
		}}
		w := newWriter(t, c, 10)
		done := make(chan error)
		go func() { done <- w.Append(t.Context(), 5, text("12345")) }()
		synctest.Wait()
		w.Stop(errEnd)
		checkErr(t, "Append", <-done, errEnd, true)
		checkEnded(t, w, errEnd)
	})
}

func TestWriterStopAfterSeal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, gate := gated()
		w := newWriter(t, c, 10)
		put(t, w, "a")
		w.Seal(transport.ErrClosed, text("bye"))
		flushed := make(chan error)
		go func() { flushed <- w.Flush(t.Context()) }()
		synctest.Wait()
		start := time.Now()
		w.Stop(errEnd)
		if err := <-flushed; !errors.Is(err, errEnd) {
			t.Errorf("Flush = %v, want %v", err, errEnd)
		}
		checkTook(t, "Stop freeing Flush", start, 0)
		checkEnded(t, w, errEnd)
		close(gate)
	})
}

// A flusher that starts after Stop finds nothing, and must not take that for a
// success.
func TestWriterStopBeforeTheFlusherRuns(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, func(t *testing.T) {
		c := &fakeConn{}
		w := newWriter(t, c, 10)
		put(t, w, "a", "b") // "b" is left to the flusher
		w.Stop(errEnd)
		synctest.Wait()
		err := w.Flush(t.Context())
		if got := c.written(); (err == nil) != (got == "ab") {
			t.Errorf("Flush = %v with %q written", err, got)
		}
	})
}

func TestWriterError(t *testing.T) {
	tests := []struct {
		name    string
		n       int // bytes that go out before the error
		err     error
		want    error
		notSent bool
	}{
		{"nothing left", 0, syscall.EPIPE, transport.ErrClosed, true},
		{"some left", 3, syscall.EPIPE, transport.ErrClosed, false},
		{"all left", 5, syscall.ECONNRESET, transport.ErrClosed, false},
		{"another error", 0, errEnd, errEnd, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var broke []error
			c := &fakeConn{take: func(*fakeConn, []byte) (int, error) { return tt.n, tt.err }}
			w := transport.NewWriter(c, 10, stall, func(err error) { broke = append(broke, err) })
			checkErr(t, "Append", w.Append(t.Context(), 5, text("12345")), tt.want, tt.notSent)
			if len(broke) != 1 || !errors.Is(broke[0], tt.want) {
				t.Errorf("broke was told %v, want once %v", broke, tt.want)
			}
			checkEnded(t, w, tt.want)
			if err := w.Flush(t.Context()); !errors.Is(err, tt.want) {
				t.Errorf("Flush = %v, want %v", err, tt.want)
			}
			if got := c.count(); got != 1 {
				t.Errorf("Write was called %d times, want 1", got)
			}
		})
	}
}

// The senders of what the flusher writes have long been told nil.
func TestWriterErrorInFlusher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, gate := gated()
		hold := c.take
		c.take = func(c *fakeConn, p []byte) (int, error) {
			n, err := hold(c, p)
			if c.count() > 1 {
				return 0, syscall.EPIPE
			}
			return n, err
		}
		var broke atomic.Int32
		w := transport.NewWriter(c, 10, stall, func(err error) {
			if broke.Add(1); !errors.Is(err, transport.ErrClosed) {
				t.Errorf("broke(%v), want %v", err, transport.ErrClosed)
			}
		})
		put(t, w, "12345")
		put(t, w, "67890")
		done := waiter(t, w)
		close(gate)
		if err := <-done; !errors.Is(err, transport.ErrClosed) {
			t.Errorf("Append that waited for room = %v, want %v", err, transport.ErrClosed)
		}
		synctest.Wait()
		checkEnded(t, w, transport.ErrClosed)
		if got := broke.Load(); got != 1 {
			t.Errorf("broke was called %d times, want once", got)
		}
	})
}

// undated is a net.Conn that takes no deadlines, as one that is closed.
type undated struct{ fakeConn }

func (*undated) SetWriteDeadline(time.Time) error { return net.ErrClosed }

func TestWriterWithoutDeadlines(t *testing.T) {
	c := &undated{}
	w := transport.NewWriter(c, 10, stall, nil)
	checkErr(t, "Append", w.Append(t.Context(), 1, text("x")), transport.ErrClosed, true)
	if n := c.count(); n != 0 {
		t.Errorf("Write was called %d times, want never: nothing bounds it", n)
	}
}

func TestWriterBrokeMayBeNil(t *testing.T) {
	c := &fakeConn{take: func(*fakeConn, []byte) (int, error) { return 0, syscall.EPIPE }}
	w := transport.NewWriter(c, 10, stall, nil)
	checkErr(t, "Append", w.Append(context.Background(), 1, text("x")), transport.ErrClosed, true)
}
