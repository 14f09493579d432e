package stomp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
	"github.com/polyport/polyport/transport/stomp"
)

// Here the test plays oVirt's host agent, vdsm, by the bytes that it sends and
// expects. UUIDs are written U1, U2 and so on, in the order in which they occur.

// agentConnected is the agent's CONNECTED: the client's pair of heart-beats the other
// way round, and no more.
const agentConnected = "CONNECTED\nversion:1.2\nheart-beat:6666,10000\n\n^@"

var (
	anyUUID = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	v4      = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
)

// An agent is a client of the profile, and the agent that the test plays.
type agent struct {
	*fakeServer
	log   bytes.Buffer
	names map[string]string // UUIDs by their numbers
	uuids []string
}

// agentOptions are o with the profile.
func agentOptions(o transport.DialOptions) *transport.DialOptions {
	o.Profile = transport.OVirt
	return &o
}

// dialAgent has a client dial rawURL, and does not answer yet. It needs a bubble.
func dialAgent(t *testing.T, rawURL string, o transport.DialOptions) *agent {
	t.Helper()
	a := &agent{names: make(map[string]string)}
	o.Logger = slog.New(slog.NewTextHandler(&a.log, nil))
	a.fakeServer = newFakeServer(t, rawURL, agentOptions(o))
	return a
}

// newAgent is dialAgent with the agent's answer.
func newAgent(t *testing.T, rawURL string, o transport.DialOptions) *agent {
	t.Helper()
	a := dialAgent(t, rawURL, o)
	a.taken()
	a.send(wire(agentConnected))
	a.conn()
	return a
}

// numbered is taken with UUIDs by their numbers.
func (a *agent) numbered() string {
	a.t.Helper()
	return anyUUID.ReplaceAllStringFunc(a.taken(), func(u string) string {
		if !v4.MatchString(u) {
			a.t.Errorf("%s is no random UUID", u)
		}
		if a.names[u] == "" {
			a.uuids = append(a.uuids, u)
			a.names[u] = fmt.Sprintf("U%d", len(a.uuids))
		}
		return a.names[u]
	})
}

// wants checks all that the client has sent.
func (a *agent) wants(want string) {
	a.t.Helper()
	if got := a.numbered(); got != wire(want) {
		a.t.Errorf("the client sent\n%s\nwant\n%s", printable(got), want)
	}
}

// replyAddress is where the client wants answers.
func (a *agent) replyAddress() string {
	a.t.Helper()
	by, _ := transport.As[transport.ReplyAddresser](a.conn())
	addr, err := by.ReplyAddress(a.t.Context())
	if err != nil {
		a.t.Fatalf("ReplyAddress = %v", err)
	}
	return addr
}

func TestAgentCONNECT(t *testing.T) {
	tests := []struct {
		name, url string
		o         transport.DialOptions
		want      string
	}{
		{"the least", "stomp://host.example", transport.DialOptions{}, "accept-version:1.2\nhost:host.example\nheart-beat:10000,6666\n"},
		{"the one version", "stomp://host.example?version=1.2", transport.DialOptions{}, "accept-version:1.2\nhost:host.example\nheart-beat:10000,6666\n"},
		{"a port and a path", "stomp://host.example:54321/x", transport.DialOptions{}, "accept-version:1.2\nhost:host.example\nheart-beat:10000,6666\n"},
		{"no raw colon", "stomp://[::1]:54321", transport.DialOptions{}, "accept-version:1.2\nhost:\\c\\c1\nheart-beat:10000,6666\n"},
		{"another host", "stomp://h?host=other", transport.DialOptions{}, "accept-version:1.2\nhost:other\nheart-beat:10000,6666\n"},
		{"virtual host", "stomp://h", transport.DialOptions{VirtualHost: "known\\as"}, "accept-version:1.2\nhost:known\\\\as\nheart-beat:10000,6666\n"},
		{"a user is not for the agent", "stomp://ann:a%3A%5C@h", transport.DialOptions{}, "accept-version:1.2\nhost:h\nheart-beat:10000,6666\nlogin:ann\npasscode:a:\\\n"},
		{"30 s", "stomp://h", transport.DialOptions{Options: transport.Options{Heartbeat: 30 * time.Second}}, "accept-version:1.2\nhost:h\nheart-beat:30000,20000\n"},
		{"no heart-beats", "stomp://h", transport.DialOptions{Options: transport.Options{Heartbeat: -1}}, "accept-version:1.2\nhost:h\nheart-beat:0,0\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := dialAgent(t, tt.url, tt.o)
				a.wants("CONNECT\n" + tt.want + "content-length:0\n\n^@")
				a.send(wire(agentConnected))
				i := a.conn().Info()
				if i.Profile != transport.OVirt || i.Version != "1.2" || !i.Addressed || !i.Headers || i.Peer != "" {
					t.Errorf("Info() = %+v", i)
				}
				a.wants("")
			})
		})
	}
}

