package zmq_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/polyport/polyport/internal/hostile"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// A site is a server on a TCP port, by transport.Listen and rpc.Server, and a
// client of it in good standing, the neighbour of those who attack it.
type site struct {
	t         *testing.T
	addr      string
	neighbour *rpc.Client
}

func newSite(t *testing.T, o *transport.ListenOptions) *site {
	t.Helper()
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Echo", func(_ context.Context, text string) (string, error) { return text, nil })
	l, err := transport.Listen(t.Context(), "zmq://127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	server := rpc.NewServer(mux, nil)
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), l) }()
	s := &site{t: t, addr: l.Addr().String()}
	s.neighbour, err = rpc.Dial(t.Context(), "zmq://"+s.addr, nil)
	t.Cleanup(func() {
		if s.neighbour != nil {
			_ = s.neighbour.Close()
		}
		_ = l.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = server.Shutdown(ctx)
		<-served
	})
	if err != nil {
		t.Fatal(err)
	}
	s.call()
	return s
}

// call has the neighbour make a call, which has to be answered.
func (s *site) call() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if got, err := rpc.Call[string](ctx, s.neighbour, "Echo", []string{"ping"}); err != nil || got != "ping" {
		s.t.Errorf("the neighbour's call = %q, %v, want ping", got, err)
	}
}

// callThroughout makes calls until stop is called, which returns how long each
// took, the quickest first.
func (s *site) callThroughout() (stop func() []time.Duration) {
	ended, result := make(chan struct{}), make(chan []time.Duration)
	go func() {
		var all []time.Duration
		for {
			select {
			case <-ended:
				slices.Sort(all)
				result <- all
				return
			default:
			}
			start := time.Now()
			s.call()
			all = append(all, time.Since(start))
		}
	}()
	return func() []time.Duration {
		close(ended)
		return <-result
	}
}

// report logs how long calls took. It is a failure only if one in a hundred
// took so long that somebody was in the way: machines differ.
func (s *site) report(during string, all []time.Duration) {
	s.t.Helper()
	if len(all) == 0 {
		s.t.Errorf("%s: the neighbour made no call", during)
		return
	}
	p99 := all[len(all)*99/100]
	s.t.Logf("%s: %d calls, median %v, p99 %v, longest %v", during, len(all), all[len(all)/2], p99, all[len(all)-1])
	if p99 > 5*time.Second {
		s.t.Errorf("%s: p99 = %v", during, p99)
	}
}

func (s *site) dial() *net.TCPConn {
	s.t.Helper()
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = nc.SetDeadline(time.Now().Add(30 * time.Second))
	return nc.(*net.TCPConn)
}

// An attack is a stranger's connection.
type attack struct {
	name string
	head []byte
	// then is said again and again, most times; the server has to have enough
	// before that if it must not take all.
	then []byte
	most int
	// lasts says that the server bears with it.
	lasts bool
}

// session is a good handshake of a socket, and what comes then.
func session(socket string, then ...[]byte) []byte { return join(null, ready(socket), join(then...)) }

