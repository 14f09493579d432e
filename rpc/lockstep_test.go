package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// A reqHost is a server on the wire mem, and the URL by which clients go in
// lock-step with it.
type reqHost struct {
	*host
	req string
}

func serveReq(t *testing.T, mux *rpc.Mux, o *rpc.ServerOptions) *reqHost {
	t.Helper()
	h := serve(t, memURL, mux, o)
	return &reqHost{host: h, req: h.url + "?socket=req"}
}

// dialReq returns a client in lock-step, which is closed when the test ends.
func (h *reqHost) dialReq(o *rpc.ClientOptions) *rpc.Client {
	h.t.Helper()
	return dialClient(h.t, h.req, o)
}

func dialClient(tb testing.TB, rawURL string, o *rpc.ClientOptions) *rpc.Client {
	tb.Helper()
	if o == nil {
		o = new(rpc.ClientOptions)
	}
	if o.Transport == nil {
		o.Transport = &transport.DialOptions{Options: still()}
	}
	c, err := rpc.Dial(tb.Context(), rawURL, o)
	if err != nil {
		tb.Fatalf("Dial(%s) = %v", rawURL, err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// stepMux has methods for tests of lock-step: Nap, which takes so many
// milliseconds and returns their number, and what gatedMux has.
func stepMux(g *gate) *rpc.Mux {
	mux := gatedMux(g)
	rpc.Handle(mux, "Nap", func(ctx context.Context, ms int) (int, error) {
		select {
		case <-time.After(time.Duration(ms) * time.Millisecond):
			return ms, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	})
	return mux
}

// inBubble runs the rules of a table, each in a bubble of its own.
func inBubble(t *testing.T, rules map[string]func(t *testing.T)) {
	t.Helper()
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) { synctest.Test(t, rule) })
	}
}

// A stepScript is a peer that does with a message what a test wants. answer may be
// called any number of times, also later.
type stepScript func(n int, m *transport.Message, answer func(body string), hangUp func())

// A stepDialer makes connections in lock-step whose peers follow a script. It
// fails the test if one is used again before its answer has come.
type stepDialer struct {
	t      testing.TB
	script stepScript
	down   atomic.Bool // dials fail

	mu    sync.Mutex // protects the fields below
	conns []*stepConn
}

func (d *stepDialer) dial(context.Context) (transport.Conn, error) {
	if d.down.Load() {
		return nil, &transport.OpError{Op: "dial", Scheme: "step", Err: errors.New("nobody is there")}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	c := &stepConn{fakeConn: newFakeConn(), d: d}
	c.send = c.ask
	d.conns = append(d.conns, c)
	return c, nil
}

// dials returns how many connections were made.
func (d *stepDialer) dials() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.conns)
}

// client returns a client that reconnects.
func (d *stepDialer) client(o rpc.ClientOptions) *rpc.Client {
	d.t.Helper()
	o.Reconnect = &transport.RedialOptions{Dial: d.dial}
	return dialClient(d.t, "mem://nobody", &o)
}

// A stepConn is one of them.
type stepConn struct {
	*fakeConn
	d     *stepDialer
	asked atomic.Bool
	n     int
}

func (c *stepConn) ask(_ context.Context, m *transport.Message) error {
	if !c.asked.CompareAndSwap(false, true) {
		c.d.t.Errorf("a message was sent on a connection before the last was answered: %s", m.Body)
	}
	c.n++
	own := *m
	own.Body = []byte(string(m.Body))
	go c.d.script(c.n, &own, c.receive, func() { c.fail(&transport.OpError{Op: "receive", Err: transport.ErrClosed}) })
	return nil
}

func (c *stepConn) Recv(ctx context.Context) (*transport.Message, error) {
	m, err := c.fakeConn.Recv(ctx)
	if err == nil {
		c.asked.Store(false)
	}
	return m, err
}

func (*stepConn) Info() *transport.Info {
	return &transport.Info{Scheme: "step", Local: &net.IPAddr{}, Remote: &net.IPAddr{}, Lockstep: true}
}

// reply is the response to m with a result.
func reply(m *transport.Message, result string) string {
	id := string(m.Body)
	_, id, _ = strings.Cut(id, `"id":`)
	id, _, _ = strings.Cut(id, `,`)
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, id, result)
}

