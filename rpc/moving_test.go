package rpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// to forwards everything to one client.
func to(c *rpc.Client) rpc.Forwarder {
	return func(context.Context, string) (*rpc.Client, error) { return c, nil }
}

// spending is a mux whose service Bank executes each nonce.
func spending(l *ledger) *rpc.Mux {
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Bank.Spend", func(_ context.Context, nonce int) ([2]int, error) {
		l.executed[nonce].Add(1)
		return [2]int{nonce, check(nonce)}, nil
	})
	rpc.Handle(mux, "Other.Echo", func(_ context.Context, n int) (int, error) { return n, nil })
	return mux
}

// TestServiceMovesUnderLoad: a service is drained and started again all the time while
// thousands of calls, notifications and batches come. Each is executed once, here or
// elsewhere, and each call is answered.
func TestServiceMovesUnderLoad(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		const callers, each = 8, 2500
		l := newLedger(callers * each)
		there := serve(t, w, spending(l), nil)
		here := serve(t, w, spending(l), &rpc.ServerOptions{
			Services: map[string]rpc.ServiceOptions{"Bank": {}, "Other": {}}, Forward: to(there.client(nil)),
		})
		var wg sync.WaitGroup
		var over atomic.Bool
		cycles := 0
		wg.Go(func() {
			for ; !over.Load(); cycles++ {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				if err := here.DrainService(ctx, "Bank"); err != nil {
					t.Errorf("DrainService() = %v, want nil", err)
				}
				cancel()
				s := here.ServiceStats()["Bank"]
				if s.State != rpc.Stopped || s.Unanswered != 0 {
					t.Errorf("after DrainService: %v, %d unanswered, want stopped and none", s.State, s.Unanswered)
				}
				time.Sleep(200 * time.Microsecond)
				if err := here.StartService("Bank"); err != nil {
					t.Error(err)
				}
				time.Sleep(200 * time.Microsecond)
			}
		})
		var calls sync.WaitGroup
		for i := range callers {
			c := here.client(nil)
			calls.Go(func() {
				for {
					nonce, ok := l.take()
					switch {
					case !ok:
						return
					case i == 0 && nonce%2 == 0:
						b := new(rpc.Batch)
						f := rpc.Add[[2]int](b, "Bank.Spend", []int{nonce})
						if err := c.Do(t.Context(), b); err != nil {
							t.Error(err)
						}
						v, err := f.Get(t.Context())
						l.note(t, nonce, v, err)
					case i == 1 && nonce%16 != 0: // or they would come faster than any queue has room for
						err := c.Notify(t.Context(), "Bank.Spend", []int{nonce})
						l.note(t, nonce, [2]int{nonce, check(nonce)}, err)
					default:
						v, err := rpc.Call[[2]int](t.Context(), c, "Bank.Spend", []int{nonce})
						l.note(t, nonce, v, err)
						if v, err := rpc.Call[int](t.Context(), c, "Other.Echo", []int{nonce}); v != nonce || err != nil {
							t.Errorf("Other.Echo(%d) = %d, %v", nonce, v, err)
						}
					}
				}
			})
		}
		calls.Wait()
		over.Store(true)
		wg.Wait()
		for until := time.Now().Add(patience); ; time.Sleep(time.Millisecond) { // notifications may be on their way
			missing := 0
			for i := range l.executed {
				if l.executed[i].Load() == 0 {
					missing++
				}
			}
			if missing == 0 || time.Now().After(until) {
				break
			}
		}
		for i := range l.executed {
			if n := l.executed[i].Load(); n != 1 || l.ended[i] != rpc.Answered {
				t.Errorf("call %d was executed %d times and is %v, want once and answered", i, n, l.ended[i])
			}
		}
		s := here.ServiceStats()["Bank"]
		if s.Accepted+s.Forwarded != callers*each || s.Accepted == 0 || s.Forwarded == 0 {
			t.Errorf("%d accepted and %d forwarded, want %d in all, and some of each", s.Accepted, s.Forwarded, callers*each)
		}
		t.Logf("%d cycles: %d served here, %d elsewhere, none lost, none twice", cycles, s.Accepted, s.Forwarded)
	})
}

// A rawServer is the other side of a client, without a library.
func rawServer(t *testing.T, w wire, o *rpc.ClientOptions) (*rpc.Client, *peer) {
	t.Helper()
	l := w.open(t, &transport.ListenOptions{Options: still()})
	t.Cleanup(func() { _ = l.Close() })
	accepted := make(chan transport.Conn, 1)
	go func() {
		conn, err := l.Accept(context.Background())
		if err != nil {
			t.Error(err)
		}
		accepted <- conn
	}()
	conn, err := l.dial(t.Context(), &transport.DialOptions{Options: still()})
	if err != nil {
		t.Fatal(err)
	}
	c := rpc.NewClient(conn, o)
	t.Cleanup(func() { _ = c.Close() })
	p := newPeer(t, within(t, accepted, "a connection"))
	t.Cleanup(func() { _ = p.conn.Close() })
	return c, p
}

