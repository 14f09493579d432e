package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
)

var sound = conformance.Harness{Transport: mem.Transport{}, URL: "mem://conformance", Patience: time.Second}

func TestRules(t *testing.T) {
	name := regexp.MustCompile(`^[A-Z][A-Za-z]+$`)
	seen := map[string]bool{}
	_, unknown := conformance.InStep("")
	for _, r := range conformance.Rules() {
		if !name.MatchString(r.Name) || seen[r.Name] {
			t.Errorf("rule %q: want a name of its own, in letters", r.Name)
		}
		seen[r.Name] = true
		if in, _ := conformance.InStep(r.Name); in {
			unknown--
		}
		if len(r.Text) < 20 || !strings.HasSuffix(r.Text, ".") {
			t.Errorf("rule %s: Text = %q, want a sentence", r.Name, r.Text)
		}
		if got, ok := conformance.Lookup(strings.ToLower(r.Name)); !ok || got.Name != r.Name {
			t.Errorf("Lookup(%q) = %q, %v, want %q", strings.ToLower(r.Name), got.Name, ok, r.Name)
		}
	}
	if unknown != 0 {
		t.Errorf("of the rules to be tested in lock-step %d are none", unknown)
	}
	for name := range conformance.OnFeeds {
		if !seen[name] {
			t.Errorf("the rule %s, to be tested on feeds, is none", name)
		}
	}
	if got, ok := conformance.Lookup("Nonsense"); ok {
		t.Errorf("Lookup(%q) = %v, want none", "Nonsense", got)
	}
}

// results runs Check and shows each result as "name verdict".
func results(ctx context.Context, h conformance.Harness, names ...string) (got []string, logs []string) {
	for r := range conformance.Check(ctx, h, names...) {
		got = append(got, fmt.Sprintf("%s %s", r.Rule.Name, r.Verdict))
		logs = append(logs, r.Log)
	}
	return got, logs
}

func TestCheck(t *testing.T) {
	deaf := &broken{conn: func(c *conn) {
		c.send = func(context.Context, *transport.Message) error { return errors.New("no") }
	}}
	pairOnly := conformance.Harness{Pair: pairOverTCP}
	for _, c := range []struct {
		name  string
		h     conformance.Harness
		rules []string
		want  []string
		log   string
	}{
		{"holds", sound, []string{"Order", "info"}, []string{"Order pass", "Info pass"}, ""},
		{"virtual time", sound, []string{"IdleLives"}, []string{"IdleLives skip"}, "virtual time"},
		{"does not apply", sound, []string{"ReplyAddress"}, []string{"ReplyAddress skip"}, "does not declare"},
		{"unknown", sound, []string{"Nonsense", "Info"}, []string{"Nonsense fail", "Info pass"}, "no such rule"},
		{"broken", conformance.Harness{Transport: deaf, URL: "mem://x"}, []string{"Order"}, []string{"Order fail"}, "Send: no"},
		{
			"known to break", conformance.Harness{Transport: deaf, URL: "mem://x", Skip: map[string]string{"Order": "it is deaf"}},
			[]string{"Order"}, []string{"Order skip"}, "it is deaf",
		},
		{"empty", conformance.Harness{}, []string{"Order"}, []string{"Order skip"}, "neither Transport nor Pair"},
		{"bad URL", conformance.Harness{Transport: mem.Transport{}, URL: "mem://%"}, []string{"Order"}, []string{"Order fail"}, "cannot connect"},
		{"pair", pairOnly, []string{"Order", "CloseHandsOver", "Confirm"}, []string{"Order pass", "CloseHandsOver pass", "Confirm pass"}, ""},
		{"pair without streams", pairOnly, []string{"BoundedMemory", "PeerReset"}, []string{"BoundedMemory skip", "PeerReset skip"}, "no Transport"},
		{"pair without bytes", pairOnly, []string{"HostileBytes"}, []string{"HostileBytes skip"}, "no RawDial"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, logs := results(t.Context(), c.h, c.rules...)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("Check(%v): got +, want -\n%s\n%s", c.rules, diff, logs)
			}
			if len(logs) == 0 || !strings.Contains(logs[0], c.log) {
				t.Errorf("Check(%v): log = %q, want %q in it", c.rules, logs, c.log)
			}
		})
	}
}

// pairOverTCP connects two ends of the reference wire.
func pairOverTCP(t conformance.TB, o conformance.PairOptions) (client, server transport.Conn, err error) {
	l, err := transport.Listen(t.Context(), "mem://check:0", o.Listen)
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { _ = l.Close() })
	client, err = transport.Dial(t.Context(), "mem://"+l.Addr().String(), o.Dial)
	if err != nil {
		return nil, nil, err
	}
	server, err = l.Accept(t.Context())
	return client, server, err
}

func TestCheckEnds(t *testing.T) {
	t.Run("break", func(t *testing.T) {
		for r := range conformance.Check(t.Context(), sound) {
			if r.Rule.Name != conformance.Rules()[0].Name {
				t.Errorf("Check began with %s", r.Rule.Name)
			}
			break
		}
	})
	t.Run("context", func(t *testing.T) {
		if got, _ := results(ended, sound); got != nil {
			t.Errorf("Check with an ended ctx = %v, want nothing", got)
		}
	})
}

