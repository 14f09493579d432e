package zmq_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/zmq"
)

// A pieces is a connection that notes what each write has.
type pieces struct {
	net.Conn
	mu  sync.Mutex // protects the field below
	all [][]byte
}

func (p *pieces) Write(b []byte) (int, error) {
	p.mu.Lock()
	p.all = append(p.all, bytes.Clone(b))
	p.mu.Unlock()
	return p.Conn.Write(b)
}

// taken returns the writes since the last call.
func (p *pieces) taken() [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.all
	p.all = nil
	return all
}

// openDaylight are the options of the profile.
var openDaylight = transport.Options{Profile: transport.OpenDaylight}

// servingODL is serving, in the profile.
func servingODL(t *testing.T, opening ...[]byte) (*end, *pieces) {
	t.Helper()
	var noted pieces
	o := (&transport.ListenOptions{Options: openDaylight}).WithDefaults()
	e := shake(t, o.HandshakeTimeout, func(ctx context.Context, nc net.Conn) (transport.Conn, error) {
		noted.Conn = nc
		return zmq.Transport{}.Server(ctx, &noted, o)
	})
	e.send(opening...)
	return e, &noted
}

// dialingODL is dialing, in the profile.
func dialingODL(t *testing.T, rawURL string, opening ...[]byte) (*end, *pieces) {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	var noted pieces
	o := (&transport.DialOptions{Options: openDaylight}).WithDefaults()
	e := shake(t, o.Timeout, func(ctx context.Context, nc net.Conn) (transport.Conn, error) {
		noted.Conn = nc
		return zmq.Transport{}.Client(ctx, &noted, u, o)
	})
	e.send(opening...)
	return e, &noted
}

// checkPieces checks that there was one write for each of the given.
func checkPieces(t *testing.T, what string, got [][]byte, want ...[]byte) {
	t.Helper()
	if !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("%s: written were\n%q, want\n%q", what, got, want)
	}
}

// TestODLServerHandshake: the greeting leaves in pieces of 11 and 53 bytes, READY
// in one, with Socket-Type and nothing else.
func TestODLServerHandshake(t *testing.T) {
	for socket, answer := range map[string]string{"REQ": "REP", "SUB": "PUB"} {
		bubble(t, socket, func(t *testing.T) {
			e, noted := servingODL(t)
			e.taken()
			checkPieces(t, "before the peer has spoken", noted.taken(), null[:11])
			e.send([]byte{0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3}) // its padding ends in 1
			e.send(null[11:])
			e.taken()
			checkPieces(t, "to its greeting", noted.taken(), null[11:])
			e.send(ready(socket))
			e.taken()
			checkPieces(t, "to READY", noted.taken(), ready(answer))
			conn := e.open()
			if info := conn.Info(); info.Profile != transport.OpenDaylight || info.Beat != 0 || info.Headers {
				t.Errorf("Info = %+v, want the profile, no heart-beat and no headers", info)
			}
		})
	}
}

// TestODLClientHandshake: the greeting and READY leave in one piece each.
func TestODLClientHandshake(t *testing.T) {
	for query, sockets := range map[string][2]string{"": {"REQ", "REP"}, "?socket=req": {"REQ", "REP"}, "?socket=sub": {"SUB", "PUB"}} {
		bubble(t, query, func(t *testing.T) {
			e, noted := dialingODL(t, "zmq://h"+query)
			e.taken()
			checkPieces(t, "at first", noted.taken(), null)
			e.send(null)
			e.taken()
			checkPieces(t, "to the greeting", noted.taken(), ready(sockets[0]))
			e.send(ready(sockets[1]))
			if conn := e.open(); conn.Info().Profile != transport.OpenDaylight {
				t.Errorf("Profile = %q", conn.Info().Profile)
			}
			checkPieces(t, "after it", noted.taken())
		})
	}
}

// TestODLServerOthers: who is none of OpenDaylight's is served as ever.
func TestODLServerOthers(t *testing.T) {
	for name, said := range map[string][]byte{
		"a DEALER": ready("DEALER"), "an XSUB": ready("XSUB"), "a REQ of ours": readyAs("REQ", oursAsClient),
	} {
		bubble(t, name, func(t *testing.T) {
			e, _ := servingODL(t, null, said)
			<-e.ready
			if got := e.taken(); !bytes.Contains(got, []byte("X-Polyport")) {
				t.Errorf("the handshake is %q, want one with X-Polyport", got)
			}
			if got := e.open().Info().Profile; got != "" {
				t.Errorf("Profile = %q, want none", got)
			}
		})
	}
}

