package amqp_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp"
	"github.com/polyport/polyport/transport/mem"
)

// TestSubscribeWhileFull: what waits for Recv is in no operation's way, and
// nothing of it is lost.
func TestSubscribeWhileFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := transport.Options{SendBuffer: 8 << 10}
		near, far := mem.Pipe()
		accepted := make(chan transport.Conn, 1)
		go func() {
			c, err := amqp.Transport{}.Server(t.Context(), far, &transport.ListenOptions{Options: o})
			if err != nil {
				t.Errorf("Server: %v", err)
			}
			accepted <- c
		}()
		u, _ := url.Parse("amqp://host/rpc")
		client, err := amqp.Transport{}.Client(t.Context(), near, u, &transport.DialOptions{Options: o})
		if err != nil {
			t.Fatal(err)
		}
		server := <-accepted
		by, _ := transport.As[transport.Subscriber](client)
		if _, err := by.Subscribe(t.Context(), transport.Subscription{ID: "a", Destination: "a"}); err != nil {
			t.Fatal(err)
		}
		n := 0
		for err == nil {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err = server.Send(ctx, &transport.Message{To: "a", Body: fmt.Appendf(nil, "%01000d", n)})
			cancel()
			n++
		}
		if !errors.Is(err, transport.ErrBusy) || n > 200 {
			t.Fatalf("%d messages were sent to one who does not receive, then: %v", n, err)
		}
		start := time.Now()
		if _, err := by.Subscribe(t.Context(), transport.Subscription{ID: "b", Destination: "b"}); err != nil {
			t.Errorf("Subscribe: %v", err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("Subscribe took %v", took)
		}
		for i := range n - 1 {
			m, err := client.Recv(t.Context())
			if err != nil || string(m.Body) != fmt.Sprintf("%01000d", i) {
				t.Fatalf("message %d of %d: %v, %v", i, n-1, m, err)
			}
		}
		go func() { _ = server.Close() }()
		_ = client.Close()
		synctest.Wait()
	})
}
