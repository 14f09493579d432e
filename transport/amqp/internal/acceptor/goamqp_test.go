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
)

// The tests here let another implementation's client talk to our server.

// TestGoAMQPRequest: a request to a queue is answered on a dynamic address.
func TestGoAMQPRequest(t *testing.T) {
	for _, address := range []string{"rpc", "/queue/rpc", "/queues/rpc", ""} {
		t.Run("address "+address, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil, echo)
				s := r.session(nil)
				in := newReceiver(t, s, "", &goamqp.ReceiverOptions{DynamicAddress: true})
				if in.Address() == "" {
					t.Fatal("the dynamic source has no address")
				}
				to, reply, kind := "rpc", in.Address(), "application/json"
				out := newSender(t, s, address, nil)
				m := goamqp.NewMessage([]byte("hello"))
				m.Properties = &goamqp.MessageProperties{To: &to, ReplyTo: &reply, CorrelationID: uint64(7), ContentType: &kind}
				if err := out.Send(soon(t), m, nil); err != nil {
					t.Fatalf("Send: %v", err)
				}
				got, err := in.Receive(soon(t), nil)
				if err != nil {
					t.Fatalf("Receive: %v", err)
				}
				if string(got.GetData()) != "hello" || got.Properties.CorrelationID != uint64(7) || *got.Properties.To != reply ||
					*got.Properties.ContentType != kind {
					t.Errorf("the answer is %q with %+v", got.GetData(), got.Properties)
				}
				if err := in.AcceptMessage(soon(t), got); err != nil {
					t.Errorf("AcceptMessage: %v", err)
				}
				for _, end := range []func(context.Context) error{in.Close, out.Close, s.Close} {
					if err := end(soon(t)); err != nil {
						t.Errorf("Close: %v", err)
					}
				}
			})
		})
	}
}

// TestGoAMQPBig: messages of many frames go both ways, whatever the size of a
// frame.
func TestGoAMQPBig(t *testing.T) {
	for _, frame := range []uint32{513, 4096, 64 << 10, 1 << 20} {
		t.Run(strconv.FormatUint(uint64(frame), 10), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil, echo)
				s := r.session(&goamqp.ConnOptions{MaxFrameSize: frame})
				in := newReceiver(t, s, "answers", nil)
				out := newSender(t, s, "rpc", nil)
				reply := in.Address()
				for _, n := range []int{0, 1, 255, 256, 400, 600, 5000, 70_000, 1_100_000, 4 << 20} {
					body := bytes.Repeat([]byte("0123456789abcdef"), n/16+1)[:n]
					m := goamqp.NewMessage(body)
					m.Properties = &goamqp.MessageProperties{ReplyTo: &reply}
					if err := out.Send(soon(t), m, nil); err != nil {
						t.Fatalf("Send of %d bytes: %v", n, err)
					}
					got, err := in.Receive(soon(t), nil)
					if err != nil {
						t.Fatalf("Receive of %d bytes: %v", n, err)
					}
					if !bytes.Equal(got.GetData(), body) {
						t.Fatalf("%d bytes have come back as %d others", n, len(got.GetData()))
					}
				}
			})
		})
	}
}

// TestGoAMQPOutcomes: Settle is what the sender gets to know.
func TestGoAMQPOutcomes(t *testing.T) {
	for _, c := range []struct {
		outcome transport.Outcome
		want    goamqp.DeliveryState
	}{
		{transport.Accepted, &goamqp.StateAccepted{}},
		{transport.Released, &goamqp.StateReleased{}},
		{transport.Failed, &goamqp.StateModified{DeliveryFailed: true}},
		{transport.Rejected("no good"), &goamqp.StateRejected{Error: &goamqp.Error{Condition: "amqp:precondition-failed", Description: "no good"}}},
	} {
		t.Run(c.outcome.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil, func(_ transport.Conn, m *transport.Message) {
					if !m.Unsettled() {
						t.Error("the message is not Unsettled")
					}
					_ = m.Settle(c.outcome)
				})
				out := newSender(t, r.session(nil), "rpc", nil)
				receipt, err := out.SendWithReceipt(soon(t), goamqp.NewMessage([]byte("x")), nil)
				if err != nil {
					t.Fatalf("SendWithReceipt: %v", err)
				}
				state, err := receipt.Wait(soon(t))
				if err != nil {
					t.Fatalf("Wait: %v", err)
				}
				if got, want := fmt.Sprintf("%T %v", state, state), fmt.Sprintf("%T %v", c.want, c.want); got != want {
					t.Errorf("the outcome is %s, want %s", got, want)
				}
			})
		})
	}
}

