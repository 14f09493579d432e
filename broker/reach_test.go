package broker_test

import (
	"testing"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/transport"
)

// secret lets nobody send to the topic "secret".
type secret struct{}

func (secret) May(_ *transport.Info, a broker.Action, d broker.Destination) error {
	if a == broker.Send && d.Name == "secret" {
		return transport.ErrRefused
	}
	return nil
}

// TestReaches: whether a topic has a subscriber is told to who may send there.
func TestReaches(t *testing.T) {
	h := newHub(t, &broker.Options{Access: secret{}})
	p := join(t, h, "ann")
	reaches := p.sess.(transport.Reacher).Reaches
	check := func(want map[string]bool) {
		t.Helper()
		for to, want := range want {
			if got := reaches(to); got != want {
				t.Errorf("Reaches(%q) = %v", to, got)
			}
		}
	}
	check(map[string]bool{
		"/topic/a": false, "/topic/a.b": false, "/topic/secret": true, "/queue/a": true, "nonsense://a": true, "/topic/a.*": true, "/temp-queue/x": true,
	})
	s := p.attach("/topic/a.#", transport.AckNone, 9)
	check(map[string]bool{"/topic/a": true, "/topic/a.b": true, "/topic/a.b.c": true, "/topic/b": false})
	p.must("/topic/a.b", "known by name") // from here on the topic's audience is kept
	check(map[string]bool{"/topic/a.b": true})
	s.Detach()
	check(map[string]bool{"/topic/a": false, "/topic/a.b": false})
}
