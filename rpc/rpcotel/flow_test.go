package rpcotel_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/rpc/intercept"
)

// TestFlowID: a call that is part of a flow of oVirt's says so in its spans.
func TestFlowID(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	s := newSite(t, spans, "mem://", false)
	rpc.Handle(s.mux, "OK", func(context.Context, struct{}) (any, error) { return nil, nil })
	s.chain = append([]rpc.Interceptor{intercept.Flow}, s.chain...)
	c := s.client(s)
	var got []string
	for _, id := range []string{"f1", ""} {
		spans.Reset()
		if err := c.Call(intercept.WithFlow(t.Context(), id), "OK", nil, nil); err != nil {
			t.Fatal(err)
		}
		for _, span := range spans.GetSpans() {
			got = append(got, brief(t, span))
		}
	}
	want := []string{"OK server Unset ovirt.flow_id=f1", "OK client Unset ovirt.flow_id=f1", "OK server Unset", "OK client Unset"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
}
