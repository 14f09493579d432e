package queue_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/polyport/polyport/queue"
)

// A ping tells that it was run.
type ping struct{ ran chan struct{} }

func (p *ping) Run(context.Context) { p.ran <- struct{}{} }
func (p *ping) Drop(error)          {}

// A tick is as small as a job can be.
type tick struct{ wg *sync.WaitGroup }

func (j *tick) Run(context.Context) { j.wg.Done() }
func (j *tick) Drop(error)          { j.wg.Done() }

// From Submit to the end of Run, when nothing else is going on: what one call
// of an idle server pays for the queue.
func BenchmarkIdle(b *testing.B) {
	q := queue.New(nil)
	defer q.Close(context.Background())
	l := q.Lane(nil)
	p := &ping{ran: make(chan struct{}, 1)}
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Submit(ctx, p); err != nil {
			b.Fatal(err)
		}
		<-p.ran
	}
}

// The same two hops over bare channels, as a yardstick for BenchmarkIdle.
func BenchmarkIdleChannels(b *testing.B) {
	jobs := make(chan *ping)
	var wg sync.WaitGroup
	wg.Go(func() {
		for p := range jobs {
			p.Run(context.Background())
		}
	})
	defer wg.Wait()
	defer close(jobs)
	p := &ping{ran: make(chan struct{}, 1)}
	b.ReportAllocs()
	for b.Loop() {
		jobs <- p
		<-p.ran
	}
}

// Many lanes with more to do than the workers can, for each policy that keeps
// every job: the cost of one job from Submit to the end of Run.
func BenchmarkLoad(b *testing.B) {
	for _, lanes := range []int{1, 64} {
		for _, workers := range []int{1, 2, 256} {
			b.Run(fmt.Sprintf("lanes=%d/workers=%d", lanes, workers), func(b *testing.B) {
				benchLoad(b, lanes, workers)
			})
		}
	}
}

func benchLoad(b *testing.B, lanes, workers int) {
	b.Helper()
	q := queue.New(&queue.Options{Workers: workers, Policy: queue.Block})
	defer q.Close(context.Background())
	var ls []*queue.Lane
	for range lanes {
		ls = append(ls, q.Lane(nil))
	}
	var wg sync.WaitGroup
	j := &tick{&wg}
	ctx := context.Background()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		wg.Add(1)
		if err := ls[i%lanes].Submit(ctx, j); err != nil {
			b.Fatal(err)
		}
		i++
	}
	wg.Wait()
}

// Producers on every processor, a lane each.
func BenchmarkParallel(b *testing.B) {
	q := queue.New(&queue.Options{Policy: queue.Block})
	defer q.Close(context.Background())
	var wg sync.WaitGroup
	j := &tick{&wg}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		l := q.Lane(nil)
		for pb.Next() {
			wg.Add(1)
			if err := l.Submit(context.Background(), j); err != nil {
				b.Fatal(err)
			}
		}
	})
	wg.Wait()
}

func BenchmarkReject(b *testing.B) {
	q := queue.New(&queue.Options{Depth: 1, Workers: 1})
	l := q.Lane(nil)
	p := &ping{ran: make(chan struct{})}
	ctx := context.Background()
	accepted := 0
	for l.Submit(ctx, p) == nil {
		accepted++
	}
	b.ReportAllocs()
	for b.Loop() {
		l.Submit(ctx, p)
	}
	for range accepted {
		<-p.ran
	}
	q.Close(ctx)
}

func BenchmarkSubmitAll(b *testing.B) {
	q := queue.New(&queue.Options{Policy: queue.Block})
	defer q.Close(context.Background())
	l := q.Lane(nil)
	var wg sync.WaitGroup
	jobs := make([]queue.Job, 100)
	for i := range jobs {
		jobs[i] = &tick{&wg}
	}
	b.ReportAllocs()
	for b.Loop() {
		wg.Add(len(jobs))
		if err := l.SubmitAll(context.Background(), jobs); err != nil {
			b.Fatal(err)
		}
	}
	wg.Wait()
}

func BenchmarkSubmitFuture(b *testing.B) {
	q := queue.New(nil)
	defer q.Close(context.Background())
	l := q.Lane(nil)
	run := func(context.Context) (int, error) { return 1, nil }
	cancelable := b.Context()
	for name, ctx := range map[string]context.Context{"background": context.Background(), "cancelable": cancelable} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := queue.Submit(ctx, l, run).Get(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A promise that is complete before anyone waits needs no channel.
func BenchmarkPromiseResolvedFirst(b *testing.B) {
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		p := queue.NewPromise[int]()
		p.Resolve(1)
		if _, err := p.Future().Get(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

// The channel is made when Get must wait.
func BenchmarkPromiseWaitedFor(b *testing.B) {
	ctx := context.Background()
	ps := make(chan *queue.Promise[int])
	var wg sync.WaitGroup
	wg.Go(func() {
		for p := range ps {
			p.Resolve(1)
		}
	})
	b.ReportAllocs()
	for b.Loop() {
		p := queue.NewPromise[int]()
		done := p.Future().Done()
		ps <- p
		<-done
		if _, err := p.Future().Get(ctx); err != nil {
			b.Fatal(err)
		}
	}
	close(ps)
	wg.Wait()
}

func BenchmarkLockstep(b *testing.B) {
	l := queue.NewLockstep(func(context.Context) (queue.Exchanger[int, int], error) {
		return badClose{errCause}, nil
	}, nil)
	defer l.Close(context.Background())
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Do(ctx, 1).Get(ctx); err != nil {
			b.Fatal(err)
		}
	}
}
