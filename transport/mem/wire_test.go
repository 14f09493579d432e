package mem_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

// connect connects two ends; nil options mean the defaults.
func connect(t *testing.T, d *transport.DialOptions, l *transport.ListenOptions) (client, server transport.Conn) {
	t.Helper()
	client, server, err := tryPair(t, "mem://host/rpc", d, l)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	return client, server
}

func tryPair(t *testing.T, rawURL string, d *transport.DialOptions, l *transport.ListenOptions) (client, server transport.Conn, err error) {
	t.Helper()
	near, far := mem.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		var err error
		if server, err = (mem.Transport{}).Server(t.Context(), far, l); err != nil {
			server = nil
		}
	}()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	if client, err = (mem.Transport{}).Client(t.Context(), near, u, d); err != nil {
		_ = near.Close()
	}
	<-done
	t.Cleanup(func() {
		var closed sync.WaitGroup
		for _, c := range []transport.Conn{client, server} {
			if c != nil {
				closed.Go(func() { _ = c.Close() })
			}
		}
		closed.Wait()
	})
	return client, server, err
}

func TestURL(t *testing.T) {
	for _, c := range []struct {
		name, listen, dial, to string
	}{
		{"name", "mem://calc", "mem://calc", "rpc"},
		{"name and port", "mem://calc:17", "mem://calc:17/", "rpc"},
		{"path", "mem://calc", "mem://calc/jobs", "jobs"},
		{"long path", "mem://calc", "mem://calc/a/b/", "a/b"},
		{"fresh", "mem://", "", "rpc"},
		{"fresh port", "mem://calc:0", "", "rpc"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := transport.Listen(t.Context(), c.listen, &transport.ListenOptions{Destinations: []string{"rpc", "jobs", "a/b"}})
			if err != nil {
				t.Fatalf("Listen(%q): %v", c.listen, err)
			}
			defer l.Close()
			if c.dial == "" {
				c.dial = "mem://" + l.Addr().String()
			}
			client, err := transport.Dial(t.Context(), c.dial, nil)
			if err != nil {
				t.Fatalf("Dial(%q): %v", c.dial, err)
			}
			server, err := l.Accept(t.Context())
			if err != nil {
				t.Fatalf("Accept: %v", err)
			}
			if err := client.Send(t.Context(), &transport.Message{Body: []byte("x")}); err != nil {
				t.Fatalf("Send: %v", err)
			}
			if m, err := server.Recv(t.Context()); err != nil || m.To != c.to {
				t.Errorf("Recv = %+v, %v, want To = %q", m, err, c.to)
			}
			go func() { _ = server.Close() }()
			_ = client.Close()
		})
	}
	t.Run("nobody", func(t *testing.T) {
		if _, err := transport.Dial(t.Context(), "mem://nobody", nil); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("Dial: err = %v, want %v", err, syscall.ECONNREFUSED)
		}
	})
	t.Run("taken", func(t *testing.T) {
		l, err := transport.Listen(t.Context(), "mem://taken", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if _, err := transport.Listen(t.Context(), "mem://taken", nil); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("Listen: err = %v, want %v", err, syscall.EADDRINUSE)
		}
	})
}

func TestInfo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := connect(t, nil, nil)
		limits := transport.Limits{}.WithDefaults()
		want := transport.Info{
			Scheme: "mem", Version: "1", Peer: "polyport", Local: client.Info().Local, Remote: server.Info().Local,
			Beat: 10 * time.Second, PeerBeat: 10 * time.Second, Limits: limits, Headers: true,
		}
		if diff := cmp.Diff(want, *client.Info(), cmp.Comparer(func(a, b net.Addr) bool { return a.String() == b.String() })); diff != "" {
			t.Errorf("client: got +, want -\n%s", diff)
		}
		want.Local, want.Remote = want.Remote, want.Local
		if diff := cmp.Diff(want, *server.Info(), cmp.Comparer(func(a, b net.Addr) bool { return a.String() == b.String() })); diff != "" {
			t.Errorf("server: got +, want -\n%s", diff)
		}
	})
}

