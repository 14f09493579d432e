package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/polyport/polyport/queue"
)

// A greeting is a job. A real one would carry a request and answer it.
type greeting struct {
	name string
	wg   *sync.WaitGroup
}

func (g *greeting) Run(context.Context) {
	defer g.wg.Done()
	fmt.Println("hello,", g.name)
}

func (g *greeting) Drop(err error) {
	defer g.wg.Done()
	fmt.Printf("no time for %s: %v\n", g.name, err)
}

func Example() {
	q := queue.New(&queue.Options{Depth: 100, Workers: 8})
	lane := q.Lane(&queue.LaneOptions{Depth: 10, Width: 1}) // one for each peer

	var wg sync.WaitGroup
	for _, name := range []string{"Ada", "Grace"} {
		wg.Add(1)
		if err := lane.Submit(context.Background(), &greeting{name, &wg}); err != nil {
			fmt.Println("busy:", err) // the job will be neither run nor dropped
			wg.Done()
		}
	}
	wg.Wait()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println("closed:", q.Close(ctx))
	// Output:
	// hello, Ada
	// hello, Grace
	// closed: <nil>
}

func ExampleNew() {
	q := queue.New(nil)
	defer q.Close(context.Background())
	s := q.Stats()
	fmt.Println(s.Capacity, s.Workers)
	// Output: 1024 256
}

func ExampleLane_Submit() {
	q := queue.New(&queue.Options{Depth: 1})
	defer q.Close(context.Background())
	lane := q.Lane(nil)
	lane.Pause() // so that the jobs wait
	defer lane.Close(errors.New("the peer has gone"))

	var wg sync.WaitGroup
	wg.Add(1)
	fmt.Println(lane.Submit(context.Background(), &greeting{"Ada", &wg}))
	fmt.Println(lane.Submit(context.Background(), &greeting{"Grace", &wg}))
	// Output:
	// <nil>
	// queue: full
	// no time for Ada: the peer has gone
}

func ExampleLane_SubmitAll() {
	q := queue.New(&queue.Options{Depth: 2})
	defer q.Close(context.Background())
	lane := q.Lane(&queue.LaneOptions{Width: 1})

	var wg sync.WaitGroup
	batch := func(names ...string) (jobs []queue.Job) {
		for _, name := range names {
			jobs = append(jobs, &greeting{name, &wg})
		}
		return jobs
	}
	fmt.Println(lane.SubmitAll(context.Background(), batch("Ada", "Grace", "Hedy")))
	wg.Add(2)
	if err := lane.SubmitAll(context.Background(), batch("Ada", "Grace")); err != nil {
		fmt.Println(err)
	}
	wg.Wait()
	// Output:
	// queue: full
	// hello, Ada
	// hello, Grace
}

func ExampleLane_Pause() {
	q := queue.New(nil)
	lane := q.Lane(&queue.LaneOptions{Width: 1})
	lane.Pause()
	var wg sync.WaitGroup
	wg.Add(1)
	lane.Submit(context.Background(), &greeting{"Ada", &wg})
	fmt.Println("waiting:", lane.Stats().Waiting)
	lane.Resume()
	q.Close(context.Background())
	// Output:
	// waiting: 1
	// hello, Ada
}

func ExampleQueue_Close() {
	q := queue.New(&queue.Options{Workers: 1})
	lane := q.Lane(nil)
	stop := make(chan struct{})
	started := make(chan struct{})
	stubborn := queue.Submit(context.Background(), lane, func(context.Context) (string, error) {
		close(started)
		<-stop
		return "at last", nil
	})
	waiting := queue.Submit(context.Background(), lane, func(context.Context) (string, error) { return "never", nil })
	<-started

	now, cancel := context.WithCancel(context.Background())
	cancel()
	fmt.Println(q.Close(now))
	_, err := stubborn.Get(context.Background())
	fmt.Println("stubborn:", err)
	_, err = waiting.Get(context.Background())
	fmt.Println("waiting:", err)
	close(stop)
	fmt.Println(q.Close(context.Background()))
	// Output:
	// queue: close gave up with 1 jobs dropped and 1 running: context canceled
	// stubborn: queue: closed
	// waiting: queue: not run: queue: closed
	// <nil>
}

func ExampleQueue_Context() {
	q := queue.New(nil)
	conn, cancel := context.WithCancel(q.Context()) // one for each connection
	defer cancel()
	q.Close(context.Background())
	fmt.Println(context.Cause(conn))
	// Output: queue: closed
}

func ExampleQueue_Stats() {
	q := queue.New(nil)
	queue.Submit(context.Background(), q.Lane(nil), func(context.Context) (int, error) { return 1, nil })
	q.Close(context.Background())
	s := q.Stats()
	fmt.Println(s.Accepted, s.Done, s.Waiting)
	// Output: 1 1 0
}

func ExamplePolicy() {
	var p queue.Policy
	err := p.UnmarshalText([]byte("drop-oldest"))
	fmt.Println(p, p == queue.DropOldest, err)
	// Output: drop-oldest true <nil>
}

