package zmq_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/transport"
)

// helloOf is PLAIN's first command.
func helloOf(user, password string) []byte {
	return command("HELLO", string([]byte{byte(len(user))})+user+string([]byte{byte(len(password))})+password)
}

// initiate is PLAIN's command that stands for READY.
func initiate(socket string) []byte { return command("INITIATE", property("Socket-Type", socket)) }

// reasonOf returns the reason in the ERROR command at the end of what a server
// has said, or "".
func reasonOf(t *testing.T, said []byte) string {
	t.Helper()
	_, body, found := bytes.Cut(said, []byte("\x05ERROR"))
	if !found {
		return ""
	}
	if len(body) == 0 || int(body[0]) != len(body)-1 {
		t.Fatalf("the ERROR %q has not got the length that it says", body)
	}
	return string(body[1:])
}

// meets is an Authenticator that notes what it was shown.
type meets struct{ shown transport.Credentials }

func (m *meets) Authenticate(ctx context.Context, c transport.Credentials) (string, error) {
	m.shown, m.shown.Remote = c, nil
	return transport.Users(map[string]string{"ann": "right", "": ""}).Authenticate(ctx, c)
}

// TestServerHandshake: the bytes of handshakes that go well.
func TestServerHandshake(t *testing.T) {
	for socket, answer := range map[string]string{"DEALER": "ROUTER", "REQ": "REP", "SUB": "PUB", "XSUB": "XPUB"} {
		for _, minor := range []byte{0, 1} {
			bubble(t, socket, func(t *testing.T) {
				e := serving(t, nil)
				opening := []byte{0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3}
				if got := e.taken(); len(got) != len(opening) || got[0] != 0xff || got[9] != 0x7f || got[10] != 3 {
					t.Errorf("before the peer has spoken the server says %q, want the first eleven bytes", got)
				}
				hello := greet(minor, "NULL")
				e.send(hello[:11])
				e.send(hello[11:])
				rest := e.taken()
				if len(rest) != 53 || rest[0] != 0 || !bytes.HasPrefix(rest[1:], []byte("NULL\x00")) {
					t.Errorf("then it says %q, want the rest of the greeting of 3.0, with NULL", rest)
				}
				e.send(ready(socket))
				got := e.taken()
				if !bytes.HasPrefix(got[1:], []byte{byte(len(got) - 2)}) && got[0] != 6 || !bytes.Contains(got, []byte(property("Socket-Type", answer))) {
					t.Errorf("then it says %q, want a READY of a %s", got, answer)
				}
				e.open()
			})
		}
	}
}

