package zmq_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/polyport/polyport/transport"
)

// TestSubscriptions: what a peer wants after what it has said.
func TestSubscriptions(t *testing.T) {
	sub := func(prefix string) []byte { return last("\x01" + prefix) }
	unsub := func(prefix string) []byte { return last("\x00" + prefix) }
	subscribe := func(prefix string) []byte { return command("SUBSCRIBE", prefix) }
	cancel := func(prefix string) []byte { return command("CANCEL", prefix) }
	for _, c := range []struct {
		name        string
		say         [][]byte
		wants, lets string // topics, by blanks
	}{
		{"nothing", nil, "", "a ab"},
		{"a prefix", [][]byte{sub("a")}, "a ab a.b", "b A"},
		{"everything", [][]byte{sub("")}, "a b", ""},
		{"two", [][]byte{sub("a"), sub("b")}, "a b bc", "c"},
		{"one of two undone", [][]byte{sub("a"), sub("b"), unsub("a")}, "b", "a"},
		{"a narrower one undone", [][]byte{sub("a"), sub("ab"), unsub("ab")}, "a ab", "b"},
		{"twice, undone once", [][]byte{sub("a"), sub("a"), unsub("a")}, "a", "b"},
		{"twice, undone twice", [][]byte{sub("a"), sub("a"), unsub("a"), unsub("a")}, "", "a"},
		{"undone before", [][]byte{unsub("a"), sub("a")}, "a", "b"},
		{"commands", [][]byte{subscribe("a"), subscribe("b"), cancel("b")}, "a ab", "b"},
		{"a command for everything", [][]byte{subscribe("")}, "a b", ""},
		{"command, undone by message", [][]byte{subscribe("a"), unsub("a")}, "", "a"},
		{"message, undone by command", [][]byte{sub("a"), cancel("a")}, "", "a"},
		{"many prefixes", [][]byte{sub("a"), sub("b"), sub("c"), sub("d"), sub("e")}, "a cx e", "f"},
		{"a long prefix", [][]byte{sub(strings.Repeat("x", 300))}, strings.Repeat("x", 301), "x"},
		{"11 messages that are no subscriptions", [][]byte{bytes.Repeat(last("hello"), 11), sub("a")}, "a", "b h"},
		{"1100 messages that are no subscriptions", [][]byte{bytes.Repeat(last("hello"), 1100), sub("a")}, "a", "b h"},
		{"1100 empty messages", [][]byte{bytes.Repeat(last(""), 1100), sub("a")}, "a", "b"},
		{"1100 messages of two frames", [][]byte{bytes.Repeat(join(more("\x01b"), last("\x01b")), 1100), sub("a")}, "a", "b"},
		{"subscribed and undone 5000 times", [][]byte{bytes.Repeat(join(sub("b"), unsub("b")), 5000), sub("a")}, "a", "b"},
		{"undone 5000 times", [][]byte{bytes.Repeat(unsub("b"), 5000), sub("a")}, "a", "b"},
	} {
		for _, socket := range []string{"SUB", "XSUB"} {
			bubble(t, c.name+" "+socket, func(t *testing.T) {
				e := serving(t, nil, null, ready(socket))
				conn := e.open()
				in := receive(conn)
				e.send(c.say...)
				synctest.Wait()
				if err := in.ended(); err != nil || in.next() != nil || !conn.Info().Feed {
					t.Errorf("Recv = %v, want nothing, of a feed", err)
				}
				a, _ := transport.As[transport.Audience](conn)
				for topic := range strings.FieldsSeq(c.wants) {
					if !a.Wants(topic) {
						t.Errorf("Wants(%.20q) = false, want true", topic)
					}
					if err := a.Publish(t.Context(), &transport.Message{To: topic, Subject: "lost", Body: []byte("x")}); err != nil {
						t.Errorf("Publish(%.20q) = %v", topic, err)
					}
					e.expect("the event "+topic, more(topic), last("x"))
				}
				for topic := range strings.FieldsSeq(c.lets) {
					if a.Wants(topic) {
						t.Errorf("Wants(%.20q) = true, want false", topic)
					}
					checkErr(t, "Publish", a.Publish(t.Context(), &transport.Message{To: topic}), transport.ErrNoRoute)
					e.expect("no event " + topic)
				}
			})
		}
	}
}

