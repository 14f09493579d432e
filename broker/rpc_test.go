package broker_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// sums is a service that adds.
func sums() *rpc.Server {
	type params struct{ A, B int }
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Sum", func(_ context.Context, p params) (int, error) { return p.A + p.B, nil })
	return rpc.NewServer(mux, nil)
}

// serve has a server consume a queue until the test is over.
func serve(t *testing.T, h *broker.Hub, queue string, ack transport.AckMode) {
	t.Helper()
	conn, err := h.Dial(t.Context(), queue)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = conn.(transport.Subscriber).Subscribe(t.Context(), transport.Subscription{Ack: ack}); err != nil {
		t.Fatal(err)
	}
	server, served := sums(), make(chan error, 1)
	go func() { served <- server.ServeConn(conn) }()
	t.Cleanup(func() {
		_ = conn.Close()
		<-served
		_ = server.Shutdown(context.Background())
	})
}

func TestCallsThroughAQueue(t *testing.T) {
	for _, ack := range []transport.AckMode{transport.AckNone, transport.AckEach} {
		t.Run(fmt.Sprint("ack mode ", ack), func(t *testing.T) {
			h := newHub(t, nil)
			serve(t, h, "/queue/calc", ack)
			serve(t, h, "/queue/calc", ack)
			conn, err := h.Dial(t.Context(), "/queue/calc")
			if err != nil {
				t.Fatal(err)
			}
			client := rpc.NewClient(conn, nil)
			t.Cleanup(func() { _ = client.Close() })
			for i := range 100 {
				got, err := rpc.Call[int](t.Context(), client, "Sum", []int{i, 1})
				if err != nil || got != i+1 {
					t.Fatalf("Sum(%d, 1) = %d, %v", i, got, err)
				}
			}
			until(t, "100 requests are settled", func() bool {
				q := queueOf(t, h, "calc")
				return q.In == 100 && q.Settled == 100
			})
		})
	}
}

func TestAnswerToWhoHasLeft(t *testing.T) {
	h := newHub(t, nil)
	conn, err := h.Dial(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	address, err := conn.(transport.ReplyAddresser).ReplyAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Publish(t.Context(), &transport.Message{To: address}); err != nil {
		t.Errorf("before: %v", err)
	}
	_ = conn.Close()
	if err := h.Publish(t.Context(), &transport.Message{To: address}); !errors.Is(err, transport.ErrNoRoute) {
		t.Errorf("after: %v, want %v", err, transport.ErrNoRoute)
	}
}
