package stomp_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/polyport/polyport/transport"
)

// The names that brokers give themselves. What they do was seen in the real
// ones; interop/broker has the tests with them.
const (
	rabbit3 = "server:RabbitMQ/3.10.8\n"
	rabbit4 = "server:RabbitMQ/4.0.5\n"
	active  = "server:ActiveMQ/5.17.2\n"
)

// subscribeTo subscribes "s" and returns the SUBSCRIBE frame's headers.
func (f *fakeServer) subscribeTo(s transport.Subscription) string {
	f.t.Helper()
	by, _ := transport.As[transport.Subscriber](f.conn())
	s.ID = "s"
	if _, err := by.Subscribe(f.t.Context(), s); err != nil {
		f.t.Fatal(err)
	}
	return headers(one(f.t, f.taken(), "SUBSCRIBE"))
}

func TestClientSubscribesToItsURL(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"stomp://h", "/queue/rpc"},
		{"stomp://h/calc", "/queue/calc"},
		{"stomp://h/queue/calc", "/queue/calc"},
		{"stomp://h/topic/a.b", "/topic/a.b"},
		{"stomp://h/queue/a%2Fb", "/queue/a%2Fb"},
		{"stomp://h/queue/a%20b", "/queue/a b"},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeServer(t, c.url, nil)
			f.taken()
			f.send(wire("CONNECTED\nversion:1.2\n\n^@"))
			if got := f.subscribeTo(transport.Subscription{}); !strings.Contains(got, "destination:"+c.want+"\n") {
				t.Errorf("%s: SUBSCRIBE with\n%s\nwant the destination %s", c.url, got, c.want)
			}
		})
	}
}

func TestClientSettlesAsTheBrokerHasIt(t *testing.T) {
	const ack, nack = "ACK\nid:ack-m\ncontent-length:0\n\n^@", "NACK\nid:ack-m\ncontent-length:0\n\n^@"
	requeue := func(v string) string { return strings.Replace(nack, "content", "requeue:"+v+"\ncontent", 1) }
	rejected := transport.Rejected("bad")
	for _, c := range []struct {
		name, server string
		outcome      transport.Outcome
		want         string
	}{
		{"unknown", "", transport.Accepted, ack},
		{"unknown", "", transport.Released, nack},
		{"unknown", "", rejected, nack},
		{"RabbitMQ", rabbit3, transport.Accepted, ack},
		{"RabbitMQ would requeue for ever", rabbit3, rejected, requeue("false")},
		{"RabbitMQ", rabbit3, transport.Released, requeue("true")},
		{"RabbitMQ", rabbit4, transport.Failed, requeue("true")},
		{"ActiveMQ", active, transport.Accepted, ack},
		{"ActiveMQ", active, rejected, nack},
		{"ActiveMQ would take it for dead", active, transport.Released, ""},
		{"ActiveMQ would take it for dead", active, transport.Failed, ""},
	} {
		t.Run(c.name+" "+c.outcome.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newSession(t, "1.2", nil, c.server)
				f.subscribeTo(transport.Subscription{Destination: "d", Ack: transport.AckEach})
				m := f.message(f.receive(), "m")
				if !m.Unsettled() {
					t.Error("Unsettled() = false before Settle")
				}
				if err := m.Settle(c.outcome); err != nil {
					t.Fatal(err)
				}
				if m.Unsettled() {
					t.Error("Unsettled() = true after Settle")
				}
				f.expect("", c.want)
			})
		})
	}
}

// TestClientErrorsOfBrokers: ActiveMQ goes on after an ERROR. A server's
// connection survives one for an answer to somebody who has gone; a refused
// subscription, and a caller's refused request, end the connection.
func TestClientErrorsOfBrokers(t *testing.T) {
	const gone = "ERROR\nmessage:Cannot publish to a deleted Destination: temp-queue://ID:1\n\n^@"
	for _, c := range []struct {
		name, server string
		consumes     bool
		in           string
		ends         bool
	}{
		{"ActiveMQ, who serves", active, true, gone, false},
		{"ActiveMQ, who calls", active, false, gone, true},
		{"ActiveMQ, subscription refused", active, true, "ERROR\nreceipt-id:subscribe-s\nmessage:not authorized\n\n^@", true},
		{"RabbitMQ, who serves", rabbit3, true, gone, true},
		{"unknown, who serves", "", true, gone, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newSession(t, "1.2", nil, c.server)
				if c.consumes {
					f.subscribeTo(transport.Subscription{Destination: "/queue/calc"})
				}
				a, _ := transport.As[transport.ReplyAddresser](f.conn())
				if _, err := a.ReplyAddress(t.Context()); err != nil {
					t.Fatal(err)
				}
				f.taken()
				r := f.receive()
				f.send(wire(c.in))
				if !c.ends {
					f.message(r, "after")
					return
				}
				if err := <-r.err; !errors.Is(err, transport.ErrRefused) {
					t.Errorf("Recv = %v, want ErrRefused", err)
				}
			})
		})
	}
}

