package mem_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/nettest"

	"github.com/polyport/polyport/transport/mem"
)

// tcpLike is what both ends of a pipe promise beyond net.Conn.
type tcpLike interface {
	net.Conn
	CloseRead() error
	CloseWrite() error
	SetLinger(sec int) error
}

func pair(t *testing.T, size int) (a, b tcpLike) {
	t.Helper()
	ca, cb := mem.PipeSize(size)
	t.Cleanup(func() { ca.Close(); cb.Close() })
	return ca.(tcpLike), cb.(tcpLike)
}

func TestConn(t *testing.T) {
	for name, size := range map[string]int{"default": 0, "tiny": 16, "odd": 1000} {
		t.Run(name, func(t *testing.T) {
			nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
				a, b := mem.PipeSize(size)
				return a, b, func() { a.Close(); b.Close() }, nil
			})
		})
	}
}

func TestPipeIsBuffered(t *testing.T) {
	tests := []struct {
		name       string
		size, want int
	}{
		{"default", 0, 64 << 10},
		{"negative is default", -1, 64 << 10},
		{"one", 1, 1},
		{"no power of two", 1000, 1000},
		{"large", 1 << 20, 1 << 20},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, _ := pair(t, test.size)
				a.SetWriteDeadline(time.Now().Add(time.Second))
				start := time.Now()
				n, err := a.Write(make([]byte, 2<<20))
				if n != test.want || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("Write(2 MiB) = %d, %v, want %d, a timeout", n, err, test.want)
				}
				if d := time.Since(start); d != time.Second {
					t.Errorf("Write(2 MiB) took %v, want 1s", d)
				}
			})
		})
	}
}

func TestStreamIsWhole(t *testing.T) {
	for _, size := range []int{1, 2, 511, 513, 4096, 0} {
		synctest.Test(t, func(t *testing.T) {
			a, b := pair(t, size)
			rnd := rand.New(rand.NewPCG(1, uint64(size)))
			want := make([]byte, 100_000)
			for i := range want {
				want[i] = byte(rnd.Uint32())
			}
			go func() {
				defer a.CloseWrite()
				for rest := want; len(rest) > 0; {
					n := min(len(rest), rnd.IntN(3000))
					if k, err := a.Write(rest[:n]); k != n || err != nil {
						t.Errorf("size %d: Write(%d) = %d, %v, want %d, nil", size, n, k, err, n)
						return
					}
					rest = rest[n:]
				}
			}()
			var got bytes.Buffer
			buf := make([]byte, 2048)
			sizes := rand.New(rand.NewPCG(2, uint64(size)))
			for {
				n, err := b.Read(buf[:1+sizes.IntN(len(buf)-1)])
				got.Write(buf[:n])
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil || n == 0 {
					t.Fatalf("size %d: Read() = %d, %v, want some bytes", size, n, err)
				}
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("size %d: received %d bytes that differ from the %d sent", size, got.Len(), len(want))
			}
		})
	}
}

func TestWriteCopies(t *testing.T) {
	a, b := pair(t, 0)
	p := []byte("abc")
	if _, err := a.Write(p); err != nil {
		t.Fatal(err)
	}
	copy(p, "xyz")
	if got := readN(t, b, 3); got != "abc" {
		t.Errorf("Read() = %q, want %q", got, "abc")
	}
}

// Writes that wait keep their bytes together and their order.
func TestConcurrentWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, 10)
		var writes sync.WaitGroup
		var want []byte
		for i := range byte(20) {
			msg := bytes.Repeat([]byte{'a' + i}, 25)
			want = append(want, msg...)
			writes.Go(func() {
				if n, err := a.Write(msg); n != len(msg) || err != nil {
					t.Errorf("Write(%q) = %d, %v, want %d, nil", msg, n, err, len(msg))
				}
			})
			synctest.Wait() // it is in the queue
		}
		got := readN(t, b, len(want))
		writes.Wait()
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("bytes of concurrent Writes (-want +got):\n%s", diff)
		}
	})
}

