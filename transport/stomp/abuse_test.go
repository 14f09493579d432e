package stomp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/polyport/polyport/transport"
	_ "github.com/polyport/polyport/transport/stomp"
)

// An attack is a stranger's connection. It writes until it is done or the
// server has had enough.
type attack struct {
	name string
	// after is said first, in good order; "" attacks the handshake.
	after string
	run   func(w io.Writer) error
	// says is what the ERROR has to mention. "" means that a close without an
	// ERROR is right as well.
	says string
	// most is how many bytes the server may take in before it ends it; 0 is
	// for attacks shorter than that.
	most int64
	// memory is how many bytes may be allocated, where it is over 1 MiB.
	memory uint64
}

const hello = "CONNECT\naccept-version:1.2\nhost:h\nheart-beat:0,0\n\n\x00"

// text attacks with a few bytes.
func text(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

// flood attacks with a head and then n times the same bytes.
func flood(head, repeat string, n int) func(io.Writer) error {
	chunk := bytes.Repeat([]byte(repeat), max(1, 32<<10/len(repeat)))
	return func(w io.Writer) error {
		if _, err := io.WriteString(w, head); err != nil {
			return err
		}
		for left := n * len(repeat); left > 0; left -= len(chunk) {
			if _, err := w.Write(chunk[:min(left, len(chunk))]); err != nil {
				return err
			}
		}
		return nil
	}
}

// subscriptions attacks with n different ones.
func subscriptions(n int) func(io.Writer) error {
	var all []byte
	for i := range n {
		all = fmt.Appendf(all, "SUBSCRIBE\nid:%d\ndestination:d\n\n\x00", i)
	}
	return func(w io.Writer) error {
		_, err := w.Write(all)
		return err
	}
}

// inTime is how many bytes the server and the system's buffers may swallow
// before a flood is cut: what is drained so that the ERROR is not lost.
const inTime = 48 << 20

var attacks = []attack{
	{"content-length 4294967295", hello, text("SEND\ndestination:rpc\ncontent-length:4294967295\n\nx"), "4294967295", 0, 0},
	{"content-length 4294967295 before CONNECT", "", text("CONNECT\ncontent-length:4294967295\n\nx"), "body", 0, 0},
	{"content-length as long as allowed, no body", hello, text("SEND\ndestination:rpc\ncontent-length:4194304\n\n"), "", 0, 0},
	{"a million headers", hello, flood("SEND\ndestination:rpc\n", "k:v\n", 1_000_000), "header", inTime, 0},
	{"a million headers before CONNECT", "", flood("CONNECT\n", "k:v\n", 1_000_000), "header", inTime, 0},
	{"256 MiB header line", hello, flood("SEND\ndestination:", "d", 256<<20), "header", inTime, 0},
	{"256 MiB header line before CONNECT", "", flood("CONNECT\nlogin:", "x", 256<<20), "header", inTime, 0},
	{"256 MiB of a command", "", flood("", "A", 256<<20), "command", inTime, 0},
	{"256 MiB body without content-length", hello, flood("SEND\ndestination:rpc\n\n", "x", 256<<20), "body", inTime, 3 * 4 << 20},
	{"body with NUL and no content-length", hello, text("SEND\ndestination:rpc\n\na\x00b\x00"), "command", 0, 0},
	{"SEND without destination", hello, text("SEND\n\nx\x00"), "destination", 0, 0},
	{"unknown ack mode", hello, text("SUBSCRIBE\nid:1\ndestination:d\nack:bogus\n\n\x00"), "bogus", 0, 0},
	{"double ACK", hello, text("ACK\nid:1\n\n\x00ACK\nid:1\n\n\x00"), "ACK", 0, 0},
	{"undefined escape", hello, text("SEND\ndestination:rpc\nk:a\\tb\n\n\x00"), "escape", 0, 0},
	{"a million bad frames", hello, flood("", "WHAT\n\n\x00", 1_000_000), "WHAT", inTime, 0},
	{"a hundred thousand subscriptions", hello, subscriptions(100_000), "subscriptions", inTime, 0},
	{"garbage", "", text("\x00\x01\x02\xff\xfe nonsense"), "command", 0, 0},
	{"garbage after CONNECT", hello, text("\xff\xfe\xfd"), "command", 0, 0},
	{"half a frame, then the end", hello, text("SEND\ndestina"), "", 0, 0},
	{"nothing, then the end", "", text(""), "", 0, 0},
	{"a frame of NUL bytes", hello, flood("", "\x00", 1_000_000), "command", inTime, 0},
	{"line ends before CONNECT without end", "", flood("", "\r\n", 1_000_000), "", 0, 0},
}

// strike runs an attack on addr and returns what the server said and how many
// bytes it took. Its buffers are its own, small, and made before.
func (a *attack) strike(t *testing.T, addr string) (said string, took int64) {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	if a.after != "" {
		if _, err := io.WriteString(nc, a.after); err != nil {
			t.Fatal(err)
		}
		one(t, readFrame(t, nc), "CONNECTED")
	}
	answer := make(chan string)
	go func() {
		b, err := io.ReadAll(nc)
		if err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the server did not close: %v", err)
		}
		answer <- string(b)
	}()
	w := &counter{w: nc}
	if a.run(w) == nil && (a.says == "" || a.most > 0) {
		_ = nc.(*net.TCPConn).CloseWrite()
	}
	return <-answer, w.n.Load()
}

