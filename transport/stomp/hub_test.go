package stomp_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gostomp "github.com/go-stomp/stomp/v3"
	"github.com/go-stomp/stomp/v3/frame"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/transport"
)

// The tests here have a broker behind the server, the real one.

// hubRig is a rig with a broker.
func hubRig(t *testing.T, o *broker.Options, app func(transport.Conn, *transport.Message)) (*rig, *broker.Hub) {
	t.Helper()
	hub := broker.New(o)
	t.Cleanup(func() { _ = hub.Close() })
	return newRig(t, &transport.ListenOptions{Broker: hub}, app), hub
}

// subscribed subscribes go-stomp's client and returns when the server knows.
func subscribed(t *testing.T, c *gostomp.Conn, destination string, ack gostomp.AckMode) *gostomp.Subscription {
	t.Helper()
	s, err := c.Subscribe(destination, ack)
	if err != nil {
		t.Fatalf("go-stomp's Subscribe = %v", err)
	}
	time.Sleep(time.Second)
	return s
}

// TestHubTopic: a message to a topic reaches every subscriber that it matches, with
// its headers.
func TestHubTopic(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		r, _ := hubRig(t, nil, nil)
		var subs []*gostomp.Subscription
		for _, filter := range []string{"/topic/news.sport", "/topic/news.*", "/topic/#", "/topic/weather"} {
			subs = append(subs, subscribed(t, goStomp(t, r, version), filter, gostomp.AckAuto))
		}
		sender := goStomp(t, r, version)
		err := sender.Send("/topic/news.sport", "text/plain", []byte("1:0"), gostomp.SendOpt.Receipt,
			gostomp.SendOpt.Header("reporter", "ann"), gostomp.SendOpt.Header("correlation-id", "7"))
		if err != nil {
			t.Fatalf("go-stomp's Send = %v", err)
		}
		for _, s := range subs[:3] {
			m := read(t, s)
			if string(m.Body) != "1:0" || m.Header.Get("reporter") != "ann" || m.Header.Get("correlation-id") != "7" ||
				m.ContentType != "text/plain" || m.Destination != "/topic/news.sport" {
				t.Errorf("by %s: got %+v", s.Destination(), m)
			}
		}
		select {
		case m := <-subs[3].C:
			t.Errorf("the subscriber of another topic got %+v", m)
		default:
		}
	})
}

// TestHubQueue: consumers that share a queue get each message once, and what one of
// them does not acknowledge goes to another, who can tell.
func TestHubQueue(t *testing.T) {
	const count = 100
	synctest.Test(t, func(t *testing.T) {
		r, hub := hubRig(t, nil, nil)
		lost := goStomp(t, r, "1.2")
		unread := subscribed(t, lost, "/queue/jobs", gostomp.AckClientIndividual)
		sender := goStomp(t, r, "1.2")
		for i := range 3 {
			if err := sender.Send("/queue/jobs", "", fmt.Append(nil, i), gostomp.SendOpt.Receipt); err != nil {
				t.Fatal(err)
			}
			read(t, unread)
		}
		lost.MustDisconnect() // without an ACK
		var got sync.Map
		var group sync.WaitGroup
		var again sync.Map
		var subs []*gostomp.Subscription
		for range 4 {
			s := subscribed(t, goStomp(t, r, "1.2"), "/queue/jobs", gostomp.AckClientIndividual)
			group.Go(func() {
				for m := range s.C {
					if m.Err != nil {
						return
					}
					if _, twice := got.LoadOrStore(string(m.Body), true); twice {
						t.Errorf("message %s has come twice", m.Body)
					}
					if m.Header.Get("redelivered") == "true" && m.Header.Get("x-delivery-count") == "1" {
						again.Store(string(m.Body), true)
					}
					if err := m.Conn.Ack(m); err != nil {
						t.Errorf("go-stomp's Ack = %v", err)
					}
				}
			})
			subs = append(subs, s)
		}
		for i := 3; i < count; i++ {
			if err := sender.Send("/queue/jobs", "", fmt.Append(nil, i)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Second)
		for i := range count {
			if _, ok := got.Load(strconv.Itoa(i)); !ok {
				t.Errorf("message %d has not come", i)
			}
			if _, ok := again.Load(strconv.Itoa(i)); ok != (i < 3) {
				t.Errorf("message %d: delivered again = %v", i, ok)
			}
		}
		for _, s := range subs {
			if err := s.Unsubscribe(); err != nil {
				t.Errorf("go-stomp's Unsubscribe = %v", err)
			}
		}
		group.Wait()
		for _, q := range hub.Stats().Queues {
			if q.Unsettled != 0 || q.Depth != 0 {
				t.Errorf("at the end: %+v", q)
			}
		}
	})
}

// TestHubNACK: what is refused comes back, or goes to the dead letters if the
// header requeue says so.
func TestHubNACK(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := hubRig(t, &broker.Options{Attempts: 3}, nil)
		p := r.connect("1.2")
		p.say(subscribeFrame("/queue/a", "ack:client-individual"))
		got := p.say("SEND\ndestination:/queue/a\n\none^@")
		for attempt := 1; attempt < 3; attempt++ {
			if !strings.Contains(got, "one") || strings.Contains(got, "redelivered") != (attempt > 1) {
				t.Fatalf("attempt %d: got\n%s", attempt, printable(got))
			}
			got = p.say("NACK\nid:" + headerOf(got, "ack") + "\n\n^@")
		}
		if got = p.say("NACK\nid:" + headerOf(got, "ack") + "\n\n^@"); got != "" {
			t.Errorf("after three attempts: got\n%s", printable(got))
		}
		got = p.say("SEND\ndestination:/queue/a\n\ntwo^@")
		if got = p.say("NACK\nrequeue:false\nid:" + headerOf(got, "ack") + "\n\n^@"); got != "" {
			t.Errorf("after requeue:false: got\n%s", printable(got))
		}
		if got = p.say(subscribeFrame("/queue/dead-letter")); !strings.Contains(got, "one") || !strings.Contains(got, "two") {
			t.Errorf("the dead letters:\n%s", printable(got))
		}
	})
}