// A Write in the queue that gives up leaves the others in order.
func TestQueuedWriteGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, 4)
		var writes sync.WaitGroup
		errs := make([]error, 3)
		for i, msg := range []string{"aaaaaa", "bbbbbb", "cccccc"} {
			writes.Go(func() { _, errs[i] = a.Write([]byte(msg)) })
			synctest.Wait()
		}
		a.SetWriteDeadline(time.Now())
		writes.Wait()
		for i, err := range errs {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Write %d: err = %v, want a timeout", i, err)
			}
		}
		a.SetWriteDeadline(time.Time{})
		writes.Go(func() { a.Write([]byte("dddddd")) })
		if got := readN(t, b, 10); got != "aaaadddddd" {
			t.Errorf("Read() = %q, want %q", got, "aaaadddddd")
		}
		writes.Wait()
	})
}

// A Write that comes while another one waits goes behind it, though there is
// room for it.
func TestLateWriteWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, 10)
		var writes sync.WaitGroup
		writes.Go(func() { a.Write([]byte("aaaaaaaaaaaaaaaaaaaa")) })
		synctest.Wait()
		got := readN(t, b, 2) // too little room to wake the first
		synctest.Wait()
		writes.Go(func() { a.Write([]byte("b")) })
		synctest.Wait()
		got += readN(t, b, 19)
		writes.Wait()
		if want := "aaaaaaaaaaaaaaaaaaaab"; got != want {
			t.Errorf("Read() = %q, want %q", got, want)
		}
	})
}

// Room for the rest of a Write is enough, however little of the stream it is.
func TestWriteGoesOnWithLittleRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, 100)
		done := make(chan struct{})
		go func() {
			defer close(done)
			a.Write(make([]byte, 101))
		}()
		synctest.Wait()
		readN(t, b, 1)
		<-done
	})
}

func TestConcurrentReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, 0)
		var reads sync.WaitGroup
		for range 10 {
			reads.Go(func() { readN(t, b, 7) })
		}
		synctest.Wait()
		a.Write(make([]byte, 70))
		reads.Wait()
	})
}

func TestZeroLength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, 2)
		check := func(what string, c net.Conn, wantRead, wantWrite error) {
			t.Helper()
			if n, err := c.Read(nil); n != 0 || !errors.Is(err, wantRead) {
				t.Errorf("%s: Read(nil) = %d, %v, want 0, %v", what, n, err, wantRead)
			}
			if n, err := c.Write(nil); n != 0 || !errors.Is(err, wantWrite) {
				t.Errorf("%s: Write(nil) = %d, %v, want 0, %v", what, n, err, wantWrite)
			}
		}
		check("idle", a, nil, nil)
		a.Write([]byte("xx"))
		check("full", a, nil, nil)
		check("unread", b, nil, nil)
		a.SetDeadline(time.Now())
		check("deadline", a, nil, os.ErrDeadlineExceeded)
		a.Close()
		check("closed", a, net.ErrClosed, net.ErrClosed)
		check("peer closed", b, nil, syscall.EPIPE)
	})
}

func TestAddr(t *testing.T) {
	a, b := pair(t, 0)
	for _, end := range []net.Conn{a, b} {
		if got := end.LocalAddr().Network(); got != "mem" {
			t.Errorf("LocalAddr().Network() = %q, want %q", got, "mem")
		}
	}
	if a.LocalAddr() != b.RemoteAddr() || b.LocalAddr() != a.RemoteAddr() {
		t.Errorf("addresses %v-%v and %v-%v do not match", a.LocalAddr(), a.RemoteAddr(), b.LocalAddr(), b.RemoteAddr())
	}
	if a.LocalAddr().String() == b.LocalAddr().String() {
		t.Errorf("both ends are called %v", a.LocalAddr())
	}
}

// An idle pair stays small, also after it carried a lot.
func TestIdleMemory(t *testing.T) {
	const pairs, most = 2000, 800
	conns := make([]net.Conn, 0, 2*pairs)
	big := make([]byte, 60_000)
	before := heap()
	for range pairs {
		a, b := mem.Pipe()
		conns = append(conns, a, b)
		for _, dir := range [][2]net.Conn{{a, b}, {b, a}} {
			dir[0].Write(big)
			if _, err := io.ReadFull(dir[1], big); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := (heap() - before) / pairs; got > most {
		t.Errorf("an idle pair takes %d bytes, want at most %d", got, most)
	}
	runtime.KeepAlive(conns)
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// readN reads exactly n bytes and returns them.
func readN(t *testing.T, c net.Conn, n int) string {
	t.Helper()
	buf := make([]byte, n)
	if k, err := io.ReadFull(c, buf); err != nil {
		t.Errorf("ReadFull(%d) = %d, %v, want %d, nil", n, k, err, n)
	}
	return string(buf)
}
