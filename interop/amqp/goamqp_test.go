package amqp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"

	goamqp "github.com/Azure/go-amqp"

	"github.com/polyport/polyport/transport"
)

// dialGoAMQP opens a connection and a session of go-amqp to our server.
func dialGoAMQP(t *testing.T, host string, login goamqp.SASLType) (*goamqp.Session, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := goamqp.Dial(ctx, "amqp://"+host, &goamqp.ConnOptions{SASLType: login})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.NewSession(ctx, nil)
}

// mode is what a sender settles by.
func mode(settled bool) *goamqp.SenderSettleMode {
	if settled {
		return goamqp.SenderSettleModeSettled.Ptr()
	}
	return goamqp.SenderSettleModeUnsettled.Ptr()
}

// TestGoAMQPCalls: a program on go-amqp, by its public API, calls our server with
// no broker between. Each call is executed once and answered once; each request
// that was sent unsettled is accepted.
func TestGoAMQPCalls(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		short          int
		listen         *transport.ListenOptions
		login          goamqp.SASLType
		target, source string
	}{
		{"anonymous", 2_000, nil, goamqp.SASLTypeAnonymous(), "rpc", ""},
		{"no SASL", 300, nil, nil, "", "answers"},
		{"PLAIN", 300, ann, goamqp.SASLTypePlain("ann", "secret:pass word"), "/queue/rpc", ""},
	} {
		for _, settled := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, settled %t", c.name, settled), func(t *testing.T) {
				t.Parallel()
				y := make(tally, volume(t, c.short))
				s, err := dialGoAMQP(t, serve(t, c.listen, y.mux()), c.login)
				if err != nil {
					t.Fatal(err)
				}
				callGoAMQP(t, s, c.target, c.source, len(y), settled)
				y.check(t)
			})
		}
	}
}

// An answer is what comes to Enter.
type answer struct {
	ID     int `json:"id"`
	Result int `json:"result"`
}

// callGoAMQP makes n calls, of which 64 are under way, and checks the answers.
func callGoAMQP(t *testing.T, s *goamqp.Session, target, source string, n int, settled bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patienceFor(n))
	defer cancel()
	in, err := s.NewReceiver(ctx, source, &goamqp.ReceiverOptions{DynamicAddress: source == "", Credit: 100, RequestedSenderSettleMode: mode(settled)})
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.NewSender(ctx, target, &goamqp.SenderOptions{SettlementMode: mode(settled)})
	if err != nil {
		t.Fatal(err)
	}
	places := make(chan struct{}, 64)
	var sending sync.WaitGroup
	defer sending.Wait()
	sending.Go(func() {
		reply := in.Address()
		for i := range n {
			select {
			case places <- struct{}{}:
			case <-ctx.Done():
				return
			}
			m := goamqp.NewMessage(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%d,"method":"Enter","params":{"n":%d}}`, i, i))
			m.Properties = &goamqp.MessageProperties{To: new("rpc"), ReplyTo: &reply, MessageID: uint64(i)}
			if err := send(ctx, t, &sending, out, m, settled); err != nil {
				t.Errorf("request %d: %v", i, err)
				cancel()
				return
			}
		}
	})
	answered := make([]bool, n)
	for range n {
		m, err := in.Receive(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := in.AcceptMessage(ctx, m); err != nil {
			t.Fatal(err)
		}
		var a answer
		err = json.Unmarshal(m.GetData(), &a)
		if err != nil || a.ID < 0 || a.ID >= n || answered[a.ID] || a.Result != 7*a.ID || m.Properties.CorrelationID != uint64(a.ID) {
			t.Fatalf("an answer is %s to %v, %v; doubled: %t", m.GetData(), m.Properties.CorrelationID, err, err == nil && answered[a.ID])
		}
		answered[a.ID] = true
		<-places
	}
}

// send sends m and, if it is not settled, sees to it that it is accepted.
func send(ctx context.Context, t *testing.T, wg *sync.WaitGroup, out *goamqp.Sender, m *goamqp.Message, settled bool) error {
	t.Helper()
	if settled {
		return out.Send(ctx, m, nil)
	}
	receipt, err := out.SendWithReceipt(ctx, m, nil)
	if err != nil {
		return err
	}
	wg.Go(func() {
		if state, err := receipt.Wait(ctx); err != nil {
			t.Errorf("request %v: %v", m.Properties.MessageID, err)
		} else if _, ok := state.(*goamqp.StateAccepted); !ok {
			t.Errorf("request %v: the outcome is %T, want accepted", m.Properties.MessageID, state)
		}
	})
	return nil
}

// TestGoAMQPListens: a receiver of go-amqp gets what is sent to its address, once
// and in order, and confirms it if it did not ask for settled messages.
func TestGoAMQPListens(t *testing.T) {
	t.Parallel()
	for _, settled := range []bool{false, true} {
		t.Run(fmt.Sprintf("settled %t", settled), func(t *testing.T) {
			t.Parallel()
			n := volume(t, 2_000)
			var in *goamqp.Receiver
			var reading sync.WaitGroup
			conn := accept(t, func(host string) {
				reading.Go(func() { // the handshake needs both ends
					s, err := dialGoAMQP(t, host, nil)
					if err != nil {
						t.Error(err)
						return
					}
					in, err = s.NewReceiver(t.Context(), "events", &goamqp.ReceiverOptions{Credit: 50, RequestedSenderSettleMode: mode(settled)})
					if err != nil {
						t.Error(err)
					}
				})
			})
			reading.Wait()
			if in == nil {
				t.FailNow()
			}
			reading.Go(func() {
				for i := range n {
					m, err := in.Receive(t.Context(), nil)
					if err == nil {
						err = in.AcceptMessage(t.Context(), m)
					}
					if err != nil || string(m.GetData()) != strconv.Itoa(i) {
						t.Errorf("message %d is %s, %v", i, m.GetData(), err)
						return
					}
				}
			})
			sendAll(t, conn, "events", n, !settled)
			reading.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), patience/100)
			defer cancel()
			if m, err := in.Receive(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("after the last message came %v, %v", m, err)
			}
		})
	}
}

// TestGoAMQPRefused: who may not come in is told so.
func TestGoAMQPRefused(t *testing.T) {
	t.Parallel()
	for name, login := range map[string]goamqp.SASLType{
		"wrong password": goamqp.SASLTypePlain("ann", "no"), "anonymous": goamqp.SASLTypeAnonymous(), "no SASL": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := make(tally, 1)
			if _, err := dialGoAMQP(t, serve(t, ann, y.mux()), login); err == nil {
				t.Error("it was let in")
			}
		})
	}
}
