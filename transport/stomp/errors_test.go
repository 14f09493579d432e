package stomp_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/polyport/polyport/transport"
)

// TestErrorFrames: each frame that breaks a rule is answered with one ERROR
// that says what was wrong and names its receipt, and is the last. All have a
// receipt header, which comes first so that it is known when the fault shows.
func TestErrorFrames(t *testing.T) {
	limits := transport.Limits{Message: 1000, HeaderBytes: 800, Headers: 10, Subscriptions: 3}
	long := strings.Repeat("x", 1001)
	for _, c := range []struct {
		name, in string
		versions []string
		kind     error
		says     []string
	}{
		{"SEND without destination", "SEND\n%\n\nhi^@", versions, transport.ErrProtocol, []string{"SEND", "destination"}},
		{"SEND to nowhere", "SEND\n%\ndestination:/queue/x\n\nhi^@", versions, transport.ErrNoRoute, []string{"/queue/x"}},
		{"SEND with an unknown reply-to", "SEND\n%\ndestination:rpc\nreply-to:/queue/x\n\nhi^@", versions, transport.ErrNoRoute, []string{"reply-to", "/queue/x"}},
		{"SEND in a transaction", "SEND\n%\ndestination:rpc\ntransaction:t\n\nhi^@", versions, transport.ErrProtocol, []string{"transactions are not supported"}},
		{"BEGIN", "BEGIN\n%\ntransaction:t\n\n^@", versions, transport.ErrProtocol, []string{"BEGIN", "transactions are not supported"}},
		{"COMMIT", "COMMIT\n%\ntransaction:t\n\n^@", versions, transport.ErrProtocol, []string{"COMMIT", "transactions are not supported"}},
		{"ABORT", "ABORT\n%\ntransaction:t\n\n^@", versions, transport.ErrProtocol, []string{"ABORT", "transactions are not supported"}},
		{"SUBSCRIBE without destination", "SUBSCRIBE\n%\nid:1\n\n^@", versions, transport.ErrProtocol, []string{"SUBSCRIBE", "destination"}},
		{"SUBSCRIBE without id", "SUBSCRIBE\n%\ndestination:a\n\n^@", []string{"1.1", "1.2"}, transport.ErrProtocol, []string{"SUBSCRIBE", "id"}},
		{"SUBSCRIBE with an empty id", "SUBSCRIBE\n%\ndestination:a\nid:\n\n^@", []string{"1.1", "1.2"}, transport.ErrProtocol, []string{"SUBSCRIBE", "id"}},
		{"SUBSCRIBE with a repeated id", "SUBSCRIBE\n%\ndestination:a\nid:taken\n\n^@", versions, transport.ErrProtocol, []string{"taken", "in use"}},
		{"SUBSCRIBE with an unknown ack mode", "SUBSCRIBE\n%\ndestination:a\nid:1\nack:bogus\n\n^@", versions, transport.ErrProtocol, []string{"ack mode", "bogus", "client-individual"}},
		{"UNSUBSCRIBE of an unknown id", "UNSUBSCRIBE\n%\nid:9\n\n^@", versions, transport.ErrProtocol, []string{"UNSUBSCRIBE", "9"}},
		{"UNSUBSCRIBE without id", "UNSUBSCRIBE\n%\ndestination:taken\n\n^@", []string{"1.1", "1.2"}, transport.ErrProtocol, []string{"UNSUBSCRIBE", "id"}},
		{"ACK of nothing", "ACK\n%\nid:9\nmessage-id:9\nsubscription:taken\n\n^@", versions, transport.ErrProtocol, []string{"ACK", "9"}},
		{"ACK without id", "ACK\n%\nsubscription:taken\n\n^@", versions, transport.ErrProtocol, []string{"ACK", "id"}},
		{"ACK of no number", "ACK\n%\nid:one\nmessage-id:one\n\n^@", versions, transport.ErrProtocol, []string{"ACK", "one"}},
		{"ACK in a transaction", "ACK\n%\nid:9\nmessage-id:9\ntransaction:t\n\n^@", versions, transport.ErrProtocol, []string{"ACK", "transactions are not supported"}},
		{"NACK of nothing", "NACK\n%\nid:9\nmessage-id:9\nsubscription:taken\n\n^@", []string{"1.1", "1.2"}, transport.ErrProtocol, []string{"NACK", "9"}},
		{"NACK in 1.0", "NACK\n%\nmessage-id:9\n\n^@", []string{"1.0"}, transport.ErrProtocol, []string{"NACK"}},
		{"CONNECT again", "CONNECT\n%\n\n^@", versions, transport.ErrProtocol, []string{"CONNECT"}},
		{"STOMP again", "STOMP\n%\n\n^@", versions, transport.ErrProtocol, []string{"STOMP"}},
		{"MESSAGE from a client", "MESSAGE\n%\ndestination:a\n\n^@", versions, transport.ErrProtocol, []string{"MESSAGE"}},
		{"CONNECTED from a client", "CONNECTED\n%\n\n^@", versions, transport.ErrProtocol, []string{"CONNECTED"}},
		{"RECEIPT from a client", "RECEIPT\n%\nreceipt-id:1\n\n^@", versions, transport.ErrProtocol, []string{"RECEIPT"}},
		{"ERROR from a client", "ERROR\n%\nmessage:no\n\n^@", versions, transport.ErrProtocol, []string{"ERROR"}},
		{"body over the limit", "SEND\n%\ndestination:rpc\n\n" + long + "^@", versions, transport.ErrTooLarge, []string{"body", "1000"}},
		{"content-length over the limit", "SEND\n%\ndestination:rpc\ncontent-length:1001\n\n", versions, transport.ErrTooLarge, []string{"content-length", "1001", "1000"}},
		{"content-length of 4 GiB", "SEND\n%\ndestination:rpc\ncontent-length:4294967295\n\n", versions, transport.ErrTooLarge, []string{"content-length", "4294967295"}},
		{"content-length of 8 EiB", "SEND\n%\ndestination:rpc\ncontent-length:9223372036854775807\n\n", versions, transport.ErrTooLarge, []string{"content-length"}},
		{"content-length over 64 bits", "SEND\n%\ndestination:rpc\ncontent-length:99999999999999999999\n\n", versions, transport.ErrProtocol, []string{"content-length"}},
		{"content-length below zero", "SEND\n%\ndestination:rpc\ncontent-length:-1\n\n", versions, transport.ErrProtocol, []string{"content-length", "-1"}},
		{"content-length of words", "SEND\n%\ndestination:rpc\ncontent-length:five\n\nhello^@", versions, transport.ErrProtocol, []string{"content-length", "five"}},
		{"content-length in hexadecimal", "SEND\n%\ndestination:rpc\ncontent-length:0x5\n\nhello^@", versions, transport.ErrProtocol, []string{"content-length", "0x5"}},
		{"empty content-length", "SEND\n%\ndestination:rpc\ncontent-length:\n\nhello^@", versions, transport.ErrProtocol, []string{"content-length"}},
		{"content-length too small", "SEND\n%\ndestination:rpc\ncontent-length:2\n\nhello^@", versions, transport.ErrProtocol, []string{"content-length", "NUL"}},
		{"SUBSCRIBE with a body", "SUBSCRIBE\n%\ndestination:a\nid:1\n\nhello^@", versions, transport.ErrProtocol, []string{"SUBSCRIBE", "body"}},
		{"ACK with a counted body", "ACK\n%\nid:1\ncontent-length:5\n\nhello^@", versions, transport.ErrProtocol, []string{"ACK", "body"}},
		{"header line without colon", "SEND\n%\ndestination\n\n^@", versions, transport.ErrProtocol, []string{"destination", "colon"}},
		{"header line without name", "SEND\n%\n:rpc\n\n^@", versions, transport.ErrProtocol, []string{"name"}},
		{"NUL in a header line", "SEND\n%\ndestination:r\x00pc\n\n^@", versions, transport.ErrProtocol, []string{"NUL"}},
		{"undefined escape", "SEND\n%\ndestination:rpc\nk:a\\tb\n\n^@", []string{"1.1", "1.2"}, transport.ErrProtocol, []string{"escape"}},
		{"escape \\r in 1.1", "SEND\n%\ndestination:rpc\nk:a\\rb\n\n^@", []string{"1.1"}, transport.ErrProtocol, []string{"escape", "1.1"}},
		{"undefined escape in a name", "SEND\n%\ndestination:rpc\nk\\x:v\n\n^@", []string{"1.1", "1.2"}, transport.ErrProtocol, []string{"escape"}},
		{"escape cut off", "SEND\n%\ndestination:rpc\nk:a\\\n\n^@", []string{"1.1", "1.2"}, transport.ErrProtocol, []string{"escape"}},
		{"too many header lines", "SEND\n%\n" + strings.Repeat("k:v\n", 10) + "\n^@", versions, transport.ErrTooLarge, []string{"header", "10"}},
	} {
		for _, v := range c.versions {
			t.Run(c.name+"/"+v, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					o := &transport.ListenOptions{}
					o.Limits = limits
					r := newRig(t, o, nil)
					p := r.connect(v)
					p.expect("SUBSCRIBE\nid:taken\ndestination:taken\n\n^@", "")
					f := refused(t, p.say(strings.Replace(c.in, "%", "receipt:r-1", 1)))
					explains(t, f, c.says...)
					if got := f.Header.Get("receipt-id"); got != "r-1" {
						t.Errorf("ERROR has receipt-id:%s, want r-1", got)
					}
					_ = p.nc.Close()
					s := r.session()
					if err := s.ended(); !errors.Is(err, c.kind) {
						t.Errorf("Recv = %v, want an error of kind %v", err, c.kind)
					}
					if _, err := s.Recv(t.Context()); !errors.Is(err, c.kind) {
						t.Errorf("Recv once more = %v, want an error of kind %v", err, c.kind)
					}
				})
			})
		}
	}
}

