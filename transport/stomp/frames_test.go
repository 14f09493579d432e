package stomp_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/polyport/polyport/transport"
)

// sameMessage compares messages by what a user can see.
var sameMessage = cmp.Options{
	cmpopts.IgnoreUnexported(transport.Message{}),
	cmp.Comparer(func(a, b transport.ID) bool { return a == b }),
	cmpopts.EquateEmpty(),
}

func TestSENDBecomesMessage(t *testing.T) {
	for _, c := range []struct {
		name, in string
		versions []string
		want     transport.Message
	}{
		{"the least", "SEND\ndestination:/queue/rpc\n\n^@", versions, transport.Message{To: "/queue/rpc"}},
		{"plain name", "SEND\ndestination:rpc\n\nhello^@", versions, transport.Message{To: "rpc", Body: []byte("hello")}},
		{"CR LF", "SEND\r\ndestination:/queue/rpc\r\nk:v\r\n\r\nhello^@", versions, transport.Message{To: "/queue/rpc", Body: []byte("hello"), Headers: []transport.Header{{Name: "k", Value: "v"}}}},
		{"CR LF in the body stays", "SEND\ndestination:rpc\n\na\r\nb\r\n^@", versions, transport.Message{To: "rpc", Body: []byte("a\r\nb\r\n")}},
		{"every field", `
SEND
destination:/queue/rpc
reply-to:/temp-queue/a
content-type:application/json
subject:Math.Sum
correlation-id:c-1
amqp-message-id:m-1
expires:946684800123
persistent:true
x-y:z
content-length:2

{}^@`, versions, transport.Message{
			To: "/queue/rpc", ReplyTo: "/temp-queue/a", ContentType: "application/json", Subject: "Math.Sum",
			CorrelationID: transport.TextID("c-1"), ID: transport.TextID("m-1"), Expires: time.UnixMilli(946684800123), Durable: true,
			Headers: []transport.Header{{Name: "x-y", Value: "z"}}, Body: []byte("{}"),
		}},
		{"the protocol's own are no headers", "SEND\ndestination:rpc\nreceipt:1\nmessage-id:7\nsubscription:s\nack:9\nk:v\n\n^@", versions, transport.Message{
			To: "rpc", Headers: []transport.Header{{Name: "k", Value: "v"}},
		}},
		{"repeated headers are kept in order", "SEND\ndestination:rpc\nk:1\nj:2\nk:3\n\n^@", versions, transport.Message{
			To: "rpc", Headers: []transport.Header{{Name: "k", Value: "1"}, {Name: "j", Value: "2"}, {Name: "k", Value: "3"}},
		}},
		{"empty value", "SEND\ndestination:rpc\nk:\n\n^@", versions, transport.Message{To: "rpc", Headers: []transport.Header{{Name: "k"}}}},
		{"expires is no number", "SEND\ndestination:rpc\nexpires:soon\n\n^@", versions, transport.Message{To: "rpc"}},
		{"NUL in a counted body", "SEND\ndestination:rpc\ncontent-length:3\n\n\x00\x00\x00^@", versions, transport.Message{To: "rpc", Body: []byte{0, 0, 0}}},
		{"a frame in a counted body", "SEND\ndestination:rpc\ncontent-length:21\n\n^@DISCONNECT\nreceipt:\n^@", versions, transport.Message{To: "rpc", Body: []byte("\x00DISCONNECT\nreceipt:\n")}},
		{"blanks around a length", "SEND\ndestination:rpc\ncontent-length: 2 \n\nhi^@", versions, transport.Message{To: "rpc", Body: []byte("hi")}},
		{"leading blanks", "SEND\ndestination: rpc\nk:  v \n\n^@", []string{"1.0"}, transport.Message{To: "rpc", Headers: []transport.Header{{Name: "k", Value: "v "}}}},
		{"blanks are data", "SEND\ndestination:rpc\nk:  v \n\n^@", []string{"1.1", "1.2"}, transport.Message{To: "rpc", Headers: []transport.Header{{Name: "k", Value: "  v "}}}},
		{"no escapes", `
SEND
destination:rpc
k:a\nb\cc\\d\re\tf

^@`, []string{"1.0"}, transport.Message{To: "rpc", Headers: []transport.Header{{Name: "k", Value: `a\nb\cc\\d\re\tf`}}}},
		{"escapes of 1.1", `
SEND
destination:rpc
k\c\n\\:a\nb\cc\\d\\n

^@`, []string{"1.1", "1.2"}, transport.Message{To: "rpc", Headers: []transport.Header{{Name: "k:\n\\", Value: "a\nb:c\\d\\n"}}}},
		{"escapes of 1.2", `
SEND
destination:rpc
k:a\r\nb

^@`, []string{"1.2"}, transport.Message{To: "rpc", Headers: []transport.Header{{Name: "k", Value: "a\r\nb"}}}},
		{"bare colons in a value", "SEND\ndestination:rpc\nurl:http://h:1/\n\n^@", versions, transport.Message{To: "rpc", Headers: []transport.Header{{Name: "url", Value: "http://h:1/"}}}},
		{"UTF-8", "SEND\ndestination:rpc\nключ:значение\n\n日本^@", versions, transport.Message{To: "rpc", Body: []byte("日本"), Headers: []transport.Header{{Name: "ключ", Value: "значение"}}}},
	} {
		for _, v := range c.versions {
			t.Run(c.name+"/"+v, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, nil, nil)
					r.connect(v).send(wire(c.in))
					if diff := cmp.Diff([]*transport.Message{&c.want}, r.session().received(), sameMessage); diff != "" {
						t.Errorf("received (-want +got):\n%s", diff)
					}
				})
			})
		}
	}
}

