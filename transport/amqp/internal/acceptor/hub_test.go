package acceptor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	goamqp "github.com/Azure/go-amqp"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/transport"
)

// hubRig serves RPC as rpc and all else by a hub.
func hubRig(t *testing.T, o *broker.Options) *rig {
	t.Helper()
	h := broker.New(o)
	r := newRig(t, &transport.ListenOptions{Broker: h}, echo)
	t.Cleanup(func() { _ = h.Close() })
	return r
}

// sendAll sends n numbered messages.
func sendAll(t *testing.T, s *goamqp.Session, to string, n int, o *goamqp.SenderOptions) {
	t.Helper()
	out := newSender(t, s, to, o)
	for i := range n {
		m := goamqp.NewMessage(fmt.Append(nil, i))
		m.ApplicationProperties = map[string]any{"n": strconv.Itoa(i)}
		if err := out.Send(soon(t), m, nil); err != nil {
			t.Fatalf("Send of message %d: %v", i, err)
		}
	}
}

// receiveAll receives until nothing has come for a while, and accepts.
func receiveAll(t *testing.T, in *goamqp.Receiver) (got []string) {
	t.Helper()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		m, err := in.Receive(ctx, nil)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return got
		}
		if err != nil {
			t.Errorf("Receive: %v", err)
			return got
		}
		if m.ApplicationProperties["n"] != string(m.GetData()) {
			t.Errorf("message %q has the headers %v", m.GetData(), m.ApplicationProperties)
		}
		got = append(got, string(m.GetData()))
		if err := in.AcceptMessage(soon(t), m); err != nil {
			t.Errorf("AcceptMessage: %v", err)
		}
	}
}

// TestHubQueue: consumers share a queue, each message goes to one of them, in all
// settlement modes.
func TestHubQueue(t *testing.T) {
	for _, mode := range []goamqp.SenderSettleMode{goamqp.SenderSettleModeUnsettled, goamqp.SenderSettleModeSettled, goamqp.SenderSettleModeMixed} {
		t.Run(fmt.Sprint(mode), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := hubRig(t, nil)
				const n = 500
				var mu sync.Mutex
				var got []string
				var wg sync.WaitGroup
				shares := make([]int, 3)
				for i, source := range []string{"/queue/calc", "queue://calc", "calc"} {
					in := newReceiver(t, r.session(nil), source, &goamqp.ReceiverOptions{Credit: 20, RequestedSenderSettleMode: mode.Ptr()})
					wg.Go(func() {
						some := receiveAll(t, in)
						mu.Lock()
						defer mu.Unlock()
						got, shares[i] = append(got, some...), len(some)
					})
				}
				synctest.Wait()
				sendAll(t, r.session(nil), "calc", n, &goamqp.SenderOptions{SettlementMode: mode.Ptr(), TargetCapabilities: []string{"queue"}})
				wg.Wait()
				slices.Sort(got)
				if len(got) != n || len(slices.Compact(got)) != n {
					t.Errorf("%d messages came, %d different, want %d", len(got), len(slices.Compact(got)), n)
				}
				for i, share := range shares {
					if share < n/10 {
						t.Errorf("consumer %d has got %d messages of %d", i, share, n)
					}
				}
			})
		})
	}
}

