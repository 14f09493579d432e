package interop_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/polyport/polyport/queue"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// TestODLFacts runs the facts that matter most.
func TestODLFacts(t *testing.T) { //nolint:tparallel // rows share what they need, in turn
	t.Parallel()
	testODLRows(t, odlFacts)
}

var odlFacts = []odlRow{
	{
		name: "1 synchronous today",
		fact: "since 2020 calls are synchronous; the asynchronous extension was removed",
		here: "a caller without metadata gets its answer, however late, and no metadata, from a method that could be left",
		run: each(odlSchemes, func(t *testing.T, f *odlField, scheme string) {
			e := f.requester(scheme).do("call", "method", "slow", "args", []any{120})
			same(t, "the result", string(e.Result), `"slept 120"`)
			if strings.Contains(e.Answer, "metadata") {
				t.Errorf("the answer has metadata: %s", e.Answer)
			}
		}),
	},
	{
		name: "2 metadata",
		fact: "metadata may be in requests, results and notifications, and is an object",
		here: "what it says beside `async` is passed over, in all three",
		run:  odlMetadata,
	},
	{
		name: "3 acknowledge and poll",
		fact: "the client chooses a UUID; the answer to its call acknowledges it; it repeats the method with the UUID until there is a result",
		here: "that is how its client of 2017 to 2020 is answered; the method is executed once, the last answer has no metadata",
		run:  each(odlSchemes, odlPolls),
	},
	{
		name: "4 two acknowledgements",
		fact: "Java acknowledges with a result of null, Python with neither result nor error, which Java cannot parse",
		here: "as Java does, with more in the metadata that both pass over; as a client both are understood",
		run: func(t *testing.T, f *odlField) {
			odlAcknowledged(t, f)
			odlAcknowledgements(t, f)
		},
	},
	{
		name: "5 four sockets",
		fact: "ZMQ is REQ to REP and PUB to SUB; any other peer is dropped in the handshake",
		here: "REQ is the socket of the profile, and `socket=sub`; without the profile it is DEALER, and dropped",
		run:  odlSockets,
	},
	{
		name: "6 bare params",
		fact: "a single argument is sent as it is, be it a scalar",
		here: "is taken for an array of it; without the profile it is -32600",
		run: each(odlSchemes, func(t *testing.T, f *odlField, scheme string) {
			same(t, "a text", f.requester(scheme).call("echo", "x"), `["x"]`)
			same(t, "a number", f.requester(scheme).call("sum", 7), `7`)
			has(t, "without the profile", f.strange("zmq").call("echo", "x"), "[code=-32600]")
		}),
	},
	{
		name: "7 no Host",
		fact: "its HTTP client sends no Host header",
		here: "one is added, and the call is answered; without the profile it is status 400",
		run: func(t *testing.T, f *odlField) {
			same(t, "a call", f.requester("http").call("add", 1, 2), `3`)
			c := f.strange("http")
			c.ask(`{"jsonrpc":"2.0","id":1,"method":"add","params":[1,2]}`)
			if n := c.await("response"); n.Status != 400 {
				t.Errorf("without the profile: %+v", n)
			}
		},
	},
	{
		name: "8 batches by pieces",
		fact: "a batch is answered by a message for each element, a notification by -32600, `[]` by nothing",
		here: "as a server: by an array, by an empty message, by -32600. As a client: the requests of a batch leave each alone",
		run:  each(odlSchemes, odlPieces),
	},
	{
		name: "9 ids unchecked",
		fact: "its requester takes the next message for its answer: after a timeout that of the call before",
		here: "an answer meets its own call or none: the connection is replaced after a timeout",
		run:  each(odlSchemes, odlLate),
	},
	{
		name: "10 strict servers",
		fact: "servers that know no metadata answer it by -32600",
		here: "the call is made again without, and so are all further ones",
		run: func(t *testing.T, f *odlField) {
			server := f.theirs("inocybe.py", "rep", "strict")
			c := f.dial("zmq", server.port)
			for range 2 {
				got, err := rpc.Detach[int](t.Context(), c, "add", []int{1, 2}, nil).Get(t.Context())
				if err != nil || got != 3 {
					t.Fatalf("Detach = %v, %v", got, err)
				}
			}
			texts := server.texts()
			if len(texts) != 3 || !strings.Contains(texts[0], "metadata") || strings.Contains(strings.Join(texts[1:], ""), "metadata") {
				t.Errorf("the server got %q, want metadata in the first of three", texts)
			}
		},
	},
}