func TestFirstOfRepeatedHeaders(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		r := newRig(t, nil, nil)
		r.connect(version).say(`
SEND
destination:rpc
destination:/queue/other
reply-to:/temp-queue/a
reply-to:/temp-queue/b
content-type:a/a
content-type:b/b
subject:a
subject:b
correlation-id:a
correlation-id:b
amqp-message-id:a
amqp-message-id:b
expires:1000
expires:2000
persistent:false
persistent:true
content-length:1
content-length:2

a^@`)
		want := []*transport.Message{{
			To: "rpc", ReplyTo: "/temp-queue/a", ContentType: "a/a", Subject: "a", CorrelationID: transport.TextID("a"), ID: transport.TextID("a"),
			Expires: time.UnixMilli(1000), Body: []byte("a"),
		}}
		if diff := cmp.Diff(want, r.session().received(), sameMessage); diff != "" {
			t.Errorf("received (-want +got):\n%s", diff)
		}
		p := r.connect(version)
		explains(t, refused(t, p.say("SEND\ndestination:\ndestination:rpc\n\n^@")), "destination")
	})
}

// TestMESSAGEBytes pins what a subscriber sees.
func TestMESSAGEBytes(t *testing.T) {
	full := transport.Message{
		To: "/queue/a", ReplyTo: "/queue/b", ContentType: "text/plain", Subject: "s",
		CorrelationID: transport.TextID("c"), ID: transport.NumberID(7), Expires: time.UnixMilli(1234), Durable: true,
		Headers: []transport.Header{{Name: "k", Value: "v"}, {Name: "k", Value: "w"}}, Body: []byte("x\x00y"),
	}
	special := transport.Message{To: "/queue/a", Headers: []transport.Header{{Name: "k", Value: `a:b\c`}}}
	breaks := transport.Message{To: "/queue/a", Headers: []transport.Header{{Name: "k:\n", Value: "a\nb"}}}
	returns := transport.Message{To: "/queue/a", Headers: []transport.Header{{Name: "k", Value: "a\r\n"}}}
	for _, c := range []struct {
		name, version string
		m             transport.Message
		want          string
	}{
		{"the least", "1.2", transport.Message{To: "/queue/a"}, "destination:/queue/a\ncontent-length:0\n\n^@"},
		{"every field", "1.2", full, `
destination:/queue/a
reply-to:/queue/b
content-type:text/plain
correlation-id:c
amqp-message-id:7
subject:s
expires:1234
persistent:true
k:v
k:w
content-length:3

x^@y^@`},
		{"special bytes", "1.0", special, "destination:/queue/a\nk:a:b\\c\ncontent-length:0\n\n^@"},
		{"special bytes", "1.1", special, "destination:/queue/a\nk:a\\cb\\\\c\ncontent-length:0\n\n^@"},
		{"special bytes", "1.2", special, "destination:/queue/a\nk:a\\cb\\\\c\ncontent-length:0\n\n^@"},
		{"line feeds", "1.1", breaks, "destination:/queue/a\nk\\c\\n:a\\nb\ncontent-length:0\n\n^@"},
		{"line feeds", "1.2", breaks, "destination:/queue/a\nk\\c\\n:a\\nb\ncontent-length:0\n\n^@"},
		{"carriage returns", "1.2", returns, "destination:/queue/a\nk:a\\r\\n\ncontent-length:0\n\n^@"},
	} {
		t.Run(c.name+"/"+c.version, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil, nil)
				p := r.connect(c.version)
				p.expect(subscribeFrame("/queue/a"), "")
				if err := r.session().Send(t.Context(), &c.m); err != nil {
					t.Fatal(err)
				}
				want := "MESSAGE\nsubscription:/queue/a\nmessage-id:1\n" + strings.TrimPrefix(c.want, "\n")
				if got := p.taken(); !matches(got, want) {
					t.Errorf("got\n%s\nwant\n%s", printable(got), want)
				}
			})
		})
	}
}

