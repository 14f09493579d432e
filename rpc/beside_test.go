package rpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// TestDeadlineEndsTheHandler, wherever the timeout stands; what is none is
// passed over.
func TestDeadlineEndsTheHandler(t *testing.T) {
	for _, tt := range []struct {
		name, header, metadata string
		want                   time.Duration // 0 for none
	}{
		{"in a header", "50", ``, 50 * time.Millisecond},
		{"in metadata", "", `,"metadata":{"timeoutMs":50}`, 50 * time.Millisecond},
		{"in metadata with others", "", `,"metadata":{"x":{"timeoutMs":1},"y":[1],"timeoutMs":50,"z":""}`, 50 * time.Millisecond},
		{"in both", "50", `,"metadata":{"timeoutMs":70}`, 50 * time.Millisecond},
		{"nowhere", "", ``, 0},
		{"0", "0", ``, 0},
		{"negative", "-5", ``, 0},
		{"no number", "soon", `,"metadata":{"timeoutMs":"50"}`, 0},
		{"a fraction", "", `,"metadata":{"timeoutMs":50.5}`, 0},
		{"an exponent", "", `,"metadata":{"timeoutMs":5e1}`, 0},
		{"the largest number", "9223372036854775807", ``, 0},
		{"290 years", "9223372036854", ``, 0},
		{"more digits than a number has", strings.Repeat("9", 4000), ``, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, w wire) {
				mux := rpc.NewMux(nil)
				rpc.Handle(mux, "Wait", func(ctx context.Context, _ struct{}) (any, error) {
					select {
					case <-ctx.Done():
						return nil, ctx.Err()
					case <-time.After(time.Minute):
						return nil, nil
					}
				})
				p := serve(t, w, mux, nil).peer()
				var headers []transport.Header
				if tt.header != "" {
					headers = append(headers, transport.Header{Name: "timeout-ms", Value: tt.header})
				}
				began := time.Now()
				p.tell(`{"jsonrpc":"2.0","method":"Wait","id":1`+tt.metadata+`}`, headers...)
				got, want, took := brief(p.hearAfter(2*time.Minute)), "1!-32055", tt.want
				if tt.want == 0 {
					want, took = "1=null", time.Minute
				}
				if d := time.Since(began); got != want || d != took {
					t.Errorf("answer %s after %v, want %s after %v", got, d, want, took)
				}
			})
		})
	}
}

func (p *peer) hearAfter(d time.Duration) string {
	p.t.Helper()
	body, err := p.listen(d)
	if err != nil {
		p.t.Fatalf("hear: %v", err)
	}
	return body
}

// chain is a mux whose Down(n) calls Down(n-1) at the other end, and whose
// Down(0) waits for the end of its context. Each tells how long it has.
type chain struct {
	mu     sync.Mutex
	left   map[int]time.Duration
	causes chan error
}

func (c *chain) mux() *rpc.Mux {
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Down", func(ctx context.Context, n int) (int, error) {
		if d, ok := ctx.Deadline(); ok {
			c.mu.Lock()
			c.left[n] = time.Until(d)
			c.mu.Unlock()
		}
		if n == 0 {
			<-ctx.Done()
			c.causes <- context.Cause(ctx)
			return 0, ctx.Err()
		}
		r, _ := rpc.FromContext(ctx)
		_, err := rpc.Call[int](ctx, r.Client(), "Down", []int{n - 1})
		return n, err
	})
	rpc.Handle(mux, "Echo", func(_ context.Context, p json.RawMessage) (json.RawMessage, error) { return p, nil })
	return mux
}

