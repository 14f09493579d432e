package acceptor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	goamqp "github.com/Azure/go-amqp"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/codec"
	"github.com/polyport/polyport/transport/amqp/internal/frames"
)

// TestMapping: what a foreign peer puts into a message comes out of Recv, and
// goes back as it came.
func TestMapping(t *testing.T) {
	uuid := goamqp.UUID{1, 2, 3, 15: 255}
	for _, id := range []any{"text", uint64(42), uuid, []byte{0, 255, 10}, nil} {
		t.Run(fmt.Sprintf("%T", id), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil, echo)
				s := r.session(nil)
				in := newReceiver(t, s, "answers", nil)
				out := newSender(t, s, "rpc", nil)
				expires := time.Now().Add(time.Hour).Truncate(time.Millisecond).UTC()
				m := goamqp.NewMessage([]byte("first "))
				m.Data = append(m.Data, []byte("second "), nil, []byte("third"))
				m.Header = &goamqp.MessageHeader{Durable: true, Priority: 9, DeliveryCount: 3}
				m.DeliveryAnnotations = goamqp.Annotations{"x-opt": "skipped"}
				m.Annotations = goamqp.Annotations{"x-opt": []any{"skipped", int64(1)}, int64(7): "skipped"}
				m.Footer = goamqp.Annotations{"x": "skipped"}
				m.Properties = &goamqp.MessageProperties{
					MessageID: id, CorrelationID: id, UserID: []byte("somebody"), To: new("elsewhere"), Subject: new("Math.Sum"),
					ReplyTo: new("answers"), ContentType: new("application/json"), AbsoluteExpiryTime: &expires,
					ContentEncoding: new("none"), CreationTime: &expires, GroupID: new("g"), GroupSequence: new(uint32(1)), ReplyToGroupID: new("r"),
				}
				m.ApplicationProperties = map[string]any{
					"traceparent": "00-1", "empty": "", "yes": true, "int": int32(-5), "ulong": uint64(7), "float": 1.5, "uuid": uuid, "null": nil,
					"symbol": goamqp.Symbol("s"), "bytes": []byte("b"), "time": time.Unix(1, 0).UTC(),
				}
				if err := out.Send(soon(t), m, nil); err != nil {
					t.Fatalf("Send: %v", err)
				}
				got := r.last().received()[0]
				if got.To != "rpc" || got.Subject != "Math.Sum" || got.ReplyTo != "answers" || got.ContentType != "application/json" ||
					!got.Expires.Equal(expires) || !got.Durable || got.Attempt != 3 || string(got.Body) != "first second third" ||
					got.Subscription != "" {
					t.Errorf("it came as %+v", got)
				}
				want := map[string]string{
					"traceparent": "00-1", "empty": "", "yes": "true", "int": "-5", "ulong": "7", "float": "1.5", "null": "",
					"uuid": "01020300-0000-0000-0000-0000000000ff", "symbol": "s", "bytes": "b", "time": "1970-01-01T00:00:01Z",
				}
				for name, value := range want {
					if !slices.Contains(got.Headers, transport.Header{Name: name, Value: value}) {
						t.Errorf("no header %s: %q in %q", name, value, got.Headers)
					}
				}
				back, err := in.Receive(soon(t), nil)
				if err != nil {
					t.Fatalf("Receive: %v", err)
				}
				if a, b := fmt.Sprintf("%T %v", back.Properties.MessageID, back.Properties.MessageID), fmt.Sprintf("%T %v", id, id); a != b {
					t.Errorf("message-id %s has come back as %s", b, a)
				}
				if a, b := fmt.Sprintf("%T %v", back.Properties.CorrelationID, back.Properties.CorrelationID), fmt.Sprintf("%T %v", id, id); a != b {
					t.Errorf("correlation-id %s has come back as %s", b, a)
				}
				if !back.Header.Durable || !back.Properties.AbsoluteExpiryTime.Equal(expires) || back.ApplicationProperties["int"] != "-5" {
					t.Errorf("it came back as %+v, %+v, %v", back.Header, back.Properties, back.ApplicationProperties)
				}
			})
		})
	}
}

