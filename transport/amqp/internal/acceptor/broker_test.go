package acceptor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	goamqp "github.com/Azure/go-amqp"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/codec"
	"github.com/polyport/polyport/transport/amqp/internal/frames"
)

// takes is a broker that takes everything at once.
func takes(*transport.Message) (bool, error) { return true, nil }

func withBroker(b *fakeBroker) *transport.ListenOptions { return &transport.ListenOptions{Broker: b} }

// wantCondition checks that the peer was told of an error with a condition.
func wantCondition(t *testing.T, what string, err error, condition goamqp.ErrCond) {
	t.Helper()
	var got *goamqp.Error
	var link *goamqp.LinkError
	if errors.As(err, &link) && link.RemoteErr != nil {
		got = link.RemoteErr
	} else if !errors.As(err, &got) {
		t.Errorf("%s: %v, want %s", what, err, condition)
		return
	}
	if got.Condition != condition {
		t.Errorf("%s: %v, want %s", what, err, condition)
	}
}

// TestBrokerTakes: what is served comes out of Recv, all else goes to the broker,
// in the words that tell it the kind of node.
func TestBrokerTakes(t *testing.T) {
	for _, c := range []struct {
		target string
		to     string // of the message
		caps   []string
		want   string // "" is Recv
	}{
		{"rpc", "", nil, ""},
		{"/queue/rpc", "", nil, ""},
		{"queue://rpc", "", nil, ""},
		{"rpc", "", []string{"queue"}, ""},
		{"", "rpc", nil, ""},
		{"", "queue://rpc", nil, ""},
		{"rpc", "", []string{"topic"}, "/topic/rpc"},
		{"calc", "", nil, "calc"},
		{"calc", "elsewhere", nil, "calc"},
		{"calc", "", []string{"x", "queue"}, "/queue/calc"},
		{"a.b", "", []string{"topic"}, "/topic/a.b"},
		{"/topic/a.b", "", []string{"queue"}, "/topic/a.b"},
		{"topic://a.b", "", []string{"topic"}, "topic://a.b"},
		{"t", "", []string{"temporary-queue"}, "/temp-queue/t"},
		{"", "/queue/calc", nil, "/queue/calc"},
	} {
		t.Run(c.target+" "+c.to+" "+strings.Join(c.caps, ","), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &fakeBroker{done: takes}
				r := newRig(t, withBroker(b), func(_ transport.Conn, m *transport.Message) { _ = m.Settle(transport.Accepted) })
				out := newSender(t, r.session(nil), c.target, &goamqp.SenderOptions{TargetCapabilities: c.caps})
				m := goamqp.NewMessage([]byte("body"))
				m.Header = &goamqp.MessageHeader{DeliveryCount: 7, Durable: true}
				m.ApplicationProperties = map[string]any{"k": "v"}
				m.Properties = &goamqp.MessageProperties{To: &c.to, MessageID: "id"}
				if err := out.Send(soon(t), m, nil); err != nil {
					t.Fatalf("Send: %v", err)
				}
				recv, got := r.last().received(), b.last().take()
				if c.want == "" {
					if len(recv) != 1 || len(got) != 0 {
						t.Errorf("%d messages in Recv, %d at the broker", len(recv), len(got))
					}
					return
				}
				if len(recv) != 0 || len(got) != 1 {
					t.Fatalf("%d messages in Recv, %d at the broker", len(recv), len(got))
				}
				if g := got[0].m; g.To != c.want || string(g.Body) != "body" || g.Header("k") != "v" || g.Attempt != 0 || !g.Durable ||
					g.ID != transport.TextID("id") {
					t.Errorf("the broker got %+v", g)
				}
			})
		})
	}
}