// TestServerRefuses: who is not let in is told why, in few words.
func TestServerRefuses(t *testing.T) {
	plain := greet(0, "PLAIN")
	users := func() *transport.ListenOptions {
		return &transport.ListenOptions{Authenticator: transport.Users(map[string]string{"ann": "right"})}
	}
	for _, c := range []struct {
		name string
		o    *transport.ListenOptions
		say  [][]byte
		want error
		says string // in the ERROR; "" means that there is none
	}{
		{"PUSH", nil, [][]byte{null, ready("PUSH")}, transport.ErrRefused, "DEALER, REQ, SUB and XSUB"},
		{"PULL", nil, [][]byte{null, ready("PULL")}, transport.ErrRefused, `"PULL" is not served here`},
		{"PAIR", nil, [][]byte{null, ready("PAIR")}, transport.ErrRefused, `"PAIR"`},
		{"PUB", nil, [][]byte{null, ready("PUB")}, transport.ErrRefused, `"PUB"`},
		{"XPUB", nil, [][]byte{null, ready("XPUB")}, transport.ErrRefused, `"XPUB"`},
		{"ROUTER", nil, [][]byte{null, ready("ROUTER")}, transport.ErrRefused, `"ROUTER"`},
		{"REP", nil, [][]byte{null, ready("REP")}, transport.ErrRefused, `"REP"`},
		{"nonsense", nil, [][]byte{null, ready(strings.Repeat("nonsense", 1000))}, transport.ErrRefused, `"nonsensenonsensenons" is not`},
		{"no socket", nil, [][]byte{null, command("READY", "")}, transport.ErrRefused, `"" is not served here`},
		{"properties cut off", nil, [][]byte{null, command("READY", "\x53")}, transport.ErrProtocol, "cut off"},
		{"a value cut off", nil, [][]byte{null, command("READY", "\x01a\xff\xff\xff\xffx")}, transport.ErrProtocol, "cut off"},
		{"X-Polyport that makes no sense", nil, [][]byte{null, readyAs("DEALER", "beat=%zz")}, transport.ErrProtocol, "X-Polyport"},
		{"X-Polyport without limits", nil, [][]byte{null, readyAs("DEALER", "beat=1")}, transport.ErrProtocol, "X-Polyport"},
		{"X-Polyport below zero", nil, [][]byte{null, readyAs("DEALER", strings.Replace(oursAsClient, "beat=", "beat=-", 1))}, transport.ErrProtocol, "beat"},
		{"another virtual host", &transport.ListenOptions{VirtualHosts: []string{"a"}}, [][]byte{null, readyAs("DEALER", oursAsClient)}, transport.ErrRefused, `no virtual host "h"`},
		{"no virtual host", &transport.ListenOptions{VirtualHosts: []string{"a"}}, [][]byte{null, ready("DEALER")}, transport.ErrRefused, "no virtual host"},

		{"a wrong password", users(), [][]byte{plain, helloOf("ann", "wrong"), initiate("DEALER")}, transport.ErrRefused, "400"},
		{"a wrong user", users(), [][]byte{plain, helloOf("bob", "right"), initiate("DEALER")}, transport.ErrRefused, "400"},
		{"no user and password", users(), [][]byte{plain, helloOf("", ""), initiate("DEALER")}, transport.ErrRefused, "400"},
		{"NULL where users are asked for", users(), [][]byte{null, ready("DEALER")}, transport.ErrRefused, "400"},
		{"HELLO cut off", users(), [][]byte{plain, command("HELLO", "\x03ann")}, transport.ErrProtocol, "user and a password"},
		{"HELLO cut off in a name", users(), [][]byte{plain, command("HELLO", "\xffann")}, transport.ErrProtocol, "user and a password"},
		{"HELLO with more", users(), [][]byte{plain, command("HELLO", "\x01a\x01bc")}, transport.ErrProtocol, "more than"},
		{"PLAIN without HELLO", users(), [][]byte{plain, ready("DEALER")}, transport.ErrProtocol, ""},
		{"PLAIN without INITIATE", users(), [][]byte{plain, helloOf("ann", "right"), ready("DEALER")}, transport.ErrProtocol, ""},
		{"PLAIN of a PUSH", users(), [][]byte{plain, helloOf("ann", "right"), initiate("PUSH")}, transport.ErrRefused, `"PUSH"`},

		{"CURVE", nil, [][]byte{greet(0, "CURVE")}, transport.ErrRefused, ""},
		{"no mechanism", nil, [][]byte{greet(0, "")}, transport.ErrRefused, ""},
		{"a mechanism of 20 bytes", nil, [][]byte{greet(0, strings.Repeat("X", 20))}, transport.ErrRefused, ""},
		{"neither server nor client", nil, [][]byte{join(null[:32], []byte{7}, null[33:]), ready("DEALER")}, transport.ErrProtocol, ""},
		{"ZMTP 2.0", nil, [][]byte{{0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 1}}, transport.ErrProtocol, ""},
		{"ZMTP 1.0", nil, [][]byte{{1, 0}}, transport.ErrProtocol, ""},
		{"TLS", nil, [][]byte{{0x16, 3, 1}}, transport.ErrProtocol, ""},
		{"HTTP", nil, [][]byte{[]byte("GET / HTTP/1.1\r\n")}, transport.ErrProtocol, ""},
		{"a message before READY", nil, [][]byte{null, last("x")}, transport.ErrProtocol, ""},
		{"a command without a name", nil, [][]byte{null, {4, 0}}, transport.ErrProtocol, ""},
		{"a READY body 01 53", nil, [][]byte{null, {4, 1, 0x53}}, transport.ErrProtocol, ""},
		{"another command", nil, [][]byte{null, command("DANCE", "")}, transport.ErrProtocol, ""},
		{"a command of 2^62 bytes", nil, [][]byte{null, lying(4, 1<<62)}, transport.ErrTooLarge, ""},
		{"a command of 2^64-1 bytes", nil, [][]byte{null, lying(4, 1<<64-1)}, transport.ErrTooLarge, ""},
		{"a command of 17 KiB", nil, [][]byte{null, lying(4, 17<<10)}, transport.ErrTooLarge, ""},
		{"ERROR", nil, [][]byte{null, command("ERROR", "\x03why")}, transport.ErrRefused, ""},
		{"ERROR without a reason", nil, [][]byte{null, command("ERROR", "")}, transport.ErrRefused, ""},
		{"ERROR cut off", nil, [][]byte{null, command("ERROR", "\xffx")}, transport.ErrRefused, ""},
	} {
		bubble(t, c.name, func(t *testing.T) {
			e := serving(t, c.o, c.say...)
			if err := e.refused(); !errors.Is(err, c.want) {
				t.Errorf("Server = %v, want %v", err, c.want)
			}
			said := e.taken()
			got := reasonOf(t, said)
			if (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
				t.Errorf("the peer is told %q, want %q in it", got, c.says)
			}
			if strings.Contains(got, "ann") || strings.Contains(got, "transport") {
				t.Errorf("the peer is told %q, which is not for it", got)
			}
			if !e.over() {
				t.Error("the connection is still open")
			}
		})
	}
}

