package conformance_test

import (
	"context"
	"encoding/json"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
	"github.com/polyport/polyport/transport/stomp"
)

// serverWires are the wires that servers are asked over.
var serverWires = []struct {
	url  string
	wire transport.Transport
}{
	{"mem://server", mem.Transport{}},
	{"mem://server?socket=req", mem.Transport{}},
	{"stomp://server", stomp.Transport{}},
}

// echoMux has the method that rules call.
func echoMux() *rpc.Mux {
	m := rpc.NewMux(nil)
	rpc.Handle(m, "Echo", func(_ context.Context, p json.RawMessage) (json.RawMessage, error) { return p, nil })
	return m
}

// serveRPC serves methods over a wire, by TCP, until the test ends, and returns
// the harness for that server.
func serveRPC(t *testing.T, rawURL string, wire transport.Transport, mux *rpc.Mux) conformance.Harness {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const handshake = 300 * time.Millisecond
	l := transport.NewListener(ln, wire, &transport.ListenOptions{HandshakeTimeout: handshake})
	s := rpc.NewServer(mux, nil)
	done := make(chan error, 1)
	go func() { done <- s.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		_ = l.Close()
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		<-done
	})
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	tcp := func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", ln.Addr().String())
	}
	return conformance.Harness{
		URL:      rawURL,
		Patience: 5 * time.Second,
		Server: &conformance.Server{HandshakeTimeout: handshake, Dial: func(ctx context.Context, o *transport.DialOptions) (transport.Conn, error) {
			nc, err := tcp(ctx)
			if err != nil {
				return nil, err
			}
			c, err := wire.Client(ctx, nc, u, o)
			if err != nil {
				_ = nc.Close()
			}
			return c, err
		}},
		RawDial: func(t conformance.TB) net.Conn {
			nc, err := tcp(t.Context())
			if err != nil {
				t.Fatalf("dial: %v", err)
			}
			return nc
		},
	}
}

// TestServerRules: names are unique among all rules, and texts are sentences.
func TestServerRules(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range slices.Concat(conformance.Rules(), conformance.ServerRules()) {
		if seen[r.Name] || len(r.Text) < 20 || !strings.HasSuffix(r.Text, ".") {
			t.Errorf("rule %q: %q, want a name of its own and a sentence", r.Name, r.Text)
		}
		seen[r.Name] = true
		if got, ok := conformance.Lookup(strings.ToUpper(r.Name)); !ok || got.Name != r.Name {
			t.Errorf("Lookup(%q) = %q, %v, want %q", strings.ToUpper(r.Name), got.Name, ok, r.Name)
		}
	}
}

// TestServerQueued: of a server behind a queue a large message may be lost.
func TestServerQueued(t *testing.T) {
	h := (&crook{instead: func(s string) ([]string, bool) { return nil, isLarge(s) }}).spoil(serveRPC(t, "mem://server", mem.Transport{}, echoMux()))
	h.Patience = 300 * time.Millisecond
	for queued, want := range map[bool]string{false: "Oversize fail", true: "Oversize pass"} {
		h.Server.Queued = queued
		got, logs := results(t.Context(), h, "Oversize")
		wantOne(t, got, logs, want, "")
	}
}

// TestServer holds this project's server to the rules.
func TestServer(t *testing.T) {
	for _, w := range serverWires {
		t.Run(w.url, func(t *testing.T) {
			conformance.Run(t, serveRPC(t, w.url, w.wire, echoMux()))
		})
	}
}

// TestServerSkips: what cannot be judged says why.
func TestServerSkips(t *testing.T) {
	h := serveRPC(t, "mem://server", mem.Transport{}, rpc.NewMux(nil))
	lockstep := serveRPC(t, "mem://server?socket=req", mem.Transport{}, rpc.NewMux(nil))
	mute := h
	mute.RawDial = nil
	hasty := h
	hasty.Patience = 100 * time.Millisecond
	for _, c := range []struct {
		name string
		h    conformance.Harness
		rule string
		want string
	}{
		{"no Echo", h, "Result", "has no method Echo"},
		{"no Echo", h, "Params", "has no method Echo"},
		{"lock-step", lockstep, "ManyInFlight", "in lock-step"},
		{"no RawDial", mute, "GarbageOpening", "no RawDial"},
		{"too hasty", hasty, "SilentOpening", "give it more"},
		{"a wire's rule", h, "Order", "both ends"},
		{"no server", sound, "Batch", "the harness has none"},
	} {
		t.Run(c.name+" "+c.rule, func(t *testing.T) {
			got, logs := results(t.Context(), c.h, c.rule)
			wantOne(t, got, logs, c.rule+" skip", c.want)
		})
	}
}

// wantOne checks the one result of Check.
func wantOne(t *testing.T, got, logs []string, want, log string) {
	t.Helper()
	if len(got) != 1 || got[0] != want || !strings.Contains(logs[0], log) {
		t.Errorf("Check = %q %q, want %s with %q", got, logs, want, log)
	}
}
