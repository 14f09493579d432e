package queue_test

import (
	"context"
	"testing"

	"github.com/polyport/polyport/queue"
)

// The way of a job through the queue is free of allocations once the queue is
// warm, whether the job is handed over, waits, or is refused.
func TestSubmitDoesNotAllocate(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p := &ping{ran: make(chan struct{}, 1)}
	for _, tc := range []struct {
		name string
		o    queue.Options
		n    int // jobs at once, one of which runs
	}{
		{"handed over", queue.Options{}, 1},
		{"waiting", queue.Options{Workers: 1}, 100},
		{"refused", queue.Options{Workers: 1, Depth: 1}, 10},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q := queue.New(&tc.o)
			defer closeNow(t, q)
			lanes := []*queue.Lane{q.Lane(nil), q.Lane(nil), q.Lane(nil)}
			round := func() {
				accepted := 0
				for i := range tc.n {
					if lanes[i%len(lanes)].Submit(ctx, p) == nil {
						accepted++
					}
				}
				for range accepted {
					<-p.ran
				}
			}
			round()
			if got := testing.AllocsPerRun(100, round); got != 0 {
				t.Errorf("%v allocations in %d submits, want 0", got, tc.n)
			}
		})
	}
}

func TestPromiseIsOneAllocation(t *testing.T) {
	ctx := t.Context()
	got := testing.AllocsPerRun(100, func() {
		p := queue.NewPromise[int]()
		p.Resolve(1)
		p.Future().Get(ctx)
	})
	if got > 1 {
		t.Errorf("%v allocations, want 1", got)
	}
}