// odlMetadata: metadata that is not about async.
func odlMetadata(t *testing.T, f *odlField) {
	for _, scheme := range odlSchemes {
		same(t, "a request over "+scheme, f.requester(scheme).ask(`{"jsonrpc":"2.0","id":1,"method":"add","params":[1,2],"metadata":{"tenant":"x","more":[1]}}`),
			`{"jsonrpc":"2.0","id":1,"result":3}`)
		c := f.dial(scheme, f.responder(scheme).port)
		got, err := rpc.Detach[string](t.Context(), c, "metadata", nil, nil).Get(t.Context())
		if err != nil || got != "with metadata" {
			t.Errorf("a result with metadata over %s: %q, %v", scheme, got, err)
		}
	}
	pub := f.theirs("odl_zmq.py", "pub")
	hear(t, f, fmt.Sprintf("zmq://127.0.0.1:%d?profile=odl&socket=sub", pub.port), pub, "",
		`{"jsonrpc":"2.0","method":"changed","params":[1],"metadata":{"tenant":"x"}}`)
}

// hear subscribes to a publisher by url, and has it publish a text that is an event of
// the topic changed with the params [1].
func hear(t *testing.T, f *odlField, url string, pub *odl, topic, text string) {
	t.Helper()
	c := f.dialURL(url)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	s, err := c.Subscribe(ctx, "#", nil)
	if err != nil {
		t.Fatalf("Subscribe at %s = %v", pub.name, err)
	}
	defer s.Close()
	if e := pub.do("subscribers", "n", 1); e.Exception != "" {
		t.Fatalf("%s: %s", pub.name, e.Exception)
	}
	time.Sleep(300 * time.Millisecond) // three heart-beats would be due
	pub.do("publish", "text", text, "topic", topic)
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	for e, err := range s.Events() {
		if err != nil || e.Topic != "changed" || string(e.Params) != "[1]" {
			t.Errorf("an event of %s: %q %s, %v", pub.name, e.Topic, e.Params, err)
		}
		return
	}
	t.Errorf("no event of %s came", pub.name)
}

// odlPolls: the client of 2017 to 2020.
func odlPolls(t *testing.T, f *odlField, scheme string) {
	e := f.requester(scheme).do("invoke", "method", "slow", "args", []any{500})
	if string(e.Result) != `"slept 500"` || len(e.Answers) < 2 {
		t.Fatalf("it heard %s %q %s", e.Result, e.Answers, e.Exception)
	}
	sent := e.Sent.([]any)
	for i, a := range e.Answers[:len(e.Answers)-1] {
		var asked, ack struct {
			ID       json.RawMessage `json:"id"`
			Params   json.RawMessage `json:"params"`
			Result   json.RawMessage `json:"result"`
			Metadata struct {
				Async string `json:"async"`
			} `json:"metadata"`
		}
		if err := errors.Join(json.Unmarshal([]byte(sent[i].(string)), &asked), json.Unmarshal([]byte(a), &ack)); err != nil {
			t.Fatal(err)
		}
		if string(ack.ID) != string(asked.ID) || string(ack.Result) != "null" || ack.Metadata.Async != e.Handle {
			t.Errorf("%s is answered by %s", sent[i], a)
		}
		if i > 0 && asked.Params != nil {
			t.Errorf("a poll has params: %s", sent[i])
		}
	}
	if last := e.Answers[len(e.Answers)-1]; strings.Contains(last, "metadata") {
		t.Errorf("the last answer has metadata: %s", last)
	}
	if ran := f.took()["slow"]; ran != 1 {
		t.Errorf("executed %d times", ran)
	}
	t.Logf("%d answers", len(e.Answers))
}

// odlAcknowledged: how we acknowledge, to Python's client.
func odlAcknowledged(t *testing.T, f *odlField) {
	inocybe := f.theirs("inocybe.py", "req", f.ours("zmq", transport.OpenDaylight))
	for _, handle := range []any{true, rpc.NewHandle()} {
		e := inocybe.do("invoke", "method", "slow", "params", []int{300}, "handle", handle)
		if string(e.Result) != `"slept 300"` || len(e.Answers) < 2 || !strings.Contains(e.Answers[0], `"result":null`) {
			t.Errorf("Python's client heard %s %q %s", e.Result, e.Answers, e.Exception)
		}
	}
}

