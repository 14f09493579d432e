package broker_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/transport"
)

func TestOwnership(t *testing.T) {
	try := func(t *testing.T, h *broker.Hub, user string) error {
		t.Helper()
		p := join(t, h, user)
		defer p.sess.Leave()
		_, err := p.sess.Attach(transport.Subscription{Destination: "/queue/calc"}, new(sink))
		if err != nil && !errors.Is(err, transport.ErrRefused) {
			t.Errorf("refused with %v", err)
		}
		return err
	}
	in(t, "a queue belongs to the user who consumes it", nil, func(t *testing.T, h *broker.Hub, ann *peer) {
		bob := join(t, h, "bob")
		s := ann.attach("/queue/calc", transport.AckNone, 9)
		err := try(t, h, "bob")
		if err == nil || !strings.Contains(err.Error(), "user bob may not consume from /queue/calc") {
			t.Errorf("bob: %v", err)
		}
		if err := try(t, h, ""); err == nil {
			t.Error("nobody may consume")
		}
		if err := try(t, h, "ann"); err != nil {
			t.Errorf("another one of ann's: %v", err)
		}
		bob.must("/queue/calc", "a")
		s.wants(t, "a")
		s.Detach()
		if err := try(t, h, "bob"); err == nil {
			t.Error("bob takes it over at once")
		}
		time.Sleep(time.Minute)
		if err := try(t, h, "bob"); err != nil {
			t.Errorf("bob, later: %v", err)
		}
		if n := h.Stats().Denied; n != 3 {
			t.Errorf("%d were denied, want 3", n)
		}
	})
	in(t, "that of the process to nobody outside", nil, func(t *testing.T, h *broker.Hub, p *peer) {
		conn, err := h.Dial(t.Context(), "/queue/calc")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.(transport.Subscriber).Subscribe(t.Context(), transport.Subscription{}); err != nil {
			t.Fatal(err)
		}
		if err := try(t, h, ""); err == nil {
			t.Error("somebody else may consume")
		}
		_ = conn.Close()
	})
}

func certificate(names ...string) *tls.ConnectionState {
	c := &x509.Certificate{
		Subject: pkix.Name{CommonName: names[0]}, DNSNames: names[1:],
		URIs: []*url.URL{{Scheme: "spiffe", Host: "x", Path: "/calc"}},
	}
	return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c}, VerifiedChains: [][]*x509.Certificate{{c}}}
}

func TestRules(t *testing.T) {
	rules := broker.Rules{
		{User: "eve", Deny: true, Send: []string{"#"}, Consume: []string{"#"}, Subscribe: []string{"#"}},
		{User: "calc", Consume: []string{"/queue/calc", "/queue/calc.*"}, Send: []string{"/topic/calc.#"}},
		{Certificate: "calc.example", Consume: []string{"/queue/secure"}},
		{Certificate: "spiffe://x/calc", Consume: []string{"/queue/spiffe"}},
		{User: "*", Send: []string{"/queue/#"}},
		{Deny: true, Subscribe: []string{"/topic/secret.#"}},
		{Subscribe: []string{"/topic/#"}},
	}
	if err := rules.Check(); err != nil {
		t.Fatal(err)
	}
	unverified := certificate("calc.example")
	unverified.VerifiedChains = nil
	for _, c := range []struct {
		name   string
		info   transport.Info
		action broker.Action
		to     string
		want   bool
	}{
		{"a service consumes its queue", transport.Info{User: "calc"}, broker.Consume, "/queue/calc", true},
		{"and those below", transport.Info{User: "calc"}, broker.Consume, "/queue/calc.fast", true},
		{"but no others", transport.Info{User: "calc"}, broker.Consume, "/queue/calc.fast.er", false},
		{"nor may others", transport.Info{User: "ann"}, broker.Consume, "/queue/calc", false},
		{"users send to queues", transport.Info{User: "ann"}, broker.Send, "/queue/calc", true},
		{"but not to topics", transport.Info{User: "ann"}, broker.Send, "/topic/calc.x", false},
		{"nobody does not", transport.Info{}, broker.Send, "/queue/calc", false},
		{"an earlier rule comes first", transport.Info{User: "eve"}, broker.Send, "/queue/calc", false},
		{"a certificate by its common name", transport.Info{TLS: certificate("calc.example")}, broker.Consume, "/queue/secure", true},
		{"a certificate by its alternative name", transport.Info{TLS: certificate("x", "calc.example")}, broker.Consume, "/queue/secure", true},
		{"a certificate by its URI", transport.Info{TLS: certificate("x")}, broker.Consume, "/queue/spiffe", true},
		{"another certificate", transport.Info{TLS: certificate("x", "other")}, broker.Consume, "/queue/secure", false},
		{"one that was not verified", transport.Info{TLS: unverified}, broker.Consume, "/queue/secure", false},
		{"none", transport.Info{User: "calc.example"}, broker.Consume, "/queue/secure", false},
		{"everybody subscribes", transport.Info{}, broker.Subscribe, "/topic/news.*", true},
		{"but not to what is denied", transport.Info{}, broker.Subscribe, "/topic/secret.x", false},
		{"nor to more that has it in it", transport.Info{}, broker.Subscribe, "/topic/#", false},
		{"nor so", transport.Info{}, broker.Subscribe, "/topic/*.x", false},
		{"though that is something else", transport.Info{}, broker.Subscribe, "/topic/*", false}, // secret.# is "secret" too
	} {
		d, err := broker.ParseDestination(c.to)
		if err != nil {
			t.Fatal(err)
		}
		err = rules.May(&c.info, c.action, d)
		if (err == nil) != c.want || err != nil && !errors.Is(err, transport.ErrRefused) {
			t.Errorf("%s: %v, want %t", c.name, err, c.want)
		}
	}
}

func TestRulesCheck(t *testing.T) {
	for _, pattern := range []string{"calc", "/fish/x", "/queue/", "/queue/a*", "/topic/a..b", "/temp-queue/x"} {
		if err := (broker.Rules{{Send: []string{pattern}}}).Check(); err == nil {
			t.Errorf("%q is let pass", pattern)
		}
	}
}

func TestRulesOfHub(t *testing.T) {
	in(t, "what no rule allows is refused", &broker.Options{Access: broker.Rules{
		{User: "ann", Send: []string{"/queue/ok"}, Consume: []string{"/queue/ok"}},
	}}, func(t *testing.T, h *broker.Hub, p *peer) {
		p.must("/queue/ok", "a")
		p.attach("/queue/ok", transport.AckNone, 9).wants(t, "a")
		for _, to := range []string{"/queue/other", "/topic/t"} {
			if _, err := p.send(to, "x").now(); !errors.Is(err, transport.ErrRefused) {
				t.Errorf("send to %s: %v", to, err)
			}
			if _, err := p.sess.Attach(transport.Subscription{Destination: to}, new(sink)); !errors.Is(err, transport.ErrRefused) {
				t.Errorf("attach to %s: %v", to, err)
			}
		}
		other := join(t, h, "bob")
		other.must(p.attach("", transport.AckNone, 9).Address(), "answers need no rule")
		if n := len(h.Stats().Queues); n != 1 {
			t.Errorf("there are %d queues, want 1", n)
		}
		if err := h.Publish(t.Context(), &transport.Message{To: "/queue/other"}); err != nil {
			t.Errorf("within the process: %v", err)
		}
	})
}
