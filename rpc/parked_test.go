package rpc_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// delivered is a message that came by an acknowledged subscription, as from a
// broker.
func delivered(c *clerk, token uint64, body string) *transport.Message {
	m := &transport.Message{Body: []byte(body), Subscription: "calc", ReplyTo: "asker"}
	m.SetSettler(c, token)
	return m
}

// TestBrokerRequestsAreNotRefused: what a broker has under way waits for a
// place, and is settled after its answer.
func TestBrokerRequestsAreNotRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    rpc.ServerOptions
		q    queue.Options
	}{
		{"queue depth", rpc.ServerOptions{}, queue.Options{Depth: 2, Workers: 1}},
		{"in flight on the connection", rpc.ServerOptions{Width: 1, Limits: rpc.Limits{InFlight: 3}}, queue.Options{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var c clerk
				g := newGate()
				tt.o.Queue = newQueue(t, &tt.q)
				srv := rpc.NewServer(gatedMux(g), &tt.o)
				conn := newFakeConn()
				conn.send = func(_ context.Context, m *transport.Message) error {
					c.note("sent ", brief(string(m.Body)))
					return nil
				}
				ended := make(chan error, 1)
				go func() { ended <- srv.ServeConn(conn) }()
				var want []string
				for i := range 9 {
					call := fmt.Sprintf(`{"jsonrpc":"2.0","method":"Wait","params":[%[1]d],"id":%[1]d}`, i)
					answer := fmt.Sprintf("%[1]d=[%[1]d]", i)
					if i%3 == 2 {
						call, answer = "["+call+"]", "["+answer+"]"
					}
					conn.in <- delivered(&c, uint64(i), call)
					want = append(want, "sent "+answer, fmt.Sprintf("accepted %d", i))
				}
				time.Sleep(time.Hour)
				if got := c.take(); got != nil {
					t.Errorf("while the handlers wait: %q, want nothing", got)
				}
				g.open()
				synctest.Wait()
				if diff := cmp.Diff(want, c.take()); diff != "" {
					t.Errorf("what was done (-want +got):\n%s", diff)
				}
				_ = conn.Close()
				<-ended
				if err := srv.Shutdown(t.Context()); err != nil {
					t.Errorf("Shutdown() = %v, want nil", err)
				}
			})
		})
	}
}

// TestBatchThatNeverFits: waiting would not help it.
func TestBatchThatNeverFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clerk
		srv := rpc.NewServer(new(journal).mux(), &rpc.ServerOptions{Queue: newQueue(t, &queue.Options{Depth: 1, Workers: 1})})
		conn := newFakeConn()
		conn.send = func(_ context.Context, m *transport.Message) error {
			c.note("sent ", brief(string(m.Body)))
			return nil
		}
		ended := make(chan error, 1)
		go func() { ended <- srv.ServeConn(conn) }()
		conn.in <- delivered(&c, 7, `[{"jsonrpc":"2.0","method":"Fence","id":1},{"jsonrpc":"2.0","method":"Fence","id":2}]`)
		synctest.Wait()
		if diff := cmp.Diff([]string{"sent [1!-32009, 2!-32009]", "accepted 7"}, c.take()); diff != "" {
			t.Errorf("what was done (-want +got):\n%s", diff)
		}
		_ = conn.Close()
		<-ended
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown() = %v, want nil", err)
		}
	})
}

// TestBrokerRequestsGoElsewhere: what will not be executed here is neither
// answered nor settled, so that the broker gives it to another server.
func TestBrokerRequestsGoElsewhere(t *testing.T) {
	for _, tt := range []struct{ name, body string }{
		{"request", `{"jsonrpc":"2.0","method":"Wait","params":[1],"id":1}`},
		{"notification", `{"jsonrpc":"2.0","method":"Wait","params":[1]}`},
		{"batch", `[5,{"jsonrpc":"2.0","method":"Wait","params":[1],"id":1}]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var c clerk
				g := newGate()
				srv := rpc.NewServer(gatedMux(g), &rpc.ServerOptions{Width: 1, Limits: rpc.Limits{InFlight: 2}})
				conn := newFakeConn()
				conn.send = func(_ context.Context, m *transport.Message) error {
					c.note("sent ", brief(string(m.Body)))
					return nil
				}
				ended := make(chan error, 1)
				go func() { ended <- srv.ServeConn(conn) }()
				conn.in <- delivered(&c, 1, `{"jsonrpc":"2.0","method":"Wait","params":[0],"id":0}`)
				synctest.Wait()
				stopped := make(chan error, 1)
				go func() { stopped <- srv.Shutdown(t.Context()) }()
				synctest.Wait()
				conn.in <- delivered(&c, 2, tt.body) // came while stopping
				synctest.Wait()
				g.open()
				synctest.Wait()
				if diff := cmp.Diff([]string{"sent 0=[0]", "accepted 1"}, c.take()); diff != "" {
					t.Errorf("what was done (-want +got):\n%s", diff)
				}
				if err := <-stopped; err != nil {
					t.Errorf("Shutdown() = %v, want nil", err)
				}
				<-ended
			})
		})
	}
}

// TestParkedRequestsEndWithTheConnection: they are let go of, unsettled.
func TestParkedRequestsEndWithTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clerk
		g := newGate()
		srv := rpc.NewServer(gatedMux(g), &rpc.ServerOptions{Queue: newQueue(t, &queue.Options{Depth: 1, Workers: 1})})
		conn := newFakeConn()
		ended := make(chan error, 1)
		go func() { ended <- srv.ServeConn(conn) }()
		for i := range 5 {
			conn.in <- delivered(&c, uint64(i), `{"jsonrpc":"2.0","method":"Wait","params":[0],"id":0}`)
		}
		synctest.Wait()
		_ = conn.Close()
		<-ended
		synctest.Wait()
		if diff := cmp.Diff([]string{"accepted 0"}, c.take()); diff != "" {
			t.Errorf("settled: the one that ran, and no other (-want +got):\n%s", diff)
		}
		g.open()
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown() = %v, want nil", err)
		}
	})
}