// TestGoAMQPModes: all settlement modes but second are kept to.
func TestGoAMQPModes(t *testing.T) {
	for _, c := range []struct {
		name    string
		mode    *goamqp.SenderSettleMode
		settled bool // what is sent to the receiver
	}{
		{"none", nil, true},
		{"unsettled", goamqp.SenderSettleModeUnsettled.Ptr(), false},
		{"settled", goamqp.SenderSettleModeSettled.Ptr(), true},
		{"mixed", goamqp.SenderSettleModeMixed.Ptr(), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil, echo)
				s := r.session(nil)
				in := newReceiver(t, s, "answers", &goamqp.ReceiverOptions{RequestedSenderSettleMode: c.mode})
				out := newSender(t, s, "rpc", &goamqp.SenderOptions{SettlementMode: c.mode})
				reply := "answers"
				m := goamqp.NewMessage([]byte("x"))
				m.Properties = &goamqp.MessageProperties{ReplyTo: &reply}
				for range 300 {
					if err := out.Send(soon(t), m, nil); err != nil {
						t.Fatalf("Send: %v", err)
					}
					got, err := in.Receive(soon(t), nil)
					if err != nil {
						t.Fatalf("Receive: %v", err)
					}
					if err := in.AcceptMessage(soon(t), got); err != nil {
						t.Fatalf("AcceptMessage: %v", err)
					}
				}
				done := make(chan error, 1)
				by, _ := transport.As[transport.Confirmer](r.last().Conn)
				err := by.SendConfirmed(soon(t), &transport.Message{To: "answers"}, func(err error) { done <- err })
				if c.name == "settled" {
					if !errors.Is(err, transport.ErrUnsupported) {
						t.Errorf("SendConfirmed = %v, want %v", err, transport.ErrUnsupported)
					}
					return
				}
				got, err := in.Receive(soon(t), nil)
				if err != nil {
					t.Fatalf("Receive: %v", err)
				}
				if err := in.RejectMessage(soon(t), got, &goamqp.Error{Condition: "x:y", Description: "not this one"}); err != nil {
					t.Fatalf("RejectMessage: %v", err)
				}
				if err := <-done; !errors.Is(err, transport.ErrRefused) || !strings.Contains(err.Error(), "not this one") {
					t.Errorf("done(%v), want %v with the reason", err, transport.ErrRefused)
				}
			})
		})
	}
}

// TestGoAMQPRefusals: what cannot be had is refused with the condition that the
// specification has for it, and the session lives on.
func TestGoAMQPRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, echo)
		s := r.session(nil)
		want := func(what string, err error, condition goamqp.ErrCond) {
			t.Helper()
			var got *goamqp.Error
			if !errors.As(err, &got) || got.Condition != condition {
				t.Errorf("%s: err = %v, want %s", what, err, condition)
			}
		}
		_, err := s.NewSender(soon(t), "nowhere", nil)
		want("an unknown target", err, goamqp.ErrCondNotFound)
		_, err = s.NewSender(soon(t), "", &goamqp.SenderOptions{DynamicAddress: true})
		want("a dynamic target", err, goamqp.ErrCondNotImplemented)
		_, err = s.NewReceiver(soon(t), "", nil)
		want("a source without address", err, goamqp.ErrCondInvalidField)
		_, err = s.NewSender(soon(t), strings.Repeat("x", 2000), nil)
		want("a long address", err, goamqp.ErrCondInvalidField)
		_, err = s.NewReceiver(soon(t), "a", &goamqp.ReceiverOptions{SettlementMode: goamqp.ReceiverSettleModeSecond.Ptr()})
		want("rcv-settle-mode second", err, goamqp.ErrCondNotImplemented)

		// Messages that can go nowhere are rejected one by one.
		out := newSender(t, s, "", nil)
		for what, p := range map[string]goamqp.MessageProperties{
			"no to":                {},
			"an unknown to":        {To: new("nowhere")},
			"a reply-to of nobody": {To: new("rpc"), ReplyTo: new("nobody")},
		} {
			m := goamqp.NewMessage([]byte("x"))
			m.Properties = &p
			want(what, out.Send(soon(t), m, nil), goamqp.ErrCondNotFound)
		}
		m := goamqp.NewMessage([]byte("x"))
		m.Properties = &goamqp.MessageProperties{To: new("rpc")}
		if err := out.Send(soon(t), m, nil); err != nil {
			t.Errorf("Send after refusals: %v", err)
		}
		if n := len(r.last().received()); n != 1 {
			t.Errorf("%d messages have come, want 1", n)
		}
	})
}

// TestGoAMQPCredit: a server that does not settle withholds credit.
func TestGoAMQPCredit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 10
		r := newRig(t, &transport.ListenOptions{Options: transport.Options{Limits: transport.Limits{Unsettled: limit}}}, nil)
		out := newSender(t, r.session(nil), "rpc", &goamqp.SenderOptions{SettlementMode: goamqp.SenderSettleModeSettled.Ptr()})
		for i := range limit {
			if err := out.Send(soon(t), goamqp.NewMessage(fmt.Append(nil, i)), nil); err != nil {
				t.Fatalf("Send of message %d of a credit of %d: %v", i, limit, err)
			}
		}
		sent := make(chan error, 1)
		go func() { sent <- out.Send(t.Context(), goamqp.NewMessage([]byte("over")), nil) }()
		time.Sleep(time.Hour)
		synctest.Wait()
		select {
		case err := <-sent:
			t.Fatalf("Send without credit: %v", err)
		default:
		}
		got := r.last().received()
		if len(got) != limit {
			t.Fatalf("%d messages have come, want %d", len(got), limit)
		}
		for _, m := range got[:limit/2] {
			_ = m.Settle(transport.Accepted)
		}
		if err := <-sent; err != nil {
			t.Errorf("Send after settlement: %v", err)
		}
	})
}