type counter struct {
	w io.Writer
	n atomic.Int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n.Add(int64(n))
	return n, err
}

// readFrame reads up to a NUL byte.
func readFrame(t *testing.T, r io.Reader) string {
	t.Helper()
	var b []byte
	for c := make([]byte, 1); ; {
		if _, err := io.ReadFull(r, c); err != nil {
			t.Fatalf("after %q: %v", b, err)
		}
		if b = append(b, c[0]); c[0] == 0 {
			return string(b)
		}
	}
}

// TestAttacks: each is refused with one clear ERROR or a close, takes no more
// than 1 MiB, leaves no goroutine and no descriptor behind, and disturbs no
// other client.
func TestAttacks(t *testing.T) {
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			o := &transport.ListenOptions{}
			o.Linger = 200 * time.Millisecond
			r := newTCPRig(t, o, echo)
			addr := r.l.Addr().String()
			neighbour := newNeighbour(t, addr)
			neighbour.call(t)
			a.strike(t, addr) // whatever is made once has been made
			settle(t, r)

			goroutines, descriptors := runtime.NumGoroutine(), openFiles(t)
			before := allocated()
			said, took := a.strike(t, addr)
			settle(t, r)
			if got := allocated() - before; got > max(1<<20, a.memory) {
				t.Errorf("%d bytes were allocated, want at most %d", got, max(1<<20, a.memory))
			}
			if a.most > 0 && took > a.most {
				t.Errorf("the server took %d bytes before it had enough, want at most %d", took, a.most)
			}
			a.judge(t, said)
			eventually(t, "goroutines as before", func() bool { return runtime.NumGoroutine() <= goroutines })
			eventually(t, "descriptors as before", func() bool { return openFiles(t) <= descriptors })

			stop := neighbour.callThroughout(t)
			for range 3 {
				a.strike(t, addr)
			}
			if n := stop(); n == 0 {
				t.Error("the neighbour made no call meanwhile")
			}
		})
	}
}

// judge checks what the server said.
func (a *attack) judge(t *testing.T, said string) {
	t.Helper()
	if said == "" && a.says == "" {
		return
	}
	if said == "" && a.most > 0 {
		// The ERROR may be lost where the system resets the connection because
		// of bytes that nobody read.
		return
	}
	explains(t, refused(t, said+"^D"), a.says)
}

// settle waits until every connection but the first, which is the
// neighbour's, has ended.
func settle(t *testing.T, r *rig) {
	t.Helper()
	for _, s := range r.sessions()[1:] {
		<-s.over
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			buf := make([]byte, 64<<10)
			t.Fatalf("never: %s\n%s", what, buf[:runtime.Stack(buf, true)])
		}
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("no /proc/self/fd to count descriptors in: %v", err)
	}
	return len(all)
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// A neighbour is a client in good standing.
type neighbour struct {
	c  transport.Conn
	to string
}

func newNeighbour(t *testing.T, addr string) *neighbour {
	t.Helper()
	c, err := transport.Dial(t.Context(), "stomp://"+addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	a, _ := transport.As[transport.ReplyAddresser](c)
	to, err := a.ReplyAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &neighbour{c, to}
}

// call makes a call that has to be answered soon.
func (n *neighbour) call(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := n.c.Send(ctx, &transport.Message{ReplyTo: n.to, Body: []byte("ping")}); err != nil {
		t.Errorf("neighbour: Send = %v", err)
		return
	}
	if m, err := n.c.Recv(ctx); err != nil || string(m.Body) != "ping" {
		t.Errorf("neighbour: Recv = %v, %v, want ping", m, err)
	}
}

// callThroughout makes calls until stop is called, which says how many.
func (n *neighbour) callThroughout(t *testing.T) (stop func() int) {
	ended, result := make(chan struct{}), make(chan int)
	go func() {
		for calls := 0; ; calls++ {
			select {
			case <-ended:
				result <- calls
				return
			default:
				n.call(t)
			}
		}
	}()
	return func() int {
		close(ended)
		return <-result
	}
}