// TestODLAnswers: a question comes after an empty frame or without, and its answer
// after one, in one write.
func TestODLAnswers(t *testing.T) {
	for name, question := range map[string][]byte{
		"as ODL has it":     join(more(""), last(`{"a":1}`)),
		"without delimiter": last(`{"a":1}`),
		"a long one":        join(more(""), last(strings.Repeat("x", 70_000))),
	} {
		bubble(t, name, func(t *testing.T) {
			e, noted := servingODL(t, null, ready("REQ"))
			conn := e.open()
			noted.taken()
			echo(conn)
			e.send(question)
			e.taken()
			if question[0] == 0 {
				question = join(more(""), question)
			}
			checkPieces(t, "the answer", noted.taken(), question)
		})
	}
}

// TestODLNoHeartbeats: neither end sends one, however long there is nothing else,
// and whatever version the peer's greeting has.
func TestODLNoHeartbeats(t *testing.T) {
	for _, minor := range []byte{0, 1} {
		bubble(t, "server", func(t *testing.T) {
			e, _ := servingODL(t, greet(minor, "NULL"), ready("REQ"))
			in := receive(e.open())
			time.Sleep(time.Hour)
			e.expect("in an hour")
			e.send(command("PING", "\x00\x0aabc"))
			e.expect("to one that sends some", command("PONG", "abc"))
			time.Sleep(time.Hour)
			e.expect("in the next hour")
			if err := in.ended(); err != nil {
				t.Errorf("the connection ended with %v", err)
			}
		})
		bubble(t, "client", func(t *testing.T) {
			e, _ := dialingODL(t, "zmq://h", greet(minor, "NULL"), ready("REP"))
			in := receive(e.open())
			time.Sleep(time.Hour)
			e.expect("in an hour")
			if err := in.ended(); err != nil {
				t.Errorf("the connection ended with %v", err)
			}
		})
	}
}

// TestODLPublications: two frames, of which the first is empty, in one write each,
// to who has subscribed to a prefix of the topic.
func TestODLPublications(t *testing.T) {
	for name, c := range map[string]struct {
		say   []byte
		hears bool
	}{
		"everything":         {last("\x01"), true},
		"a prefix":           {last("\x01cl"), true},
		"another":            {last("\x01x"), false},
		"a cancelled one":    {join(last("\x01"), last("\x00")), false},
		"nothing":            {nil, false},
		"the longest of its": {last("\x01" + strings.Repeat("x", 254)), false},
	} {
		bubble(t, name, func(t *testing.T) {
			e, noted := servingODL(t, null, ready("SUB"))
			conn := e.open()
			receive(conn)
			e.send(c.say)
			e.taken()
			noted.taken()
			a, _ := transport.As[transport.Audience](conn)
			if a.Wants("clock") != c.hears {
				t.Errorf("Wants = %v, want %v", !c.hears, c.hears)
			}
			m := &transport.Message{To: "clock", Body: []byte(`{"method":"clock"}`)}
			err := errors.Join(a.Publish(t.Context(), m), conn.Send(t.Context(), m))
			e.taken()
			if !c.hears {
				checkErr(t, "Publish", a.Publish(t.Context(), m), transport.ErrNoRoute)
				checkPieces(t, "published", noted.taken())
				return
			}
			if err != nil {
				t.Errorf("Publish = %v", err)
			}
			event := join(more(""), last(`{"method":"clock"}`))
			checkPieces(t, "published", noted.taken(), event, event)
		})
	}
}

// TestODLPublicationsApart: what gathered leaves by a write each.
func TestODLPublicationsApart(t *testing.T) {
	bubble(t, "gathered", func(t *testing.T) {
		e, noted := servingODL(t, null, ready("SUB"))
		conn := e.open()
		receive(conn)
		e.send(last("\x01"))
		e.taken()
		noted.taken()
		conn.(transport.Gatherer).Gather()
		a, _ := transport.As[transport.Audience](conn)
		for range 100 {
			if err := a.Publish(t.Context(), &transport.Message{To: "a", Body: []byte("{}")}); err != nil {
				t.Fatal(err)
			}
		}
		e.taken()
		checkPieces(t, "published", noted.taken(), slices.Repeat([][]byte{join(more(""), last("{}"))}, 100)...)
	})
}

