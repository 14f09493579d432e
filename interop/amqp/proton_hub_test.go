package amqp_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// serveHub is a server of RPC as rpc, and a broker of all else.
func serveHub(t *testing.T) string {
	t.Helper()
	h := broker.New(&broker.Options{Slow: broker.Block})
	t.Cleanup(func() { _ = h.Close() })
	return serve(t, &transport.ListenOptions{Broker: h}, rpc.NewMux(nil))
}

// TestProtonHub: programs on Qpid Proton exchange messages by our broker, with
// their headers, in order, each once.
func TestProtonHub(t *testing.T) {
	t.Parallel()
	needProton(t)
	for _, c := range []struct {
		name string
		send options
		get  options
	}{
		{"queue", options{"target": "/queue/numbers"}, options{"source": "/queue/numbers"}},
		{"queue by capability", options{"target": "numbers", "capability": "queue"}, options{"source": "numbers", "capability": "queue"}},
		{"bare name", options{"target": "numbers", "body": "text"}, options{"source": "queue://numbers", "body": "text"}},
		{"maps", options{"target": "numbers", "body": "map"}, options{"source": "numbers", "body": "map"}},
		{"topic", options{"target": "/topic/numbers.all"}, options{"source": "/topic/numbers.*"}},
		{"topic by capability", options{"target": "numbers.all", "capability": "topic"}, options{"source": "numbers.#", "capability": "topic"}},
		{"anonymous terminus", options{"to": "/queue/numbers"}, options{"source": "/queue/numbers"}},
	} {
		for _, settled := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, settled %t", c.name, settled), func(t *testing.T) {
				t.Parallel()
				n := volume(t, 2_000)
				url := serveHub(t)
				get := options{"role": "listen", "url": url, "n": n, "settled": settled, "credit": 100, "body": "bytes"}
				send := options{"role": "send", "url": url, "n": n, "settled": settled, "linger": 1, "body": "bytes"}
				maps.Copy(get, c.get)
				maps.Copy(send, c.send)
				to := startProton(t, get)
				to.await("listening", patience)
				from := startProton(t, send)
				sent := from.await("done", patienceFor(n))
				if len(sent.Wrong) > 0 || sent.Sent != n || !settled && sent.Outcomes["accepted"] != n {
					t.Errorf("it sent %d of %d messages, with the outcomes %v; wrong: %q", sent.Sent, n, sent.Outcomes, sent.Wrong)
				}
				e := to.await("done", patienceFor(n))
				if e.Answered != n || len(e.Lost)+len(e.Doubled)+len(e.Wrong)+e.Disordered > 0 {
					t.Errorf("%d of %d messages came; lost: %v; doubled: %v; wrong: %q; %d not in order", e.Answered, n, e.Lost, e.Doubled, e.Wrong, e.Disordered)
				}
				t.Logf("%d messages, %.0f a second", n, float64(n)/e.Seconds)
			})
		}
	}
}

// TestProtonHubRefused: what the broker does not want is told.
func TestProtonHubRefused(t *testing.T) {
	t.Parallel()
	needProton(t)
	for target, why := range map[string]string{"/nowhere/x": "amqp:not-found", "/topic/a..b": "amqp:invalid-field"} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			p := startProton(t, options{"role": "listen", "url": serveHub(t), "n": 1, "source": target})
			e := p.await("refused", patience)
			if !strings.Contains(e.Why, why) {
				t.Errorf("Proton says %q, want %q", e.Why, why)
			}
		})
	}
}