// TestNestedDeadlinesAndCancels: a call that is eight calls deep, to and fro over
// one connection while others use it, ends everywhere when its caller gives up or
// its time is over; and no level has more time than the one above.
func TestNestedDeadlinesAndCancels(t *testing.T) {
	for _, carrier := range []string{"headers", "metadata"} {
		for _, how := range []string{"deadline", "cancel"} {
			t.Run(carrier+"/"+how, func(t *testing.T) {
				inBubbles(t, func(t *testing.T, w wire) {
					down := &chain{left: make(map[int]time.Duration), causes: make(chan error, 1)}
					var c *rpc.Client
					if carrier == "headers" {
						c = serve(t, w, down.mux(), nil).client(&rpc.ClientOptions{Mux: down.mux()})
					} else {
						c = bareClient(t, w, down.mux(), nil, &rpc.ClientOptions{Mux: down.mux()})
					}
					var ctx context.Context
					var cancel context.CancelFunc
					if how == "deadline" {
						ctx, cancel = context.WithTimeout(t.Context(), time.Second)
					} else {
						ctx, cancel = context.WithCancel(t.Context())
						time.AfterFunc(time.Second, cancel)
					}
					defer cancel()
					var others sync.WaitGroup
					for range 4 {
						others.Go(func() {
							for i := range 20 {
								if got, err := rpc.Call[int](t.Context(), c, "Echo", json.RawMessage(fmt.Sprint("[", i, "]"))); err == nil {
									t.Errorf("Echo as a number = %d, want an error", got)
								}
								if _, err := rpc.Call[[]int](t.Context(), c, "Echo", []int{i}); err != nil {
									t.Errorf("Echo = %v, want nil", err)
								}
								time.Sleep(100 * time.Millisecond)
							}
						})
					}
					began := time.Now()
					_, err := rpc.Call[int](ctx, c, "Down", []int{8})
					isErr(t, "Down(8)", err, ctx.Err())
					isOutcome(t, "Down(8)", err, rpc.Unknown)
					if d := time.Since(began); d != time.Second {
						t.Errorf("Down(8) took %v, want 1 s", d)
					}
					cause := within(t, down.causes, "the deepest handler")
					if d := time.Since(began); d > time.Second+20*time.Millisecond {
						t.Errorf("the deepest handler ended after %v, want about 1 s", d)
					}
					if how == "cancel" {
						isErr(t, "the deepest handler's cause", cause, context.Canceled)
					}
					others.Wait()
					down.mu.Lock()
					defer down.mu.Unlock()
					for n := 8; n >= 0 && how == "deadline"; n-- {
						if left, above := down.left[n], down.left[min(n+1, 8)]; left <= 0 || left > above || left > time.Second+10*time.Millisecond {
							t.Errorf("Down(%d) has %v, the one above %v, want no more", n, left, above)
						}
					}
				})
			})
		}
	}
}

// setting is an interceptor that sends texts along.
func setting(texts ...string) rpc.Interceptor {
	return func(ctx context.Context, c *rpc.Invocation) error {
		for i := 0; i < len(texts) && !c.Incoming; i += 2 {
			c.Set(texts[i], texts[i+1])
		}
		return c.Next(ctx)
	}
}

