package transport_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/transport"
)

const beat = 9 * time.Second

// arrivals notes at which times since now what comes from nc, until it ends.
func arrivals(nc net.Conn) <-chan []time.Duration {
	start := time.Now()
	done := make(chan []time.Duration, 1)
	go func() {
		var at []time.Duration
		buf := make([]byte, 4096)
		for {
			if _, err := nc.Read(buf); err != nil {
				break
			}
			at = append(at, time.Since(start))
		}
		done <- at
	}()
	return done
}

func TestNegotiate(t *testing.T) {
	const s = time.Second
	tests := []struct{ offer, wish, want time.Duration }{
		{0, 0, 0},
		{0, 5 * s, 0},
		{5 * s, 0, 0},
		{-1, 5 * s, 0},
		{5 * s, -1, 0},
		{5 * s, 10 * s, 10 * s},
		{10 * s, 5 * s, 10 * s},
		{5 * s, 5 * s, 5 * s},
		{1, 1, s},
		{1, 5 * s, 5 * s},
		{s - 1, s - 1, s},
		{time.Hour, s, time.Hour},
	}
	for _, tt := range tests {
		if got := transport.Negotiate(tt.offer, tt.wish); got != tt.want {
			t.Errorf("Negotiate(%v, %v) = %v, want %v", tt.offer, tt.wish, got, tt.want)
		}
	}
}

func TestHeartbeatIsSentAtTwoThirds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := newStream(t, nil)
		at := arrivals(peer)
		c.StartHeartbeat(beat, 0, []byte("\n"))
		time.Sleep(4 * beat)
		c.Fail(errEnd)
		const s = time.Second
		if diff := cmp.Diff([]time.Duration{6 * s, 12 * s, 18 * s, 24 * s, 30 * s}, (<-at)[:5]); diff != "" {
			t.Errorf("beats came at (-want +got):\n%s", diff)
		}
	})
}

func TestHeartbeatOnlyWhenNothingElseWasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := newStream(t, nil)
		got := make(chan string)
		go func() { got <- readAll(t, peer) }()
		c.StartHeartbeat(beat, 0, []byte("\n"))
		for range 10 {
			time.Sleep(beat / 2)
			_ = c.Send(t.Context(), line("x"))
		}
		time.Sleep(beat*2/3 - 1)
		c.Fail(errEnd)
		if got, want := <-got, strings.Repeat("x\n", 10); got != want {
			t.Errorf("the peer got %q, want no beats", got)
		}
	})
}

func TestHeartbeatAfterTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := newStream(t, nil)
		at := arrivals(peer)
		c.StartHeartbeat(beat, 0, []byte("\n"))
		time.Sleep(5 * time.Second)
		_ = c.Send(t.Context(), line("x"))
		time.Sleep(13 * time.Second)
		c.Fail(errEnd)
		if diff := cmp.Diff([]time.Duration{5 * time.Second, 11 * time.Second, 17 * time.Second}, <-at); diff != "" {
			t.Errorf("message and beats came at (-want +got):\n%s", diff)
		}
	})
}

func TestHeartbeatSilenceIsJudged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newStream(t, nil)
		c.StartHeartbeat(0, beat, []byte("\n"))
		start := time.Now()
		checkRecvErr(t, c, transport.ErrHeartbeat)
		checkTook(t, "giving up", start, beat+beat/10)
		checkErr(t, "Send", c.Send(t.Context(), line("x")), transport.ErrHeartbeat, true)
	})
}

func TestHeartbeatAnyBytesCount(t *testing.T) {
	tests := []struct{ name, bytes string }{
		{"beats", "\n"},
		{"messages", "message\n"},
		{"parts of a message", "m"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, peer := newStream(t, func(o *transport.Options) { o.FrameTimeout = time.Hour })
				c.StartHeartbeat(0, beat, []byte("\n"))
				start := time.Now()
				go func() {
					for range 20 {
						time.Sleep(beat + beat/10 - 1)
						say(t, peer, tt.bytes)
					}
				}()
				err := error(nil)
				for err == nil {
					_, err = c.Recv(t.Context())
				}
				checkErr(t, "Recv", err, transport.ErrHeartbeat, true)
				checkTook(t, "giving up", start, 21*(beat+beat/10)-20)
			})
		})
	}
}

func TestHeartbeatIsJudgedOnTime(t *testing.T) {
	const limit = beat + beat/10
	for _, quiet := range []time.Duration{1, limit / 20, limit / 2, limit - 1} { // until the last sign of life
		synctest.Test(t, func(t *testing.T) {
			c, peer := newStream(t, nil)
			c.StartHeartbeat(0, beat, []byte("\n"))
			start := time.Now()
			background(t, func() {
				time.Sleep(quiet)
				say(t, peer, "\n")
			})
			checkRecvErr(t, c, transport.ErrHeartbeat)
			checkTook(t, "giving up", start, quiet+limit)
		})
	}
}

