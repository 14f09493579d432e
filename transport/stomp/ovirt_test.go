package stomp_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gostomp "github.com/go-stomp/stomp/v3"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
	"github.com/polyport/polyport/transport/stomp"
)

// What oVirt's clients send, as they were seen to.
const (
	ovirtConnect   = "CONNECT\naccept-version:1.2\nheart-beat:0,15000\nhost:host-1\n\n^@"
	ovirtAnswers   = "SUBSCRIBE\ndestination:jms.topic.vdsm_responses\nid:r\nack:auto\n\n^@"
	ovirtEvents    = "SUBSCRIBE\ndestination:jms.queue.events\nid:e\nack:auto\n\n^@"
	ovirtRequest   = "SEND\ndestination:jms.topic.vdsm_requests\nreply-to:jms.topic.vdsm_responses\ncontent-length:4\n\nping^@"
	ovirtConnected = "CONNECTED\nversion:1.2\nheart-beat:10000,0\nsession:…\nserver:polyport\ncontent-length:0\n\n^@"
)

// ovirtAnswer is what echo answers to ovirtRequest, by a subscription.
func ovirtAnswer(subscription string, id int, body string) string {
	return fmt.Sprintf("MESSAGE\nsubscription:%s\nmessage-id:%d\ndestination:jms.topic.vdsm_responses\ncontent-length:%d\n\n%s^@",
		subscription, id, len(body), body)
}

// ovirtError is an ERROR that ends nothing.
func ovirtError(text string, lines ...string) string {
	line := strings.ReplaceAll(text, ":", ";")
	more := strings.Join(append(lines, ""), "\n")
	return fmt.Sprintf("ERROR\nversion:1.0,1.1,1.2\nmessage:%s\ncontent-type:text/plain\n%scontent-length:%d\n\n%s\n^@",
		line, more, len(text)+1, text)
}

// ovirtOptions are those of a listener for oVirt's clients.
func ovirtOptions() *transport.ListenOptions {
	o := new(transport.ListenOptions)
	o.Profile = transport.OVirt
	return o
}

// A step is what a client sends, and what it gets for it.
type step struct{ send, want string }