// odlAcknowledgements: what our client makes of theirs.
func odlAcknowledgements(t *testing.T, f *odlField) {
	type number struct {
		In int `json:"in-number"`
	}
	type product struct {
		Out int `json:"out-number"`
	}
	c := f.dial("zmq", f.responder("zmq").port)
	n, err := rpc.Detach[product](t.Context(), c, "factorial", number{8}, &rpc.DetachOptions{Repeatable: true}).Get(t.Context())
	if err != nil || n.Out != 40320 {
		t.Errorf("acknowledgements of Java: %v, %v", n, err)
	}
	server := f.theirs("inocybe.py", "rep")
	before := len(server.do("executed").Executed)
	got, err := rpc.Detach[string](t.Context(), f.dial("zmq", server.port), "slow", []int{200}, nil).Get(t.Context())
	if err != nil || got != "slept 200" {
		t.Errorf("acknowledgements of Python: %q, %v", got, err)
	}
	if ran := server.do("executed").Executed[before:]; len(ran) != 1 {
		t.Errorf("Python's server executed %q", ran)
	}
}

// odlSockets: which sockets meet.
func odlSockets(t *testing.T, f *odlField) {
	server := startODL(t, "odl_zmq.py", "rep")
	server.do("log")
	got, err := rpc.Call[int](t.Context(), f.dial("zmq", server.port), "add", []int{1, 2})
	if err != nil || got != 3 {
		t.Errorf("by REQ: %v, %v", got, err)
	}
	if n := server.await("ready"); len(n.Properties) != 1 || n.Properties["Socket-Type"] != "REQ" {
		t.Errorf("our READY has %v", n.Properties)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	c, err := rpc.Dial(ctx, fmt.Sprintf("zmq://127.0.0.1:%d", server.port), nil)
	if err == nil {
		_, err = rpc.Call[int](ctx, c, "add", []int{1, 2})
		_ = c.Close()
	}
	if err == nil {
		t.Error("a DEALER is answered")
	}
	has(t, "what became of it", server.await("closed").Why, "DEALER")
	sub := f.theirs("odl_zmq.py", "sub", f.ours("zmq", transport.OpenDaylight))
	sub.do("ready")
	if n := sub.await("ready"); n.Properties["Socket-Type"] != "PUB" && n.Properties["Socket-Type"] != "XPUB" {
		t.Errorf("our READY to a SUB has %v", n.Properties)
	}
	for _, socket := range []string{"dealer", "push"} {
		if c, err := rpc.Dial(ctx, fmt.Sprintf("zmq://127.0.0.1:%d?profile=odl&socket=%s", server.port, socket), nil); err == nil {
			_ = c.Close()
			t.Errorf("a %s is dialed", socket)
		}
	}
}

// odlPieces: batches and notifications, both ways.
func odlPieces(t *testing.T, f *odlField, scheme string) {
	const one, two = `{"jsonrpc":"2.0","id":1,"method":"add","params":[1,2]}`, `{"jsonrpc":"2.0","id":2,"method":"add","params":[3,4]}`
	them := f.requester(scheme)
	same(t, "a batch", them.ask("["+one+","+two+"]"), `[{"jsonrpc":"2.0","id":1,"result":3},{"jsonrpc":"2.0","id":2,"result":7}]`)
	has(t, "[]", them.ask("[]"), `"code":-32600`)
	same(t, "a notification", them.ask(`{"jsonrpc":"2.0","method":"update","params":[1]}`), "empty")

	server := f.responder(scheme)
	c := f.dial(scheme, server.port)
	server.texts()
	var b rpc.Batch
	first := rpc.Add[int](&b, "add", []int{1, 2})
	b.Notify("add", []int{5, 6})
	second := rpc.Add[int](&b, "add", []int{3, 4})
	if err := c.Do(t.Context(), &b); err != nil {
		t.Fatalf("Do = %v", err)
	}
	for i, future := range []*queue.Future[int]{first, second} {
		if got, err := future.Get(t.Context()); err != nil || got != 3+4*i {
			t.Errorf("call %d of a batch: %v, %v", i, got, err)
		}
	}
	if err := c.Notify(t.Context(), "add", []int{7, 8}); err != nil {
		t.Errorf("Notify = %v", err)
	}
	if got, err := rpc.Call[int](t.Context(), c, "add", []int{9, 9}); err != nil || got != 18 {
		t.Errorf("the call after a notification: %v, %v", got, err)
	}
	if texts := server.texts(); len(texts) != 5 || strings.Contains(strings.Join(texts, ""), "[{") {
		t.Errorf("it got %q, want five texts", texts)
	}
}

// odlLate: an answer that comes after its call was given up.
func odlLate(t *testing.T, f *odlField, scheme string) {
	c := f.dial(scheme, f.responder(scheme).port)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if got, err := rpc.Call[string](ctx, c, "sleep", []int{200}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the call that is given up: %v, %v", got, err)
	}
	for range 3 {
		if got, err := rpc.Call[int](t.Context(), c, "add", []int{1, 2}); err != nil || got != 3 {
			t.Errorf("the call after it: %v, %v", got, err)
		}
	}
}
