package cli_test

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/fx"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/rpc"
)

const handle = "3b241101-e2bb-4255-8caf-4136c566a962"

// A job is a method that ends when the test wants it.
type job struct {
	runs    atomic.Int32
	entered chan struct{}
	release chan struct{}
}

func newJob() *job { return &job{entered: make(chan struct{}, 10), release: make(chan struct{})} }

func (j *job) methods() fx.Option {
	return fx.Provide(app.AsMethods(func() app.Methods {
		return func(m *rpc.Mux) error {
			rpc.Handle(m, "Job", func(ctx context.Context, n int) (int, error) {
				j.runs.Add(1)
				j.entered <- struct{}{}
				select {
				case <-j.release:
					return n, nil
				case <-ctx.Done():
					return 0, ctx.Err()
				}
			})
			m.Configure("Job", rpc.MethodOptions{Async: true})
			return nil
		}
	}))
}

// A relay passes bytes on between its callers and a server, until it cuts the
// connections it has.
type relay struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (r *relay) start(t *testing.T, to *atomic.Pointer[string]) (url string) {
	t.Helper()
	return "stomp://" + peer(t, func(near net.Conn) {
		far, err := net.Dial("tcp", strings.TrimPrefix(*to.Load(), "stomp://"))
		if err != nil {
			return
		}
		r.mu.Lock()
		r.conns = append(r.conns, near, far)
		r.mu.Unlock()
		var wg sync.WaitGroup
		for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
			wg.Go(func() {
				_, _ = io.Copy(way[0], way[1])
				_ = near.Close()
				_ = far.Close()
			})
		}
		wg.Wait()
	})
}

func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		_ = c.Close()
	}
	r.conns = nil
}

// A call with a handle prints its result although the connection was cut on the
// way, and a second one with the same handle prints it again.
func TestCallAsync(t *testing.T) {
	j := newJob()
	url := serve(t, app.Config{}, j.methods())
	var r relay
	var to atomic.Pointer[string]
	to.Store(&url)
	c := begin(t, "call", r.start(t, &to), "Job", "[5]", "--async="+handle)
	<-j.entered
	r.cut()
	close(j.release)
	if c.stdout.await(t, "\n"); c.stdout.String() != "5\n" {
		t.Errorf("call --async prints %q, want 5", c.stdout)
	}
	if got := c.end(); got.code != 0 || got.stderr != "" {
		t.Errorf("call --async = %+v, want 0", got)
	}
	if got := run(t, "call", url, "Job", "[5]", "--async="+handle); got != (outcome{0, "5\n", ""}) {
		t.Errorf("the same again = %+v, want 5", got)
	}
	if got := run(t, "call", url, "Job", "[6]", "--async="+handle); got.code != 1 || !strings.Contains(got.stderr, "-32053") {
		t.Errorf("another call with the handle = %+v, want a conflict", got)
	}
	if n := j.runs.Load(); n != 1 {
		t.Errorf("the handler ran %d times, want once", n)
	}
	if got := run(t, "call", url, "Task.Run", "[1]", "--async"); got != (outcome{0, "1\n", ""}) {
		t.Errorf("call Task.Run --async = %+v, want 1", got)
	}
	if got := run(t, "call", url, "Job", "--async", "[7]"); got != (outcome{0, "7\n", ""}) {
		t.Errorf("call Job --async [7] = %+v, want 7", got)
	}
}

// Who gives up is told how to come back, and does.
func TestCallAsyncComesBack(t *testing.T) {
	j := newJob()
	url := serve(t, app.Config{}, j.methods())
	got := run(t, "call", url, "Job", "[5]", "--async", "--timeout", "300ms")
	_, after, ok := strings.Cut(got.stderr, "--async=")
	if got.code != 3 || !ok || len(after) < 36 {
		t.Fatalf("call --async = %+v, want 3 and a handle", got)
	}
	close(j.release)
	if got := run(t, "call", url, "Job", "[5]", "--async="+after[:36]); got != (outcome{0, "5\n", ""}) {
		t.Errorf("call --async=%s = %+v, want 5", after[:36], got)
	}
	if n := j.runs.Load(); n != 1 {
		t.Errorf("the handler ran %d times, want once", n)
	}
}

// When the server was started again meanwhile nobody knows whether the call was
// executed, and it is not made again.
func TestCallAsyncOfAnotherServer(t *testing.T) {
	one, two := newJob(), newJob()
	before, after := serve(t, app.Config{}, one.methods()), serve(t, app.Config{}, two.methods())
	var r relay
	var to atomic.Pointer[string]
	to.Store(&before)
	c := begin(t, "call", r.start(t, &to), "Job", "[5]", "--async="+handle)
	<-one.entered
	to.Store(&after)
	r.cut()
	said := c.stderr.await(t, "\n")
	if got := c.end(); got.code != 3 || !strings.Contains(said, "does not know the call") || strings.Contains(said, handle) {
		t.Errorf("call --async = %+v, want 3 and why", got)
	}
	if n := two.runs.Load(); n != 0 {
		t.Errorf("the other server's handler ran %d times, want never", n)
	}
	close(one.release)
}
