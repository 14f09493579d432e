package amqp_test

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/polyport/polyport/transport"
)

// sendAll sends the numbers 0 to n-1 to a peer that receives from address, in
// order, and returns when each was confirmed once, if they are to be confirmed.
func sendAll(t *testing.T, conn transport.Conn, address string, n int, confirmed bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patienceFor(n))
	defer cancel()
	by, _ := transport.As[transport.Confirmer](conn)
	done, all := make([]atomic.Int32, n), make(chan struct{})
	var count atomic.Int64
	for i := range n {
		m := &transport.Message{To: address, Body: []byte(strconv.Itoa(i))}
		var err error
		if confirmed {
			err = by.SendConfirmed(ctx, m, func(err error) {
				if err != nil {
					t.Errorf("message %d: %v", i, err)
				}
				done[i].Add(1)
				if count.Add(1) == int64(n) {
					close(all)
				}
			})
		} else {
			err = conn.Send(ctx, m)
		}
		if err != nil {
			t.Fatalf("Send of message %d: %v", i, err)
		}
	}
	if !confirmed {
		return
	}
	select {
	case <-all:
	case <-ctx.Done():
		t.Fatalf("%d of %d messages were confirmed", count.Load(), n)
	}
	for i := range done {
		if times := done[i].Load(); times != 1 {
			t.Errorf("message %d was confirmed %d times", i, times)
		}
	}
}