// TestAgentHandshake is about the answers to CONNECT.
func TestAgentHandshake(t *testing.T) {
	tests := []struct {
		name, url, in string
		kind          error  // nil if it is taken
		says          string // by the error, or as the peer's name
	}{
		{"as vdsm answers", "stomp://h", agentConnected, nil, ""},
		{"no heart-beat", "stomp://h", "CONNECTED\nversion:1.2\n\n^@", nil, ""},
		{"zero heart-beat", "stomp://h", "CONNECTED\nheart-beat:0,0\nversion:1.2\n\n^@", nil, ""},
		{"a nudge before", "stomp://h", "\n\n" + agentConnected, nil, ""},
		{"nudges after", "stomp://h", agentConnected + "\n\n\n", nil, ""},
		{"our own server", "stomp://h", "CONNECTED\nversion:1.2\nheart-beat:10000,10000\nsession:x\nserver:polyport\ncontent-length:0\n\n^@", nil, "polyport"},
		{"escapes", "stomp://h", "CONNECTED\nversion:1.2\nserver:vdsm\\c4\\n\\\\\\r\n\n^@", nil, "vdsm:4\n\\\r"},
		{"a raw colon", "stomp://h", "CONNECTED\nversion:1.2\nserver:vdsm:4\n\n^@", nil, "vdsm:4"},
		{"CR LF", "stomp://h", "CONNECTED\r\nversion:1.2\r\n\r\n^@", nil, ""},
		{"ERROR without message", "stomp://h", "ERROR\n\nVersion unsupported^@", transport.ErrRefused, "Version unsupported"},
		{"ERROR with content-length", "stomp://h", "ERROR\ncontent-length:19\n\nVersion unsupported^@", transport.ErrRefused, "Version unsupported"},
		{"no version", "stomp://h", "CONNECTED\nheart-beat:0,0\n\n^@", transport.ErrProtocol, "version"},
		{"another version", "stomp://h", "CONNECTED\nversion:1.1\n\n^@", transport.ErrProtocol, "1.1"},
		{"undefined escape", "stomp://h", "CONNECTED\nversion:1.2\nserver:\\t\n\n^@", transport.ErrProtocol, "escape"},
		{"no numbers", "stomp://h", "CONNECTED\nversion:1.2\nheart-beat:a,b\n\n^@", transport.ErrProtocol, "heart-beat"},
		{"MESSAGE first", "stomp://h", "MESSAGE\nsubscription:x\n\n{}^@", transport.ErrProtocol, "MESSAGE"},
		{"TLS", "stomp://h", "\x16\x03\x01\x00", transport.ErrProtocol, "TLS"},
		{"another version asked for", "stomp://h?version=1.1", "", transport.ErrInvalid, "1.2"},
		{"versions asked for", "stomp://h?version=1.1,1.2", "", transport.ErrInvalid, "1.2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := dialAgent(t, tt.url, transport.DialOptions{})
				a.taken()
				a.send(wire(tt.in))
				if tt.kind != nil {
					if err := a.refused(); !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.says) {
						t.Errorf("Client = %v, want a %v that says %q", err, tt.kind, tt.says)
					}
					return
				}
				if got := a.conn().Info().Peer; got != tt.says {
					t.Errorf("Peer = %q, want %q", got, tt.says)
				}
				if a.replyAddress() == "" {
					t.Error("no address for answers")
				}
			})
		})
	}
}