// TestBrokerRefuses: the error of the broker is told with the condition that is
// for it: by the outcome, or by detaching a link that does not want to know.
func TestBrokerRefuses(t *testing.T) {
	for _, c := range []struct {
		err  error
		want goamqp.ErrCond
	}{
		{transport.ErrNoRoute, "amqp:not-found"},
		{transport.ErrRefused, "amqp:unauthorized-access"},
		{transport.ErrBusy, "amqp:resource-limit-exceeded"},
		{transport.ErrTooLarge, "amqp:link:message-size-exceeded"},
		{transport.ErrInvalid, "amqp:invalid-field"},
		{errors.New("odd"), "amqp:internal-error"},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := transport.WithReason(c.err, "not this one")
				b := &fakeBroker{done: func(m *transport.Message) (bool, error) {
					if string(m.Body) == "bad" {
						return true, err
					}
					return true, nil
				}}
				r := newRig(t, withBroker(b), nil)
				s := r.session(nil)
				out := newSender(t, s, "/queue/a", nil)
				for range 3 {
					wantCondition(t, "Send", out.Send(soon(t), goamqp.NewMessage([]byte("bad")), nil), c.want)
					if err := out.Send(soon(t), goamqp.NewMessage([]byte("good")), nil); err != nil {
						t.Errorf("Send after a refusal: %v", err)
					}
				}
				settled := newSender(t, s, "/queue/a", &goamqp.SenderOptions{SettlementMode: goamqp.SenderSettleModeSettled.Ptr()})
				_ = settled.Send(soon(t), goamqp.NewMessage([]byte("bad")), nil)
				synctest.Wait()
				wantCondition(t, "Send by the link that is gone", settled.Send(soon(t), goamqp.NewMessage([]byte("good")), nil), c.want)
				if n := len(b.last().take()); n != 7 {
					t.Errorf("%d messages have come to the broker, want 7", n)
				}
			})
		})
	}
}

// TestBrokerMaySend: a link that may not send is refused at once.
func TestBrokerMaySend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBroker{done: takes, may: func(to string) error {
			if to == "/queue/hers" {
				return transport.WithReason(transport.ErrRefused, "it is hers")
			}
			return nil
		}}
		s := newRig(t, withBroker(b), nil).session(nil)
		_, err := s.NewSender(soon(t), "hers", &goamqp.SenderOptions{TargetCapabilities: []string{"queue"}})
		wantCondition(t, "NewSender", err, "amqp:unauthorized-access")
		newSender(t, s, "/queue/his", nil)
	})
}

// TestBrokerRanges: what the broker takes at once is said at once, and credit
// comes with it.
func TestBrokerRanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBroker{done: takes}
		r := newRig(t, withBroker(b), nil)
		p := r.connect(begin()+attach(0, "out", "/queue/a"), 4)
		var all strings.Builder
		for i := range uint32(20) {
			all.WriteString(transfer(0, i, false, false, data("x")))
		}
		p.say(all.String())
		x := p.want(frames.CodeDisposition)
		var d frames.Disposition
		if d.Parse(&x.fields); d.First != 0 || d.Last != 19 || d.Outcome != frames.Accepted || !d.Settled {
			t.Errorf("disposition %+v, want one for 0 to 19", d)
		}
	})
}

// TestBrokerCredit: a broker that has no room withholds credit: there are never
// more messages without its word than the limit, also of links that come and go.
func TestBrokerCredit(t *testing.T) {
	const limit = 10
	o := func(b *fakeBroker) *transport.ListenOptions {
		o := withBroker(b)
		o.Limits.Unsettled = limit
		return o
	}
	t.Run("one link", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &fakeBroker{}
			r := newRig(t, o(b), nil)
			out := newSender(t, r.session(nil), "/queue/a", &goamqp.SenderOptions{SettlementMode: goamqp.SenderSettleModeSettled.Ptr()})
			sent := make(chan error, 1)
			go func() {
				for range limit + 1 {
					if err := out.Send(t.Context(), goamqp.NewMessage([]byte("x")), nil); err != nil {
						sent <- err
						return
					}
				}
				sent <- nil
			}()
			time.Sleep(time.Hour)
			got := b.last().take()
			if len(got) != limit {
				t.Fatalf("%d messages have come, want %d", len(got), limit)
			}
			for _, h := range got {
				h.done(nil)
			}
			if err := <-sent; err != nil {
				t.Errorf("Send after the broker has room: %v", err)
			}
		})
	})
	t.Run("links that come and go", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &fakeBroker{}
			r := newRig(t, o(b), nil)
			s := r.session(nil)
			var err error
			for i := 0; err == nil && i < 10; i++ {
				var out *goamqp.Sender
				if out, err = s.NewSender(soon(t), "/queue/a", nil); err != nil {
					break
				}
				for range limit {
					_, _ = out.SendWithReceipt(soon(t), goamqp.NewMessage([]byte("x")), nil)
				}
				_ = out.Close(soon(t))
			}
			wantCondition(t, "NewSender with many messages under way", err, "amqp:resource-limit-exceeded")
			got := b.last().take()
			if len(got) > 2*limit {
				t.Errorf("%d messages wait, the limit is %d", len(got), limit)
			}
			for _, h := range got {
				h.done(nil)
			}
			newSender(t, s, "/queue/a", nil)
		})
	})
}