// TestRawDial sends hostile bytes to a server that somebody else runs.
func TestRawDial(t *testing.T) {
	for _, c := range []struct {
		name    string
		timeout time.Duration // for the handshake
		want    string
		log     string
	}{
		{"cuts off", 20 * time.Millisecond, "HostileBytes pass", ""},
		{"is patient", time.Minute, "HostileBytes fail", "nothing: the connection is still open after"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var network mem.Network
			ln, err := network.Listen("raw")
			if err != nil {
				t.Fatal(err)
			}
			l := transport.NewListener(ln, mem.Transport{}, &transport.ListenOptions{
				HandshakeTimeout: c.timeout, Options: transport.Options{Linger: c.timeout},
			})
			defer l.Close()
			h := conformance.Harness{Pair: pairOverTCP, Patience: 200 * time.Millisecond}
			h.RawDial = func(conformance.TB) net.Conn {
				nc, err := network.Dial(t.Context(), "raw")
				if err != nil {
					t.Fatal(err)
				}
				return nc
			}
			got, logs := results(t.Context(), h, "HostileBytes")
			if got[0] != c.want || !strings.Contains(logs[0], c.log) {
				t.Errorf("Check(HostileBytes) = %v %s, want %s with %q", got, logs, c.want, c.log)
			}
		})
	}
}

// TestLeak finds a goroutine in real time as well.
func TestLeak(t *testing.T) {
	over := make(chan struct{})
	leaky := sound
	leaky.Transport = &broken{conn: func(*conn) { go func() { <-over }() }}
	got, logs := results(t.Context(), leaky, "Info")
	close(over)
	if !slices.Equal(got, []string{"Info fail"}) || !strings.Contains(logs[0], "goroutines are left") {
		t.Errorf("Check of a wire that leaks goroutines = %v, %.300s", got, logs)
	}
}

func TestSkip(t *testing.T) {
	if got := conformance.UnknownSkips(map[string]string{"Order": "x", "order": "x", "Nonsense": "x"}); len(got) != 2 {
		t.Errorf("UnknownSkips = %q, want two complaints", got)
	}
	order, _ := conformance.Lookup("Order")
	for _, c := range []struct {
		name, why string
		verdict   conformance.Verdict
		want      string
	}{
		{"still fails", "it drops messages", conformance.Failed, ""},
		{"holds by now", "it drops messages", conformance.Passed, "take it off the list"},
		{"does not apply", "it drops messages", conformance.Skipped, "does not apply"},
		{"without reason", "", conformance.Failed, "without a reason"},
	} {
		got := order.JudgeSkip(conformance.Result{Verdict: c.verdict}, c.why)
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: JudgeSkip(%s, %q) = %q, want %q in it", c.name, c.verdict, c.why, got, c.want)
		}
	}
}

// TestRunSkip runs a harness whose Skip is true: a rule that fails is a skip.
func TestRunSkip(t *testing.T) {
	h := sound
	h.Transport = &broken{
		options: func(o *transport.Options) { o.Limits.Subscriptions = 100 },
		conn: func(c *conn) {
			c.info = func() *transport.Info {
				i := *c.Conn.Info()
				i.Limits.Subscriptions = 17
				return &i
			}
		},
	}
	h.Skip = map[string]string{"SubscribeLimit": "a hundred are as good"}
	for _, name := range []string{"SubscribeLimit", "Subscribe"} {
		rule, _ := conformance.Lookup(name)
		_, known := h.Skip[name]
		if got := rule.Try(t, &h); (got.Verdict == conformance.Failed) != known {
			t.Errorf("%s: %s %s", name, got.Verdict, got.Log)
		}
	}
}

// TestRecorder tests what stands in for a test outside of go test.
func TestRecorder(t *testing.T) {
	var order []string
	note := func(s string) func() { return func() { order = append(order, s) } }
	for _, c := range []struct {
		name string
		f    func(t conformance.TB)
		want conformance.Result
	}{
		{"passes", func(t conformance.TB) { t.Helper(); t.Log("a", 1); t.Cleanup(note("only")) }, conformance.Result{Verdict: conformance.Passed, Log: "a 1"}},
		{"fails", func(t conformance.TB) {
			t.Cleanup(note("last"))
			t.Cleanup(note("first"))
			t.Errorf("wrong: %d", 1)
			t.Errorf("wrong: %d", 2)
		}, conformance.Result{Verdict: conformance.Failed, Log: "wrong: 1\nwrong: 2"}},
		{"fails for good", func(t conformance.TB) {
			t.Cleanup(note("after Fatalf"))
			func() { t.Fatalf("wrong") }()
			t.Errorf("not reached")
		}, conformance.Result{Verdict: conformance.Failed, Log: "wrong"}},
		{"skips", func(t conformance.TB) { t.Skip("no", "reason"); t.Errorf("not reached") }, conformance.Result{Verdict: conformance.Skipped, Log: "no reason"}},
		{"fails and skips", func(t conformance.TB) { t.Errorf("wrong"); t.SkipNow() }, conformance.Result{Verdict: conformance.Failed, Log: "wrong"}},
		{"context", func(t conformance.TB) {
			t.Cleanup(func() {
				if t.Context().Err() == nil {
					t.Errorf("Context has not ended before Cleanup")
				}
			})
			if err := t.Context().Err(); err != nil {
				t.Errorf("Context: %v", err)
			}
		}, conformance.Result{Verdict: conformance.Passed}},
	} {
		for _, virtual := range []bool{false, true} {
			order = nil
			rule := conformance.NewRule(c.name, c.f)
			var got conformance.Result
			if virtual {
				got = rule.Try(t, &sound)
			} else {
				got = rule.Alone(t.Context(), &sound)
			}
			if got.Verdict != c.want.Verdict || got.Log != c.want.Log {
				t.Errorf("%s, virtual %v: %s %q, want %s %q", c.name, virtual, got.Verdict, got.Log, c.want.Verdict, c.want.Log)
			}
			if c.name == "fails" && !slices.Equal(order, []string{"first", "last"}) {
				t.Errorf("%s, virtual %v: Cleanup ran %v, want the last one first", c.name, virtual, order)
			}
		}
	}
}
