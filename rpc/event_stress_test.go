package rpc_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/polyport/polyport/rpc"
)

// TestEventStress: many publish to many, others come and go. Each subscriber
// gets what one publisher published in its order, and what it did not get it is
// told of.
func TestEventStress(t *testing.T) {
	for _, policy := range []rpc.EventPolicy{rpc.DropOldest, rpc.DropNewest, rpc.Block} {
		t.Run(policy.String(), func(t *testing.T) {
			onWires(t, func(t *testing.T, w wire) { stressEvents(t, w, policy) })
		})
	}
}

func stressEvents(t *testing.T, w wire, policy rpc.EventPolicy) {
	t.Helper()
	const publishers, each = 4, 400
	h := eventServer(t, w, &rpc.EventOptions{Policy: policy, Buffer: 32})
	var readers, writers, churn sync.WaitGroup
	for _, window := range []int{1, 7, 256} {
		s := subscribe(t, h.client(nil), "n.#", window)
		readers.Go(func() {
			got := drainStress(t, s, publishers)
			all := uint64(got) + s.Dropped()
			if all < publishers*each || all > publishers*each && policy != rpc.DropNewest { // which may drop the end, too
				t.Errorf("window %d: got %d and was told of %d dropped, want %d in all", window, got, s.Dropped(), publishers*each)
			}
			if policy == rpc.Block && s.Dropped() != 0 {
				t.Errorf("window %d: %d were dropped, want none", window, s.Dropped())
			}
		})
	}
	ctx, stop := context.WithCancel(t.Context())
	for range 2 {
		c := h.client(nil)
		churn.Go(func() {
			for ctx.Err() == nil {
				s, err := c.SubscribeFunc(ctx, "#", nil, func(rpc.Event, error) {})
				if err == nil {
					_ = s.Close()
				} else if ctx.Err() == nil {
					t.Errorf("Subscribe() = %v", err)
				}
			}
		})
	}
	for p := range publishers {
		writers.Go(func() {
			for i := range each {
				if _, err := h.Publish(context.Background(), "n.x", []int{p, i}); err != nil {
					t.Errorf("Publish() = %v", err)
				}
			}
		})
	}
	writers.Wait()
	stop()
	churn.Wait()
	done := make(chan struct{})
	go func() {
		readers.Wait()
		close(done)
	}()
	for {
		if _, err := h.Publish(context.Background(), "n.end", nil); err != nil {
			t.Error(err)
		}
		if policy != rpc.DropNewest {
			within(t, done, "the last event")
			return
		}
		select {
		case <-done:
			return
		case <-time.After(time.Millisecond): // until there was room for it everywhere
		}
	}
}

// drainStress returns how many events came before the end.
func drainStress(t *testing.T, s *rpc.Subscription, publishers int) (got int) {
	t.Helper()
	last := make([]int, publishers)
	for e, err := range s.Events() {
		var n []int
		if _, gap := errors.AsType[*rpc.GapError](err); gap {
			continue
		}
		if e.Topic == "n.end" {
			return got
		}
		if err := errors.Join(err, e.Decode(&n)); err != nil {
			t.Errorf("the events ended: %v", err)
			return got
		}
		if n[1] < last[n[0]] {
			t.Errorf("event %d of publisher %d came after %d", n[1], n[0], last[n[0]])
		}
		last[n[0]] = n[1]
		got++
	}
	return got
}