// TestValueBodies: text and bytes are bodies in any section.
func TestValueBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, nil)
		out := newSender(t, r.session(nil), "rpc", nil)
		for _, v := range []any{"text", []byte("bytes"), nil} {
			if _, err := out.SendWithReceipt(soon(t), &goamqp.Message{Value: v}, nil); err != nil && v != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for _, m := range r.last().received() {
			got = append(got, string(m.Body))
		}
		if len(got) < 2 || got[0] != "text" || got[1] != "bytes" {
			t.Errorf("bodies %q", got)
		}
	})
}

// TestTimeToLive: a time to live counts from now.
func TestTimeToLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, nil)
		out := newSender(t, r.session(nil), "rpc", &goamqp.SenderOptions{SettlementMode: goamqp.SenderSettleModeSettled.Ptr()})
		m := goamqp.NewMessage([]byte("x"))
		m.Header = &goamqp.MessageHeader{TTL: time.Minute}
		_ = out.Send(soon(t), m, nil)
		if got := r.last().received()[0]; !got.Expires.Equal(time.Now().Add(time.Minute)) {
			t.Errorf("Expires = %v", got.Expires)
		}
	})
}

// TestInterleaved: deliveries of several links may be mixed, and one that is
// aborted is as if it had not been.
func TestInterleaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, nil)
		a, b := data("message of a"), data("message of b")
		abort := performative(0, frames.CodeTransfer, u32(1), null, null, null, null, yes(false), null, null, null, yes(true))
		p := r.connect(sending()+attach(1, "second", "/queue/rpc"), 6)
		p.say(transfer(0, 0, false, true, a[:5]) + transfer(1, 1, true, true, "to be aborted") + abort +
			transfer(0, 0, false, true, "") + transfer(1, 2, true, true, b[:3]) + transfer(0, 0, false, false, a[5:]) + transfer(1, 2, true, false, b[3:]))
		got := r.last().received()
		if len(got) != 2 || string(got[0].Body) != "message of a" || string(got[1].Body) != "message of b" {
			t.Fatalf("got %d messages: %+v", len(got), got)
		}
		if got[0].To != "rpc" || got[1].To != "/queue/rpc" || !got[0].Unsettled() || got[1].Unsettled() {
			t.Errorf("To = %q and %q, Unsettled = %v and %v", got[0].To, got[1].To, got[0].Unsettled(), got[1].Unsettled())
		}
	})
}

// TestDispositionRanges: outcomes that are due together are said together.
func TestDispositionRanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, func(c transport.Conn, m *transport.Message) {
			_ = m.Settle(map[string]transport.Outcome{"a": transport.Accepted, "r": transport.Released, "n": transport.Rejected("no")}[string(m.Body)])
		})
		p := r.connect(sending(), 4)
		r.last().Conn.(transport.Gatherer).Gather()
		p.say(transfer(0, 0, false, false, data("a"))) // the goroutine that receives sees that it gathers
		p.want(frames.CodeDisposition)
		var all strings.Builder
		const bodies = "aaaaarrraanna"
		for i, body := range strings.Split(bodies, "") {
			all.WriteString(transfer(0, uint32(i+1), false, false, data(body)))
		}
		p.say(all.String())
		var got []string
		for n := 0; n < len(bodies); {
			x := p.want(frames.CodeDisposition)
			var d frames.Disposition
			if d.Parse(&x.fields); !d.Receiver || !d.Settled {
				t.Fatalf("disposition %+v", d)
			}
			n += int(d.Last-d.First) + 1
			got = append(got, fmt.Sprintf("%d-%d %#x", d.First, d.Last, d.Outcome))
		}
		want := "[1-5 0x24 6-8 0x26 9-10 0x24 11-11 0x25 12-12 0x25 13-13 0x24]"
		if fmt.Sprint(got) != want {
			t.Errorf("dispositions %v, want %v", got, want)
		}
	})
}

// TestPeerSettles: a sender may forget a delivery before it has an outcome; then
// it is told of none.
func TestPeerSettles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, nil)
		p := r.connect(sending(), 4)
		p.say(transfer(0, 0, false, false, data("x")) + performative(0, frames.CodeDisposition, yes(false), u32(0), null, yes(true)))
		if err := r.last().received()[0].Settle(transport.Accepted); err != nil {
			t.Errorf("Settle: %v", err)
		}
		p.quiet()
	})
}