// headerOf returns the value of a header of the first frame in text.
func headerOf(text, name string) string {
	_, rest, _ := strings.Cut(text, "\n"+name+":")
	value, _, _ := strings.Cut(rest, "\n")
	return value
}

// TestHubRequest: a client asks a service that another client is, with a reply-to
// below /temp-queue/ and no SUBSCRIBE; the service answers to what it is told.
func TestHubRequest(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		r, _ := hubRig(t, nil, nil)
		service, caller, other := r.connect(version), r.connect(version), r.connect(version)
		service.say(subscribeFrame("/queue/calc"))
		caller.say("SEND\ndestination:/queue/calc\nreply-to:/temp-queue/mine\ncorrelation-id:1\n\n2+2^@")
		request := service.say("")
		address := headerOf(request, "reply-to")
		if !strings.HasPrefix(address, "/reply-queue/") {
			t.Fatalf("the service got\n%s", printable(request))
		}
		service.say("SEND\ndestination:" + address + "\ncorrelation-id:1\n\n4^@")
		want := "MESSAGE\nsubscription:/temp-queue/mine\nmessage-id:1\ndestination:/temp-queue/mine\ncorrelation-id:1\ncontent-length:1\n\n4^@"
		if got := caller.say(""); !matches(got, want) {
			t.Errorf("the caller got\n%s, want\n%s", printable(got), want)
		}
		if got := other.say("SUBSCRIBE\nid:x\ndestination:" + address + "\n\n^@"); !strings.HasPrefix(got, "ERROR\n") {
			t.Errorf("SUBSCRIBE of another's private address: got\n%s", printable(got))
		}
	})
}

// TestHubBesideService: requests to what the server serves are its own, answers by
// a subscribed queue come through the broker.
func TestHubBesideService(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		r, _ := hubRig(t, nil, echo)
		p := r.connect(version)
		p.say(subscribeFrame("/queue/answers"))
		for _, c := range []struct{ replyTo, subscription string }{
			{"/temp-queue/x", "/temp-queue/x"}, {"/queue/answers", "/queue/answers"},
		} {
			got := p.say("SEND\ndestination:/queue/rpc\nreply-to:" + c.replyTo + "\n\nhello^@")
			if !strings.HasPrefix(got, "MESSAGE\n") || headerOf(got, "subscription") != c.subscription || !strings.Contains(got, "hello") {
				t.Errorf("reply-to %s: got\n%s", c.replyTo, printable(got))
			}
		}
	})
}

// TestHubLateAnswer: an answer to somebody who has gone ends nothing, if no receipt
// was asked for.
func TestHubLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := broker.New(nil)
		defer hub.Close()
		p := newRig(t, &transport.ListenOptions{Broker: hub}, nil).connect("1.2")
		got := p.say("SEND\ndestination:/reply-queue/x\n\nlate^@SEND\ndestination:/queue/calc\nreceipt:r\n\nx^@")
		if !strings.HasPrefix(got, "RECEIPT\n") || headerOf(got, "receipt-id") != "r" {
			t.Errorf("got\n%s\nwant the RECEIPT of what follows", printable(got))
		}
		if n := hub.Stats().Unroutable; n != 1 {
			t.Errorf("%d messages are counted as unroutable, want 1", n)
		}
	})
}

