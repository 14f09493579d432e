package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/polyport/polyport/queue"
)

func TestResolveLater(t *testing.T) {
	var calls atomic.Int32
	value := func() (int, error) { calls.Add(1); return 7, nil }
	for _, tt := range []struct {
		name string
		use  func(p *queue.Promise[int]) // after it was completed
		want int32
	}{
		{"nobody asks", func(*queue.Promise[int]) {}, 0},
		{"Done does not ask", func(p *queue.Promise[int]) { <-p.Future().Done() }, 0},
		{"a cancel comes too late", func(p *queue.Promise[int]) {
			if p.Future().Cancel(nil) || p.Resolve(1) || p.ResolveLater(value) {
				t.Error("a complete future was completed again")
			}
		}, 0},
		{"many ask at once", func(p *queue.Promise[int]) {
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					if v, err := p.Future().Get(t.Context()); v != 7 || err != nil {
						t.Errorf("Get() = %d, %v, want 7, nil", v, err)
					}
				})
			}
			wg.Wait()
			if v, err, ok := p.Future().TryGet(); v != 7 || err != nil || !ok {
				t.Errorf("TryGet() = %d, %v, %t, want 7, nil, true", v, err, ok)
			}
		}, 1},
		{"All and Then ask", func(p *queue.Promise[int]) {
			twice := queue.Then(p.Future(), func(v int) (int, error) { return 2 * v, nil })
			vs, err := queue.All(p.Future(), twice).Get(t.Context())
			if err != nil || vs[0] != 7 || vs[1] != 14 {
				t.Errorf("All = %v, %v, want [7 14], nil", vs, err)
			}
		}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			calls.Store(0)
			p := queue.NewPromise[int]()
			if !p.ResolveLater(value) {
				t.Fatal("ResolveLater() = false, want true")
			}
			tt.use(p)
			if got := calls.Load(); got != tt.want {
				t.Errorf("fn was called %d times, want %d", got, tt.want)
			}
		})
	}
}

// TestResolveLaterTells: those who wait to be told do not hold up the goroutine
// that completes the future, and neither does fn.
func TestResolveLaterTells(t *testing.T) {
	p := queue.NewPromise[int]()
	got := make(chan int, 1)
	told := p.Future().OnDone(func(v int, _ error) { got <- v })
	hold := make(chan struct{})
	p.ResolveLater(func() (int, error) { <-hold; return 7, nil })
	close(hold)
	if _, err := told.Get(t.Context()); err != nil || <-got != 7 {
		t.Errorf("OnDone = %v, want nil and a call with 7", err)
	}
}

func TestResolveLaterFails(t *testing.T) {
	p := queue.NewPromise[int]()
	p.ResolveLater(func() (int, error) { return 0, errWork })
	if _, err := p.Future().Get(context.Background()); !errors.Is(err, errWork) {
		t.Errorf("Get() = %v, want %v", err, errWork)
	}
	p = queue.NewPromise[int]()
	p.ResolveLater(func() (int, error) { panicHere(); return 0, nil })
	for range 2 {
		if _, err := p.Future().Get(context.Background()); err == nil {
			t.Error("Get() = nil, want a PanicError")
		} else if _, ok := errors.AsType[*queue.PanicError](err); !ok {
			t.Errorf("Get() = %v, want a PanicError", err)
		}
	}
}

func ExamplePromise_ResolveLater() {
	p := queue.NewPromise[int]()
	p.ResolveLater(func() (int, error) {
		fmt.Println("decoding")
		return strconv.Atoi("7")
	})
	<-p.Future().Done()
	fmt.Println("done")
	fmt.Println(p.Future().Get(context.Background()))
	// Output:
	// done
	// decoding
	// 7 <nil>
}