// TestWindow: a message of more frames than the peer has room for goes as the
// peer makes room, and nothing overtakes it.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, nil)
		const frame, room = 512, 3
		open := header + performative(0, frames.CodeOpen, str("raw"), null, u32(frame))
		p := r.connect(open+begin()[len(hello()):]+receive(0, "in", "a", frames.SendUnsettled), 3)
		c := r.last()
		flow := func(seen uint32) {
			p.say(performative(0, frames.CodeFlow, u32(seen), u32(room), u32(0), u32(100), u32(0), u32(0), u32(1000)))
			synctest.Wait()
		}
		flow(0)
		body := bytes.Repeat([]byte("0123456789"), 500)
		done := make(chan error, 2)
		by := c.Conn.(transport.Confirmer)
		if err := by.SendConfirmed(soon(t), &transport.Message{To: "a", Body: body}, func(err error) { done <- err }); err != nil {
			t.Fatalf("SendConfirmed: %v", err)
		}
		if err := c.Send(ended(), &transport.Message{To: "a"}); !errors.Is(err, transport.ErrBusy) {
			t.Errorf("Send behind a message under way = %v, want %v", err, transport.ErrBusy)
		}
		var payload strings.Builder
		seen := uint32(0)
		for more := true; more; {
			x := p.want(frames.CodeTransfer)
			var tr frames.Transfer
			tr.Parse(&x.fields)
			more = tr.More
			payload.Write(x.payload)
			if x.Size > frame {
				t.Fatalf("a frame of %d bytes, the limit is %d", x.Size, frame)
			}
			if seen++; seen%room == 0 && more {
				p.quiet()
				flow(seen)
			}
		}
		if !strings.HasSuffix(payload.String(), string(body)) {
			t.Error("the message is another one")
		}
		p.say(performative(0, frames.CodeDisposition, yes(true), u32(0), null, yes(false), raw(section(0x24, raw("\x45")))))
		x := p.want(frames.CodeDisposition) // the sender settles, too
		var d frames.Disposition
		if d.Parse(&x.fields); d.Receiver || !d.Settled || d.First != 0 || d.Last != 0 {
			t.Errorf("disposition %+v", d)
		}
		if err := <-done; err != nil {
			t.Errorf("done(%v)", err)
		}
		// One that detaches while a message is under way does not get the rest.
		flow(seen)
		if err := by.SendConfirmed(soon(t), &transport.Message{To: "a", Body: body}, func(err error) { done <- err }); err != nil {
			t.Fatalf("SendConfirmed: %v", err)
		}
		for range room {
			p.want(frames.CodeTransfer)
		}
		p.say(performative(0, frames.CodeDetach, u32(0), yes(true)))
		p.want(frames.CodeDetach)
		if err := <-done; !errors.Is(err, transport.ErrNoRoute) || transport.NotSent(err) {
			t.Errorf("done(%v), want %v that is not NotSent", err, transport.ErrNoRoute)
		}
		flow2 := performative(0, frames.CodeFlow, u32(seen+room), u32(room), u32(0), u32(100))
		p.say(flow2)
		p.quiet()
	})
}

// TestPublish: a message goes once by every link from its address, whatever the
// session, and by none if one of them has no room.
func TestPublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, nil)
		conn := r.goAMQP(nil)
		var ins []*goamqp.Receiver
		for range 2 {
			s, err := conn.NewSession(soon(t), nil)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				ins = append(ins, newReceiver(t, s, "/topic/news", &goamqp.ReceiverOptions{Credit: 10}))
			}
			newReceiver(t, s, "/topic/other", nil)
		}
		c := r.last()
		by := c.Conn.(transport.Publisher)
		for i := range 30 {
			if err := by.Publish(soon(t), &transport.Message{To: "/topic/news", Body: fmt.Append(nil, i)}); err != nil {
				t.Fatalf("Publish: %v", err)
			}
			for n, in := range ins {
				m, err := in.Receive(soon(t), nil)
				if err != nil || string(m.GetData()) != strconv.Itoa(i) {
					t.Fatalf("receiver %d: %v, %v", n, m, err)
				}
			}
		}
		if err := by.Publish(soon(t), &transport.Message{To: "/topic/none"}); !errors.Is(err, transport.ErrNoRoute) || !transport.NotSent(err) {
			t.Errorf("Publish to nobody = %v, want %v that is NotSent", err, transport.ErrNoRoute)
		}
		for _, in := range ins {
			if err := in.Close(soon(t)); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Send(soon(t), &transport.Message{To: "/topic/news"}); !errors.Is(err, transport.ErrNoRoute) {
			t.Errorf("Send to those who have left = %v, want %v", err, transport.ErrNoRoute)
		}
	})
}

