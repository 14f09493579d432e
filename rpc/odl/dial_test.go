package odl_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/rpc/odl"
	"github.com/polyport/polyport/transport"
)

// TestCalls: an endpoint is served and called, with OpenDaylight's habits.
func TestCalls(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"zmq", "http", "ws"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			_, port := serve(t, scheme+"://127.0.0.1:0/any/path", calc(), nil)
			c, err := dial(t, scheme+"://127.0.0.1:PORT/a%2Fb/c?timeout=20000", port, nil)
			if err != nil {
				t.Fatal(err)
			}
			adds(t, c)
			if got, err := rpc.Call[int](t.Context(), c, "add", 5); err != nil || got != 5 {
				t.Errorf("a bare argument: %d, %v", got, err)
			}
			if info := c.Info(); info.Profile != transport.OpenDaylight {
				t.Errorf("the profile is %q", info.Profile)
			}
		})
	}
}

// TestAllInterfaces: a listener on all interfaces keeps its port.
func TestAllInterfaces(t *testing.T) {
	t.Parallel()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, want, _ := net.SplitHostPort(free.Addr().String())
	_ = free.Close()
	_, port := serve(t, "zmq://*:"+want, calc(), nil)
	if port != want {
		t.Errorf("port %s, want %s", port, want)
	}
	c, err := dial(t, "zmq://127.0.0.1:PORT", port, nil)
	if err != nil {
		t.Fatal(err)
	}
	adds(t, c)
}

// TestSubscribers: who dials for events hears what the endpoint publishes, over
// WebSocket from a publisher that says it to whoever has connected.
func TestSubscribers(t *testing.T) {
	t.Parallel()
	server, zmq := serve(t, "zmq://127.0.0.1:0", calc(), nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stop := make(chan struct{})
	var publishing sync.WaitGroup
	publishing.Go(func() { // until somebody has heard it
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				_, _ = server.Publish(ctx, "clock", []string{"noon"})
			}
		}
	})
	defer publishing.Wait()
	defer close(stop)
	bus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		for { // until the client leaves
			if c.Write(ctx, websocket.MessageText, []byte(`{"jsonrpc":"2.0","method":"clock","params":["noon"]}`)) != nil {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}))
	defer bus.Close()
	for _, uri := range []string{"zmq://127.0.0.1:" + zmq, "ws://" + bus.Listener.Addr().String()} {
		hears(ctx, t, uri)
	}
	for _, scheme := range []string{"http", "https"} {
		_, err := parse(t, scheme+"://127.0.0.1").DialSubscriber(t.Context(), nil)
		refused(t, err, "expected an endpoint of zmq, ws or wss")
	}
}

// hears checks that a subscriber hears what is published, and can say nothing.
func hears(ctx context.Context, t *testing.T, uri string) {
	t.Helper()
	c, err := parse(t, uri).DialSubscriber(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sub, err := c.Subscribe(ctx, "clock", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	var payload []string
	for e, err := range sub.Events() {
		if err != nil {
			t.Fatal(uri, err)
		}
		if err := e.Decode(&payload); err != nil || e.Topic != "clock" || len(payload) != 1 || payload[0] != "noon" {
			t.Errorf("%s: the event is %+v, %v, %v", uri, e, payload, err)
		}
		break
	}
	if payload == nil {
		t.Errorf("%s: no event", uri)
	}
	if _, err := rpc.Call[int](ctx, c, "add", 1); rpc.OutcomeOf(err) != rpc.NotSent {
		t.Errorf("%s: a call of a subscriber: %v", uri, err)
	}
}

// TestRefusedByDial: endpoints that cannot be dialed or listened at.
func TestRefusedByDial(t *testing.T) {
	t.Parallel()
	for uri, words := range map[string]string{
		"zmq://*:1":    "names no host and port",
		"zmq://host:0": "names no host and port",
		"zmq://127.0.0.1:1?auth&auth-username=a&auth-password=hush": "zmq has no user and password",
		"https://127.0.0.1:1?keystore-file=/there/is/none":          "keystore-file: open /there/is/none",
		"https://127.0.0.1:1?truststore-file=/there/is/none":        "truststore-file: open /there/is/none",
	} {
		_, err := parse(t, uri).Dial(t.Context(), nil)
		refused(t, err, words)
	}
	for uri, words := range map[string]string{
		"zmq://127.0.0.1:0?auth&auth-username=a&auth-password=hush": "would let anybody in",
		"http://127.0.0.1:0?client-verify=REQUIRE":                  "expected https or wss",
		"https://127.0.0.1:0":                                       "needs the option keystore-file",
		"wss://127.0.0.1:0?keystore-file=/there/is/none":            "keystore-file: open /there/is/none",
	} {
		_, err := parse(t, uri).Listen(t.Context(), nil)
		refused(t, err, words)
	}
	_, err := (&odl.Endpoint{Scheme: "zmq", Host: "h", Port: 1, Timeout: -time.Second}).Dial(t.Context(), nil)
	refused(t, err, "timeout=-1000: expected")
	_, err = new(odl.Endpoint).Dial(t.Context(), nil)
	refused(t, err, "odl: ")
}

// TestAuth: the user of the URI is let in, and nobody else; an Authenticator of the
// options decides instead.
func TestAuth(t *testing.T) {
	t.Parallel()
	const ann = "?auth&auth-username=ann&auth-password=hu%3Ash"
	for _, scheme := range []string{"http", "ws"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			_, port := serve(t, scheme+"://127.0.0.1:0"+ann, calc(), nil)
			_, other := serve(t, scheme+"://127.0.0.1:0"+ann, calc(), &transport.ListenOptions{
				Authenticator: transport.Users(map[string]string{"bob": "b"}),
			})
			for name, row := range map[string]struct {
				port, query string
				in          bool
			}{
				"the user":       {port, ann, true},
				"another":        {port, "?auth&auth-username=bob&auth-password=b", false},
				"wrong password": {port, "?auth&auth-username=ann&auth-password=b", false},
				"nobody":         {port, "", false},
				"of the options": {other, "?auth&auth-username=bob&auth-password=b", true},
				"not of the URI": {other, ann, false},
			} {
				c, err := dial(t, scheme+"://127.0.0.1:PORT"+row.query, row.port, nil)
				if err == nil {
					_, err = rpc.Call[int](t.Context(), c, "add", 1)
				}
				if (err == nil) != row.in {
					t.Errorf("%s: %v", name, err)
				}
				if err != nil && !errors.Is(err, transport.ErrRefused) {
					t.Errorf("%s: %v, want ErrRefused", name, err)
				}
			}
		})
	}
}

