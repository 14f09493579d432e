package rpc_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// reqPeer returns a bare asking end of a connection in lock-step with h.
func (h *reqHost) reqPeer() *peer {
	h.t.Helper()
	conn, err := transport.Dial(h.t.Context(), h.req, &transport.DialOptions{Options: still()})
	if err != nil {
		h.t.Fatalf("Dial(%s) = %v", h.req, err)
	}
	return newPeer(h.t, conn)
}

// oneAnswer says a body and returns the answer, which must be the only one.
func (p *peer) oneAnswer(body string) string {
	p.t.Helper()
	p.say(body)
	answer := p.hear()
	synctest.Wait()
	if more, err := p.listen(time.Second); err == nil {
		p.t.Errorf("%.80s has a second answer: %s", body, more)
	}
	return answer
}

// TestLockstepServerAnswers: whatever a message holds, it gets one answer.
func TestLockstepServerAnswers(t *testing.T) {
	rules := []struct{ name, say, want string }{
		{"a request", `{"jsonrpc":"2.0","method":"sum","params":[1,2],"id":1}`, `{"jsonrpc":"2.0","id":1,"result":3}`},
		{"a request that fails", `{"jsonrpc":"2.0","method":"Fail","id":1}`, "-32000"},
		{"a request whose handler panics", `{"jsonrpc":"2.0","method":"Panic","id":1}`, "-32603"},
		{"no such method", `{"jsonrpc":"2.0","method":"Nothing","id":1}`, "-32601"},
		{"a notification", `{"jsonrpc":"2.0","method":"update","params":[1]}`, ""},
		{"a notification that fails", `{"jsonrpc":"2.0","method":"Fail"}`, ""},
		{"a notification whose handler panics", `{"jsonrpc":"2.0","method":"Panic"}`, ""},
		{"a notification of no method", `{"jsonrpc":"2.0","method":"Nothing"}`, ""},
		{"a cancel", `{"jsonrpc":"2.0","method":"rpc.cancel","params":{"id":1}}`, ""},
		{"a batch", `[{"jsonrpc":"2.0","method":"sum","params":[1],"id":1},{"jsonrpc":"2.0","method":"update","params":[1]}]`, `[{"jsonrpc":"2.0","id":1,"result":1}]`},
		{"a batch of notifications", `[{"jsonrpc":"2.0","method":"update","params":[1]},{"jsonrpc":"2.0","method":"Fail"}]`, ""},
		{"a batch of cancels", `[{"jsonrpc":"2.0","method":"rpc.cancel","params":{"id":1}}]`, ""},
		{"a batch of responses", `[{"jsonrpc":"2.0","id":1,"result":1},{"jsonrpc":"2.0","id":2,"result":1}]`, ""},
		{"a batch of rubbish", `[1,2]`, "-32600"},
		{"an empty batch", `[]`, "-32600"},
		{"a response", `{"jsonrpc":"2.0","id":1,"result":1}`, ""},
		{"a malformed response", `{"jsonrpc":"2.0","id":1,"result":1,"error":{}}`, ""},
		{"an invalid request", `{"jsonrpc":"2.0","method":1,"id":1}`, "-32600"},
		{"a text", `"hello"`, "-32600"},
		{"no JSON", `<html>`, "-32700"},
		{"nothing", ``, "-32700"},
	}
	for _, width := range []int{0, 1} {
		for _, r := range rules {
			t.Run(fmt.Sprintf("width %d/%s", width, r.name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := serveReq(t, new(journal).mux(), &rpc.ServerOptions{Width: width})
					p := h.reqPeer()
					for range 2 {
						if got := p.oneAnswer(r.say); got != r.want && (!strings.HasPrefix(r.want, "-") || !strings.Contains(got, r.want)) {
							t.Errorf("%s was answered %q, want %q", r.say, got, r.want)
						}
					}
				})
			})
		}
	}
}