// TestOVirtFrames speaks bytes with a server that has the profile. Line ends that
// follow answers are looked at elsewhere: see TestOVirtNudges.
func TestOVirtFrames(t *testing.T) {
	const alive = "SUBSCRIBE\ndestination:alive\nid:alive\nreceipt:yes\n\n^@"
	const isAlive = "RECEIPT\nreceipt-id:yes\ncontent-length:0\n\n^@"
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"TLS order: CONNECT before all", []step{
			{ovirtConnect, ovirtConnected}, {ovirtEvents + ovirtAnswers, ""}, {ovirtRequest, ovirtAnswer("r", 1, "ping")},
		}},
		{"plain order: SUBSCRIBE comes before CONNECT", []step{
			{ovirtEvents + ovirtAnswers, ""}, {ovirtConnect, ovirtConnected}, {ovirtRequest, ovirtAnswer("r", 1, "ping")},
		}},
		{"all at once", []step{
			{ovirtAnswers + ovirtConnect + ovirtRequest, ovirtConnected + ovirtAnswer("r", 1, "ping")},
		}},
		{"CONNECT is lost", []step{
			{ovirtAnswers, ""}, {ovirtRequest, ovirtAnswer("r", 1, "ping")},
		}},
		{"SEND is first", []step{
			{ovirtRequest, ""}, {ovirtAnswers, ""}, {ovirtRequest, ovirtAnswer("r", 1, "ping")}, {ovirtConnect, ovirtConnected},
		}},
		{"SEND is first, in pieces", []step{
			{ovirtAnswers[:30], ""}, {ovirtAnswers[30:] + ovirtRequest[:len(ovirtRequest)-4], ""}, {"ng^@", ovirtAnswer("r", 1, "ping")},
		}},
		{"the SUBSCRIBE of the answers is lost", []step{
			{ovirtConnect, ovirtConnected}, {ovirtRequest, ""}, {alive, isAlive},
		}},
		{"CONNECT twice", []step{
			{ovirtConnect, ovirtConnected}, {ovirtConnect, ovirtError("unexpected CONNECT from a client that is connected")}, {alive, isAlive},
		}},
		{"the command STOMP, and a list of versions", []step{
			{"STOMP\naccept-version:1.0,1.1,1.2\nheart-beat:0,15000\n\n^@", ovirtConnected},
		}},
		{"the command STOMP, late", []step{
			{ovirtAnswers, ""}, {"STOMP\naccept-version:1.0,1.1,1.2\nheart-beat:0,15000\n\n^@", ovirtConnected},
		}},
		{"a late CONNECT of another version", []step{
			{ovirtAnswers, ""},
			{"CONNECT\naccept-version:1.1\n\n^@", ovirtError(`this session has begun without CONNECT and speaks 1.2; you accept "1.1"`)},
			{ovirtRequest, ovirtAnswer("r", 1, "ping")},
		}},
		{"CR LF", []step{
			{strings.ReplaceAll(ovirtConnect, "\n", "\r\n"), ovirtConnected},
		}},
		{"request queues below, and the other one", []step{
			{ovirtAnswers, ""},
			{strings.Replace(ovirtRequest, "requests", "requests.host.stats", 1), ovirtAnswer("r", 1, "ping")},
			{strings.Replace(ovirtRequest, "vdsm_requests", "vdsm_irs_requests", 1), ovirtAnswer("r", 2, "ping")},
			{strings.Replace(ovirtRequest, "requests", "requestsx", 1), ovirtError("Subscription not available")},
			{strings.Replace(ovirtRequest, "requests", "requests.", 1), ovirtError("Subscription not available")},
		}},
		{"every subscription of the reply-to is answered", []step{
			{ovirtAnswers + strings.Replace(ovirtAnswers, "id:r", "id:s", 1), ""},
			{ovirtRequest, ovirtAnswer("r", 1, "ping") + ovirtAnswer("s", 2, "ping")},
			{"UNSUBSCRIBE\nid:r\n\n^@", ""},
			{ovirtRequest, ovirtAnswer("s", 3, "ping")},
		}},
		{"SUBSCRIBE without a destination", []step{
			{ovirtConnect, ovirtConnected}, {"SUBSCRIBE\nid:1\n\n^@", ovirtError("Missing destination or subscription id header")}, {alive, isAlive},
		}},
		{"SUBSCRIBE without an id", []step{
			{"SUBSCRIBE\ndestination:d\nreceipt:7\n\n^@", ovirtError("Missing destination or subscription id header", "receipt-id:7")}, {alive, isAlive},
		}},
		{"SUBSCRIBE of an id in use", []step{
			{ovirtAnswers, ""}, {ovirtAnswers, ovirtError("Subscription id already exists")}, {ovirtRequest, ovirtAnswer("r", 1, "ping")},
		}},
		{"UNSUBSCRIBE without an id", []step{
			{ovirtConnect, ovirtConnected}, {"UNSUBSCRIBE\n\n^@", ovirtError("Missing id header")}, {alive, isAlive},
		}},
		{"UNSUBSCRIBE of an unknown id", []step{
			{ovirtConnect, ovirtConnected}, {"UNSUBSCRIBE\nid:1\n\n^@", ""}, {alive, isAlive},
		}},
		{"SEND without a destination", []step{
			{ovirtConnect, ovirtConnected},
			{"SEND\ncontent-length:1\n\nx^@", ovirtError("SEND without a destination header; this server serves " +
				"/queue/rpc, /queue/jms.topic.vdsm_requests, /queue/jms.topic.vdsm_irs_requests")},
			{alive, isAlive},
		}},
		{"SEND to where nobody is", []step{
			{ovirtConnect, ovirtConnected}, {"SEND\ndestination:no\nreceipt:1\n\nx^@", ovirtError("Subscription not available", "receipt-id:1")}, {alive, isAlive},
		}},
		{"an unknown command, with a body", []step{
			{ovirtConnect, ovirtConnected},
			{"HELLO\nx:y\ncontent-length:3\n\na\x00b^@", ovirtError("unexpected HELLO from a client that is connected")},
			{alive, isAlive},
		}},
		{"what is not for clients", []step{
			{ovirtConnect, ovirtConnected}, {"MESSAGE\n\nbody^@", ovirtError("unexpected MESSAGE from a client that is connected")}, {alive, isAlive},
		}},
		{"ACK and NACK of nothing", []step{
			{ovirtConnect, ovirtConnected},
			{"ACK\nid:1\n\n^@", ovirtError("ACK of \"1\", which was acknowledged before or never needed it")},
			{"NACK\n\n^@", ovirtError("NACK without the header id")},
			{alive, isAlive},
		}},
		{"transactions", []step{
			{ovirtConnect, ovirtConnected},
			{"BEGIN\ntransaction:t\n\n^@", ovirtError("BEGIN: transactions are not supported; send each frame without a transaction header")},
			{"SEND\ntransaction:t\ndestination:jms.topic.vdsm_requests\n\n^@", ovirtError("SEND in a transaction: transactions are not supported")},
			{alive, isAlive},
		}},
		{"an escape that is none, as Java does not know of them", []step{
			{ovirtAnswers, ""}, {strings.Replace(ovirtRequest, "content", `flow:a\b:c`+"\ncontent", 1), ovirtAnswer("r", 1, "ping")},
		}},
		{"heart-beats that are none count as 0", []step{
			{"CONNECT\naccept-version:1.2\nheart-beat:x,-1\n\n^@", strings.Replace(ovirtConnected, "10000,0", "0,0", 1)},
		}},
		{"one heart-beat that is none", []step{
			{"CONNECT\naccept-version:1.2\nheart-beat:15000\n\n^@", strings.Replace(ovirtConnected, "10000,0", "0,10000", 1)},
		}},
		{"receipts of all frames", []step{
			{strings.Replace(ovirtAnswers, "id:r", "id:r\nreceipt:1", 1), "RECEIPT\nreceipt-id:1\ncontent-length:0\n\n^@"},
			{strings.Replace(ovirtRequest, "content", "receipt:2\ncontent", 1), "RECEIPT\nreceipt-id:2\ncontent-length:0\n\n^@" + ovirtAnswer("r", 1, "ping")},
			{"UNSUBSCRIBE\nid:r\nreceipt:3\n\n^@", "RECEIPT\nreceipt-id:3\ncontent-length:0\n\n^@"},
		}},
		{"DISCONNECT with a receipt", []step{
			{ovirtConnect, ovirtConnected}, {"DISCONNECT\nreceipt:9\n\n^@", "RECEIPT\nreceipt-id:9\ncontent-length:0\n\n^@^D"},
		}},
		{"DISCONNECT without", []step{
			{ovirtAnswers, ""}, {"DISCONNECT\n\n^@", "^D"},
		}},
		{"what is no frame ends it", []step{
			{ovirtConnect, ovirtConnected}, {"hello", ovirtError(`expected a STOMP command, got "hello"`) + "^D"},
		}},
		{"as does a length that is wrong", []step{
			{ovirtConnect, ovirtConnected},
			{"SEND\ncontent-length:1\n\nxyz^@", ovirtError("the body of a SEND frame does not end in a NUL byte after its content-length of 1") + "^D"},
		}},
		{"an unknown command is no beginning", []step{
			{"HELLO\n\n^@", ovirtError(`unknown command "HELLO"`) + "^D"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, ovirtOptions(), echo)
				p := r.dial()
				for _, s := range c.steps {
					p.expect(s.send, s.want)
				}
			})
		})
	}
}

