package stomp_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
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

// acking is a client's session with one subscription "s" of an ack mode.
func acking(t *testing.T, version string, mode transport.AckMode, l transport.Limits) (*fakeServer, *receiving) {
	t.Helper()
	o := &transport.DialOptions{}
	o.Limits = l
	f := newSession(t, version, o, "")
	s, _ := transport.As[transport.Subscriber](f.conn())
	if _, err := s.Subscribe(t.Context(), transport.Subscription{ID: "s", Destination: "d", Ack: mode}); err != nil {
		t.Fatal(err)
	}
	one(t, f.taken(), "SUBSCRIBE")
	r := f.receive()
	return f, r
}

// message has the fake server deliver by the subscription "s".
func (f *fakeServer) message(r *receiving, id string) *transport.Message {
	f.t.Helper()
	f.send(wire("MESSAGE\nsubscription:s\ndestination:d\nmessage-id:" + id + "\nack:ack-" + id + "\n\n^@"))
	m := r.next()
	if m == nil {
		f.t.Fatalf("the message %s was not received", id)
	}
	return m
}

func TestClientAckFrames(t *testing.T) {
	want := map[string]string{
		"1.0": "%s\nmessage-id:m\nsubscription:s\ncontent-length:0\n\n^@",
		"1.1": "%s\nmessage-id:m\nsubscription:s\ncontent-length:0\n\n^@",
		"1.2": "%s\nid:ack-m\ncontent-length:0\n\n^@",
	}
	for _, c := range []struct {
		outcome transport.Outcome
		command string
	}{
		{transport.Accepted, "ACK"}, {transport.Released, "NACK"}, {transport.Failed, "NACK"}, {transport.Rejected("bad"), "NACK"},
	} {
		t.Run(c.outcome.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, version string) {
				f, r := acking(t, version, transport.AckEach, transport.Limits{})
				m := f.message(r, "m")
				err := m.Settle(c.outcome)
				if version == "1.0" && c.command == "NACK" {
					if !errors.Is(err, transport.ErrUnsupported) {
						t.Errorf("Settle(%v) = %v, want ErrUnsupported: 1.0 has no NACK", c.outcome, err)
					}
					f.expect("", "")
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				f.expect("", fmt.Sprintf(want[version], c.command))
				if err := m.Settle(c.outcome); err != nil {
					t.Errorf("second Settle = %v, want nil", err)
				}
				f.expect("", "")
			})
		})
	}
}

// TestClientAckFallsBackToMessageID: a server of 1.2 without ack headers is met
// half way.
func TestClientAckFallsBackToMessageID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, r := acking(t, "1.2", transport.AckEach, transport.Limits{})
		f.send(wire("MESSAGE\nsubscription:s\nmessage-id:m\n\n^@"))
		_ = r.next().Settle(transport.Accepted)
		f.expect("", "ACK\nid:m\ncontent-length:0\n\n^@")
	})
}

func TestClientAckNone(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		f, r := acking(t, version, transport.AckNone, transport.Limits{Unsettled: 2})
		for i := range 10 {
			if err := f.message(r, strconv.Itoa(i)).Settle(transport.Accepted); err != nil {
				t.Fatal(err)
			}
		}
		f.expect("", "")
	})
}

// TestClientAckUpTo: one ACK settles all before it; they are forgotten and not
// acknowledged again.
func TestClientAckUpTo(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		f, r := acking(t, version, transport.AckUpTo, transport.Limits{Unsettled: 10})
		for round := range 20 {
			var batch []*transport.Message
			for i := range 10 {
				batch = append(batch, f.message(r, fmt.Sprintf("%d-%d", round, i)))
			}
			for _, i := range []int{3, 9, 0, 3, 5} {
				if err := batch[i].Settle(transport.Accepted); err != nil {
					t.Fatal(err)
				}
			}
			all, _ := frames(t, f.taken())
			var ids []string
			for _, a := range all {
				ids = append(ids, a.Command+" "+a.Header.Get("id")+a.Header.Get("message-id"))
			}
			prefix := map[bool]string{true: "ack-"}[version == "1.2"]
			want := fmt.Sprintf("[ACK %s%d-3 ACK %[1]s%[2]d-9]", prefix, round)
			if got := fmt.Sprint(ids); got != want {
				t.Fatalf("acknowledged %s, want %s", got, want)
			}
		}
	})
}

// TestClientUnsettledLimit: a server that ignores the credit it was given.
func TestClientUnsettledLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, r := acking(t, "1.2", transport.AckEach, transport.Limits{Unsettled: 2})
		f.message(r, "a")
		f.message(r, "b")
		f.send(wire("MESSAGE\nsubscription:s\nmessage-id:c\n\n^@"))
		if err := <-r.err; !errors.Is(err, transport.ErrProtocol) || !strings.Contains(err.Error(), "acknowledg") {
			t.Errorf("Recv = %v, want an ErrProtocol about acknowledgement", err)
		}
	})
}

// TestClientMessageWithoutID: there is nothing that an ACK could name, and one
// with an empty id would end the session.
func TestClientMessageWithoutID(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		f, r := acking(t, version, transport.AckEach, transport.Limits{})
		f.send(wire("MESSAGE\nsubscription:s\ndestination:d\n\nhi^@"))
		m := r.next()
		if m == nil || string(m.Body) != "hi" {
			t.Fatalf("received %v, want hi", m)
		}
		_ = m.Settle(transport.Accepted)
		f.expect("", "")
	})
}

func TestClientForgetsUnsubscribed(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		f, r := acking(t, version, transport.AckEach, transport.Limits{})
		m := f.message(r, "a")
		s, _ := transport.As[transport.Subscriber](f.conn())
		if err := s.Unsubscribe(t.Context(), "s"); err != nil {
			t.Fatal(err)
		}
		one(t, f.taken(), "UNSUBSCRIBE")
		_ = m.Settle(transport.Accepted)
		f.expect("", "")
		f.message(r, "late") // was under way; nobody needs to acknowledge it
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
