package rpc_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// A queueServer serves a queue of a broker, which is in the hands of the test.
func queueServer(t *testing.T, o *rpc.EventOptions) (*rpc.Server, *broker) {
	t.Helper()
	l := stompPipe.open(t, &transport.ListenOptions{Options: still(), Destinations: []string{"alice", "bob"}})
	near, err := l.dial(t.Context(), &transport.DialOptions{Options: still()})
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	b := &broker{t: t, conn: far, messages: make(chan *transport.Message, 16)}
	go b.run()
	sub, _ := transport.As[transport.Subscriber](near)
	if _, err := sub.Subscribe(t.Context(), transport.Subscription{Destination: "/queue/calc"}); err != nil {
		t.Fatal(err)
	}
	srv := rpc.NewServer(rpc.NewMux(nil), &rpc.ServerOptions{Events: o})
	served := make(chan error, 1)
	go func() { served <- srv.ServeConn(near) }()
	t.Cleanup(func() {
		_ = far.Close()
		<-served
		_ = srv.Shutdown(t.Context())
	})
	synctest.Wait()
	return srv, b
}

// A broker is the peer of a server that serves one of its queues.
type broker struct {
	t        *testing.T
	conn     transport.Conn
	messages chan *transport.Message
}

func (b *broker) run() {
	for {
		m, err := b.conn.Recv(context.Background())
		if err != nil {
			return
		}
		b.messages <- m
	}
}

// A caller is one of those whose requests the broker hands on.
type caller struct {
	*broker
	name string
}

func (c caller) ask(method, params, want string) {
	c.t.Helper()
	m := &transport.Message{To: "/queue/calc", ReplyTo: "/queue/" + c.name, Body: fmt.Appendf(nil, `{"jsonrpc":"2.0","id":1,"method":"rpc.%s","params":%s}`, method, params)}
	if err := c.conn.Send(c.t.Context(), m); err != nil {
		c.t.Fatal(err)
	}
	c.gets(`{"jsonrpc":"2.0","id":1,` + want + `}`)
}

// gets reports what does not come to the caller next.
func (c caller) gets(want string) {
	c.t.Helper()
	m := within(c.t, c.messages, want)
	if m.To != "/queue/"+c.name || string(m.Body) != want {
		c.t.Errorf("%s gets %s, want it to come to %s: %s", m.To, m.Body, c.name, want)
	}
}

// TestLease: behind a broker a subscription is known by the reply address of
// its caller, gets its events there, and ends if it is not renewed.
func TestLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, b := queueServer(t, &rpc.EventOptions{Lease: time.Minute})
		alice, bob := caller{b, "alice"}, caller{b, "bob"}
		const agreed = `"result":{"subscription":"s","lease":60000}`
		alice.ask("subscribe", `{"filter":"t","subscription":"s","window":9}`, agreed)
		bob.ask("subscribe", `{"filter":"u","subscription":"s"}`, agreed)
		publish(t, srv, "t", []int{1}, 1)
		alice.gets(event("t", 1, true))
		publish(t, srv, "u", []int{1}, 1)
		bob.gets(event("u", 1, false))

		time.Sleep(50 * time.Second)
		alice.ask("events.more", `{"subscription":"s","n":0}`, `"result":true`)
		bob.ask("subscribe", `{"filter":"u","subscription":"s"}`, agreed)
		time.Sleep(50 * time.Second)
		bob.ask("subscribe", `{"subscription":"s"}`, agreed)
		publish(t, srv, "t", []int{2}, 1)
		alice.gets(event("t", 2, true))
		time.Sleep(50 * time.Second)
		synctest.Wait()
		publish(t, srv, "t", []int{3}, 0) // alice has not renewed
		alice.ask("subscribe", `{"subscription":"s"}`, `"error":{"code":-32050,"message":"there is no subscription \"s\" to renew"}`)
		bob.ask("unsubscribe", `{"subscription":"s"}`, `"result":true`)
		if got := srv.EventStats().Subscriptions; got != 0 {
			t.Errorf("there are %d subscriptions, want none", got)
		}
	})
}

// TestLeaseRenewed: the client renews at a third of the lease, and subscribes
// anew where it is not known any more.
func TestLeaseRenewed(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		c, far := scripted(t, w, &rpc.ClientOptions{Plain: true})
		go func() {
			far.hears(`{"jsonrpc":"2.0","id":1,"method":"rpc.subscribe","params":{"filter":"t","window":4,"subscription":"1"}}`)
			far.say(`{"jsonrpc":"2.0","id":1,"result":{"subscription":"1","lease":60000}}`)
		}()
		s := subscribe(t, c, "t", 4)
		p := open(t, s)
		began := time.Now()
		for i := 2; i < 5; i++ {
			time.Sleep(time.Second) // so that patience lasts
			far.hears(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"rpc.subscribe","params":{"subscription":"1"}}`, i))
			if took, want := time.Since(began), time.Duration(i-1)*20*time.Second; took != want {
				t.Errorf("renewed after %v, want %v", took, want)
			}
			if i < 4 {
				far.say(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":{"subscription":"1","lease":60000}}`, i))
			}
		}
		far.say(`{"jsonrpc":"2.0","id":4,"error":{"code":-32050,"message":"no"}}`)
		far.hears(`{"jsonrpc":"2.0","id":5,"method":"rpc.subscribe","params":{"filter":"t","window":4,"subscription":"1-1"}}`)
		far.say(`{"jsonrpc":"2.0","id":5,"result":{"subscription":"1-1","lease":60000}}`)
		far.say(`{"jsonrpc":"2.0","method":"t","params":[1],"metadata":{"subscription":"1-1"}}`)
		p.yields("gap 0", "t [1]")
		time.Sleep(time.Second)
		far.hears(`{"jsonrpc":"2.0","id":6,"method":"rpc.subscribe","params":{"subscription":"1-1"}}`)
		_ = s.Close()
		far.hears(`{"jsonrpc":"2.0","method":"rpc.unsubscribe","params":{"subscription":"1-1"}}`)
		far.silent()
	})
}
