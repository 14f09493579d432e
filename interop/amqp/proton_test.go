package amqp_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/polyport/polyport/transport"
)

// ann may log in.
var ann = &transport.ListenOptions{Authenticator: transport.Users(map[string]string{"ann": "secret:pass word"})}

// TestProtonCalls: Qpid Proton calls our server with no broker between. Each call
// is executed once and answered once; each request that was sent unsettled is
// accepted.
func TestProtonCalls(t *testing.T) {
	t.Parallel()
	needProton(t)
	for _, c := range []struct {
		name   string
		short  int
		listen *transport.ListenOptions
		o      options
	}{
		{"anonymous", 2_000, nil, options{"target": "rpc"}},
		{"no SASL", 200, nil, options{"target": "rpc", "sasl": false}},
		{"PLAIN", 1_000, ann, options{"target": "rpc", "user": "ann", "password": "secret:pass word"}},
		{"anonymous terminus", 400, nil, options{}},
		{"named address for answers", 400, nil, options{"target": "/queues/rpc", "source": "answers"}},
		{"one at a time", 200, nil, options{"target": "rpc", "window": 1}},
	} {
		for _, settled := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, settled %t", c.name, settled), func(t *testing.T) {
				t.Parallel()
				y := make(tally, volume(t, c.short))
				o := options{"role": "call", "url": serve(t, c.listen, y.mux()), "n": len(y), "settled": settled}
				maps.Copy(o, c.o)
				e := startProton(t, o).await("done", patienceFor(len(y)))
				if e.Answered != len(y) || len(e.Lost)+len(e.Doubled)+len(e.Wrong) > 0 {
					t.Errorf("%d answers to %d calls; lost: %v; doubled: %v; wrong: %q", e.Answered, len(y), e.Lost, e.Doubled, e.Wrong)
				}
				if want := len(y); !settled && (e.Outcomes["accepted"] != want || e.Outcomes["settled"] != want) {
					t.Errorf("the outcomes of %d requests: %v", want, e.Outcomes)
				}
				y.check(t)
				t.Logf("%d calls, %.0f a second", len(y), float64(len(y))/e.Seconds)
			})
		}
	}
}

// TestProtonSends: a sender without a receiver, whose messages are notifications.
func TestProtonSends(t *testing.T) {
	t.Parallel()
	needProton(t)
	for _, settled := range []bool{false, true} {
		t.Run(fmt.Sprintf("settled %t", settled), func(t *testing.T) {
			t.Parallel()
			y := make(tally, volume(t, 2_000))
			o := options{"role": "send", "url": serve(t, nil, y.mux()), "target": "rpc", "n": len(y), "settled": settled}
			if settled { // what was sent so and not executed when the connection ends never will be
				o["linger"] = 10 + len(y)/1000
			}
			e := startProton(t, o).await("done", 2*patienceFor(len(y)))
			if e.Sent != len(y) || len(e.Wrong) > 0 || !settled && e.Outcomes["accepted"] != len(y) {
				t.Errorf("it sent %d of %d messages, with the outcomes %v; wrong: %q", e.Sent, len(y), e.Outcomes, e.Wrong)
			}
			if got := y.sum(); got != len(y) {
				t.Errorf("%d of %d messages were executed", got, len(y))
			}
			y.check(t)
			t.Logf("%d messages, %.0f a second", len(y), float64(len(y))/e.Seconds)
		})
	}
}

// TestProtonListens: a receiver without a sender gets what is sent to its
// address, once and in order, and confirms it if it did not ask for settled
// messages. It has less credit than there are messages.
func TestProtonListens(t *testing.T) {
	t.Parallel()
	needProton(t)
	for _, settled := range []bool{false, true} {
		for _, source := range []any{"events", nil} {
			t.Run(fmt.Sprintf("source %v, settled %t", source, settled), func(t *testing.T) {
				t.Parallel()
				n := volume(t, 2_000)
				var p *proton
				conn := accept(t, func(host string) {
					p = startProton(t, options{"role": "listen", "url": host, "source": source, "n": n, "settled": settled, "credit": 50})
				})
				sendAll(t, conn, p.await("listening", patience).Address, n, !settled)
				e := p.await("done", patienceFor(n))
				if e.Answered != n || len(e.Lost)+len(e.Doubled)+len(e.Wrong)+e.Disordered > 0 {
					t.Errorf("%d of %d messages came; lost: %v; doubled: %v; wrong: %q; %d not in order", e.Answered, n, e.Lost, e.Doubled, e.Wrong, e.Disordered)
				}
				t.Logf("%d messages, %.0f a second", n, float64(n)/e.Seconds)
			})
		}
	}
}

// TestProtonRefused: who may not come in, and what there is not, is told.
func TestProtonRefused(t *testing.T) {
	t.Parallel()
	needProton(t)
	for _, c := range []struct {
		name   string
		listen *transport.ListenOptions
		o      options
		why    string
	}{
		{"wrong password", ann, options{"target": "rpc", "user": "ann", "password": "no"}, "amqp:unauthorized-access"},
		{"unknown user", ann, options{"target": "rpc", "user": "bob", "password": "secret:pass word"}, "amqp:unauthorized-access"},
		{"anonymous where users are known", ann, options{"target": "rpc"}, "amqp:unauthorized-access"},
		{"no SASL where users are known", ann, options{"target": "rpc", "sasl": false}, ""},
		{"unknown address", nil, options{"target": "nowhere"}, "amqp:not-found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			y := make(tally, 1)
			o := options{"role": "call", "url": serve(t, c.listen, y.mux()), "n": len(y)}
			maps.Copy(o, c.o)
			if e := startProton(t, o).await("refused", patience); !strings.Contains(e.Why, c.why) {
				t.Errorf("Proton says %q, want %q", e.Why, c.why)
			}
			if y.sum() > 0 {
				t.Error("the call was executed")
			}
		})
	}
}
