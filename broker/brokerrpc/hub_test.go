package brokerrpc_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/broker/brokerrpc"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

// A bus carries events by a hub's topics.
type bus struct{ hub *broker.Hub }

func (b bus) Publish(ctx context.Context, m *transport.Message) error {
	m.To = "/topic/" + m.To
	return b.hub.Publish(ctx, m)
}

func (b bus) Hear(hear func(*transport.Message)) (stop func(), err error) {
	return b.hub.Hear("#", hear)
}

func newHub(t *testing.T, o *broker.Options) *broker.Hub {
	t.Helper()
	h := broker.New(o)
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func newServer(t *testing.T, mux *rpc.Mux, o *rpc.ServerOptions) *rpc.Server {
	t.Helper()
	s := rpc.NewServer(mux, o)
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// called is a client of s, over the wire mem.
func called(t *testing.T, s *rpc.Server) *rpc.Client {
	t.Helper()
	network := new(mem.Network)
	ln, err := network.Listen("s")
	if err != nil {
		t.Fatal(err)
	}
	l := transport.NewListener(ln, mem.Transport{}, nil)
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), l) }()
	nc, err := network.Dial(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := mem.Transport{}.Client(t.Context(), nc, mustURL("mem://s"), nil)
	if err != nil {
		t.Fatal(err)
	}
	c := rpc.NewClient(conn, nil)
	t.Cleanup(func() {
		_ = c.Close()
		_ = l.Close()
		<-served
	})
	return c
}

// attached is a connection to the hub.
func attached(t *testing.T, h *broker.Hub, destination string) transport.Conn {
	t.Helper()
	conn, err := h.Dial(t.Context(), destination)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// consumes has s serve a queue at least once, until the connection is closed.
func consumes(t *testing.T, h *broker.Hub, s *rpc.Server, queue string) {
	t.Helper()
	conn := attached(t, h, queue)
	sub, _ := transport.As[transport.Subscriber](conn)
	if _, err := sub.Subscribe(t.Context(), transport.Subscription{Ack: transport.AckEach, Credit: 64}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.ServeConn(conn) }()
	t.Cleanup(func() { _ = conn.Close(); <-done })
}

// TestEventsAndTopics: events are messages of the hub's topics, on all servers, and the other
// way round, with headers.
func TestEventsAndTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, nil)
		mux := rpc.NewMux(nil)
		brokerrpc.Register(mux, h)
		a := newServer(t, mux, &rpc.ServerOptions{Events: &rpc.EventOptions{Bus: bus{h}}})
		b := newServer(t, mux, &rpc.ServerOptions{Events: &rpc.EventOptions{Bus: bus{h}}})
		client := called(t, b)
		sub, err := client.Subscribe(t.Context(), "news.#", nil)
		if err != nil {
			t.Fatal(err)
		}
		peer := attached(t, h, "/topic/news.*")
		defer func() { _ = peer.Close() }()
		wire, _ := transport.As[transport.Subscriber](peer)
		if _, err := wire.Subscribe(t.Context(), transport.Subscription{}); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Publish(t.Context(), "news.at", []int{1}); err != nil {
			t.Error(err)
		}
		if err := client.Call(t.Context(), brokerrpc.Method, map[string]any{"to": "/topic/news.de", "text": "hello", "headers": map[string]string{"n": "1"}}, nil); err != nil {
			t.Error(err)
		}
		var got []string
		for range 2 {
			m, err := peer.Recv(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprint(m.To, m.Headers, m.ContentType, string(m.Body)))
			_ = m.Settle(transport.Accepted)
		}
		for e, err := range sub.Events() {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprint(e.Topic, e.Headers(), e.ContentType(), string(e.Params)))
			if len(got) == 4 {
				break
			}
		}
		want := []string{
			`/topic/news.at[]application/json{"jsonrpc":"2.0","method":"news.at","params":[1]}`,
			`/topic/news.de[{n 1}]text/plainhello`,
			`news.at[][1]`,
			`news.de[{n 1}]text/plain{"text":"hello"}`,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// TestSendHasTheRightsOfItsCaller: and nobody's, where nobody knows whose call it is.
func TestSendHasTheRightsOfItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, &broker.Options{Access: denied("/queue/secret")})
		mux := rpc.NewMux(nil)
		brokerrpc.Register(mux, h)
		s := newServer(t, mux, nil)
		consumes(t, h, s, "/queue/rpc")
		direct := called(t, s)
		through := rpc.NewClient(attached(t, h, "/queue/rpc"), nil)
		defer func() { _ = through.Close() }()
		for _, tt := range []struct {
			name string
			c    *rpc.Client
			to   string
			code rpc.Code
		}{
			{"allowed", direct, "/queue/open", 0},
			{"not allowed", direct, "/queue/secret", brokerrpc.CodeDenied},
			{"no such kind of place", direct, "/nowhere/at/all", brokerrpc.CodeNoRoute},
			{"through the broker", through, "/queue/open", brokerrpc.CodeDenied},
		} {
			err := tt.c.Call(t.Context(), brokerrpc.Method, map[string]string{"to": tt.to}, nil)
			e, _ := errors.AsType[*rpc.Error](err)
			if tt.code == 0 && err != nil || tt.code != 0 && (e == nil || e.Code != tt.code) {
				t.Errorf("%s: broker.send = %v, want %d", tt.name, err, tt.code)
			}
		}
	})
}