var attacks = []attack{
	{"a frame of 2^62 bytes", session("DEALER", lying(0, 1<<62)), nil, 0, false},
	{"a frame of 8 GiB", session("DEALER", lying(0, 8<<30)), nil, 0, false},
	{"a first frame of 8 GiB", session("DEALER", lying(1, 8<<30)), nil, 0, false},
	{"a frame of 8 GiB and some of it", session("DEALER", lying(0, 8<<30)), make([]byte, 64<<10), 1000, false},
	{"a frame as long as allowed, no body", session("DEALER", lying(0, 4<<20)), nil, 0, false},
	{"a command of 2^62 bytes", session("DEALER", lying(4, 1<<62)), nil, 0, false},
	{"a command of 8 GiB in the handshake", join(null, lying(4, 8<<30)), nil, 0, false},
	{"a READY body 01 53", join(null, command("READY", "\x01S")), nil, 0, false},
	{"a READY 01 53", join(null, []byte{4, 1, 0x53}), nil, 0, false},
	{"messages of frames without end", session("DEALER"), more(""), 30 << 20, false},
	{"messages of long frames without end", session("DEALER"), more(strings.Repeat("x", 255)), 1 << 20, false},
	{"11 messages that are no subscriptions", session("SUB", bytes.Repeat(last("hello"), 11)), nil, 0, true},
	{"1,100 messages that are no subscriptions", session("XSUB"), last("hello"), 1100, true},
	{"100,000 subscriptions", session("SUB"), last("\x01a"), 100_000, false},
	{"1,100 subscriptions undone", session("SUB"), join(last("\x01a"), last("\x00a")), 1100, true},
	{"PUSH", session("PUSH"), nil, 0, false},
	{"CURVE", greet(0, "CURVE"), nil, 0, false},
	{"greetings without end", nil, null, 1 << 20, false},
	{"half a greeting", null[:30], nil, 0, false},
	{"nothing", nil, nil, 0, false},
	{"0xff without end", nil, []byte{0xff}, 64 << 20, false},
	{"HTTP", []byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), nil, 0, false},
	{"TLS", []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), nil, 0, false},
	{"commands that nobody knows", session("DEALER"), command("DANCE", "now"), 20_000, true},
}

// inTime is how many bytes the server and the system's buffers may swallow
// before a flood is cut.
const inTime = 24 << 20

// strike runs an attack and returns how many bytes the server took.
func (s *site) strike(a *attack) (took int) {
	s.t.Helper()
	nc := s.dial()
	defer nc.Close()
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = io.Copy(io.Discard, nc)
	}()
	n, err := nc.Write(a.head)
	took = n
	if len(a.then) > 0 {
		chunk := bytes.Repeat(a.then, max(1, 16<<10/len(a.then)))
		for left := a.most * len(a.then); err == nil && left > 0; left -= len(chunk) {
			n, err = nc.Write(chunk[:min(left, len(chunk))])
			took += n
		}
	}
	if err == nil && (a.lasts || took < inTime/2) {
		_ = nc.CloseWrite()
	}
	<-over
	return took
}

// TestAttacks: each is cut off, takes no more than 1 MiB, leaves no goroutine and
// no descriptor behind, and disturbs no other client.
func TestAttacks(t *testing.T) {
	s := newSite(t, &transport.ListenOptions{Options: transport.Options{Linger: 200 * time.Millisecond}})
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			s.t = t
			s.strike(&a) // whatever is made once has been made
			s.call()
			eventually(t, "the attack is over", s.quiet())
			goroutines, descriptors, before := goroutinesNow(), openFiles(t), allocated()
			took := s.strike(&a)
			eventually(t, "goroutines as before", func() bool { return goroutinesNow() <= goroutines })
			eventually(t, "descriptors as before", func() bool { return openFiles(t) <= descriptors })
			if got := allocated() - before; got > 1<<20 {
				t.Errorf("%d bytes were allocated, want at most 1 MiB", got)
			}
			if !a.lasts && took > inTime {
				t.Errorf("the server took %d bytes before it had enough, want at most %d", took, inTime)
			}
			stop := s.callThroughout()
			for range 3 {
				s.strike(&a)
			}
			s.report("meanwhile", stop())
		})
	}
	s.t = t
}

// quiet reports whether the number of goroutines has stopped falling.
func (s *site) quiet() func() bool {
	last, same := 0, 0
	return func() bool {
		if n := goroutinesNow(); n != last {
			last, same = n, 0
		}
		same++
		return same > 5
	}
}

