package rpcotel

import (
	"context"
	"net"
	"strconv"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/rpc/intercept"
)

// scope is the name of what makes the spans and metrics.
const scope = "github.com/polyport/polyport/rpc/rpcotel"

// Options adjust [Trace] and [NewMetrics]. A nil pointer means the defaults.
type Options struct {
	// TracerProvider makes the spans, MeterProvider the metrics. Nil means the
	// global one.
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider
	// Propagator writes and reads what travels with a call. Nil means
	// [propagation.TraceContext], that is traceparent and tracestate as W3C has
	// them; baggage is not sent unless it is asked for.
	Propagator propagation.TextMapPropagator
}

func (o *Options) tracer() trace.Tracer {
	if o == nil || o.TracerProvider == nil {
		return otel.GetTracerProvider().Tracer(scope)
	}
	return o.TracerProvider.Tracer(scope)
}

func (o *Options) meter() metric.Meter {
	if o == nil || o.MeterProvider == nil {
		return otel.GetMeterProvider().Meter(scope)
	}
	return o.MeterProvider.Meter(scope)
}

func (o *Options) propagator() propagation.TextMapPropagator {
	if o == nil || o.Propagator == nil {
		return propagation.TraceContext{}
	}
	return o.Propagator
}

// Trace makes a span of each call: of kind client around those that are made, of
// kind server around those that are served, a child of the caller's span wherever
// that is. The context of the trace travels in the headers of the message, or in
// its metadata on wires without headers. A span of the client is an error if the
// call is; one of the server is if the fault is the server's: [rpc.CodeInternal],
// [rpc.CodeHandler] and [rpc.CodeDeadline]. Params and results are never recorded.
func Trace(o *Options) rpc.Interceptor {
	tracer, propagator := o.tracer(), o.propagator()
	return func(ctx context.Context, c *rpc.Invocation) error {
		call, kind := intercept.CallOf(c), trace.SpanKindClient
		if c.Incoming {
			kind = trace.SpanKindServer
			ctx = propagator.Extract(ctx, c)
		}
		ctx, span := tracer.Start(ctx, call.Method, trace.WithSpanKind(kind), trace.WithAttributes(spanAttributes(c, call)...))
		if !c.Incoming {
			propagator.Inject(ctx, c)
		}
		returned := false
		defer func() {
			if !returned {
				span.SetStatus(codes.Error, "panic")
			}
			span.End()
		}()
		err := c.Next(ctx)
		returned = true
		if err != nil {
			fail(span, c, intercept.ResultOf(c, err), err)
		}
		return err
	}
}

// fail says in a span what went wrong.
func fail(span trace.Span, c *rpc.Invocation, r intercept.Result, err error) {
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(failure(r)...)
	if r.Outcome == rpc.Answered {
		span.SetAttributes(attribute.Int("rpc.jsonrpc.error_code", int(r.Code)))
	}
	if c.Incoming && r.Code != rpc.CodeInternal && r.Code != rpc.CodeHandler && r.Code != rpc.CodeDeadline {
		return
	}
	text := "internal error"
	if r.Code != rpc.CodeInternal { // else it may be a nil pointer
		text = err.Error()
	}
	span.SetStatus(codes.Error, text[:min(len(text), 1000)])
}

// attributes are those that spans and metrics share.
func attributes(c intercept.Call) []attribute.KeyValue {
	return append(make([]attribute.KeyValue, 0, 8),
		attribute.String("rpc.system.name", "jsonrpc"),
		attribute.String("rpc.method", c.Method),
		attribute.String("network.protocol.name", c.Wire))
}

// failure are those of a call that failed.
func failure(r intercept.Result) []attribute.KeyValue {
	if r.Outcome != rpc.Answered {
		return []attribute.KeyValue{attribute.String("error.type", r.Outcome.String())}
	}
	code := strconv.Itoa(int(r.Code))
	return []attribute.KeyValue{attribute.String("rpc.response.status_code", code), attribute.String("error.type", code)}
}

func spanAttributes(c *rpc.Invocation, call intercept.Call) []attribute.KeyValue {
	as := append(attributes(call), attribute.String("rpc.system", "jsonrpc"), attribute.String("rpc.jsonrpc.version", "2.0"))
	peer := "server"
	if c.Incoming {
		peer = "client"
	}
	if flow := c.Get(intercept.FlowHeader); flow != "" {
		as = append(as, attribute.String("ovirt.flow_id", flow[:min(len(flow), 128)]))
	}
	if c.Info.Remote == nil {
		return as
	}
	host, port, err := net.SplitHostPort(c.Info.Remote.String())
	if err != nil {
		return append(as, attribute.String(peer+".address", c.Info.Remote.String()))
	}
	as = append(as, attribute.String(peer+".address", host))
	if n, err := strconv.Atoi(port); err == nil {
		as = append(as, attribute.Int(peer+".port", n))
	}
	return as
}
