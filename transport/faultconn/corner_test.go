package faultconn_test

import (
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/transport/faultconn"
	"github.com/polyport/polyport/transport/mem"
)

// The end of a stream is as late as its bytes.
func TestLateEnd(t *testing.T) {
	for _, dir := range []string{"read", "write"} {
		for how, at := range map[string]time.Duration{"Close": 5 * ms, "CloseWrite": 5 * ms, "late Close": 30 * ms, "late CloseWrite": 30 * ms} {
			synctest.Test(t, func(t *testing.T) {
				c, peer := wrap(t, dir+" byte 0 latency 20ms")
				from, to := net.Conn(c), peer
				if dir == "read" {
					from, to = peer, c
				}
				start := time.Now()
				go func() {
					io.WriteString(from, "ab")
					time.Sleep(at)
					if strings.HasSuffix(how, "CloseWrite") {
						from.(interface{ CloseWrite() error }).CloseWrite()
					} else {
						from.Close()
					}
				}()
				got, _ := arrivals(to, start)
				if diff := cmp.Diff([]arrival{{20 * ms, "ab"}, {20*ms + at, ""}}, got); diff != "" {
					t.Errorf("%s, %s (-want +got):\n%s", dir, how, diff)
				}
			})
		}
	}
}

// When bytes arrive does not depend on the calls they came in.
func TestCallsDoNotMatterToDelays(t *testing.T) {
	message := strings.Repeat("0123456789abcdef", 20)
	for _, dir := range []string{"read", "write"} {
		for _, schedule := range []string{
			"DIR byte 0 jitter 1s",
			"DIR byte 10 jitter 1s",
			"DIR byte 0 bandwidth 1000",
			"DIR byte 0 bandwidth 1000; DIR byte 100 jitter 1s; DIR byte 200 latency 1s",
			"DIR byte 0 slice 1ms",
			"DIR byte 0 coalesce 1ms; DIR byte 100 jitter 1s",
		} {
			var first []arrival
			for _, size := range []int{len(message), 1, 10, 64, 100} {
				synctest.Test(t, func(t *testing.T) {
					c, peer := wrap(t, strings.ReplaceAll(schedule, "DIR", dir))
					from, to := net.Conn(c), peer
					if dir == "read" {
						from, to = peer, c
					}
					start := time.Now()
					go func() {
						for part := range slices.Chunk([]byte(message), size) {
							from.Write(part)
						}
						from.Close()
					}()
					got, _ := arrivals(to, start)
					got = settle(got)
					if first == nil {
						first = got
					}
					if diff := cmp.Diff(first, got); diff != "" || text(got) != message {
						t.Errorf("%s %q: calls of %d bytes (-whole +got):\n%s", dir, schedule, size, diff)
					}
				})
			}
		}
	}
}

// Whoever reads hears of a local end at once, however late the peer does.
func TestEndIsLocalAtOnce(t *testing.T) {
	for _, how := range []string{"cut", "Close"} {
		synctest.Test(t, func(t *testing.T) {
			c, peer := wrap(t, "write byte 0 latency 10s; write byte 3 cut")
			start := time.Now()
			want := io.EOF
			if how == "Close" {
				want = net.ErrClosed
			}
			time.AfterFunc(time.Second, func() {
				if how == "Close" {
					io.WriteString(c, "abc")
					c.Close()
					return
				}
				io.WriteString(c, "abcdef")
			})
			_, err := c.Read(make([]byte, 1))
			wantErr(t, how, err, want)
			if d := time.Since(start); d != time.Second {
				t.Errorf("%s: Read came back after %v, want 1s", how, d)
			}
			got, err := arrivals(peer, start)
			if diff := cmp.Diff([]arrival{{11 * time.Second, "abc"}, {11 * time.Second, ""}}, got); diff != "" || err != io.EOF { //nolint:errorlint // bare
				t.Errorf("%s: peer's end: %v (-want +got):\n%s", how, err, diff)
			}
		})
	}
}

// A deadline holds for a Read that a stall interrupted and that went on.
func TestDeadlineAfterStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := wrap(t, "read time 1s stall 1s")
		start := time.Now()
		time.AfterFunc(3*time.Second, func() { c.SetReadDeadline(start.Add(5 * time.Second)) })
		_, err := c.Read(make([]byte, 1))
		if d := time.Since(start); !timedOut(err) || d != 5*time.Second {
			t.Errorf("Read() = %v after %v, want a timeout after 5s", err, d)
		}
	})
}

