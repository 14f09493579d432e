package intercept_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/rpc/intercept"
	"github.com/polyport/polyport/transport"
	_ "github.com/polyport/polyport/transport/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A book is what was logged.
type book struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *book) logger(l slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: l, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		switch a.Key {
		case slog.TimeKey, "took", "remote", "stack":
			return slog.Attr{}
		}
		return a
	}}))
}

// methods are those of the tests.
func methods() *rpc.Mux {
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Echo", func(_ context.Context, p json.RawMessage) (json.RawMessage, error) { return p, nil })
	rpc.Handle(mux, "Fail", func(_ context.Context, code int) (any, error) { return nil, rpc.Errorf(rpc.Code(code), "failed") })
	rpc.Handle(mux, "Plain", func(context.Context, struct{}) (any, error) { return nil, errors.New("plain") })
	rpc.Handle(mux, "Nil", func(context.Context, struct{}) (any, error) { return nil, (*rpc.Error)(nil) })
	rpc.Handle(mux, "Panic", func(context.Context, struct{}) (any, error) { panic("as expected") })
	rpc.Handle(mux, "Goexit", func(context.Context, struct{}) (any, error) { runtime.Goexit(); return nil, nil })
	rpc.Handle(mux, "Late", func(context.Context, struct{}) (any, error) { return nil, context.DeadlineExceeded })
	return mux
}

// open returns a client of a server; both have interceptors.
func open(tb testing.TB, in, out []rpc.Interceptor) *rpc.Client {
	tb.Helper()
	server := rpc.NewServer(methods(), &rpc.ServerOptions{Interceptors: in})
	l, err := transport.Listen(tb.Context(), "mem://", nil)
	if err != nil {
		tb.Fatal(err)
	}
	go server.Serve(context.Background(), l)
	c, err := rpc.Dial(tb.Context(), "mem://"+l.Addr().String(), &rpc.ClientOptions{Interceptors: out})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = c.Close()
		_ = l.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = server.Shutdown(ctx)
	})
	return c
}

func TestRecover(t *testing.T) {
	for _, method := range []string{"Panic", "Goexit"} {
		t.Run(method, func(t *testing.T) {
			var b book
			seen := make(chan error, 1)
			c := open(t, []rpc.Interceptor{func(ctx context.Context, c *rpc.Invocation) error {
				err := c.Next(ctx)
				seen <- err
				return err
			}, intercept.Recover(&intercept.RecoverOptions{Logger: b.logger(slog.LevelDebug)})}, nil)
			err := c.Call(t.Context(), method, nil, nil)
			if e, ok := errors.AsType[*rpc.Error](err); !ok || e.Code != rpc.CodeInternal || strings.Contains(e.Message, "expected") {
				t.Errorf("%s = %v, want an Error with -32603 that says nothing", method, err)
			}
			if method == "Goexit" {
				return // which nothing stops
			}
			if err := <-seen; fmt.Sprint(err) != "internal error (-32603)" {
				t.Errorf("the interceptor further out sees %v", err)
			}
			if got, want := b.String(), `level=ERROR msg="handler panicked" method=Panic panic="as expected"`; strings.TrimSpace(got) != want {
				t.Errorf("logged %s, want %s", got, want)
			}
			if err := c.Call(t.Context(), "Echo", []int{1}, nil); err != nil {
				t.Errorf("the next call = %v, want nil", err)
			}
		})
	}
}

func TestRecoverNil(t *testing.T) {
	c := open(t, []rpc.Interceptor{intercept.Recover(nil)}, []rpc.Interceptor{intercept.Recover(nil)})
	if err := c.Call(t.Context(), "Panic", nil, nil); rpc.OutcomeOf(err) != rpc.Answered || err == nil {
		t.Errorf("Panic = %v, want an answer", err)
	}
}

