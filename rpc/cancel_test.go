package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// waiting is a mux whose Wait returns when its context ends, and says why, and
// whose Note only tells that it ran.
func waiting(causes chan error, j *journal) *rpc.Mux {
	mux := j.mux()
	rpc.Handle(mux, "Wait", func(ctx context.Context, _ struct{}) (any, error) {
		j.note("Wait", "")
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return nil, ctx.Err()
	})
	rpc.Handle(mux, "Note", func(context.Context, struct{}) (any, error) {
		j.note("Note", "")
		return nil, nil
	})
	return mux
}

// TestCancelReachesTheHandler, however the call was made and given up.
func TestCancelReachesTheHandler(t *testing.T) {
	for _, tt := range []struct {
		name  string
		calls int
		give  func(ctx context.Context, c *rpc.Client, cancel func()) error
	}{
		{"Call", 1, func(ctx context.Context, c *rpc.Client, cancel func()) error {
			time.AfterFunc(time.Second, cancel)
			return c.Call(ctx, "Wait", nil, nil)
		}},
		{"Go and its ctx", 1, func(ctx context.Context, c *rpc.Client, cancel func()) error {
			time.AfterFunc(time.Second, cancel)
			_, err := rpc.Go[any](ctx, c, "Wait", nil).Get(context.Background())
			return err
		}},
		{"Go and Cancel", 1, func(ctx context.Context, c *rpc.Client, _ func()) error {
			f := rpc.Go[any](ctx, c, "Wait", nil)
			synctest.Wait()
			if !f.Cancel(nil) {
				return errors.New("Cancel() = false")
			}
			_, err := f.Get(ctx)
			return err
		}},
		{"Batch", 3, func(ctx context.Context, c *rpc.Client, cancel func()) error {
			time.AfterFunc(time.Second, cancel)
			var b rpc.Batch
			for range 3 {
				rpc.Add[any](&b, "Wait", nil)
			}
			return c.Do(ctx, &b)
		}},
	} {
		for _, through := range []int{0, 2} {
			t.Run(fmt.Sprintf("%s through %d interceptors", tt.name, through), func(t *testing.T) {
				inBubbles(t, func(t *testing.T, w wire) {
					causes := make(chan error, tt.calls)
					var j journal
					chain := slices.Repeat([]rpc.Interceptor{func(ctx context.Context, c *rpc.Invocation) error { return c.Next(ctx) }}, through)
					h := serve(t, w, waiting(causes, &j), &rpc.ServerOptions{Interceptors: chain})
					c := h.client(&rpc.ClientOptions{Interceptors: chain})
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					if err := tt.give(ctx, c, cancel); err == nil || rpc.OutcomeOf(err) != rpc.Unknown {
						t.Errorf("the call ends with %v, want an error whose outcome is unknown", err)
					}
					for range tt.calls {
						isErr(t, "the cause of the handler's context", within(t, causes, "a handler to be told"), context.Canceled)
					}
					if _, err := rpc.Call[any](t.Context(), c, "Note", nil); err != nil {
						t.Errorf("the next call = %v, want nil", err)
					}
				})
			})
		}
	}
}

