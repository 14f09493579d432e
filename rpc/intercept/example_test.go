package intercept_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/rpc/intercept"
	"github.com/polyport/polyport/transport"
	_ "github.com/polyport/polyport/transport/mem"
)

// call calls a method of a server with interceptors.
func call(method string, params any, chain ...rpc.Interceptor) error {
	ctx := context.Background()
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Login", func(context.Context, map[string]string) (string, error) { return "welcome", nil })
	rpc.Handle(mux, "Crash", func(context.Context, struct{}) (any, error) { panic("oops") })
	server := rpc.NewServer(mux, &rpc.ServerOptions{Interceptors: chain})
	defer server.Shutdown(ctx)
	listener, err := transport.Listen(ctx, "mem://", nil)
	if err != nil {
		return err
	}
	defer listener.Close()
	go server.Serve(ctx, listener)
	client, err := rpc.Dial(ctx, "mem://"+listener.Addr().String(), nil)
	if err != nil {
		return err
	}
	defer client.Close()
	return client.Call(ctx, method, params, nil)
}

// printer writes records without what differs from run to run.
func printer() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "took" || a.Key == "remote" || a.Key == "stack" {
			return slog.Attr{}
		}
		return a
	}}))
}

func ExampleLogging() {
	_ = call("Login", map[string]string{"password": "hush"},
		intercept.Logging(&intercept.LoggingOptions{Logger: printer(), Params: true}))
	// Output: level=DEBUG msg="call served" method=Login outcome=answered params="{\"password\":\"[redacted]\"}"
}

func ExampleRecover() {
	fmt.Println(call("Crash", nil,
		intercept.Logging(&intercept.LoggingOptions{Logger: printer()}),
		intercept.Recover(&intercept.RecoverOptions{Logger: printer()})))
	// Output:
	// level=ERROR msg="handler panicked" method=Crash panic=oops
	// level=ERROR msg="call served" method=Crash outcome=answered code=-32603 err="internal error (-32603)"
	// internal error (-32603)
}

func ExampleAuthorize() {
	admins := func(_ context.Context, c *rpc.Invocation) error {
		if c.Info.User != "admin" {
			return rpc.Errorf(401, "%s is for admins", c.Method)
		}
		return nil
	}
	fmt.Println(call("Login", nil, intercept.Authorize(admins)))
	// Output: Login is for admins (401)
}

// counter is a Metrics that prints.
type counter struct{}

func (counter) Started(_ context.Context, c intercept.Call) { fmt.Println("+", c.Method) }

func (counter) Ended(_ context.Context, c intercept.Call, r intercept.Result, _ time.Duration) {
	fmt.Println("-", c.Method, r.Outcome, r.Code)
}

func ExampleMeasure() {
	_ = call("Login", map[string]string{}, intercept.Measure(counter{}))
	_ = call("whatever a peer makes up", nil, intercept.Measure(counter{}))
	// Output:
	// + Login
	// - Login answered 0
	// + (unknown)
	// - (unknown) answered -32601
}
