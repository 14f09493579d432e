package interop_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/polyport/polyport/interop/broker"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// serveQueueEnv makes this test binary a server of the queue that it names.
const serveQueueEnv = "POLYPORT_TEST_SERVE_QUEUE"

// serveQueue serves the method Who, which returns the process's number, until
// standard input ends.
func serveQueue(url string) error {
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Who", func(context.Context, struct{}) (int, error) { return os.Getpid(), nil })
	server := rpc.NewServer(mux, nil)
	conn, err := transport.Redial(context.Background(), url, nil)
	if err != nil {
		return err
	}
	by, _ := transport.As[transport.Subscriber](conn)
	if _, err := by.Subscribe(context.Background(), transport.Subscription{Ack: transport.AckEach, Credit: 64}); err != nil {
		return err
	}
	go func() { _ = server.ServeConn(conn) }()
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return server.Shutdown(context.Background())
}

// startConsumer starts a process that serves a queue.
func startConsumer(t *testing.T, url string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), os.Args[0])
	cmd.Env = append(os.Environ(), serveQueueEnv+"="+url)
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
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait() // the killed one fails
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("the server said %q, %v, want ready", line, err)
	}
	return cmd
}

// TestServersShareAQueue: three servers of one queue get about a third of the
// calls each. When one is killed the others take its share, and what it had
// under way. POLYPORT_LONG=1 runs the long form.
func TestServersShareAQueue(t *testing.T) {
	calls := 6_000
	if os.Getenv("POLYPORT_LONG") != "" {
		calls = 30_000
	}
	broker.Each(t, func(t *testing.T, b *broker.Broker) { share(t, b.URL+"/queue/share."+b.Kind.String(), calls) })
}

// TestServersShareAQueueAMQP is the same over AMQP 1.0.
func TestServersShareAQueueAMQP(t *testing.T) {
	t.Parallel()
	calls := 1_500
	if os.Getenv("POLYPORT_LONG") != "" {
		calls = 30_000
	}
	broker.EachAMQP(t, func(t *testing.T, b *broker.Broker) {
		if b.Kind == broker.Proton {
			t.Skip("Proton's broker gives no message again when a server dies")
		}
		t.Parallel()
		share(t, b.AMQPURL+"/share."+b.Kind.String(), calls)
	})
}

// share makes calls to three servers of the queue at url.
func share(t *testing.T, url string, calls int) {
	t.Helper()
	var servers []*exec.Cmd
	for range 3 {
		servers = append(servers, startConsumer(t, url))
	}
	client, err := rpc.Dial(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	shares := whoAnswers(t, client, calls, nil)
	for _, s := range servers {
		n := shares[s.Process.Pid]
		t.Logf("server %d answered %d of %d", s.Process.Pid, n, calls)
		if n < calls/3*8/10 || n > calls/3*12/10 {
			t.Errorf("server %d answered %d of %d calls, want a third, within 20 %%", s.Process.Pid, n, calls)
		}
	}
	killed := servers[0].Process
	shares = whoAnswers(t, client, calls, func() { _ = killed.Kill() })
	for _, s := range servers {
		n := shares[s.Process.Pid]
		t.Logf("server %d answered %d of %d, of which one is killed after a tenth", s.Process.Pid, n, calls)
		if s.Process != killed && n < calls*3/10 {
			t.Errorf("server %d answered %d of %d calls, want its share of those of the killed server, too", s.Process.Pid, n, calls)
		}
	}
}

// whoAnswers makes calls and returns how many each server answered. After a
// tenth of them event is called.
func whoAnswers(t *testing.T, c *rpc.Client, calls int, event func()) map[int]int {
	t.Helper()
	var mu sync.Mutex
	shares := map[int]int{}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for n := int(next.Add(1)); n <= calls; n = int(next.Add(1)) {
				if n == calls/10 && event != nil {
					event()
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				who, err := rpc.Call[int](ctx, c, "Who", nil)
				cancel()
				if err != nil {
					t.Errorf("Who = %v", err)
					return
				}
				mu.Lock()
				shares[who]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return shares
}
