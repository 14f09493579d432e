package rpcotel

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/polyport/polyport/rpc/intercept"
)

// Metrics is an [intercept.Metrics] with instruments of OpenTelemetry, for either
// direction a histogram of seconds and a count of what is under way:
//
//	rpc.client.call.duration  rpc.client.active_calls
//	rpc.server.call.duration  rpc.server.active_calls
type Metrics struct{ client, server instruments }

type instruments struct {
	duration metric.Float64Histogram
	active   metric.Int64UpDownCounter
}

// buckets are bounds in seconds, which the semantic conventions recommend.
var buckets = metric.WithExplicitBucketBoundaries(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

// NewMetrics makes the instruments. It returns the errors of the provider.
func NewMetrics(o *Options) (*Metrics, error) {
	meter := o.meter()
	client, err1 := newInstruments(meter, "client")
	server, err2 := newInstruments(meter, "server")
	return &Metrics{client: client, server: server}, errors.Join(err1, err2)
}

func newInstruments(m metric.Meter, side string) (instruments, error) {
	duration, err1 := m.Float64Histogram("rpc."+side+".call.duration", metric.WithUnit("s"),
		metric.WithDescription("How long calls took."), buckets)
	active, err2 := m.Int64UpDownCounter("rpc."+side+".active_calls", metric.WithUnit("{call}"), metric.WithDescription("Calls under way."))
	return instruments{duration: duration, active: active}, errors.Join(err1, err2)
}

func (m *Metrics) of(c intercept.Call) instruments {
	if c.Incoming {
		return m.server
	}
	return m.client
}

// Started implements [intercept.Metrics].
func (m *Metrics) Started(ctx context.Context, c intercept.Call) {
	m.of(c).active.Add(ctx, 1, metric.WithAttributeSet(attribute.NewSet(attributes(c)...)))
}

// Ended implements [intercept.Metrics].
func (m *Metrics) Ended(ctx context.Context, c intercept.Call, r intercept.Result, took time.Duration) {
	in, as := m.of(c), attributes(c)
	in.active.Add(ctx, -1, metric.WithAttributeSet(attribute.NewSet(as...)))
	if r.Failed {
		as = append(as, failure(r)...)
	}
	in.duration.Record(ctx, took.Seconds(), metric.WithAttributeSet(attribute.NewSet(as...)))
}