// TestGoAMQPDrain: a receiver that drains gets its credit back at once.
func TestGoAMQPDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, echo)
		s := r.session(nil)
		in := newReceiver(t, s, "news", &goamqp.ReceiverOptions{Credit: -1})
		c := r.last()
		for i := range 5 {
			if err := c.Send(ended(), &transport.Message{To: "news"}); !errors.Is(err, transport.ErrBusy) || !transport.NotSent(err) {
				t.Fatalf("Send without credit = %v, want %v that is NotSent", err, transport.ErrBusy)
			}
			if err := in.IssueCredit(3); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if err := c.Send(soon(t), &transport.Message{To: "news", Body: fmt.Append(nil, i)}); err != nil {
				t.Fatalf("Send: %v", err)
			}
			if err := in.DrainCredit(soon(t), nil); err != nil {
				t.Fatalf("DrainCredit: %v", err)
			}
			if m, err := in.Receive(soon(t), nil); err != nil || string(m.GetData()) != strconv.Itoa(i) {
				t.Fatalf("Receive = %v, %v", m, err)
			}
		}
	})
}

// ended is a context that has ended.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// TestGoAMQPClosed: what was not settled is released when the server closes.
func TestGoAMQPClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, nil)
		out := newSender(t, r.session(nil), "rpc", nil)
		receipt, err := out.SendWithReceipt(soon(t), goamqp.NewMessage([]byte("x")), nil)
		if err != nil {
			t.Fatal(err)
		}
		c := r.last()
		if len(c.received()) != 1 {
			t.Fatal("the message has not come")
		}
		go func() { _ = c.Close() }()
		state, err := receipt.Wait(soon(t))
		if _, ok := state.(*goamqp.StateReleased); !ok {
			t.Errorf("the outcome is %T, %v, want released", state, err)
		}
	})
}

// TestGoAMQPLogin: SASL decides who may connect.
func TestGoAMQPLogin(t *testing.T) {
	users := transport.Users(map[string]string{"alice": "secret"})
	for _, c := range []struct {
		name string
		auth transport.Authenticator
		sasl goamqp.SASLType
		user string // "-" if it is to be turned away
	}{
		{"none, nobody has to", nil, nil, ""},
		{"anonymous, nobody has to", nil, goamqp.SASLTypeAnonymous(), ""},
		{"plain, nobody has to", nil, goamqp.SASLTypePlain("who", "ever"), ""},
		{"none", users, nil, "-"},
		{"anonymous", users, goamqp.SASLTypeAnonymous(), "-"},
		{"plain", users, goamqp.SASLTypePlain("alice", "secret"), "alice"},
		{"wrong password", users, goamqp.SASLTypePlain("alice", "wrong"), "-"},
		{"unknown user", users, goamqp.SASLTypePlain("bob", "secret"), "-"},
		{"external without a certificate", users, goamqp.SASLTypeExternal(""), "-"},
		{"external without a certificate, nobody has to", nil, goamqp.SASLTypeExternal("alice"), "-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, &transport.ListenOptions{Authenticator: c.auth}, nil)
				conn, err := r.tryGoAMQP(&goamqp.ConnOptions{SASLType: c.sasl, HostName: "localhost"})
				if (err == nil) != (c.user != "-") {
					t.Fatalf("NewConn: %v", err)
				}
				if err != nil {
					if n := len(r.all()); n > 0 {
						t.Errorf("%d connections were accepted", n)
					}
					return
				}
				if got := r.last().Info().User; got != c.user {
					t.Errorf("User = %q, want %q", got, c.user)
				}
				_ = conn.Close()
				if err := r.last().ended(); !errors.Is(err, transport.ErrClosed) {
					t.Errorf("Recv after the peer's close: %v, want %v", err, transport.ErrClosed)
				}
			})
		})
	}
}

// TestGoAMQPIdle: connections on which nothing is said live on, by the empty
// frames of both ends.
func TestGoAMQPIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &transport.ListenOptions{Options: transport.Options{Heartbeat: 2 * time.Second}}, echo)
		out := newSender(t, r.session(&goamqp.ConnOptions{IdleTimeout: 4 * time.Second}), "rpc", nil)
		time.Sleep(time.Hour)
		if err := out.Send(soon(t), goamqp.NewMessage([]byte("still there?")), nil); err != nil {
			t.Errorf("Send after an hour of silence: %v", err)
		}
		if b := r.last().Info().PeerBeat; b != 4*time.Second {
			t.Errorf("PeerBeat = %v, want the longer, 4s", b)
		}
	})
}