// TestCarriers: what a peer hears beside a call, in which form.
func TestCarriers(t *testing.T) {
	header := func(nv ...string) (hs []transport.Header) {
		for i := 0; i < len(nv); i += 2 {
			hs = append(hs, transport.Header{Name: nv[i], Value: nv[i+1]})
		}
		return hs
	}
	for _, tt := range []struct {
		name    string
		bare    bool
		timeout time.Duration
		o       rpc.ClientOptions
		headers []transport.Header
		tail    string // of the body
	}{
		{"nothing", false, 0, rpc.ClientOptions{}, nil, `"method":"m"}`},
		{"deadline", false, time.Second, rpc.ClientOptions{}, header("timeout-ms", "1010"), `"method":"m"}`},
		{"texts", false, time.Second, rpc.ClientOptions{Interceptors: []rpc.Interceptor{setting("a", "x", "b", "y"), setting("a", "z")}}, header("timeout-ms", "1010", "a", "z", "b", "y"), `"method":"m"}`},
		{"a deadline set by hand is no text", false, 0, rpc.ClientOptions{Interceptors: []rpc.Interceptor{setting("timeout-ms", "1", "timeoutMs", "2")}}, nil, `"method":"m"}`},
		{"Plain", false, time.Second, rpc.ClientOptions{Plain: true, Interceptors: []rpc.Interceptor{setting("a", "x")}}, nil, `"method":"m"}`},
		{"bare: nothing", true, 0, rpc.ClientOptions{}, nil, `"method":"m"}`},
		{"bare: deadline", true, time.Second, rpc.ClientOptions{}, nil, `"method":"m","metadata":{"timeoutMs":1010}}`},
		{"bare: texts", true, time.Second, rpc.ClientOptions{Interceptors: []rpc.Interceptor{setting("a", "\"\n\x00é", "b\"", "y")}}, nil, `"method":"m","metadata":{"timeoutMs":1010,"a":"\"\n\u0000é","b\"":"y"}}`},
		{"bare: what would break the JSON", true, 0, rpc.ClientOptions{Interceptors: []rpc.Interceptor{setting("timeout-ms", `1},"id":{"x":1`, "timeoutMs", "2")}}, nil, `"method":"m"}`},
		{"bare: Plain", true, time.Second, rpc.ClientOptions{Plain: true, Interceptors: []rpc.Interceptor{setting("a", "x")}}, nil, `"method":"m"}`},
	} {
		for _, how := range []string{"Call", "Go"} {
			t.Run(tt.name+"/"+how, func(t *testing.T) {
				inBubbles(t, func(t *testing.T, w wire) {
					open := scripted
					if tt.bare {
						open = bareScripted
					}
					o := tt.o
					c, p := open(t, w, &o)
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					if tt.timeout > 0 {
						ctx, cancel = context.WithTimeout(ctx, tt.timeout)
						defer cancel()
					}
					done := goCall(ctx, c, how, "m")
					m := p.hearMessage()
					if !strings.HasSuffix(string(m.Body), tt.tail) {
						t.Errorf("body = %s, want it to end in %s", m.Body, tt.tail)
					}
					if diff := cmp.Diff(tt.headers, m.Headers); diff != "" {
						t.Errorf("headers (-want +got):\n%s", diff)
					}
					cancel()
					isErr(t, "the call", within(t, done, "the call"), context.Canceled)
					if o.Plain {
						_ = c.Notify(t.Context(), "fence", nil)
						if r := p.hearRequest(); r.Method != "fence" {
							t.Errorf("heard %s, want fence: Plain sends no cancel", r.Method)
						}
						return
					}
					if r := p.hearRequest(); r.Method != "rpc.cancel" {
						t.Errorf("heard %s, want rpc.cancel", r.Method)
					}
				})
			})
		}
	}
}

func goCall(ctx context.Context, c *rpc.Client, how, method string) <-chan error {
	done := make(chan error, 1)
	if how == "Go" {
		f := rpc.Go[any](ctx, c, method, nil)
		f.OnDone(func(_ any, err error) { done <- err })
		return done
	}
	go func() { done <- c.Call(ctx, method, nil, nil) }()
	return done
}

