package port_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/polyport/polyport/transport"
)

// matchers are those of all registered wires, by scheme.
func matchers(tb testing.TB) map[string]transport.Matcher {
	tb.Helper()
	found := map[string]transport.Matcher{}
	for _, name := range transport.Schemes() {
		s, _ := transport.Lookup(name)
		m, ok := s.Transport.(transport.Matcher)
		known := false
		for _, other := range found {
			known = known || other == s.Transport
		}
		if ok && !s.TLS && !known {
			found[name] = m
		}
	}
	if len(found) != 4 {
		tb.Fatalf("%d wires are registered, want 4: %v", len(found), found)
	}
	return found
}

// Each opening is claimed by its wire, as soon as its bytes suffice, and by no other.
func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		wire, prefix string
		suffices     int // so many bytes
	}{
		{"stomp", "CONNECT\n", 8},
		{"stomp", "CONNECT\r\n", 9},
		{"stomp", "CONNECTED\n", 10},
		{"stomp", "STOMP\nx", 6},
		{"stomp", "SUBSCRIBE\n", 10},
		{"stomp", "UNSUBSCRIBE\r\n", 13},
		{"stomp", "ACK\n", 4},
		{"stomp", "ABORT\n", 6},
		{"stomp", "\n\r\n\nSEND\n", 9},
		{"stomp", string(bytes.Repeat([]byte("\n"), 100)), 64},
		{"stomp", string(bytes.Repeat([]byte("\n"), 60)) + "CONNECT\n", 64},
		{"http", "CONNECT x:1 HTTP/1.1\r\n", 8},
		{"http", "GET / HTTP/1.1\r\n", 4},
		{"http", "POST ", 5},
		{"http", h2Preface, 24},
		{"amqp", "AMQP\x00\x01\x00\x00", 5},
		{"amqp", "AMQP\x03\x01\x00\x00", 5},
		{"zmq", zmqGreeting, 10},
	} {
		for name, m := range matchers(t) {
			for n := range len(tt.prefix) + 1 {
				got := m.Match([]byte(tt.prefix[:n]))
				switch {
				case name == tt.wire && n < tt.suffices && got != transport.More,
					name == tt.wire && n >= tt.suffices && got != transport.Yes,
					name != tt.wire && got == transport.Yes,
					name != tt.wire && n >= tt.suffices && got != transport.No:
					t.Errorf("%s: Match(%q) = %d; %s says Yes from %d bytes on", name, tt.prefix[:n], got, tt.wire, tt.suffices)
				}
			}
		}
	}
}

// FuzzClash: no two wires claim the same prefix, and each keeps the promises of a
// Matcher.
func FuzzClash(f *testing.F) {
	for _, o := range openings {
		f.Add([]byte(o.bytes))
	}
	for _, s := range []string{"CONNECT x", "\r\n\r\nGET ", "AMQP\x04", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\x00", "\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00", "\x16\x03"} {
		f.Add([]byte(s))
	}
	f.Add(bytes.Repeat([]byte("\n"), 80))
	all := matchers(f)
	f.Fuzz(func(t *testing.T, bytes []byte) {
		last := map[string]transport.Verdict{}
		for n := range len(bytes) + 1 {
			var claim string
			prefix := bytes[:n:n]
			before := slices.Clone(prefix)
			for name, m := range all {
				got := m.Match(prefix)
				switch was := last[name]; {
				case n == 0 && got != transport.More:
					t.Fatalf("%s says %d of nothing, want More", name, got)
				case n > 0 && was != transport.More && got != was:
					t.Fatalf("%s says %d of %q after %d of a shorter prefix", name, got, prefix, was)
				case n >= transport.MatchBytes && got == transport.More:
					t.Fatalf("%s says More of %d bytes %q", name, n, prefix)
				case got == transport.Yes && claim != "":
					t.Fatalf("%s and %s claim %q", name, claim, prefix)
				case got == transport.Yes && prefix[0] == 0x16:
					t.Fatalf("%s claims %q, which may be TLS", name, prefix)
				case got == transport.Yes:
					claim = name
				}
				last[name] = got
			}
			if !slices.Equal(prefix, before) {
				t.Fatalf("%q was changed to %q", before, prefix)
			}
		}
	})
}