// TestNULWithoutContentLength: the first NUL byte ends such a body, and the
// rest is no frame.
func TestNULWithoutContentLength(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		r := newRig(t, nil, nil)
		got := r.connect(version).say("SEND\ndestination:rpc\nreceipt:1\n\nhel\x00lo^@")
		receipt, rest, _ := strings.Cut(got, "\x00")
		one(t, receipt+"\x00", "RECEIPT")
		explains(t, refused(t, rest), "command", "lo")
		if m := r.session().received(); len(m) != 1 || string(m[0].Body) != "hel" {
			t.Errorf("the application received %v, want one message with the body hel", m)
		}
	})
}

// TestErrorBackslash: the line of an ERROR has the backslashes of its text where
// the version can escape them, and blanks where it cannot.
func TestErrorBackslash(t *testing.T) {
	for _, c := range []struct{ version, in, want string }{
		{"1.0", "SEND\ndestination:a\\b\n\n^@", `no destination "a  b"`},
		{"1.1", "SEND\ndestination:a\\\\b\n\n^@", `no destination "a\\b"`},
		{"1.2", "SEND\ndestination:a\\\\b\n\n^@", `no destination "a\\b"`},
		{"1.1", "SEND\nk:\\t\n\n^@", `STOMP 1.1 has \n \c \\`},
		{"1.2", "SEND\nk:\\t\n\n^@", `STOMP 1.2 has \n \c \\ \r`},
	} {
		t.Run(c.version, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				explains(t, refused(t, newRig(t, nil, nil).connect(c.version).say(c.in)), c.want)
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // no version is known yet
		got := newRig(t, nil, nil).dial().say("CONNECT\naccept-version:9\\9\nhost:h\n\n^@")
		if head, _, _ := strings.Cut(got, "\n\n"); strings.Contains(head, "\\") {
			t.Errorf("ERROR before the handshake has a backslash in its header:\n%s", printable(got))
		}
		explains(t, refused(t, got), "no common version")
	})
}

