package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/polyport/polyport/rpc"
)

// A measurement makes calls and notes what became of them.
type measurement struct {
	v      *bench
	client *rpc.Client
	params any
	next   atomic.Int64 // calls begun

	mu      sync.Mutex // protects the fields below
	began   time.Time
	took    time.Duration
	latency *hdrhistogram.Histogram // in nanoseconds, of results
	errors  errorCounts
	first   []byte // result, for --check
	failed  error  // of the first call without an answer
}

// errorCounts are the calls that did not go well, by outcome.
type errorCounts struct {
	Answered  int64              `json:"answered"`
	Codes     map[rpc.Code]int64 `json:"codes,omitempty"`
	Different int64              `json:"different"`
	NotSent   int64              `json:"not_sent"`
	Unknown   int64              `json:"unknown"`
}

func newMeasurement(v *bench, c *rpc.Client, params any) *measurement {
	return &measurement{
		v: v, client: c, params: params,
		latency: hdrhistogram.New(1, max(v.Timeout, time.Second).Nanoseconds(), 3),
		errors:  errorCounts{Codes: map[rpc.Code]int64{}},
	}
}

// warmUp makes calls that do not count, so that buffers and workers are there.
func (m *measurement) warmUp(ctx context.Context) {
	var left atomic.Int64
	left.Store(int64(min(m.v.Calls/10, 1000)))
	m.callers(func() bool {
		if left.Add(-1) < 0 || ctx.Err() != nil {
			return false
		}
		_, err := m.call(ctx)
		return rpc.OutcomeOf(err) == rpc.Answered
	})
}

// run makes the calls. When ctx ends those under way are waited for.
func (m *measurement) run(ctx context.Context) {
	m.mu.Lock()
	m.began = time.Now()
	m.mu.Unlock()
	m.callers(func() bool {
		if ctx.Err() != nil || m.client.Err() != nil || m.next.Add(1) > int64(m.v.Calls) {
			return false
		}
		began := time.Now()
		result, err := m.call(ctx)
		m.note(time.Since(began), result, err)
		return true
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.took = time.Since(m.began)
}

// callers runs one on as many goroutines as there are callers, until it
// returns false.
func (m *measurement) callers(one func() bool) {
	var wg sync.WaitGroup
	for range min(m.v.Concurrency, m.v.Calls) {
		wg.Go(func() {
			for one() {
			}
		})
	}
	wg.Wait()
}

// call makes one call, which the end of ctx does not interrupt.
func (m *measurement) call(ctx context.Context) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.v.Timeout)
	defer cancel()
	var result json.RawMessage
	err := m.client.Call(ctx, m.v.Method, m.params, &result)
	return result, err
}

func (m *measurement) note(took time.Duration, result json.RawMessage, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.noteError(err)
		return
	}
	_ = m.latency.RecordValue(min(took.Nanoseconds(), m.latency.HighestTrackableValue()))
	switch {
	case !m.v.Check:
	case m.first == nil:
		m.first = result
	case !bytes.Equal(m.first, result):
		m.errors.Different++
	}
}

// noteError needs mu.
func (m *measurement) noteError(err error) {
	switch rpc.OutcomeOf(err) {
	case rpc.Answered:
		m.errors.Answered++
		if e, ok := errors.AsType[*rpc.Error](err); ok {
			m.errors.Codes[e.Code]++
		}
		return
	case rpc.NotSent:
		m.errors.NotSent++
	default:
		m.errors.Unknown++
	}
	if call, ok := errors.AsType[*rpc.CallError](err); ok && m.failed == nil {
		m.failed = call.Err
	}
}

// progress is one line about how far it is.
func (m *measurement) progress() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.latency.TotalCount() + m.errors.sum()
	rate := float64(n) / time.Since(m.began).Seconds()
	return fmt.Sprintf("%s of %s calls, %s/s", thousands(n), thousands(int64(m.v.Calls)), thousands(int64(rate)))
}

// sum counts the calls that have no latency.
func (e errorCounts) sum() int64 { return e.Answered + e.NotSent + e.Unknown }

// A benchReport is what was measured. Times are in microseconds.
type benchReport struct {
	Method      string      `json:"method"`
	URL         string      `json:"url"`
	Concurrency int         `json:"concurrency"`
	Calls       int64       `json:"calls"`
	Seconds     float64     `json:"seconds"`
	Rate        float64     `json:"rate"`
	Min         float64     `json:"min_us"`
	P50         float64     `json:"p50_us"`
	P99         float64     `json:"p99_us"`
	P999        float64     `json:"p99_9_us"`
	Max         float64     `json:"max_us"`
	Errors      errorCounts `json:"errors"`
}

func (m *measurement) report() benchReport {
	m.mu.Lock()
	defer m.mu.Unlock()
	us := func(ns int64) float64 { return float64(ns) / 1000 }
	n := m.latency.TotalCount() + m.errors.sum()
	return benchReport{
		Method: m.v.Method, URL: m.v.URL.url.Redacted(), Concurrency: m.v.Concurrency,
		Calls: n, Seconds: m.took.Seconds(), Rate: float64(n) / max(m.took.Seconds(), 1e-9),
		Min: us(m.latency.Min()), P50: us(m.latency.ValueAtQuantile(50)), P99: us(m.latency.ValueAtQuantile(99)),
		P999: us(m.latency.ValueAtQuantile(99.9)), Max: us(m.latency.Max()), Errors: m.errors,
	}
}

func (r benchReport) print(w io.Writer) {
	us := func(v float64) string {
		return (time.Duration(v*1000) * time.Nanosecond).Round(100 * time.Nanosecond).String()
	}
	fmt.Fprintf(w, "%s at %s, %d callers on one connection\n", r.Method, r.URL, r.Concurrency)
	fmt.Fprintf(w, "calls    %s in %.2fs, %s/s\n", thousands(r.Calls), r.Seconds, thousands(int64(r.Rate)))
	fmt.Fprintf(w, "latency  min %s  p50 %s  p99 %s  p99.9 %s  max %s\n", us(r.Min), us(r.P50), us(r.P99), us(r.P999), us(r.Max))
	fmt.Fprintf(w, "errors   %s\n", r.Errors)
}

// String lists what there is.
func (e errorCounts) String() string {
	var parts []string
	for _, code := range slices.Sorted(maps.Keys(e.Codes)) {
		parts = append(parts, fmt.Sprintf("%s answered with %d", thousands(e.Codes[code]), code))
	}
	for _, c := range []struct {
		n    int64
		what string
	}{{e.Different, "results unlike the first"}, {e.NotSent, "not sent"}, {e.Unknown, "without an answer (unknown)"}} {
		if c.n > 0 {
			parts = append(parts, thousands(c.n)+" "+c.what)
		}
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}
