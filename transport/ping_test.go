package transport_test

import (
	"bufio"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/transport"
)

// answerPings is a peer that answers each PING after a while and says nothing
// else. It returns when they came, since now, once nc has ended.
func answerPings(nc net.Conn, after time.Duration) <-chan []time.Duration {
	start := time.Now()
	done := make(chan []time.Duration, 1)
	go func() {
		var at []time.Duration
		for in := bufio.NewReader(nc); ; {
			got, err := in.ReadString('\n')
			if err != nil {
				break
			}
			if got != "ping\n" {
				continue
			}
			at = append(at, time.Since(start))
			time.Sleep(after)
			if _, err := io.WriteString(nc, "pong\n"); err != nil {
				break
			}
		}
		done <- at
	}()
	return done
}

// sendEach sends a message at each interval, n times.
func sendEach(t *testing.T, c transport.Conn, every time.Duration, n int) {
	t.Helper()
	for range n {
		time.Sleep(every)
		if err := c.Send(t.Context(), line("x")); err != nil {
			t.Errorf("Send = %v, want nil", err)
			return
		}
	}
}

// receiving has c read until it ends.
func receiving(t *testing.T, c transport.Conn) {
	t.Helper()
	background(t, func() {
		for {
			if _, err := c.Recv(t.Context()); err != nil {
				return
			}
		}
	})
}

func TestPingAtTwoThirds(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name  string
		after time.Duration // the answer
		talks time.Duration // between messages of ours; 0: none
		want  []time.Duration
	}{
		{"both are silent", 0, 0, []time.Duration{6 * s, 12 * s, 18 * s, 24 * s, 30 * s}},
		{"the peer is far away", s, 0, []time.Duration{6 * s, 12 * s, 18 * s, 24 * s, 30 * s}},
		{"this end sends all the time", 0, s / 2, []time.Duration{6 * s, 12 * s, 18 * s, 24 * s, 30 * s}},
		// Each PING waits until the last answer is old enough.
		{"and the peer is far away", s, s / 2, []time.Duration{6 * s, 13 * s, 20 * s, 27 * s, 34 * s}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, peer := newStream(t, nil)
				at := answerPings(peer, tt.after)
				receiving(t, c)
				c.StartPing(beat, []byte("ping\n"))
				if tt.talks > 0 {
					sendEach(t, c, tt.talks, int(35*s/tt.talks))
				} else {
					time.Sleep(35 * s)
				}
				if err := c.Err(); err != nil {
					t.Errorf("Err = %v, want a connection that lasts", err)
				}
				c.Fail(errEnd)
				if diff := cmp.Diff(tt.want, <-at); diff != "" {
					t.Errorf("PINGs came at (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A peer that answers each PING is alive, however far away it is and whatever
// this end says meanwhile.
func TestPingKeepsAlive(t *testing.T) {
	for _, after := range []time.Duration{time.Nanosecond, time.Millisecond, beat / 30, beat / 3} {
		for _, talks := range []time.Duration{time.Millisecond * 50, time.Second, beat/3 + 1, beat * 2 / 3, beat} {
			synctest.Test(t, func(t *testing.T) {
				c, peer := newStream(t, nil)
				at := answerPings(peer, after)
				receiving(t, c)
				c.StartPing(beat, []byte("ping\n"))
				sendEach(t, c, talks, int(20*beat/talks))
				if err := c.Err(); err != nil {
					t.Errorf("answers after %v, messages each %v: Err = %v, want a connection that lasts", after, talks, err)
				}
				c.Fail(errEnd)
				<-at
			})
		}
	}
}

func TestPingSilenceIsJudged(t *testing.T) {
	for _, talks := range []time.Duration{0, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			c, peer := newStream(t, nil)
			background(t, func() { _, _ = io.Copy(io.Discard, peer) })
			c.StartPing(beat, []byte("ping\n"))
			start := time.Now()
			if talks > 0 {
				background(t, func() { sendEach(t, c, talks, 9) })
			}
			checkRecvErr(t, c, transport.ErrHeartbeat)
			checkTook(t, "giving up", start, beat+beat/10)
		})
	}
}

// The peer may be one that looks for signs of our life as well.
func TestPingWhenOnlyThePeerTalks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := newStream(t, nil)
		at := arrivals(peer)
		receiving(t, c)
		c.StartPing(beat, []byte("ping\n"))
		for range 20 {
			time.Sleep(time.Second)
			say(t, peer, "x\n")
		}
		c.Fail(errEnd)
		if diff := cmp.Diff([]time.Duration{6 * time.Second, 12 * time.Second, 18 * time.Second}, <-at); diff != "" {
			t.Errorf("PINGs came at (-want +got):\n%s", diff)
		}
	})
}

func TestNoPingWhileBothTalk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := newStream(t, nil)
		at := answerPings(peer, 0)
		receiving(t, c)
		c.StartPing(beat, []byte("ping\n"))
		for range 100 {
			say(t, peer, "x\n")
			sendEach(t, c, beat/2, 1)
		}
		c.Fail(errEnd)
		if got := <-at; len(got) > 0 {
			t.Errorf("PINGs came at %v, want none", got)
		}
	})
}

// While nobody reads, the peer's silence does not grow, and the clock that waits
// for it must not spin: this test would take very long.
func TestPingWhileNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := newStream(t, nil)
		at := arrivals(peer)
		c.StartPing(beat, []byte("ping\n"))
		poll(t, c, beat*2/3-time.Nanosecond)
		sendEach(t, c, beat/3, 30)
		say(t, peer, "still here\n")
		checkRecv(t, c, "still here")
		c.Fail(errEnd)
		if got := <-at; len(got) > 50 {
			t.Errorf("the peer got %d writes, want the 30 messages and a few PINGs", len(got))
		}
	})
}

func TestPingEndsWithTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := newStream(t, nil)
		at := answerPings(peer, 0)
		c.StartPing(beat, []byte("ping\n"))
		c.Fail(errEnd)
		time.Sleep(time.Hour)
		if got := <-at; len(got) > 0 {
			t.Errorf("PINGs came at %v, want none", got)
		}
		late, _ := newStream(t, nil)
		late.Fail(errEnd)
		late.StartPing(beat, []byte("ping\n"))
		time.Sleep(time.Hour)
		checkErr(t, "Err", late.Err(), errEnd, false)
	})
}