// TestAgentGets is what the client sends for each of its calls, byte for byte.
func TestAgentGets(t *testing.T) {
	body := []byte(`{"jsonrpc":"2.0","method":"Host.ping","id":"x"}`)
	later := time.Now().Add(time.Hour)
	send := func(m transport.Message) func(*agent) error {
		return func(a *agent) error { return a.conn().Send(a.t.Context(), &m) }
	}
	call := func(m transport.Message) func(*agent) error {
		return func(a *agent) error {
			m.ReplyTo = a.replyAddress()
			return a.conn().Send(a.t.Context(), &m)
		}
	}
	subscribe := func(s transport.Subscription) func(*agent) error {
		return func(a *agent) error {
			by, _ := transport.As[transport.Subscriber](a.conn())
			_, err := by.Subscribe(a.t.Context(), s)
			return err
		}
	}
	const subscribed = "SUBSCRIBE\ndestination:U1\nid:U2\nack:auto\ncontent-length:0\n\n^@"
	tests := []struct {
		name, url string
		do        func(*agent) error
		want      string
	}{
		{"a call", "stomp://h", call(transport.Message{ContentType: "application/json", Body: body}), subscribed +
			"SEND\ndestination:jms.topic.vdsm_requests\nreply-to:U1\ncontent-type:application/json\ncontent-length:47\n\n" + string(body) + "^@"},
		{"storage", "stomp://h/jms.topic.vdsm_irs_requests", call(transport.Message{Body: body}), subscribed +
			"SEND\ndestination:jms.topic.vdsm_irs_requests\nreply-to:U1\ncontent-length:47\n\n" + string(body) + "^@"},
		{"a slash at the end", "stomp://h/", send(transport.Message{}), "SEND\ndestination:jms.topic.vdsm_requests\ncontent-length:0\n\n^@"},
		{"below", "stomp://h/jms.topic.vdsm_requests.host.stats", send(transport.Message{}), "SEND\ndestination:jms.topic.vdsm_requests.host.stats\ncontent-length:0\n\n^@"},
		{"as 3.5 had it", "stomp://h/queue/_local/vdsm/requests", send(transport.Message{}), "SEND\ndestination:/queue/_local/vdsm/requests\ncontent-length:0\n\n^@"},
		{"an escape in the path", "stomp://h/a%2Fb%20c", send(transport.Message{}), "SEND\ndestination:/a/b c\ncontent-length:0\n\n^@"},
		{"elsewhere", "stomp://h", send(transport.Message{To: "jms.queue.events"}), "SEND\ndestination:jms.queue.events\ncontent-length:0\n\n^@"},
		{"answers elsewhere", "stomp://h", send(transport.Message{ReplyTo: "jms.topic.vdsm_responses"}), "SEND\ndestination:jms.topic.vdsm_requests\nreply-to:jms.topic.vdsm_responses\ncontent-length:0\n\n^@"},
		{
			"flow id", "stomp://h", send(transport.Message{Headers: []transport.Header{{Name: "ovirtCorrelationId", Value: "a1b2:c\\\n"}}}),
			"SEND\ndestination:jms.topic.vdsm_requests\novirtCorrelationId:a1b2\\cc\\\\\\n\ncontent-length:0\n\n^@",
		},
		{"what the agent has no word for", "stomp://h", send(transport.Message{
			ID: transport.TextID("i"), CorrelationID: transport.NumberID(7), Subject: "Host.ping", Expires: later, Durable: true, Body: []byte("[]"),
		}), "SEND\ndestination:jms.topic.vdsm_requests\ncontent-length:2\n\n[]^@"},
		{"NUL in the body", "stomp://h", send(transport.Message{Body: []byte("a\x00b")}), "SEND\ndestination:jms.topic.vdsm_requests\ncontent-length:3\n\na^@b^@"},
		{"events", "stomp://h", subscribe(transport.Subscription{Destination: "jms.queue.events"}), "SUBSCRIBE\ndestination:jms.queue.events\nid:U1\nack:auto\ncontent-length:0\n\n^@"},
		{"an id of one's own is for us alone", "stomp://h", subscribe(transport.Subscription{ID: "mine", Destination: "jms.queue.events"}), "SUBSCRIBE\ndestination:jms.queue.events\nid:U1\nack:auto\ncontent-length:0\n\n^@"},
		{"further headers", "stomp://h", subscribe(transport.Subscription{Destination: "d", Headers: []transport.Header{{Name: "a:b", Value: "c"}}}), "SUBSCRIBE\ndestination:d\nid:U1\nack:auto\na\\cb:c\ncontent-length:0\n\n^@"},
		{"no destination", "stomp://h", subscribe(transport.Subscription{}), "SUBSCRIBE\ndestination:jms.topic.vdsm_requests\nid:U1\nack:auto\ncontent-length:0\n\n^@"},
		{"unsubscribe", "stomp://h", func(a *agent) error {
			by, _ := transport.As[transport.Subscriber](a.conn())
			id, err := by.Subscribe(a.t.Context(), transport.Subscription{ID: "mine", Destination: "d"})
			if err == nil {
				err = by.Unsubscribe(a.t.Context(), id)
			}
			return err
		}, "SUBSCRIBE\ndestination:d\nid:U1\nack:auto\ncontent-length:0\n\n^@UNSUBSCRIBE\nid:U1\ncontent-length:0\n\n^@"},
		{"one queue for all answers", "stomp://h", func(a *agent) error {
			if first, again := a.replyAddress(), a.replyAddress(); first != again {
				a.t.Errorf("ReplyAddress = %s, then %s", first, again)
			}
			return nil
		}, subscribed},
		{"close", "stomp://h", func(a *agent) error {
			go a.conn().Close()
			return nil
		}, "DISCONNECT\nreceipt:bye\ncontent-length:0\n\n^@^D"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAgent(t, tt.url, transport.DialOptions{})
				if err := tt.do(a); err != nil {
					t.Fatal(err)
				}
				a.wants(tt.want)
			})
		})
	}
}