func ExampleSubmit() {
	q := queue.New(nil)
	lane := q.Lane(nil)
	f := queue.Submit(context.Background(), lane, func(context.Context) (int, error) { return 6 * 7, nil })
	fmt.Println(f.Get(context.Background()))

	q.Close(context.Background())
	f = queue.Submit(context.Background(), lane, func(context.Context) (int, error) { return 0, nil })
	_, err := f.Get(context.Background())
	fmt.Println(err, errors.Is(err, queue.ErrNotRun))
	// Output:
	// 42 <nil>
	// queue: not run: queue: closed true
}

func ExamplePromise() {
	p := queue.NewPromise[string]()
	p.OnCancel(func(cause error) { fmt.Println("stop the work:", cause) })
	go p.Resolve("the answer")
	fmt.Println(p.Future().Get(context.Background()))
	fmt.Println("resolved again:", p.Resolve("another"))
	// Output:
	// the answer <nil>
	// resolved again: false
}

func ExampleResolved() {
	fmt.Println(queue.Resolved(1).Get(context.Background()))
	// Output: 1 <nil>
}

func ExampleFailed() {
	fmt.Println(queue.Failed[int](errors.New("no connection")).Get(context.Background()))
	// Output: 0 no connection
}

func ExampleFuture_Get() {
	p := queue.NewPromise[int]()
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err := p.Future().Get(ctx)
	fmt.Println("the wait ended:", errors.Is(err, queue.ErrWait))

	p.Reject(context.DeadlineExceeded)
	_, err = p.Future().Get(context.Background())
	fmt.Println("the work timed out:", errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, queue.ErrWait))
	// Output:
	// the wait ended: true
	// the work timed out: true
}

func ExampleFuture_TryGet() {
	p := queue.NewPromise[int]()
	_, _, ok := p.Future().TryGet()
	fmt.Println(ok)
	p.Resolve(1)
	v, err, ok := p.Future().TryGet()
	fmt.Println(v, err, ok)
	// Output:
	// false
	// 1 <nil> true
}

func ExampleFuture_Cancel() {
	p := queue.NewPromise[int]()
	p.OnCancel(func(cause error) { fmt.Println("stop the work:", cause) })
	p.Future().Cancel(errors.New("not needed"))
	_, err := p.Future().Get(context.Background())
	fmt.Println(err)
	// Output:
	// stop the work: not needed
	// queue: future canceled: not needed
}

func ExampleFuture_Done() {
	p := queue.NewPromise[int]()
	go p.Resolve(1)
	select {
	case <-p.Future().Done():
		fmt.Println("done")
	case <-time.After(time.Minute):
		fmt.Println("too late")
	}
	// Output: done
}

func ExampleFuture_OnDone() {
	told := queue.Resolved(1).OnDone(func(v int, err error) { fmt.Println(v, err) })
	<-told.Done() // the callback has returned

	_, err := queue.Resolved(2).OnDone(func(int, error) { panic("oops") }).Get(context.Background())
	fmt.Println(err)
	// Output:
	// 1 <nil>
	// queue: panic: oops
}

func ExampleThen() {
	f := queue.Then(queue.Resolved("polyport"), func(s string) (int, error) { return len(s), nil })
	fmt.Println(f.Get(context.Background()))
	// Output: 8 <nil>
}

func ExampleAll() {
	fmt.Println(queue.All(queue.Resolved(1), queue.Resolved(2)).Get(context.Background()))
	fmt.Println(queue.All(queue.Resolved(1), queue.Failed[int](errors.New("no"))).Get(context.Background()))
	// Output:
	// [1 2] <nil>
	// [] no
}

func ExampleRace() {
	slow := queue.NewPromise[string]()
	fmt.Println(queue.Race(slow.Future(), queue.Resolved("fast")).Get(context.Background()))
	// Output: fast <nil>
}

// A shouter is an exchanger over nothing: the peer answers in capitals, but
// hangs up when it is asked to.
type shouter struct{ n int }

func (s *shouter) Exchange(_ context.Context, r string) (string, error) {
	if r == "bye" {
		return "", errors.New("connection reset")
	}
	return fmt.Sprintf("%s over connection %d", strings.ToUpper(r), s.n), nil
}

func (s *shouter) Close() error { return nil }

func ExampleNewLockstep() {
	conns := 0
	l := queue.NewLockstep(func(context.Context) (queue.Exchanger[string, string], error) {
		conns++
		return &shouter{conns}, nil
	}, &queue.LockstepOptions{Timeout: time.Second})

	for _, r := range []string{"one", "two", "bye", "three"} {
		answer, err := l.Do(context.Background(), r).Get(context.Background())
		fmt.Println(answer, err)
	}
	l.Close(context.Background())
	_, err := l.Do(context.Background(), "four").Get(context.Background())
	fmt.Println(err, errors.Is(err, queue.ErrNotSent))
	// Output:
	// ONE over connection 1 <nil>
	// TWO over connection 1 <nil>
	//  connection reset
	// THREE over connection 2 <nil>
	// queue: not sent: queue: closed true
}