// TestLockstepServerRefuses: what is not admitted is answered, too.
func TestLockstepServerRefuses(t *testing.T) {
	const request, notification = `{"jsonrpc":"2.0","method":"Echo","id":1}`, `{"jsonrpc":"2.0","method":"Echo"}`
	messages := []struct{ name, say, busy string }{
		{"a request", request, "-32009"},
		{"a notification", notification, ""},
		{"a batch", "[" + request + "," + notification + "]", "-32009"},
		{"a batch of notifications", "[" + notification + "," + notification + "]", ""},
	}
	rules := map[string]func(t *testing.T){}
	for _, m := range messages {
		check := func(t *testing.T, got, code string) {
			t.Helper()
			if m.busy == "" && got != "" || m.busy != "" && !strings.Contains(got, code) {
				t.Errorf("%s was answered %q, want code %s, or nothing to a notification", m.name, got, code)
			}
		}
		rules[m.name+" when the queue is full"] = func(t *testing.T) {
			g := newGate()
			q := queue.New(&queue.Options{Depth: 1, Workers: 1})
			defer func() { _ = q.Close(context.Background()) }()
			h := serveReq(t, stepMux(g), &rpc.ServerOptions{Queue: q})
			hold(t, h, 2)
			check(t, h.reqPeer().oneAnswer(m.say), "-32009")
			g.open()
		}
		rules[m.name+" dropped with the queue"] = func(t *testing.T) {
			g := newGate()
			q := queue.New(&queue.Options{Workers: 1})
			h := serveReq(t, stepMux(g), &rpc.ServerOptions{Queue: q})
			hold(t, h, 1)
			p := h.reqPeer()
			p.say(m.say)
			synctest.Wait()
			_ = q.Close(noTime())
			check(t, p.hear(), "-32054")
			g.open()
			_ = q.Close(context.Background())
		}
	}
	rules["what is under way when the server shuts down"] = func(t *testing.T) {
		g := newGate()
		h := serveReq(t, stepMux(g), nil)
		p := h.reqPeer()
		p.say(`{"jsonrpc":"2.0","method":"Wait","params":[1],"id":1}`)
		g.await(t, 1)
		done := make(chan error, 1)
		go func() { done <- h.Shutdown(context.Background()) }()
		synctest.Wait()
		g.open()
		if got, want := p.hear(), `{"jsonrpc":"2.0","id":1,"result":[1]}`; got != want {
			t.Errorf("the answer is %q, want %q", got, want)
		}
		if err := within(t, done, "Shutdown"); err != nil {
			t.Errorf("Shutdown = %v, want nil", err)
		}
	}
	inBubble(t, rules)
}

// hold has n calls wait in the server.
func hold(t *testing.T, h *reqHost, n int) {
	t.Helper()
	for range n {
		c := h.dialReq(nil)
		_ = rpc.Go[any](t.Context(), c, "Wait", nil)
		synctest.Wait()
	}
}

// noTime is a context that has ended.
func noTime() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// TestLockstepServerAnswersAtLeisure: an answer that is too large is replaced, and
// one that finds no room waits; both leave the connection in step.
func TestLockstepServerAnswersAtLeisure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Text", func(_ context.Context, n int) (string, error) { return strings.Repeat("x", n), nil })
		h := serveReq(t, mux, nil)
		c := h.dialReq(nil)
		for _, n := range []int{5 << 20, 3 << 20, 10, 5 << 20, 3 << 20} {
			got, err := rpc.Call[string](t.Context(), c, "Text", []int{n})
			switch {
			case n > 4<<20:
				isCode(t, "Text of 5 MiB", err, rpc.CodeInternal)
			case err != nil || len(got) != n:
				t.Errorf("Text of %d bytes has %d, %v", n, len(got), err)
			}
		}
		wantReplaced(t, c, 0)
	})
}

// TestLockstepTwoWay: a handler cannot call its caller, is told so at once, and its
// answer is not harmed by the attempt.
func TestLockstepTwoWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errs := make(chan error, 16)
		mux := rpc.NewMux(nil)
		rpc.Handle(mux, "Back", func(ctx context.Context, _ struct{}) (string, error) {
			req, _ := rpc.FromContext(ctx)
			for _, way := range waysToCall {
				errs <- way.call(ctx, req.Client(), nil)
			}
			var b rpc.Batch
			b.Notify("n", nil)
			errs <- req.Client().Do(ctx, &b)
			return "own", nil
		})
		h := serveReq(t, mux, nil)
		c := h.dialReq(&rpc.ClientOptions{Mux: new(journal).mux()})
		start := time.Now()
		if got, err := rpc.Call[string](t.Context(), c, "Back", nil); err != nil || got != "own" {
			t.Errorf("Back = %q, %v, want own, nil", got, err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("Back took %v, want no waiting", took)
		}
		for range len(errs) {
			err := <-errs
			isOutcome(t, "a call to the caller", err, rpc.NotSent)
			isErr(t, "a call to the caller", err, transport.ErrUnsupported)
			if !strings.Contains(err.Error(), "in lock-step") {
				t.Errorf("the error is %q, want one that says why", err)
			}
		}
		if n := c.Late(); n != 0 {
			t.Errorf("Late() = %d, want 0", n)
		}
	})
}
