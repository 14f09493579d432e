package faultconn_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport/faultconn"
	"github.com/polyport/polyport/transport/mem"
)

// Every way to wait obeys the deadline, also when it is moved, and Close.
func TestEveryWaitEnds(t *testing.T) {
	const big = 300_000
	read := func(c net.Conn) error { _, err := c.Read(make([]byte, 1)); return err }
	write := func(c net.Conn) error { _, err := c.Write(make([]byte, big)); return err }
	tests := []struct {
		name, schedule string
		op             func(net.Conn) error
	}{
		{"Read", "", read},
		{"Read of a black hole", "write byte 0 blackhole", read},
		{"Read of late bytes", "read byte 0 latency 1h", read},
		{"Read of collected bytes", "read byte 0 coalesce 1h", read},
		{"Read of a slow link", "read byte 0 bandwidth 1; read byte 0 latency 1h", read},
		{"Read of dripping bytes", "read byte 0 latency 1h; read byte 0 slice 1s", read},
		{"Read of a stall", "read byte 0 stall", read},
		{"Read of a long stall", "read byte 0 stall 1h", read},
		{"Read of a late end", "read byte 0 latency 1h; read byte 4 halfclose", read},
		{"Write", "", write},
		{"Write in slices", "write byte 0 slice", write},
		{"Write of late bytes", "write byte 0 latency 1h", write},
		{"Write to a slow link", "write byte 0 bandwidth 1", write},
		{"Write in a drip", "write byte 0 slice 1s", write},
		{"Write in a stall", "write byte 0 stall", write},
		{"Write in a long stall", "write byte 0 stall 1h", write},
		{"Write to a full black hole", "write byte 0 blackhole 1000", write},
	}
	for _, test := range tests {
		for _, how := range []string{"deadline", "moved deadline", "Close"} {
			t.Run(test.name+"/"+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, peer := wrap(t, test.schedule)
					if test.schedule != "" {
						io.WriteString(peer, "late")
					}
					c.Write([]byte("x")) // triggers the black hole
					start := time.Now()
					var wantTime time.Duration
					switch how {
					case "deadline":
						wantTime = 10 * time.Second
						c.SetDeadline(start.Add(wantTime))
					case "moved deadline":
						wantTime = 20 * time.Second
						c.SetDeadline(start.Add(time.Minute))
						go func() {
							time.Sleep(5 * time.Second)
							c.SetDeadline(start.Add(wantTime))
						}()
					case "Close":
						wantTime = 30 * time.Second
						go func() {
							time.Sleep(wantTime)
							c.Close()
						}()
					}
					err := test.op(c)
					if got := time.Since(start); got != wantTime {
						t.Errorf("came back after %v, want %v", got, wantTime)
					}
					if how == "Close" {
						wantErr(t, test.name, err, net.ErrClosed)
					} else if !timedOut(err) {
						t.Errorf("err = %v, want a timeout", err)
					}
				})
			})
		}
	}
}

// Calls that wait for their turn obey the same.
func TestTurnsEnd(t *testing.T) {
	for _, how := range []string{"deadline", "Close", "reset"} {
		synctest.Test(t, func(t *testing.T) {
			c, _ := wrap(t, "write time 7s reset")
			want := map[string]error{"deadline": nil, "Close": net.ErrClosed, "reset": syscall.ECONNRESET}[how]
			switch how {
			case "deadline":
				c.SetDeadline(time.Now().Add(time.Second))
			case "Close":
				time.AfterFunc(time.Second, func() { c.Close() })
			}
			var all sync.WaitGroup
			for range 5 {
				for name, op := range map[string]func([]byte) (int, error){"Read": c.Read, "Write": c.Write} {
					all.Go(func() {
						_, err := op(make([]byte, 100_000))
						if want == nil && !timedOut(err) {
							t.Errorf("%s: %s: err = %v, want a timeout", how, name, err)
						} else if want != nil {
							wantErr(t, how+": "+name, err, want)
						}
					})
				}
			}
			all.Wait()
		})
	}
}

// Bytes that a Read deadline left behind come with the next Read.
func TestTimeoutLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := wrap(t, "read byte 0 latency 10s; read byte 0 slice 1s")
		io.WriteString(peer, "abcdef")
		peer.Close()
		var got []byte
		buf := make([]byte, 4)
		for range 100 {
			c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
			n, err := c.Read(buf)
			got = append(got, buf[:n]...)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil && !timedOut(err) {
				t.Fatalf("Read() = %v, want a timeout", err)
			}
		}
		if string(got) != "abcdef" {
			t.Errorf("received %q, want %q", got, "abcdef")
		}
	})
}