func TestLogging(t *testing.T) {
	type o = intercept.LoggingOptions
	named := json.RawMessage(`{"user":"ann","password":"hush","deep":[{"API-Key":["hush"],"n":1.50,"pass":{"x":"ok"}}],"Authorization":{"a":"hush"}}`)
	for _, tt := range []struct {
		name   string
		o      o
		method string
		params any
		want   string // of the server; the client's begins with "call sent"
	}{
		{"success", o{}, "Echo", named, `level=DEBUG msg="call served" method=Echo outcome=answered`},
		{"error of the method", o{}, "Fail", []int{7}, `level=INFO msg="call served" method=Fail outcome=answered code=7 err="failed (7)"`},
		{"error with code 0", o{}, "Fail", []int{0}, `level=INFO msg="call served" method=Fail outcome=answered code=0 err="failed (0)"`},
		{"plain error", o{}, "Plain", nil, `level=INFO msg="call served" method=Plain outcome=answered code=-32000 err=plain`},
		{"nil error", o{}, "Nil", nil, `level=ERROR msg="call served" method=Nil outcome=answered code=-32603 err="an error without a text"`},
		{"panic", o{}, "Panic", nil, `level=ERROR msg="call served" method=Panic outcome=answered code=-32603 err="panic (-32603)"`},
		{"deadline", o{}, "Late", nil, `level=WARN msg="call served" method=Late outcome=answered code=-32055 err="context deadline exceeded"`},
		{"unknown", o{}, "Nobody\n", nil, `level=INFO msg="call served" method="Nobody\n" outcome=answered code=-32601 err="method \"Nobody\\n\" not found (-32601)"`},
		{"slow", o{Slow: 1}, "Echo", named, `level=WARN msg="call served" method=Echo outcome=answered slow=true params="{\"user\":\"ann\",\"password\":\"[redacted]\",\"deep\":[{\"API-Key\":\"[redacted]\",\"n\":1.50,\"pass\":{\"x\":\"ok\"}}],\"Authorization\":\"[redacted]\"}"`},
		{"params", o{Params: true, Secrets: []string{"P_a_s_s", ""}}, "Echo", named, `level=DEBUG msg="call served" method=Echo outcome=answered params="{\"user\":\"ann\",\"password\":\"[redacted]\",\"deep\":[{\"API-Key\":\"[redacted]\",\"n\":1.50,\"pass\":\"[redacted]\"}],\"Authorization\":\"[redacted]\"}"`},
		{"by position", o{Params: true}, "Echo", []any{"hush", []any{"hush", 5, nil, true}, map[string]string{"a": "b"}}, `level=DEBUG msg="call served" method=Echo outcome=answered params="[\"[redacted]\",[\"[redacted]\",5,null,true],{\"a\":\"b\"}]"`},
		{"by position, shown", o{Params: true, Positional: true}, "Echo", []any{"a"}, `level=DEBUG msg="call served" method=Echo outcome=answered params="[\"a\"]"`},
		{"no params", o{Params: true}, "Echo", nil, `level=DEBUG msg="call served" method=Echo outcome=answered params=""`},
		{"bounded", o{Params: true, Positional: true, MaxBytes: 8}, "Echo", []any{strings.Repeat("é", 1<<16)}, `level=DEBUG msg="call served" method=Echo outcome=answered params="[\"ééé…"`},
		{"many members", o{Params: true, MaxBytes: 8}, "Echo", json.RawMessage(`{"a":1,"b":22222,"c":3}`), `level=DEBUG msg="call served" method=Echo outcome=answered params="{\"a\":1,\"…"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var in, out book
			so, co := tt.o, tt.o
			so.Logger, co.Logger = in.logger(slog.LevelDebug), out.logger(slog.LevelDebug)
			c := open(t, []rpc.Interceptor{intercept.Logging(&so)}, []rpc.Interceptor{intercept.Logging(&co)})
			err := c.Call(t.Context(), tt.method, tt.params, nil)
			if got := strings.TrimSpace(in.String()); got != tt.want {
				t.Errorf("the server logs\n%s, want\n%s", got, tt.want)
			}
			if tt.name == "many members" {
				return // a map has no order
			}
			want := fmt.Sprintf("method=%s", tt.method)
			if got := out.String(); err == nil && !strings.Contains(got, want) || !strings.Contains(got, `msg="call sent"`) || strings.Contains(got, "hush") {
				t.Errorf("the client logs\n%s", got)
			}
			if _, after, ok := strings.Cut(tt.want, "params="); ok && !strings.HasSuffix(strings.TrimSpace(out.String()), after) {
				t.Errorf("the client logs\n%s, want it to end in\n%s", out.String(), after)
			}
		})
	}
}

func TestLoggingResults(t *testing.T) {
	var b book
	c := open(t, []rpc.Interceptor{intercept.Logging(&intercept.LoggingOptions{Logger: b.logger(slog.LevelDebug), Results: true})}, []rpc.Interceptor{intercept.Logging(nil)})
	if err := c.Call(t.Context(), "Echo", json.RawMessage(`{"a":"b","Set-Cookie":"hush"}`), nil); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), `result="{\"a\":\"b\",\"Set-Cookie\":\"[redacted]\"}"`; !strings.Contains(got, want) {
		t.Errorf("logged %s, want %s", got, want)
	}
}

// TestLoggingOfOutgoing: what has no answer is a warning; notifications and batches
// have words of their own; a record that nobody takes costs nothing.
func TestLoggingOfOutgoing(t *testing.T) {
	var b book
	c := open(t, nil, []rpc.Interceptor{intercept.Logging(&intercept.LoggingOptions{Logger: b.logger(slog.LevelDebug), Params: true})})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = c.Call(ctx, "Echo", []any{make(chan int)}, nil)
	_ = c.Notify(t.Context(), "Echo", []int{1})
	var batch rpc.Batch
	rpc.Add[any](&batch, "Echo", nil)
	_ = c.Do(t.Context(), &batch)
	want := `level=WARN msg="call sent" method=Echo outcome="not sent" err="call Echo: not sent: context canceled" params="[cannot be shown]"
level=DEBUG msg="notification sent" method=Echo outcome=sent params=[1]
level=DEBUG msg="call sent" method=batch outcome=answered params="a batch of 0"
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("logged (-want +got):\n%s", diff)
	}
	var quiet book
	c = open(t, nil, []rpc.Interceptor{intercept.Logging(&intercept.LoggingOptions{Logger: quiet.logger(slog.LevelInfo), Params: true})})
	if err := c.Call(t.Context(), "Echo", []int{1}, nil); err != nil || quiet.String() != "" {
		t.Errorf("Echo = %v, logged %q, want nil and nothing", err, quiet.String())
	}
}

func TestAuthorize(t *testing.T) {
	for _, tt := range []struct {
		name, method string
		err          error
		want         string
	}{
		{"allowed", "Echo", nil, "<nil>"},
		{"denied", "Echo", errors.New("ann is no admin"), "denied (403)"},
		{"denied with a code", "Echo", rpc.Errorf(401, "who are you?"), "who are you? (401)"},
		{"denied before the params are decoded", "Fail", errors.New("no"), "denied (403)"},
		{"denied whether there is such a method or not", "Nobody", errors.New("no"), "denied (403)"},
		{"allowed, with bad params", "Fail", nil, "invalid params: expected an integer of 64 bits, got string (-32602)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out error
			c := open(t, []rpc.Interceptor{func(ctx context.Context, c *rpc.Invocation) error {
				out = c.Next(ctx)
				return out
			}, intercept.Authorize(func(context.Context, *rpc.Invocation) error { return tt.err })},
				[]rpc.Interceptor{intercept.Authorize(func(context.Context, *rpc.Invocation) error { return errors.New("outgoing") })})
			err := c.Call(t.Context(), tt.method, []string{"x"}, nil)
			if got := fmt.Sprint(err); got != tt.want {
				t.Errorf("%s = %s, want %s", tt.method, got, tt.want)
			}
			if tt.err != nil && !errors.Is(out, tt.err) {
				t.Errorf("an interceptor further out sees %v, want %v", out, tt.err)
			}
		})
	}
}