// TestPeerLimits: each end keeps the limits of the other, and loses nothing.
func TestPeerLimits(t *testing.T) {
	tight := transport.Options{Limits: transport.Limits{Message: 100, HeaderBytes: 2000, Headers: 3, Subscriptions: 2}}
	for _, c := range []struct {
		name string
		m    *transport.Message
	}{
		{"body", &transport.Message{Body: make([]byte, 101)}},
		{"bytes of headers", &transport.Message{Headers: []transport.Header{{Name: "n", Value: strings.Repeat("x", 2000)}}}},
		{"headers", &transport.Message{Headers: make([]transport.Header, 4)}},
	} {
		for _, tightServer := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				d, l := &transport.DialOptions{}, &transport.ListenOptions{}
				from := 0
				if tightServer {
					l.Options = tight
				} else {
					d.Options, from = tight, 1
				}
				client, server := connect(t, d, l)
				sender, receiver := client, server
				if from == 1 {
					sender, receiver = server, client
				}
				if err := sender.Send(t.Context(), c.m); !errors.Is(err, transport.ErrTooLarge) || !transport.NotSent(err) {
					t.Errorf("%s: Send: err = %v, want ErrTooLarge, not sent", c.name, err)
				}
				if err := sender.Send(t.Context(), &transport.Message{Body: make([]byte, 100)}); err != nil {
					t.Errorf("%s: Send within the limit: %v", c.name, err)
				}
				if _, err := receiver.Recv(t.Context()); err != nil {
					t.Errorf("%s: Recv: %v", c.name, err)
				}
			})
		}
	}
	t.Run("subscriptions", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, _ := connect(t, nil, &transport.ListenOptions{Options: tight})
			sub, _ := transport.As[transport.Subscriber](client)
			for i, want := range []error{nil, nil, transport.ErrTooLarge} {
				if _, err := sub.Subscribe(t.Context(), transport.Subscription{Destination: "d"}); !errors.Is(err, want) {
					t.Errorf("Subscribe %d: err = %v, want %v", i, err, want)
				}
			}
		})
	})
}

// TestNoDestination: what the server does not serve is refused by Send.
func TestNoDestination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := connect(t, nil, &transport.ListenOptions{Destinations: []string{"rpc", "jobs"}})
		err := client.Send(t.Context(), &transport.Message{To: "nowhere"})
		if !errors.Is(err, transport.ErrNoRoute) || !transport.NotSent(err) {
			t.Errorf("Send: err = %v, want ErrNoRoute, not sent", err)
		}
		if err := client.Send(t.Context(), &transport.Message{To: "jobs"}); err != nil {
			t.Errorf("Send: %v", err)
		}
		if m, err := server.Recv(t.Context()); err != nil || m.To != "jobs" {
			t.Errorf("Recv = %+v, %v, want To = %q", m, err, "jobs")
		}
	})
}

// TestServerRoutes: a message to the client goes by a subscription if there is
// one, and simply to the client if not.
func TestServerRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := connect(t, nil, nil)
		sub, _ := transport.As[transport.Subscriber](client)
		for _, id := range []string{"first", "second"} {
			if _, err := sub.Subscribe(t.Context(), transport.Subscription{ID: id, Destination: "news"}); err != nil {
				t.Fatalf("Subscribe: %v", err)
			}
		}
		go func() { _, _ = server.Recv(t.Context()) }()
		synctest.Wait()
		for _, c := range []struct{ to, subscription string }{{"news", "first"}, {"elsewhere", ""}, {"", ""}} {
			if err := server.Send(t.Context(), &transport.Message{To: c.to}); err != nil {
				t.Fatalf("Send to %q: %v", c.to, err)
			}
			if m, err := client.Recv(t.Context()); err != nil || m.To != c.to || m.Subscription != c.subscription {
				t.Errorf("Recv = %+v, %v, want To = %q by %q", m, err, c.to, c.subscription)
			}
		}
	})
}