// TestLockstepCalls: all ways to call work over a wire in lock-step, and it says
// that it is one.
func TestLockstepCalls(t *testing.T) {
	inBubble(t, map[string]func(t *testing.T){
		"one connection":      func(t *testing.T) { testLockstepCalls(t, nil) },
		"a pool":              func(t *testing.T) { testLockstepCalls(t, &rpc.ClientOptions{Conns: 4}) },
		"that reconnects":     func(t *testing.T) { testLockstepCalls(t, &rpc.ClientOptions{Reconnect: &transport.RedialOptions{}}) },
		"without headers":     func(t *testing.T) { testLockstepCalls(t, &rpc.ClientOptions{Plain: true}) },
		"with an interceptor": func(t *testing.T) { testLockstepCalls(t, &rpc.ClientOptions{Interceptors: []rpc.Interceptor{through}}) },
	})
}

func through(ctx context.Context, c *rpc.Invocation) error { return c.Next(ctx) }

func testLockstepCalls(t *testing.T, o *rpc.ClientOptions) {
	t.Helper()
	j := new(journal)
	h := serveReq(t, j.mux(), nil)
	c := h.dialReq(o)
	if !c.Info().Lockstep {
		t.Error("Info().Lockstep = false, want true")
	}
	for n := range 3 {
		if got, err := rpc.Call[[]int](t.Context(), c, "Echo", []int{n}); err != nil || got[0] != n {
			t.Errorf("Call = %v, %v, want [%d], nil", got, err, n)
		}
		if err := c.Notify(t.Context(), "Echo", []int{n}); err != nil {
			t.Errorf("Notify = %v, want nil", err)
		}
		if got, err := get(t, rpc.Go[[]int](t.Context(), c, "Echo", []int{n})); err != nil || got[0] != n {
			t.Errorf("Go = %v, %v, want [%d], nil", got, err, n)
		}
		var b rpc.Batch
		one, two := rpc.Add[[]int](&b, "Echo", []int{n}), rpc.Add[any](&b, "Nothing", nil)
		b.Notify("Echo", nil)
		if err := c.Do(t.Context(), &b); err != nil {
			t.Errorf("Do = %v, want nil", err)
		}
		if got, err := get(t, one); err != nil || got[0] != n {
			t.Errorf("a call of a batch = %v, %v, want [%d], nil", got, err, n)
		}
		_, err := get(t, two)
		isCode(t, "another", err, rpc.CodeMethodNotFound)
		b.Notify("Echo", nil)
		if err := c.Do(t.Context(), &b); err != nil {
			t.Errorf("Do of a notification = %v, want nil", err)
		}
		if err := c.Flush(t.Context()); err != nil {
			t.Errorf("Flush = %v, want nil", err)
		}
	}
	if n := c.Late(); n != 0 {
		t.Errorf("Late() = %d, want 0", n)
	}
	s, ok := c.LockstepStats()
	if !ok || s.Replaced != 0 || s.Open == 0 {
		t.Errorf("LockstepStats() = %+v, %v, want connections, none of them replaced", s, ok)
	}
	if c.Err() != nil {
		t.Errorf("Err() = %v, want nil", c.Err())
	}
	_ = c.Close()
	within(t, c.Done(), "Done")
	err := c.Call(t.Context(), "Echo", nil, nil)
	isOutcome(t, "Call after Close", err, rpc.NotSent)
	isErr(t, "Call after Close", err, rpc.ErrClosed, transport.ErrClosed)
}

// TestLockstepFullDuplex: a wire that is not in lock-step has no pool.
func TestLockstepFullDuplex(t *testing.T) {
	h := serve(t, memURL, new(journal).mux(), nil)
	c := dialClient(t, h.url, &rpc.ClientOptions{Conns: 4})
	if _, ok := c.LockstepStats(); ok || c.Info().Lockstep {
		t.Errorf("LockstepStats() says ok = %v, Info() %+v, want a wire that is not in lock-step", ok, c.Info())
	}
}

