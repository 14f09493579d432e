package port_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/polyport/polyport/transport/port"
)

// long says that tests take the time for their whole size.
var long = os.Getenv("POLYPORT_LONG") != ""

// attackEnv holds "MODE ADDR COUNT".
const attackEnv = "POLYPORT_TEST_ATTACK"

// attack keeps COUNT connections open that never say enough: silent ones, ones that
// drip a byte each 5 s, ones that stop in the TLS handshake. Those that are cut come
// again. It ends with its standard input.
func attack(how string) {
	var mode, addr string
	var count int
	if _, err := fmt.Sscan(how, &mode, &addr, &count); err != nil {
		panic(err)
	}
	say := map[string]string{"silent": "", "drip": "\n", "stall": "\x16\x03\x01\x02\x00"}[mode]
	gap := map[string]time.Duration{"silent": time.Hour, "drip": 5 * time.Second, "stall": time.Hour}[mode]
	var once sync.WaitGroup // for the first time that each is connected
	for i := range count {
		once.Add(1)
		go func() {
			first := sync.OnceFunc(once.Done)
			if count > 1000 { // not all in the same moment of their five seconds
				time.Sleep(rand.N(5 * time.Second))
			}
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i%100))}}
			for {
				nc, err := d.Dial("tcp", addr)
				if err != nil {
					time.Sleep(100 * time.Millisecond)
					continue
				}
				first()
				stop := make(chan struct{})
				go func() {
					defer close(stop)
					_, _ = io.Copy(io.Discard, nc)
				}()
				for open := true; open; {
					if _, err := io.WriteString(nc, say); err != nil {
						break
					}
					select {
					case <-time.After(gap):
					case <-stop:
						open = false
					}
				}
				nc.Close()
				<-stop
			}
		}()
	}
	once.Wait()
	fmt.Println("all are there")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// startAttack runs attack in a process of its own, and returns when all peers are
// there. stop ends it.
func startAttack(t *testing.T, mode, addr string, count int) (stop func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d", attackEnv, mode, addr, count))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() { in.Close(); _ = cmd.Wait() })
	t.Cleanup(stop)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "all are there\n" {
		t.Fatalf("the other process says %q, %v", line, err)
	}
	return stop
}

// openTCP is openGate on TCP, without logs.
func openTCP(tb testing.TB, o *port.Options) *gate {
	tb.Helper()
	g := &gate{seen: map[string]int{}, done: make(chan struct{})}
	o.Logger = slog.New(slog.DiscardHandler)
	o.Linger = 10 * time.Second // for a refusal to leave, on a busy machine
	var err error
	if g.Listener, err = port.Listen(tb.Context(), "127.0.0.1:0", o); err != nil {
		tb.Fatal(err)
	}
	go g.accept()
	tb.Cleanup(g.close)
	return g
}

// goodClients measures a thousand connections one after the other, each from dialing
// to the first answer, and goes on for a time.
func goodClients(t *testing.T, addr string, d time.Duration) (p50, p99 time.Duration) {
	t.Helper()
	var took []time.Duration
	for end := time.Now().Add(d); len(took) < 1000 || time.Now().Before(end); {
		start := time.Now()
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		o := openings[len(took)%len(openings)]
		say(t, nc, o.bytes)
		checkAnswer(t, "a good client with "+o.name, nc, o.answer)
		took = append(took, time.Since(start))
		_ = nc.(*net.TCPConn).SetLinger(0)
		nc.Close()
	}
	slices.Sort(took)
	return took[len(took)/2], took[len(took)*99/100]
}

// inUse is the memory of the heap and of stacks.
func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// Peers that never say enough hold up nobody, cost little, and go with the port.
func TestPeersThatNeverSayEnough(t *testing.T) {
	tests := []struct {
		mode    string
		count   int
		seconds int
	}{{"silent", 1000, 0}, {"drip", 500, 0}, {"stall", 500, 0}}
	if long {
		tests[0].seconds, tests[1].count, tests[1].seconds, tests[2].count, tests[2].seconds = 6, 10_000, 60, 1000, 12
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%d %s", tt.count, tt.mode), func(t *testing.T) {
			o := withTLS(t)
			o.Handshakes, o.Connections = tt.count+100, tt.count+1000
			if long && tt.mode == "drip" { // all of them for the whole minute: what they cost, not what their coming again does
				o.HandshakeTimeout, o.DetectionTimeout = 5*time.Minute, 5*time.Minute
			}
			g := openTCP(t, o)
			addr := g.Addr().String()
			during := time.Duration(tt.seconds) * time.Second
			goodClients(t, addr, 0) // to warm up
			usual50, usual := goodClients(t, addr, during/4)
			before := inUse()
			stop := startAttack(t, tt.mode, addr, tt.count)
			each := (inUse() - before) / uint64(tt.count)
			busy50, busy := goodClients(t, addr, during)
			start := time.Now()
			_ = g.Close()
			closed := time.Since(start)
			stop()
			t.Logf("%d bytes a connection; a good client's p50 %v, p99 %v (without them %v, %v); Close took %v", each, busy50, busy, usual50, usual, closed)
			if each > 32<<10 {
				t.Errorf("%d bytes a connection, want 32 KiB at most", each)
			}
			limit := time.Second // whatever else this machine does
			if long {
				limit = 100 * time.Millisecond
				if busy > 2*usual {
					t.Errorf("a good client's p99 is %v, want at most twice %v", busy, usual)
				}
			}
			if closed > limit {
				t.Errorf("Close took %v, want %v at most", closed, limit)
			}
		})
	}
}

// Whatever pieces the first bytes come in, each connection is answered by its wire.
func TestRandomSplits(t *testing.T) {
	count, workers := 1000, 32
	if long {
		count = 100_000
	}
	g := openTCP(t, withTLS(t))
	var next, wrong atomic.Int64
	conf := clientTLS(t, "")
	var all sync.WaitGroup
	start := time.Now()
	for w := range workers {
		all.Go(func() {
			random := rand.New(rand.NewPCG(7, uint64(w)))
			for next.Add(1) <= int64(count) && wrong.Load() < 10 {
				form, o := forms[random.IntN(2)], openings[random.IntN(len(openings))]
				if err := splitAtRandom(t.Context(), g.Addr().String(), form, conf, o, random); err != nil {
					wrong.Add(1)
					t.Errorf("%s over %s: %v", o.name, form, err)
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d connections in %v", count, time.Since(start))
	start = time.Now()
	g.close()
	if took := time.Since(start); took > time.Second {
		t.Errorf("Close took %v", took)
	}
}

// splitAtRandom sends o in pieces, with and without pauses, and expects its answer.
func splitAtRandom(ctx context.Context, addr, form string, conf *tls.Config, o opening, random *rand.Rand) error {
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	_ = nc.(*net.TCPConn).SetLinger(0) // which leaves no port behind that is in use
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	stream := nc
	if form == "TLS" {
		stream = tls.Client(nc, conf)
	}
	for rest := o.bytes; rest != ""; {
		n := 1 + random.IntN(len(rest))
		if _, err := io.WriteString(stream, rest[:n]); err != nil {
			break // some are answered and refused before they have said all
		}
		rest = rest[n:]
		if random.IntN(2) == 0 {
			time.Sleep(time.Duration(random.IntN(1000)) * time.Microsecond)
		}
	}
	want := o.answered(form)
	got := make([]byte, len(want))
	if n, err := io.ReadFull(stream, got); string(got[:n]) != want {
		return fmt.Errorf("answered with %q, %w; want %q", got[:n], err, want)
	}
	return nil
}
