package stomp_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport"
)

func TestClientSendConfirmed(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		f := newSession(t, version, nil, "")
		f.receive()
		c, _ := transport.As[transport.Confirmer](f.conn())
		var l ledger
		for _, name := range []string{"a", "b", "c"} { // pipelined
			if err := c.SendConfirmed(t.Context(), &transport.Message{Body: []byte(name)}, l.done(name)); err != nil {
				t.Fatal(err)
			}
		}
		all, _ := frames(t, f.taken())
		if len(all) != 3 {
			t.Fatalf("the server got %d frames, want 3", len(all))
		}
		receipt := func(i int) string {
			return "RECEIPT\nreceipt-id:" + all[i].Header.Get("receipt") + "\n\n^@"
		}
		f.expect(receipt(1), "")
		if got := l.taken(); got != "b" {
			t.Errorf("told of %q, want b", got)
		}
		f.expect(receipt(1)+"RECEIPT\nreceipt-id:unknown\n\n^@RECEIPT\n\n^@", "")
		if got := l.taken(); got != "" {
			t.Errorf("receipts of nothing told of %q", got)
		}
		f.expect(receipt(0), "")
		if got := l.taken(); got != "a" {
			t.Errorf("told of %q, want a", got)
		}
		_ = f.nc.Close()
		if got := l.taken(); got != "c failed" {
			t.Errorf("told of %q, want c failed", got)
		}
	})
}

// TestClientErrorNamesReceipt: the message that the server refused is known
// not to be taken; of the others nobody knows.
func TestClientErrorNamesReceipt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newSession(t, "1.2", nil, "")
		r := f.receive()
		c, _ := transport.As[transport.Confirmer](f.conn())
		told := make([]error, 2)
		for i := range told {
			if err := c.SendConfirmed(t.Context(), new(transport.Message), func(err error) { told[i] = err }); err != nil {
				t.Fatal(err)
			}
		}
		all, _ := frames(t, f.taken())
		f.say("ERROR\nmessage:queue full\nreceipt-id:" + all[0].Header.Get("receipt") + "\n\n^@")
		if err := <-r.err; !errors.Is(err, transport.ErrRefused) {
			t.Errorf("Recv = %v, want ErrRefused", err)
		}
		if !errors.Is(told[0], transport.ErrRefused) || !transport.NotSent(told[0]) || !strings.Contains(fmt.Sprint(told[0]), "queue full") {
			t.Errorf("the one refused was told %v, want ErrRefused, not sent", told[0])
		}
		if told[1] == nil || transport.NotSent(told[1]) {
			t.Errorf("the other one was told %v, want an error that says maybe sent", told[1])
		}
	})
}

func TestClientConfirmLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &transport.DialOptions{}
		o.Limits.Unsettled = 2
		f := newSession(t, "1.2", o, "")
		f.receive()
		c, _ := transport.As[transport.Confirmer](f.conn())
		var l ledger
		for range 2 {
			if err := c.SendConfirmed(t.Context(), new(transport.Message), l.done("m")); err != nil {
				t.Fatal(err)
			}
		}
		all, _ := frames(t, f.taken())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.SendConfirmed(ctx, new(transport.Message), l.done("x")); !errors.Is(err, transport.ErrBusy) || !transport.NotSent(err) {
			t.Errorf("SendConfirmed over the limit = %v, want ErrBusy, not sent", err)
		}
		if err := f.conn().Send(t.Context(), new(transport.Message)); err != nil {
			t.Errorf("Send meanwhile = %v", err)
		}
		f.taken()
		sent := make(chan error)
		go func() { sent <- c.SendConfirmed(t.Context(), new(transport.Message), l.done("late")) }()
		f.send(wire("RECEIPT\nreceipt-id:" + all[0].Header.Get("receipt") + "\n\n^@"))
		if err := <-sent; err != nil {
			t.Errorf("SendConfirmed after a RECEIPT = %v", err)
		}
		if got := l.taken(); got != "m" {
			t.Errorf("told of %q, want m", got)
		}
	})
}

func TestClientSubscribe(t *testing.T) {
	for _, c := range []struct {
		name string
		s    transport.Subscription
		want string
	}{
		{"the least", transport.Subscription{Destination: "d"}, "id:1\ndestination:d\nack:auto\n"},
		{"each", transport.Subscription{ID: "s", Destination: "d", Ack: transport.AckEach}, "id:s\ndestination:d\nack:client-individual\nprefetch-count:1024\nactivemq.prefetchSize:1024\n"},
		{"up to", transport.Subscription{ID: "s", Destination: "d", Ack: transport.AckUpTo, Credit: 7}, "id:s\ndestination:d\nack:client\nprefetch-count:7\nactivemq.prefetchSize:7\n"},
		{"further headers", transport.Subscription{ID: "s", Destination: "d", Headers: []transport.Header{{Name: "durable", Value: "true"}}}, "id:s\ndestination:d\nack:auto\ndurable:true\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, version string) {
				f := newSession(t, version, nil, "")
				s, _ := transport.As[transport.Subscriber](f.conn())
				id, err := s.Subscribe(t.Context(), c.s)
				if err != nil {
					t.Fatal(err)
				}
				got := one(t, f.taken(), "SUBSCRIBE")
				if headers(got) != c.want+"content-length:0\n" || got.Header.Get("id") != id {
					t.Errorf("Subscribe = %q and\n%s\nwant\n%s", id, headers(got), c.want)
				}
				if err := s.Unsubscribe(t.Context(), id); err != nil {
					t.Fatal(err)
				}
				got = one(t, f.taken(), "UNSUBSCRIBE")
				if got.Header.Get("id") != id || got.Header.Get("destination") != "d" {
					t.Errorf("Unsubscribe sent\n%s\nwant id and destination", headers(got))
				}
			})
		})
	}
}

func TestClientSubscribeRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &transport.DialOptions{}
		o.Limits.Subscriptions = 2
		f := newSession(t, "1.2", o, "")
		s, _ := transport.As[transport.Subscriber](f.conn())
		subscribe := func(sub transport.Subscription) error {
			_, err := s.Subscribe(t.Context(), sub)
			return err
		}
		if err := subscribe(transport.Subscription{ID: "a", Destination: "d"}); err != nil {
			t.Fatal(err)
		}
		f.taken()
		for _, c := range []struct {
			name string
			err  error
			kind error
		}{
			{"repeated id", subscribe(transport.Subscription{ID: "a", Destination: "e"}), transport.ErrInvalid},
			{"unknown mode", subscribe(transport.Subscription{ID: "b", Destination: "d", Ack: 9}), transport.ErrInvalid},
			{"NUL in the destination", subscribe(transport.Subscription{ID: "b", Destination: "\x00"}), transport.ErrInvalid},
			{"NUL in a header's name", subscribe(transport.Subscription{ID: "b", Headers: []transport.Header{{Name: "\x00"}}}), transport.ErrInvalid},
			{"unknown id", s.Unsubscribe(t.Context(), "zzz"), transport.ErrInvalid},
		} {
			if !errors.Is(c.err, c.kind) || !transport.NotSent(c.err) {
				t.Errorf("%s: err = %v, want a %v, not sent", c.name, c.err, c.kind)
			}
		}
		if got := f.taken(); got != "" {
			t.Errorf("the server got\n%s\nwant nothing", printable(got))
		}
		if err := subscribe(transport.Subscription{ID: "b", Destination: "d"}); err != nil {
			t.Errorf("Subscribe after refusals = %v", err)
		}
		if err := subscribe(transport.Subscription{ID: "c", Destination: "d"}); !errors.Is(err, transport.ErrTooLarge) {
			t.Errorf("Subscribe over the limit = %v, want ErrTooLarge", err)
		}
	})
}

func TestClientReplyAddress(t *testing.T) {
	for _, c := range []struct {
		server     string
		subscribes bool
	}{
		{"polyport", true},
		{"", true},
		{"ActiveMQ/5.17.2", true},
		{"RabbitMQ/3.10.8", false},
		{"RabbitMQ/4.0.5", false},
	} {
		t.Run(c.server, func(t *testing.T) {
			bubble(t, func(t *testing.T, version string) {
				f := newSession(t, version, nil, "server:"+c.server+"\n")
				a, _ := transport.As[transport.ReplyAddresser](f.conn())
				addr, err := a.ReplyAddress(t.Context())
				if err != nil || !strings.HasPrefix(addr, "/temp-queue/") {
					t.Fatalf("ReplyAddress = %q, %v, want a temporary queue", addr, err)
				}
				got := f.taken()
				if !c.subscribes && got != "" {
					t.Errorf("RabbitMQ got\n%s\nwant nothing: it refuses SUBSCRIBE for temporary queues", printable(got))
				}
				if c.subscribes {
					if to := one(t, got, "SUBSCRIBE").Header.Get("destination"); to != addr {
						t.Errorf("SUBSCRIBE of %q, want %q", to, addr)
					}
				}
				if again, err := a.ReplyAddress(t.Context()); again != addr || err != nil {
					t.Errorf("ReplyAddress again = %q, %v, want %q", again, err, addr)
				}
				f.expect("", "")
			})
		})
	}
}

// TestClientReplyAddressID: no id that a user chooses collides with ours.
func TestClientReplyAddressID(t *testing.T) {
	for _, replyFirst := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			f := newSession(t, "1.2", nil, "")
			a, _ := transport.As[transport.ReplyAddresser](f.conn())
			s, _ := transport.As[transport.Subscriber](f.conn())
			reply := func() {
				if _, err := a.ReplyAddress(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if replyFirst {
				reply()
			}
			seen := map[string]int{}
			for _, id := range []string{"rpc", "1", "2", "3", "/temp-queue/rpc", "", ""} {
				if id, err := s.Subscribe(t.Context(), transport.Subscription{ID: id, Destination: "d"}); err != nil && !errors.Is(err, transport.ErrInvalid) {
					t.Fatalf("Subscribe(%q) = %v", id, err)
				}
			}
			if !replyFirst {
				reply()
			}
			all, _ := frames(t, f.taken())
			for _, sub := range all {
				seen[sub.Header.Get("id")]++
			}
			for id, n := range seen {
				if n > 1 || id == "" {
					t.Errorf("the id %q was used %d times", id, n)
				}
			}
		})
	}
}