// TestLockstepODL: what OpenDaylight's requester did to its callers does not
// happen here.
func TestLockstepODL(t *testing.T) {
	inBubble(t, map[string]func(t *testing.T){
		"a late answer is not given to the next call": func(t *testing.T) {
			c := serveReq(t, stepMux(newGate()), nil).dialReq(nil)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_, err := rpc.Call[int](ctx, c, "Nap", []int{450})
			isOutcome(t, "Nap(450) for 100 ms", err, rpc.Unknown)
			isErr(t, "Nap(450) for 100 ms", err, context.DeadlineExceeded)
			for _, ms := range []int{1, 500, 2} {
				if got, err := rpc.Call[int](t.Context(), c, "Nap", []int{ms}); err != nil || got != ms {
					t.Errorf("Nap(%d) = %d, %v, want %d, nil", ms, got, err, ms)
				}
			}
			if s, _ := c.LockstepStats(); s.Replaced != 1 || s.Opened != 2 {
				t.Errorf("stats = %+v, want 1 connection replaced", s)
			}
		},
		"two callers do not get each other's answers": func(t *testing.T) { testOwnAnswers(t, 1, 2, 50) },
		"nor do many that share a connection":         func(t *testing.T) { testOwnAnswers(t, 1, 64, 20) },
		"nor do many that share a pool":               func(t *testing.T) { testOwnAnswers(t, 4, 64, 20) },
		"nothing is sent while an answer is due": func(t *testing.T) {
			d := &stepDialer{t: t, script: func(_ int, m *transport.Message, answer func(string), _ func()) {
				time.Sleep(time.Millisecond)
				answer(reply(m, "1"))
			}}
			c := d.client(rpc.ClientOptions{})
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					if err := c.Call(t.Context(), "X", nil, nil); err != nil {
						t.Errorf("Call = %v, want nil", err)
					}
				})
			}
			wg.Wait()
		},
	})
}

func testOwnAnswers(t *testing.T, conns, callers, each int) {
	t.Helper()
	c := serveReq(t, stepMux(newGate()), nil).dialReq(&rpc.ClientOptions{Conns: conns})
	var wg sync.WaitGroup
	for n := range callers {
		wg.Go(func() {
			for i := range each {
				want := (n*7 + i) % 13
				if got, err := rpc.Call[int](t.Context(), c, "Nap", []int{want}); err != nil || got != want {
					t.Errorf("Nap(%d) = %d, %v, want %[1]d, nil", want, got, err)
				}
			}
		})
	}
	wg.Wait()
}

// TestLockstepPeers: whatever the peer does, a call ends, its connection is
// replaced if it is out of step, and the next call gets its own answer.
func TestLockstepPeers(t *testing.T) {
	good := func(m *transport.Message, answer func(string)) { answer(reply(m, `"good"`)) }
	rules := []struct {
		name   string
		script stepScript // of the first message of the first connection
		want   error      // of the first call; nil for success
		late   uint64
		dials  int // after the second call
	}{
		{
			"never answers", func(int, *transport.Message, func(string), func()) {},
			context.DeadlineExceeded, 0, 2,
		},
		{"answers twice", func(_ int, m *transport.Message, answer func(string), _ func()) {
			good(m, answer)
			answer(reply(m, `"again"`))
		}, nil, 1, 2},
		{"answers with another id", func(_ int, _ *transport.Message, answer func(string), _ func()) {
			answer(`{"jsonrpc":"2.0","id":77,"result":1}`)
		}, rpc.ErrBadAnswer, 1, 2},
		{"answers with a batch of which nothing was asked", func(_ int, _ *transport.Message, answer func(string), _ func()) {
			answer(`[{"jsonrpc":"2.0","id":77,"result":1},{"jsonrpc":"2.0","id":78,"result":1}]`)
		}, rpc.ErrBadAnswer, 2, 2},
		{"answers with a request", func(_ int, _ *transport.Message, answer func(string), _ func()) {
			answer(`{"jsonrpc":"2.0","id":1,"method":"Who"}`)
		}, rpc.ErrBadAnswer, 1, 2},
		{"answers with nothing", func(_ int, _ *transport.Message, answer func(string), _ func()) {
			answer("")
		}, rpc.ErrBadAnswer, 0, 2},
		{"answers with what is no JSON", func(_ int, _ *transport.Message, answer func(string), _ func()) {
			answer("<html>")
		}, rpc.ErrBadAnswer, 0, 2},
		{"hangs up in the middle", func(_ int, _ *transport.Message, _ func(string), hangUp func()) {
			hangUp()
		}, transport.ErrClosed, 0, 2},
		{"hangs up after the answer", func(_ int, m *transport.Message, answer func(string), hangUp func()) {
			good(m, answer)
			hangUp()
		}, nil, 0, 2},
		{"is sound", func(_ int, m *transport.Message, answer func(string), _ func()) { good(m, answer) }, nil, 0, 1},
	}
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int32
				d := &stepDialer{t: t, script: func(n int, m *transport.Message, answer func(string), hangUp func()) {
					if calls.Add(1) == 1 {
						r.script(n, m, answer, hangUp)
						return
					}
					good(m, answer)
				}}
				c := d.client(rpc.ClientOptions{})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				got, err := rpc.Call[string](ctx, c, "First", nil)
				switch {
				case r.want != nil:
					isErr(t, "the first call", err, r.want)
					isOutcome(t, "the first call", err, rpc.Unknown)
				case err != nil || got != "good":
					t.Errorf("the first call = %q, %v, want good, nil", got, err)
				}
				synctest.Wait()
				if got, err := rpc.Call[string](t.Context(), c, "Second", nil); err != nil || got != "good" {
					t.Errorf("the second call = %q, %v, want good, nil", got, err)
				}
				if got := c.Late(); got != r.late {
					t.Errorf("Late() = %d, want %d", got, r.late)
				}
				if got := d.dials(); got != r.dials {
					t.Errorf("dialed %d times, want %d", got, r.dials)
				}
			})
		})
	}
}

