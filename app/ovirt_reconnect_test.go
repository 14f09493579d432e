package app_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// A proxy passes TCP connections on to addr until it cuts them.
type proxy struct {
	net.Listener
	addr string
	wg   sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
}

func newProxy(t *testing.T, addr string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: l, addr: addr, conns: map[net.Conn]bool{}}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.cut(false)
		p.wg.Wait()
	})
	return p
}

func (p *proxy) accept() {
	for {
		near, err := p.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", p.addr)
		if err != nil {
			_ = near.Close()
			continue
		}
		p.mu.Lock()
		p.conns[near], p.conns[far] = true, true
		p.mu.Unlock()
		p.wg.Go(func() { p.pass(near, far) })
		p.wg.Go(func() { p.pass(far, near) })
	}
}

func (p *proxy) pass(from, to net.Conn) {
	_, _ = io.Copy(to, from)
	_, _ = from.Close(), to.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, from)
	delete(p.conns, to)
}

// cut ends all connections, by RST if it is to be rude.
func (p *proxy) cut(rude bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if rude {
			_ = c.(*net.TCPConn).SetLinger(0)
		}
		_ = c.Close()
	}
}

// A tally counts how often each call was executed, by what it is called.
type tally struct {
	mu   sync.Mutex
	runs map[string]int
}

func (y *tally) methods() app.Methods {
	return func(m *rpc.Mux) error {
		rpc.Handle(m, "Test.once", func(ctx context.Context, p struct {
			Name string `json:"name"`
			MS   int    `json:"ms"`
		},
		) (string, error) {
			y.mu.Lock()
			y.runs[p.Name]++
			y.mu.Unlock()
			select {
			case <-time.After(time.Duration(p.MS) * time.Millisecond):
				return p.Name, nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		})
		return nil
	}
}

func (y *tally) of(name string) int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.runs[name]
}

// outcomes of the calls of a test.
type outcomes struct{ answered, unknown, notSent atomic.Int64 }

// once makes a call of its own name and holds its outcome to what is promised:
// the answer is its own, and what was not sent was not executed.
func (o *outcomes) once(ctx context.Context, t *testing.T, c *rpc.Client, y *tally, name string, ms int) {
	got, err := rpc.Call[string](ctx, c, "Test.once", map[string]any{"name": name, "ms": ms})
	switch rpc.OutcomeOf(err) {
	case rpc.Answered:
		o.answered.Add(1)
		if got != name || err != nil {
			t.Errorf("%s was answered %q, %v", name, got, err)
		}
		if n := y.of(name); n != 1 {
			t.Errorf("%s was answered, and executed %d times, want once", name, n)
		}
	case rpc.NotSent:
		o.notSent.Add(1)
		if n := y.of(name); n != 0 {
			t.Errorf("%s was not sent, and executed %d times", name, n)
		}
	case rpc.Unknown:
		o.unknown.Add(1)
		if !errors.Is(err, transport.ErrReconnecting) {
			t.Errorf("%s has an unknown outcome without a lost connection: %v", name, err)
		}
	}
}

// events publishes numbers on one topic until ctx ends.
func publishNumbers(ctx context.Context, t *testing.T, s *rpc.Server) {
	for n := 1; ctx.Err() == nil; n++ {
		if _, err := s.Publish(ctx, "|virt|VM_status|numbers", map[string]int{"n": n}); err != nil && ctx.Err() == nil {
			t.Errorf("Publish(%d) = %v", n, err)
		}
		time.Sleep(time.Millisecond)
	}
}

// hear reads the numbers: they rise by one each, but where a gap is told.
func hear(t *testing.T, s *rpc.Subscription, last, gaps *atomic.Int64) {
	told := true // they begin anywhere
	for e, err := range s.Events() {
		if gap, missed := errors.AsType[*rpc.GapError](err); missed {
			told = true
			if gap.Dropped == 0 {
				gaps.Add(1)
			}
			continue
		}
		var p struct {
			N int64 `json:"n"`
		}
		if err != nil || e.Topic != "|virt|VM_status|numbers" || e.Decode(&p) != nil {
			t.Errorf("event %q %s, %v", e.Topic, e.Params, err)
			return
		}
		if was := last.Load(); p.N != was+1 && (!told || p.N <= was) {
			t.Errorf("event %d after %d, gap told: %v", p.N, was, told)
		}
		told = false
		last.Store(p.N)
	}
}

// TestOVirtReconnect: a long call, a stream of events and 50 callers on one
// connection, which is cut again and again, sometimes by RST: nothing is crossed, and
// nothing is lost that was promised.
func TestOVirtReconnect(t *testing.T) {
	const cuts, callers = 6, 50
	y := &tally{runs: map[string]int{}}
	var server *rpc.Server
	r := start(t, app.Config{Profile: transport.OVirt}, fx.Provide(app.AsMethods(y.methods)), fx.Populate(&server))
	p := newProxy(t, r.Endpoints()[0].Addr)
	u := url.URL{Scheme: "stomp", Host: p.Addr().String(), RawQuery: "profile=ovirt"}
	conn, err := transport.Redial(t.Context(), u.String(), &transport.RedialOptions{First: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	c := rpc.NewClient(conn, nil)
	defer c.Close()
	s, err := c.Subscribe(t.Context(), "*|virt|VM_status|numbers", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg, stream sync.WaitGroup
	var last, gaps atomic.Int64
	stream.Go(func() { publishNumbers(ctx, t, server) })
	stream.Go(func() { hear(t, s, &last, &gaps) })
	var all, long outcomes
	over := make(chan struct{})
	end := sync.OnceFunc(func() { close(over) })
	defer end()
	for i := range callers {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-over:
					return
				default:
					all.once(ctx, t, c, y, fmt.Sprintf("caller %d, call %d", i, n), n%5)
				}
			}
		})
	}
	await := func(what string, grown func() bool) {
		t.Helper()
		for late := time.Now().Add(10 * time.Second); !grown(); time.Sleep(time.Millisecond) {
			if time.Now().After(late) {
				t.Fatalf("%s within 10 s", what)
			}
		}
	}
	for i := range cuts {
		wg.Go(func() { long.once(ctx, t, c, y, fmt.Sprintf("long %d", i), 60_000) })
		answered, heard := all.answered.Load(), last.Load()
		await("no answers", func() bool { return all.answered.Load() > answered+callers && y.of(fmt.Sprintf("long %d", i)) == 1 })
		await("no events", func() bool { return last.Load() > heard+10 })
		p.cut(i%2 == 1)
		await("no end of the long call", func() bool { return long.unknown.Load() == int64(i+1) })
	}
	wg.Go(func() { long.once(ctx, t, c, y, "long, not cut", 300) })
	answered, heard := all.answered.Load(), last.Load()
	await("no answers at the end", func() bool { return all.answered.Load() > answered+callers && long.answered.Load() == 1 })
	await("no events at the end", func() bool { return last.Load() > heard+10 })
	end()
	wg.Wait()
	cancel()
	_ = s.Close()
	stream.Wait()
	if got := gaps.Load(); got != cuts {
		t.Errorf("%d gaps were told, want %d", got, cuts)
	}
	for name, n := range y.runs {
		if n > 1 {
			t.Errorf("%s was executed %d times", name, n)
		}
	}
	t.Logf("%d answered, %d unknown, %d not sent, the last event is %d", all.answered.Load(), all.unknown.Load(), all.notSent.Load(), last.Load())
}
