package transport_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport"
)

const frameTimeout = 10 * time.Second

func withFrameTimeout(o *transport.Options) { o.FrameTimeout = frameTimeout }

// poll receives for a while, expecting that nothing comes. It reports whether
// the connection is alive.
func poll(t *testing.T, c transport.Conn, d time.Duration) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	m, err := c.Recv(ctx)
	if m != nil {
		t.Errorf("Recv = %q, want nothing", m.Body)
	}
	return errors.Is(err, context.DeadlineExceeded)
}

func TestFrameTimeout(t *testing.T) {
	tests := []struct {
		name    string
		trickle time.Duration // between two bytes of the frame; zero: one byte only
	}{
		{"one byte", 0},
		{"a byte each second", time.Second},
		{"a byte each half timeout", frameTimeout / 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, peer := newStream(t, withFrameTimeout)
				time.Sleep(time.Hour) // no frame, no clock
				background(t, func() {
					say(t, peer, "x")
					for tt.trickle > 0 {
						time.Sleep(tt.trickle)
						if _, err := peer.Write([]byte("x")); err != nil {
							return
						}
					}
				})
				start := time.Now()
				checkRecvErr(t, c, transport.ErrSlow)
				checkTook(t, "giving up", start, frameTimeout)
			})
		})
	}
}

func TestFrameTimeoutIsPerFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := newStream(t, withFrameTimeout)
		background(t, func() {
			for range 10 {
				say(t, peer, "x")
				time.Sleep(frameTimeout - time.Nanosecond)
				say(t, peer, "x\n")
				time.Sleep(time.Hour)
			}
		})
		for range 10 {
			checkRecv(t, c, "xx")
		}
	})
}

// While nobody reads, a frame cannot become whole, which is no fault of the
// peer's.
func TestFrameTimeoutCountsTimeInReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := newStream(t, withFrameTimeout)
		say(t, peer, "x")
		start := time.Now()
		for range 9 {
			if !poll(t, c, time.Second) {
				t.Fatalf("Recv after %v: connection ended by %v, want it alive", time.Since(start), c.Err())
			}
			time.Sleep(time.Hour)
		}
		say(t, peer, "x\n")
		checkRecv(t, c, "xx")
		say(t, peer, "x")
		for range 9 {
			if !poll(t, c, time.Second) {
				t.Fatalf("the second frame ended the connection by %v", c.Err())
			}
			time.Sleep(time.Hour)
		}
		start = time.Now()
		checkRecvErr(t, c, transport.ErrSlow)
		checkTook(t, "giving up after 9 s in reads", start, time.Second)
	})
}

// With a moment to go and nobody reading, the clock must not spin: this test
// would take very long.
func TestFrameTimeoutWithAMomentToGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := newStream(t, withFrameTimeout)
		say(t, peer, "x")
		poll(t, c, frameTimeout-time.Nanosecond)
		time.Sleep(time.Minute)
		say(t, peer, "x\n")
		checkRecv(t, c, "xx")
	})
}
