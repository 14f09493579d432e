package conformance_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

// TestLearn: what a broker does is found out as it would be declared.
func TestLearn(t *testing.T) {
	declared := new(middleman).broker()
	found := conformance.Broker{Dial: declared.Dial, Topic: declared.Topic, Largest: 5, Adds: []string{"what it does not"}}
	if err := found.Learn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*declared, found, cmpopts.IgnoreFields(conformance.Broker{}, "Dial", "Topic")); diff != "" {
		t.Errorf("Learn finds +, declared is -\n%s", diff)
	}
}

// TestLearnNoBroker: what is no broker is told apart.
func TestLearnNoBroker(t *testing.T) {
	deaf := new(middleman)
	deaf.copies = func(int) int { return 0 }
	server := serveRPC(t, "mem://server", mem.Transport{}, echoMux())
	for _, c := range []struct {
		name string
		dial func(context.Context, string, *transport.DialOptions) (transport.Conn, error)
		want string
	}{
		{"nobody", func(context.Context, string, *transport.DialOptions) (transport.Conn, error) {
			return nil, errors.New("nobody is there")
		}, "nobody is there"},
		{"a server", func(ctx context.Context, _ string, o *transport.DialOptions) (transport.Conn, error) {
			return server.Server.Dial(ctx, o)
		}, "did not come out of it"},
		{"a broker that loses all", deaf.broker().Dial, "did not come out of it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			b := conformance.Broker{Dial: c.dial}
			if err := b.Learn(ctx); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Learn = %v, want %q", err, c.want)
			}
		})
	}
}
