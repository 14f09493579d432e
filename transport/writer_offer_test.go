package transport_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport"
)

// TestWriterOffer: an Offer never waits, is told of room once half of the buffer
// is free and no sooner, and keeps the order.
func TestWriterOffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, gate := gated()
		w := newWriter(t, c, 10)
		var told atomic.Int32
		w.OnRoom(func() { told.Add(1) })
		put(t, w, "1234")
		synctest.Wait() // it is being written
		for _, o := range []struct {
			text string
			want bool
		}{{"5678", true}, {"xxx", false}, {"90", true}, {"x", false}} {
			ran := false
			got := w.Offer(len(o.text), func(dst []byte) []byte { ran = true; return append(dst, o.text...) })
			if got != o.want || ran != got {
				t.Errorf("Offer(%q) = %v and enc ran = %v, want %v for both", o.text, got, ran, o.want)
			}
		}
		synctest.Wait()
		if n := told.Load(); n != 0 {
			t.Errorf("OnRoom was told %d times before there was room", n)
		}
		close(gate)
		synctest.Wait()
		if n := told.Load(); n != 1 {
			t.Errorf("OnRoom was told %d times of the room, want 1", n)
		}
		if !w.Offer(10, text("abcdefghij")) {
			t.Error("Offer of as much as there is room for = false")
		}
		synctest.Wait()
		if got, want := c.written(), "1234567890abcdefghij"; got != want {
			t.Errorf("written %q, want %q", got, want)
		}
		if n := told.Load(); n != 1 {
			t.Errorf("OnRoom was told %d times, want 1: nothing was turned down since", n)
		}
	})
}

// TestWriterOfferLarge: a message that needs the whole buffer is told of the room
// that it needs, not of half.
func TestWriterOfferLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, gate := gated()
		w := newWriter(t, c, 10)
		large := strings.Repeat("x", 50)
		done := false
		w.OnRoom(func() { done = w.Offer(len(large), text(large)) })
		put(t, w, "12")
		if w.Offer(len(large), text(large)) {
			t.Error("Offer of a large message while another waits = true")
		}
		close(gate)
		synctest.Wait()
		if !done || c.written() != "12"+large {
			t.Errorf("Offer when there is room = %v, written %q", done, c.written())
		}
	})
}

// TestWriterOfferEnded: nothing is taken in, and nobody told, at the end.
func TestWriterOfferEnded(t *testing.T) {
	for name, end := range map[string]func(*transport.Writer){
		"Stop": func(w *transport.Writer) { w.Stop(transport.ErrClosed) },
		"Seal": func(w *transport.Writer) { w.Seal(transport.ErrClosed, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, gate := gated()
				defer close(gate)
				w := newWriter(t, c, 10)
				w.OnRoom(func() { t.Error("OnRoom was told") })
				put(t, w, "12345678")
				if w.Offer(5, text("xxxxx")) {
					t.Error("Offer without room = true")
				}
				end(w)
				if w.Offer(1, text("x")) {
					t.Error("Offer after the end = true")
				}
				synctest.Wait()
			})
		})
	}
}

// TestWriterOfferSocket: to a socket whose peer does not read, Offers end for want
// of room and without a wait, and go on when it reads.
func TestWriterOfferSocket(t *testing.T) {
	near, far := tcpPair(t)
	w := transport.NewWriter(near, 1<<20, 30*time.Second, nil)
	room := make(chan struct{}, 1)
	w.OnRoom(func() { room <- struct{}{} })
	piece := text(strings.Repeat("x", 64<<10))
	sent, slowest := 0, time.Duration(0)
	for start := time.Now(); w.Offer(64<<10, piece); start = time.Now() {
		slowest = max(slowest, time.Since(start))
		sent++
		if sent > 1<<12 {
			t.Fatal("Offer takes 256 MiB that nobody reads")
		}
	}
	t.Logf("%d pieces, the slowest took %v", sent, slowest)
	buf, got := make([]byte, 1<<20), 0
	for got < sent*64<<10 {
		n, err := far.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got += n
	}
	<-room
	if !w.Offer(64<<10, piece) {
		t.Error("Offer after the peer has read all = false")
	}
	w.Stop(transport.ErrClosed)
}