// TestAgentIsNotAsked: what the agent cannot do is refused here, and nothing is sent.
func TestAgentIsNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := transport.DialOptions{}
		o.Limits.Subscriptions = 2
		o.Limits.Message = 10
		a := newAgent(t, "stomp://h", o)
		by, _ := transport.As[transport.Subscriber](a.conn())
		subscribe := func(s transport.Subscription) error {
			_, err := by.Subscribe(t.Context(), s)
			return err
		}
		if err := subscribe(transport.Subscription{ID: "a", Destination: "d"}); err != nil {
			t.Fatal(err)
		}
		a.taken()
		for _, tt := range []struct {
			name string
			err  error
			kind error
		}{
			{"ack each", subscribe(transport.Subscription{Destination: "d", Ack: transport.AckEach}), transport.ErrUnsupported},
			{"ack up to", subscribe(transport.Subscription{Destination: "d", Ack: transport.AckUpTo}), transport.ErrUnsupported},
			{"credit", subscribe(transport.Subscription{Destination: "d", Credit: 1}), transport.ErrUnsupported},
			{"repeated id", subscribe(transport.Subscription{ID: "a", Destination: "e"}), transport.ErrInvalid},
			{"NUL in the destination", subscribe(transport.Subscription{Destination: "\x00"}), transport.ErrInvalid},
			{"unknown id", by.Unsubscribe(t.Context(), "zzz"), transport.ErrInvalid},
			{"the agent's id", by.Unsubscribe(t.Context(), "U1"), transport.ErrInvalid},
			{"too long", a.conn().Send(t.Context(), &transport.Message{Body: make([]byte, 11)}), transport.ErrTooLarge},
			{"a header of ours", a.conn().Send(t.Context(), &transport.Message{Headers: []transport.Header{{Name: "receipt", Value: "1"}}}), transport.ErrInvalid},
		} {
			if !errors.Is(tt.err, tt.kind) || !transport.NotSent(tt.err) {
				t.Errorf("%s: err = %v, want a %v, not sent", tt.name, tt.err, tt.kind)
			}
		}
		if _, confirms := transport.As[transport.Confirmer](a.conn()); confirms {
			t.Error("the connection is a Confirmer, want none: the agent gives no receipts")
		}
		a.wants("")
		if err := subscribe(transport.Subscription{ID: "b", Destination: "d"}); err != nil {
			t.Errorf("Subscribe after refusals = %v", err)
		}
		if err := subscribe(transport.Subscription{ID: "c", Destination: "d"}); !errors.Is(err, transport.ErrTooLarge) {
			t.Errorf("Subscribe over the limit = %v, want ErrTooLarge", err)
		}
	})
}