// TestBrokerCapabilities: the answer to an attach has those that are kept to, and
// without a broker none.
func TestBrokerCapabilities(t *testing.T) {
	for _, c := range []struct {
		address    string
		copies     bool
		wanted     frames.Capability
		want       frames.Capability
		subscribed string // "-" if it is refused
	}{
		{"a", false, 0, 0, "a"},
		{"a", false, frames.Queue, frames.Queue, "/queue/a"},
		{"a", false, frames.Topic, frames.Topic, "/topic/a"},
		{"/queue/a", false, frames.Topic, 0, "/queue/a"},
		{"/topic/a", false, frames.Topic | frames.Queue, frames.Topic, "/topic/a"},
		{"t", false, frames.TemporaryQueue, frames.TemporaryQueue, "/temp-queue/t"},
		{"a", true, frames.Topic, frames.Topic, "/topic/a"},
		{"a", true, frames.Queue, 0, "-"},
	} {
		t.Run(fmt.Sprint(c.address, c.wanted, c.copies), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := frames.Attach{
					Name: []byte("in"), Receiver: true, Target: frames.Terminus{Kind: frames.Target},
					Source: frames.Terminus{Kind: frames.Source, Address: []byte(c.address), HasAddress: true, Copy: c.copies, Capabilities: c.wanted},
				}
				for _, b := range []*fakeBroker{nil, {}} {
					o := &transport.ListenOptions{}
					if b != nil {
						o.Broker = b
					}
					p := newRig(t, o, nil).connect(begin()+string(a.Append(nil, 0)), 2)
					x := p.want(frames.CodeAttach)
					var answer frames.Attach
					answer.Parse(&x.fields)
					switch {
					case b == nil:
						if answer.Source.Capabilities != 0 || answer.Source.Copy {
							t.Errorf("without a broker the answer is %+v", answer.Source)
						}
					case c.subscribed == "-":
						if answer.Source.Kind != frames.NoTerminus {
							t.Errorf("the answer is %+v, want none", answer.Source)
						}
						p.want(frames.CodeDetach)
					default:
						if answer.Source.Capabilities != c.want || answer.Source.Copy != c.copies {
							t.Errorf("the answer is %+v, want the capabilities %b", answer.Source, c.want)
						}
						if got := b.last().consumer(0).sub; got.Destination != c.subscribed || got.Ack != transport.AckEach {
							t.Errorf("subscribed to %+v, want %s", got, c.subscribed)
						}
					}
				}
			})
		})
	}
}

// TestBrokerAttachRefused: the peer is told why.
func TestBrokerAttachRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBroker{refuse: func(s transport.Subscription) error {
			if s.Destination == "/queue/hers" {
				return transport.WithReason(transport.ErrRefused, "it is hers")
			}
			return nil
		}}
		s := newRig(t, withBroker(b), nil).session(nil)
		_, err := s.NewReceiver(soon(t), "/queue/hers", nil)
		wantCondition(t, "NewReceiver", err, "amqp:unauthorized-access")
		newReceiver(t, s, "/queue/his", nil)
	})
}