// TestSilentPeer: one that does not keep to its promise is given up; with whom
// nothing is agreed is not.
func TestSilentPeer(t *testing.T) {
	for _, c := range []struct {
		name    string
		product string
		idle    uint32
		ours    time.Duration
		want    time.Duration // 0 means never
	}{
		{"nothing said", "other", 0, 10 * time.Second, 11 * time.Second},
		{"nothing wanted by one of ours", "polyport", 0, 10 * time.Second, 0},
		{"the peer's is longer", "other", 30_000, 10 * time.Second, 66 * time.Second},
		{"ours is longer", "other", 1000, 10 * time.Second, 11 * time.Second},
		{"none", "other", 1000, -1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, &transport.ListenOptions{Options: transport.Options{Heartbeat: c.ours}}, nil)
				m, at := codec.BeginMap(nil)
				m = codec.EndMap(append(codec.AppendSymbol(m, "product"), str(c.product)...), at, 2)
				idle := null
				if c.idle > 0 {
					idle = u32(c.idle)
				}
				p := r.peer()
				p.say(header + performative(0, frames.CodeOpen, str("raw"), null, null, null, idle, null, null, null, null, m))
				x := p.want(frames.CodeOpen)
				var o frames.Open
				if o.Parse(&x.fields); time.Duration(o.IdleTimeout)*time.Millisecond != c.want*10/22 {
					t.Errorf("the server's idle-time-out is %d ms, want half of %v", o.IdleTimeout, c.want*10/11)
				}
				start := time.Now()
				_ = p.nc.SetReadDeadline(start.Add(time.Hour))
				beats := 0
				for {
					var head [8]byte
					if n, _ := p.nc.Read(head[:]); n == 0 {
						break
					}
					beats++
				}
				if took := time.Since(start); c.want > 0 && took != c.want || c.want == 0 && took != time.Hour {
					t.Errorf("the connection ended after %v, want %v", took, c.want)
				}
				if c.idle > 0 && beats == 0 || c.idle == 0 && beats > 0 {
					t.Errorf("%d signs of life to a peer that bears %d ms of silence", beats, c.idle)
				}
				_ = p.nc.Close()
				if err := r.last().ended(); c.want > 0 && !errors.Is(err, transport.ErrHeartbeat) {
					t.Errorf("Recv = %v, want %v", err, transport.ErrHeartbeat)
				}
			})
		})
	}
}

// TestSendWhileNobodyReceives: what the peer says of its credit is taken in by a
// sender that waits for it, and messages that come meanwhile are kept.
func TestSendWhileNobodyReceives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nc, done := serveOne(t)
		c := <-done
		p := &peer{t, nc}
		p.say(sending()[len(hello()):] + receive(1, "in", "a", frames.SendSettled) + transfer(0, 0, true, false, data("marker")))
		if m, err := c.Recv(soon(t)); err != nil || string(m.Body) != "marker" {
			t.Fatal(m, err)
		}
		sent := make(chan error)
		go func() {
			for i := range 3 {
				sent <- c.Send(t.Context(), &transport.Message{To: "a", Body: fmt.Append(nil, i)})
			}
		}()
		synctest.Wait()
		p.say(transfer(0, 1, true, false, data("1")) + transfer(0, 2, true, false, data("2")))
		p.say(performative(0, frames.CodeFlow, u32(0), u32(100), u32(0), u32(100), u32(1), u32(0), u32(2)))
		for range 2 {
			if err := <-sent; err != nil {
				t.Fatalf("Send: %v", err)
			}
		}
		time.Sleep(time.Second) // the third waits
		p.say(transfer(0, 3, true, false, data("3")))
		synctest.Wait()
		for i := range 3 {
			if m, err := c.Recv(soon(t)); err != nil || string(m.Body) != strconv.Itoa(i+1) {
				t.Fatalf("Recv = %v, %v, want %d", m, err, i+1)
			}
		}
		go func() { _, _ = c.Recv(t.Context()) }()
		p.say(performative(0, frames.CodeFlow, u32(2), u32(100), u32(3), u32(100), u32(1), u32(2), u32(1)))
		if err := <-sent; err != nil {
			t.Errorf("Send: %v", err)
		}
		_ = nc.Close()
		_ = c.Close()
	})
}