// TestAgentSays is what the client makes of what the agent sends. U2 is the
// subscription of its answers, and U3 that of events, which its user calls "events".
func TestAgentSays(t *testing.T) {
	flow := []transport.Header{{Name: "ovirtCorrelationId", Value: "f:1"}}
	tests := []struct {
		name, in string
		want     []transport.Message
	}{
		{
			"an answer", "MESSAGE\ndestination:U1\ncontent-type:application/json\nsubscription:U2\ncontent-length:2\n\n{}^@",
			[]transport.Message{{To: "U1", ContentType: "application/json", Subscription: "U2", Body: []byte("{}")}},
		},
		{
			"an event", "MESSAGE\ndestination:jms.queue.events\ncontent-type:application/json\nsubscription:U3\ncontent-length:2\n\n{}^@",
			[]transport.Message{{To: "jms.queue.events", ContentType: "application/json", Subscription: "events", Body: []byte("{}")}},
		},
		{"with a message-id", "MESSAGE\nmessage-id:9\ndestination:U1\nsubscription:U2\n\n{}^@", []transport.Message{{To: "U1", Subscription: "U2", Body: []byte("{}")}}},
		{
			"forwarded, with all that its SEND had", "MESSAGE\ndestination:d\nreply-to:back\nreceipt:7\novirtCorrelationId:f\\c1\ncontent-length:2\nsubscription:U3\n\n[]^@",
			[]transport.Message{{To: "d", ReplyTo: "back", Subscription: "events", Headers: flow, Body: []byte("[]")}},
		},
		{
			"two at once", "MESSAGE\nsubscription:U2\ncontent-length:1\n\na^@MESSAGE\nsubscription:U3\ncontent-length:1\n\nb^@",
			[]transport.Message{{Subscription: "U2", Body: []byte("a")}, {Subscription: "events", Body: []byte("b")}},
		},
		{
			"nudges", "\n\nMESSAGE\nsubscription:U2\ncontent-length:1\n\na^@\n\n\nMESSAGE\nsubscription:U2\ncontent-length:1\n\nb^@\n",
			[]transport.Message{{Subscription: "U2", Body: []byte("a")}, {Subscription: "U2", Body: []byte("b")}},
		},
		{"no content-length", "MESSAGE\nsubscription:U2\n\na^@", []transport.Message{{Subscription: "U2", Body: []byte("a")}}},
		{"of no subscription", "MESSAGE\nsubscription:other\n\na^@MESSAGE\n\nb^@", []transport.Message{{Subscription: "other", Body: []byte("a")}, {Body: []byte("b")}}},
		{"ERROR is no end", "ERROR\n\nSubscription not available^@MESSAGE\nsubscription:U2\n\na^@", []transport.Message{{Subscription: "U2", Body: []byte("a")}}},
		{"nor one with a message", "ERROR\nmessage:no\nreceipt-id:1\ncontent-length:0\n\n^@MESSAGE\nsubscription:U2\n\na^@", []transport.Message{{Subscription: "U2", Body: []byte("a")}}},
		{"RECEIPT of nothing", "RECEIPT\nreceipt-id:bye\n\n^@MESSAGE\nsubscription:U2\n\na^@", []transport.Message{{Subscription: "U2", Body: []byte("a")}}},
	}
	for _, tt := range tests {
		for _, split := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/split=%v", tt.name, split), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					a := newAgent(t, "stomp://h", transport.DialOptions{})
					a.replyAddress()
					by, _ := transport.As[transport.Subscriber](a.conn())
					if _, err := by.Subscribe(t.Context(), transport.Subscription{ID: "events", Destination: "jms.queue.events"}); err != nil {
						t.Fatal(err)
					}
					a.numbered()
					spelled := strings.NewReplacer("U1", a.uuids[0], "U2", a.uuids[1], "U3", a.uuids[2])
					r := a.receive()
					in := spelled.Replace(wire(tt.in))
					if split {
						for _, b := range []byte(in) {
							a.send(string(b))
							synctest.Wait()
						}
					} else {
						a.send(in)
					}
					for _, want := range tt.want {
						want.To, want.Subscription = spelled.Replace(want.To), spelled.Replace(want.Subscription)
						if diff := cmp.Diff(&want, r.next(), sameMessage); diff != "" {
							t.Errorf("Recv (-want +got):\n%s", diff)
						}
					}
					if m := r.next(); m != nil {
						t.Errorf("Recv, once more = %v", m)
					}
					if logged := strings.Contains(a.log.String(), "refused"); logged != strings.Contains(tt.in, "ERROR") {
						t.Errorf("the log has\n%s", a.log.String())
					}
					if err := a.conn().Send(t.Context(), &transport.Message{}); err != nil {
						t.Errorf("Send = %v", err)
					}
				})
			})
		}
	}
}

// TestAgentGoesMad: what no agent says ends the connection, with the reason.
func TestAgentGoesMad(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		kind     error
		says     string
	}{
		{"garbage", "nonsense", transport.ErrProtocol, "nonsense"},
		{"a client's frame", "SEND\ndestination:d\n\n^@", transport.ErrProtocol, "SEND"},
		{"CONNECTED again", agentConnected, transport.ErrProtocol, "CONNECTED"},
		{"undefined escape", "MESSAGE\nk:a\\tb\n\n^@", transport.ErrProtocol, "escape"},
		{"content-length that lies", "MESSAGE\ncontent-length:1\n\nab^@", transport.ErrProtocol, "content-length"},
		{"content-length of no number", "MESSAGE\ncontent-length:x\n\n^@", transport.ErrProtocol, "content-length"},
		{"a long body", "MESSAGE\ncontent-length:1001\n\n", transport.ErrTooLarge, "1001"},
		{"a long ERROR", "ERROR\n\n" + strings.Repeat("x", 1001), transport.ErrTooLarge, "1000"},
		{"many headers", "MESSAGE\n" + strings.Repeat("k:v\n", 6) + "\n^@", transport.ErrTooLarge, "header"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := transport.DialOptions{}
				o.Limits = transport.Limits{Message: 1000, Headers: 5}
				a := newAgent(t, "stomp://h", o)
				r := a.receive()
				a.send(wire(tt.in))
				if err := <-r.err; !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("Recv = %v, want a %v that says %q", err, tt.kind, tt.says)
				}
			})
		})
	}
}

