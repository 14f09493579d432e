package stomp_test

import (
	"strings"
	"testing"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/stomp"
)

// FuzzOVirtServer: no bytes make a server with the profile, or one that may recognise
// oVirt's clients, panic or go on after their end.
func FuzzOVirtServer(f *testing.F) {
	for _, s := range append(seeds(),
		wire(ovirtConnect+ovirtAnswers+ovirtEvents+ovirtRequest), wire(ovirtAnswers+ovirtConnect+ovirtRequest),
		wire(ovirtRequest+ovirtAnswers+strings.Replace(ovirtRequest, "requests", "requests.a", 1)+"UNSUBSCRIBE\nid:r\n\n^@DISCONNECT\n\n^@"),
		wire(ovirtEvents+"UNSUBSCRIBE\nid:e\n\n^@UNSUBSCRIBE\nid:e\n\n^@SUBSCRIBE\nid:e\ndestination:jms.queue.events\nack:client\n\n^@ACK\nid:1\n\n^@"),
	) {
		f.Add([]byte(s), []byte{}, true)
		f.Add([]byte(s), []byte{6, 0, 1, 40}, false)
	}
	f.Fuzz(func(t *testing.T, data, pieces []byte, profile bool) {
		o := &transport.ListenOptions{Destinations: stomp.OVirtDestinations}
		o.Limits = fuzzLimits
		if profile {
			o.Profile = transport.OVirt
		}
		c, err := stomp.Transport{}.Server(t.Context(), addressed{&tape{rest: data, pieces: pieces}}, o)
		if err != nil {
			return
		}
		a, _ := transport.As[transport.Audience](c)
		for n := 0; ; n++ {
			m, err := c.Recv(t.Context())
			if err != nil {
				break
			}
			if n > len(data) {
				t.Fatalf("%q: more messages than bytes", data)
			}
			echo(c, m)
			_ = a.Publish(t.Context(), &transport.Message{To: "|a|b|c", Body: m.Body})
		}
		if a.Wants("|a|b|c") {
			t.Errorf("%q: Wants after the end", data)
		}
		_ = c.Close()
	})
}
