package app_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

func TestModules(t *testing.T) {
	supplied := fx.Supply(app.Config{}, app.Output{})
	tests := []struct {
		name string
		with fx.Option
	}{
		{"all", fx.Options(app.Module, supplied)},
		{"without samples", fx.Options(app.LogModule, app.RPCModule, app.ServerModule, supplied)},
		{"without Output", fx.Options(app.RPCModule, app.ServerModule, fx.Supply(app.Config{}), fx.Supply(slog.New(slog.DiscardHandler)))},
		{"with methods of one's own", fx.Options(app.Module, supplied, fx.Provide(app.AsMethods(func() app.Methods { return nil })))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := fx.ValidateApp(tt.with); err != nil {
				t.Errorf("ValidateApp() = %v", err)
			}
		})
	}
}

func TestStartStop(t *testing.T) {
	var s *app.Server
	a := fxtest.New(t, app.Module, fx.Supply(app.Config{Listen: []string{"127.0.0.1:0"}}, app.Output{}), fx.Populate(&s))
	a.RequireStart()
	c := dial(t, "stomp://"+s.Endpoints()[0].Addr, nil)
	if err := c.Call(t.Context(), "Echo", nil, nil); err != nil {
		t.Errorf("Echo = %v", err)
	}
	a.RequireStop()
	select {
	case <-s.Done():
	default:
		t.Error("Done is open after Stop")
	}
	if err := s.Err(); err != nil {
		t.Errorf("Err() = %v, want nil", err)
	}
}

// The constructors need no fx.
func TestWithoutFx(t *testing.T) {
	conf := app.Config{Listen: []string{"mem://plain:0"}}
	log := app.NewLogger(conf.Log, nil)
	mux, err := app.NewMux(app.MuxParams{Methods: []app.Methods{app.SampleMethods()}})
	if err != nil {
		t.Fatal(err)
	}
	made := app.NewRPC(app.RPCParams{Config: conf, Log: log, Mux: mux})
	options, err := app.NewListenOptions(conf, log)
	if err != nil {
		t.Fatal(err)
	}
	s := app.NewServer(app.Params{Config: conf, Log: log, RPC: made.Server, Queue: made.Queue, Options: options})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := dial(t, s.Endpoints()[0].URL("mem"), nil)
	if got, err := rpc.Call[int](t.Context(), c, "Math.Sum", []int{1, 2}); got != 3 || err != nil {
		t.Errorf("Math.Sum = %d, %v, want 3", got, err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("Stop() = %v, want nil", err)
	}
}

func TestAnnounce(t *testing.T) {
	tests := []struct {
		name string
		json bool
		want string
	}{
		{"text", false, `^listening 127\.0\.0\.1:\d+ amqp http stomp ws zmq\nlistening announce:\d+ mem\n$`},
		{"json", true, `^\{"listening":"127\.0\.0\.1:\d+","wires":\["amqp","http","stomp","ws","zmq"\]\}\n\{"listening":"announce:\d+","wires":\["mem"\]\}\n$`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out buffer
			a := app.New(app.Config{Listen: []string{"127.0.0.1:0", "mem://announce:0"}}, app.Output{Stdout: &out, JSON: tt.json})
			if err := a.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := out.String(); !regexp.MustCompile(tt.want).MatchString(got) {
				t.Errorf("stdout is %q, want %s", got, tt.want)
			}
			if err := a.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// If one address cannot be listened at, none is.
func TestStartAllOrNothing(t *testing.T) {
	taken := start(t, app.Config{}).Endpoints()[0].Addr
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	first := free.Addr().String()
	_ = free.Close()
	var out buffer
	a := app.New(app.Config{Listen: []string{first, taken}}, app.Output{Stdout: &out})
	if err := a.Start(t.Context()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("Start() = %v, want %v", err, syscall.EADDRINUSE)
	}
	if out.String() != "" {
		t.Errorf("stdout is %q, want nothing", out.String())
	}
	if c, err := net.Dial("tcp", first); err == nil {
		_ = c.Close()
		t.Error("the first address is listened at after a failed Start")
	}
}

func TestStartCannotAnnounce(t *testing.T) {
	closed, w := io.Pipe()
	_ = closed.Close()
	a := app.New(app.Config{Listen: []string{"mem://unannounced"}}, app.Output{Stdout: w})
	if err := a.Start(t.Context()); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Start() = %v, want %v", err, io.ErrClosedPipe)
	}
}

func TestConfigErrorFromNew(t *testing.T) {
	a := app.New(app.Config{UsersFile: "no/such/file"}, app.Output{})
	if _, ok := errors.AsType[*app.ConfigError](a.Err()); !ok {
		t.Errorf("Err() = %v, want a *ConfigError", a.Err())
	}
	a = app.New(app.Config{}, app.Output{}, fx.Provide(app.AsMethods(func() app.Methods {
		return func(*rpc.Mux) error { return errors.New("cannot be added") }
	})))
	if a.Err() == nil || !strings.Contains(a.Err().Error(), "cannot be added") {
		t.Errorf("Err() = %v, want that of the methods", a.Err())
	}
}

// A server that fails tells fx, and Stop is still orderly.
func TestFailure(t *testing.T) {
	var server *rpc.Server
	r := start(t, app.Config{}, fx.Populate(&server))
	told := r.fx.Wait()
	if err := server.Shutdown(t.Context()); err != nil { // behind the back of app
		t.Fatal(err)
	}
	if c, err := rpc.Dial(t.Context(), r.url(), nil); err == nil {
		defer c.Close()
	}
	<-r.Done()
	if err := r.Err(); !errors.Is(err, rpc.ErrServerClosed) {
		t.Errorf("Err() = %v, want %v", err, rpc.ErrServerClosed)
	}
	if signal := <-told; signal.ExitCode != 1 {
		t.Errorf("fx is told %v, want exit code 1", signal)
	}
	if err := r.stop(); err != nil {
		t.Errorf("Stop() = %v, want nil", err)
	}
	if n := len(r.log.records(t, "serving failed")); n != 1 {
		t.Errorf("%d records of the failure, want 1:\n%s", n, r.log)
	}
}

// Requests that take longer than the stop timeout are given up in time.
func TestStopTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, app.Config{Listen: []string{"mem://late:0"}, StopTimeout: 20 * time.Second})
		c := dial(t, r.url(), nil)
		soon := rpc.Go[int](t.Context(), c, "Sleep", []int{10_000})
		never := rpc.Go[int](t.Context(), c, "Sleep", []int{3_600_000})
		synctest.Wait()
		began := time.Now()
		err := r.stop()
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("Stop took %v, want at most 20 s", took)
		}
		if err == nil || !strings.Contains(err.Error(), "1 requests were not answered") {
			t.Errorf("Stop() = %v, want that 1 request was not answered", err)
		}
		if n, err := soon.Get(t.Context()); n != 10_000 || err != nil {
			t.Errorf("the call that had time = %d, %v, want 10000", n, err)
		}
		if _, err := never.Get(t.Context()); err == nil {
			t.Error("the call that had not = nil, want an error")
		}
		if n := len(r.log.records(t, "stopped")); n != 0 {
			t.Errorf("the log says %d times that it stopped in order, want 0:\n%s", n, r.log)
		}
		synctest.Wait()
	})
}