// TestUnspeakable: what a version cannot express is refused and leaves no byte.
func TestUnspeakable(t *testing.T) {
	header := func(name, value string) transport.Message {
		return transport.Message{To: "/queue/a", Headers: []transport.Header{{Name: name, Value: value}}}
	}
	for _, c := range []struct {
		name     string
		versions []string
		m        transport.Message
		err      error
	}{
		{"NUL in a value", versions, header("k", "a\x00b"), transport.ErrInvalid},
		{"NUL in a name", versions, header("a\x00b", "v"), transport.ErrInvalid},
		{"empty name", versions, header("", "v"), transport.ErrInvalid},
		{"line feed in a value", []string{"1.0"}, header("k", "a\nb"), transport.ErrInvalid},
		{"colon in a name", []string{"1.0"}, header("a:b", "v"), transport.ErrInvalid},
		{"carriage return", []string{"1.0", "1.1"}, header("k", "a\rb"), transport.ErrInvalid},
		{"line feed in a subject", []string{"1.0"}, transport.Message{To: "/queue/a", Subject: "a\nb"}, transport.ErrInvalid},
		{"NUL in a correlation id", versions, transport.Message{To: "/queue/a", CorrelationID: transport.TextID("\x00")}, transport.ErrInvalid},
		{"NUL in a reply-to", versions, transport.Message{To: "/queue/a", ReplyTo: "\x00"}, transport.ErrInvalid},
		{"NUL in a content-type", versions, transport.Message{To: "/queue/a", ContentType: "\x00"}, transport.ErrInvalid},
		{"body over the limit", versions, transport.Message{To: "/queue/a", Body: make([]byte, 1001)}, transport.ErrTooLarge},
		{"headers over the limit", versions, header("k", strings.Repeat("v", 5000)), transport.ErrTooLarge},
		{"nobody there", versions, transport.Message{To: "/queue/b"}, transport.ErrNoRoute},
		{"no destination", versions, transport.Message{}, transport.ErrNoRoute},
	} {
		for _, v := range c.versions {
			t.Run(c.name+"/"+v, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					o := &transport.ListenOptions{}
					o.Limits = transport.Limits{Message: 1000, HeaderBytes: 5000}
					r := newRig(t, o, nil)
					p := r.connect(v)
					p.expect(subscribeFrame("/queue/a"), "")
					s := r.session()
					publisher, _ := transport.As[transport.Publisher](s.Conn)
					confirmer, _ := transport.As[transport.Confirmer](s.Conn)
					told := func(err error) { t.Errorf("done was told %v by a send that failed", err) }
					for how, err := range map[string]error{
						"Send":          s.Send(t.Context(), &c.m),
						"Publish":       publisher.Publish(t.Context(), &c.m),
						"SendConfirmed": confirmer.SendConfirmed(t.Context(), &c.m, told),
					} {
						if !errors.Is(err, c.err) || !transport.NotSent(err) {
							t.Errorf("%s = %v, want an error of kind %v that says not sent", how, err, c.err)
						}
					}
					if got := p.taken(); got != "" {
						t.Errorf("the peer got\n%s", printable(got))
					}
				})
			})
		}
	}
}