// TestErrorWithoutReceipt: what was not asked for is not there, even if an
// earlier frame asked.
func TestErrorWithoutReceipt(t *testing.T) {
	for name, bad := range map[string]string{
		"bad frame":   "ACK\nid:9\nmessage-id:9\n\n^@",
		"bad command": "WHAT\n\n^@",
		"garbage":     "\x01\x02\x03",
		"bad length":  "SEND\ncontent-length:x\nreceipt:late\n\n^@",
		"long head":   "SEND\nk:" + strings.Repeat("v", 70_000),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, version string) {
				p := newRig(t, nil, nil).connect(version)
				one(t, p.say("SEND\ndestination:rpc\nreceipt:early\n\n^@"), "RECEIPT")
				f := refused(t, p.say(bad))
				if id, ok := f.Header.Contains("receipt-id"); ok && id != "late" {
					t.Errorf("ERROR has receipt-id:%s, want none", id)
				}
			})
		})
	}
}

// TestNothingAfterERROR: frames behind the one that was refused do nothing.
func TestNothingAfterERROR(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		r := newRig(t, nil, nil)
		p := r.connect(version)
		f := refused(t, p.say("SEND\n\n^@SEND\ndestination:rpc\nreceipt:1\n\n^@"))
		explains(t, f, "destination")
		if got := r.session().received(); len(got) != 0 {
			t.Errorf("the application received %d messages, want none", len(got))
		}
	})
}

