package rpc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// A clerk notes in which order messages are sent and settled.
type clerk struct{ journal }

// SettleMessage fails, which is nothing that a server could do anything about.
func (c *clerk) SettleMessage(token uint64, o transport.Outcome) error {
	if o.IsRejected() {
		c.note("rejected", fmt.Sprintf(" %d: %s", token, o.Reason()))
	} else {
		c.note(o.String(), fmt.Sprintf(" %d", token))
	}
	return errPlain
}

// TestSettle: each message is settled once, with what became of it, and not
// before its answer has been handed over.
func TestSettle(t *testing.T) {
	request := func(method string) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","method":%q,"id":1}`, method)
	}
	for _, tt := range []struct {
		name      string
		addressed bool // the wire needs addresses, and the message has none
		before    int  // requests that take the places in flight
		body      string
		want      []string
	}{
		{"request", false, 0, request("ok"), []string{"ran ok", "sent 1=null", "accepted 7"}},
		{"request that fails", false, 0, request("fail"), []string{"ran fail", "sent 1!-32000", "accepted 7"}},
		{"request of an unknown method", false, 0, request("nope"), []string{"sent 1!-32601", "accepted 7"}},
		{"notification", false, 0, `{"jsonrpc":"2.0","method":"ok"}`, []string{"ran ok", "accepted 7"}},
		{"notification that fails", false, 0, `{"jsonrpc":"2.0","method":"fail"}`, []string{"ran fail", "accepted 7"}},
		{
			"batch", false, 0, `[` + request("ok") + `,5,{"jsonrpc":"2.0","method":"ok"}]`,
			[]string{"ran ok", "ran ok", "sent [1=null, null!-32600]", "accepted 7"},
		},
		{"batch of notifications", false, 0, `[{"jsonrpc":"2.0","method":"ok"}]`, []string{"ran ok", "accepted 7"}},
		{"batch of nothing", false, 0, `[]`, []string{"sent null!-32600", "accepted 7"}},
		{"response", false, 0, `{"jsonrpc":"2.0","id":5,"result":1}`, []string{"accepted 7"}},
		{"batch of responses", false, 0, `[{"jsonrpc":"2.0","id":5,"result":1}]`, []string{"accepted 7"}},
		{"invalid", false, 0, `5`, []string{"sent null!-32600", "accepted 7"}},
		{"not JSON", false, 0, `{`, []string{"sent null!-32700", "accepted 7"}},
		{"request while busy", false, 2, request("ok"), []string{"sent 1!-32009", "accepted 7"}},
		{"notification while busy", false, 2, `{"jsonrpc":"2.0","method":"ok"}`, []string{"released 7"}},
		{"batch of notifications while busy", false, 2, `[{"jsonrpc":"2.0","method":"ok"}]`, []string{"released 7"}},
		{"request without an address", true, 0, request("ok"), []string{"rejected 7: … reply-to …"}},
		{"batch without an address", true, 0, `[` + request("ok") + `]`, []string{"rejected 7: … reply-to …"}},
		{"notification without an address", true, 0, `{"jsonrpc":"2.0","method":"ok"}`, []string{"ran ok", "accepted 7"}},
		{"invalid without an address", true, 0, `5`, []string{"rejected 7: …"}},
		{"not JSON without an address", true, 0, `{`, []string{"rejected 7: …"}},
		{"response without an address", true, 0, `{"jsonrpc":"2.0","id":5,"result":1}`, []string{"accepted 7"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var c clerk
				g := newGate()
				mux := rpc.NewMux(nil)
				rpc.Handle(mux, "ok", func(context.Context, struct{}) (any, error) { c.note("ran ok", ""); return nil, nil })
				rpc.Handle(mux, "fail", func(context.Context, struct{}) (any, error) { c.note("ran fail", ""); return nil, errPlain })
				rpc.Handle(mux, "Wait", func(ctx context.Context, _ struct{}) (any, error) { return nil, g.pass(ctx) })
				conn := newFakeConn()
				if tt.addressed {
					conn.replyAddress = func() (string, error) { return "here", nil }
				}
				srv := rpc.NewServer(mux, &rpc.ServerOptions{Width: 1, Limits: rpc.Limits{InFlight: 2}})
				ended := make(chan error, 1)
				go func() { ended <- srv.ServeConn(conn) }()
				for range tt.before {
					conn.receive(`{"jsonrpc":"2.0","method":"Wait"}`)
				}
				synctest.Wait()
				conn.send = func(_ context.Context, m *transport.Message) error {
					c.note("sent ", brief(string(m.Body)))
					return nil
				}
				m := &transport.Message{Body: []byte(tt.body)}
				m.SetSettler(&c, 7)
				conn.in <- m
				synctest.Wait()
				got := c.take()
				for i, line := range got {
					if before, reason, ok := strings.Cut(line, "7: "); ok && len(reason) > 10 {
						if strings.Contains(reason, "reply-to") {
							reason = " reply-to …"
						} else {
							reason = ""
						}
						got[i] = before + "7: …" + reason
					}
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("what was done (-want +got):\n%s", diff)
				}
				g.open()
				_ = conn.Close()
				if err := within(t, ended, "ServeConn"); err != nil {
					t.Errorf("ServeConn() = %v, want nil", err)
				}
				if err := srv.Shutdown(t.Context()); err != nil {
					t.Errorf("Shutdown() = %v, want nil", err)
				}
			})
		})
	}
}