// TestTimeoutAndRetries: a call ends by the endpoint's timeout, unless its own deadline
// is sooner, and is then not made again. One for which there is no connection is made
// again as often as the endpoint says, with its pauses, and no oftener.
func TestTimeoutAndRetries(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"zmq", "ws"} { // whose handshake fails with the connection
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			mux := calc()
			var ran atomic.Int32
			rpc.Handle(mux, "wait", func(ctx context.Context, _ []int) (int, error) {
				ran.Add(1)
				<-ctx.Done()
				return 0, ctx.Err()
			})
			_, port := serve(t, scheme+"://127.0.0.1:0", mux, nil)
			var fails, dials atomic.Int32 // how many attempts are to fail, and how many there were
			port = gate(t, "127.0.0.1:"+port, func() bool { dials.Add(1); return fails.Add(-1) < 0 })
			c, err := dial(t, scheme+"://127.0.0.1:PORT?timeout=1000&proxyRetryCount=3&proxyRetryDelay=5", port, nil)
			if err != nil {
				t.Fatal(err)
			}
			lose := func() { // by a call that ends by its own deadline
				t.Helper()
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				defer cancel()
				if _, err := rpc.Call[int](ctx, c, "wait", nil); !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("wait: %v", err)
				}
			}
			start := time.Now()
			_, err = rpc.Call[int](t.Context(), c, "wait", nil)
			if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || rpc.OutcomeOf(err) != rpc.Unknown || took < time.Second || took > patience {
				t.Errorf("wait: %v after %v", err, took)
			}
			for _, row := range []struct{ fails, dials int32 }{{0, 1}, {3, 4}, {4, 4}} {
				lose()
				dials.Store(0)
				fails.Store(row.fails)
				start := time.Now()
				_, err := rpc.Call[int](t.Context(), c, "add", []int{1})
				switch {
				case row.fails <= 3 && err != nil:
					t.Errorf("%d failures: %v", row.fails, err)
				case row.fails > 3 && rpc.OutcomeOf(err) != rpc.NotSent:
					t.Errorf("%d failures: %v, want one that was not sent", row.fails, err)
				}
				if n := dials.Load(); n != row.dials {
					t.Errorf("%d failures: %d attempts, want %d", row.fails, n, row.dials)
				}
				if took, least := time.Since(start), time.Duration(min(row.fails, 3))*5*time.Millisecond; took < least {
					t.Errorf("%d failures: after %v, want pauses of %v", row.fails, took, least)
				}
				fails.Store(0)
			}
			adds(t, c)
			if n := ran.Load(); n != 4 {
				t.Errorf("wait ran %d times, want each of 4 calls once", n)
			}
		})
	}
}

// gate hands connections on to a server as long as open says so of each, and else closes
// them. It returns its port.
func gate(t *testing.T, server string, open func() bool) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			if !open() {
				_ = in.Close()
				continue
			}
			out, err := net.Dial("tcp", server)
			if err != nil {
				t.Error(err)
				_ = in.Close()
				continue
			}
			pipe := func(to, from net.Conn) { _, _ = io.Copy(to, from); _ = to.Close() }
			wg.Go(func() { pipe(in, out) })
			wg.Go(func() { pipe(out, in) })
		}
	})
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}
