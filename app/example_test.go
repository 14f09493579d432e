package app_test

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.uber.org/fx"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/rpc"
)

// A server with a method of one's own beside the sample services.
func ExampleNew() {
	greet := func() app.Methods {
		return func(m *rpc.Mux) error {
			rpc.Handle(m, "Greet", func(_ context.Context, names []string) (string, error) {
				return fmt.Sprint("hello ", names), nil
			})
			return nil
		}
	}
	var server *app.Server
	a := app.New(app.Config{Listen: []string{"mem://example"}}, app.Output{},
		fx.Provide(app.AsMethods(greet)), fx.Populate(&server))

	ctx := context.Background()
	if err := a.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer a.Stop(ctx)
	for _, e := range server.Endpoints() {
		c, err := rpc.Dial(ctx, e.URL("mem"), nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(rpc.Call[string](ctx, c, "Greet", []string{"world"}))
		fmt.Println(rpc.Call[float64](ctx, c, "Math.Sum", []int{1, 2, 3}))
		_ = c.Close()
	}
	// Output:
	// hello [world] <nil>
	// 6 <nil>
}

func ExampleLoad() {
	conf, err := app.Load(app.Sources{
		Environ: []string{"POLYPORT_LISTEN=127.0.0.1:7070,127.0.0.1:7071", "POLYPORT_QUEUE_DEPTH=10"},
		Flags:   map[string]any{"queue.depth": 20, "stop_timeout": time.Second},
	})
	fmt.Println(conf.Listen, conf.Queue.Depth, conf.StopTimeout, err)

	_, err = app.Load(app.Sources{Flags: map[string]any{"queue.dept": 20}})
	fmt.Println(err)
	// Output:
	// [127.0.0.1:7070 127.0.0.1:7071] 20 1s <nil>
	// unknown key "queue.dept"; known are queue.depth, queue.workers
}

func ExampleSecret() {
	var password app.Secret = "hunter2"
	fmt.Println(password, slog.Any("password", password))
	fmt.Println(string(password))
	// Output:
	// *** password=***
	// hunter2
}

func ExampleSampleMethods() {
	mux := rpc.NewMux(nil)
	if err := app.SampleMethods()(mux); err != nil {
		fmt.Println(err)
	}
	fmt.Println(mux.Methods())
	// Output:
	// [Echo Fail Math.Sum Sleep Task.Run]
}

func ExampleEnvName() {
	fmt.Println(app.EnvName("limits.header_bytes"))
	// Output:
	// POLYPORT_LIMITS_HEADER_BYTES
}

func ExampleEndpoint_URL() {
	e := app.Endpoint{Addr: "[::1]:7070", Wires: []string{"stomp"}}
	fmt.Println(e.URL("stomp"))
	// Output:
	// stomp://[::1]:7070
}