// A Write that waits for the peer when a stall begins keeps its deadline, and
// the bytes behind it have none.
func TestStallMeetsWrite(t *testing.T) {
	t.Run("deadline kept", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, start := stallMeetsWrite(t), time.Now()
			c.SetWriteDeadline(start.Add(5 * time.Second))
			checkWrite(t, c, start, 16, 5*time.Second)
		})
	})
	t.Run("deadline moved", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, start := stallMeetsWrite(t), time.Now()
			time.AfterFunc(2*time.Second, func() { c.SetWriteDeadline(start.Add(5 * time.Second)) })
			checkWrite(t, c, start, 16, 5*time.Second)
		})
	})
	t.Run("deadline not left behind", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, start := stallMeetsWrite(t), time.Now()
			far := c.NetConn().(*leashed).far
			c.SetWriteDeadline(start.Add(5 * time.Second))
			time.AfterFunc(2*time.Second, func() { io.ReadFull(far, make([]byte, 17)) })
			if n, err := c.Write(make([]byte, 17)); n != 17 || err != nil {
				t.Errorf("Write() = %d, %v, want 17, nil", n, err)
			}
			if n, err := c.Write(make([]byte, 40)); n != 40 || err != nil {
				t.Errorf("Write() into the queue = %d, %v, want 40, nil", n, err)
			}
			time.Sleep(10 * time.Second)
			checkRead(t, "peer's", far, string(make([]byte, 40)), nil)
		})
	})
}

// stallMeetsWrite returns a connection to a peer that takes 16 bytes, with a
// stall from 1s to 2s.
func stallMeetsWrite(t *testing.T) *faultconn.Conn {
	t.Helper()
	near, far := mem.PipeSize(16)
	c := faultconn.Wrap(&leashed{Conn: near, far: far}, parse(t, "write time 1s stall 1s"))
	t.Cleanup(func() { c.Close(); near.Close(); far.Close() })
	return c
}

// leashed is a connection that knows its peer.
type leashed struct {
	net.Conn
	far net.Conn
}

// checkWrite expects a Write of 17 bytes to time out.
func checkWrite(t *testing.T, c net.Conn, start time.Time, want int, after time.Duration) {
	t.Helper()
	n, err := c.Write(make([]byte, 17))
	if d := time.Since(start); n != want || !timedOut(err) || d != after {
		t.Errorf("Write() = %d, %v after %v, want %d, a timeout after %v", n, err, d, want, after)
	}
}

// A slowConn is slow to notice a deadline: its Read returns when result does.
type slowConn struct {
	net.Conn
	result chan []byte // no bytes are a timeout

	mu       sync.Mutex
	deadline time.Time
}

func (c *slowConn) Read(p []byte) (int, error) {
	data := <-c.result
	if len(data) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	return copy(p, data), nil
}

func (c *slowConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return nil
}

func (c *slowConn) last() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.deadline
}

// An event that interrupts a Read wins over a deadline that is set, and over
// bytes that come, before the Read is back.
func TestInterruptionWins(t *testing.T) {
	tests := []struct {
		kind, data string
		want       string
		after      time.Duration
	}{
		{"stall 9s", "", "next", 10 * time.Second},
		{"stall 9s", "caught", "caught", 10 * time.Second},
		{"halfclose", "", "", 2 * time.Second},
		{"halfclose", "lost", "", 2 * time.Second},
		{"cut", "lost", "", 2 * time.Second},
		{"blackhole", "lost", "", time.Hour},
	}
	for _, test := range tests {
		t.Run(test.kind+"/"+test.data, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := mem.Pipe()
				defer far.Close()
				slow := &slowConn{Conn: near, result: make(chan []byte, 2)}
				c := faultconn.Wrap(slow, parse(t, "read time 1s "+test.kind))
				defer near.Close()
				start := time.Now()
				time.AfterFunc(2*time.Second, func() {
					interrupted := slow.last()
					c.SetReadDeadline(start.Add(time.Hour))
					if got := slow.last(); !got.Equal(interrupted) || got.IsZero() {
						t.Errorf("inner deadline = %v, want the interruption to stay, %v", got, interrupted)
					}
					slow.result <- []byte(test.data)
					slow.result <- []byte("next")
				})
				buf := make([]byte, 10)
				n, _ := c.Read(buf)
				if got, d := string(buf[:n]), time.Since(start); got != test.want || d != test.after {
					t.Errorf("Read() = %q after %v, want %q after %v", got, d, test.want, test.after)
				}
			})
		})
	}
}