// TestRefusedMetadata: what a client sends on a wire without headers to peers that
// refuse metadata, or something else.
func TestRefusedMetadata(t *testing.T) {
	const (
		invalid   = `{"code":-32600,"message":"extra fields in request"}`
		forgotten = "id null"
	)
	strict := func(_ int, metadata bool) string {
		if metadata {
			return invalid
		}
		return ""
	}
	for _, tt := range []struct {
		name string
		// answer returns the error for the nth request, "" for a result.
		answer func(n int, metadata bool) string
		heard  string // m for a request with metadata, . for one without
		want   string // what became of three calls
	}{
		{"strict", strict, "m...", "3 × ok"},
		{"strict, and forgets the id", func(n int, metadata bool) string {
			if metadata {
				return forgotten
			}
			return ""
		}, "m...", "3 × ok"},
		{"strict, and the method fails", func(_ int, metadata bool) string {
			if metadata {
				return invalid
			}
			return `{"code":5,"message":"no"}`
		}, "m...", "5, 5, 5"},
		{"takes it", func(int, bool) string { return "" }, "mmm", "3 × ok"},
		{"takes it, and the method fails", func(int, bool) string { return `{"code":-32601,"message":"no"}` }, "mmm", "-32601, -32601, -32601"},
		{"refuses the first for another reason", func(n int, _ bool) string { return []string{invalid, invalid, "", "", ""}[n] }, "m.mm", "-32600, ok, ok"},
		{"refuses a later one for another reason", func(n int, _ bool) string { return []string{"", invalid, "", ""}[n] }, "mmm", "ok, -32600, ok"},
		{"refuses all", func(int, bool) string { return invalid }, "m.m.m.", "-32600, -32600, -32600"},
	} {
		for _, how := range []string{"Call", "Go"} {
			t.Run(tt.name+"/"+how, func(t *testing.T) {
				inBubbles(t, func(t *testing.T, w wire) {
					c, p := bareScripted(t, w, nil)
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					defer cancel()
					heard, ended := make(chan string, 16), make(chan struct{})
					go func() {
						defer close(ended)
						for n := 0; ; n++ {
							m, err := p.conn.Recv(context.Background())
							if err != nil {
								return
							}
							metadata := strings.Contains(string(m.Body), "metadata")
							heard <- map[bool]string{true: "m", false: "."}[metadata]
							p.to = m.ReplyTo
							var head struct {
								ID json.RawMessage `json:"id"`
							}
							if json.Unmarshal(m.Body, &head) != nil || head.ID == nil {
								return
							}
							r := request{ID: jsontext.Value(head.ID)}
							switch fault := tt.answer(n, metadata); fault {
							case "":
								p.say(resultOf(r, "1"))
							case forgotten:
								p.say(`{"jsonrpc":"2.0","id":null,"error":` + invalid + `}`)
							default:
								p.say(errorOf(r, fault))
							}
						}
					}()
					var got []string
					for range 3 {
						err := within(t, goCall(ctx, c, how, "m"), "the call")
						switch e, ok := errors.AsType[*rpc.Error](err); {
						case ok:
							got = append(got, strconv.Itoa(int(e.Code)))
						case err == nil:
							got = append(got, "ok")
						default:
							got = append(got, err.Error())
						}
					}
					_ = p.conn.Close()
					<-ended
					close(heard)
					var all strings.Builder
					for h := range heard {
						all.WriteString(h)
					}
					if all.String() != tt.heard {
						t.Errorf("the peer heard %s, want %s", all.String(), tt.heard)
					}
					if got := strings.ReplaceAll(strings.Join(got, ", "), strings.Repeat("ok, ", 2)+"ok", "3 × ok"); got != tt.want {
						t.Errorf("the calls ended as %s, want %s", got, tt.want)
					}
				})
			})
		}
	}
}

// TestGoThatCannotBeSent is a future that has failed already.
func TestGoThatCannotBeSent(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		conn func(*fakeConn)
		call any // params
		want error
	}{
		{"ctx has ended", ended, nil, nil, context.Canceled},
		{"the connection is closed", context.Background(), func(c *fakeConn) { _ = c.Close() }, nil, transport.ErrClosed},
		{"no room", context.Background(), func(c *fakeConn) { c.send = sendFails(transport.ErrBusy, false) }, nil, transport.ErrBusy},
		{"params", context.Background(), nil, 5, rpc.ErrParams},
		{"params that cannot be encoded", context.Background(), nil, []any{make(chan int)}, nil},
	} {
		for n := range 3 {
			t.Run(fmt.Sprintf("%s, %d interceptors", tt.name, n), func(t *testing.T) {
				conn := newFakeConn()
				if tt.conn != nil {
					tt.conn(conn)
				}
				chain := make([]rpc.Interceptor, n)
				for i := range chain {
					chain[i] = setting("a", "b")
				}
				f := rpc.Go[int](tt.ctx, fakeClient(t, conn, &rpc.ClientOptions{Interceptors: chain}), "m", tt.call)
				_, err, ok := f.TryGet()
				if !ok || err == nil {
					t.Fatalf("TryGet() = %v, %t, want an error at once", err, ok)
				}
				isOutcome(t, "the future", err, rpc.NotSent)
				if tt.want != nil {
					isErr(t, "the future", err, tt.want)
				}
			})
		}
	}
}