// TestHubRefuses: what is not allowed, or not supported, is refused with a reason
// and the receipt that was asked for, and ends the connection.
func TestHubRefuses(t *testing.T) {
	for _, c := range []struct{ name, frame, reason string }{
		{"the request queue of a service", subscribeFrame("/queue/rpc", "receipt:r"), "request queue of a service"},
		{"the same by its bare name", subscribeFrame("rpc", "receipt:r"), "request queue of a service"},
		{"a selector", subscribeFrame("/queue/a", "receipt:r", "selector:a = 1"), "selectors are not supported"},
		{"a queue of another user", subscribeFrame("/queue/anns", "receipt:r"), "ann"},
		{"a destination that is none", "SEND\ndestination:/queue/\nreceipt:r\n\n^@", "destination"},
		{"an address that is gone", "SEND\ndestination:/reply-queue/x\nreceipt:r\n\n^@", "reply-queue"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hub := broker.New(nil)
				defer hub.Close()
				r := newRig(t, &transport.ListenOptions{
					Broker: hub, Authenticator: transport.Users(map[string]string{"ann": "a", "bob": "b"}),
				}, nil)
				r.connect("1.2", "login:ann", "passcode:a").say(subscribeFrame("/queue/anns"))
				got := r.connect("1.2", "login:bob", "passcode:b").say(c.frame)
				if !strings.HasPrefix(got, "ERROR\n") || headerOf(got, "receipt-id") != "r" ||
					!strings.Contains(got, c.reason) || !strings.HasSuffix(got, "^D") {
					t.Errorf("got\n%s", printable(got))
				}
			})
		})
	}
}

// TestHubTempNames: names below /temp-queue/ are bounded as subscriptions are.
func TestHubTempNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := broker.New(nil)
		defer hub.Close()
		o := &transport.ListenOptions{Broker: hub}
		o.Limits.Subscriptions = 3
		p := newRig(t, o, nil).connect("1.2")
		send := "SEND\ndestination:/queue/a\nreply-to:/temp-queue/%d\n\n^@"
		for i := range 9 {
			if got := p.say(fmt.Sprintf(send, i%3)); got != "" {
				t.Fatalf("name %d: got\n%s", i%3, printable(got))
			}
		}
		if got := p.say(fmt.Sprintf(send, 3)); !strings.HasPrefix(got, "ERROR\n") || !strings.Contains(got, "more than 3 subscriptions") {
			t.Errorf("one name more: got\n%s", printable(got))
		}
	})
}

// A slowBroker decides when it is told to.
type slowBroker struct {
	transport.Broker
	dones chan func(error)
}

type slowSession struct {
	transport.BrokerSession
	b *slowBroker
}

func (b *slowBroker) Join(i *transport.Info) transport.BrokerSession {
	return slowSession{b.Broker.Join(i), b}
}

func (s slowSession) Send(_ *transport.Message, done func(error)) { s.b.dones <- done }

// TestHubDisconnect: DISCONNECT's receipt says that the broker has all that was
// sent before.
func TestHubDisconnect(t *testing.T) {
	for _, refuse := range []error{nil, transport.WithReason(transport.ErrBusy, "no room at all")} {
		synctest.Test(t, func(t *testing.T) {
			hub := broker.New(nil)
			defer hub.Close()
			b := &slowBroker{hub, make(chan func(error), 2)}
			p := newRig(t, &transport.ListenOptions{Broker: b}, nil).connect("1.2")
			send := "SEND\ndestination:/queue/a\n\n^@"
			if got := p.say(send + send + "DISCONNECT\nreceipt:bye\n\n^@"); got != "" {
				t.Fatalf("before the broker has anything: got\n%s", printable(got))
			}
			(<-b.dones)(nil)
			if got := p.say(""); got != "" {
				t.Errorf("before the broker has all: got\n%s", printable(got))
			}
			(<-b.dones)(refuse)
			got := p.say("")
			if refuse == nil && !matches(got, "RECEIPT\nreceipt-id:bye\ncontent-length:0\n\n^@^D") ||
				refuse != nil && !strings.Contains(got, "no room at all") {
				t.Errorf("when the broker has decided: got\n%s", printable(got))
			}
		})
	}
}

// TestHubUnsayable: what another wire has put into a message, and STOMP has no way
// to say, does not break the frame.
func TestHubUnsayable(t *testing.T) {
	bubble(t, func(t *testing.T, version string) {
		r, hub := hubRig(t, nil, nil)
		c := goStomp(t, r, version)
		s := subscribed(t, c, "/queue/a", gostomp.AckAuto)
		var err error
		hub.Join(new(transport.Info)).Send(&transport.Message{
			To: "/queue/a", Body: []byte("body"), Subject: "a\x00b\rc",
			Headers: []transport.Header{
				{Name: "content-length", Value: "1"},
				{Name: "message-id", Value: "x"},
				{Name: "", Value: "x"},
				{Name: "nul\x00", Value: "\x00"},
				{Name: "fine", Value: "yes"},
			},
		}, func(e error) { err = e })
		if err != nil {
			t.Fatal(err)
		}
		if m := read(t, s); string(m.Body) != "body" || m.Header.Get("fine") != "yes" || m.Header.Get(frame.MessageId) == "x" {
			t.Errorf("got %+v", m)
		}
	})
}