// TestOVirtRecognised: on a listener that has no profile and serves a queue of oVirt's,
// clients are told by what they do, and the others are served as ever.
func TestOVirtRecognised(t *testing.T) {
	const bad = "UNSUBSCRIBE\n\n^@"
	for _, c := range []struct {
		name  string
		first []step
		want  bool
	}{
		{"SUBSCRIBE is the first frame", []step{{subscribeFrame("d"), ""}}, true},
		{"SEND is the first frame", []step{{"SEND\ndestination:rpc\n\n^@", ""}}, true},
		{"SUBSCRIBE of a name of oVirt's", []step{{ovirtConnect, ovirtConnected}, {ovirtEvents, ""}}, true},
		{"SEND to one", []step{{ovirtConnect, ovirtConnected}, {subscribeFrame("uuid"), ""}, {ovirtRequest, ""}}, true},
		{"neither", []step{{ovirtConnect, ovirtConnected}, {subscribeFrame("uuid"), ""}, {"SEND\ndestination:rpc\n\n^@", ""}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, &transport.ListenOptions{Destinations: append([]string{"rpc"}, stomp.OVirtDestinations...)}, nil)
				p := r.dial()
				for _, s := range c.first {
					p.expect(s.send, s.want)
				}
				info := r.session().Info()
				if !info.Audience {
					t.Error("Info().Audience = false where oVirt's clients may come")
				}
				if got := info.Profile == transport.OVirt; got != c.want {
					t.Errorf("Info().Profile = %q", info.Profile)
				}
				got := p.say(bad)
				if _, ended := frames(t, got); ended == c.want {
					t.Errorf("a frame that is wrong is answered by\n%s", printable(got))
				}
			})
		})
	}
	t.Run("not where no queue of oVirt's is served", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil, nil)
			explains(t, refused(t, r.dial().say(ovirtAnswers)), "expected CONNECT")
			p := r.connect("1.2")
			p.expect(ovirtEvents, "")
			if i := r.session().Info(); i.Profile != "" || i.Audience {
				t.Errorf("Info has Profile %q, Audience %v", i.Profile, i.Audience)
			}
		})
	})
	t.Run("other commands are no beginning", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, &transport.ListenOptions{Destinations: stomp.OVirtDestinations}, nil)
			explains(t, refused(t, r.dial().say("ACK\nid:1\n\n^@")), "expected CONNECT")
		})
	})
}

