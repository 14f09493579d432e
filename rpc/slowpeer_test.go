package rpc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// TestPeerThatDoesNotRead: a peer that asks for large results and does not
// read them holds up nobody, keeps no worker, and makes the server hold a
// bounded amount. What it was promised it gets when it reads again.
func TestPeerThatDoesNotRead(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		const asked, size = 300, 64 << 10
		q := newQueue(t, &queue.Options{Workers: 8})
		mux := rpc.NewMux(nil)
		large := json.RawMessage(`"` + strings.Repeat("x", size) + `"`)
		rpc.Handle(mux, "Large", func(context.Context, struct{}) (json.RawMessage, error) { return large, nil })
		rpc.Handle(mux, "Echo", func(_ context.Context, p json.RawMessage) (json.RawMessage, error) { return p, nil })
		h := serve(t, w, mux, &rpc.ServerOptions{Queue: q})
		deaf, other := h.peer(), h.client(nil)
		mouth := *deaf
		before := heap()
		said := make(chan struct{})
		go func() {
			defer close(said)
			for i := range asked {
				mouth.say(fmt.Sprintf(`{"jsonrpc":"2.0","method":"Large","id":%d}`, i))
			}
		}()
		synctest.Wait() // the server has taken in all that it will
		after := heap()
		t.Logf("the heap grew by %d KiB", (after-before)>>10)
		if after > before+8<<20 {
			t.Errorf("the heap grew from %d to %d KiB for a peer that does not read, want less than 8 MiB more", before>>10, after>>10)
		}
		if got := q.Stats().Running; got != 0 {
			t.Errorf("%d workers are held up, want none", got)
		}
		start := time.Now()
		for i := range 100 {
			if got, err := rpc.Call[[]int](t.Context(), other, "Echo", []int{i}); err != nil || got[0] != i {
				t.Fatalf("Echo(%d) = %v, %v", i, got, err)
			}
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("100 calls of another peer took %v, want no time", took)
		}
		heard := make(map[string]bool)
		refused := 0
		for range asked {
			body := deaf.hear()
			if strings.Contains(body, "-32009") {
				refused++
			} else if len(body) < size {
				t.Fatalf("heard %.100s", body)
			}
			id := body[:strings.IndexByte(body[20:], ',')+20]
			if heard[id] {
				t.Fatalf("heard %.100s twice", body)
			}
			heard[id] = true
		}
		<-said
		t.Logf("%d answered, %d refused", asked-refused, refused)
	})
}

// TestPeerThatNeverReads: in the end it is given up, and everything of it is
// gone.
func TestPeerThatNeverReads(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		o := still()
		o.WriteStall = time.Minute
		q := newQueue(t, nil)
		mux := rpc.NewMux(nil)
		large := strings.Repeat("x", 64<<10)
		rpc.Handle(mux, "Large", func(context.Context, struct{}) (string, error) { return large, nil })
		h := serveOn(t, w, &transport.ListenOptions{Options: o}, mux, &rpc.ServerOptions{Queue: q})
		p := h.peer()
		for i := range 200 {
			p.say(fmt.Sprintf(`{"jsonrpc":"2.0","method":"Large","id":%d}`, i))
		}
		synctest.Wait()
		if got := h.Connections(); got != 1 {
			t.Errorf("Connections() = %d, want 1", got)
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if got := h.Connections(); got != 0 {
			t.Errorf("Connections() after the stall = %d, want 0", got)
		}
		if s := q.Stats(); s.Waiting != 0 || s.Running != 0 {
			t.Errorf("%d jobs wait and %d run for a peer that is gone, want none", s.Waiting, s.Running)
		}
	})
}

// TestRefusalsAreBounded: a peer that sends nonsense and does not read what it
// is told about it is not listened to for longer than there is room for that.
func TestRefusalsAreBounded(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		// About 7,600 fit between the two: 1,024 refusals that wait, and what
		// the pipe and the buffers of both ends hold each way.
		const said = 15_000
		o := still()
		o.SendBuffer = 4096
		h := serveOn(t, w, &transport.ListenOptions{Options: o}, rpc.NewMux(nil), nil)
		p := newPeer(t, h.conn(o))
		mouth := *p
		var taken counter
		before := heap()
		go func() {
			for range said {
				mouth.say(`5`)
				taken.add(1)
			}
		}()
		synctest.Wait()
		t.Logf("%d bodies were taken", taken.n())
		if after := heap(); taken.n() > said*2/3 || after > before+4<<20 {
			t.Errorf("%d bodies were taken from a peer that does not read, and the heap grew by %d KiB", taken.n(), (after-before)>>10)
		}
		for range said {
			if got, want := brief(p.hear()), "null!-32600"; got != want {
				t.Fatalf("heard %s, want %s", got, want)
			}
		}
		// And one that goes away while it is being waited for.
		rude := newPeer(t, h.conn(o))
		go func() {
			m := &transport.Message{ReplyTo: rude.back, Body: []byte(`5`)}
			var err error
			for err == nil {
				err = rude.conn.Send(context.Background(), m)
			}
		}()
		synctest.Wait()
		go func() { _ = rude.conn.Close() }()
		time.Sleep(time.Minute)
		if got := h.Connections(); got != 1 {
			t.Errorf("Connections() = %d, want 1", got)
		}
	})
}