// TestLockstepForeignAnswer: an answer that comes by one connection with the id of
// a call on another does not reach that.
func TestLockstepForeignAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := make(chan *transport.Message, 2)
		answers := make(chan func(string), 2)
		d := &stepDialer{t: t, script: func(_ int, m *transport.Message, answer func(string), _ func()) {
			asked <- m
			answers <- answer
		}}
		c := d.client(rpc.ClientOptions{Conns: 2})
		a := rpc.Go[string](t.Context(), c, "A", nil)
		ma, answerA := <-asked, <-answers
		b := rpc.Go[string](t.Context(), c, "B", nil)
		mb, answerB := <-asked, <-answers
		answerB(reply(ma, `"stolen"`))
		_, err := get(t, b)
		isErr(t, "the call whose connection was answered", err, rpc.ErrBadAnswer)
		isOutcome(t, "the call whose connection was answered", err, rpc.Unknown)
		answerA(reply(ma, `"own"`))
		if got, err := get(t, a); err != nil || got != "own" {
			t.Errorf("the other call = %q, %v, want own, nil", got, err)
		}
		_, _ = mb, answerB
	})
}

// TestLockstepPool: a pool has as many exchanges under way as connections, and no
// more; one connection keeps the order.
func TestLockstepPool(t *testing.T) {
	inBubble(t, map[string]func(t *testing.T){
		"four connections, four calls under way": func(t *testing.T) {
			g := newGate()
			h := serveReq(t, stepMux(g), nil)
			c := h.dialReq(&rpc.ClientOptions{Conns: 4})
			var calls []*queue.Future[any]
			for range 10 {
				calls = append(calls, rpc.Go[any](t.Context(), c, "Wait", nil))
			}
			synctest.Wait()
			if n := len(g.entered); n != 4 {
				t.Errorf("%d handlers run, want 4", n)
			}
			s, _ := c.LockstepStats()
			if s.Open != 4 || s.Queue.Running != 4 || s.Queue.Waiting != 6 || h.Connections() != 4 {
				t.Errorf("stats = %+v, the server has %d connections, want 4 of both, 4 running and 6 waiting", s, h.Connections())
			}
			g.open()
			for _, f := range calls {
				if _, err := get(t, f); err != nil {
					t.Errorf("call = %v, want nil", err)
				}
			}
		},
		"one connection keeps the order": func(t *testing.T) {
			j := new(journal)
			c := serveReq(t, j.mux(), nil).dialReq(nil)
			var want []string
			var calls []*queue.Future[any]
			for n := range 100 {
				calls = append(calls, rpc.Go[any](t.Context(), c, "update", []int{n}))
				want = append(want, fmt.Sprintf("update[%d]", n))
			}
			for _, f := range calls {
				_, _ = get(t, f)
			}
			if diff := cmp.Diff(want, j.take()); diff != "" {
				t.Errorf("served out of order (-want +got):\n%s", diff)
			}
		},
		"what takes little opens no more connections than it needs": func(t *testing.T) {
			c := serveReq(t, new(journal).mux(), nil).dialReq(&rpc.ClientOptions{Conns: 4})
			for range 20 {
				if err := c.Call(t.Context(), "Echo", nil, nil); err != nil {
					t.Errorf("Call = %v, want nil", err)
				}
				synctest.Wait() // the connection is idle again
			}
			if s, _ := c.LockstepStats(); s.Opened != 1 {
				t.Errorf("stats = %+v, want 1 connection opened", s)
			}
		},
	})
}