// TestForwardedAsItIs: params, results and errors pass unread, and so does what travels
// beside a call.
func TestForwardedAsItIs(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		c, there := rawServer(t, w, nil)
		h := serve(t, w, rpc.NewMux(nil), &rpc.ServerOptions{
			Services: map[string]rpc.ServiceOptions{"Bank": {Stopped: true}}, Forward: to(c),
		})
		p := h.peer()
		for _, tt := range []struct{ method, params, answer string }{
			{"Bank.Add", `,"params":{"a": 1.50, "a":"\u0041"}`, `"result":{"b" :1e2}`},
			{"Bank.Add", ``, `"result":null`},
			{"Far.away.Do", `,"params":[ ]`, `"error":{"code":1,"message":"\u0041","data":[1, 2],"more":true}`},
		} {
			p.say(`{"jsonrpc":"2.0","method":"` + tt.method + `"` + tt.params + `,"id":"x"}`)
			got := there.hear()
			if !strings.HasPrefix(got, `{"jsonrpc":"2.0","method":"`+tt.method+`"`) && !strings.Contains(got, `"method":"`+tt.method+`"`+tt.params) {
				t.Errorf("%s came as %s", tt.params, got)
			}
			var r struct {
				ID     json.RawMessage `json:"id"`
				Params json.RawMessage `json:"params"`
			}
			_ = json.Unmarshal([]byte(got), &r)
			if want := strings.TrimPrefix(tt.params, `,"params":`); string(r.Params) != want {
				t.Errorf("params came as %s, want %s", r.Params, want)
			}
			there.say(`{"jsonrpc":"2.0","id":` + string(r.ID) + `,` + tt.answer + `}`)
			p.hears(`{"jsonrpc":"2.0","id":"x",` + tt.answer + `}`)
		}
		p.say(`{"jsonrpc":"2.0","method":"Bank.Note","params":[1]}`)
		there.hears(`{"jsonrpc":"2.0","method":"Bank.Note","params":[1]}`)
		p.silent()
	})
}

// TestForwardedFriends: the deadline, the end and texts beside a call pass on.
func TestForwardedFriends(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		ended := make(chan error, 1)
		left := make(chan time.Duration, 1)
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Far.Wait", func(ctx context.Context, _ struct{}) (any, error) {
			d, ok := ctx.Deadline()
			if ok {
				left <- time.Until(d)
			}
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return nil, ctx.Err()
		})
		var trace atomic.Value
		there := serve(t, w, mux, &rpc.ServerOptions{Interceptors: []rpc.Interceptor{func(ctx context.Context, c *rpc.Invocation) error {
			trace.Store(c.Get("trace"))
			return c.Next(ctx)
		}}})
		here := serve(t, w, rpc.NewMux(nil), &rpc.ServerOptions{Forward: to(there.client(nil))})
		c := here.client(&rpc.ClientOptions{Interceptors: []rpc.Interceptor{func(ctx context.Context, c *rpc.Invocation) error {
			c.Set("trace", "abc")
			return c.Next(ctx)
		}}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err := c.Call(ctx, "Far.Wait", nil, nil)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) && rpc.OutcomeOf(err) != rpc.Answered {
			t.Errorf("Far.Wait = %v, want its deadline", err)
		}
		if d := within(t, left, "a deadline"); d < time.Minute-time.Second || d > time.Minute+time.Second {
			t.Errorf("the handler had %v, want a minute", d)
		}
		if err := within(t, ended, "the handler to end"); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			t.Errorf("the handler ended with %v", err)
		}
		if got := trace.Load(); got != "abc" {
			t.Errorf("the trace is %v, want abc", got)
		}
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := c.Call(ctx, "Far.Wait", nil, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("Far.Wait = %v, want %v", err, context.Canceled)
		}
		if err := within(t, ended, "the handler to end"); !errors.Is(err, context.Canceled) {
			t.Errorf("the handler ended with %v, want %v", err, context.Canceled)
		}
	})
}

