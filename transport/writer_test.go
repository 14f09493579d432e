package transport_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/transport"
)

const stall = 30 * time.Second

// newWriter returns a Writer whose end is an error of the test.
func newWriter(t *testing.T, c *fakeConn, bound int) *transport.Writer {
	t.Helper()
	return transport.NewWriter(c, bound, stall, func(err error) { t.Errorf("broke(%v), want no call", err) })
}

// put appends messages and expects no error.
func put(t *testing.T, w *transport.Writer, messages ...string) {
	t.Helper()
	for _, m := range messages {
		if err := w.Append(t.Context(), len(m), text(m)); err != nil {
			t.Errorf("Append(%q) = %v, want nil", m, err)
		}
	}
}

func TestWriterAfterPauseWritesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &fakeConn{}
		w := newWriter(t, c, 100)
		for i := 1; i <= 10; i++ {
			put(t, w, "x")
			if got := c.count(); got != i { // no synctest.Wait: it has happened
				t.Errorf("after %d Appends Write was called %d times, want %d", i, got, i)
			}
			time.Sleep(time.Millisecond)
		}
	})
}

func TestWriterWithoutPauseLeavesItToFlusher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := slow(500 * time.Microsecond)
		w := newWriter(t, c, 100)
		start := time.Now()
		put(t, w, "1")
		checkTook(t, "Append after a pause", start, 500*time.Microsecond)
		start = time.Now()
		put(t, w, "2", "3", "4")
		checkTook(t, "Append without a pause", start, 0)
		if err := w.Flush(t.Context()); err != nil {
			t.Errorf("Flush = %v, want nil", err)
		}
		checkTook(t, "Flush", start, 500*time.Microsecond)
		if got, want := fmt.Sprintf("%s", c.calls), "[1 234]"; got != want {
			t.Errorf("Writes = %s, want %s", got, want)
		}
	})
}

func TestWriterCoalesces(t *testing.T) {
	const senders, each = 64, 100
	synctest.Test(t, func(t *testing.T) {
		c := slow(100 * time.Microsecond)
		w := newWriter(t, c, 1<<10)
		var wg sync.WaitGroup
		for range senders {
			wg.Go(func() {
				for range each {
					put(t, w, "message ")
				}
			})
		}
		wg.Wait()
		if err := w.Flush(t.Context()); err != nil {
			t.Errorf("Flush = %v, want nil", err)
		}
		if got, want := len(c.written()), senders*each*len("message "); got != want {
			t.Errorf("%d bytes written, want %d", got, want)
		}
		// The bound holds 128 messages, half of them while the other half is written.
		if got, most := c.count(), senders*each/32; got > most {
			t.Errorf("%d messages took %d Writes, want at most %d", senders*each, got, most)
		}
	})
}

func TestWriterHeldUpInlineGoesOnInBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		c := &fakeConn{take: func(c *fakeConn, p []byte) (int, error) {
			if len(p) > 3 && c.count() == 0 {
				return 3, c.hold(release)
			}
			return len(p), c.hold(release)
		}}
		w := newWriter(t, c, 100)
		start := time.Now()
		put(t, w, "abcdefgh")
		checkTook(t, "Append to a peer that does not read", start, time.Millisecond)
		put(t, w, "ijk")
		checkTook(t, "the next Append", start, time.Millisecond)
		time.Sleep(stall / 2)
		close(release)
		if err := w.Flush(t.Context()); err != nil {
			t.Errorf("Flush = %v, want nil", err)
		}
		if got, want := c.written(), "abcdefghijk"; got != want {
			t.Errorf("written %q, want %q", got, want)
		}
	})
}

func TestWriterOrderIsThatOfEncoding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := slow(time.Microsecond)
		w := newWriter(t, c, 64)
		var want strings.Builder // enc runs under the Writer's lock
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				for j := range 20 {
					m := fmt.Sprintf("%d.%d ", i, j)
					_ = w.Append(t.Context(), len(m), func(dst []byte) []byte {
						want.WriteString(m)
						return append(dst, m...)
					})
				}
			})
		}
		wg.Wait()
		if err := w.Flush(t.Context()); err != nil {
			t.Errorf("Flush = %v, want nil", err)
		}
		if diff := cmp.Diff(want.String(), c.written()); diff != "" {
			t.Errorf("written in another order than encoded (-encoded +written):\n%s", diff)
		}
	})
}

func TestWriterMessageWithoutBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := slow(500 * time.Microsecond)
		w := newWriter(t, c, 10)
		go put(t, w, "x")
		time.Sleep(time.Microsecond)
		_ = w.Append(t.Context(), 9, text("")) // while the first is written
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := w.Flush(ctx); err != nil {
			t.Errorf("Flush = %v, want nil", err)
		}
		if err := w.Append(ended(t), 10, text("0123456789")); err != nil {
			t.Errorf("Append = %v, want nil: its room was not given back", err)
		}
		time.Sleep(time.Millisecond)
	})
}

func TestWriterFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, gate := gated()
		w := newWriter(t, c, 100)
		if err := w.Flush(ended(t)); err != nil {
			t.Errorf("Flush of nothing = %v, want nil", err)
		}
		put(t, w, "a")
		if err := w.Flush(ended(t)); !errors.Is(err, context.Canceled) {
			t.Errorf("Flush with an ended ctx = %v, want %v", err, context.Canceled)
		}
		mine := errors.New("mine")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, mine)
		defer cancel()
		if err := w.Flush(ctx); !errors.Is(err, mine) {
			t.Errorf("Flush with a ctx that ends = %v, want its cause", err)
		}
		flushed := make(chan error)
		go func() { flushed <- w.Flush(t.Context()) }()
		synctest.Wait()
		put(t, w, "b")
		gate <- struct{}{}
		if err := <-flushed; err != nil {
			t.Errorf("Flush = %v, want nil", err)
		}
		if got := c.written(); got != "a" {
			t.Errorf("written %q when Flush returned, want %q: it waits for what came before only", got, "a")
		}
		close(gate)
		synctest.Wait()
	})
}

func TestWriterFlushMany(t *testing.T) {
	ends := map[string]func(*transport.Writer, chan struct{}){
		"written": func(_ *transport.Writer, gate chan struct{}) { close(gate) },
		"stopped": func(w *transport.Writer, _ chan struct{}) { w.Stop(errEnd) },
		"stalled": func(*transport.Writer, chan struct{}) { time.Sleep(stall) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, gate := gated()
				w := transport.NewWriter(c, 100, stall, nil)
				put(t, w, "a")
				var waiters sync.WaitGroup
				for range 3 {
					waiters.Go(func() {
						if err := w.Flush(t.Context()); (err == nil) != (name == "written") {
							t.Errorf("Flush = %v, want nil only if written", err)
						}
					})
					synctest.Wait()
				}
				end(w, gate)
				start := time.Now()
				waiters.Wait()
				checkTook(t, "freeing all", start, 0)
				if name == "stopped" {
					close(gate)
				}
			})
		})
	}
}

func TestWriterControlNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, gate := gated()
		w := newWriter(t, c, 10)
		put(t, w, "0123456789")
		synctest.Wait() // no room from here on
		start := time.Now()
		for i := range 3 {
			if err := w.Control(text("control")); err != nil {
				t.Errorf("Control %d = %v, want nil", i, err)
			}
		}
		if err := w.Control(text("control")); !errors.Is(err, transport.ErrStalled) {
			t.Errorf("Control over twice the bound = %v, want %v", err, transport.ErrStalled)
		}
		checkTook(t, "Control", start, 0)
		close(gate)
		if err := w.Flush(t.Context()); err != nil {
			t.Errorf("Flush = %v, want nil", err)
		}
		if err := w.Control(text("!")); err != nil {
			t.Errorf("Control when there is room again = %v, want nil", err)
		}
		synctest.Wait()
		if got, want := c.written(), "0123456789controlcontrolcontrol!"; got != want {
			t.Errorf("written %q, want %q", got, want)
		}
	})
}

func TestWriterBeat(t *testing.T) {
	const farPast, farFuture = -1 << 62, 1 << 62
	synctest.Test(t, func(t *testing.T) {
		c, gate := gated()
		w := newWriter(t, c, 100)
		put(t, w, "a")
		w.Beat([]byte("1"), farFuture) // something is being written
		close(gate)
		synctest.Wait()
		w.Beat([]byte("2"), farPast) // something was written since
		w.Beat([]byte("3"), farFuture)
		synctest.Wait()
		w.Seal(transport.ErrClosed, nil)
		w.Beat([]byte("4"), farFuture)
		synctest.Wait()
		if got, want := c.written(), "a3"; got != want {
			t.Errorf("written %q, want %q", got, want)
		}
	})
}