// TestAnswerAddress: an answer goes to where its request wanted it, and names
// the message that it answers.
func TestAnswerAddress(t *testing.T) {
	text := transport.TextID
	for _, tt := range []struct {
		in, want transport.Message
	}{
		{transport.Message{ReplyTo: "a", CorrelationID: text("c"), ID: text("i")}, transport.Message{To: "a", CorrelationID: text("c")}},
		{transport.Message{ReplyTo: "a", ID: text("i")}, transport.Message{To: "a", CorrelationID: text("i")}},
		{transport.Message{ReplyTo: "a", ID: transport.NumberID(7)}, transport.Message{To: "a", CorrelationID: transport.NumberID(7)}},
		{transport.Message{ReplyTo: "a", To: "rpc", Subject: "s", Durable: true}, transport.Message{To: "a"}},
		{transport.Message{}, transport.Message{}},
	} {
		for _, body := range []string{
			`{"jsonrpc":"2.0","method":"Fence","id":1}`, `[{"jsonrpc":"2.0","method":"Fence","id":1}]`, `5`, `{`, `[5]`,
		} {
			synctest.Test(t, func(t *testing.T) {
				conn := newFakeConn()
				var sent []*transport.Message
				conn.send = func(_ context.Context, m *transport.Message) error {
					c := *m
					c.Body = nil
					sent = append(sent, &c)
					return nil
				}
				srv := rpc.NewServer(new(journal).mux(), nil)
				ended := make(chan error, 1)
				go func() { ended <- srv.ServeConn(conn) }()
				in := tt.in
				in.Body = []byte(body)
				conn.in <- &in
				synctest.Wait()
				want := tt.want
				want.ContentType = "application/json"
				if diff := cmp.Diff([]*transport.Message{&want}, sent, cmp.AllowUnexported(transport.Message{}, transport.ID{})); diff != "" {
					t.Errorf("answer to %s by %+v (-want +got):\n%s", body, tt.in, diff)
				}
				_ = conn.Close()
				<-ended
				if err := srv.Shutdown(t.Context()); err != nil {
					t.Errorf("Shutdown() = %v, want nil", err)
				}
			})
		}
	}
}

// TestReplyRouting: connections that use the same ids and the same names for
// their answers never get each other's.
func TestReplyRouting(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Echo", func(_ context.Context, p json.RawMessage) (json.RawMessage, error) { return p, nil })
		h := serve(t, w, mux, nil)
		const n = 500
		var wg sync.WaitGroup
		for peer := range 4 {
			p := h.peer()
			if p.conn.Info().Addressed {
				p.back = "/temp-queue/same"
			}
			p.about = transport.TextID("same")
			mouth := *p
			wg.Go(func() {
				for id := range n {
					mouth.say(fmt.Sprintf(`{"jsonrpc":"2.0","method":"Echo","params":["peer %d",%d],"id":%[2]d}`, peer, id))
				}
			})
			wg.Go(func() {
				var got, want []string
				for id := range n {
					body, err := p.listen(patience)
					if err != nil {
						t.Errorf("peer %d: %v", peer, err)
						return
					}
					got = append(got, brief(body))
					want = append(want, fmt.Sprintf(`%d=["peer %d",%[1]d]`, id, peer))
				}
				slices.Sort(got)
				slices.Sort(want)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("answers to peer %d (-want +got):\n%s", peer, diff)
				}
			})
		}
		wg.Wait()
	})
}

