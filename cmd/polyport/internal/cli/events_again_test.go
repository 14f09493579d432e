package cli_test

import (
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/polyport/polyport/transport"
)

const agreed = `{"jsonrpc":"2.0","id":1,"result":{"subscription":"1"}}`

// nth is an event that says how often the peer was connected to before.
func nth(n int64) string {
	return `{"jsonrpc":"2.0","method":"x","params":[` + strconv.FormatInt(n, 10) + `],"metadata":{"subscription":"1"}}`
}

// leaving says an event and bodies on each connection, and leaves.
func leaving(t *testing.T, bodies ...string) (url string, times *atomic.Int64) {
	t.Helper()
	times = new(atomic.Int64)
	return wirePeer(t, func(c transport.Conn) {
		eventsAnswering(append([]string{agreed, nth(times.Add(1))}, bodies...)...)(c)
	}), times
}

// TestEventsReconnect: a connection that is lost, or whose subscription the server
// ends in order, is made again, and the gap is told in its place.
func TestEventsReconnect(t *testing.T) {
	const gap = "polyport events: gap: events may have been missed\n"
	lost, _ := leaving(t)
	stops, _ := leaving(t, `{"jsonrpc":"2.0","method":"rpc.events.end","params":{"subscription":"1","dropped":0,"code":-32054,"message":"bye"}}`)
	for _, tt := range []struct {
		name, url string
		why       string
	}{
		{"the connection is lost", lost, "polyport events: the connection ended: "},
		{"the server stops", stops, "polyport events: the server ended the subscription: bye; trying again\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := run(t, "events", tt.url, "--count", "3")
			if got.code != 0 || strings.Count(got.stdout, `{"topic":"x","params":[`) != 3 {
				t.Errorf("events = %+v, want three events by three connections", got)
			}
			if strings.Count(got.stderr, tt.why) != 2 || strings.Count(got.stderr, gap) != 2 {
				t.Errorf("stderr is %q, want twice %q and %q", got.stderr, tt.why, gap)
			}
		})
	}
	got := run(t, "events", "--json", lost, "--count", "2")
	if got.code != 0 || !strings.HasPrefix(got.stderr, `{"reconnecting":"the connection ended: `) || !strings.HasSuffix(got.stderr, "\n"+`{"dropped":0}`+"\n") {
		t.Errorf("events --json = %+v, want the loss and the gap as objects", got)
	}
}

// TestEventsReconnectRefused: a server that refuses the subscription the second
// time is not asked a third.
func TestEventsReconnectRefused(t *testing.T) {
	var times atomic.Int64
	url := wirePeer(t, func(c transport.Conn) {
		if times.Add(1) == 1 {
			eventsAnswering(agreed)(c)
			return
		}
		eventsAnswering(`{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no events here"}}`)(c)
	})
	got := run(t, "events", url)
	if got.code != 1 || !strings.HasSuffix(got.stderr, `{"code":-32601,"message":"no events here"}`+"\n") || times.Load() != 2 {
		t.Errorf("events = %+v after %d connections, want status 1 after 2", got, times.Load())
	}
}

// TestEventsReconnectInTime: the time passes while there is nobody to connect to.
func TestEventsReconnectInTime(t *testing.T) {
	url := serveOnce(t)
	got := run(t, "events", url, "--timeout", "1s")
	if got.code != 0 || !strings.Contains(got.stderr, "polyport events: no answer, nothing was sent: connection refused; trying again\n") {
		t.Errorf("events = %+v, want status 0 and that nobody listens", got)
	}
	if n := strings.Count(got.stderr, "refused"); n != 1 {
		t.Errorf("it said %d times that nobody listens, want once:\n%s", n, got.stderr)
	}
}

// serveOnce is a peer that agrees to one subscription, and is gone.
func serveOnce(t *testing.T) (url string) {
	t.Helper()
	l, err := transport.Listen(t.Context(), "stomp://127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept(t.Context())
		if err != nil {
			return
		}
		defer c.Close()
		eventsAnswering(agreed)(c)
		_ = l.Close()
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return "stomp://" + l.Addr().String()
}