// TestOutcome: what became of a message is told to its sender.
func TestOutcome(t *testing.T) {
	for _, c := range []struct {
		outcome transport.Outcome
		want    string
	}{
		{transport.Accepted, ""},
		{transport.Released, "released the message unread"},
		{transport.Failed, "tried and failed"},
		{transport.Rejected("no such account"), "no such account"},
		{transport.Rejected(""), "rejected the message"},
		{transport.Rejected(strings.Repeat("x", 5000)), strings.Repeat("x", 1024)},
	} {
		synctest.Test(t, func(t *testing.T) {
			client, server := connect(t, nil, nil)
			sub, _ := transport.As[transport.Subscriber](client)
			if _, err := sub.Subscribe(t.Context(), transport.Subscription{Destination: "news", Ack: transport.AckEach}); err != nil {
				t.Fatalf("Subscribe: %v", err)
			}
			go func() { _, _ = server.Recv(t.Context()) }()
			synctest.Wait()
			by, _ := transport.As[transport.Confirmer](server)
			told := make(chan error, 1)
			if err := by.SendConfirmed(t.Context(), &transport.Message{To: "news"}, func(err error) { told <- err }); err != nil {
				t.Fatalf("SendConfirmed: %v", err)
			}
			m, err := client.Recv(t.Context())
			if err != nil {
				t.Fatalf("Recv: %v", err)
			}
			if err := m.Settle(c.outcome); err != nil {
				t.Errorf("Settle(%v): %v", c.outcome, err)
			}
			err = <-told
			if (err == nil) != (c.want == "") || err != nil && (!errors.Is(err, transport.ErrRefused) || !strings.HasSuffix(err.Error(), c.want)) {
				t.Errorf("done after Settle(%v): err = %v, want ErrRefused that says %q", c.outcome, err, c.want)
			}
		})
	}
}

// TestUnsubscribeUnsettled: what will not be settled is told so, and gives its
// place back.
func TestUnsubscribeUnsettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := connect(t, nil, &transport.ListenOptions{Options: transport.Options{Limits: transport.Limits{Unsettled: 1}}})
		sub, _ := transport.As[transport.Subscriber](client)
		by, _ := transport.As[transport.Confirmer](server)
		go func() { _, _ = server.Recv(t.Context()) }()
		for _, ack := range []transport.AckMode{transport.AckEach, transport.AckUpTo} {
			if _, err := sub.Subscribe(t.Context(), transport.Subscription{ID: "s", Destination: "news", Ack: ack, Credit: 1}); err != nil {
				t.Fatalf("Subscribe: %v", err)
			}
			synctest.Wait()
			told := make(chan error, 1)
			if err := by.SendConfirmed(t.Context(), &transport.Message{To: "news"}, func(err error) { told <- err }); err != nil {
				t.Fatalf("SendConfirmed: %v", err)
			}
			waiting := make(chan error, 1)
			go func() { waiting <- server.Send(t.Context(), &transport.Message{To: "news"}) }()
			synctest.Wait()
			if err := sub.Unsubscribe(t.Context(), "s"); err != nil {
				t.Fatalf("Unsubscribe: %v", err)
			}
			if err := <-told; !errors.Is(err, transport.ErrNoRoute) {
				t.Errorf("done when the subscriber has left: err = %v, want ErrNoRoute", err)
			}
			if err := <-waiting; !errors.Is(err, transport.ErrNoRoute) || !transport.NotSent(err) {
				t.Errorf("Send that waited for credit when the subscriber has left: err = %v, want ErrNoRoute, not sent", err)
			}
		}
	})
}