// TestODLSubscriber: everything is asked for once, by a message, and never undone;
// what comes is an event in each of the forms that publishers have had.
func TestODLSubscriber(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		e, noted := dialingODL(t, "zmq://h?socket=sub", null, ready("PUB"))
		conn := e.open()
		noted.taken()
		in := receive(conn)
		e.send(more(""), last("too early"))
		e.taken()
		sub, _ := transport.As[transport.Subscriber](conn)
		var ids []string
		for _, prefix := range []string{"cl", "", "x"} {
			id, err := sub.Subscribe(t.Context(), transport.Subscription{Destination: prefix})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
			e.taken()
		}
		checkPieces(t, "subscribed", noted.taken(), last("\x01"))
		if err := sub.Unsubscribe(t.Context(), ids[0]); err != nil {
			t.Error(err)
		}
		e.expect("to Unsubscribe")
		for _, event := range [][]byte{join(more(""), last("{}")), last("{}"), join(more("topic"), last("{}"))} {
			e.send(event)
			m := in.next()
			if m == nil || string(m.Body) != "{}" || m.Subject != "" || m.Subscription != ids[1] {
				t.Errorf("%q came as %+v", event, m)
			}
		}
		_, err := sub.Subscribe(t.Context(), transport.Subscription{Destination: strings.Repeat("x", 255)})
		checkErr(t, "Subscribe to a long topic", err, transport.ErrTooLarge)
		checkErr(t, "Send", conn.Send(t.Context(), &transport.Message{}), transport.ErrUnsupported)
		e.send(more("a"), more("b"), last("c"))
		if err := in.ended(); !errors.Is(err, transport.ErrProtocol) {
			t.Errorf("three frames end with %v, want ErrProtocol", err)
		}
	})
}

// TestODLSockets: only those that OpenDaylight has are dialed by.
func TestODLSockets(t *testing.T) {
	for _, socket := range []string{"dealer", "pub", "rep", "x"} {
		bubble(t, socket, func(t *testing.T) {
			e, _ := dialingODL(t, "zmq://h?socket="+socket)
			if err := e.refused(); !errors.Is(err, transport.ErrInvalid) || !strings.Contains(err.Error(), "OpenDaylight") {
				t.Errorf("the error is %v", err)
			}
			e.expect("what was said")
		})
	}
}

// TestODLAsks: a question is an empty frame and the body in one write, also to a
// server of ours that says more of itself.
func TestODLAsks(t *testing.T) {
	for name, answer := range map[string][]byte{"ODL": ready("REP"), "ours": readyAs("REP", oursAsServer)} {
		bubble(t, name, func(t *testing.T) {
			e, noted := dialingODL(t, "zmq://h", null, answer)
			conn := e.open()
			noted.taken()
			in := receive(conn)
			m := &transport.Message{Body: []byte(`{"id":1}`), Headers: []transport.Header{{Name: "a", Value: "b"}}}
			if err := conn.Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			e.taken()
			checkPieces(t, "the question", noted.taken(), join(more(""), last(`{"id":1}`)))
			checkErr(t, "a second Send", conn.Send(t.Context(), m), transport.ErrBusy)
			e.send(more(""), last(`{"result":1}`))
			if m := in.next(); m == nil || string(m.Body) != `{"result":1}` {
				t.Errorf("the answer came as %+v", m)
			}
			e.send(more(""), last(`{"result":2}`)) // as to a batch
			if err := in.ended(); !errors.Is(err, transport.ErrProtocol) {
				t.Errorf("a second answer ends with %v, want ErrProtocol", err)
			}
		})
	}
}

// TestODLPort: the profile has a port of its own.
func TestODLPort(t *testing.T) {
	for url, want := range map[string]string{
		"zmq://[::1]?profile=odl": "[::1]:10000", "zmq://[::1]": "[::1]:5555", "zmqs://[::1]?profile=odl": "[::1]:10000",
	} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := transport.Dial(ctx, url, nil)
		var op *transport.OpError
		if !errors.As(err, &op) || op.Addr != want {
			t.Errorf("Dial(%s) = %v, want one to %s", url, err, want)
		}
	}
}

// TestODLPipelined: a REQ that asks before it was answered, as OpenDaylight's does
// after a timeout, is answered in order.
func TestODLPipelined(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		e, noted := servingODL(t, null, ready("REQ"))
		conn := e.open()
		noted.taken()
		e.send(more(""), last("one"), more(""), last("two"))
		first, err := conn.Recv(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		in := receive(conn)
		if m := in.next(); m != nil {
			t.Fatalf("before the answer came %+v", m)
		}
		_ = conn.Send(t.Context(), answerTo(first))
		if m := in.next(); m == nil || string(m.Body) != "two" {
			t.Fatalf("after it came %+v", m)
		}
		e.taken()
		checkPieces(t, "the answer", noted.taken(), join(more(""), last("one")))
	})
}