// TestServerSilence: who stops in the middle of the handshake is cut off in
// time.
func TestServerSilence(t *testing.T) {
	for name, say := range map[string][]byte{
		"nothing": nil, "a byte": null[:1], "ten bytes": null[:10], "half a greeting": null[:40], "a greeting": null,
		"half a READY": join(null, ready("DEALER")[:10]), "half a head": join(null, []byte{6, 0, 0}),
		"PLAIN and HELLO": join(greet(0, "PLAIN"), helloOf("a", "b")),
	} {
		bubble(t, name, func(t *testing.T) {
			start := time.Now()
			e := serving(t, &transport.ListenOptions{HandshakeTimeout: 3 * time.Second}, say)
			if err := e.refused(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Server = %v, want that the deadline is over", err)
			}
			if d := time.Since(start); d != 3*time.Second {
				t.Errorf("the peer was cut off after %v, want 3 s", d)
			}
		})
	}
}

// TestServerUsers: who is let in, and by which name.
func TestServerUsers(t *testing.T) {
	for _, c := range []struct {
		name   string
		closed bool // there is an Authenticator
		say    [][]byte
		user   string
		shown  transport.Credentials
	}{
		{"PLAIN with the right password", true, [][]byte{greet(0, "PLAIN"), helloOf("ann", "right"), initiate("DEALER")}, "ann", transport.Credentials{User: "ann", Password: "right"}},
		{"NULL where that is a user", true, [][]byte{null, ready("DEALER")}, "", transport.Credentials{}},
		{"PLAIN to an open server", false, [][]byte{greet(0, "PLAIN"), helloOf("ann", "any"), initiate("DEALER")}, "", transport.Credentials{}},
		{"NULL to an open server", false, [][]byte{null, ready("DEALER")}, "", transport.Credentials{}},
		{
			"a virtual host", true,
			[][]byte{greet(0, "PLAIN"), helloOf("ann", "right"), command("INITIATE", property("Socket-Type", "DEALER")+property("X-Polyport", oursAsClient))},
			"ann",
			transport.Credentials{User: "ann", Password: "right", VirtualHost: "h"},
		},
	} {
		bubble(t, c.name, func(t *testing.T) {
			m, o := &meets{}, &transport.ListenOptions{}
			if c.closed {
				o.Authenticator = m
			}
			e := serving(t, o, c.say...)
			conn := e.open()
			if got := conn.Info().User; got != c.user || m.shown != c.shown {
				t.Errorf("User = %q after %+v, want %q after %+v", got, m.shown, c.user, c.shown)
			}
			echo(conn)
			e.send(last("x"))
			e.expect("answer", last("x"))
		})
	}
}