// anonymous lets in who shows nothing, and "ann".
type anonymous struct{ refuses bool }

func (a anonymous) Authenticate(_ context.Context, c transport.Credentials) (string, error) {
	if c.User == "" && !a.refuses || c.User == "ann" {
		return c.User, nil
	}
	return "", transport.ErrRefused
}

// TestOVirtAdmitted: a client without CONNECT has no credentials, and is let in only
// where they are not needed. Its frame's body is not awaited before.
func TestOVirtAdmitted(t *testing.T) {
	const promise = "SEND\ndestination:jms.topic.vdsm_requests\ncontent-length:4000000\n\n"
	for _, c := range []struct {
		name  string
		o     transport.ListenOptions
		steps []step
	}{
		{
			"an authenticator that lets nobody in without",
			transport.ListenOptions{Authenticator: anonymous{refuses: true}},
			[]step{{promise, ovirtError("access refused; check user and password") + "^D"}},
		},
		{
			"an authenticator that does",
			transport.ListenOptions{Authenticator: anonymous{}},
			[]step{{ovirtAnswers, ""}, {ovirtConnect, ovirtConnected}, {ovirtRequest, ovirtAnswer("r", 1, "ping")}},
		},
		{
			"nobody becomes another user later",
			transport.ListenOptions{Authenticator: anonymous{}},
			[]step{{ovirtAnswers, ""}, {"CONNECT\naccept-version:1.2\nlogin:ann\n\n^@", ovirtError("who logs in has to do so by the first frame") + "^D"}},
		},
		{
			"credentials that are wrong",
			transport.ListenOptions{Authenticator: anonymous{}},
			[]step{{ovirtAnswers, ""}, {"CONNECT\naccept-version:1.2\nlogin:bob\n\n^@", ovirtError("access refused; check user and password") + "^D"}},
		},
		{
			"virtual hosts",
			transport.ListenOptions{VirtualHosts: []string{"host-1"}},
			[]step{{ovirtAnswers, ovirtError(`no virtual host "" here`) + "^D"}},
		},
		{
			"virtual hosts, asked for",
			transport.ListenOptions{VirtualHosts: []string{"host-1"}},
			[]step{{ovirtConnect, ovirtConnected}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.o.Profile = transport.OVirt
				r := newRig(t, &c.o, echo)
				p := r.dial()
				for _, s := range c.steps {
					p.expect(s.send, s.want)
				}
			})
		})
	}
}

// TestOVirtRejected: what the application cannot use costs its sender an ERROR, and not
// the connection.
func TestOVirtRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, ovirtOptions(), func(_ transport.Conn, m *transport.Message) { _ = m.Settle(transport.Rejected("no way back")) })
		p := r.dial()
		p.expect(ovirtConnect, ovirtConnected)
		p.expect("SEND\ndestination:jms.topic.vdsm_requests\n\nx^@", ovirtError("no way back"))
		p.expect("SEND\ndestination:jms.topic.vdsm_requests\n\ny^@", ovirtError("no way back"))
	})
}

