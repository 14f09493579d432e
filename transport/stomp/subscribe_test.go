package stomp_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/polyport/polyport/transport"
)

// TestSubscriptionOf10 is about the version in which an id is optional: a
// subscription without one is known by its destination, and its messages do
// not name it.
func TestSubscriptionOf10(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, nil)
		p := r.connect("1.0")
		p.expect("SUBSCRIBE\ndestination:d\nreceipt:1\n\n^@", "RECEIPT\nreceipt-id:1\ncontent-length:0\n\n^@")
		if err := r.session().Send(t.Context(), &transport.Message{To: "d", Body: []byte("hi")}); err != nil {
			t.Fatal(err)
		}
		p.expect("", "MESSAGE\nmessage-id:1\ndestination:d\ncontent-length:2\n\nhi^@")
		p.expect("UNSUBSCRIBE\ndestination:d\nreceipt:2\n\n^@", "RECEIPT\nreceipt-id:2\ncontent-length:0\n\n^@")
		if err := r.session().Send(t.Context(), &transport.Message{To: "d"}); !errors.Is(err, transport.ErrNoRoute) {
			t.Errorf("Send after UNSUBSCRIBE = %v, want ErrNoRoute", err)
		}
		p.expect("SUBSCRIBE\ndestination:d\n\n^@", "")
		explains(t, refused(t, p.say("SUBSCRIBE\ndestination:d\n\n^@")), "in use")
	})
}

func TestSendChoosesOnePublishAll(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		r := newRig(t, nil, nil)
		p := r.connect(version)
		for _, id := range []string{"a", "b", "c"} {
			p.expect("SUBSCRIBE\nid:"+id+"\ndestination:/topic/"+strings.Trim(id, "b")+"\n\n^@", "")
		}
		p.expect("SUBSCRIBE\nid:a2\ndestination:/topic/a\nack:client\n\n^@", "")
		s := r.session()
		publisher, _ := transport.As[transport.Publisher](s.Conn)
		if err := s.Send(t.Context(), &transport.Message{To: "/topic/a"}); err != nil {
			t.Fatal(err)
		}
		if got := one(t, p.taken(), "MESSAGE").Header.Get("subscription"); got != "a" {
			t.Errorf("Send went by %q, want the first subscription a", got)
		}
		if err := publisher.Publish(t.Context(), &transport.Message{To: "/topic/a", Body: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		all, _ := frames(t, p.taken())
		var got []string
		for _, f := range all {
			got = append(got, f.Header.Get("subscription")+" "+f.Header.Get("destination")+" "+string(f.Body))
		}
		if s := fmt.Sprint(got); s != "[a /topic/a x a2 /topic/a x]" {
			t.Errorf("Publish gave %v, want one to a and one to a2", got)
		}
	})
}

func TestUnsubscribe(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		r := newRig(t, nil, nil)
		p := r.connect(version)
		p.expect(subscribeFrame("a")+subscribeFrame("b")+"UNSUBSCRIBE\nid:a\n\n^@", "")
		s := r.session()
		if err := s.Send(t.Context(), &transport.Message{To: "a"}); !errors.Is(err, transport.ErrNoRoute) || !transport.NotSent(err) {
			t.Errorf("Send to the subscription that left = %v, want ErrNoRoute, not sent", err)
		}
		if err := s.Send(t.Context(), &transport.Message{To: "b"}); err != nil {
			t.Errorf("Send to the one that stayed = %v", err)
		}
		one(t, p.taken(), "MESSAGE")
		p.expect(subscribeFrame("a", "receipt:1"), "RECEIPT\nreceipt-id:1\ncontent-length:0\n\n^@")
		explains(t, refused(t, p.say("UNSUBSCRIBE\nid:c\n\n^@")), "UNSUBSCRIBE", "c")
	})
}

// TestAckCrossesUnsubscribe: an ACK sent before the client could know that the
// subscription's end had settled the message is no fault.
func TestAckCrossesUnsubscribe(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		a := newAckRig(t, version, "client-individual", transport.Limits{})
		id, _ := a.deliver("m")
		a.expect("UNSUBSCRIBE\nid:s\n\n^@", "")
		a.settled("m failed")
		a.expect(a.frame("ACK", id), "")
		a.settled("")
		explains(t, refused(t, a.say(a.frame("ACK", id))), "ACK", id)
	})
}

// TestRejectedMessageEndsSession: STOMP has no milder word for it than ERROR.
func TestRejectedMessageEndsSession(t *testing.T) {
	for _, c := range []struct {
		name    string
		outcome transport.Outcome
		rejects bool
	}{
		{"accepted", transport.Accepted, false},
		{"released", transport.Released, false},
		{"failed", transport.Failed, false},
		{"rejected", transport.Rejected("no JSON text"), true},
		{"rejected in many words", transport.Rejected("line one\nline two\x00\r\n" + strings.Repeat("ü", 300)), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, version string) {
				r := newRig(t, nil, func(_ transport.Conn, m *transport.Message) {
					_ = m.Settle(c.outcome)
					_ = m.Settle(transport.Accepted) // the second does nothing
				})
				p := r.connect(version)
				got := p.say("SEND\ndestination:rpc\n\nxyz^@")
				if !c.rejects {
					if got != "" {
						t.Errorf("got\n%s\nwant nothing", printable(got))
					}
					return
				}
				f := one(t, got, "ERROR")
				_ = p.nc.Close()
				if want := strings.Fields(c.outcome.Reason())[0]; !strings.HasPrefix(f.Header.Get("message"), want) {
					t.Errorf("ERROR has message:%s, want the reason %q", f.Header.Get("message"), c.outcome.Reason())
				}
			})
		})
	}
}
