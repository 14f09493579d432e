package cli_test

import (
	"context"
	"testing"

	"go.uber.org/fx"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/rpc/intercept"
)

// The server gets the flow id that --flow names.
func TestCallFlow(t *testing.T) {
	url := serve(t, app.Config{}, fx.Provide(app.AsMethods(func() app.Methods {
		return func(m *rpc.Mux) error {
			rpc.Handle(m, "Flow", func(ctx context.Context, _ struct{}) (string, error) { return intercept.FlowOf(ctx), nil })
			return nil
		}
	})))
	for _, tt := range []struct {
		flags []string
		want  string
	}{{nil, `""`}, {[]string{"--flow", "f 1:é"}, `"f 1:é"`}} {
		if got := run(t, append([]string{"call", url, "Flow"}, tt.flags...)...); got.code != 0 || got.stdout != tt.want+"\n" {
			t.Errorf("call Flow %q = %+v, want %s", tt.flags, got, tt.want)
		}
	}
	if got := run(t, "call", url, "Flow", "--flow=f1", "--async"); got.code != 2 {
		t.Errorf("call --flow --async = %+v, want 2", got)
	}
}
