package rpc_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// An eager is a feed that brings an event as soon as it was asked for any, and ends
// with the next one that is waited for.
type eager struct {
	asked  chan struct{}
	closed chan struct{}
	once   sync.Once
	said   int
}

func newEager() *eager { return &eager{asked: make(chan struct{}, 8), closed: make(chan struct{})} }

func (e *eager) Send(context.Context, *transport.Message) error { return transport.ErrUnsupported }

func (e *eager) Recv(ctx context.Context) (*transport.Message, error) {
	if e.said > 0 {
		time.Sleep(time.Second) // of the bubble
		return nil, transport.ErrClosed
	}
	select {
	case <-e.asked:
	case <-e.closed:
		return nil, transport.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	e.said++
	return &transport.Message{To: "tick", Subject: "tick", Body: []byte(`{"jsonrpc":"2.0","method":"tick"}`)}, nil
}

func (e *eager) Close() error {
	e.once.Do(func() { close(e.closed) })
	return nil
}

func (e *eager) Info() *transport.Info { return &transport.Info{Scheme: "eager", Feed: true} }

func (e *eager) Subscribe(context.Context, transport.Subscription) (string, error) {
	e.asked <- struct{}{}
	return "1", nil
}

func (e *eager) Unsubscribe(context.Context, string) error { return nil }

// TestIssue9_GapBeforeFirstEvent: what is heard by a new connection does not come before
// the gap that the loss of the last one has left.
func TestIssue9_GapBeforeFirstEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		redial := &transport.RedialOptions{First: time.Millisecond, Most: time.Millisecond}
		redial.Dial = func(context.Context) (transport.Conn, error) { return newEager(), nil }
		c, err := rpc.Dial(t.Context(), "mem://eager?socket=sub", &rpc.ClientOptions{Reconnect: redial})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		sub, err := c.Subscribe(t.Context(), "tick", nil)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for event, err := range sub.Events() {
			gap, isGap := errors.AsType[*rpc.GapError](err)
			switch {
			case isGap != (n%2 == 1):
				t.Fatalf("%d: %q, %v; want events and gaps in turn", n, event.Topic, err)
			case isGap && gap.Dropped != 0:
				t.Errorf("%d events dropped, want an unknown number", gap.Dropped)
			}
			if n++; n == 400 {
				break
			}
		}
	})
}