// TestBrokerDelivers: a message is delivered with all that AMQP can say of it,
// and the peer's word on it reaches the broker.
func TestBrokerDelivers(t *testing.T) {
	for _, c := range []struct {
		name string
		say  func(*goamqp.Receiver, *goamqp.Message) error
		want string
	}{
		{"accepted", func(l *goamqp.Receiver, m *goamqp.Message) error { return l.AcceptMessage(bg, m) }, "accepted"},
		{"released", func(l *goamqp.Receiver, m *goamqp.Message) error { return l.ReleaseMessage(bg, m) }, "released"},
		{"rejected", func(l *goamqp.Receiver, m *goamqp.Message) error {
			return l.RejectMessage(bg, m, &goamqp.Error{Condition: "x:y", Description: " no good"})
		}, "rejected no good"},
		{"failed", func(l *goamqp.Receiver, m *goamqp.Message) error {
			return l.ModifyMessage(bg, m, &goamqp.ModifyMessageOptions{DeliveryFailed: true})
		}, "failed"},
		{"modified", func(l *goamqp.Receiver, m *goamqp.Message) error { return l.ModifyMessage(bg, m, nil) }, "released"},
		{"undeliverable", func(l *goamqp.Receiver, m *goamqp.Message) error {
			return l.ModifyMessage(bg, m, &goamqp.ModifyMessageOptions{UndeliverableHere: true})
		}, "rejectedthe receiver says that it cannot be delivered there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &fakeBroker{}
				r := newRig(t, withBroker(b), nil)
				in := newReceiver(t, r.session(nil), "/queue/a", &goamqp.ReceiverOptions{Credit: 2})
				synctest.Wait()
				q := b.last().consumer(0)
				q.deliver(&transport.Message{
					To: "/queue/a", ReplyTo: "/queue/b", Subject: "s", ContentType: "application/json", ID: transport.NumberID(5), Durable: true,
					Attempt: 2, Expires: time.Now().Add(time.Minute), Headers: []transport.Header{{Name: "k", Value: "v"}}, Body: []byte("body"),
				})
				m, err := in.Receive(soon(t), nil)
				if err != nil {
					t.Fatal(err)
				}
				if h := m.Header; h == nil || h.DeliveryCount != 2 || h.FirstAcquirer || !h.Durable || h.TTL < 59*time.Second || h.TTL > time.Minute {
					t.Errorf("header %+v", h)
				}
				if p := m.Properties; *p.To != "/queue/a" || *p.ReplyTo != "/queue/b" || *p.Subject != "s" || *p.ContentType != "application/json" ||
					p.MessageID != uint64(5) || m.ApplicationProperties["k"] != "v" || string(m.GetData()) != "body" {
					t.Errorf("it came as %+v, %v, %q", p, m.ApplicationProperties, m.GetData())
				}
				if err := c.say(in, m); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if _, settled, _ := q.state(); len(settled) != 1 || settled[0] != "0 "+c.want {
					t.Errorf("the broker was told %q, want %q", settled, c.want)
				}
			})
		})
	}
}

// TestBrokerSettled: who asks for settled messages has them without a word on
// each.
func TestBrokerSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBroker{}
		r := newRig(t, withBroker(b), nil)
		in := newReceiver(t, r.session(nil), "/queue/a", &goamqp.ReceiverOptions{RequestedSenderSettleMode: goamqp.SenderSettleModeSettled.Ptr()})
		synctest.Wait()
		q := b.last().consumer(0)
		if q.sub.Ack != transport.AckNone {
			t.Errorf("the subscription is %+v, want no acknowledgements", q.sub)
		}
		q.deliver(&transport.Message{To: "/queue/a", Body: []byte("x")})
		if m, err := in.Receive(soon(t), nil); err != nil || !m.Header.FirstAcquirer || string(m.GetData()) != "x" {
			t.Errorf("Receive: %v, %v", m, err)
		}
	})
}

// TestBrokerCreditOfThePeer: Deliver keeps to the peer's credit, window and the
// bound of what is unsettled, and says when there is room again.
func TestBrokerCreditOfThePeer(t *testing.T) {
	flow := func(seen, window, credit uint32) string {
		return performative(0, frames.CodeFlow, u32(seen), u32(window), u32(0), u32(100), u32(0), u32(0), u32(credit))
	}
	accept := func(first, last uint32) string {
		return performative(0, frames.CodeDisposition, yes(true), u32(first), u32(last), yes(true), raw(section(0x24, raw("\x45"))))
	}
	for _, c := range []struct {
		name string
		say  []string
		want []int // messages that come after each
	}{
		{"never any credit", []string{flow(0, 1000, 0)}, []int{0}},
		{"credit", []string{flow(0, 1000, 3), flow(0, 1000, 3), flow(0, 1000, 5)}, []int{3, 0, 2}},
		{"window", []string{flow(0, 0, 100), flow(0, 1, 100), flow(1, 1, 100), flow(2, 3, 100)}, []int{0, 1, 1, 3}},
		{"unsettled", []string{flow(0, 1000, 100), accept(0, 0), accept(5, 6), accept(1, 4)}, []int{10, 1, 2, 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &fakeBroker{}
				o := withBroker(b)
				o.Limits.Unsettled = 10
				r := newRig(t, o, nil)
				p := r.connect(begin()+receive(0, "in", "/queue/a", frames.SendUnsettled), 3)
				q := b.last().consumer(0)
				for i := range 50 {
					q.deliver(&transport.Message{To: "/queue/a", Body: fmt.Append(nil, i)})
				}
				p.quiet()
				for i, said := range c.say {
					p.say(said)
					for range c.want[i] {
						p.want(frames.CodeTransfer)
					}
					p.quiet()
				}
			})
		})
	}
}