// TestSubscriptionLimits: more than allowed ends the connection.
func TestSubscriptionLimits(t *testing.T) {
	var many, long []byte
	for i := range 1025 {
		many = append(many, last(fmt.Sprintf("\x01%d", i))...)
		long = append(long, last(fmt.Sprintf("\x01%0100d", i))...)
	}
	for _, c := range []struct {
		name string
		say  []byte
	}{
		{"different", many},
		{"the same", bytes.Repeat(last("\x01a"), 1025)},
		{"by command", bytes.Repeat(command("SUBSCRIBE", "a"), 1025)},
		{"of many bytes", long},
		{"of a topic over the limit", last("\x01" + strings.Repeat("x", 64<<10+1))},
	} {
		bubble(t, c.name, func(t *testing.T) {
			e := serving(t, nil, null, ready("SUB"))
			conn := e.open()
			in := receive(conn)
			e.send(c.say)
			if err := in.ended(); !errors.Is(err, transport.ErrTooLarge) || !e.over() {
				t.Errorf("Recv = %v, want ErrTooLarge and the end of the connection", err)
			}
			if a, _ := transport.As[transport.Audience](conn); a.Wants("a") {
				t.Error("Wants = true after the end")
			}
		})
	}
	bubble(t, "as many as allowed", func(t *testing.T) {
		e := serving(t, nil, null, ready("SUB"))
		in := receive(e.open())
		e.send(bytes.Repeat(last("\x01a"), 1024))
		if err := in.ended(); err != nil {
			t.Errorf("Recv = %v, want a connection that lasts", err)
		}
	})
}

// TestPublishedProperties: a SUB of ours gets the properties between the topic
// and the body, and takes no topic for properties.
func TestPublishedProperties(t *testing.T) {
	bubble(t, "to one of ours", func(t *testing.T) {
		e := serving(t, nil, null, readyAs("SUB", oursAsClient))
		conn := e.open()
		receive(conn)
		e.send(last("\x01a"))
		synctest.Wait()
		if err := conn.Send(t.Context(), &transport.Message{To: "ab", ContentType: "text/plain", Body: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		e.expect("event", more("ab"), more(magic+property("content-type", "text/plain")), last("x"))
	})
	bubble(t, "a topic that looks like properties", func(t *testing.T) {
		e := dialing(t, "zmq://h?socket=sub", nil, null, readyAs("PUB", oursAsServer))
		in := receive(e.open())
		e.send(more(magic+"?"), last("x"))
		if m := in.next(); m == nil || m.To != magic+"?" || string(m.Body) != "x" {
			t.Errorf("Recv = %+v, %v, want the event", m, in.ended())
		}
	})
}

// TestSubscriber: what a SUB says and makes of what it gets.
func TestSubscriber(t *testing.T) {
	for _, c := range []struct {
		name    string
		opening []byte
	}{{"PUB", ready("PUB")}, {"XPUB", ready("XPUB")}, {"PUB of ours", readyAs("PUB", oursAsServer)}} {
		bubble(t, c.name, func(t *testing.T) {
			e := dialing(t, "zmq://h?socket=sub", nil, null, c.opening)
			conn := e.open()
			in := receive(conn)
			s, _ := transport.As[transport.Subscriber](conn)
			first, err := s.Subscribe(t.Context(), transport.Subscription{Destination: "a"})
			if err != nil {
				t.Fatal(err)
			}
			e.expect("Subscribe", last("\x01a"))
			if _, err := s.Subscribe(t.Context(), transport.Subscription{ID: "all"}); err != nil {
				t.Fatal(err)
			}
			e.expect("Subscribe to all", last("\x01"))
			for topic, id := range map[string]string{"ab": first, "b": "all"} {
				e.send(more(topic), last("x"))
				if m := in.next(); m == nil || m.To != topic || m.Subject != topic || m.Subscription != id || string(m.Body) != "x" {
					t.Errorf("Recv = %+v, %v, want the event %s by %s", m, in.ended(), topic, id)
				}
			}
			if err := s.Unsubscribe(t.Context(), first); err != nil {
				t.Fatal(err)
			}
			e.expect("Unsubscribe", last("\x00a"))
			checkErr(t, "Unsubscribe again", s.Unsubscribe(t.Context(), first), transport.ErrInvalid)
			checkErr(t, "Subscribe by an ID again", subscribeErr(t, s, transport.Subscription{ID: "all"}), transport.ErrInvalid)
			checkErr(t, "Subscribe with Ack", subscribeErr(t, s, transport.Subscription{Ack: transport.AckEach}), transport.ErrUnsupported)
			checkErr(t, "Send", conn.Send(t.Context(), &transport.Message{}), transport.ErrUnsupported)
			e.expect("nothing more")
		})
	}
}

func subscribeErr(t *testing.T, s transport.Subscriber, to transport.Subscription) error {
	t.Helper()
	_, err := s.Subscribe(t.Context(), to)
	return err
}
