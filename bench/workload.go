package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
)

// A workload is one kind of work. Every answer is compared with what it has to
// be, also while time is taken.
type workload struct {
	name string
	// unit is what one operation is.
	unit string
	// do does n operations.
	do func(ctx context.Context, r *rig, n int) error
}

func (w workload) title() string { return w.name }

// A rig is a peer at work.
type rig struct {
	client  client
	service *service
}

const (
	callers = 64
	batch   = 100
	// burst is how many notifications may be under way. polyport drops what is
	// beyond rpc.Limits.InFlight, as it must when it may not hold up its reader;
	// most peers have no bound.
	burst = 512
)

func allWorkloads() []workload {
	return []workload{
		{name: "Sequential", unit: "call", do: sequential},
		{name: "Callers64", unit: "call", do: concurrent},
		{name: "Notify", unit: "notification", do: notify},
		{name: "Batch100", unit: "batch", do: batches},
		{name: "Echo16KiB", unit: "call", do: echoes(16 << 10)},
		{name: "Echo1MiB", unit: "call", do: echoes(1 << 20)},
	}
}

// possible says if the peer of r can do w.
func (w workload) possible(r *rig) (ok bool) {
	switch w.name {
	case "Notify":
		_, ok = r.client.(notifier)
	case "Batch100":
		_, ok = r.client.(batcher)
	default:
		ok = true
	}
	return ok
}

// sum makes one small call. terms is room for the params.
func (r *rig) sum(ctx context.Context, terms []float64, i int) error {
	terms[0], terms[1], terms[2] = 1, 2, float64(i%1000)
	got, err := r.client.Sum(ctx, terms)
	if err != nil {
		return err
	}
	if want := 3 + terms[2]; got != want {
		return fmt.Errorf("the sum of %v came back as %v", terms, got)
	}
	return nil
}

// sequential is one caller that waits for each answer.
func sequential(ctx context.Context, r *rig, n int) error {
	terms := make([]float64, 3)
	for i := range n {
		if err := r.sum(ctx, terms, i); err != nil {
			return err
		}
	}
	return nil
}

// concurrent is 64 callers that share a client.
func concurrent(ctx context.Context, r *rig, n int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		taken atomic.Int64
		all   sync.WaitGroup
	)
	for range callers {
		all.Go(func() {
			terms := make([]float64, 3)
			for {
				i := int(taken.Add(1))
				if i > n || ctx.Err() != nil {
					return
				}
				if err := r.sum(ctx, terms, i); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// notify is one caller that wants no answers. After each burst it waits until
// the service has handled them all.
func notify(ctx context.Context, r *rig, n int) error {
	c := r.client.(notifier)
	terms := []float64{1, 2, 0}
	for n > 0 {
		now := min(n, burst)
		n -= now
		r.service.noted.expect(now)
		for i := range now {
			terms[2] = float64(i)
			if err := c.Note(ctx, terms); err != nil {
				return err
			}
		}
		if err := r.service.noted.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// batches is one caller that sends its calls by the hundred.
func batches(ctx context.Context, r *rig, n int) error {
	c := r.client.(batcher)
	calls := make([][]float64, batch)
	for i := range calls {
		calls[i] = []float64{1, 2, float64(i)}
	}
	for range n {
		sums, err := c.SumBatch(ctx, calls)
		if err != nil {
			return err
		}
		if len(sums) != batch {
			return fmt.Errorf("%d of %d answers came", len(sums), batch)
		}
		for i, sum := range sums {
			if want := 3 + float64(i); sum != want {
				return fmt.Errorf("the sum of %v came back as %v", calls[i], sum)
			}
		}
	}
	return nil
}

// echoes is one caller that sends a text of size bytes and gets it back.
func echoes(size int) func(ctx context.Context, r *rig, n int) error {
	// As in English prose, one character in sixty needs an escape and hardly any
	// is not ASCII.
	const sample = "The quick brown fox jumped over the lazy dog and went to sleep. When it woke up again it was so hungry that\n" +
		"it asked the dog: \"Is there anything left of yesterday?\" There was not – so it went out into the wood, to see\n" +
		"what was there for a fox to eat, and came back late that night, as lazy as the dog had ever been.\n"
	want := text{Text: strings.Repeat(sample, size/len(sample)+1)[:size]}
	want.Text = strings.ToValidUTF8(want.Text, "?")
	return func(ctx context.Context, r *rig, n int) error {
		for range n {
			got, err := r.client.Echo(ctx, want)
			if err != nil {
				return err
			}
			if got != want {
				return fmt.Errorf("an echo of %d bytes came back as %d others", len(want.Text), len(got.Text))
			}
		}
		return nil
	}
}
