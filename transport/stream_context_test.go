package transport_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/polyport/polyport/transport"
)

// A stream goes on watching the context of the last Recv, because the next one
// mostly brings the same. None of this may show.
func TestStreamWatchesContexts(t *testing.T) {
	t.Run("a context that ends between two receives spoils no other", func(t *testing.T) {
		c, peer := newStream(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		for range 3 {
			go say(t, peer, "a\n")
			if m, err := c.Recv(ctx); err != nil || string(m.Body) != "a" {
				t.Fatalf("Recv = %v, %v, want a", m, err)
			}
		}
		cancel()
		go say(t, peer, "b\n")
		checkRecv(t, c, "b")
		if _, err := c.Recv(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Recv by a context that has ended = %v, want %v", err, context.Canceled)
		}
		go say(t, peer, "c\n")
		checkRecv(t, c, "c")
		go say(t, peer, "d\n")
		if m, err := c.Recv(context.Background()); err != nil || string(m.Body) != "d" {
			t.Errorf("Recv = %v, %v, want d", m, err)
		}
	})

	t.Run("a receive by the same context is still interrupted", func(t *testing.T) {
		c, peer := newStream(t, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		go say(t, peer, "a\n")
		if _, err := c.Recv(ctx); err != nil {
			t.Fatalf("Recv = %v, want nil", err)
		}
		if _, err := c.Recv(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Recv = %v, want %v", err, context.DeadlineExceeded)
		}
	})

	t.Run("contexts that end while the stream closes hold up nobody", func(t *testing.T) {
		for range 200 {
			c, peer := newStream(t, func(o *transport.Options) { o.Linger = time.Second })
			ctx, cancel := context.WithCancel(t.Context())
			go say(t, peer, "a\n")
			if _, err := c.Recv(ctx); err != nil {
				t.Fatalf("Recv = %v, want nil", err)
			}
			received := make(chan error, 1)
			go cancel()
			go func() { _, err := c.Recv(t.Context()); received <- err }()
			go peer.Close()
			if err := c.Close(); err != nil {
				t.Errorf("Close = %v, want nil", err)
			}
			if err := <-received; err == nil {
				t.Error("Recv of a closed stream returned no error")
			}
			cancel()
		}
	})

	t.Run("an ended stream keeps no context", func(t *testing.T) {
		c, peer := newStream(t, nil)
		kept := receiveOnce(t, c, peer)
		go peer.Close()
		if err := c.Close(); err != nil {
			t.Errorf("Close = %v, want nil", err)
		}
		for range 10 {
			if runtime.GC(); kept.Value() == nil {
				return
			}
		}
		t.Error("the context of the last Recv is still held, and nothing can end it")
	})
}

// receiveOnce receives by a context that holds the value it returns.
func receiveOnce(t *testing.T, c *lineConn, peer io.Writer) weak.Pointer[[64]byte] {
	t.Helper()
	type key struct{}
	value := new([64]byte)
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, value))
	_ = cancel // as one who forgets it
	go say(t, peer, "a\n")
	if _, err := c.Recv(ctx); err != nil {
		t.Fatalf("Recv = %v, want nil", err)
	}
	return weak.Make(value)
}