// TestCallBackRouting: a handler's call goes to its own caller, though others
// have calls with the same ids under way.
func TestCallBackRouting(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		h := serve(t, w, callingBack(), nil)
		var wg sync.WaitGroup
		for i := range 8 {
			own := rpc.NewMux(nil)
			rpc.Handle(own, "Echo", func(_ context.Context, p []int) ([]int, error) { return append(p, i), nil })
			c := h.client(&rpc.ClientOptions{Mux: own})
			wg.Go(func() {
				for k := range 100 {
					got, err := rpc.Call[[]int](t.Context(), c, "Back", []int{k})
					if err != nil || !slices.Equal(got, []int{k, i}) {
						t.Errorf("Back(%d) of client %d = %v, %v, want [%[1]d %[2]d], nil", k, i, got, err)
					}
				}
			})
		}
		wg.Wait()
	})
}

// TestServeSubscription: a connection to a broker, with a subscription to a
// queue of requests, is served like any other, and each request is
// acknowledged behind its answer.
func TestServeSubscription(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		near, far := pair(t, transports[w.name])
		s, _ := transport.As[transport.Subscriber](near)
		if _, err := s.Subscribe(t.Context(), transport.Subscription{Destination: "/queue/work", Ack: transport.AckEach}); err != nil {
			t.Fatal(err)
		}
		srv := rpc.NewServer(new(journal).mux(), nil)
		ended := make(chan error, 1)
		go func() { ended <- srv.ServeConn(near) }()
		broker := newPeer(t, far)
		heard := make(chan string, 10)
		go func() {
			for {
				body, err := broker.listen(time.Hour)
				if err != nil {
					return
				}
				heard <- body
			}
		}()
		synctest.Wait()
		confirmer, _ := transport.As[transport.Confirmer](far)
		for _, tt := range []struct{ body, want string }{
			{`{"jsonrpc":"2.0","method":"sum","params":[1,2],"id":1}`, "1=3"},
			{`[{"jsonrpc":"2.0","method":"sum","params":[1,2],"id":1}]`, "[1=3]"},
			{`{"jsonrpc":"2.0","method":"update","params":[1,2]}`, ""},
		} {
			done := make(chan error, 1)
			m := &transport.Message{To: "/queue/work", ReplyTo: broker.back, Body: []byte(tt.body)}
			if err := confirmer.SendConfirmed(t.Context(), m, func(err error) { done <- err }); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if tt.want != "" {
				if got := brief(within(t, heard, "the answer")); got != tt.want {
					t.Errorf("%s: heard %s, want %s", tt.body, got, tt.want)
				}
			}
			if err := within(t, done, "the acknowledgement"); err != nil {
				t.Errorf("%s: acknowledged with %v, want nil", tt.body, err)
			}
		}
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown() = %v, want nil", err)
		}
		if err := within(t, ended, "ServeConn"); err != nil {
			t.Errorf("ServeConn() = %v, want nil", err)
		}
	})
}

// TestServeConnEnds: ServeConn says why the connection ended, unless the peer
// closed it.
func TestServeConnEnds(t *testing.T) {
	for _, tt := range []struct{ why, want error }{
		{transport.ErrClosed, nil},
		{transport.ErrHeartbeat, transport.ErrHeartbeat},
		{transport.ErrProtocol, transport.ErrProtocol},
	} {
		synctest.Test(t, func(t *testing.T) {
			srv := rpc.NewServer(nil, nil)
			conn := newFakeConn()
			ended := make(chan error, 1)
			go func() { ended <- srv.ServeConn(conn) }()
			conn.receive(`{"jsonrpc":"2.0","method":"nope","id":1}`)
			conn.fail(conn.opError("receive", tt.why))
			err := within(t, ended, "ServeConn")
			if tt.want == nil && err != nil {
				t.Errorf("ServeConn() = %v, want nil", err)
			} else if tt.want != nil {
				isErr(t, "ServeConn()", err, tt.want)
			}
			within(t, conn.closed, "Close of the connection")
			if err := srv.Shutdown(t.Context()); err != nil {
				t.Errorf("Shutdown() = %v, want nil", err)
			}
		})
	}
}