// TestClientHandshake: what a client says, and when.
func TestClientHandshake(t *testing.T) {
	for _, c := range []struct{ name, url, socket, answer string }{
		{"DEALER", "zmq://h", "DEALER", "ROUTER"},
		{"DEALER by name", "zmq://h?socket=dealer", "DEALER", "REP"},
		{"REQ", "zmq://h?socket=req", "REQ", "REP"},
		{"SUB", "zmq://h?socket=sub", "SUB", "XPUB"},
	} {
		bubble(t, c.name, func(t *testing.T) {
			e := dialing(t, c.url, nil)
			if got := e.taken(); len(got) != 64 || got[10] != 3 || !bytes.HasPrefix(got[12:], []byte("NULL\x00")) {
				t.Errorf("the client begins with %q, want the greeting of 3.0 with NULL", got)
			}
			e.send(null)
			if got := e.taken(); !bytes.Contains(got, []byte("\x05READY"+property("Socket-Type", c.socket))) {
				t.Errorf("then it says %q, want READY of a %s", got, c.socket)
			}
			e.send(ready(c.answer))
			if i := e.open().Info(); i.Scheme != "zmq" || i.Version != "3.0" || i.Headers {
				t.Errorf("Info = %+v, want zmq 3.0 without headers", i)
			}
		})
	}
	bubble(t, "PLAIN", func(t *testing.T) {
		e := dialing(t, "zmq://ann:right@h", nil, greet(0, "PLAIN"))
		if got := e.taken(); !bytes.HasSuffix(got, helloOf("ann", "right")) || !bytes.HasPrefix(got[12:], []byte("PLAIN\x00")) {
			t.Errorf("the client says %q, want HELLO", got)
		}
		e.send(command("WELCOME", ""))
		if got := e.taken(); !bytes.Contains(got, []byte("\x08INITIATE"+property("Socket-Type", "DEALER"))) {
			t.Errorf("then it says %q, want INITIATE", got)
		}
		e.send(ready("ROUTER"))
		if got := e.open().Info().User; got != "ann" {
			t.Errorf("User = %q, want ann", got)
		}
	})
}