// TestOVirtAnswersAreTheAskers: an answer to a name that only others have subscribed
// is for nobody.
func TestOVirtAnswersAreTheAskers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := broker.New(nil)
		t.Cleanup(func() { _ = hub.Close() })
		o := ovirtOptions()
		o.Broker = hub
		var mu sync.Mutex
		var errs []error
		r := newRig(t, o, func(c transport.Conn, m *transport.Message) {
			err := c.Send(context.Background(), &transport.Message{To: m.ReplyTo, Body: []byte("answer")})
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
		other, p := r.dial(), r.dial()
		other.expect(ovirtConnect+ovirtAnswers, ovirtConnected)
		p.expect(ovirtConnect, ovirtConnected)
		p.expect(ovirtRequest, "")
		other.expect("", "")
		mu.Lock()
		if len(errs) != 1 || !errors.Is(errs[0], transport.ErrNoRoute) || !transport.NotSent(errs[0]) {
			t.Errorf("Send = %v, want ErrNoRoute, not sent", errs)
		}
		mu.Unlock()
		p.expect(ovirtAnswers+ovirtRequest, ovirtAnswer("r", 1, "answer"))
		other.expect("", "")
	})
}

// TestOVirtBroker: what is sent elsewhere reaches who has subscribed to it, or to what
// is above.
func TestOVirtBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := broker.New(nil)
		t.Cleanup(func() { _ = hub.Close() })
		o := ovirtOptions()
		o.Broker = hub
		r := newRig(t, o, echo)
		sender, child, parent := r.dial(), r.dial(), r.dial()
		sender.expect(ovirtConnect, ovirtConnected)
		sender.expect("SEND\ndestination:a.b.c\n\nnobody^@", ovirtError("Subscription not available"))
		child.expect("SUBSCRIBE\ndestination:a.b.c\nid:child\n\n^@", "")
		parent.expect("SUBSCRIBE\ndestination:a\nid:parent\n\n^@", "")
		sender.expect("SEND\ndestination:a.b.c\nreply-to:back\nflow:1\nreceipt:1\n\nhello^@", "RECEIPT\nreceipt-id:1\ncontent-length:0\n\n^@")
		child.expect("", "MESSAGE\nsubscription:child\nmessage-id:1\ndestination:a.b.c\nreply-to:back\nflow:1\ncontent-length:5\n\nhello^@")
		parent.expect("", "MESSAGE\nsubscription:parent\nmessage-id:1\ndestination:a.b.c\nreply-to:back\nflow:1\ncontent-length:5\n\nhello^@")
		sender.expect("SEND\ndestination:a.x\n\nfor one^@", "")
		child.expect("", "\n")
		parent.expect("", "\nMESSAGE\nsubscription:parent\nmessage-id:2\ndestination:a.x\ncontent-length:7\n\nfor one^@")
		sender.expect("SEND\ndestination:b\n\n^@", ovirtError("Subscription not available"))
		sender.expect("SEND\ndestination:a..b\nreceipt:1\n\n^@", ovirtError(`the destination "/topic/a..b" has an empty word`, "receipt-id:1"))
		sender.expect("SUBSCRIBE\ndestination:jms.topic.vdsm_requests\nid:spy\n\n^@",
			ovirtError("jms.topic.vdsm_requests is the request queue of a service here; it is for sending only"))
		child.expect("UNSUBSCRIBE\nid:child\n\n^@", "")
	})
}

// TestOVirtTakesOthers: clients that keep to the specification are served as well, in
// every version.
func TestOVirtTakesOthers(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		r := newRig(t, ovirtOptions(), echo)
		conn := goStomp(t, r, version)
		for _, to := range []string{"/temp-queue/answers", "/queue/mine", "plain"} {
			sub, err := conn.Subscribe(to, gostomp.AckClientIndividual)
			if err != nil {
				t.Fatal(err)
			}
			for range 10 {
				err := conn.Send("/queue/rpc", "text/plain", []byte("hello"), gostomp.SendOpt.Header("reply-to", to), gostomp.SendOpt.Receipt)
				if err != nil {
					t.Fatal(err)
				}
				m := read(t, sub)
				if string(m.Body) != "hello" || m.Destination != to {
					t.Errorf("got %q of %s", m.Body, m.Destination)
				}
				if err := conn.Ack(m); err != nil {
					t.Errorf("Ack = %v", err)
				}
			}
			if err := sub.Unsubscribe(); err != nil {
				t.Errorf("Unsubscribe = %v", err)
			}
		}
		leave(t, conn)
	})
}