// TestAgentCloses: Close ends in time whatever the agent does about DISCONNECT.
func TestAgentCloses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer string
		hangUp bool
		took   time.Duration
	}{
		{"it answers and stays", "RECEIPT\nreceipt-id:bye\n\n^@", false, 3 * time.Second},
		{"it says nothing", "", false, 3 * time.Second},
		{"it talks on", strings.Repeat("MESSAGE\nsubscription:x\n\n{}^@", 1000), false, 3 * time.Second},
		{"it closes", "RECEIPT\nreceipt-id:bye\n\n^@", true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := transport.DialOptions{}
				o.Linger = 3 * time.Second
				a := newAgent(t, "stomp://h", o)
				r := a.receive()
				start := time.Now()
				closed := make(chan error, 1)
				go func() { closed <- a.conn().Close() }()
				a.wants("DISCONNECT\nreceipt:bye\ncontent-length:0\n\n^@^D")
				a.send(wire(tt.answer))
				if tt.hangUp {
					_ = a.nc.Close()
				}
				if err := <-closed; err != nil || time.Since(start) != tt.took {
					t.Errorf("Close = %v after %v, want nil after %v", err, time.Since(start), tt.took)
				}
				if err := <-r.err; !errors.Is(err, transport.ErrClosed) {
					t.Errorf("Recv = %v, want ErrClosed", err)
				}
			})
		})
	}
}

// TestAgentHeartbeats holds the client against what vdsm does: it judges at exactly
// the promised time, and beats then and no earlier.
func TestAgentHeartbeats(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name         string
		o            time.Duration
		answer       string // of the agent
		promised     time.Duration
		judged       time.Duration // 0 if the agent's silence is no end
		beat         time.Duration // the agent's, at which the connection lasts
		tooLateBeats time.Duration
	}{
		{"the default", 0, "6666,10000", 10 * s, 11 * s, 6666 * time.Millisecond, 11001 * time.Millisecond},
		{"late by half", 0, "6666,10000", 10 * s, 11 * s, 9999 * time.Millisecond, 12 * s},
		{"raised to a second", s, "1000,1000", s, 1100 * time.Millisecond, s, 1200 * time.Millisecond},
		{"less than a second", s / 10, "1000,1000", s, 1100 * time.Millisecond, s, 1200 * time.Millisecond},
		{"the agent beats not", 0, "0,10000", 10 * s, 0, 0, 0},
		{"the agent listens not", 0, "6666,0", 0, 11 * s, 6666 * time.Millisecond, 12 * s},
		{"neither", -1, "0,0", 0, 0, 0, 0},
		{"the agent is slower", s, "5000,5000", 5 * s, 5500 * time.Millisecond, 5 * s, 6 * s},
	} {
		open := func(t *testing.T) (*agent, *receiving) {
			o := transport.DialOptions{}
			o.Heartbeat = tt.o
			a := dialAgent(t, "stomp://h", o)
			a.taken()
			a.send(wire("CONNECTED\nversion:1.2\nheart-beat:" + tt.answer + "\n\n^@"))
			r := a.receive()
			return a, r
		}
		t.Run(tt.name+"/promise kept", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, r := open(t)
				if tt.judged > 0 {
					go a.beats(t.Context(), tt.beat)
				}
				if tt.promised == 0 {
					time.Sleep(time.Hour)
					a.wants("")
					return
				}
				for range 1000 { // nothing may be missed in a promised interval, however it lies
					time.Sleep(tt.promised*2/3 + time.Millisecond)
					if got := a.taken(); got == "" || strings.Trim(got, "\n") != "" {
						t.Fatalf("within %v the agent got %q, want a line end", tt.promised*2/3, got)
					}
				}
				select {
				case err := <-r.err:
					t.Errorf("Recv = %v, want a connection that lasts", err)
				default:
				}
			})
		})
		t.Run(tt.name+"/half dead", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, r := open(t)
				start := time.Now()
				if tt.judged == 0 {
					time.Sleep(time.Hour)
					if m := r.next(); m != nil || len(r.err) > 0 {
						t.Error("the connection has ended, want one that lasts")
					}
					return
				}
				if err := <-r.err; !errors.Is(err, transport.ErrHeartbeat) || time.Since(start) != tt.judged {
					t.Errorf("Recv = %v after %v, want ErrHeartbeat after %v", err, time.Since(start), tt.judged)
				}
			})
		})
		if tt.tooLateBeats == 0 {
			continue
		}
		t.Run(tt.name+"/too late", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, r := open(t)
				time.Sleep(tt.tooLateBeats)
				a.send("\n")
				if err := <-r.err; !errors.Is(err, transport.ErrHeartbeat) {
					t.Errorf("Recv = %v, want ErrHeartbeat", err)
				}
			})
		})
	}
}

// beats has the agent show life when that much time has passed.
func (a *agent) beats(ctx context.Context, every time.Duration) {
	for {
		select {
		case <-time.After(every):
			a.send("\n")
		case <-ctx.Done():
			return
		}
	}
}