// TestClientRefused: a client that is not let in says what to do about it.
func TestClientRefused(t *testing.T) {
	plain := greet(0, "PLAIN")
	for _, c := range []struct {
		name, url string
		say       [][]byte
		want      error
		says      string
	}{
		{"PLAIN is wanted", "zmq://h", [][]byte{plain}, transport.ErrRefused, "wants a user and a password; put them into the URL"},
		{"NULL is wanted", "zmq://ann:right@h", [][]byte{null}, transport.ErrRefused, "knows no users; leave user and password out of the URL"},
		{"CURVE is wanted", "zmq://h", [][]byte{greet(1, "CURVE")}, transport.ErrRefused, `"CURVE"; spoken are NULL and PLAIN, over TLS`},
		{"CURVE is wanted of a user", "zmq://ann:right@h", [][]byte{greet(0, "CURVE")}, transport.ErrRefused, "over TLS"},
		{"no mechanism is wanted", "zmq://h", [][]byte{greet(0, "")}, transport.ErrRefused, `mechanism ""; spoken are`},
		{"neither server nor client", "zmq://h", [][]byte{join(null[:32], []byte{7}, null[33:])}, transport.ErrProtocol, "makes no sense"},
		{"a wrong password", "zmq://ann:wrong@h", [][]byte{plain, command("ERROR", "\x03400")}, transport.ErrRefused, "check user and password"},
		{"an ERROR after WELCOME", "zmq://ann:wrong@h", [][]byte{plain, command("WELCOME", ""), command("ERROR", "\x03400")}, transport.ErrRefused, "check user and password"},
		{"an ERROR with a reason", "zmq://h", [][]byte{null, command("ERROR", "\x09full up …"[:10])}, transport.ErrRefused, "full up"},
		{"an ERROR without one", "zmq://h", [][]byte{null, command("ERROR", "\x00")}, transport.ErrRefused, "gave no reason"},
		{"DEALER to PUB", "zmq://h", [][]byte{null, ready("PUB")}, transport.ErrRefused, `"PUB", which does not go with DEALER; there is ?socket=dealer, req and sub`},
		{"REQ to DEALER", "zmq://h?socket=req", [][]byte{null, ready("DEALER")}, transport.ErrRefused, `"DEALER", which does not go with REQ`},
		{"SUB to ROUTER", "zmq://h?socket=sub", [][]byte{null, ready("ROUTER")}, transport.ErrRefused, `"ROUTER", which does not go with SUB`},
		{"no socket", "zmq://h", [][]byte{null, command("READY", "")}, transport.ErrRefused, `"", which does not go`},
		{"a long nonsense", "zmq://h", [][]byte{null, ready(strings.Repeat("x", 5000))}, transport.ErrRefused, `"xxxxxxxxxxxxxxxxxxxx"`},
		{"ZMTP 2.0", "zmq://h", [][]byte{{0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 1}}, transport.ErrProtocol, "before 3.0"},
		{"HTTP", "zmq://h", [][]byte{[]byte("HTTP/1.1 400 Bad Request\r\n\r\n")}, transport.ErrProtocol, "expected a ZMTP greeting"},
		{"TLS", "zmq://h", [][]byte{{0x16, 3, 1}}, transport.ErrProtocol, "looks like TLS"},
		{"properties cut off", "zmq://h", [][]byte{null, command("READY", "\x53")}, transport.ErrProtocol, "cut off"},
		{"another command", "zmq://h", [][]byte{null, command("DANCE", "")}, transport.ErrProtocol, "READY"},
		{"a message", "zmq://h", [][]byte{null, last("x")}, transport.ErrProtocol, "expected a command"},
		{"READY body 01 53", "zmq://h", [][]byte{null, {4, 1, 0x53}}, transport.ErrProtocol, "shorter than its name"},
		{"a command of 2^62 bytes", "zmq://h", [][]byte{null, lying(4, 1<<62)}, transport.ErrTooLarge, "limit is 16384"},
		{"an unknown socket", "zmq://h?socket=push", nil, transport.ErrInvalid, "socket=dealer (the default), req and sub"},
		{"a long user", "zmq://" + strings.Repeat("u", 256) + "@h", nil, transport.ErrInvalid, "255 bytes"},
	} {
		bubble(t, c.name, func(t *testing.T) {
			e := dialing(t, c.url, nil, c.say...)
			if err := e.refused(); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("Client = %v, want %v with %q in it", err, c.want, c.says)
			}
			if !e.over() {
				t.Error("the connection is still open")
			}
		})
	}
	bubble(t, "a server that ends it", func(t *testing.T) {
		e := dialing(t, "zmq://h", nil, null)
		synctest.Wait()
		_ = e.nc.Close()
		if err := e.refused(); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("Client = %v, want it to say that the peer has closed", err)
		}
	})
	bubble(t, "a server that is silent", func(t *testing.T) {
		e := dialing(t, "zmq://h", &transport.DialOptions{Timeout: time.Second}, null)
		if err := e.refused(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Client = %v, want that the deadline is over", err)
		}
	})
}

// TestReasonArrives: over TCP, too, the reason comes before the end.
func TestReasonArrives(t *testing.T) {
	l, _ := listen(t, "zmq://127.0.0.1:0", nil)
	for range 20 {
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = nc.Write(join(null, ready("PUSH")))
		said, err := io.ReadAll(nc)
		_ = nc.Close()
		if got := reasonOf(t, said); err != nil || !strings.Contains(got, `"PUSH" is not served here`) {
			t.Fatalf("the peer is told %q, %v, want the reason", got, err)
		}
	}
}