// TestOVirtEvents: an event of four parts goes to each subscription to
// jms.queue.events, and everything else to nobody.
func TestOVirtEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const topic = "|virt|VM_status|7"
		r := newRig(t, ovirtOptions(), nil)
		p := r.dial()
		p.expect(ovirtConnect, ovirtConnected)
		s := r.session()
		a, ok := transport.As[transport.Audience](s.Conn)
		if !ok || !s.Info().Audience {
			t.Fatal("the connection has no audience")
		}
		publish := func(want error) {
			t.Helper()
			m := &transport.Message{To: topic, Subject: topic, ContentType: "application/json", Body: []byte("{}")}
			if err := a.Publish(t.Context(), m); !errors.Is(err, want) {
				t.Errorf("Publish = %v, want %v", err, want)
			}
			if m.To != topic || m.Subject != topic {
				t.Errorf("Publish has changed the message to %+v", m)
			}
		}
		if a.Wants(topic) {
			t.Error("Wants before SUBSCRIBE")
		}
		publish(transport.ErrNoRoute)
		p.expect(ovirtEvents+strings.Replace(ovirtEvents, "id:e", "id:f", 1), "")
		for topic, want := range map[string]bool{
			topic: true, "|net|host_conn|no_id": true, "|a|b": false, "|a|b|c|d": false, "host|virt|VM_status|7": false, "": false, "prices.eur": false,
		} {
			if got := a.Wants(topic); got != want {
				t.Errorf("Wants(%q) = %v", topic, got)
			}
		}
		publish(nil)
		const message = "destination:jms.queue.events\ncontent-type:application/json\ncontent-length:2\n\n{}^@"
		p.expect("", "MESSAGE\nsubscription:e\nmessage-id:1\n"+message+"MESSAGE\nsubscription:f\nmessage-id:2\n"+message)
		p.expect("UNSUBSCRIBE\nid:e\n\n^@", "")
		if !a.Wants(topic) {
			t.Error("Wants = false with a subscription left")
		}
		p.expect("UNSUBSCRIBE\nid:f\n\n^@", "")
		if a.Wants(topic) {
			t.Error("Wants after UNSUBSCRIBE")
		}
		publish(transport.ErrNoRoute)
		p.expect(ovirtEvents, "")
		_ = p.nc.Close()
		if s.ended(); a.Wants(topic) {
			t.Error("Wants after the end of the connection")
		}
	})
}

// TestOVirtHeartbeats: what a client is told does not depend on what it has asked
// for, or the one in Java would ask for less each time; but it gets what it has asked
// for.
func TestOVirtHeartbeats(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		name   string
		ours   time.Duration
		header string
		answer string
		beat   time.Duration
		peer   time.Duration
	}{
		{"the engine", 0, "0,15000", "10000,0", 10 * s, 0},
		{"the engine later", 0, "0,7500", "10000,0", 7500 * time.Millisecond, 0},
		{"vdsm's client", 0, "0,24000", "10000,0", 10 * s, 0},
		{"the floor", 0, "0,1", "10000,0", s, 0},
		{"the floor told", s, "1,1", "1000,1000", s, s},
		{"the client's own", 0, "30000,0", "0,10000", 0, 30 * s},
		{"none here", -1, "1000,1000", "0,0", 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, late := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					o := ovirtOptions()
					o.Heartbeat = c.ours
					r := newRig(t, o, nil)
					p := r.dial()
					if late {
						p.expect(ovirtAnswers, "")
					}
					f := one(t, p.say(connectFrame("1.2", "heart-beat:"+c.header)), "CONNECTED")
					if got := f.Header.Get("heart-beat"); got != c.answer {
						t.Errorf("CONNECTED has heart-beat:%s, want %s", got, c.answer)
					}
					i := r.session().Info()
					if i.Beat != c.beat || i.PeerBeat != c.peer {
						t.Errorf("Info: Beat %v, PeerBeat %v, want %v, %v", i.Beat, i.PeerBeat, c.beat, c.peer)
					}
					if i.Profile != transport.OVirt || i.Version != "1.2" {
						t.Errorf("Info: Profile %q, Version %q", i.Profile, i.Version)
					}
					if c.peer == 0 {
						judgeBeats(t, p, c.beat)
						return
					}
					time.Sleep(c.peer + c.peer/20)
					if err := r.session().ended(); err != nil {
						t.Errorf("ended within the grace: %v", err)
					}
					time.Sleep(c.peer / 10)
					if err := r.session().ended(); !errors.Is(err, transport.ErrHeartbeat) {
						t.Errorf("silence beyond the grace: err = %v, want ErrHeartbeat", err)
					}
				})
			}
		})
	}
}

