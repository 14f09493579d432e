package interop_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/polyport/polyport/interop/broker"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// TestBrokerKilled: a broker is killed and started again under calls, and a
// ledger is kept of what became of each one. POLYPORT_LONG=1 runs the long
// form.
//
// At least once, with durable requests and callers that repeat a call whose
// outcome is unknown: every call is answered in the end, and executed more than
// once only because it was repeated by its caller or given again by the broker.
// At most once: no call is executed twice, and unknown are at most those that
// were in flight.
func TestBrokerKilled(t *testing.T) { //nolint:tparallel // in the long form one after the other, since its figures are told
	t.Parallel()
	kills, calls := 1, 2_000
	if os.Getenv("POLYPORT_LONG") != "" {
		kills, calls = 10, 100_000
	}
	for _, c := range []struct {
		wire string
		kind broker.Kind
	}{
		{"stomp", broker.RabbitMQ3},
		{"stomp", broker.ActiveMQ},
		{"amqp", broker.RabbitMQ3},
		{"amqp", broker.RabbitMQ4},
	} {
		for _, mode := range []string{"at least once", "at most once"} {
			name := c.kind.String() + " " + mode
			if c.wire != "stomp" {
				name = c.wire + " " + name
			}
			if c.wire == "amqp" && kills == 1 && mode == "at most once" {
				t.Logf("%s: not run, for the time it takes; POLYPORT_LONG=1 does", name)
				continue
			}
			t.Run(name, func(t *testing.T) {
				if kills == 1 { // the figures of the long form are told
					t.Parallel()
				}
				b := broker.Own(t, c.kind)
				url := b.URL + "/queue/ledger"
				if c.wire == "amqp" {
					url = b.AMQPURL + "/ledger"
				}
				l := newLedger(t, b, url, calls, mode == "at least once")
				l.run(kills)
				l.check(kills)
			})
		}
	}
}

// callers is how many calls are in flight in the ledgers' tests.
const callers = 64

// A ledger is an account of calls 0 to n-1 through a broker.
type ledger struct {
	t           *testing.T
	b           *broker.Broker
	url         string
	atLeastOnce bool
	calls       []entry
	settled     atomic.Int64 // calls that are answered or given up
	answered    atomic.Int64
	lastAnswer  atomic.Int64 // when, in ns
	notSent     atomic.Int64
	moved       chan struct{} // has a token when settled or lastAnswer may have changed
	outages     []time.Duration
	returns     []time.Duration // from the broker's being ready to the next answer
}

// An entry is one call.
type entry struct {
	sent, executed, given atomic.Int32 // given: executions of what the broker gave again
	unknown               bool
	wrong                 string
}

func newLedger(t *testing.T, b *broker.Broker, url string, calls int, atLeastOnce bool) *ledger {
	return &ledger{t: t, b: b, url: url, atLeastOnce: atLeastOnce, calls: make([]entry, calls), moved: make(chan struct{}, 1)}
}

// params is what a call says.
type ledgerParams struct {
	N int `json:"n"`
}

// serve serves the queue until the test ends.
func (l *ledger) serve() {
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Enter", func(ctx context.Context, p ledgerParams) (int, error) {
		e := &l.calls[p.N]
		e.executed.Add(1)
		if r, _ := rpc.FromContext(ctx); r.Attempt > 0 {
			e.given.Add(1)
		}
		return p.N * 7, nil
	})
	server := rpc.NewServer(mux, nil)
	conn, err := transport.Redial(l.t.Context(), l.url, &transport.RedialOptions{Most: time.Second})
	if err != nil {
		l.t.Fatal(err)
	}
	var s transport.Subscription
	if l.atLeastOnce {
		s.Ack, s.Credit = transport.AckEach, 128
	}
	by, _ := transport.As[transport.Subscriber](conn)
	if _, err := by.Subscribe(l.t.Context(), s); err != nil {
		l.t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.ServeConn(conn) }()
	l.t.Cleanup(func() {
		if err := server.Shutdown(context.Background()); err != nil {
			l.t.Errorf("Shutdown = %v", err)
		}
		<-served
	})
}