// TestAddressesMissing: the wire needs no ReplyTo and so offers no address.
func TestAddressesMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := connect(t, nil, nil)
		for _, c := range []transport.Conn{client, server} {
			if _, ok := transport.As[transport.ReplyAddresser](c); ok || c.Info().Addressed {
				t.Errorf("ReplyAddresser %v, Addressed %v, want neither", ok, c.Info().Addressed)
			}
		}
	})
}

// TestTooLongToSay: what the wire cannot say is refused before it is sent.
func TestTooLongToSay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long := strings.Repeat("x", 70_000)
		if _, _, err := tryPair(t, "mem://user:"+long+"@host", nil, nil); !errors.Is(err, transport.ErrTooLarge) {
			t.Errorf("Client with a long password: err = %v, want ErrTooLarge", err)
		}
		if _, _, err := tryPair(t, "mem://host", nil, &transport.ListenOptions{Destinations: []string{long}}); !errors.Is(err, transport.ErrRefused) {
			t.Errorf("Server with a long destination: err = %v, want ErrRefused", err)
		}
		client, _ := connect(t, nil, nil)
		sub, _ := transport.As[transport.Subscriber](client)
		credit, _ := transport.As[transport.Crediter](client)
		for name, s := range map[string]transport.Subscription{
			"ID":          {ID: strings.Repeat("x", 256)},
			"destination": {Destination: long},
			"header":      {Headers: []transport.Header{{Name: long}}},
			"headers":     {Headers: make([]transport.Header, 200)},
			"credit":      {Credit: -1},
			"ack mode":    {Ack: 7},
		} {
			if _, err := sub.Subscribe(t.Context(), s); !transport.NotSent(err) {
				t.Errorf("Subscribe with a bad %s: err = %v, want one that is NotSent", name, err)
			}
		}
		if _, err := sub.Subscribe(t.Context(), transport.Subscription{ID: "s", Destination: "d", Credit: 1}); err != nil {
			t.Fatalf("Subscribe: %v", err)
		}
		for _, n := range []int{0, -1, 1<<30 + 1} {
			if err := credit.Grant(context.Background(), "s", n); !errors.Is(err, transport.ErrInvalid) {
				t.Errorf("Grant(%d): err = %v, want ErrInvalid", n, err)
			}
		}
	})
}

// TestUnsubscribeRace: whatever crosses an Unsubscribe, no place is lost.
func TestUnsubscribeRace(t *testing.T) {
	const limit, rounds = 3, 200
	client, server := connect(t, &transport.DialOptions{Options: transport.Options{SendBuffer: 1 << 10}}, &transport.ListenOptions{
		Options: transport.Options{Limits: transport.Limits{Unsettled: limit}},
	})
	sub, _ := transport.As[transport.Subscriber](client)
	by, _ := transport.As[transport.Confirmer](server)
	go func() {
		for {
			if _, err := client.Recv(t.Context()); err != nil {
				return
			}
		}
	}()
	go func() {
		for {
			if _, err := server.Recv(t.Context()); err != nil {
				return
			}
		}
	}()
	told := make(chan error, rounds)
	sent := make(chan int)
	go func() {
		n := 0
		for range rounds {
			if by.SendConfirmed(t.Context(), &transport.Message{To: "news"}, func(err error) { told <- err }) == nil {
				n++
			}
		}
		sent <- n
	}()
	for n := -1; n < 0; {
		id, err := sub.Subscribe(t.Context(), transport.Subscription{Destination: "news", Ack: transport.AckEach})
		if err != nil {
			t.Fatalf("Subscribe: %v", err)
		}
		if err := sub.Unsubscribe(t.Context(), id); err != nil {
			t.Fatalf("Unsubscribe: %v", err)
		}
		select {
		case n = <-sent:
			for range n {
				<-told
			}
		default:
		}
	}
	for range limit { // all places are free
		if err := by.SendConfirmed(t.Context(), &transport.Message{To: "elsewhere"}, func(error) {}); err != nil {
			t.Fatalf("SendConfirmed: %v", err)
		}
	}
}