// TestClientReceiptRefused: an ERROR about one confirmed message is about that
// one alone, where the broker goes on.
func TestClientReceiptRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newSession(t, "1.2", nil, active)
		r := f.receive()
		by, _ := transport.As[transport.Confirmer](f.conn())
		done := make(chan error, 1)
		if err := by.SendConfirmed(t.Context(), &transport.Message{To: "/queue/x"}, func(err error) { done <- err }); err != nil {
			t.Fatal(err)
		}
		id := one(t, f.taken(), "SEND").Header.Get("receipt")
		f.send(wire("ERROR\nreceipt-id:" + id + "\nmessage:no\n\n^@"))
		if err := <-done; !errors.Is(err, transport.ErrRefused) || !transport.NotSent(err) {
			t.Errorf("done(%v), want ErrRefused, not sent", err)
		}
		f.send(wire("MESSAGE\nsubscription:s\ndestination:d\nmessage-id:1\n\n^@"))
		if r.next() == nil {
			t.Error("nothing was received after the ERROR, want the connection to go on")
		}
	})
}

// TestClientRefusalsAreToldApart: only where errors do not end the connection
// does SUBSCRIBE need a receipt.
func TestClientRefusalsAreToldApart(t *testing.T) {
	for server, want := range map[string]bool{active: true, rabbit3: false, "": false} {
		synctest.Test(t, func(t *testing.T) {
			f := newSession(t, "1.2", nil, server)
			got := f.subscribeTo(transport.Subscription{Destination: "d"})
			if strings.Contains(got, "receipt:subscribe-s\n") != want {
				t.Errorf("%q got SUBSCRIBE with\n%s\nwant a receipt: %v", server, got, want)
			}
			f.send(wire("RECEIPT\nreceipt-id:subscribe-s\n\n^@MESSAGE\nsubscription:s\ndestination:d\nmessage-id:1\n\n^@"))
			if f.receive().next() == nil {
				t.Error("nothing was received after the receipt")
			}
		})
	}
}

// TestClientFrameLimitOfRabbitMQ: version 4 cuts the connection at a frame over
// 4 MiB, so none is sent unless somebody has raised the limits.
func TestClientFrameLimitOfRabbitMQ(t *testing.T) {
	for _, c := range []struct {
		name, server string
		limit        int
		size         int
		sent         bool
	}{
		{"4.0, a body that fits but for its frame", rabbit4, 0, 4 << 20, false},
		{"4.0, smaller", rabbit4, 0, 4<<20 - 1024, true},
		{"4.0, limits raised", rabbit4, 8 << 20, 5 << 20, true},
		{"3.10", rabbit3, 0, 4 << 20, true},
		{"no version", "server:RabbitMQ\n", 0, 4 << 20, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &transport.DialOptions{Options: transport.Options{SendBuffer: 16 << 20, Limits: transport.Limits{Message: c.limit}}}
				f := newSession(t, "1.2", o, c.server)
				err := f.conn().Send(t.Context(), &transport.Message{Body: make([]byte, c.size)})
				switch {
				case c.sent && err != nil:
					t.Errorf("Send = %v, want nil", err)
				case !c.sent && (!errors.Is(err, transport.ErrTooLarge) || !transport.NotSent(err)):
					t.Errorf("Send = %v, want ErrTooLarge, not sent", err)
				}
				if err := f.conn().Send(t.Context(), &transport.Message{Body: []byte("x")}); err != nil {
					t.Errorf("the next Send = %v, want nil", err)
				}
			})
		})
	}
}

// TestClientFieldLimitOfRabbitMQ: version 4 ends the connection over what AMQP
// 0-9-1 cannot say, so it is not sent.
func TestClientFieldLimitOfRabbitMQ(t *testing.T) {
	const most = 255
	for name, message := range map[string]func(text string) *transport.Message{
		"correlation id": func(s string) *transport.Message { return &transport.Message{CorrelationID: transport.TextID(s)} },
		"id":             func(s string) *transport.Message { return &transport.Message{ID: transport.TextID(s)} },
		"content type":   func(s string) *transport.Message { return &transport.Message{ContentType: s} },
		"reply to":       func(s string) *transport.Message { return &transport.Message{ReplyTo: s} },
		"app id": func(s string) *transport.Message {
			return &transport.Message{Headers: []transport.Header{{Name: "app-id", Value: s}}}
		},
		"header name": func(s string) *transport.Message {
			return &transport.Message{Headers: []transport.Header{{Name: s, Value: "x"}}}
		},
	} {
		for _, c := range []struct {
			server string
			length int
			sent   bool
		}{{rabbit4, most + 1, false}, {rabbit4, most, true}, {rabbit3, most + 1, true}, {active, most + 1, true}} {
			t.Run(name+" "+c.server, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newSession(t, "1.2", nil, c.server)
					err := f.conn().Send(t.Context(), message(strings.Repeat("x", c.length)))
					switch {
					case c.sent && err != nil:
						t.Errorf("Send of %d bytes = %v, want nil", c.length, err)
					case !c.sent && (!errors.Is(err, transport.ErrInvalid) || !transport.NotSent(err)):
						t.Errorf("Send of %d bytes = %v, want ErrInvalid, not sent", c.length, err)
					}
				})
			})
		}
	}
}

// TestClientReplyAddressOfAnEarlierConnection: a request may name an address
// that was asked of the connection before a reconnect.
func TestClientReplyAddressOfAnEarlierConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newSession(t, "1.2", nil, active)
		if err := f.conn().Send(t.Context(), &transport.Message{To: "/queue/calc", ReplyTo: "/temp-queue/rpc"}); err != nil {
			t.Fatal(err)
		}
		all, _ := frames(t, f.taken())
		if len(all) != 2 || all[0].Command != "SUBSCRIBE" || all[1].Command != "SEND" {
			t.Errorf("sent %d frames, want SUBSCRIBE before SEND", len(all))
		}
	})
}
