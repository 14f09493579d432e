package rpc_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
)

// TestGetThatReceives: where calls come one after the other, whoever waits for a
// future receives for the connection, and stops when the future is complete,
// whatever completed it, or the wait is over.
func TestGetThatReceives(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(t *testing.T, f *queue.Future[int], give context.CancelFunc)
		want error
	}{
		{"cancelled by another", func(_ *testing.T, f *queue.Future[int], _ context.CancelFunc) { f.Cancel(errPlain) }, queue.ErrCanceled},
		{"the call's ctx ends", func(_ *testing.T, _ *queue.Future[int], give context.CancelFunc) { give() }, context.Canceled},
		{"the wait's ctx ends", func(*testing.T, *queue.Future[int], context.CancelFunc) {}, queue.ErrWait},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, w wire) {
				g := newGate()
				m := gatedMux(g)
				rpc.Handle(m, "One", func(context.Context, struct{}) (int, error) { return 1, nil })
				rpc.Handle(m, "Wait1", func(ctx context.Context, _ struct{}) (int, error) { return 1, g.pass(ctx) })
				c := serve(t, w, m, nil).client(nil)
				for range 100 {
					if v, err := rpc.Go[int](t.Context(), c, "One", nil).Get(t.Context()); v != 1 || err != nil {
						t.Fatalf("One = %d, %v", v, err)
					}
				}
				ctx, give := context.WithCancel(t.Context())
				defer give()
				f := rpc.Go[int](ctx, c, "Wait1", nil)
				wait, stop := context.WithTimeout(t.Context(), time.Minute)
				defer stop()
				got := make(chan error, 1)
				go func() {
					_, err := f.Get(wait)
					got <- err
				}()
				synctest.Wait()
				tt.end(t, f, give)
				select {
				case err := <-got:
					isErr(t, "Get", err, tt.want)
				case <-time.After(2 * time.Minute):
					t.Fatal("Get goes on after the end")
				}
				// Others are served all the same, and this one's connection is intact.
				if v, err := rpc.Call[int](t.Context(), c, "One", nil); v != 1 || err != nil {
					t.Errorf("the next call = %d, %v", v, err)
				}
				g.open()
			})
		})
	}
}

// TestCallbackWithoutGet: a future completes though nobody waits for it, also
// after many that somebody waited for.
func TestCallbackWithoutGet(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		m := rpc.NewMux(nil)
		rpc.Handle(m, "One", func(context.Context, struct{}) (int, error) { return 1, nil })
		c := serve(t, w, m, nil).client(nil)
		for range 100 {
			if v, err := rpc.Go[int](t.Context(), c, "One", nil).Get(t.Context()); v != 1 || err != nil {
				t.Fatalf("One = %d, %v", v, err)
			}
		}
		for range 3 {
			began := time.Now()
			done := rpc.Go[int](t.Context(), c, "One", nil).OnDone(func(v int, err error) {
				if v != 1 || err != nil {
					t.Errorf("One = %d, %v", v, err)
				}
			})
			within(t, done.Done(), "the callback")
			if took := time.Since(began); took > 5*time.Millisecond {
				t.Errorf("the callback came after %v", took)
			}
		}
	})
}
