package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// clientRows are the rows of batchTable that are about the end that called.
var clientRows = []struct {
	name string
	run  func(t *testing.T, w wire)
}{
	{"row 24: a response with an unknown id, at a client → dropped and not answered", clientStray},
	{"row 25: an array of responses, at a client → each to its call, the rest dropped", clientArray},
	{"row 26: requests and responses in one array, at a client → each by its kind", clientMixed},
	{"row 33: one error object for a batch → all its calls fail with it", clientOneError},
	{"row 34: the array lacks an id → that call fails when the array comes", clientLacking},
}

// get waits for a future, which is expected to be complete at once.
func get[T any](tb testing.TB, f *queue.Future[T]) (T, error) {
	tb.Helper()
	within(tb, f.Done(), "a future")
	return f.Get(context.Background())
}

// isValue reports a future that does not hold want.
func isValue[T comparable](tb testing.TB, call string, f *queue.Future[T], want T) {
	tb.Helper()
	if got, err := get(tb, f); err != nil || got != want {
		tb.Errorf("%s = %v, %v, want %v, nil", call, got, err, want)
	}
}

// quiet makes sure that the peer has heard nothing more than it was told.
func (p *peer) quiet(c *rpc.Client) {
	p.t.Helper()
	if err := c.Notify(p.t.Context(), "fence", nil); err != nil {
		p.t.Fatalf("Notify() = %v", err)
	}
	if body := p.hear(); body != `{"jsonrpc":"2.0","method":"fence"}` {
		p.t.Errorf("the client said %s, want nothing before the fence", body)
	}
}

func clientStray(t *testing.T, w wire) {
	c, p := scripted(t, w, nil)
	f := rpc.Go[int](t.Context(), c, "m", nil)
	r := p.hearRequest()
	named := p.about
	p.about = transport.ID{} // nothing but their ids says what the strays answer
	for _, stray := range []string{
		`{"jsonrpc":"2.0","id":999,"result":-1}`,
		`{"jsonrpc":"2.0","id":"1","result":-1}`,
		`{"jsonrpc":"2.0","id":1.0,"result":-1}`,
		`{"jsonrpc":"2.0","id":18446744073709551617,"result":-1}`,
		`[{"jsonrpc":"2.0","id":999,"result":-1}]`,
		`{"jsonrpc":"2.0","result":-1}`,
	} {
		p.say(stray)
	}
	p.about = named
	p.answer(r, "5")
	isValue(t, "the call", f, 5)
	p.answer(r, "6") // a second time
	p.quiet(c)
}

func clientArray(t *testing.T, w wire) {
	c, p := scripted(t, w, nil)
	var fs []*queue.Future[int]
	var rs []request
	for range 3 {
		fs = append(fs, rpc.Go[int](t.Context(), c, "m", nil))
		rs = append(rs, p.hearRequest())
	}
	p.say(fmt.Sprintf(`[%s,%s,{"jsonrpc":"2.0","id":999,"result":-1},%s,%s]`,
		resultOf(rs[2], "2"), resultOf(rs[0], "0"), resultOf(rs[0], "-1"), errorOf(rs[1], `{"code":7,"message":"x"}`)))
	isValue(t, "call 0", fs[0], 0)
	isValue(t, "call 2", fs[2], 2)
	_, err := get(t, fs[1])
	isCode(t, "call 1", err, 7)
	p.quiet(c)
}

func clientMixed(t *testing.T, w wire) {
	var j journal
	c, p := scripted(t, w, &rpc.ClientOptions{Mux: j.mux()})
	f := rpc.Go[int](t.Context(), c, "m", nil)
	r := p.hearRequest()
	p.say(fmt.Sprintf(`[{"jsonrpc":"2.0","id":1,"method":"sum","params":[1,2]},%s,
		{"jsonrpc":"2.0","method":"update","params":[9]},5,{"jsonrpc":"2.0","id":"x","method":"nope"}]`, resultOf(r, "5")))
	isValue(t, "the call", f, 5)
	if got, want := brief(p.hear()), `[1=3, null!-32600, "x"!-32601]`; got != want {
		t.Errorf("the client answered %s, want %s", got, want)
	}
	p.quiet(c)
}

// A sentBatch is a batch of two calls and a notification on its way.
type sentBatch struct {
	a, b *queue.Future[int]
	done chan error
	rs   []request
}

func sendBatch(tb testing.TB, c *rpc.Client, p *peer) sentBatch {
	tb.Helper()
	return sendBatchCtx(tb.Context(), tb, c, p)
}