// With a moment to go and nobody reading, the clock must not spin: this test
// would take very long.
func TestHeartbeatWithAMomentToGo(t *testing.T) {
	const limit = beat + beat/10
	synctest.Test(t, func(t *testing.T) {
		c, peer := newStream(t, nil)
		c.StartHeartbeat(0, beat, []byte("\n"))
		poll(t, c, limit-time.Nanosecond)
		time.Sleep(time.Minute)
		say(t, peer, "still here\n")
		checkRecv(t, c, "still here")
	})
}

// What the peer sent while nobody read waits in a buffer.
func TestHeartbeatNobodyReadingIsNotSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := newStream(t, nil)
		c.StartHeartbeat(0, beat, []byte("\n"))
		time.Sleep(time.Hour)
		say(t, peer, "late\n")
		time.Sleep(time.Hour)
		checkRecv(t, c, "late")
		time.Sleep(time.Hour)
		start := time.Now()
		checkRecvErr(t, c, transport.ErrHeartbeat)
		if took := time.Since(start); took < beat+beat/10 || took > 2*(beat+beat/10) {
			t.Errorf("judged %v after the first read, want %v to twice that", took, beat+beat/10)
		}
	})
}

func TestHeartbeatOfPolledReceiver(t *testing.T) {
	tests := []struct {
		name        string
		read, pause time.Duration
	}{
		{"mostly reading", time.Second, 100 * time.Millisecond},
		{"half the time", time.Second, time.Second},
		{"seldom", 100 * time.Millisecond, time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, peer := newStream(t, nil)
				c.StartHeartbeat(0, beat, []byte("\n"))
				go func() {
					for range 20 {
						time.Sleep(beat)
						say(t, peer, "\n")
					}
				}()
				start := time.Now()
				for time.Since(start) < 20*beat {
					if !poll(t, c, tt.read) {
						t.Fatalf("a peer that keeps its promise was given up after %v: %v", time.Since(start), c.Err())
					}
					time.Sleep(tt.pause)
				}
				const most = 1000 // polls
				for n := range most {
					if !poll(t, c, tt.read) {
						checkErr(t, "Err", c.Err(), transport.ErrHeartbeat, false)
						return
					}
					if n == most-1 {
						t.Errorf("a silent peer was not given up in %v, %v of it in reads", most*(tt.read+tt.pause), most*tt.read)
					}
					time.Sleep(tt.pause)
				}
			})
		})
	}
}

// A receiver that polls in step with the clock of the heart-beat must not
// escape it.
func TestHeartbeatOfPollInStep(t *testing.T) {
	const limit = beat + beat/10
	synctest.Test(t, func(t *testing.T) {
		c, _ := newStream(t, nil)
		c.StartHeartbeat(0, beat, []byte("\n"))
		for range 200 { // never reading at a multiple of the limit
			time.Sleep(time.Second)
			if !poll(t, c, limit-2*time.Second) {
				checkErr(t, "Err", c.Err(), transport.ErrHeartbeat, false)
				return
			}
			time.Sleep(time.Second)
		}
		t.Errorf("a peer silent for %v of reads was not given up", 200*(limit-2*time.Second))
	})
}

func TestHeartbeatEndsWithTheStream(t *testing.T) {
	ends := map[string]func(*lineConn){
		"Fail":  func(c *lineConn) { c.Fail(errEnd) },
		"Close": func(c *lineConn) { c.Close() },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, peer := newStream(t, withLinger)
				go func() { _, _ = io.Copy(io.Discard, peer) }()
				c.StartHeartbeat(beat, beat, []byte("\n"))
				end(c)
				want := c.Err()
				time.Sleep(time.Hour)
				if got := c.Err(); !errors.Is(got, want) {
					t.Errorf("Err = %v an hour later, want %v", got, want)
				}
				late, _ := newStream(t, nil)
				late.Fail(errEnd)
				late.StartHeartbeat(beat, beat, []byte("\n"))
				time.Sleep(time.Hour)
				if got := late.Err(); !errors.Is(got, errEnd) {
					t.Errorf("Err = %v, want %v", got, errEnd)
				}
			})
		})
	}
}

// A peer that does not read has to be found out by the stall detector: beats
// must not gather.
func TestHeartbeatDoesNotGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := newStream(t, func(o *transport.Options) { o.WriteStall = time.Hour })
		c.StartHeartbeat(beat, 0, []byte("\n"))
		n := 0
		for ; c.Send(ended(t), line(strings.Repeat("x", 999))) == nil; n++ {
			synctest.Wait()
		}
		time.Sleep(30 * time.Minute)
		got := readN(t, peer, n*1000)
		if strings.Contains(got, "\n\n") {
			t.Error("beats were sent although messages waited")
		}
	})
}