// TestReservedHeaders: a header that has a field of its own in Message, or is
// the protocol's, would be lost or do harm.
func TestReservedHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, nil)
		r.connect("1.2").expect(subscribeFrame("/queue/a"), "")
		for _, name := range []string{
			"destination", "reply-to", "content-type", "content-length", "message-id", "subscription", "ack", "receipt", "receipt-id",
			"transaction", "correlation-id", "amqp-message-id", "subject", "expires", "persistent", "redelivered",
		} {
			m := transport.Message{To: "/queue/a", Headers: []transport.Header{{Name: name, Value: "1"}}}
			if err := r.session().Send(t.Context(), &m); !errors.Is(err, transport.ErrInvalid) || !strings.Contains(fmt.Sprint(err), name) {
				t.Errorf("Send with the header %s = %v, want an ErrInvalid that names it", name, err)
			}
		}
	})
}

func TestRequestAndAnswer(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		r := newRig(t, nil, echo)
		p := r.connect(version)
		p.expect("SUBSCRIBE\nid:s\ndestination:/queue/answers\n\n^@", "")
		p.expect(`
SEND
destination:/queue/rpc
reply-to:/queue/answers
correlation-id:1
content-type:application/json

[1]^@`, `
MESSAGE
subscription:s
message-id:1
destination:/queue/answers
content-type:application/json
correlation-id:1
content-length:3

[1]^@`)
		p.expect("SEND\ndestination:rpc\nreply-to:/temp-queue/a\n\n[2]^@", `
MESSAGE
subscription:/temp-queue/a
message-id:2
destination:/temp-queue/a
content-length:3

[2]^@`)
		explains(t, refused(t, p.say("SEND\ndestination:rpc\nreply-to:/queue/elsewhere\n\n[3]^@")), "reply-to", "/queue/elsewhere", "SUBSCRIBE")
	})
}

// TestAnswersStayAtHome: no name that another connection claims gets at them.
func TestAnswersStayAtHome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, echo)
		thief, owner := r.connect("1.2"), r.connect("1.2")
		thief.expect(subscribeFrame("/temp-queue/a")+subscribeFrame("/queue/answers"), "")
		owner.expect(subscribeFrame("/queue/answers"), "")
		one(t, owner.say("SEND\ndestination:rpc\nreply-to:/temp-queue/a\n\nmine^@"), "MESSAGE")
		one(t, owner.say("SEND\ndestination:rpc\nreply-to:/queue/answers\n\nmine^@"), "MESSAGE")
		thief.expect("", "")
		explains(t, refused(t, r.connect("1.2").say("SEND\ndestination:rpc\nreply-to:/queue/answers\n\n^@")), "reply-to")
	})
}

func TestDestinationsServed(t *testing.T) {
	for _, c := range []struct {
		name   string
		served []string
		to     string
		ok     bool
	}{
		{"default", nil, "/queue/rpc", true},
		{"default, plain", nil, "rpc", true},
		{"another", nil, "/queue/other", false},
		{"a part", nil, "/queue/rp", false},
		{"below", nil, "/queue/rpc/x", false},
		{"a topic of that name", nil, "/topic/rpc", false},
		{"one of two", []string{"calc", "jms.topic.vdsm_requests"}, "jms.topic.vdsm_requests", true},
		{"the other", []string{"calc", "jms.topic.vdsm_requests"}, "/queue/calc", true},
		{"not the default any more", []string{"calc"}, "/queue/rpc", false},
		{"with a slash", []string{"/topic/x"}, "/topic/x", true},
		{"with a slash only so", []string{"/topic/x"}, "/queue/topic/x", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, &transport.ListenOptions{Destinations: c.served}, nil)
				got := r.connect("1.2").say("SEND\ndestination:" + c.to + "\nreceipt:1\n\n^@")
				if c.ok {
					one(t, got, "RECEIPT")
				} else {
					f := refused(t, got)
					explains(t, f, c.to)
					if name := append(c.served, "/queue/rpc")[0]; !strings.Contains(f.Header.Get("message")+string(f.Body), name) {
						t.Errorf("ERROR says %q, want it to name what is served", f.Body)
					}
				}
			})
		})
	}
}

func TestReplyAddressOfServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &transport.ListenOptions{Destinations: []string{"calc", "b"}}, nil)
		r.connect("1.2")
		a, _ := transport.As[transport.ReplyAddresser](r.session().Conn)
		if got, err := a.ReplyAddress(context.Background()); got != "/queue/calc" || err != nil {
			t.Errorf("ReplyAddress = %q, %v, want /queue/calc", got, err)
		}
	})
}
