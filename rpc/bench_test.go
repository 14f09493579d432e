package rpc_test

import (
	"context"
	"encoding/json"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
)

// benchClient is a client of an echo and an adder over STOMP on TCP.
func benchClient(b *testing.B) *rpc.Client {
	b.Helper()
	mux := sums()
	rpc.Handle(mux, "Echo", func(_ context.Context, p json.RawMessage) (json.RawMessage, error) { return p, nil })
	return serve(b, stompTCP, mux, nil).client(nil)
}

// BenchmarkSequential is one caller that waits for each answer: the round
// trip.
func BenchmarkSequential(b *testing.B) {
	c := benchClient(b)
	params := []int{1, 2, 3}
	b.ReportAllocs()
	for b.Loop() {
		var sum float64
		if err := c.Call(b.Context(), "Math.Sum", params, &sum); err != nil || sum != 6 {
			b.Fatal(sum, err)
		}
	}
}

// BenchmarkCallers64 is 64 callers that share one connection.
func BenchmarkCallers64(b *testing.B) {
	c := benchClient(b)
	params := []int{1, 2, 3}
	b.ReportAllocs()
	callers(b, func() error {
		var sum float64
		return c.Call(b.Context(), "Math.Sum", params, &sum)
	})
}

// BenchmarkAutoBatch64 is BenchmarkCallers64 with calls packed into batches.
func BenchmarkAutoBatch64(b *testing.B) {
	c := serve(b, stompTCP, sums(), nil).client(&rpc.ClientOptions{AutoBatch: 64})
	params := []int{1, 2, 3}
	b.ReportAllocs()
	callers(b, func() error {
		var sum float64
		return c.Call(b.Context(), "Math.Sum", params, &sum)
	})
}

// BenchmarkNotify is one caller that wants no answers. The end waits for the
// server to have executed them all, so that the time is that of both ends.
func BenchmarkNotify(b *testing.B) {
	c := benchClient(b)
	params := []int{1, 2, 3}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if err := c.Notify(b.Context(), "Math.Sum", params); err != nil {
			b.Fatal(err)
		}
		// More than the queue takes would be dropped and cost nothing.
		if n++; n%512 == 0 {
			if err := c.Call(b.Context(), "Echo", params, nil); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := c.Call(b.Context(), "Echo", params, nil); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkBatch100 is one caller that sends its calls by the hundred. An
// operation is a batch.
func BenchmarkBatch100(b *testing.B) {
	c := benchClient(b)
	params := []int{1, 2, 3}
	b.ReportAllocs()
	for b.Loop() {
		var batch rpc.Batch
		for range 100 {
			rpc.Add[float64](&batch, "Math.Sum", params)
		}
		if err := c.Do(b.Context(), &batch); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEcho16KiB is 64 callers whose params and results have 16 KiB.
func BenchmarkEcho16KiB(b *testing.B) {
	c := benchClient(b)
	params := []string{strings.Repeat("x", 16<<10)}
	b.SetBytes(2 * 16 << 10)
	b.ReportAllocs()
	callers(b, func() error {
		var result json.RawMessage
		return c.Call(b.Context(), "Echo", params, &result)
	})
}

// callers runs call on 64 goroutines.
func callers(b *testing.B, call func() error) {
	b.Helper()
	b.SetParallelism(max(1, 64/runtime.GOMAXPROCS(0)))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := call(); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkFuture is BenchmarkSequential with a typed future for each call.
func BenchmarkFuture(b *testing.B) {
	c := benchClient(b)
	params := []int{1, 2, 3}
	b.ReportAllocs()
	for b.Loop() {
		if sum, err := rpc.Go[float64](b.Context(), c, "Math.Sum", params).Get(b.Context()); err != nil || sum != 6 {
			b.Fatal(sum, err)
		}
	}
}

// BenchmarkFutures64 is BenchmarkCallers64 with futures, and BenchmarkFutures100
// one caller that has a hundred under way.
func BenchmarkFutures64(b *testing.B) {
	c := benchClient(b)
	params := []int{1, 2, 3}
	b.ReportAllocs()
	callers(b, func() error {
		_, err := rpc.Go[float64](b.Context(), c, "Math.Sum", params).Get(b.Context())
		return err
	})
}

func BenchmarkFutures100(b *testing.B) {
	c := benchClient(b)
	params := []int{1, 2, 3}
	b.ReportAllocs()
	for b.Loop() {
		var futures [100]*queue.Future[float64]
		for i := range futures {
			futures[i] = rpc.Go[float64](b.Context(), c, "Math.Sum", params)
		}
		for _, f := range &futures {
			if _, err := f.Get(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkInterceptors is BenchmarkSequential with interceptors at both ends
// that do nothing.
func BenchmarkInterceptors(b *testing.B) {
	for _, n := range []int{0, 1, 3} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			through := func(ctx context.Context, c *rpc.Invocation) error { return c.Next(ctx) }
			chain := slices.Repeat([]rpc.Interceptor{through}, n)
			c := serve(b, stompTCP, sums(), &rpc.ServerOptions{Interceptors: chain}).client(&rpc.ClientOptions{Interceptors: chain})
			params := []int{1, 2, 3}
			b.ReportAllocs()
			for b.Loop() {
				var sum float64
				if err := c.Call(b.Context(), "Math.Sum", params, &sum); err != nil || sum != 6 {
					b.Fatal(sum, err)
				}
			}
		})
	}
}

// BenchmarkSlowHandler is 64 callers of a method that takes 10 ms, over the wire
// mem: full duplex, in lock-step on one connection, and on a pool of 64.
func BenchmarkSlowHandler(b *testing.B) {
	for _, w := range []struct {
		name, query string
		conns       int
	}{{"duplex", "", 0}, {"lockstep", "?socket=req", 1}, {"lockstep pool of 64", "?socket=req", 64}} {
		b.Run(w.name, func(b *testing.B) {
			mux := rpc.NewMux(nil)
			rpc.Handle(mux, "Slow", func(ctx context.Context, _ struct{}) (any, error) {
				select {
				case <-time.After(10 * time.Millisecond):
				case <-ctx.Done():
				}
				return nil, nil
			})
			h := serve(b, memURL, mux, nil)
			c := dialClient(b, h.url+w.query, &rpc.ClientOptions{Conns: w.conns})
			callers(b, func() error { return c.Call(b.Context(), "Slow", nil, nil) })
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
		})
	}
}