// Concurrent Writes are not mixed, whatever the fault does with them.
func TestConcurrentWrites(t *testing.T) {
	for _, schedule := range []string{"", "write byte 0 slice", "write byte 0 latency 1s", "write byte 0 slice 1ms", "write byte 70 coalesce 1s"} {
		synctest.Test(t, func(t *testing.T) {
			c, peer := wrap(t, schedule)
			var want []byte
			var all sync.WaitGroup
			for i := range byte(20) {
				msg := make([]byte, 4_000)
				for j := range msg {
					msg[j] = i
				}
				want = append(want, msg...)
				all.Go(func() {
					if n, err := c.Write(msg); n != len(msg) || err != nil {
						t.Errorf("%q: Write() = %d, %v, want %d, nil", schedule, n, err, len(msg))
					}
				})
				synctest.Wait()
			}
			got := make([]byte, len(want))
			if n, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%q: read %d bytes, %v, that differ from the %d sent", schedule, n, err, len(want))
			}
			all.Wait()
		})
	}
}

// Close never waits and loses nothing that is only late.
func TestCloseDelivers(t *testing.T) {
	tests := []struct {
		schedule string
		after    time.Duration // so late the last byte comes
	}{
		{"", 0},
		{"write byte 0 slice", 0},
		{"write byte 0 latency 3s", 3 * time.Second},
		{"write byte 2 latency 3s", 3 * time.Second},
		{"write byte 0 slice 1s", 3 * time.Second},
		{"write byte 0 coalesce 9s", 9 * time.Second},
		{"write byte 0 bandwidth 2", 2 * time.Second},
		{"write byte 1 stall 5s", 5 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.schedule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, peer := wrap(t, test.schedule)
				start := time.Now()
				io.WriteString(c, "last")
				c.Close()
				if d := time.Since(start); d != 0 {
					t.Errorf("Write and Close took %v, want 0", d)
				}
				got, err := arrivals(peer, start)
				if !errors.Is(err, io.EOF) || text(got) != "last" || time.Since(start) != test.after {
					t.Errorf("peer read %q, %v after %v, want %q, EOF after %v", text(got), err, time.Since(start), "last", test.after)
				}
				_, err = c.Read(make([]byte, 1))
				wantErr(t, "Read after Close", err, net.ErrClosed)
				if _, err := io.WriteString(peer, "more"); err == nil {
					t.Error("peer's Write after the end = nil, want an error")
				}
			})
		})
	}
}

// A peer that takes nothing cannot keep a closed connection: within half a
// second the inner connection is closed.
func TestCloseGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := mem.PipeSize(10)
		c := faultconn.Wrap(near, parse(t, "write byte 0 latency 1s"))
		c.Write(make([]byte, 50))
		c.Close()
		time.Sleep(1499 * ms)
		if err := near.SetReadDeadline(time.Time{}); err != nil {
			t.Errorf("inner connection after 1.499s: %v, want it open", err)
		}
		time.Sleep(2 * ms)
		wantErr(t, "inner connection after 1.501s", near.SetReadDeadline(time.Time{}), net.ErrClosed)
		checkRead(t, "peer's", far, string(make([]byte, 10)), io.EOF)
		far.Close()
	})
}

// A slow peer gets everything as long as it takes something.
func TestCloseIsPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := mem.PipeSize(10)
		c := faultconn.Wrap(near, parse(t, "write byte 0 latency 1s"))
		c.Write(make([]byte, 200))
		c.Close()
		buf := make([]byte, 10)
		got := 0
		for {
			time.Sleep(200 * ms)
			n, err := far.Read(buf)
			got += n
			if err != nil {
				wantErr(t, "Read", err, io.EOF)
				break
			}
		}
		if got != 200 {
			t.Errorf("received %d bytes, want 200", got)
		}
		far.Close()
	})
}

// The peer's errors come through a delay: at a later Write.
func TestDeliveryFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := wrap(t, "write byte 0 latency 1s")
		peer.Close()
		if n, err := io.WriteString(c, "abc"); n != 3 || err != nil {
			t.Errorf("first Write() = %d, %v, want 3, nil", n, err)
		}
		time.Sleep(2 * time.Second)
		for range 2 {
			_, err := io.WriteString(c, "abc")
			wantErr(t, "later Write", err, syscall.EPIPE)
		}
		c.Close()
		wantErr(t, "inner connection after Close", c.NetConn().SetDeadline(time.Time{}), net.ErrClosed)
	})
}

