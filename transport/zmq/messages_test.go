package zmq_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/transport"
)

const question = `{"jsonrpc":"2.0","id":1,"method":"Math.Sum","params":[1,2,3]}`

// more is a frame that is not the last.
func more(body string) []byte { return frame(1, body) }

// last is the last frame of a message.
func last(body string) []byte { return frame(0, body) }

// TestServerAnswers: what comes before a message comes before its answer.
func TestServerAnswers(t *testing.T) {
	long := strings.Repeat("i", 300)
	all := make([][]byte, 0, 129)
	for range 128 {
		all = append(all, more("x"))
	}
	for _, c := range []struct {
		name, socket string
		say          [][]byte
		body         string
		answer       [][]byte // nil: as it was said
	}{
		{"one frame", "DEALER", [][]byte{last(question)}, question, nil},
		{"an empty frame first", "DEALER", [][]byte{more(""), last(question)}, question, nil},
		{"an envelope", "DEALER", [][]byte{more("\x00id"), more(""), last(question)}, question, nil},
		{"an envelope of two hops", "DEALER", [][]byte{more("\x00a"), more("\x00b"), more(""), last(question)}, question, nil},
		{"an envelope in an envelope", "DEALER", [][]byte{more("a"), more(""), more("b"), more(""), last(question)}, question, nil},
		{"an envelope without an empty frame", "DEALER", [][]byte{more("\x00id"), last(question)}, question, nil},
		{"an envelope of empty frames", "DEALER", [][]byte{more(""), more(""), last(question)}, question, nil},
		{"an envelope of many frames", "DEALER", append(all, last(question)), question, nil},
		{"an envelope with a long frame", "DEALER", [][]byte{more(long), more(""), last(question)}, question, nil},
		{"an envelope that looks like properties", "DEALER", [][]byte{more(magic + "\x02to\x00\x00\x00\x07nowhere"), last(question)}, question, nil},
		{"an empty body", "DEALER", [][]byte{last("")}, "", nil},
		{"an empty body after an empty frame", "DEALER", [][]byte{more(""), last("")}, "", nil},
		{"a body of 255 bytes", "DEALER", [][]byte{last(long[:255])}, long[:255], nil},
		{"a body of 256 bytes", "DEALER", [][]byte{last(long[:256])}, long[:256], nil},
		{"a short frame with a long head", "DEALER", [][]byte{lying(0, 2), []byte("ab")}, "ab", [][]byte{last("ab")}},
		{"REQ", "REQ", [][]byte{more(""), last(question)}, question, nil},
		{"REQ behind a device", "REQ", [][]byte{more("\x00id"), more(""), last(question)}, question, nil},
		{"REQ without an empty frame", "REQ", [][]byte{last(question)}, question, [][]byte{more(""), last(question)}},
	} {
		bubble(t, c.name, func(t *testing.T) {
			e := serving(t, nil, null, ready(c.socket))
			conn := e.open()
			e.send(c.say...)
			m, err := conn.Recv(t.Context())
			if err != nil || m.To != "rpc" || string(m.Body) != c.body {
				t.Fatalf("Recv = %+v, %v, want the body %.40q to rpc", m, err, c.body)
			}
			if err := conn.Send(t.Context(), answerTo(m)); err != nil {
				t.Fatalf("Send = %v", err)
			}
			if c.answer == nil {
				c.answer = c.say
			}
			e.expect("answer", c.answer...)
			if conn.Info().Headers || conn.Info().Lockstep != (c.socket == "REQ") {
				t.Errorf("Info = %+v, want no headers, and lock-step for REQ alone", conn.Info())
			}
		})
	}
}

