package transport_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport"
)

func TestWriterRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, gate := gated()
		w := newWriter(t, c, 10)
		put(t, w, "12345", "67890")
		mine := errors.New("mine")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, mine)
		defer cancel()
		start := time.Now()
		err := w.Append(ctx, 1, text("x"))
		if !errors.Is(err, transport.ErrBusy) || !errors.Is(err, mine) {
			t.Errorf("Append without room = %v, want %v and the cause of ctx", err, transport.ErrBusy)
		}
		checkTook(t, "Append without room", start, time.Second)
		close(gate)
		synctest.Wait()
		put(t, w, "x")
		synctest.Wait()
		if got, want := c.written(), "1234567890x"; got != want {
			t.Errorf("written %q, want %q", got, want)
		}
	})
}

func TestWriterEndedContextTriesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, gate := gated()
		defer close(gate)
		w := newWriter(t, c, 10)
		ctx := ended(t)
		tests := []struct {
			size int
			want error
		}{
			{size: 6},
			{size: 5, want: transport.ErrBusy},
			{size: 4},
			{size: 1, want: transport.ErrBusy},
			{size: 0},
		}
		for _, tt := range tests {
			start := time.Now()
			if err := w.Append(ctx, tt.size, text("x")); !errors.Is(err, tt.want) {
				t.Errorf("Append(ended, %d) = %v, want %v", tt.size, err, tt.want)
			}
			if tt.want != nil {
				checkTook(t, "Append(ended)", start, 0)
			}
		}
	})
}

func TestWriterRoomIsFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, gate := gated()
		w := newWriter(t, c, 10)
		put(t, w, "aaaaaaaa")
		// No two have room together, or they might swap places at the end.
		for _, m := range []string{"bbbbbbbbb", "cc", "ddddddddd", "eeeeeeeeee", "f"} {
			go put(t, w, m) // "cc" would have room at once
			synctest.Wait()
		}
		if err := w.Append(ended(t), 1, text("x")); !errors.Is(err, transport.ErrBusy) {
			t.Errorf("Append(ended) while others wait = %v, want %v", err, transport.ErrBusy)
		}
		close(gate)
		synctest.Wait()
		if got, want := c.written(), "aaaaaaaabbbbbbbbbccdddddddddeeeeeeeeeef"; got != want {
			t.Errorf("written %q, want %q", got, want)
		}
	})
}

func TestWriterLargeMessageIsTakenAlone(t *testing.T) {
	const large = "larger than the bound"
	synctest.Test(t, func(t *testing.T) {
		c, gate := gated()
		w := newWriter(t, c, 10)
		put(t, w, "a")
		if err := w.Append(ended(t), len(large), text(large)); !errors.Is(err, transport.ErrBusy) {
			t.Errorf("Append of a large message while another waits = %v, want %v", err, transport.ErrBusy)
		}
		gate <- struct{}{}
		synctest.Wait()
		if err := w.Append(ended(t), len(large), text(large)); err != nil {
			t.Errorf("Append of a large message to an empty buffer = %v, want nil", err)
		}
		if err := w.Append(ended(t), 1, text("b")); !errors.Is(err, transport.ErrBusy) {
			t.Errorf("Append beside a large message = %v, want %v", err, transport.ErrBusy)
		}
		close(gate)
		put(t, w, "b")
		synctest.Wait()
		if got, want := c.written(), "a"+large+"b"; got != want {
			t.Errorf("written %q, want %q", got, want)
		}
	})
}

// A sender that gave up must not keep its place in the queue.
func TestWriterGivingUpFreesThePlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, gate := gated()
		w := newWriter(t, c, 10)
		put(t, w, "aaaaa")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() { _ = w.Append(ctx, 10, text("never")) }()
		synctest.Wait()
		start := time.Now()
		put(t, w, "bbbbb") // has room as soon as nobody waits before it
		checkTook(t, "Append behind one that gives up", start, time.Second)
		close(gate)
		synctest.Wait()
		if got, want := c.written(), "aaaaabbbbb"; got != want {
			t.Errorf("written %q, want %q", got, want)
		}
	})
}