// TestBrokerLarge: a message of more frames than the peer's window has room for
// goes on as that opens, and nothing overtakes it.
func TestBrokerLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBroker{}
		r := newRig(t, withBroker(b), nil)
		open := header + performative(0, frames.CodeOpen, str("raw"), null, u32(512))
		p := r.connect(open+begin()[len(hello()):]+receive(0, "in", "/queue/a", frames.SendUnsettled), 3)
		q := b.last().consumer(0)
		body := bytes.Repeat([]byte("0123456789"), 300)
		q.deliver(&transport.Message{Body: body}, &transport.Message{Body: []byte("next")})
		var payload strings.Builder
		seen := uint32(0)
		for more := true; more; seen++ {
			p.say(performative(0, frames.CodeFlow, u32(seen), u32(1), u32(0), u32(100), u32(0), u32(0), u32(1000)))
			x := p.want(frames.CodeTransfer)
			var tr frames.Transfer
			tr.Parse(&x.fields)
			more = tr.More
			payload.Write(x.payload)
			p.quiet()
		}
		if !strings.HasSuffix(payload.String(), string(body)) {
			t.Error("the message is another one")
		}
		p.say(performative(0, frames.CodeFlow, u32(seen), u32(1), u32(0), u32(100), u32(0), u32(0), u32(1000)))
		if x := p.want(frames.CodeTransfer); !strings.HasSuffix(string(x.payload), "next") {
			t.Error("the next message is another one")
		}
	})
}

// TestBrokerSlowReader: a peer that gives credit and does not read fills the send
// buffer and no more; when it reads again, it gets all.
func TestBrokerSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBroker{}
		o := withBroker(b)
		o.SendBuffer, o.WriteStall, o.Limits.Unsettled = 64<<10, time.Hour, 1000
		r := newRig(t, o, nil)
		p := r.connect(begin()+receive(0, "in", "/queue/a", frames.SendUnsettled), 3)
		q := b.last().consumer(0)
		const n = 400
		for i := range n {
			q.deliver(&transport.Message{To: "/queue/a", Body: bytes.Repeat([]byte{byte(i)}, 4<<10)})
		}
		p.say(performative(0, frames.CodeFlow, u32(0), u32(1<<20), u32(0), u32(100), u32(0), u32(0), u32(n)))
		synctest.Wait()
		waiting, _, _ := q.state()
		if waiting < n-80 { // 64 KiB each in the buffer, in a write, and in the pipe
			t.Fatalf("%d of %d messages wait for a peer that does not read", waiting, n)
		}
		for i := range n {
			if x := p.want(frames.CodeTransfer); x.payload[len(x.payload)-1] != byte(i) {
				t.Fatalf("message %d is another one", i)
			}
		}
		if most := q.readiness(); most > 3*n {
			t.Errorf("Ready was called %d times for %d messages", most, n)
		}
	})
}

// TestBrokerDrain: who wants its credit used up gets what there is first.
func TestBrokerDrain(t *testing.T) {
	for _, there := range []int{0, 1, 3, 5} {
		t.Run(strconv.Itoa(there), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &fakeBroker{}
				p := newRig(t, withBroker(b), nil).connect(begin()+receive(0, "in", "/queue/a", frames.SendSettled), 3)
				q := b.last().consumer(0)
				const credit = 3
				seen, left := uint32(0), 0
				for range 3 {
					for range there {
						q.deliver(&transport.Message{Body: []byte("x")})
					}
					left += there
					p.say(performative(0, frames.CodeFlow,
						u32(seen), u32(100), u32(0), u32(100), u32(0), u32(seen), u32(credit), null, yes(true)))
					come := min(left, credit)
					left -= come
					for range come {
						p.want(frames.CodeTransfer)
					}
					x := p.want(frames.CodeFlow)
					var f frames.Flow
					f.Parse(&x.fields)
					seen = f.DeliveryCount
					if !f.Drain || f.LinkCredit != 0 || !f.HasHandle {
						t.Errorf("flow %+v, want one without credit", f)
					}
					p.quiet()
				}
				if seen != 3*credit {
					t.Errorf("the delivery-count is %d, want %d", seen, 3*credit)
				}
			})
		})
	}
}