// TestCallsOverAMQP: go-amqp calls a method of rpc's server.
func TestCallsOverAMQP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Math.Sum", func(_ context.Context, n []float64) (sum float64, _ error) {
			for _, v := range n {
				sum += v
			}
			return sum, nil
		})
		r := &rig{t: t}
		ln, err := r.network.Listen("server")
		if err != nil {
			t.Fatal(err)
		}
		r.l = transport.NewListener(ln, wire{}, nil)
		server := rpc.NewServer(mux, nil)
		served := make(chan error, 1)
		go func() { served <- server.Serve(t.Context(), r.l) }()
		s := r.session(nil)
		in := newReceiver(t, s, "", &goamqp.ReceiverOptions{DynamicAddress: true, Credit: 64})
		out := newSender(t, s, "rpc", nil)
		for i := range 200 {
			m := goamqp.NewMessage(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%d,"method":"Math.Sum","params":[1,2,%d]}`, i, i))
			m.Properties = &goamqp.MessageProperties{ReplyTo: new(in.Address()), MessageID: uint64(i)}
			if err := out.Send(soon(t), m, nil); err != nil {
				t.Fatalf("Send: %v", err)
			}
			got, err := in.Receive(soon(t), nil)
			if err != nil {
				t.Fatalf("Receive: %v", err)
			}
			var answer struct {
				ID     int     `json:"id"`
				Result float64 `json:"result"`
			}
			if err := json.Unmarshal(got.GetData(), &answer); err != nil || answer.ID != i || answer.Result != float64(i+3) {
				t.Fatalf("the answer is %s", got.GetData())
			}
			if got.Properties.CorrelationID != uint64(i) {
				t.Errorf("correlation-id %v, want the request's message-id, %d", got.Properties.CorrelationID, i)
			}
		}
		// One that cannot be answered is rejected, with the reason.
		err = out.Send(soon(t), goamqp.NewMessage([]byte(`{"jsonrpc":"2.0","id":1,"method":"Math.Sum"}`)), nil)
		var refused *goamqp.Error
		if !errors.As(err, &refused) || !strings.Contains(refused.Description, "reply-to") {
			t.Errorf("a request without a way back: %v", err)
		}
		_ = r.l.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		<-served
	})
}

// TestFullQueue: requests for which a server has no place wait, with the credit
// that they take up, and none is answered busy.
func TestFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const count = 40
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Slow", func(ctx context.Context, _ any) (bool, error) {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			return true, nil
		})
		r := &rig{t: t}
		ln, err := r.network.Listen("server")
		if err != nil {
			t.Fatal(err)
		}
		r.l = transport.NewListener(ln, wire{}, &transport.ListenOptions{Options: transport.Options{Limits: transport.Limits{Unsettled: 8}}})
		q := queue.New(&queue.Options{Depth: 1, Workers: 1})
		server := rpc.NewServer(mux, &rpc.ServerOptions{Queue: q})
		served := make(chan error, 1)
		go func() { served <- server.Serve(t.Context(), r.l) }()
		s := r.session(nil)
		in := newReceiver(t, s, "", &goamqp.ReceiverOptions{DynamicAddress: true, Credit: count})
		out := newSender(t, s, "rpc", nil)
		start := time.Now()
		go func() {
			for i := range count {
				m := goamqp.NewMessage(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%d,"method":"Slow"}`, i))
				m.Properties = &goamqp.MessageProperties{ReplyTo: new(in.Address())}
				if _, err := out.SendWithReceipt(t.Context(), m, nil); err != nil {
					t.Errorf("Send: %v", err)
				}
			}
		}()
		for i := range count {
			got, err := in.Receive(t.Context(), nil)
			if err != nil {
				t.Fatalf("Receive: %v", err)
			}
			if want := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":true}`, i); string(got.GetData()) != want {
				t.Errorf("answer %s, want %s", got.GetData(), want)
			}
		}
		if took := time.Since(start); took != count*time.Second {
			t.Errorf("%d requests of a second one after the other have taken %v", count, took)
		}
		_ = r.l.Close()
		_ = server.Shutdown(t.Context())
		<-served
		_ = q.Close(t.Context())
	})
}