// denied allows all but to send to one queue.
type denied string

func (d denied) May(peer *transport.Info, a broker.Action, to broker.Destination) error {
	if a == broker.Send && to.String() == string(d) && peer.Scheme != "hub" {
		return fmt.Errorf("%w: not yours", transport.ErrRefused)
	}
	return nil
}

// TestServiceBehindAQueue: a service moves between the server that its callers know and two that
// consume its queue, all the time. Each call is executed once, and answered.
func TestServiceBehindAQueue(t *testing.T) {
	const callers, each = 8, 500
	h := newHub(t, nil)
	var executed [callers * each]atomic.Int32
	var by [3]atomic.Int32
	bank := func(who int) *rpc.Mux {
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Bank.Spend", func(_ context.Context, n int) (int, error) {
			executed[n].Add(1)
			by[who].Add(1)
			return n, nil
		})
		return mux
	}
	far := rpc.NewClient(attached(t, h, "/queue/Bank"), nil)
	defer func() { _ = far.Close() }()
	front := newServer(t, bank(0), &rpc.ServerOptions{
		Services: map[string]rpc.ServiceOptions{"Bank": {}},
		Forward:  func(context.Context, string) (*rpc.Client, error) { return far, nil },
	})
	for who := 1; who < 3; who++ {
		consumes(t, h, newServer(t, bank(who), nil), "/queue/Bank")
	}
	var over atomic.Bool
	var wg, calls sync.WaitGroup
	wg.Go(func() {
		for !over.Load() {
			if err := front.DrainService(t.Context(), "Bank"); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Millisecond)
			if err := front.StartService("Bank"); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Millisecond)
		}
	})
	for i := range callers {
		c := called(t, front)
		calls.Go(func() {
			for n := i * each; n < (i+1)*each; n++ {
				if v, err := rpc.Call[int](t.Context(), c, "Bank.Spend", []int{n}); v != n || err != nil {
					t.Errorf("Bank.Spend(%d) = %d, %v", n, v, err)
				}
			}
		})
	}
	calls.Wait()
	over.Store(true)
	wg.Wait()
	for n := range executed {
		if got := executed[n].Load(); got != 1 {
			t.Errorf("call %d was executed %d times, want once", n, got)
		}
	}
	t.Logf("served by the server that is called: %d, by those behind the queue: %d and %d", by[0].Load(), by[1].Load(), by[2].Load())
	if by[0].Load() == 0 || by[1].Load() == 0 || by[2].Load() == 0 {
		t.Error("want all three to have served some")
	}
}

// TestPoolConsumes: a client and two services of one process have one connection to a broker, and
// the end of one leaves the others alone.
func TestPoolConsumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, nil)
		p := rpc.NewPool(&rpc.PoolOptions{Client: &rpc.ClientOptions{Reconnect: &transport.RedialOptions{
			Dial: func(ctx context.Context) (transport.Conn, error) { return h.Dial(ctx, "/queue/none") },
		}}})
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Echo", func(_ context.Context, n int) (int, error) { return n, nil })
		s := newServer(t, mux, nil)
		ends := make(chan error, 2)
		var conns []transport.Conn
		for _, queue := range []string{"a", "b"} {
			conn, err := p.Consume(t.Context(), "mem://broker/queue/"+queue, transport.Subscription{
				Destination: "/queue/" + queue, Ack: transport.AckEach, Credit: 8,
			})
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, conn)
			go func() { ends <- s.ServeConn(conn) }()
		}
		a, errA := p.Dial(t.Context(), "mem://broker/queue/a")
		b, errB := p.Dial(t.Context(), "mem://broker/queue/b")
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if st := p.Stats(); st.Connections != 1 || st.Users != 4 {
			t.Errorf("the pool has %+v, want 1 connection and 4 users", st)
		}
		echo := func(c *rpc.Client, n int) {
			t.Helper()
			if v, err := rpc.Call[int](t.Context(), c, "Echo", []int{n}); v != n || err != nil {
				t.Errorf("Echo(%d) = %d, %v", n, v, err)
			}
		}
		for n := range 20 {
			echo(b, n)
		}
		_ = conns[0].Close()
		if err := <-ends; err != nil {
			t.Errorf("ServeConn() = %v, want nil", err)
		}
		for n := range 20 {
			echo(b, n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := rpc.Call[int](ctx, a, "Echo", []int{1}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a call to a queue that nobody consumes any more = %v, want %v", err, context.DeadlineExceeded)
		}
		_ = a.Close()
		_ = b.Close()
		_ = conns[1].Close()
		<-ends
		if st := p.Stats(); st.Connections != 0 {
			t.Errorf("the pool has %+v, want no connection", st)
		}
	})
}