func sendBatchCtx(ctx context.Context, tb testing.TB, c *rpc.Client, p *peer) sentBatch {
	tb.Helper()
	var b rpc.Batch
	s := sentBatch{a: rpc.Add[int](&b, "a", []int{1}), done: make(chan error, 1)}
	b.Notify("n", nil)
	s.b = rpc.Add[int](&b, "b", nil)
	go func() { s.done <- c.Do(ctx, &b) }()
	s.rs = p.hearBatch()
	var methods []string
	for _, r := range s.rs {
		methods = append(methods, r.Method)
	}
	if diff := cmp.Diff([]string{"a", "n", "b"}, methods); diff != "" {
		tb.Fatalf("methods of the batch (-want +got):\n%s", diff)
	}
	if s.rs[1].ID != nil {
		tb.Fatalf("the notification has id %s, want none", s.rs[1].ID)
	}
	return s
}

func clientOneError(t *testing.T, w wire) {
	fails := func(t *testing.T, s sentBatch, code rpc.Code) {
		t.Helper()
		for _, f := range []*queue.Future[int]{s.a, s.b} {
			_, err := get(t, f)
			isCode(t, "a member", err, code)
		}
		within(t, s.done, "Do")
	}
	const parse = `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}`
	t.Run("named by its correlation id", func(t *testing.T) {
		c, p := scripted(t, w, nil)
		f := rpc.Go[int](t.Context(), c, "m", nil)
		r := p.hearRequest()
		other := sendBatch(t, c, p)
		aboutOther := p.about
		s := sendBatch(t, c, p)
		p.say(parse)
		fails(t, s, rpc.CodeParse)
		p.answer(r, "5")
		isValue(t, "the call beside it", f, 5)
		p.about = aboutOther
		p.say(fmt.Sprintf("[%s,%s]", resultOf(other.rs[0], "1"), resultOf(other.rs[2], "2")))
		isValue(t, "the batch beside it", other.b, 2)
		if err := within(t, other.done, "Do"); err != nil {
			t.Errorf("Do() = %v, want nil", err)
		}
	})
	t.Run("not named, and nothing else waits", func(t *testing.T) {
		c, p := scripted(t, w, nil)
		s := sendBatch(t, c, p)
		p.about = transport.ID{}
		p.say(`{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"x"}}`)
		fails(t, s, -32603)
	})
	t.Run("without an id", func(t *testing.T) {
		c, p := scripted(t, w, nil)
		s := sendBatch(t, c, p)
		p.say(`{"jsonrpc":"2.0","error":{"code":-32600,"message":"x"}}`)
		for _, f := range []*queue.Future[int]{s.a, s.b} {
			_, err := get(t, f)
			isErr(t, "a member", err, rpc.ErrBadAnswer)
		}
		within(t, s.done, "Do")
	})
}

func clientLacking(t *testing.T, w wire) {
	c, p := scripted(t, w, nil)
	s := sendBatch(t, c, p)
	p.say("[" + resultOf(s.rs[0], "1") + "]")
	isValue(t, "the member that was answered", s.a, 1)
	_, err := get(t, s.b)
	isErr(t, "the member that was not", err, rpc.ErrNoAnswer)
	isOutcome(t, "the member that was not", err, rpc.Unknown)
	if err := within(t, s.done, "Do"); err != nil {
		t.Errorf("Do() = %v, want nil: the batch was answered", err)
	}
	p.say(resultOf(s.rs[2], "2")) // too late
	p.quiet(c)
}

// TestRefusedBody: an error with id null, and a body that is no answer at all,
// end the call that the message is about, and no other.
func TestRefusedBody(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		c, p := scripted(t, w, nil)
		other := rpc.Go[int](t.Context(), c, "m", nil)
		first := p.hearRequest()
		refused := rpc.Go[int](t.Context(), c, "m", nil)
		p.hearRequest()
		p.say(`{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"x"}}`)
		_, err := refused.Get(t.Context())
		if e, ok := errors.AsType[*rpc.Error](err); !ok || e.Code != rpc.CodeInvalidRequest {
			t.Errorf("the refused call = %v, want the peer's -32600", err)
		}
		if w.name == "stomp" { // an answer is told from a request by its lack of a reply address
			garbled := rpc.Go[int](t.Context(), c, "m", nil)
			p.hearRequest()
			p.back = ""
			p.say(`{"jsonrpc":`)
			_, err = garbled.Get(t.Context())
			isErr(t, "the garbled call", err, rpc.ErrBadAnswer)
		}
		p.answer(first, "5")
		isValue(t, "the other call", other, 5)
	})
}