// The queue's bounds are those of the configuration.
func TestQueueBounds(t *testing.T) {
	var q *queue.Queue
	start(t, app.Config{Queue: app.QueueConfig{Depth: 3, Workers: 2}}, fx.Populate(&q))
	if s := q.Stats(); s.Capacity != 3 || s.Workers != 2 {
		t.Errorf("the queue has capacity %d and %d workers, want 3 and 2", s.Capacity, s.Workers)
	}
}

// refusalOfBatch sends a batch of two and returns what comes back. A client would
// send the requests again, one by one.
func refusalOfBatch(t *testing.T, url string) string {
	t.Helper()
	conn, err := transport.Dial(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	m := &transport.Message{Body: []byte(`[{"jsonrpc":"2.0","method":"Echo","id":1},{"jsonrpc":"2.0","method":"Echo","id":2}]`)}
	if a, ok := transport.As[transport.ReplyAddresser](conn); ok {
		if m.ReplyTo, err = a.ReplyAddress(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	answer, err := conn.Recv(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return string(answer.Body)
}

// Limits reach the wire and the envelope.
func TestLimitsHold(t *testing.T) {
	r := start(t, app.Config{Limits: app.Limits{Message: 1000, Connections: 1}})
	if got := refusalOfBatch(t, start(t, app.Config{Limits: app.Limits{Batch: 1}}).url()); !strings.Contains(got, "-32600") || !strings.Contains(got, `"max":1`) {
		t.Errorf("a batch of two is answered %s, want -32600 and the limit", got)
	}
	c := dial(t, r.url(), nil)
	if c, err := rpc.Dial(t.Context(), r.url(), nil); err == nil {
		_ = c.Close()
		t.Error("a second connection was let in, want 1")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := c.Call(ctx, "Echo", []string{strings.Repeat("x", 1000)}, nil); rpc.OutcomeOf(err) != rpc.Unknown || ctx.Err() != nil {
		t.Errorf("a call that is too large = %v, want the connection ended", err)
	}
}