// A meter notes what it is told.
type meter struct {
	mu     sync.Mutex
	lines  []string
	flying int
}

func (m *meter) Started(context.Context, intercept.Call) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.flying++
}

func (m *meter) Ended(_ context.Context, c intercept.Call, r intercept.Result, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.flying--
	m.lines = append(m.lines, fmt.Sprintf("%s %s in=%t note=%t %v failed=%t %d %t", c.Method, c.Wire, c.Incoming, c.Notification, r.Outcome, r.Failed, r.Code, took >= 0))
}

func TestMeasure(t *testing.T) {
	var in, out meter
	c := open(t, []rpc.Interceptor{intercept.Measure(&in)}, []rpc.Interceptor{intercept.Measure(&out)})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, call := range []struct {
		ctx    context.Context
		method string
		params any
	}{
		{t.Context(), "Echo", []int{1}},
		{t.Context(), "Fail", []int{0}},
		{t.Context(), "Nil", nil},
		{t.Context(), "Panic", nil},
		{t.Context(), "Plain", nil},
		{t.Context(), "Late", nil},
		{t.Context(), "Made up by the peer", nil},
		{ended, "Echo", nil},
	} {
		_ = c.Call(call.ctx, call.method, call.params, nil)
	}
	want := []string{
		"Echo mem in=true note=false answered failed=false 0 true",
		"Fail mem in=true note=false answered failed=true 0 true",
		"Nil mem in=true note=false answered failed=true -32603 true",
		"Panic mem in=true note=false answered failed=true -32603 true",
		"Plain mem in=true note=false answered failed=true -32000 true",
		"Late mem in=true note=false answered failed=true -32055 true",
		"(unknown) mem in=true note=false answered failed=true -32601 true",
	}
	if diff := cmp.Diff(want, in.lines); diff != "" {
		t.Errorf("the server measures (-want +got):\n%s", diff)
	}
	for i := range want {
		want[i] = strings.Replace(want[i], "in=true", "in=false", 1)
	}
	want[6] = strings.Replace(want[6], "(unknown)", "Made up by the peer", 1)
	want = append(want, "Echo mem in=false note=false not sent failed=true 0 true")
	if diff := cmp.Diff(want, out.lines); diff != "" {
		t.Errorf("the client measures (-want +got):\n%s", diff)
	}
	if in.flying != 0 || out.flying != 0 {
		t.Errorf("%d and %d calls are in flight, want none", in.flying, out.flying)
	}
}