// TestOVirtReconnects: oVirt's client in Java stores half as much again as it was told,
// and asks for half of that the next time.
func TestOVirtReconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, ovirtOptions(), nil)
		asks, told := 15000, 0
		for i := range 100 {
			p := r.dial()
			f := one(t, p.say(connectFrame("1.2", fmt.Sprintf("heart-beat:0,%d", asks))), "CONNECTED")
			var y, x int
			if _, err := fmt.Sscanf(f.Header.Get("heart-beat"), "%d,%d", &y, &x); err != nil {
				t.Fatal(err)
			}
			if i > 0 && y != told {
				t.Fatalf("reconnect %d: told %d ms, before %d", i, y, told)
			}
			told = y
			asks = (y + y/2) / 2
			_ = p.nc.Close()
		}
		if told < 1000 {
			t.Errorf("told %d ms, want at least 1000", told)
		}
	})
}

// TestOVirtNudges: each frame of a burst is followed by one line end in the end, 3 ms
// apart, and by no more.
func TestOVirtNudges(t *testing.T) {
	start := func(t *testing.T) (*session, *peer) {
		r := newRig(t, ovirtOptions(), nil)
		p := r.dial()
		p.expect(ovirtConnect+ovirtAnswers, ovirtConnected)
		return r.session(), p
	}
	send := func(t *testing.T, s *session, n int) {
		t.Helper()
		for range n {
			if err := s.Send(t.Context(), &transport.Message{To: "jms.topic.vdsm_responses", Body: []byte("x")}); err != nil {
				t.Fatal(err)
			}
		}
	}
	lineEnds := func(p *peer) int {
		got := p.taken()
		return len(got) - len(strings.TrimLeft(got, "\n"))
	}
	t.Run("a burst", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, p := start(t)
			send(t, s, 5)
			p.taken()
			for i := range 5 {
				time.Sleep(3 * time.Millisecond)
				if n := lineEnds(p); n != 1 {
					t.Fatalf("pause %d: %d line ends, want one", i, n)
				}
			}
			time.Sleep(time.Second)
			if n := lineEnds(p); n != 0 {
				t.Errorf("%d line ends more", n)
			}
		})
	})
	t.Run("frames that come between", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, p := start(t)
			send(t, s, 5)
			p.taken()
			time.Sleep(7 * time.Millisecond)
			n := lineEnds(p)
			for range 100 { // the line is not idle
				send(t, s, 1)
				time.Sleep(time.Millisecond)
				if got := p.taken(); strings.HasPrefix(got, "\n") {
					t.Fatalf("a line end before a frame that was written just then: %q", got)
				}
			}
			time.Sleep(time.Second)
			if n += lineEnds(p); n != 105 {
				t.Errorf("%d line ends for 105 frames", n)
			}
		})
	})
	t.Run("no more than the client in Java bears", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, p := start(t)
			send(t, s, 3000)
			p.taken()
			time.Sleep(6 * time.Second)
			if n := lineEnds(p); n != 1000 {
				t.Errorf("%d line ends, want 1000", n)
			}
		})
	})
	t.Run("the end", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, p := start(t)
			send(t, s, 5)
			_ = p.nc.Close()
			if s.ended() == nil { // and no timer is left that the bubble would wait for
				t.Error("not ended")
			}
		})
	})
	t.Run("not for others", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil, nil)
			p := r.connect("1.2")
			p.expect(ovirtAnswers, "")
			send(t, r.session(), 5)
			p.taken()
			time.Sleep(time.Second)
			if n := lineEnds(p); n != 0 {
				t.Errorf("%d line ends", n)
			}
		})
	})
}