// TestBrokerDrainGoAMQP: go-amqp gets its credit back, with messages and without.
func TestBrokerDrainGoAMQP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBroker{}
		in := newReceiver(t, newRig(t, withBroker(b), nil).session(nil), "/queue/a", &goamqp.ReceiverOptions{Credit: -1})
		synctest.Wait()
		q := b.last().consumer(0)
		for i := range 5 {
			if i%2 == 1 {
				q.deliver(&transport.Message{Body: []byte("x")})
			}
			if err := in.IssueCredit(3); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if err := in.DrainCredit(soon(t), nil); err != nil {
				t.Fatalf("DrainCredit: %v", err)
			}
			if m := in.Prefetched(); (m != nil) != (i%2 == 1) {
				t.Errorf("round %d: got %v", i, m)
			} else if m != nil {
				_ = in.AcceptMessage(soon(t), m)
			}
		}
	})
}

// TestBrokerDetach: the broker is told once that a link, its session or its
// connection has gone, and ends one from its side.
func TestBrokerDetach(t *testing.T) {
	t.Run("link", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &fakeBroker{}
			r := newRig(t, withBroker(b), nil)
			in := newReceiver(t, r.session(nil), "/queue/a", nil)
			synctest.Wait()
			q := b.last().consumer(0)
			q.deliver(&transport.Message{Body: []byte("x")})
			_ = in.Close(soon(t))
			synctest.Wait()
			q.deliver(&transport.Message{Body: []byte("y")})
			if waiting, settled, detached := q.state(); waiting != 1 || len(settled) > 0 || detached != 1 {
				t.Errorf("%d messages wait, settled %q, detached %d times", waiting, settled, detached)
			}
			_ = r.last().Close()
			synctest.Wait()
			if _, _, detached := q.state(); detached != 1 || b.last().gone() != 1 {
				t.Errorf("detached %d times, left %d times, want once each", detached, b.last().gone())
			}
		})
	})
	t.Run("session", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &fakeBroker{}
			s := newRig(t, withBroker(b), nil).session(nil)
			newReceiver(t, s, "/queue/a", nil)
			_ = s.Close(soon(t))
			synctest.Wait()
			if _, _, detached := b.last().consumer(0).state(); detached != 1 {
				t.Errorf("detached %d times, want once", detached)
			}
		})
	})
	t.Run("stolen", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &fakeBroker{}
			p := newRig(t, withBroker(b), nil).connect(begin()+receive(0, "in", "/queue/a", 0)+receive(1, "in", "/queue/a", 0), 5)
			p.quiet()
			_, _, first := b.last().consumer(0).state()
			_, _, second := b.last().consumer(1).state()
			if first != 1 || second != 0 {
				t.Errorf("detached %d and %d times, want once and never", first, second)
			}
		})
	})
	t.Run("from this side", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &fakeBroker{}
			in := newReceiver(t, newRig(t, withBroker(b), nil).session(nil), "/queue/a", nil)
			synctest.Wait()
			q := b.last().consumer(0)
			q.deliver(&transport.Message{Body: []byte("x")})
			q.out.End(transport.WithReason(transport.ErrBusy, "too slow"))
			if _, err := in.Receive(soon(t), nil); err != nil {
				t.Errorf("Receive of what has come: %v", err)
			}
			_, err := in.Receive(soon(t), nil)
			wantCondition(t, "Receive", err, "amqp:resource-limit-exceeded")
			if _, _, detached := q.state(); detached != 0 {
				t.Errorf("detached %d times, want never", detached)
			}
		})
	})
}