// TestSlowReaderGetsEverything: answers that had to wait for room arrive,
// once each.
func TestSlowReaderGetsEverything(t *testing.T) {
	inBubbles(t, func(t *testing.T, w wire) {
		o := still()
		o.SendBuffer = 4096
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Echo", func(_ context.Context, p json.RawMessage) (json.RawMessage, error) { return p, nil })
		h := serveOn(t, w, &transport.ListenOptions{Options: o}, mux, nil)
		p := h.peer()
		const n = 1000
		want := make(map[string]int)
		payload := strings.Repeat("x", 1000)
		for i := range n {
			p.say(fmt.Sprintf(`{"jsonrpc":"2.0","method":"Echo","params":[%q],"id":%d}`, payload, i))
			want[fmt.Sprintf(`%d=[%q]`, i, payload)] = 1
		}
		got := make(map[string]int)
		for range n {
			time.Sleep(time.Millisecond)
			got[brief(p.hear())]++
		}
		if !cmp.Equal(want, got) {
			t.Errorf("heard %d different answers, want the %d asked for, once each", len(got), len(want))
		}
	})
}

// TestConnectionLostUnderLateAnswers: a connection that ends while answers
// wait for room takes nothing with it but them.
func TestConnectionLostUnderLateAnswers(t *testing.T) {
	for name, tr := range transports {
		t.Run(name, func(t *testing.T) {
			q := newQueue(t, nil)
			mux := rpc.NewMux(nil)
			large := strings.Repeat("x", 32<<10)
			rpc.Handle(mux, "Large", func(context.Context, struct{}) (string, error) { return large, nil })
			srv := rpc.NewServer(mux, &rpc.ServerOptions{Queue: q})
			for range 6 {
				near, far := pair(t, tr)
				ended := make(chan error, 1)
				go func() { ended <- srv.ServeConn(far) }()
				p := newPeer(t, near)
				for i := range 100 {
					p.say(fmt.Sprintf(`{"jsonrpc":"2.0","method":"Large","id":%d}`, i))
				}
				_ = near.Close()
				within(t, ended, "ServeConn")
			}
			if err := srv.Shutdown(t.Context()); err != nil {
				t.Errorf("Shutdown() = %v, want nil", err)
			}
		})
	}
}

// TestTooLargeResult: a result over the limit of the connection is answered
// by an error that says so, with the id of its request.
func TestTooLargeResult(t *testing.T) {
	o := still()
	o.Limits.Message = 10_000
	inBubbles(t, func(t *testing.T, w wire) {
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Large", func(_ context.Context, n int) (string, error) { return strings.Repeat("x", n), nil })
		rpc.Handle(mux, "LargeError", func(_ context.Context, n int) (any, error) {
			return nil, rpc.Errorf(7, "%s", strings.Repeat("x", n))
		})
		rpc.Handle(mux, "Deep", func(_ context.Context, n int) (json.RawMessage, error) {
			return json.RawMessage(strings.Repeat("[", n) + strings.Repeat("]", n)), nil
		})
		h := serveOn(t, w, &transport.ListenOptions{Options: o}, mux, nil)
		p := newPeer(t, h.conn(o))
		for _, tt := range []struct{ body, want string }{
			{`{"jsonrpc":"2.0","method":"Large","params":[20000],"id":"a"}`, `"a"!-32603`},
			{`{"jsonrpc":"2.0","method":"LargeError","params":[20000],"id":2}`, `2!-32603`},
			{`{"jsonrpc":"2.0","method":"Deep","params":[9000],"id":3}`, `3!-32603`},
			{`{"jsonrpc":"2.0","method":"Large","params":[20000],"id":null}`, `null!-32603`},
			{`{"jsonrpc":"2.0","method":"Large","params":[5],"id":4}`, `4="xxxxx"`},
		} {
			p.say(tt.body)
			body := p.hear()
			if got := brief(body); got != tt.want {
				t.Errorf("%s: heard %.200s, want %s", tt.body, got, tt.want)
			}
			if strings.Contains(tt.want, "!") && !strings.Contains(body, "too large") {
				t.Errorf("%s: heard %.200s, want an error that names the reason", tt.body, body)
			}
		}
		// A batch whose answers do not fit together ends as one, and every call
		// in it learns that.
		c := rpc.NewClient(h.conn(o), nil)
		defer c.Close()
		var b rpc.Batch
		var fs []*queue.Future[string]
		for range 3 {
			fs = append(fs, rpc.Add[string](&b, "Large", []int{4000}))
		}
		if err := c.Do(t.Context(), &b); err != nil && rpc.OutcomeOf(err) != rpc.Answered {
			t.Errorf("Do() = %v, want it answered", err)
		}
		for _, f := range fs {
			_, err := get(t, f)
			isCode(t, "a member", err, rpc.CodeInternal)
		}
	})
}