// TestSilentConnections: a thousand that say nothing, at once, cost little, hold
// up nobody, and are cut off in time.
func TestSilentConnections(t *testing.T) {
	const n = 1000
	s := newSite(t, &transport.ListenOptions{HandshakeTimeout: 3 * time.Second})
	s.report("before", during(s, func() { time.Sleep(100 * time.Millisecond) }))
	goroutines, descriptors, before := goroutinesNow(), openFiles(t), inUse()
	all := make([]*net.TCPConn, 0, n)
	calls := during(s, func() {
		for i := range n {
			nc := s.dial()
			_, _ = nc.Write(null[:i%12])
			all = append(all, nc)
		}
		fresh, err := rpc.Dial(t.Context(), "zmq://"+s.addr, nil)
		if err != nil {
			t.Errorf("another client cannot come in: %v", err)
			return
		}
		_ = fresh.Close()
	})
	s.report("meanwhile", calls)
	cost := (inUse() - before) / n
	t.Logf("%d bytes of memory for each", cost)
	if cost > 128<<10 {
		t.Errorf("each of %d silent connections costs %d bytes, want at most 128 KiB", n, cost)
	}
	for i, nc := range all {
		if _, err := io.Copy(io.Discard, nc); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("connection %d was not cut off", i)
		}
		_ = nc.Close()
	}
	eventually(t, "goroutines as before", func() bool { return goroutinesNow() <= goroutines })
	eventually(t, "descriptors as before", func() bool { return openFiles(t) <= descriptors })
	s.call()
}

// during returns how long the neighbour's calls took while f ran.
func during(s *site, f func()) []time.Duration {
	stop := s.callThroughout()
	f()
	return stop()
}

// TestGarbageConnections: strangers come and go, with anything to say, and
// nothing of them remains. POLYPORT_LONG=1 makes it 100,000.
func TestGarbageConnections(t *testing.T) {
	n := int64(2000)
	if os.Getenv("POLYPORT_LONG") == "1" {
		n = 100_000
	}
	t.Logf("%d connections; POLYPORT_LONG=1 makes it 100000", n)
	s := newSite(t, nil)
	s.report("before", during(s, func() { time.Sleep(100 * time.Millisecond) }))
	garbage := slices.DeleteFunc(hostile.ZMQ(), func(b []byte) bool { return len(b) > 10_000 })
	strike := func(i int64) {
		nc := s.dial()
		defer nc.Close()
		_ = nc.SetLinger(0) // leaves no port behind that cannot be used for a while
		b := garbage[i%int64(len(garbage))]
		if i%3 == 0 {
			b = make([]byte, i%1000)
			_, _ = rand.NewChaCha8([32]byte{byte(i), byte(i >> 8)}).Read(b)
		}
		_, _ = nc.Write(b)
		if i%2 == 0 {
			_ = nc.CloseWrite()
			_, _ = io.Copy(io.Discard, nc)
		}
	}
	for i := range int64(200) { // whatever is made once has been made
		strike(i)
	}
	eventually(t, "all is quiet", s.quiet())
	goroutines, descriptors, before, made := goroutinesNow(), openFiles(t), inUse(), allocated()
	var next atomic.Int64
	s.report("meanwhile", during(s, func() {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for i := next.Add(1); i <= n; i = next.Add(1) {
					strike(i)
				}
			})
		}
		wg.Wait()
	}))
	t.Logf("%d bytes were allocated for each, the neighbour's calls included", (allocated()-made)/uint64(n))
	eventually(t, "goroutines as before", func() bool { return goroutinesNow() <= goroutines })
	eventually(t, "descriptors as before", func() bool { return openFiles(t) <= descriptors })
	if got := inUse() - before; got > 8<<20 {
		t.Errorf("%d bytes of memory remain, want at most 8 MiB", got)
	}
	s.call()
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			buf := make([]byte, 64<<10)
			t.Fatalf("never: %s\n%s", what, buf[:runtime.Stack(buf, true)])
		}
	}
}

// stacks is memory of goroutinesNow, so that it does not count as allocated.
var stacks = make([]byte, 4<<20)

// goroutinesNow is how many goroutines have to do with connections. The workers of
// a server's queue come and go as it sees fit.
func goroutinesNow() int {
	buf := stacks[:runtime.Stack(stacks, true)]
	return bytes.Count(buf, []byte("\ngoroutine ")) - bytes.Count(buf, []byte("\ncreated by github.com/polyport/polyport/queue."))
}

func openFiles(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("no /proc/self/fd to count descriptors in: %v", err)
	}
	return len(all)
}

// allocated is how many bytes were allocated so far.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// inUse is how many bytes of heap and stacks are in use.
func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
