package rpcotel_test

import (
	"context"
	"fmt"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/rpc/intercept"
	"github.com/polyport/polyport/rpc/rpcotel"
	"github.com/polyport/polyport/transport"
)

func ExampleTrace() {
	ctx := context.Background()
	spans := tracetest.NewInMemoryExporter() // a program has an exporter here
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	chain := []rpc.Interceptor{rpcotel.Trace(&rpcotel.Options{TracerProvider: provider})}

	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Traced", func(ctx context.Context, _ struct{}) (bool, error) {
		return trace.SpanContextFromContext(ctx).IsValid(), nil
	})
	server := rpc.NewServer(mux, &rpc.ServerOptions{Interceptors: chain})
	defer server.Shutdown(ctx)
	listener, _ := transport.Listen(ctx, "mem://", nil)
	defer listener.Close()
	go server.Serve(ctx, listener)
	client, _ := rpc.Dial(ctx, "mem://"+listener.Addr().String(), &rpc.ClientOptions{Interceptors: chain})
	defer client.Close()

	fmt.Println(rpc.Call[bool](ctx, client, "Traced", nil))
	for _, s := range spans.GetSpans() {
		fmt.Println(s.SpanKind, s.Name)
	}
	// Output:
	// true <nil>
	// server Traced
	// client Traced
}

func ExampleNewMetrics() {
	metrics, err := rpcotel.NewMetrics(nil) // with the global provider
	if err != nil {
		fmt.Println(err)
		return
	}
	options := rpc.ServerOptions{Interceptors: []rpc.Interceptor{intercept.Measure(metrics)}}
	fmt.Println(len(options.Interceptors))
	// Output: 1
}
