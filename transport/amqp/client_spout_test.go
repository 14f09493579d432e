package amqp_test

import (
	"context"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp"
	"github.com/polyport/polyport/transport/mem"
)

// TestBurstTowardsLittleCredit: messages that leave together are held back for
// each other, but not while the peer has to see them before it gives credit for
// the next, and not one after the other for the longest time.
func TestBurstTowardsLittleCredit(t *testing.T) {
	for _, credit := range []int{1, 3, 64} {
		t.Run(strconv.Itoa(credit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { burst(t, credit) })
		})
	}
}

func burst(t *testing.T, credit int) {
	const n = 300
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	near, far := mem.Pipe()
	accepted := make(chan transport.Conn, 1)
	go func() {
		o := &transport.ListenOptions{Options: transport.Options{Limits: transport.Limits{Unsettled: credit}}}
		c, err := amqp.Transport{}.Server(ctx, far, o)
		if err != nil {
			t.Errorf("Server: %v", err)
		}
		accepted <- c
	}()
	u, _ := url.Parse("amqp://host/rpc")
	client, err := amqp.Transport{}.Client(ctx, near, u, nil)
	if err != nil {
		t.Fatal(err)
	}
	server := <-accepted
	if err := client.Send(ctx, &transport.Message{Body: []byte("first")}); err != nil {
		t.Fatal(err)
	}
	var senders sync.WaitGroup
	began := time.Now()
	for range n {
		senders.Go(func() {
			if err := client.Send(ctx, &transport.Message{Body: []byte("x")}); err != nil {
				t.Errorf("Send: %v", err)
			}
		})
	}
	for i := range n + 1 {
		m, err := server.Recv(ctx)
		if err != nil {
			t.Errorf("message %d of %d: %v", i, n+1, err)
			break
		}
		if err := m.Settle(transport.Accepted); err != nil {
			t.Errorf("Settle: %v", err)
		}
	}
	// One millisecond was lost before it was clear that holding back does no good.
	if took := time.Since(began); took > 10*time.Millisecond {
		t.Errorf("%d messages took %v by a clock that only stands still while somebody works", n, took)
	}
	senders.Wait()
	go func() { _ = server.Close() }()
	_ = client.Close()
	synctest.Wait()
}
