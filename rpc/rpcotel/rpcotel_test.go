package rpcotel_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/rpc/intercept"
	"github.com/polyport/polyport/rpc/rpcotel"
	"github.com/polyport/polyport/transport"
	_ "github.com/polyport/polyport/transport/mem"
	_ "github.com/polyport/polyport/transport/stomp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// *rpc.Invocation carries what propagators write.
var _ propagation.TextMapCarrier = (*rpc.Invocation)(nil)

// A bareConn is a connection of a wire that has no place for headers.
type bareConn struct{ transport.Conn }

func (c bareConn) Unwrap() transport.Conn { return c.Conn }

func (c bareConn) Send(ctx context.Context, m *transport.Message) error {
	bare := *m
	bare.Headers = nil
	return c.Conn.Send(ctx, &bare)
}

func (c bareConn) Info() *transport.Info {
	info := *c.Conn.Info()
	info.Headers = false
	return &info
}

// A bareListener hands out bareConns.
type bareListener struct{ *transport.Listener }

func (l bareListener) Accept(ctx context.Context) (transport.Conn, error) {
	c, err := l.Listener.Accept(ctx)
	if err != nil {
		return nil, err
	}
	return bareConn{c}, nil
}

// A site is a process with a name, a server and clients of others, whose spans go
// to one recorder.
type site struct {
	t     *testing.T
	chain []rpc.Interceptor
	mux   *rpc.Mux
	url   string
	bare  bool
}