// TestAgentOneFrameAWrite: what is held back and then leaves together leaves by a
// write for each frame all the same.
func TestAgentOneFrameAWrite(t *testing.T) {
	near, far := pipe(t)
	p := newPeer(t, far)
	p.send(wire(agentConnected))
	nc := &written{Conn: near}
	u, _ := url.Parse("stomp://h")
	c, err := stomp.Transport{}.Client(t.Context(), nc, u, agentOptions(transport.DialOptions{Options: transport.Options{Linger: time.Millisecond}}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var senders sync.WaitGroup
	for i := range 50 {
		senders.Go(func() {
			if err := c.Send(t.Context(), &transport.Message{Body: bytes.Repeat([]byte("x"), i*20)}); err != nil {
				t.Errorf("Send = %v", err)
			}
		})
	}
	senders.Wait()
	if f, _ := transport.As[transport.Flusher](c); f.Flush(t.Context()) != nil {
		t.Error("Flush has failed")
	}
	nc.mu.Lock()
	defer nc.mu.Unlock()
	if len(nc.all) != 51 {
		t.Errorf("%d writes, want one for CONNECT and 50", len(nc.all))
	}
	for _, w := range nc.all {
		if all, _ := frames(t, w); len(all) != 1 {
			t.Errorf("a write of\n%s\nwant one frame", printable(w))
		}
	}
}

// written notes what each write has.
type written struct {
	net.Conn
	mu  sync.Mutex
	all []string
}

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	w.all = append(w.all, string(p))
	w.mu.Unlock()
	return w.Conn.Write(p)
}

// A site is an agent that is dialed again and again. It needs a bubble.
type site struct {
	*agent
	dialed chan *peer
	conn   transport.Conn
}

// newSite redials an agent that has been reached for the first time.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{dialed: make(chan *peer, 1)}
	u, _ := url.Parse("stomp://h")
	o := agentOptions(transport.DialOptions{})
	redialed := make(chan error, 1)
	go func() {
		var err error
		s.conn, err = transport.Redial(context.Background(), "stomp://h", &transport.RedialOptions{Dial: func(ctx context.Context) (transport.Conn, error) {
			near, far := mem.Pipe()
			s.dialed <- newPeer(t, near)
			return stomp.Transport{}.Client(ctx, far, u, o)
		}})
		redialed <- err
	}()
	s.agent = &agent{names: make(map[string]string)}
	s.accept(t)
	if err := <-redialed; err != nil {
		t.Fatal(err)
	}
	s.opened = s.conn
	return s
}

// accept answers the next CONNECT, which must be as every other.
func (s *site) accept(t *testing.T) {
	t.Helper()
	s.fakeServer = &fakeServer{peer: <-s.dialed, opened: s.conn}
	s.wants("CONNECT\naccept-version:1.2\nhost:h\nheart-beat:10000,6666\ncontent-length:0\n\n^@")
	s.send(wire(agentConnected))
}

// cut ends the connection, and accepts the next.
func (s *site) cut(t *testing.T) {
	t.Helper()
	_ = s.nc.Close()
	s.accept(t)
	s.uuids, s.names = nil, map[string]string{}
}

// TestAgentReconnects: on each of a hundred connections the promises are the same,
// and the subscriptions and the queue for answers are there, by new ids.
func TestAgentReconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		defer s.conn.Close()
		r := make(chan *transport.Message, 1)
		go func() {
			for {
				m, err := s.conn.Recv(t.Context())
				switch {
				case err == nil:
					r <- m
				case !errors.Is(err, transport.ErrReconnecting):
					return
				}
			}
		}()
		by, _ := transport.As[transport.Subscriber](s.conn)
		if _, err := by.Subscribe(t.Context(), transport.Subscription{ID: "events", Destination: "jms.queue.events"}); err != nil {
			t.Fatal(err)
		}
		stale := s.replyAddress()
		s.wants("SUBSCRIBE\ndestination:jms.queue.events\nid:U1\nack:auto\ncontent-length:0\n\n^@SUBSCRIBE\ndestination:U2\nid:U3\nack:auto\ncontent-length:0\n\n^@")
		seen := map[string]bool{}
		for i := range 100 {
			for _, u := range s.uuids {
				if seen[u] {
					t.Fatalf("%s is used again", u)
				}
				seen[u] = true
			}
			s.cut(t)
			s.wants("SUBSCRIBE\ndestination:jms.queue.events\nid:U1\nack:auto\ncontent-length:0\n\n^@")
			s.send(wire("MESSAGE\ndestination:jms.queue.events\nsubscription:" + s.uuids[0] + "\n\n{}^@"))
			if m := <-r; m.Subscription != "events" {
				t.Fatalf("an event came by %q", m.Subscription)
			}
			// The address was asked of an earlier connection, just before it was lost.
			if err := s.conn.Send(t.Context(), &transport.Message{ReplyTo: stale, Body: []byte("{}")}); err != nil {
				t.Fatal(err)
			}
			s.wants("SUBSCRIBE\ndestination:U2\nid:U3\nack:auto\ncontent-length:0\n\n^@" +
				"SEND\ndestination:jms.topic.vdsm_requests\nreply-to:U2\ncontent-length:2\n\n{}^@")
			if now := s.replyAddress(); now == stale || now != s.uuids[1] {
				t.Fatalf("connection %d: ReplyAddress = %s, want the new %s", i, now, s.uuids[1])
			}
			if i%2 == 0 {
				stale = s.replyAddress()
			}
		}
		confirmer, _ := transport.As[transport.Confirmer](s.conn)
		if err := confirmer.SendConfirmed(t.Context(), &transport.Message{}, nil); !errors.Is(err, transport.ErrUnsupported) {
			t.Errorf("SendConfirmed = %v, want ErrUnsupported", err)
		}
	})
}

