package conformance_test

import (
	"slices"
	"testing"
	"time"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/transport"
)

// through is a harness whose ends meet at b.
func through(b *conformance.Broker) *conformance.Harness {
	return &conformance.Harness{URL: "middle://conformance", Broker: b, Patience: 300 * time.Millisecond}
}

// brokerDefects are what can be wrong with a broker.
var brokerDefects = []struct {
	name, rule string
	broken     func() *middleman
}{
	{"loses one message", "Order", func() *middleman { return &middleman{copies: except(500, 0)} }},
	{"gives one message twice", "Order", func() *middleman { return &middleman{copies: except(500, 2)} }},
	{"loses headers", "Headers", func() *middleman {
		return &middleman{headers: func(h []transport.Header) []transport.Header { return h[:len(h)/2] }}
	}},
	{"does not know the names that it gives", "Fields", func() *middleman {
		return &middleman{replyTo: func(s string) string { return "the queue of " + s }}
	}},
	{"forgets reply addresses", "Fields", func() *middleman { return &middleman{replyTo: func(string) string { return "" }} }},
	{"loses one message", "QueueKeeps", func() *middleman { return &middleman{copies: except(7, 0)} }},
	{"gives one message to two", "QueueShared", func() *middleman { return &middleman{copies: except(100, 2)} }},
	{"does not look at credit", "QueueCredit", func() *middleman { return &middleman{credit: func(int) int { return 1000 }} }},
	{"does not look at the limit", "UnsettledLimit", func() *middleman { return &middleman{credit: func(int) int { return 1000 }} }},
	{"forgets what is unsettled", "UnsettledComesBack", func() *middleman { return &middleman{keeps: func() bool { return false }} }},
	{"does not say what has come back", "UnsettledComesBack", func() *middleman { return &middleman{attempt: func(int) int { return 0 }} }},
	{"gives back what was settled", "UnsettledComesBack", func() *middleman {
		return &middleman{outcome: func(transport.Outcome) transport.Outcome { return transport.Released }}
	}},
	{"forgets what was released", "ReleasedComesBack", func() *middleman {
		return &middleman{outcome: func(transport.Outcome) transport.Outcome { return transport.Accepted }}
	}},
	{"does not say what has failed", "ReleasedComesBack", func() *middleman { return &middleman{attempt: func(int) int { return 0 }} }},
	{"tries for ever", "RejectedIsGone", func() *middleman {
		return &middleman{outcome: func(o transport.Outcome) transport.Outcome {
			if o.IsRejected() {
				return transport.Failed
			}
			return o
		}}
	}},
	{"has one reply address for all", "ManyClients", func() *middleman {
		first := ""
		return &middleman{replyTo: func(s string) string {
			if first == "" {
				first = s
			}
			return first
		}}
	}},
	{"throws out who answers too late", "LateAnswer", func() *middleman {
		return &middleman{toNobody: func(from *client) { close(from.over) }}
	}},
}

// except makes n copies of one message, and one of the others.
func except(message, n int) func(int) int {
	return func(i int) int {
		if i == message {
			return n
		}
		return 1
	}
}

// TestBrokenBroker is TestBroken for brokers.
func TestBrokenBroker(t *testing.T) {
	for _, d := range brokerDefects {
		t.Run(d.rule+"/"+d.name, func(t *testing.T) {
			rule, ok := conformance.Lookup(d.rule)
			if !ok {
				t.Fatalf("there is no rule %s", d.rule)
			}
			got := rule.Try(t, through(d.broken().broker()))
			if got.Verdict != conformance.Failed {
				t.Errorf("%s through a broker that %s: %s %s, want %s", d.rule, d.name, got.Verdict, got.Log, conformance.Failed)
			}
			t.Logf("%s", got.Log)
		})
	}
}

// TestBroker runs all rules through a broker that does all that can be declared.
func TestBroker(t *testing.T) {
	h := *through(new(middleman).broker())
	h.Patience = 0
	conformance.Run(t, h)
}

// TestDeclarations takes one declaration away from a broker that needs it.
func TestDeclarations(t *testing.T) {
	for _, c := range []struct {
		name string
		hide func(*conformance.Broker)
		fail []string
	}{
		{"Dial", func(b *conformance.Broker) { b.Dial = nil }, nil},
		{"Renames", func(b *conformance.Broker) { b.Renames = false }, []string{"Fields", "FieldText"}},
		{"HeaderSet", func(b *conformance.Broker) { b.HeaderSet = false }, []string{"FieldText", "Headers"}},
		{"Adds", func(b *conformance.Broker) { b.Adds = nil }, []string{"Fields", "Headers"}},
		{"HoldsReleased", func(b *conformance.Broker) { b.HoldsReleased = false }, []string{"ReleasedComesBack"}},
		{"Largest", func(b *conformance.Broker) { b.Largest = 0 }, []string{"WholeMessage"}},
	} {
		for _, name := range []string{"WholeMessage", "Fields", "FieldText", "Headers", "ReleasedComesBack"} {
			b := new(middleman).broker()
			c.hide(b)
			want := conformance.Passed
			switch {
			case b.Dial == nil:
				want = conformance.Skipped
			case slices.Contains(c.fail, name):
				want = conformance.Failed
			case c.fail != nil && (c.name == "Adds" || c.name == "Renames"):
				continue // others may notice, too
			}
			rule, _ := conformance.Lookup(name)
			if got := rule.Try(t, through(b)); got.Verdict != want {
				t.Errorf("%s without %s: %s %s, want %s", name, c.name, got.Verdict, got.Log, want)
			}
		}
	}
}