// TestFullMessage: all fields go to a peer that has said X-Polyport, and come
// from it; to another one and from it goes the body.
func TestFullMessage(t *testing.T) {
	full := func() *transport.Message {
		return &transport.Message{
			ReplyTo: "reply", Subject: "subject", ContentType: "text/plain", ID: transport.NumberID(7),
			CorrelationID: transport.TextID("c"), Expires: time.Unix(1, 2).UTC(), Durable: true,
			Headers: []transport.Header{{Name: "a", Value: "1"}, {Name: "a", Value: ""}}, Body: []byte("body"),
		}
	}
	properties := magic + property("content-type", "text/plain") + property("correlation-id", "tc") + property("id", "n7") +
		property("reply-to", "reply") + property("subject", "subject") + property("expires", "\x02\x02") + property("durable", "") +
		property("X-a", "1") + property("X-a", "")
	for _, c := range []struct {
		name string
		open func(t *testing.T) *end
		ours bool
		to   string
	}{
		{"client of a server of ours", func(t *testing.T) *end { return dialing(t, "zmq://h", nil, null, readyAs("ROUTER", oursAsServer)) }, true, ""},
		{"server of a client of ours", func(t *testing.T) *end { return serving(t, nil, null, readyAs("DEALER", oursAsClient)) }, true, "rpc"},
		{"client of a DEALER", func(t *testing.T) *end { return dialing(t, "zmq://h", nil, null, ready("DEALER")) }, false, ""},
		{"server of a DEALER", func(t *testing.T) *end { return serving(t, nil, null, ready("DEALER")) }, false, "rpc"},
	} {
		bubble(t, c.name, func(t *testing.T) {
			e := c.open(t)
			conn := e.open()
			if err := conn.Send(t.Context(), full()); err != nil {
				t.Fatal(err)
			}
			sent, want := [][]byte{last("body")}, &transport.Message{Body: []byte("body")}
			if c.ours {
				sent, want = [][]byte{more(properties), last("body")}, full()
			}
			want.To = c.to
			e.expect("Send", sent...)
			e.send(more(properties), last("body"))
			got, err := conn.Recv(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !c.ours {
				want.ReplyTo = got.ReplyTo // an envelope
			}
			if diff := cmp.Diff(want, got, equalMessages); diff != "" {
				t.Errorf("Recv (-want +got):\n%s", diff)
			}
			if got := conn.Info().Headers; got != c.ours {
				t.Errorf("Info().Headers = %v, want %v", got, c.ours)
			}
		})
	}
}

// equalMessages compares what a message says.
var equalMessages = cmp.Comparer(func(a, b *transport.Message) bool {
	return a.To == b.To && a.ReplyTo == b.ReplyTo && a.Subject == b.Subject && a.ContentType == b.ContentType &&
		a.ID == b.ID && a.CorrelationID == b.CorrelationID && a.Expires.Equal(b.Expires) && a.Durable == b.Durable &&
		cmp.Equal(a.Headers, b.Headers) && bytes.Equal(a.Body, b.Body) && a.Subscription == b.Subscription
})

// TestPropertiesAndEnvelope: a message of ours through a device.
func TestPropertiesAndEnvelope(t *testing.T) {
	bubble(t, "server", func(t *testing.T) {
		e := serving(t, nil, null, readyAs("DEALER", oursAsClient))
		echo(e.open())
		e.send(more("\x00id"), more(""), more(magic+property("id", "tq")), last("body"))
		e.expect("answer", more("\x00id"), more(""), more(magic+property("correlation-id", "tq")), last("body"))
		e.send(more("\x00id"), more(""), last("body"))
		e.expect("answer without properties", more("\x00id"), more(""), last("body"))
	})
}

// TestPropertiesRefused: frames of properties of an end of ours that make no
// sense end the connection.
func TestPropertiesRefused(t *testing.T) {
	for _, c := range []struct {
		name, properties string
		want             error
	}{
		{"cut off in a name", "\x05ab", transport.ErrProtocol},
		{"cut off in a length", "\x02to\x00\x00", transport.ErrProtocol},
		{"cut off in a value", "\x02to\x00\x00\x00\x05rp", transport.ErrProtocol},
		{"a value of 4 GiB", "\x02to\xff\xff\xff\xffrpc", transport.ErrProtocol},
		{"a destination that there is not", property("to", "nowhere"), transport.ErrNoRoute},
		{"an envelope for a reply-to", property("reply-to", "\x00zmq:\x01\xff"), transport.ErrProtocol},
		{"an empty id", property("id", ""), transport.ErrProtocol},
		{"an id of no kind", property("id", "zzz"), transport.ErrProtocol},
		{"a number over 64 bits", property("id", "n18446744073709551616"), transport.ErrProtocol},
		{"a number of letters", property("correlation-id", "nx"), transport.ErrProtocol},
		{"a short UUID", property("id", "u123"), transport.ErrProtocol},
		{"a moment that is none", property("expires", "\x80"), transport.ErrProtocol},
		{"a moment with a second of nanoseconds", property("expires", "\x02\x80\x94\xeb\xdc\x03"), transport.ErrProtocol},
		{"too many headers", strings.Repeat(property("X-a", "b"), 129), transport.ErrTooLarge},
		{"too many properties", strings.Repeat(property("a", "b"), 200), transport.ErrTooLarge},
	} {
		bubble(t, c.name, func(t *testing.T) {
			e := serving(t, nil, null, readyAs("DEALER", oursAsClient))
			in := receive(e.open())
			e.send(more(magic+c.properties), last(question))
			if err := in.ended(); !errors.Is(err, c.want) {
				t.Errorf("Recv = %v, want %v", err, c.want)
			}
			if !e.over() {
				t.Error("the connection is still open")
			}
		})
	}
	bubble(t, "names that nobody knows", func(t *testing.T) {
		e := serving(t, nil, null, readyAs("DEALER", oursAsClient))
		in := receive(e.open())
		e.send(more(magic+property("shoe-size", "43")+property("X-", "x")), last(question))
		if m := in.next(); m == nil || string(m.Body) != question || len(m.Headers) > 0 {
			t.Errorf("Recv = %+v, %v, want the message alone", m, in.ended())
		}
	})
}

// TestClientSpeaksTo: what a client sends to the sockets that it may meet, and
// how it takes their answers.
func TestClientSpeaksTo(t *testing.T) {
	for _, c := range []struct {
		name, url string
		opening   []byte
		question  [][]byte
		answer    [][]byte // nil: as the question
	}{
		{"DEALER to REP", "zmq://h", ready("REP"), [][]byte{more(""), last(question)}, nil},
		{"DEALER to ROUTER", "zmq://h", ready("ROUTER"), [][]byte{more(""), last(question)}, nil},
		{"DEALER to DEALER", "zmq://h", ready("DEALER"), [][]byte{last(question)}, nil},
		{"DEALER to ROUTER that answers with one frame", "zmq://h", ready("ROUTER"), [][]byte{more(""), last(question)}, [][]byte{last(question)}},
		{"DEALER to ROUTER of ours", "zmq://h", readyAs("ROUTER", oursAsServer), [][]byte{last(question)}, nil},
		{"REQ to REP", "zmq://h?socket=req", ready("REP"), [][]byte{more(""), last(question)}, nil},
		{"REQ to ROUTER", "zmq://h?socket=req", ready("ROUTER"), [][]byte{more(""), last(question)}, nil},
		{"REQ to REP of ours", "zmq://h?socket=req", readyAs("REP", oursAsServer), [][]byte{more(""), last(question)}, nil},
		{"a path to REP", "zmq://h/other", ready("REP"), [][]byte{more(""), last(question)}, nil},
		{"names in other letters", "zmq://h", command("READY", property("SOCKET-type", "ROUTER")+property("X-Else", "?")), [][]byte{more(""), last(question)}, nil},
	} {
		bubble(t, c.name, func(t *testing.T) {
			e := dialing(t, c.url, nil, null, c.opening)
			conn := e.open()
			if err := conn.Send(t.Context(), &transport.Message{Body: []byte(question)}); err != nil {
				t.Fatal(err)
			}
			e.expect("question", c.question...)
			if c.answer == nil {
				c.answer = c.question
			}
			e.send(c.answer...)
			m, err := conn.Recv(t.Context())
			if err != nil || string(m.Body) != question || m.ReplyTo != "" {
				t.Errorf("Recv = %+v, %v, want the answer with no ReplyTo", m, err)
			}
		})
	}
}

// TestClientAnswers: a socket behind a device may ask a client of ours.
func TestClientAnswers(t *testing.T) {
	bubble(t, "envelope", func(t *testing.T) {
		e := dialing(t, "zmq://h", nil, null, ready("ROUTER"))
		echo(e.open())
		e.send(more("\x00id"), more(""), last(question))
		e.expect("answer", more("\x00id"), more(""), last(question))
	})
}

// TestDestinations: who serves several is told for which one a message is.
func TestDestinations(t *testing.T) {
	o := &transport.ListenOptions{Destinations: []string{"rpc", "other"}}
	for _, c := range []struct{ name, opening, to string }{
		{"none", "", "rpc"},
		{"the first", property("to", "rpc"), "rpc"},
		{"another", property("to", "other"), "other"},
	} {
		bubble(t, c.name, func(t *testing.T) {
			e := serving(t, o, null, readyAs("DEALER", oursAsClient))
			in := receive(e.open())
			e.send(more(magic+c.opening), last(question))
			if m := in.next(); m == nil || m.To != c.to {
				t.Errorf("Recv = %+v, want one to %s", m, c.to)
			}
		})
	}
	for _, c := range []struct {
		name, url, opening, to string
		want                   error
		sent                   [][]byte
	}{
		{"of the URL", "zmq://h/other", oursAsServer + "&destination=other", "", nil, [][]byte{more(magic + property("to", "other")), last("x")}},
		{"of the message", "zmq://h", oursAsServer + "&destination=other", "other", nil, [][]byte{more(magic + property("to", "other")), last("x")}},
		{"the peer's first", "zmq://h/other", "destination=other&" + oursAsServer, "", nil, [][]byte{last("x")}},
		{"not there", "zmq://h/nowhere", oursAsServer, "", transport.ErrNoRoute, nil},
		{"not there, of the message", "zmq://h", oursAsServer, "nowhere", transport.ErrNoRoute, nil},
	} {
		bubble(t, "client "+c.name, func(t *testing.T) {
			e := dialing(t, c.url, nil, null, readyAs("ROUTER", c.opening))
			err := e.open().Send(t.Context(), &transport.Message{To: c.to, Body: []byte("x")})
			if c.want != nil {
				checkErr(t, "Send", err, c.want)
			} else if err != nil {
				t.Errorf("Send = %v", err)
			}
			e.expect("Send", c.sent...)
		})
	}
	bubble(t, "client of a foreign peer", func(t *testing.T) {
		e := dialing(t, "zmq://h", nil, null, ready("ROUTER"))
		checkErr(t, "Send", e.open().Send(t.Context(), &transport.Message{To: "other"}), transport.ErrNoRoute)
	})
}

// TestMadeUpEnvelope: an envelope that no message came with does not break the
// wire.
func TestMadeUpEnvelope(t *testing.T) {
	for _, to := range []string{
		"\x00zmq:x", "\x00zmq:\x00\x00", "\x00zmq:\x01", "\x00zmq:\x01\x02a", "\x00zmq:\x03\x00\x00", "\x00zmq:\x05\x00",
		"\x00zmq:\x03\xff\xff\xff\xff\xff\xff\xff\xff", "\x00zmq:\x01\x00\x01",
	} {
		bubble(t, to, func(t *testing.T) {
			e := serving(t, nil, null, ready("DEALER"))
			checkErr(t, "Send", e.open().Send(t.Context(), &transport.Message{To: to}), transport.ErrInvalid)
			e.expect("Send")
		})
	}
}

// TestNotSayable: what the peer would refuse is refused before it is sent, and
// the connection goes on.
func TestNotSayable(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, c := range []struct {
		name string
		m    transport.Message
		want error
	}{
		{"a body over the peer's limit", transport.Message{Body: make([]byte, 101)}, transport.ErrTooLarge},
		{"a header without a name", transport.Message{Headers: []transport.Header{{Value: "x"}}}, transport.ErrInvalid},
		{"a header with a long name", transport.Message{Headers: []transport.Header{{Name: long, Value: "x"}}}, transport.ErrInvalid},
		{"too many headers", transport.Message{Headers: []transport.Header{{Name: "a"}, {Name: "b"}, {Name: "c"}}}, transport.ErrTooLarge},
		{"long fields", transport.Message{Subject: strings.Repeat(long, 10)}, transport.ErrTooLarge},
		{"an envelope for a reply-to", transport.Message{ReplyTo: "\x00zmq:\x01\x00"}, transport.ErrInvalid},
	} {
		bubble(t, c.name, func(t *testing.T) {
			e := serving(t, nil, null, readyAs("DEALER", "beat=0&message=100&header-bytes=1000&headers=2&subscriptions=1"))
			conn := e.open()
			checkErr(t, "Send", conn.Send(t.Context(), &c.m), c.want)
			if err := conn.Send(t.Context(), &transport.Message{Body: []byte("x")}); err != nil {
				t.Errorf("Send after it = %v", err)
			}
			e.expect("Send", last("x"))
		})
	}
}

// TestTurns: REQ and REP speak in turns.
func TestTurns(t *testing.T) {
	body := &transport.Message{Body: []byte("x")}
	bubble(t, "a REQ that asks twice is cut off", func(t *testing.T) {
		e := serving(t, nil, null, ready("REQ"))
		in := receive(e.open())
		e.send(more(""), last("1"), more(""), last("2"))
		if m := in.next(); m == nil || string(m.Body) != "1" {
			t.Errorf("Recv = %v, want the first question", m)
		}
		if err := in.ended(); !errors.Is(err, transport.ErrProtocol) || !e.over() {
			t.Errorf("Recv = %v, want ErrProtocol and the end of the connection", err)
		}
	})
	bubble(t, "a REP speaks when it is asked", func(t *testing.T) {
		e := serving(t, nil, null, ready("REQ"))
		conn := e.open()
		in := receive(conn)
		checkErr(t, "Send before a question", conn.Send(t.Context(), body), transport.ErrUnsupported)
		e.send(more(""), last("1"))
		if m := in.next(); m == nil || conn.Send(t.Context(), body) != nil {
			t.Errorf("Recv = %v, and then Send: want no error", m)
		}
		checkErr(t, "Send after the answer", conn.Send(t.Context(), body), transport.ErrUnsupported)
		e.expect("answer", more(""), last("x"))
	})
	bubble(t, "a REQ asks once", func(t *testing.T) {
		e := dialing(t, "zmq://h?socket=req", nil, null, ready("REP"))
		conn := e.open()
		in := receive(conn)
		for range 3 {
			if err := conn.Send(t.Context(), body); err != nil {
				t.Errorf("Send = %v", err)
			}
			checkErr(t, "Send before the answer", conn.Send(t.Context(), body), transport.ErrBusy)
			e.expect("question", more(""), last("x"))
			e.send(more(""), last("y"))
			if m := in.next(); m == nil || string(m.Body) != "y" {
				t.Errorf("Recv = %v, want the answer", m)
			}
		}
	})
	bubble(t, "a REP that answers twice is cut off", func(t *testing.T) {
		e := dialing(t, "zmq://h?socket=req", nil, null, ready("REP"))
		in := receive(e.open())
		e.send(more(""), last("y"))
		if err := in.ended(); !errors.Is(err, transport.ErrProtocol) || !e.over() {
			t.Errorf("Recv = %v, want ErrProtocol and the end of the connection", err)
		}
	})
}

// TestIdentity: answers go by connection, whatever identity is claimed.
func TestIdentity(t *testing.T) {
	for _, socket := range []string{"DEALER", "REQ"} {
		bubble(t, socket, func(t *testing.T) {
			ready := command("READY", property("Socket-Type", socket)+property("Identity", "same"))
			a, b := serving(t, nil, null, ready), serving(t, nil, null, ready)
			first, second := a.open(), b.open()
			a.send(more("same"), more(""), last("a"))
			b.send(more("same"), more(""), last("b"))
			for _, c := range []transport.Conn{second, first} {
				m, err := c.Recv(t.Context())
				if err != nil || c.Send(t.Context(), answerTo(m)) != nil {
					t.Fatalf("Recv = %v, %v", m, err)
				}
			}
			a.expect("the first", more("same"), more(""), last("a"))
			b.expect("the second", more("same"), more(""), last("b"))
		})
	}
}

// TestGone: a message to a peer that is gone is known not to be sent.
func TestGone(t *testing.T) {
	for _, c := range []struct {
		name string
		open func(t *testing.T) *end
		to   string
	}{
		{"client", func(t *testing.T) *end { return dialing(t, "zmq://h", nil, null, ready("ROUTER")) }, ""},
		{"client of ours", func(t *testing.T) *end { return dialing(t, "zmq://h", nil, null, readyAs("ROUTER", oursAsServer)) }, ""},
		{"REQ", func(t *testing.T) *end { return dialing(t, "zmq://h?socket=req", nil, null, ready("REP")) }, ""},
		{"server of a DEALER", func(t *testing.T) *end { return serving(t, nil, null, ready("DEALER")) }, "\x00zmq:\x01\x00"},
		{"server of a REQ", func(t *testing.T) *end { return serving(t, nil, null, ready("REQ")) }, ""},
	} {
		bubble(t, c.name, func(t *testing.T) {
			e := c.open(t)
			conn := e.open()
			in := receive(conn)
			_ = e.nc.Close()
			if err := in.ended(); !errors.Is(err, transport.ErrClosed) {
				t.Errorf("Recv = %v, want ErrClosed", err)
			}
			checkErr(t, "Send", conn.Send(t.Context(), &transport.Message{To: c.to, Body: []byte("x")}), transport.ErrClosed)
		})
	}
}

// TestBreaches: what breaks the rules after the handshake ends the connection.
func TestBreaches(t *testing.T) {
	for _, c := range []struct {
		name string
		say  []byte
		want error
	}{
		{"unknown flags", []byte{8, 0}, transport.ErrProtocol},
		{"a command with more to follow", []byte{5, 5, 4, 'P', 'I', 'N', 'G'}, transport.ErrProtocol},
		{"a command without a name", []byte{4, 0}, transport.ErrProtocol},
		{"a command shorter than its name", []byte{4, 2, 9, 'x'}, transport.ErrProtocol},
		{"a command in a message", join(more(""), command("PING", "\x00\x0a")), transport.ErrProtocol},
		{"a PING without a time to live", command("PING", "\x00"), transport.ErrProtocol},
		{"a PING with a long context", command("PING", "\x00\x0a"+strings.Repeat("x", 17)), transport.ErrProtocol},
		{"a subscription of a DEALER", command("SUBSCRIBE", "x"), transport.ErrProtocol},
		{"a cancel of a DEALER", command("CANCEL", "x"), transport.ErrProtocol},
		{"an ERROR", command("ERROR", "\x04oops"), transport.ErrRefused},
		{"a frame of 2^62 bytes", lying(0, 1<<62), transport.ErrTooLarge},
		{"a frame of 2^63 bytes", lying(0, 1<<63), transport.ErrTooLarge},
		{"a frame of 2^64-1 bytes", lying(0, 1<<64-1), transport.ErrTooLarge},
		{"a first frame of 2^62 bytes", lying(1, 1<<62), transport.ErrTooLarge},
		{"a first frame of 2^64-1 bytes", lying(1, 1<<64-1), transport.ErrTooLarge},
		{"a command of 2^64-1 bytes", lying(4, 1<<64-1), transport.ErrTooLarge},
		{"a body a byte too long", lying(0, 4<<20+1), transport.ErrTooLarge},
		{"frames without end", bytes.Repeat(more(""), 129), transport.ErrTooLarge},
		{"frames of many bytes", bytes.Repeat(more(strings.Repeat("x", 1<<10)), 65), transport.ErrTooLarge},
	} {
		bubble(t, c.name, func(t *testing.T) {
			e := serving(t, nil, null, ready("DEALER"))
			in := receive(e.open())
			e.send(c.say)
			if err := in.ended(); !errors.Is(err, c.want) || len(err.Error()) > 200 {
				t.Errorf("Recv = %v, want %v in few words", err, c.want)
			}
			if !e.over() {
				t.Error("the connection is still open")
			}
		})
	}
	bubble(t, "commands that nobody knows are passed over", func(t *testing.T) {
		e := serving(t, nil, null, ready("DEALER"))
		echo(e.open())
		e.send(command("DANCE", "now"), command("PONG", "?"), command("READY", ""), last("x"))
		e.expect("answer", last("x"))
	})
}