func newSite(t *testing.T, spans *tracetest.InMemoryExporter, rawURL string, bare bool) *site {
	t.Helper()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	s := &site{t: t, chain: []rpc.Interceptor{rpcotel.Trace(&rpcotel.Options{TracerProvider: tp})}, mux: rpc.NewMux(nil), bare: bare}
	server := rpc.NewServer(s.mux, &rpc.ServerOptions{Interceptors: s.chain})
	l, err := transport.Listen(t.Context(), rawURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	scheme, _, _ := strings.Cut(rawURL, ":")
	s.url = scheme + "://" + l.Addr().String()
	var a rpc.Acceptor = l
	if bare {
		a = bareListener{l}
	}
	go server.Serve(context.Background(), a)
	t.Cleanup(func() {
		_ = l.Close()
		_ = server.Shutdown(context.Background())
		_ = tp.Shutdown(context.Background())
	})
	return s
}

// client returns a client of another site, which serves the calls of that.
func (s *site) client(of *site) *rpc.Client {
	s.t.Helper()
	conn, err := transport.Dial(s.t.Context(), of.url, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.bare {
		conn = bareConn{conn}
	}
	c := rpc.NewClient(conn, &rpc.ClientOptions{Interceptors: s.chain, Mux: s.mux})
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestOneTrace: from a client to a server, from there back to the client, which
// calls a second server: all are spans of one trace, each the child of the one
// before.
func TestOneTrace(t *testing.T) {
	for _, tt := range []struct {
		name, url string
		bare      bool
	}{
		{"mem", "mem://", false},
		{"stomp", "stomp://127.0.0.1:0", false},
		{"mem without headers", "mem://", true},
		{"stomp without headers", "stomp://127.0.0.1:0", true},
	} {
		for _, how := range []string{"Call", "Go", "Batch"} {
			t.Run(tt.name+"/"+how, func(t *testing.T) {
				spans := tracetest.NewInMemoryExporter()
				a, b, z := newSite(t, spans, tt.url, tt.bare), newSite(t, spans, tt.url, tt.bare), newSite(t, spans, tt.url, tt.bare)
				rpc.Handle(b.mux, "First", func(ctx context.Context, _ struct{}) (string, error) {
					r, _ := rpc.FromContext(ctx)
					return rpc.Call[string](ctx, r.Client(), "Back", nil)
				})
				second := a.client(z)
				rpc.Handle(a.mux, "Back", func(ctx context.Context, _ struct{}) (string, error) {
					return rpc.Call[string](ctx, second, "Second", nil)
				})
				rpc.Handle(z.mux, "Second", func(ctx context.Context, _ struct{}) (string, error) {
					return trace.SpanContextFromContext(ctx).TraceID().String(), nil
				})
				c := a.client(b)
				if tt.bare { // a peer has to show that it takes metadata before batches have any
					if err := c.Call(t.Context(), "First", nil, nil); err != nil {
						t.Fatal(err)
					}
					spans.Reset()
				}
				var got string
				var err error
				switch how {
				case "Call":
					got, err = rpc.Call[string](t.Context(), c, "First", nil)
				case "Go":
					got, err = rpc.Go[string](t.Context(), c, "First", nil).Get(t.Context())
				case "Batch":
					var batch rpc.Batch
					f := rpc.Add[string](&batch, "First", nil)
					if err = c.Do(t.Context(), &batch); err == nil {
						got, err = f.Get(t.Context())
					}
				}
				if err != nil {
					t.Fatal(err)
				}
				first := "First"
				if how == "Batch" {
					first = "batch"
				}
				want := []string{first + " client", "First server", "Back client", "Back server", "Second client", "Second server"}
				if diff := cmp.Diff(want, line(t, spans.GetSpans(), got)); diff != "" {
					t.Errorf("the spans from the root on (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// line returns the spans from the root on, each of which must have one child.
func line(t *testing.T, spans tracetest.SpanStubs, traceID string) (names []string) {
	t.Helper()
	children := make(map[trace.SpanID][]tracetest.SpanStub)
	for _, s := range spans {
		if s.SpanContext.TraceID().String() != traceID {
			t.Errorf("span %s is of trace %s, want %s", s.Name, s.SpanContext.TraceID(), traceID)
		}
		children[s.Parent.SpanID()] = append(children[s.Parent.SpanID()], s)
	}
	for at := (trace.SpanID{}); len(children[at]) > 0; {
		s := children[at]
		if len(s) > 1 {
			t.Errorf("%d spans have the same parent, want 1", len(s))
		}
		names = append(names, s[0].Name+" "+s[0].SpanKind.String())
		at = s[0].SpanContext.SpanID()
	}
	return names
}

// TestSpans: what spans and metrics say of calls.
func TestSpans(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	reader := sdkmetric.NewManualReader()
	o := &rpcotel.Options{TracerProvider: tp, MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))}
	metrics, err := rpcotel.NewMetrics(o)
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, spans, "mem://", false)
	s.chain = []rpc.Interceptor{rpcotel.Trace(o), intercept.Measure(metrics)}
	rpc.Handle(s.mux, "OK", func(context.Context, struct{}) (any, error) { return nil, nil })
	rpc.Handle(s.mux, "Fail", func(context.Context, struct{}) (any, error) { return nil, rpc.Errorf(7, "seven") })
	rpc.Handle(s.mux, "Plain", func(context.Context, struct{}) (any, error) { return nil, errors.New("plain") })
	rpc.Handle(s.mux, "Nil", func(context.Context, struct{}) (any, error) { return nil, (*rpc.Error)(nil) })
	rpc.Handle(s.mux, "Panic", func(context.Context, struct{}) (any, error) { panic("as expected") })
	c := s.client(s)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		ctx    context.Context
		method string
		want   []string // the server's span, the client's
	}{
		{t.Context(), "OK", []string{"OK server Unset", "OK client Unset"}},
		{t.Context(), "Fail", []string{"Fail server Unset error.type=7 rpc.jsonrpc.error_code=7 rpc.response.status_code=7", "Fail client Error:seven (7) error.type=7 rpc.jsonrpc.error_code=7 rpc.response.status_code=7"}},
		{t.Context(), "Plain", []string{"Plain server Error:plain error.type=-32000 rpc.jsonrpc.error_code=-32000 rpc.response.status_code=-32000", "Plain client Error:plain (-32000) error.type=-32000 rpc.jsonrpc.error_code=-32000 rpc.response.status_code=-32000"}},
		{t.Context(), "Nil", []string{"Nil server Error:internal error error.type=-32603 rpc.jsonrpc.error_code=-32603 rpc.response.status_code=-32603", "Nil client Error:internal error error.type=-32603 rpc.jsonrpc.error_code=-32603 rpc.response.status_code=-32603"}},
		{t.Context(), "Panic", []string{"Panic server Error:panic", "Panic client Error:internal error error.type=-32603 rpc.jsonrpc.error_code=-32603 rpc.response.status_code=-32603"}},
		{t.Context(), "x\ny", []string{"(unknown) server Unset error.type=-32601 rpc.jsonrpc.error_code=-32601 rpc.response.status_code=-32601", `x
y client Error:method "x\ny" not found (-32601) error.type=-32601 rpc.jsonrpc.error_code=-32601 rpc.response.status_code=-32601`}},
		{ended, "OK", []string{"OK client Error:call OK: not sent: context canceled error.type=not sent"}},
	} {
		t.Run(fmt.Sprintf("%.5q", tt.method), func(t *testing.T) {
			spans.Reset()
			_ = c.Call(tt.ctx, tt.method, nil, nil)
			var got []string
			for _, s := range spans.GetSpans() {
				got = append(got, brief(t, s))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("spans (-want +got):\n%s", diff)
			}
		})
	}
	var rm metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"rpc.client.active_calls Fail 0", "rpc.client.active_calls Nil 0", "rpc.client.active_calls OK 0", "rpc.client.active_calls Panic 0", "rpc.client.active_calls Plain 0", "rpc.client.active_calls x\ny 0",
		"rpc.client.call.duration Fail 7 1", "rpc.client.call.duration Nil -32603 1", "rpc.client.call.duration OK  1", "rpc.client.call.duration OK not sent 1", "rpc.client.call.duration Panic -32603 1", "rpc.client.call.duration Plain -32000 1", "rpc.client.call.duration x\ny -32601 1",
	}
	if diff := cmp.Diff(want, points(rm)); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

// brief is a span without what they all have, which it checks.
func brief(t *testing.T, s tracetest.SpanStub) string {
	t.Helper()
	all := make(map[string]string)
	for _, a := range s.Attributes {
		all[string(a.Key)] = a.Value.String()
	}
	for name, want := range map[string]string{"rpc.system.name": "jsonrpc", "rpc.system": "jsonrpc", "rpc.jsonrpc.version": "2.0", "rpc.method": s.Name, "network.protocol.name": "mem"} {
		if name != "rpc.method" && all[name] != want || name == "rpc.method" && s.Name != all[name] {
			t.Errorf("span %s: %s = %q, want %q", s.Name, name, all[name], want)
		}
		delete(all, name)
	}
	var rest []string
	for k, v := range all {
		if !strings.HasSuffix(k, ".address") && !strings.HasSuffix(k, ".port") {
			rest = append(rest, " "+k+"="+v)
		}
	}
	slices.Sort(rest)
	status := s.Status.Code.String()
	if s.Status.Description != "" {
		status += ":" + s.Status.Description
	}
	return s.Name + " " + s.SpanKind.String() + " " + status + strings.Join(rest, "")
}

// points are the values of all metrics, in order.
func points(rm metricdata.ResourceMetrics) (lines []string) {
	text := func(as attribute.Set, name attribute.Key) string {
		v, _ := as.Value(name)
		return v.AsString()
	}
	for _, sm := range rm.ScopeMetrics {
		for _, m := range sm.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					lines = append(lines, fmt.Sprintf("%s %s %s %d", m.Name, text(p.Attributes, "rpc.method"), text(p.Attributes, "error.type"), p.Count))
				}
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					lines = append(lines, fmt.Sprintf("%s %s %d", m.Name, text(p.Attributes, "rpc.method"), p.Value))
				}
			}
		}
	}
	slices.Sort(lines)
	return lines
}

// TestNil: the global providers of a program that has set none do nothing.
func TestNil(t *testing.T) {
	m, err := rpcotel.NewMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, tracetest.NewInMemoryExporter(), "mem://", false)
	s.chain = []rpc.Interceptor{rpcotel.Trace(nil), intercept.Measure(m)}
	rpc.Handle(s.mux, "OK", func(context.Context, struct{}) (any, error) { return nil, nil })
	if err := s.client(s).Call(t.Context(), "OK", nil, nil); err != nil {
		t.Errorf("OK = %v, want nil", err)
	}
}