// TestHubRedelivers: what is given back, or lost with its receiver, comes to
// another one, and says how often it has been tried.
func TestHubRedelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := hubRig(t, nil)
		sendAll(t, r.session(nil), "/queue/calc", 1, nil)
		next := func(count uint32) (*goamqp.Receiver, *goamqp.Message) {
			t.Helper()
			in := newReceiver(t, r.session(nil), "/queue/calc", nil)
			m, err := in.Receive(soon(t), nil)
			if err != nil {
				t.Fatalf("Receive: %v", err)
			}
			if m.Header.DeliveryCount != count || m.Header.FirstAcquirer != (count == 0) {
				t.Errorf("header %+v, want the delivery-count %d", m.Header, count)
			}
			return in, m
		}
		in, m := next(0)
		if err := in.ModifyMessage(soon(t), m, &goamqp.ModifyMessageOptions{DeliveryFailed: true}); err != nil {
			t.Error(err)
		}
		if m, err := in.Receive(soon(t), nil); err != nil || m.Header.DeliveryCount != 1 {
			t.Fatalf("Receive after failure: %+v, %v", m, err)
		} else if err := in.ReleaseMessage(soon(t), m); err != nil {
			t.Error(err)
		}
		m, err := in.Receive(soon(t), nil)
		if err != nil || m.Header.DeliveryCount != 1 {
			t.Fatalf("Receive after release: %+v, %v", m, err)
		}
		_ = in.Close(soon(t)) // with m unsettled
		in, m = next(2)
		if err := in.RejectMessage(soon(t), m, &goamqp.Error{Condition: "x:y", Description: "no good"}); err != nil {
			t.Error(err)
		}
		dead := newReceiver(t, r.session(nil), "/queue/dead-letter", nil)
		if m, err := dead.Receive(soon(t), nil); err != nil || string(m.GetData()) != "0" {
			t.Errorf("the dead letter: %v, %v", m, err)
		}
	})
}

// TestHubCalls: two clients call each other by the hub, with a dynamic address
// for the answers.
func TestHubCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := hubRig(t, nil)
		server := r.session(nil)
		in := newReceiver(t, server, "/queue/calc", nil)
		out := newSender(t, server, "", nil)
		go func() {
			for {
				m, err := in.Receive(t.Context(), nil)
				if err != nil {
					return
				}
				answer := goamqp.NewMessage(append([]byte("re: "), m.GetData()...))
				answer.Properties = &goamqp.MessageProperties{To: m.Properties.ReplyTo, CorrelationID: m.Properties.MessageID}
				if err := out.Send(t.Context(), answer, nil); err != nil {
					t.Errorf("the answer: %v", err)
				}
				_ = in.AcceptMessage(t.Context(), m)
			}
		}()
		caller := r.session(nil)
		answers := newReceiver(t, caller, "", &goamqp.ReceiverOptions{DynamicAddress: true})
		reply := answers.Address()
		requests := newSender(t, caller, "/queue/calc", nil)
		for i := range 100 {
			m := goamqp.NewMessage(fmt.Append(nil, i))
			m.Properties = &goamqp.MessageProperties{ReplyTo: &reply, MessageID: uint64(i)}
			if err := requests.Send(soon(t), m, nil); err != nil {
				t.Fatal(err)
			}
			got, err := answers.Receive(soon(t), nil)
			if err != nil || string(got.GetData()) != fmt.Sprint("re: ", i) || got.Properties.CorrelationID != uint64(i) {
				t.Fatalf("answer %d: %v, %v", i, got, err)
			}
			_ = answers.AcceptMessage(soon(t), got)
		}
		_ = answers.Close(soon(t))
		synctest.Wait()
		late := goamqp.NewMessage([]byte("late"))
		late.Properties = &goamqp.MessageProperties{To: &reply}
		wantCondition(t, "Send to an address that is gone", newSender(t, server, "", nil).Send(soon(t), late, nil), "amqp:not-found")
	})
}

// TestHubTopic: each subscriber gets what its filter stands for.
func TestHubTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := hubRig(t, nil)
		receivers := map[string]*goamqp.Receiver{}
		for _, source := range []string{"/topic/news.*", "/topic/news.#", "topic://news.>", "/topic/other.a"} {
			receivers[source] = newReceiver(t, r.session(nil), source, nil)
		}
		receivers["news.eu"] = newReceiver(t, r.session(nil), "news.eu", &goamqp.ReceiverOptions{SourceCapabilities: []string{"topic"}})
		synctest.Wait()
		s := r.session(nil)
		sendAll(t, s, "/topic/news.eu", 5, nil)
		sendAll(t, s, "news.us.east", 3, &goamqp.SenderOptions{TargetCapabilities: []string{"topic"}})
		for source, want := range map[string]int{"/topic/news.*": 5, "/topic/news.#": 8, "topic://news.>": 8, "/topic/other.a": 0, "news.eu": 5} {
			if got := receiveAll(t, receivers[source]); len(got) != want {
				t.Errorf("%s has got %d messages, want %d", source, len(got), want)
			}
		}
	})
}