// writeNotes notes what each write has taken.
type writeNotes struct {
	net.Conn
	mu  sync.Mutex
	all []string
}

func (w *writeNotes) Write(b []byte) (int, error) {
	n, err := w.Conn.Write(b)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, string(b[:n]))
	return n, err
}

// TestOVirtWholeFrames: each frame leaves by one write as long as the peer reads, however
// many leave at once; from a client's first one on, or from where it was recognised.
func TestOVirtWholeFrames(t *testing.T) {
	for _, o := range []*transport.ListenOptions{ovirtOptions(), {Destinations: stomp.OVirtDestinations}} {
		t.Run("profile "+string(o.Profile), func(t *testing.T) {
			near, far := mem.Pipe()
			defer far.Close()
			nc := &writeNotes{Conn: near}
			go func() { _, _ = io.WriteString(far, wire(ovirtConnect+ovirtAnswers+ovirtRequest)) }()
			drained := make(chan struct{})
			go func() { defer close(drained); _, _ = io.Copy(io.Discard, far) }()
			c, err := stomp.Transport{}.Server(t.Context(), nc, o)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Recv(t.Context()); err != nil {
				t.Fatal(err)
			}
			g, _ := transport.As[transport.Gatherer](c)
			g.Gather()
			var wg sync.WaitGroup
			for i := range 50 {
				wg.Go(func() {
					body := make([]byte, i*20)
					if err := c.Send(t.Context(), &transport.Message{To: "jms.topic.vdsm_responses", Body: body}); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			_ = c.Close()
			_ = far.Close()
			<-drained
			messages := 0
			nc.mu.Lock()
			defer nc.mu.Unlock()
			for _, w := range nc.all {
				all, _ := frames(t, w)
				if len(all) > 1 {
					t.Errorf("%d frames in a write", len(all))
				}
				if len(all) == 1 && all[0].Command == "MESSAGE" {
					messages++
				}
			}
			if messages != 50 {
				t.Errorf("%d writes of a whole MESSAGE, want 50", messages)
			}
		})
	}
}

// recordNotes notes the lengths of the TLS records that are read.
type recordNotes struct {
	net.Conn
	mu  sync.Mutex
	raw []byte
}

func (r *recordNotes) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.mu.Lock()
	r.raw = append(r.raw, b[:n]...)
	r.mu.Unlock()
	return n, err
}

// records returns the lengths of all records that were read.
func (r *recordNotes) records() (all []int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for raw := r.raw; len(raw) >= 5; {
		n := int(raw[3])<<8 | int(raw[4])
		all = append(all, n)
		raw = raw[min(5+n, len(raw)):]
	}
	return all
}

// TestOVirtRecords: with TLS, the first frame that is long has all that fits into a
// record in its first one.
func TestOVirtRecords(t *testing.T) {
	for _, profile := range []transport.Profile{transport.OVirt, ""} {
		cert, pool := newCertificate(t)
		o := &transport.ListenOptions{Destinations: stomp.OVirtDestinations}
		o.Profile, o.TLS = profile, &tls.Config{Certificates: []tls.Certificate{cert}}
		r := newTCPRig(t, o, echo)
		nc, err := net.Dial("tcp", r.l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		notes := &recordNotes{Conn: nc}
		client := tls.Client(notes, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"})
		body := strings.Repeat("x", 10_000)
		request := strings.Replace(ovirtRequest, "4\n\nping", "10000\n\n"+body, 1)
		if _, err := io.WriteString(client, wire(ovirtConnect+ovirtAnswers+request)); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 0, 20_000)
		for !strings.HasSuffix(string(got), body+"\x00") {
			n, err := client.Read(got[len(got):cap(got)])
			if err != nil {
				t.Fatal(err)
			}
			got = got[:len(got)+n]
		}
		whole := false
		for _, n := range notes.records() {
			whole = whole || n > len(body)
		}
		if want := profile == transport.OVirt; whole != want {
			t.Errorf("profile %q: a record of the whole frame: %v, want %v", profile, whole, want)
		}
		_ = client.Close()
	}
}
