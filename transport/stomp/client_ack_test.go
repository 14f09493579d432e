package stomp_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/polyport/polyport/transport"
)

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
