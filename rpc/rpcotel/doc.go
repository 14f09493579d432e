// Package rpcotel connects calls with OpenTelemetry: [Trace] is an interceptor that
// makes spans and carries the context of a trace from end to end, [NewMetrics]
// measures calls for [intercept.Measure]. It uses the API of OpenTelemetry alone;
// which SDK and exporters there are is up to the program.
//
//	options := &rpcotel.Options{TracerProvider: tp, MeterProvider: mp}
//	metrics, err := rpcotel.NewMetrics(options)
//	…
//	Interceptors: []rpc.Interceptor{rpcotel.Trace(options), intercept.Measure(metrics)}
//
// Spans and metrics have the attributes of the semantic conventions for RPC:
//
//	rpc.system.name           jsonrpc
//	rpc.method                the method, or "(unknown)" for one that does not exist
//	rpc.response.status_code  the code of an error that was answered
//	error.type                that code, "not sent" or "unknown"
//	network.protocol.name     the wire: stomp, mem, …
//
// Spans of calls that came with the flow id of an oVirt program ([intercept.FlowHeader]),
// or are sent with one, have it as ovirt.flow_id.
//
// Spans have those of the conventions before version 1.38, too, which many
// dashboards still ask for: rpc.system, rpc.jsonrpc.version and
// rpc.jsonrpc.error_code.
package rpcotel