// TestBrokerReplies: the address that a dynamic source is told reaches its link
// from everywhere; the answer to a request by the same connection does not go
// round by the broker.
func TestBrokerReplies(t *testing.T) {
	for _, c := range []struct {
		name, source string
		caps         []string
		global       string
	}{
		{"dynamic", "", nil, "/reply-queue/0"},
		{"temporary", "mine", []string{"temporary-queue"}, "/reply-queue/0"},
		{"named", "/queue/answers", nil, "/queue/answers"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &fakeBroker{done: takes}
				r := newRig(t, withBroker(b), echo)
				s := r.session(nil)
				in := newReceiver(t, s, c.source, &goamqp.ReceiverOptions{DynamicAddress: c.source == "", SourceCapabilities: c.caps})
				reply := in.Address()
				if c.source == "" && reply != c.global {
					t.Errorf("the address told is %q, want %q", reply, c.global)
				}
				m := goamqp.NewMessage([]byte("x"))
				m.Properties = &goamqp.MessageProperties{ReplyTo: &reply}
				if err := newSender(t, s, "rpc", nil).Send(soon(t), m, nil); err != nil {
					t.Fatal(err)
				}
				if got, err := in.Receive(soon(t), nil); err != nil || string(got.GetData()) != "x" {
					t.Fatalf("the answer: %v, %v", got, err)
				}
				if got := b.last().take(); len(got) > 0 {
					t.Errorf("the broker got %+v", got[0].m)
				}
				if err := newSender(t, s, "/queue/calc", nil).Send(soon(t), m, nil); err != nil {
					t.Fatal(err)
				}
				if got := b.last().take(); len(got) != 1 || got[0].m.ReplyTo != c.global {
					t.Errorf("the broker got %+v, want the reply-to %s", got, c.global)
				}
			})
		})
	}
}

// TestBrokerForwards: a request may name an address for its answer that is
// another connection's.
func TestBrokerForwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBroker{done: takes}
		r := newRig(t, withBroker(b), echo)
		m := goamqp.NewMessage([]byte("x"))
		m.Properties = &goamqp.MessageProperties{ReplyTo: new("/queue/elsewhere")}
		if err := newSender(t, r.session(nil), "rpc", nil).Send(soon(t), m, nil); err != nil {
			t.Fatal(err)
		}
		got := b.last().take()
		if len(got) != 1 || got[0].m.To != "/queue/elsewhere" || string(got[0].m.Body) != "x" {
			t.Fatalf("the broker got %+v", got)
		}
	})
}

// TestBrokerOwnsBytes: messages that the broker keeps stay as they are when more
// come.
func TestBrokerOwnsBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBroker{done: takes}
		out := newSender(t, newRig(t, withBroker(b), nil).session(nil), "/queue/a", nil)
		sizes := []int{0, 1, 90, 200, 400, 3000, 100_000, 2 << 20}
		for i, n := range sizes {
			m := goamqp.NewMessage(bytes.Repeat([]byte{byte('a' + i)}, n))
			m.ApplicationProperties = map[string]any{"k": strconv.Itoa(i)}
			if err := out.Send(soon(t), m, nil); err != nil {
				t.Fatal(err)
			}
		}
		for i, h := range b.last().take() {
			if want := bytes.Repeat([]byte{byte('a' + i)}, sizes[i]); !bytes.Equal(h.m.Body, want) || h.m.Header("k") != strconv.Itoa(i) {
				t.Errorf("message %d of %d bytes has changed", i, sizes[i])
			}
		}
	})
}

// TestBrokerValues: what came as a value goes out as one.
func TestBrokerValues(t *testing.T) {
	for _, v := range []any{"text", int64(-7), true, map[string]any{"n": int64(1)}, []any{"a", uint32(2)}} {
		t.Run(fmt.Sprintf("%T", v), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &fakeBroker{done: takes}
				r := newRig(t, withBroker(b), nil)
				s := r.session(nil)
				in := newReceiver(t, s, "/queue/a", nil)
				if err := newSender(t, s, "/queue/a", nil).Send(soon(t), &goamqp.Message{Value: v}, nil); err != nil {
					t.Fatalf("Send: %v", err)
				}
				m := b.last().take()[0].m
				if text, ok := v.(string); ok && string(m.Body) != text {
					t.Errorf("other wires get %q", m.Body)
				}
				b.last().consumer(0).deliver(m)
				got, err := in.Receive(soon(t), nil)
				if err != nil || fmt.Sprint(got.Value) != fmt.Sprint(v) {
					t.Errorf("got %v (%v), want %v", got, err, v)
				}
				err = newSender(t, s, "rpc", &goamqp.SenderOptions{}).Send(ctxOf(t), &goamqp.Message{Value: v}, nil)
				if _, ok := v.(string); !ok {
					wantCondition(t, "Send to a service", err, "amqp:decode-error")
				}
			})
		})
	}
}