// TestForwardRefusals: what callers are told when there is nobody to forward to.
func TestForwardRefusals(t *testing.T) {
	const handle = `,"metadata":{"async":"6ba7b810-9dad-41d1-80b4-00c04fd430c8"}`
	nobody := func(context.Context, string) (*rpc.Client, error) {
		return nil, fmt.Errorf("no queue: %w", transport.ErrNoRoute)
	}
	broken := func(context.Context, string) (*rpc.Client, error) { return nil, errors.New("on fire") }
	full := func(context.Context, string) (*rpc.Client, error) { return nil, transport.ErrBusy }
	for _, tt := range []struct {
		name    string
		forward rpc.Forwarder
		method  string
		more    string
		code    rpc.Code
		text    string
	}{
		{"no forwarder", nil, "Bank.Spend", "", rpc.CodeShuttingDown, `service \"Bank\" is not running here`},
		{"no forwarder, nor a service", nil, "Far.Do", "", rpc.CodeMethodNotFound, "Far.Do"},
		{"nobody serves it", nobody, "Bank.Spend", "", rpc.CodeShuttingDown, "nor known to run elsewhere"},
		{"nobody serves what nobody knows", nobody, "Far.Do", "", rpc.CodeMethodNotFound, `Far.Do`},
		{"it cannot be reached", broken, "Bank.Spend", "", rpc.CodeShuttingDown, "cannot be reached; nothing was executed"},
		{"what nobody knows cannot be reached", broken, "Far.Do", "", rpc.CodeShuttingDown, "cannot be reached"},
		{"no room", full, "Far.Do", "", rpc.CodeBusy, "busy"},
		{"a handle", broken, "Bank.Spend", handle, rpc.CodeShuttingDown, "handles are not passed on"},
		{"no namespace", broken, "spend", "", rpc.CodeMethodNotFound, "spend"},
		{"a reserved name", broken, "rpc.spend", "", rpc.CodeMethodNotFound, "rpc.spend"},
		{"a method that a running service lacks", broken, "Here.No", "", rpc.CodeMethodNotFound, "Here.No"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLedger(10)
				h := serve(t, memPipe, spending(l), &rpc.ServerOptions{
					Services: map[string]rpc.ServiceOptions{"Bank": {Stopped: true}, "Here": {}}, Forward: tt.forward,
				})
				p := h.peer()
				p.say(`{"jsonrpc":"2.0","id":1,"method":"` + tt.method + `","params":[1]` + tt.more + `}`)
				got := p.hear()
				if !strings.Contains(got, fmt.Sprintf(`"code":%d,`, tt.code)) || !strings.Contains(strings.ReplaceAll(got, `\\`, `\`), tt.text) {
					t.Errorf("answered %s, want %d and %q", got, tt.code, tt.text)
				}
				if n := l.executed[1].Load(); n != 0 {
					t.Errorf("executed %d times, want not at all", n)
				}
			})
		})
	}
}

// TestForwardCircle: servers that take each other for the one that serves do not do so for ever.
func TestForwardCircle(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		var clients [2]atomic.Pointer[rpc.Client]
		var hosts [2]*host
		hops := 0
		for i := range hosts {
			hosts[i] = serve(t, w, rpc.NewMux(nil), &rpc.ServerOptions{Forward: func(context.Context, string) (*rpc.Client, error) {
				hops++
				return clients[1-i].Load(), nil
			}})
		}
		for i := range hosts {
			clients[i].Store(hosts[i].client(nil))
		}
		err := clients[0].Load().Call(t.Context(), "Far.Do", nil, nil)
		if e := isCode(t, "Far.Do", err, rpc.CodeShuttingDown); !strings.Contains(e.Message, "in a circle") || hops != 8 {
			t.Errorf("Far.Do = %v after %d hops, want 8 and that it went in a circle", err, hops)
		}
	})
}

// TestForwardLost: a connection that is lost on the way leaves the outcome unknown, and
// says so.
func TestForwardLost(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		c, there := rawServer(t, w, nil)
		h := serve(t, w, rpc.NewMux(nil), &rpc.ServerOptions{Forward: to(c)})
		p := h.peer()
		p.say(`{"jsonrpc":"2.0","id":1,"method":"Far.Do"}`)
		_ = there.hear()
		_ = there.conn.Close()
		if got := p.hear(); !strings.Contains(got, `"code":-32603`) || !strings.Contains(got, `"data":{"outcome":"unknown"}`) {
			t.Errorf("answered %s, want that the outcome is unknown", got)
		}
	})
}

// TestDrainService: who waits for what, and what is told.
func TestDrainService(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		g := newGate()
		m := gatedMux(g)
		rpc.Handle(m, "Slow.Wait", func(ctx context.Context, n int) (int, error) { return n, g.pass(ctx) })
		h := serve(t, w, m, &rpc.ServerOptions{Services: map[string]rpc.ServiceOptions{"Slow": {Width: 1}, "Quick": {}}})
		c := h.client(nil)
		for _, name := range []string{"", "Slow.Wait", "slow"} {
			isErr(t, "DrainService", h.DrainService(t.Context(), name), rpc.ErrNoService)
			isErr(t, "StartService", h.StartService(name), rpc.ErrNoService)
		}
		if err := h.DrainService(t.Context(), "Quick"); err != nil {
			t.Errorf("DrainService(Quick) = %v, want nil at once", err)
		}
		first, second := rpc.Go[int](t.Context(), c, "Slow.Wait", []int{1}), rpc.Go[int](t.Context(), c, "Slow.Wait", []int{2})
		g.await(t, 1) // the other waits in the queue
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		isErr(t, "DrainService", h.DrainService(ctx, "Slow"), context.DeadlineExceeded)
		if s := h.ServiceStats()["Slow"]; s.State != rpc.Draining || s.Unanswered != 2 || s.Accepted != 2 {
			t.Errorf("ServiceStats() = %v, %d of %d unanswered, want draining, 2 of 2", s.State, s.Unanswered, s.Accepted)
		}
		_, err := rpc.Call[int](t.Context(), c, "Slow.Wait", []int{3})
		isCode(t, "a call to a service that drains", err, rpc.CodeShuttingDown)

		drained, again := make(chan error, 1), make(chan error, 1)
		go func() { drained <- h.DrainService(context.Background(), "Slow") }()
		synctest.Wait()
		if err := h.StartService("Slow"); err != nil {
			t.Error(err)
		}
		if err := within(t, drained, "DrainService"); err == nil || !strings.Contains(err.Error(), "started again") {
			t.Errorf("DrainService() = %v, want that it was started again", err)
		}
		go func() { again <- h.DrainService(context.Background(), "Slow") }()
		synctest.Wait()
		g.open()
		if err := within(t, again, "DrainService"); err != nil {
			t.Errorf("DrainService() = %v, want nil", err)
		}
		for i, f := range []interface {
			Get(context.Context) (int, error)
		}{first, second} {
			if v, err := f.Get(t.Context()); v != i+1 || err != nil {
				t.Errorf("call %d = %d, %v, want an answer", i+1, v, err)
			}
		}
		got := map[string]string{}
		for name, s := range h.ServiceStats() {
			got[name] = fmt.Sprint(s.State, s.Accepted, s.Unanswered, s.Forwarded)
		}
		if diff := cmp.Diff(map[string]string{"Slow": "stopped 2 0 1", "Quick": "stopped 0 0 0"}, got); diff != "" {
			t.Error(diff)
		}
		if err := h.DrainService(t.Context(), "Slow"); err != nil {
			t.Errorf("DrainService() of a stopped service = %v, want nil", err)
		}
	})
}

// TestDrainWaitsForHandles: a call with a handle that runs on after its caller was told to come back
// belongs to its service.
func TestDrainWaitsForHandles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		m := rpc.NewMux(nil)
		rpc.Handle(m, "Slow.Wait", func(ctx context.Context, _ struct{}) (int, error) { return 7, g.pass(ctx) })
		m.Configure("Slow.Wait", rpc.MethodOptions{Async: true})
		h := serve(t, memPipe, m, &rpc.ServerOptions{Services: map[string]rpc.ServiceOptions{"Slow": {}}})
		c := h.client(nil)
		f := rpc.Detach[int](t.Context(), c, "Slow.Wait", nil, nil)
		g.await(t, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		isErr(t, "DrainService", h.DrainService(ctx, "Slow"), context.DeadlineExceeded)
		g.open()
		if err := h.DrainService(t.Context(), "Slow"); err != nil {
			t.Errorf("DrainService() = %v, want nil", err)
		}
		if v, err := f.Get(t.Context()); v != 7 || err != nil {
			t.Errorf("the call = %d, %v, want 7", v, err)
		}
	})
}

// TestServiceEvents: events are counted for the service whose topics they are on.
func TestServiceEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := serve(t, memPipe, rpc.NewMux(nil), &rpc.ServerOptions{Services: map[string]rpc.ServiceOptions{"Task": {}, "Bank": {}}})
		for _, topic := range []string{"Task.7", "task.7.done", "task", "tasks.7", "clock"} {
			publish(t, h.Server, topic, nil, 0)
		}
		if s := h.ServiceStats(); s["Task"].Events != 2 || s["Bank"].Events != 0 {
			t.Errorf("%d events of Task and %d of Bank, want 2 and none", s["Task"].Events, s["Bank"].Events)
		}
	})
}