// TestPartials: what many links send in parts, and do not complete, has a bound;
// and it counts no more once it is complete or taken back.
func TestPartials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, links = 10_000, 20
		r := newRig(t, &transport.ListenOptions{Options: transport.Options{Limits: transport.Limits{Message: limit, HeaderBytes: 100}}}, nil)
		p := r.connect(begin(), 2)
		for i := range uint32(links) {
			p.say(attach(i, strconv.Itoa(int(i)), "rpc"))
			p.want(frames.CodeAttach)
			p.want(frames.CodeFlow)
		}
		body := data(strings.Repeat("x", limit))
		id := uint32(0)
		for range 3 {
			for i := range uint32(3) {
				p.say(transfer(i, id+i, true, true, body[:9000]))
			}
			for i := range uint32(2) {
				p.say(transfer(i, id+i, true, false, body[9000:]))
			}
			p.say(performative(0, frames.CodeTransfer, u32(2), null, null, null, null, yes(false), null, null, null, yes(true)))
			id += 3
		}
		if n := len(r.last().received()); n != 6 {
			t.Errorf("%d messages have come, want 6", n)
		}
		refused := 0
		for i := range uint32(links) {
			p.say(transfer(i, id+i, true, true, body[:9000]))
			if i < 4 {
				p.quiet()
				continue
			}
			if verdict, _ := p.verdict(); verdict == "detach amqp:resource-limit-exceeded" {
				refused++
			}
		}
		if refused != links-4 {
			t.Errorf("%d links were refused, want %d", refused, links-4)
		}
	})
}

// TestReceiverLimit: what is larger than a receiver takes is refused by Send.
func TestReceiverLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, nil)
		in := newReceiver(t, r.session(nil), "a", &goamqp.ReceiverOptions{MaxMessageSize: 1000})
		c := r.last()
		for n, want := range map[int]error{900: nil, 1000: transport.ErrTooLarge, 100_000: transport.ErrTooLarge} {
			err := c.Send(soon(t), &transport.Message{To: "a", Body: make([]byte, n)})
			if !errors.Is(err, want) || err != nil && !transport.NotSent(err) {
				t.Errorf("Send of %d bytes = %v, want %v", n, err, want)
			}
		}
		if m, err := in.Receive(soon(t), nil); err != nil || len(m.GetData()) != 900 {
			t.Errorf("Receive = %v, %v", m, err)
		}
	})
}

// TestReplyAddress: what the peer sends to the server's reply address arrives.
func TestReplyAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &transport.ListenOptions{Destinations: []string{"calc", "/other"}}, nil)
		s := r.session(nil)
		a, err := r.last().Conn.(transport.ReplyAddresser).ReplyAddress(t.Context())
		if err != nil || a != "calc" {
			t.Fatalf("ReplyAddress = %q, %v", a, err)
		}
		for _, address := range []string{a, "/other"} {
			if _, err := newSender(t, s, address, nil).SendWithReceipt(soon(t), goamqp.NewMessage([]byte("x")), nil); err != nil {
				t.Fatal(err)
			}
			if got := r.last().received(); len(got) != 1 || got[0].To != address {
				t.Errorf("%d messages have come to %s", len(got), address)
			}
		}
		if _, err := s.NewSender(soon(t), "/queue//other", nil); err == nil {
			t.Error("a name that begins with a slash is taken below /queue/")
		}
	})
}

// TestIDsWrap: delivery-ids go on after the highest with 0, in both the transfers
// that come and their outcomes.
func TestIDsWrap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late []*transport.Message
		r := newRig(t, nil, func(_ transport.Conn, m *transport.Message) {
			if late = append(late, m); len(late) == 6 {
				for _, i := range []int{3, 5, 0, 2, 4, 1} {
					_ = late[i].Settle(transport.Accepted)
				}
			}
		})
		p := r.connect(sending(), 4)
		first := uint32(1<<32 - 3)
		for i := range uint32(6) {
			p.say(transfer(0, first+i, false, false, data("x")))
		}
		got := map[uint32]int{}
		for range 6 {
			x := p.want(frames.CodeDisposition)
			var d frames.Disposition
			d.Parse(&x.fields)
			for id := d.First; ; id++ {
				got[id-first]++
				if id == d.Last {
					break
				}
			}
		}
		for i := range uint32(6) {
			if got[i] != 1 {
				t.Errorf("delivery %d has %d outcomes, want 1", first+i, got[i])
			}
		}
		p.quiet()
	})
}