// TestBrokerBadValue: what only pretends to be a value cannot break the frame.
func TestBrokerBadValue(t *testing.T) {
	for _, body := range []string{"", "x", "\x00\x53\x77", section(0x77, raw("\x45")) + "x", section(0x75, bin("x")), section(0x77, raw("\xc0\x05\x02\xff\xff"))} {
		synctest.Test(t, func(t *testing.T) {
			b := &fakeBroker{}
			in := newReceiver(t, newRig(t, withBroker(b), nil).session(nil), "/queue/a", nil)
			synctest.Wait()
			b.last().consumer(0).deliver(&transport.Message{ContentType: "application/x-amqp-value", Body: []byte(body)})
			if m, err := in.Receive(soon(t), nil); err != nil || string(m.GetData()) != body {
				t.Errorf("%q came as %v, %v", body, m, err)
			}
		})
	}
}

// TestBrokerUnsayable: a message that this wire or peer cannot take is given back
// with the reason, and does not stop those behind it.
func TestBrokerUnsayable(t *testing.T) {
	for name, bad := range map[string]*transport.Message{
		"not UTF-8": {Headers: []transport.Header{{Name: "k", Value: "\xff"}}},
		"too large": {Body: make([]byte, 2000)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &fakeBroker{}
				in := newReceiver(t, newRig(t, withBroker(b), nil).session(nil), "/queue/a", &goamqp.ReceiverOptions{MaxMessageSize: 1000})
				synctest.Wait()
				q := b.last().consumer(0)
				q.deliver(bad, &transport.Message{Body: []byte("good")})
				if m, err := in.Receive(soon(t), nil); err != nil || string(m.GetData()) != "good" {
					t.Errorf("got %v, %v", m, err)
				}
				synctest.Wait()
				if _, settled, _ := q.state(); len(settled) != 1 || !strings.HasPrefix(settled[0], "0 rejected") {
					t.Errorf("settled %q", settled)
				}
			})
		})
	}
}

// TestBrokerHalf: a message of which only a part has come is nobody's.
func TestBrokerHalf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBroker{done: takes}
		p := newRig(t, withBroker(b), nil).connect(begin()+attach(0, "out", "/queue/a")+attach(1, "other", "/queue/a"), 6)
		whole := data("whole")
		p.say(transfer(0, 0, false, true, whole[:4]) + transfer(1, 1, false, false, whole) + performative(0, frames.CodeDetach, u32(0), yes(true)))
		p.want(frames.CodeDisposition)
		if got := b.last().take(); len(got) != 1 || string(got[0].m.Body) != "whole" {
			t.Errorf("the broker got %d messages", len(got))
		}
	})
}

// TestBrokerTail: one message that is never settled does not have the others
// remembered.
func TestBrokerTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBroker{}
		p := newRig(t, withBroker(b), nil).connect(begin()+receive(0, "in", "/queue/a", frames.SendUnsettled), 3)
		q := b.last().consumer(0)
		p.say(performative(0, frames.CodeFlow, u32(0), u32(1<<30), u32(0), u32(100), u32(0), u32(0), u32(1<<30)))
		synctest.Wait()
		for i := range uint32(5000) {
			q.deliver(&transport.Message{Body: []byte("x")})
			p.want(frames.CodeTransfer)
			if i > 0 {
				p.say(performative(0, frames.CodeDisposition, yes(true), u32(i), null, yes(true), raw(section(0x24, raw("\x45")))))
			}
		}
		synctest.Wait()
		if _, settled, _ := q.state(); len(settled) != 4999 || settled[0] != "1 accepted" || settled[4998] != "4999 accepted" {
			t.Errorf("%d messages are settled", len(settled))
		}
	})
}

// TestBrokerFilter: a filter is not echoed, which says that it is not applied.
func TestBrokerFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := append(str("/topic/a"), bytes.Repeat(null, 6)...)
		filter, inner := codec.BeginMap(nil)
		filter = codec.EndMap(codec.AppendString(codec.AppendSymbol(filter, "selector"), "a > 1"), inner, 2)
		source = append(source, filter...)
		list, at := codec.BeginList(codec.AppendDescriptor(nil, 0x28))
		source = codec.EndList(append(list, source...), at, 8)
		b := &fakeBroker{}
		p := newRig(t, withBroker(b), nil).connect(begin()+
			performative(0, frames.CodeAttach, str("in"), u32(0), yes(true), null, null, source), 2)
		x := p.want(frames.CodeAttach)
		rest := string(x.fields.Rest())
		if !strings.Contains(rest, "/topic/a") || strings.Contains(rest, "selector") {
			t.Errorf("the answer is %q, want the address without the filter", rest)
		}
	})
}

var bg = context.Background()

// ctxOf bounds what may have no answer.
func ctxOf(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	t.Cleanup(cancel)
	return ctx
}