// TestErrorKeepsAnswers: what was sent before the ERROR arrives before it.
func TestErrorKeepsAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newRig(t, nil, nil).connect("1.2")
		var in strings.Builder
		for range 100 {
			in.WriteString("SEND\ndestination:rpc\nreceipt:1\n\n^@")
		}
		all, ended := frames(t, p.say(in.String()+"SEND\n\n^@"))
		if len(all) != 101 || all[99].Command != "RECEIPT" || all[100].Command != "ERROR" || !ended {
			t.Errorf("got %d frames, want 100 RECEIPT and one ERROR", len(all))
		}
	})
}

// TestHeaderLimitExact: the limit is the same however the bytes are split.
func TestHeaderLimitExact(t *testing.T) {
	const limit = 256
	for _, split := range []struct {
		name string
		size int
	}{{"whole", 1 << 20}, {"bytes", 1}, {"tens", 10}, {"just before the end", 250}} {
		for _, c := range []struct {
			size int
			ok   bool
		}{{100, true}, {limit - 1, true}, {limit, true}, {limit + 30, false}, {limit + 1000, false}, {limit + 10_000, false}} {
			t.Run(split.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					o := &transport.ListenOptions{}
					o.Limits.HeaderBytes = limit
					p := newRig(t, o, nil).connect("1.2")
					head := "SEND\ndestination:rpc\nreceipt:1\nk:"
					head += strings.Repeat("v", c.size-len(head)-len("\n\n")) + "\n\n"
					for rest := head + "\x00"; rest != ""; {
						n := min(split.size, len(rest))
						p.send(rest[:n])
						synctest.Wait()
						rest = rest[n:]
					}
					if got := p.taken(); c.ok {
						one(t, got, "RECEIPT")
					} else {
						explains(t, refused(t, got), "header", "256")
					}
				})
			})
		}
	}
}

func TestLimitsExact(t *testing.T) {
	for _, c := range []struct {
		name string
		l    transport.Limits
		in   string
		ok   bool
	}{
		{"body", transport.Limits{Message: 5}, "SEND\ndestination:rpc\nreceipt:1\n\nhello^@", true},
		{"body and one", transport.Limits{Message: 5}, "SEND\ndestination:rpc\nreceipt:1\n\nhello!^@", false},
		{"counted body", transport.Limits{Message: 5}, "SEND\ndestination:rpc\nreceipt:1\ncontent-length:5\n\nhello^@", true},
		{"counted body and one", transport.Limits{Message: 5}, "SEND\ndestination:rpc\nreceipt:1\ncontent-length:6\n\nhello!^@", false},
		{"headers", transport.Limits{Headers: 4}, "SEND\ndestination:rpc\nreceipt:1\na:1\nb:2\n\n^@", true},
		{"headers and one", transport.Limits{Headers: 4}, "SEND\ndestination:rpc\nreceipt:1\na:1\nb:2\nc:3\n\n^@", false},
		{"subscriptions", transport.Limits{Subscriptions: 2}, subscribeFrame("a") + subscribeFrame("b", "receipt:1"), true},
		{"subscriptions and one", transport.Limits{Subscriptions: 2}, subscribeFrame("a") + subscribeFrame("b") + subscribeFrame("c", "receipt:1"), false},
		{"subscriptions after one left", transport.Limits{Subscriptions: 1}, subscribeFrame("a") + "UNSUBSCRIBE\nid:a\n\n^@" + subscribeFrame("b", "receipt:1"), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &transport.ListenOptions{}
				o.Limits = c.l
				got := newRig(t, o, nil).connect("1.2").say(c.in)
				if c.ok {
					one(t, got, "RECEIPT")
				} else {
					refused(t, got)
				}
			})
		})
	}
}
