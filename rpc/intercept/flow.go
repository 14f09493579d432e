package intercept

import (
	"context"

	"github.com/polyport/polyport/rpc"
)

// FlowHeader is the header by which oVirt's programs say of which flow a call is a
// part: one id for all that is done because of one click, in the logs of all who
// take part. It is not in the JSON and not in the answer.
const FlowHeader = "ovirtCorrelationId"

// maxFlow bounds what a peer can have written into each log record.
const maxFlow = 128

type flowKey struct{}

// WithFlow returns a context of the flow id, for calls by way of [Flow]. "" means
// that they are part of none.
func WithFlow(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, flowKey{}, id)
}

// FlowOf returns the id of the flow that ctx is part of: that of [WithFlow], or else
// the one that came with the request that ctx belongs to, of which it is at most 128
// bytes; or "".
func FlowOf(ctx context.Context) string {
	if id, ok := ctx.Value(flowKey{}).(string); ok {
		return id
	}
	r, ok := rpc.FromContext(ctx)
	if !ok {
		return ""
	}
	for _, h := range r.Headers {
		if h.Name == FlowHeader {
			return h.Value[:min(len(h.Value), maxFlow)]
		}
	}
	return ""
}

// Flow is an [rpc.Interceptor] that hands flows on: an outgoing call has the id of
// its context, so that what a handler calls is part of its caller's flow.
func Flow(ctx context.Context, c *rpc.Invocation) error {
	if id := FlowOf(ctx); id != "" && !c.Incoming {
		c.Set(FlowHeader, id)
	}
	return c.Next(ctx)
}