// TestTwoDeadlines: the end of a wait for a future leaves the call alone; the end
// of the call's own context fails it.
func TestTwoDeadlines(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		c, p := scripted(t, w, nil)
		call, cancelCall := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancelCall()
		wait, cancelWait := context.WithTimeout(t.Context(), time.Second)
		defer cancelWait()
		f, g := rpc.Go[int](call, c, "m", nil), rpc.Go[int](call, c, "m", nil)
		r := p.hearRequest()
		p.hearRequest()
		_, err := f.Get(wait)
		isErr(t, "Get within 1 s", err, queue.ErrWait, context.DeadlineExceeded)
		if _, ok := errors.AsType[*rpc.CallError](err); ok {
			t.Errorf("Get within 1 s = %v, want no error of the call", err)
		}
		p.answer(r, "5")
		if got, err := f.Get(t.Context()); got != 5 || err != nil {
			t.Errorf("Get() = %d, %v, want 5, nil: the call went on", got, err)
		}
		_, err = g.Get(t.Context())
		isErr(t, "a call of 2 s", err, context.DeadlineExceeded)
		isOutcome(t, "a call of 2 s", err, rpc.Unknown)
		if errors.Is(err, queue.ErrWait) {
			t.Errorf("a call of 2 s = %v, want no error of a wait", err)
		}
		if r := p.hearRequest(); r.Method != "rpc.cancel" {
			t.Errorf("heard %s, want rpc.cancel", r.Method)
		}
	})
}

// TestCallbackThatCalls: what OnDone calls may use the client that completed the
// future, and may take its time.
func TestCallbackThatCalls(t *testing.T) {
	for n := range 2 {
		t.Run(fmt.Sprintf("%d interceptors", n), func(t *testing.T) {
			onWires(t, func(t *testing.T, w wire) {
				var j journal
				c := serve(t, w, j.mux(), nil).client(&rpc.ClientOptions{Interceptors: slices.Repeat([]rpc.Interceptor{setting("a", "b")}, n)})
				done := make(chan error, 8)
				for range cap(done) {
					rpc.Go[[]int](t.Context(), c, "Echo", []int{1}).OnDone(func(_ []int, err error) {
						if err == nil {
							err = c.Call(context.Background(), "Echo", []int{2}, nil)
						}
						var b rpc.Batch
						rpc.Add[any](&b, "Echo", []int{3})
						done <- errors.Join(err, c.Do(context.Background(), &b))
					})
				}
				for range cap(done) {
					if err := within(t, done, "a callback"); err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}

// TestLazyDecoding: an answer that does not fit, or whose decoding panics, is the
// trouble of whoever asks for it.
func TestLazyDecoding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := scripted(t, memPipe, nil)
		f, g := rpc.Go[int](t.Context(), c, "m", nil), rpc.Go[badUnmarshaler](t.Context(), c, "m", nil)
		p.answer(p.hearRequest(), `"text"`)
		p.answer(p.hearRequest(), `"text"`)
		<-f.Done()
		<-g.Done()
		_, err := f.Get(t.Context())
		if _, ok := errors.AsType[*rpc.ResultError](err); !ok {
			t.Errorf("Get() = %v, want a ResultError", err)
		}
		if _, err := g.Get(t.Context()); err == nil {
			t.Error("Get() = nil, want a PanicError")
		} else if _, ok := errors.AsType[*queue.PanicError](err); !ok {
			t.Errorf("Get() = %v, want a PanicError", err)
		}
	})
}

type badUnmarshaler struct{}

func (*badUnmarshaler) UnmarshalJSON([]byte) error { panic("as expected") }