// run makes all calls, while the broker is killed and started again.
func (l *ledger) run(kills int) {
	l.serve()
	client, err := rpc.Dial(l.t.Context(), l.url, &rpc.ClientOptions{
		Durable: l.atLeastOnce, Reconnect: &transport.RedialOptions{Most: time.Second},
	})
	if err != nil {
		l.t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for n := int(next.Add(1)) - 1; n < len(l.calls); n = int(next.Add(1)) - 1 {
				l.call(client, n)
				l.settled.Add(1)
				select {
				case l.moved <- struct{}{}:
				default:
				}
			}
		})
	}
	for i := range kills {
		for l.settled.Load() < int64((i+1)*len(l.calls)/(kills+1)) {
			<-l.moved
		}
		l.b.Kill()
		killed := time.Now()
		l.b.Start()
		ready := time.Now()
		for l.lastAnswer.Load() < ready.UnixNano() {
			<-l.moved
		}
		back := time.Unix(0, l.lastAnswer.Load())
		l.outages = append(l.outages, back.Sub(killed))
		l.returns = append(l.returns, back.Sub(ready))
	}
	wg.Wait()
}

// call makes one call, again and again if that is right.
func (l *ledger) call(c *rpc.Client, n int) {
	e := &l.calls[n]
	for {
		ctx, cancel := context.WithTimeout(l.t.Context(), time.Minute)
		e.sent.Add(1)
		got, err := rpc.Call[int](ctx, c, "Enter", ledgerParams{n})
		cancel()
		switch rpc.OutcomeOf(err) {
		case rpc.Answered:
			if err != nil || got != n*7 {
				e.wrong = fmt.Sprintf("answer %d, %v", got, err)
			}
			l.answered.Add(1)
			l.lastAnswer.Store(time.Now().UnixNano())
			return
		case rpc.NotSent:
			e.sent.Add(-1)
			l.notSent.Add(1)
		case rpc.Unknown:
			if !l.atLeastOnce {
				e.unknown = true
				return
			}
		}
		if l.t.Context().Err() != nil {
			return
		}
	}
}

// check compares the two sides' accounts.
func (l *ledger) check(kills int) {
	t := l.t
	var executed, doubled, repeated, given, untold, unknown, lost int
	for n := range l.calls {
		e := &l.calls[n]
		x, s, g := int(e.executed.Load()), int(e.sent.Load()), int(e.given.Load())
		executed += x
		repeated += s - 1
		given += g
		doubled += max(0, x-1)
		switch {
		case e.wrong != "":
			t.Errorf("call %d: %s", n, e.wrong)
		case e.unknown:
			unknown++
		case x == 0:
			lost++
			t.Errorf("call %d was answered and never executed", n)
		}
		untold += max(0, x-s-g)
		if x > s+g && (l.b.Kind != broker.ActiveMQ || x > s+g+kills) {
			t.Errorf("call %d was executed %d times; it was sent %d times, and given again %d times", n, x, s, g)
		}
		if !l.atLeastOnce && x > 1 {
			t.Errorf("call %d was executed %d times, want at most once", n, x)
		}
	}
	if answered := int(l.answered.Load()); answered+unknown != len(l.calls) {
		t.Errorf("%d answered and %d unknown, want %d in all", answered, unknown, len(l.calls))
	}
	if unknown > kills*callers {
		t.Errorf("%d outcomes are unknown, want at most the %d in flight at each of %d kills", unknown, callers, kills)
	}
	t.Logf("%d calls, %d kills: %d answered, %d unknown, %d lost, %d tries that were not sent",
		len(l.calls), kills, l.answered.Load(), unknown, lost, l.notSent.Load())
	t.Logf("%d executed, of which %d again: callers repeated %d calls, the broker gave %d again and %d more without saying so",
		executed, doubled, repeated, given, untold)
	t.Logf("back to service: %v after the kill (p50), %v (p99); %v after the broker was ready (p50), %v (p99)",
		quantile(l.outages, 50), quantile(l.outages, 99), quantile(l.returns, 50), quantile(l.returns, 99))
}

// quantile returns the nearest-rank percentile.
func quantile(all []time.Duration, percent int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	all = slices.Clone(all)
	slices.Sort(all)
	return all[(len(all)*percent+99)/100-1].Round(time.Millisecond)
}
