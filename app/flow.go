package app

import (
	"context"
	"log/slog"

	"github.com/polyport/polyport/rpc/intercept"
)

// FlowHandler returns a handler of log records that adds to those which are logged
// with the context of a request the attribute flow_id: what its caller says it is
// part of ([intercept.FlowOf]). Records of other contexts pass as they are. With
// a group ([slog.Logger.WithGroup]) the attribute is in the group.
func FlowHandler(next slog.Handler) slog.Handler { return flowHandler{next} }

type flowHandler struct{ slog.Handler }

// Handle adds the attribute.
func (h flowHandler) Handle(ctx context.Context, r slog.Record) error {
	if id := intercept.FlowOf(ctx); id != "" {
		r = r.Clone()
		r.AddAttrs(slog.String("flow_id", id))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs is that of [slog.Handler].
func (h flowHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return flowHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup is that of [slog.Handler].
func (h flowHandler) WithGroup(name string) slog.Handler {
	return flowHandler{h.Handler.WithGroup(name)}
}
