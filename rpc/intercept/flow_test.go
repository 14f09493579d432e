package intercept_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/rpc/intercept"
	"github.com/polyport/polyport/transport"
)

// TestFlow: a flow goes from call to call, through servers that hand it on, and not
// where nobody has said of any.
func TestFlow(t *testing.T) {
	both := []rpc.Interceptor{intercept.Flow}
	second := open(t, []rpc.Interceptor{func(ctx context.Context, c *rpc.Invocation) error {
		c.RawParams = []byte(`["` + intercept.FlowOf(ctx) + `"]`)
		return c.Next(ctx)
	}}, both)
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Through", func(ctx context.Context, _ struct{}) (string, error) {
		got, err := rpc.Call[[]string](ctx, second, "Echo", nil)
		return strings.Join(got, ","), err
	})
	rpc.Handle(mux, "Anew", func(ctx context.Context, _ struct{}) (string, error) {
		got, err := rpc.Call[[]string](intercept.WithFlow(ctx, "other"), second, "Echo", nil)
		return strings.Join(got, ","), err
	})
	l, err := transport.Listen(t.Context(), "mem://", nil)
	if err != nil {
		t.Fatal(err)
	}
	server := rpc.NewServer(mux, &rpc.ServerOptions{Interceptors: both})
	go server.Serve(context.Background(), l)
	first, err := rpc.Dial(t.Context(), "mem://"+l.Addr().String(), &rpc.ClientOptions{Interceptors: both})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = first.Close()
		_ = l.Close()
		_ = server.Shutdown(context.Background())
	})
	got := map[string]string{}
	for name, ask := range map[string]struct {
		ctx    context.Context
		method string
	}{
		"none":           {t.Context(), "Through"},
		"one":            {intercept.WithFlow(t.Context(), "f1"), "Through"},
		"one without id": {intercept.WithFlow(t.Context(), ""), "Through"},
		"another below":  {intercept.WithFlow(t.Context(), "f1"), "Anew"},
		"a long one":     {intercept.WithFlow(t.Context(), strings.Repeat("x", 1000)), "Through"},
	} {
		if got[name], err = rpc.Call[string](ask.ctx, first, ask.method, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	want := map[string]string{
		"none": "", "one": "f1", "one without id": "", "another below": "other", "a long one": strings.Repeat("x", 128),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("flow ids at the far end (-want +got):\n%s", diff)
	}
}