// A peer's end is as late as its bytes, and a peer's reset is one.
func TestPeerEnds(t *testing.T) {
	for _, schedule := range []string{"", "read byte 0 latency 2s"} {
		for i, want := range []error{io.EOF, syscall.ECONNRESET} {
			synctest.Test(t, func(t *testing.T) {
				c, peer := wrap(t, schedule)
				io.WriteString(peer, "bye")
				if i == 1 {
					peer.(interface{ SetLinger(sec int) error }).SetLinger(0)
				}
				peer.Close()
				checkRead(t, "own", c, "bye", want)
				checkRead(t, "own", c, "", want)
			})
		}
	}
}

func TestPassThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := mem.Pipe()
		defer far.Close()
		c := faultconn.Wrap(near, nil)
		if c.NetConn() != near {
			t.Errorf("NetConn() = %v, want the inner connection", c.NetConn())
		}
		if c.LocalAddr() != near.LocalAddr() || c.RemoteAddr() != near.RemoteAddr() {
			t.Errorf("addresses = %v, %v, want %v, %v", c.LocalAddr(), c.RemoteAddr(), near.LocalAddr(), near.RemoteAddr())
		}
		if n, err := c.Read(nil); n != 0 || err != nil {
			t.Errorf("Read(nil) = %d, %v, want 0, nil", n, err)
		}
		if n, err := c.Write(nil); n != 0 || err != nil {
			t.Errorf("Write(nil) = %d, %v, want 0, nil", n, err)
		}
		io.WriteString(c, "question")
		for range 2 {
			if err := c.CloseWrite(); err != nil {
				t.Errorf("CloseWrite() = %v, want nil", err)
			}
		}
		checkRead(t, "peer's", far, "question", io.EOF)
		io.WriteString(far, "answer")
		checkRead(t, "own", c, "answer", nil)
		_, err := c.Write([]byte("x"))
		wantErr(t, "Write after CloseWrite", err, syscall.EPIPE)
		if err := c.SetLinger(0); err != nil {
			t.Errorf("SetLinger(0) = %v, want nil", err)
		}
		for range 2 {
			if err := c.Close(); err != nil {
				t.Errorf("Close() = %v, want nil", err)
			}
		}
		_, err = far.Write([]byte("x"))
		wantErr(t, "peer's Write after a reset", err, syscall.ECONNRESET)
		wantFired(t, c)
	})
}

func TestAfterClose(t *testing.T) {
	c, _ := wrap(t, "")
	c.Close()
	_, readErr := c.Read(make([]byte, 1))
	_, emptyErr := c.Read(nil)
	_, writeErr := c.Write(nil)
	for name, err := range map[string]error{
		"Read": readErr, "Read of nothing": emptyErr, "Write of nothing": writeErr,
		"CloseWrite": c.CloseWrite(), "SetDeadline": c.SetDeadline(time.Now()),
		"SetReadDeadline": c.SetReadDeadline(time.Now()), "SetWriteDeadline": c.SetWriteDeadline(time.Now()),
	} {
		wantErr(t, name+" after Close", err, net.ErrClosed)
	}
}

// A deadline that the inner connection had before it was wrapped holds.
func TestForeignDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := mem.Pipe()
		defer far.Close()
		near.SetReadDeadline(time.Now().Add(time.Second))
		c := faultconn.Wrap(near, nil)
		defer c.Close()
		if _, err := c.Read(make([]byte, 1)); !timedOut(err) {
			t.Errorf("Read() = %v, want a timeout", err)
		}
	})
}

func TestWrapPanics(t *testing.T) {
	near, _ := mem.Pipe()
	defer func() {
		if recover() == nil {
			t.Error("Wrap with an invalid rule did not panic")
		}
	}()
	faultconn.Wrap(near, &faultconn.Schedule{Rules: []faultconn.Rule{{}}})
}

// Whoever closes the inner connection ends both directions.
func TestNetConnClosed(t *testing.T) {
	for _, schedule := range []string{"", "read byte 0 latency 1s; write byte 0 latency 1s"} {
		synctest.Test(t, func(t *testing.T) {
			c, _ := wrap(t, schedule)
			c.SetDeadline(time.Now().Add(time.Hour))
			c.NetConn().Close()
			_, err := c.Read(make([]byte, 1))
			wantErr(t, "Read", err, net.ErrClosed)
			c.Write([]byte("x"))
			time.Sleep(2 * time.Second)
			_, err = c.Write([]byte("x"))
			wantErr(t, "Write", err, net.ErrClosed)
		})
	}
}