// TestHubFull: a full queue withholds credit from its sender, and then refuses;
// nothing is lost.
func TestHubFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := hubRig(t, &broker.Options{QueueDepth: 10, Waiting: 20, SendWait: time.Minute})
		out := newSender(t, r.session(nil), "/queue/calc", nil)
		const n = 200
		taken, refused := make(chan error, n), 0
		for i := range n {
			m := goamqp.NewMessage(fmt.Append(nil, i))
			m.ApplicationProperties = map[string]any{"n": strconv.Itoa(i)}
			receipt, err := out.SendWithReceipt(soon(t), m, nil)
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				state, err := receipt.Wait(t.Context())
				if x, ok := state.(*goamqp.StateRejected); ok {
					err = x.Error
				}
				taken <- err
			}()
		}
		synctest.Wait()
		in := newReceiver(t, r.session(nil), "/queue/calc", nil)
		got := receiveAll(t, in)
		for range n {
			if err := <-taken; err != nil {
				wantCondition(t, "Send to a full queue", err, "amqp:resource-limit-exceeded")
				refused++
			}
		}
		if len(got)+refused != n || len(got) != 30 {
			t.Errorf("%d messages came and %d were refused of %d", len(got), refused, n)
		}
	})
}

// TestHubNeverCredit: receivers that give no credit, or take and never settle,
// keep nothing from others, and what they have comes back when they go.
func TestHubNeverCredit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := hubRig(t, nil)
		for range 5 {
			newReceiver(t, r.session(nil), "/queue/calc", &goamqp.ReceiverOptions{Credit: -1})
		}
		hog := r.session(nil)
		newReceiver(t, hog, "/queue/calc", &goamqp.ReceiverOptions{Credit: 7})
		synctest.Wait()
		sendAll(t, r.session(nil), "/queue/calc", 50, nil)
		in := newReceiver(t, r.session(nil), "/queue/calc", nil)
		if got := receiveAll(t, in); len(got) != 43 {
			t.Errorf("%d messages came, want 43", len(got))
		}
		_ = hog.Close(soon(t))
		if got := receiveAll(t, in); len(got) != 7 {
			t.Errorf("%d messages came back, want 7", len(got))
		}
	})
}

// TestHubAccess: a queue that somebody consumes is that user's.
func TestHubAccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := broker.New(nil)
		r := newRig(t, &transport.ListenOptions{
			Broker: h, Authenticator: transport.Users(map[string]string{"ann": "a", "bob": "b"}),
		}, echo)
		t.Cleanup(func() { _ = h.Close() })
		user := func(name, password string) *goamqp.Session {
			return r.session(&goamqp.ConnOptions{SASLType: goamqp.SASLTypePlain(name, password)})
		}
		ann, bob := user("ann", "a"), user("bob", "b")
		in := newReceiver(t, ann, "/queue/hers", nil)
		synctest.Wait()
		_, err := bob.NewReceiver(soon(t), "/queue/hers", nil)
		wantCondition(t, "NewReceiver", err, "amqp:unauthorized-access")
		sendAll(t, bob, "/queue/hers", 3, nil)
		if got := receiveAll(t, in); len(got) != 3 {
			t.Errorf("%d messages came, want 3", len(got))
		}
		_, err = bob.NewSender(soon(t), "/topic/a..b", nil)
		wantCondition(t, "NewSender to an impossible name", err, "amqp:invalid-field")
	})
}