// TestCancelOfWhatWaits: a request that waits for its turn is answered and never
// run, alone and in a batch; so is one whose deadline passes.
func TestCancelOfWhatWaits(t *testing.T) {
	const hold = `{"jsonrpc":"2.0","method":"Hold","id":1}`
	for _, tt := range []struct {
		name, body, then string
		headers          []transport.Header
		want             string
	}{
		{"cancelled", `{"jsonrpc":"2.0","method":"Note","id":2}`, `{"jsonrpc":"2.0","method":"rpc.cancel","params":{"id":2}}`, nil, `2!-32052`},
		{"cancelled by position", `{"jsonrpc":"2.0","method":"Note","id":"a"}`, `{"jsonrpc":"2.0","method":"rpc.cancel","params":["a"]}`, nil, `"a"!-32052`},
		{"cancelled in a batch", `[{"jsonrpc":"2.0","method":"Note","id":2},{"jsonrpc":"2.0","method":"Fence","id":3}]`, `[{"jsonrpc":"2.0","method":"rpc.cancel","params":{"id":2}}]`, nil, `[2!-32052, 3=null]`},
		{"deadline in a header", `{"jsonrpc":"2.0","method":"Note","id":2}`, "", []transport.Header{{Name: "timeout-ms", Value: "50"}}, `2!-32055`},
		{"deadline in metadata", `{"jsonrpc":"2.0","method":"Note","id":2,"metadata":{"timeoutMs":50}}`, "", nil, `2!-32055`},
		{"deadlines in a batch", `[{"jsonrpc":"2.0","method":"Note","id":2,"metadata":{"timeoutMs":50}},{"jsonrpc":"2.0","method":"Fence","id":3,"metadata":{"timeoutMs":5000}}]`, "", nil, `[2!-32055, 3=null]`},
		{"a notification", `[{"jsonrpc":"2.0","method":"Note","metadata":{"timeoutMs":50}},{"jsonrpc":"2.0","method":"Fence","id":3}]`, "", nil, `[3=null]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, w wire) {
				var j journal
				g := newGate()
				mux := waiting(nil, &j)
				rpc.Handle(mux, "Hold", func(ctx context.Context, _ struct{}) (any, error) { return nil, g.pass(ctx) })
				p := serve(t, w, mux, inTurn(rpc.Limits{})).peer()
				p.say(hold)
				g.await(t, 1)
				p.tell(tt.body, tt.headers...)
				if tt.then != "" {
					p.say(tt.then)
				}
				time.Sleep(100 * time.Millisecond)
				g.open()
				if got := brief(p.hear()); got != "1=null" {
					t.Errorf("first answer = %s, want 1=null", got)
				}
				if got := brief(p.hear()); got != tt.want {
					t.Errorf("second answer = %s, want %s", got, tt.want)
				}
				if got := j.take(); got != nil {
					t.Errorf("executed: %v, want nothing", got)
				}
			})
		})
	}
}

// TestCancelOfNothing is harmless, and answered only if it has an id.
func TestCancelOfNothing(t *testing.T) {
	for _, tt := range []struct {
		params string
		want   []string // with an id
	}{
		{`{"id":7}`, []string{`1=false`}},
		{`{"id":null}`, []string{`1=false`}},
		{`{"id":""}`, []string{`1=false`}},
		{`{"id":{"a":[1]}}`, []string{`1=false`}},
		{`{"id":` + strings.Repeat("9", 5000) + `}`, []string{`1=false`}},
		{`[1]`, []string{`1=false`}},
		{`{}`, []string{`1!-32602`}},
		{`[]`, []string{`1!-32602`}},
		{`{"id":1,"more":2}`, []string{`1!-32602`}},
		{`[1,2]`, []string{`1!-32602`}},
	} {
		t.Run(fmt.Sprintf("%.20s", tt.params), func(t *testing.T) {
			inBubbles(t, func(t *testing.T, w wire) {
				var j journal
				p := serve(t, w, j.mux(), inTurn(rpc.Limits{})).peer()
				if got := p.ask(`{"jsonrpc":"2.0","method":"rpc.cancel","params":` + tt.params + `}`); got != nil {
					t.Errorf("a notification is answered by %v", got)
				}
				if diff := cmp.Diff(tt.want, p.ask(`{"jsonrpc":"2.0","method":"rpc.cancel","id":1,"params":`+tt.params+`}`)); diff != "" {
					t.Errorf("the answer (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestCancelFlood: a flood of cancels costs the peer that sends them, and nobody
// else; what is under way goes on.
func TestCancelFlood(t *testing.T) {
	g := newGate()
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Hold", func(ctx context.Context, _ struct{}) (any, error) { return nil, g.pass(ctx) })
	rpc.Handle(mux, "Fence", func(context.Context, struct{}) (any, error) { return nil, nil })
	h := serve(t, memURL, mux, &rpc.ServerOptions{Width: 1})
	p := h.peer()
	for i := range 1000 {
		p.say(fmt.Sprintf(`{"jsonrpc":"2.0","method":"Hold","id":%d}`, i+1))
	}
	g.await(t, 1)
	one := `{"jsonrpc":"2.0","method":"rpc.cancel","params":{"id":"nobody"}}`
	flood := "[" + strings.Repeat(one+",", 499) + one + "]"
	for range 20 {
		p.say(flood)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := h.client(nil).Call(ctx, "Fence", nil, nil); err != nil {
		t.Errorf("another client's call = %v, want nil", err)
	}
	g.open()
	for i := range 1000 {
		if got, want := brief(p.hear()), fmt.Sprintf("%d=null", i+1); got != want {
			t.Fatalf("answer = %s, want %s", got, want)
		}
	}
}

// addressed is the message of a client behind a broker connection.
func addressed(replyTo, body string, headers ...transport.Header) *transport.Message {
	return &transport.Message{ReplyTo: replyTo, Body: []byte(body), Headers: headers}
}

// serveFake serves a fakeConn with addresses, and returns what it sends.
func serveFake(t *testing.T, mux *rpc.Mux, o *rpc.ServerOptions) (*fakeConn, chan string) {
	conn, sent := newFakeConn(), make(chan string, 64)
	conn.replyAddress = func() (string, error) { return "me", nil }
	conn.send = func(_ context.Context, m *transport.Message) error {
		sent <- m.To + " " + brief(string(m.Body))
		return nil
	}
	server := rpc.NewServer(mux, o)
	served := make(chan error, 1)
	go func() { served <- server.ServeConn(conn) }()
	t.Cleanup(func() {
		_ = conn.Close()
		<-served
		_ = server.Shutdown(context.Background())
	})
	return conn, sent
}

// TestCancelOfOneClientAmongSeveral: behind a broker's connection two clients may
// use the same id.
func TestCancelOfOneClientAmongSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		causes := make(chan error, 2)
		conn, sent := serveFake(t, waiting(causes, &j), nil)
		const call, cancel = `{"jsonrpc":"2.0","method":"Wait","id":1}`, `{"jsonrpc":"2.0","method":"rpc.cancel","params":{"id":1}}`
		conn.in <- addressed("a", call)
		conn.in <- addressed("b", call)
		conn.in <- addressed("c", cancel)
		conn.in <- addressed("", cancel)
		synctest.Wait()
		if len(sent) > 0 {
			t.Fatalf("a stranger's cancel is followed by %s", <-sent)
		}
		conn.in <- addressed("b", cancel)
		if got := within(t, sent, "an answer"); got != "b 1!-32052" {
			t.Errorf("sent %s, want b 1!-32052", got)
		}
		conn.in <- addressed("b", cancel) // again
		conn.in <- addressed("a", cancel)
		if got := within(t, sent, "an answer"); got != "a 1!-32052" {
			t.Errorf("sent %s, want a 1!-32052", got)
		}
	})
}

// A ledgerSettler notes what became of a message.
type noteSettler chan string

func (s noteSettler) SettleMessage(n uint64, o transport.Outcome) error {
	s <- fmt.Sprintf("%d %v", n, o == transport.Accepted)
	return nil
}

// TestUnsettledThatLapses: a request that its broker waits for is answered and
// settled when its caller has given up, whether it waits in the queue or for a
// place there. Else it would use up the broker's credit for ever.
func TestUnsettledThatLapses(t *testing.T) {
	for _, tt := range []struct {
		name    string
		depth   int // of the queue; 1 makes the last request wait for a place
		headers []transport.Header
		cancel  bool
		code    int
	}{
		{"cancelled in the queue", 10, nil, true, -32052},
		{"cancelled while parked", 1, nil, true, -32052},
		{"late in the queue", 10, []transport.Header{{Name: "timeout-ms", Value: "50"}}, false, -32055},
		{"late while parked", 1, []transport.Header{{Name: "timeout-ms", Value: "50"}}, false, -32055},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var j journal
				g := newGate()
				mux := waiting(nil, &j)
				rpc.Handle(mux, "Hold", func(ctx context.Context, _ struct{}) (any, error) { return nil, g.pass(ctx) })
				conn, sent := serveFake(t, mux, &rpc.ServerOptions{Width: 1, Limits: rpc.Limits{InFlight: tt.depth}})
				settled := make(noteSettler, 8)
				give := func(n uint64, body string, headers ...transport.Header) {
					m := addressed("a", body, headers...)
					m.Subscription = "s"
					m.SetSettler(settled, n)
					conn.in <- m
				}
				give(1, `{"jsonrpc":"2.0","method":"Hold","id":1}`)
				g.await(t, 1)
				give(2, `{"jsonrpc":"2.0","method":"Fence","id":2}`)
				give(3, `{"jsonrpc":"2.0","method":"Note","id":3}`, tt.headers...)
				synctest.Wait()
				if tt.cancel {
					give(4, `{"jsonrpc":"2.0","method":"rpc.cancel","params":{"id":3}}`)
					if got := within(t, settled, "the cancel to be settled"); got != "4 true" {
						t.Errorf("settled %s, want 4 true", got)
					}
				}
				time.Sleep(100 * time.Millisecond)
				g.open()
				for i, want := range []string{"a 1=null", "a 2=null", fmt.Sprintf("a 3!%d", tt.code)} {
					if got := within(t, sent, "an answer"); got != want {
						t.Errorf("answer %d = %s, want %s", i+1, got, want)
					}
					if got, want := within(t, settled, "a settlement"), fmt.Sprintf("%d true", i+1); got != want {
						t.Errorf("settled %s, want %s", got, want)
					}
				}
				if got := j.take(); got != nil {
					t.Errorf("executed: %v, want nothing", got)
				}
			})
		})
	}
}

// TestNoticesOfCancel: what a peer hears when calls are given up.
func TestNoticesOfCancel(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		c, p := scripted(t, w, nil)
		ctx, cancel := context.WithCancel(t.Context())
		var b rpc.Batch
		one, two := rpc.Add[any](&b, "m", nil), rpc.Add[any](&b, "m", nil)
		b.Notify("n", nil)
		done := make(chan error, 1)
		go func() { done <- c.Do(ctx, &b) }()
		rs := p.hearBatch()
		p.say("[" + resultOf(rs[0], "1") + "]")
		if err := within(t, done, "Do"); err != nil {
			t.Errorf("Do() = %v, want nil", err)
		}
		if _, err := one.Get(ctx); err != nil {
			t.Error(err)
		}
		_, err := two.Get(ctx)
		isErr(t, "the call that the answer lacks", err, rpc.ErrNoAnswer)

		if err := c.Notify(ctx, "n", nil); err != nil {
			t.Fatal(err)
		}
		p.hearRequest()
		f := rpc.Go[int](ctx, c, "m", nil)
		r := p.hearRequest()
		p.answer(r, "1")
		if _, err := f.Get(ctx); err != nil {
			t.Error(err)
		}
		cancel() // of what was answered, and of a notification
		_ = rpc.Go[any](t.Context(), c, "fence", nil)
		if r := p.hearRequest(); r.Method != "fence" {
			t.Errorf("heard %s %s, want fence: nothing is left to take back", r.Method, r.Params)
		}
	})
}

// TestCancelsThatAreNotRead: a peer that wants each cancel answered, and reads no
// answers, is made to wait before they take much memory.
func TestCancelsThatAreNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, sent := serveFake(t, rpc.NewMux(nil), nil)
		opened := make(chan struct{})
		conn.send = func(ctx context.Context, m *transport.Message) error {
			select {
			case <-opened:
				sent <- brief(string(m.Body))
				return nil
			default:
			}
			select {
			case <-opened:
				sent <- brief(string(m.Body))
				return nil
			case <-ctx.Done():
				return &transport.OpError{Op: "send", Scheme: "fake", Err: transport.ErrBusy}
			}
		}
		const all = 5000
		var given counter
		go func() {
			for i := range all {
				conn.in <- addressed("a", fmt.Sprintf(`{"jsonrpc":"2.0","method":"rpc.cancel","params":{"id":1},"id":%d}`, i))
				given.add(1)
			}
		}()
		synctest.Wait()
		if n := given.n(); n > 1200 {
			t.Errorf("%d cancels were taken in while no answer could leave, want about 1024", n)
		}
		close(opened)
		for i := range all {
			if got, want := within(t, sent, "an answer"), fmt.Sprintf("%d=false", i); got != want {
				t.Fatalf("answer = %s, want %s", got, want)
			}
		}
	})
}