// TestAgentByURL: the profile may be named in the URL, and nothing else is the wire's.
func TestAgentByURL(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var server sync.WaitGroup
	defer server.Wait()
	server.Go(func() {
		nc, err := ln.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer nc.Close()
		buf := make([]byte, 1000)
		n, _ := nc.Read(buf)
		want := wire("CONNECT\naccept-version:1.2\nhost:127.0.0.1\nheart-beat:10000,6666\ncontent-length:0\n\n^@")
		if got := string(buf[:n]); got != want {
			t.Errorf("the agent got\n%s\nwant\n%s", printable(got), printable(want))
		}
		_, _ = nc.Write([]byte(wire(agentConnected)))
		_, _ = nc.Read(buf)
	})
	c, err := transport.Dial(t.Context(), "stomp://"+ln.Addr().String()+"?profile=ovirt", nil)
	if err != nil {
		t.Fatal(err)
	}
	if p := c.Info().Profile; p != transport.OVirt {
		t.Errorf("Profile = %q", p)
	}
	_ = c.Close()
	if _, err := transport.Dial(t.Context(), "stomp://127.0.0.1:1?profile=odl", nil); !errors.Is(err, transport.ErrInvalid) || !strings.Contains(err.Error(), "ovirt") {
		t.Errorf("Dial with profile=odl = %v, want ErrInvalid that names ovirt", err)
	}
}

// TestAgentCallsThroughReconnect: of the calls under way nobody can tell what became,
// the connection is lost once for each, and the next call goes by the new one.
func TestAgentCallsThroughReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		c := rpc.NewClient(s.conn, nil)
		const n = 50
		ended := make(chan error, n)
		for range n {
			go func() { ended <- c.Call(t.Context(), "Host.getStats", nil, nil) }()
		}
		if got := strings.Count(s.numbered(), "SEND\n"); got != n {
			t.Fatalf("%d calls came, want %d", got, n)
		}
		s.cut(t)
		for range n {
			if err := <-ended; rpc.OutcomeOf(err) != rpc.Unknown || !errors.Is(err, transport.ErrReconnecting) {
				t.Errorf("a call under way ended with %v, want an unknown outcome", err)
			}
		}
		answered := make(chan error, 1)
		var result string
		go func() { answered <- c.Call(t.Context(), "Host.ping", nil, &result) }()
		sent := s.taken()
		id := regexp.MustCompile(`"id":([^,}]+)`).FindStringSubmatch(sent)
		sub := regexp.MustCompile(`SUBSCRIBE\ndestination:(.*)\nid:(.*)\n`).FindStringSubmatch(sent)
		if len(id) == 0 || len(sub) == 0 || !strings.Contains(sent, "\nreply-to:"+sub[1]+"\n") {
			t.Fatalf("the new connection got\n%s", printable(sent))
		}
		s.send(wire("MESSAGE\ndestination:" + sub[1] + "\nsubscription:" + sub[2] + "\n\n" + `{"jsonrpc":"2.0","id":` + id[1] + `,"result":"pong"}^@`))
		if err := <-answered; err != nil || result != "pong" {
			t.Errorf("Call = %q, %v", result, err)
		}
		closed := make(chan error, 1)
		go func() { closed <- c.Close() }()
		s.wants("DISCONNECT\nreceipt:bye\ncontent-length:0\n\n^@^D")
		<-closed
	})
}

// TestAgentHalfDead: an agent that takes calls and says nothing any more is noticed,
// and its calls end, at 1.1 times the interval.
func TestAgentHalfDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		c := rpc.NewClient(s.conn, nil)
		defer c.Close()
		start := time.Now()
		if err := c.Call(t.Context(), "Host.ping", nil, nil); rpc.OutcomeOf(err) != rpc.Unknown || !errors.Is(err, transport.ErrHeartbeat) {
			t.Errorf("Call = %v, want ErrHeartbeat and an unknown outcome", err)
		}
		if took := time.Since(start); took != 11*time.Second {
			t.Errorf("the call ended after %v, want 11s", took)
		}
		s.accept(t)
	})
}
