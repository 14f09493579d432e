package app_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/fx"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/rpc/intercept"
)

// TestFlow: what a handler logs with its context has the id that its caller has sent,
// over every wire that has headers, and so have the records of the server itself.
func TestFlow(t *testing.T) {
	r := start(t, app.Config{Log: app.LogConfig{Level: slog.LevelDebug}}, fx.Provide(app.AsMethods(func(log *slog.Logger) app.Methods {
		return func(m *rpc.Mux) error {
			rpc.Handle(m, "Note", func(ctx context.Context, _ struct{}) (any, error) {
				log.InfoContext(ctx, "noted")
				log.With("a", 1).WithGroup("g").InfoContext(ctx, "noted in a group")
				log.Info("noted apart")
				return nil, nil
			})
			return nil
		}
	})))
	c, err := rpc.Dial(t.Context(), r.url(), &rpc.ClientOptions{Interceptors: []rpc.Interceptor{intercept.Flow}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, id := range []string{"f1:ow", ""} {
		if err := c.Call(intercept.WithFlow(t.Context(), id), "Note", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	flows := func(message string) (all []any) {
		for _, record := range r.log.records(t, message) {
			if g, ok := record["g"].(map[string]any); ok {
				record = g
			}
			all = append(all, record["flow_id"])
		}
		return all
	}
	for message, want := range map[string][]any{
		"noted": {"f1:ow", nil}, "noted in a group": {"f1:ow", nil}, "noted apart": {nil, nil}, "call served": {"f1:ow", nil},
	} {
		if diff := cmp.Diff(want, flows(message)); diff != "" {
			t.Errorf("flow_id of %q (-want +got):\n%s", message, diff)
		}
	}
}
