package interop_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// TestODLAsync runs the asynchronous extension as it was.
func TestODLAsync(t *testing.T) { //nolint:tparallel // rows share what they need, in turn
	t.Parallel()
	testODLRows(t, odlAsync)
}

var odlAsync = []odlRow{
	{
		name: "Java's client",
		fact: "a UUID in every call; polls without params, at once, until there is a result or no metadata",
		here: "is acknowledged after 50 ms and polled for; a method that has no handles, or ends sooner, answers it as ever",
		run: func(t *testing.T, f *odlField) {
			odlPolls(t, f, "zmq")
			for _, method := range []string{"get_data", "slow"} {
				args := []any{}
				if method == "slow" {
					args = append(args, 1)
				}
				if e := f.requester("zmq").do("invoke", "method", method, "args", args); len(e.Answers) != 1 || e.Exception != "" {
					t.Errorf("%s: %q %s", method, e.Answers, e.Exception)
				}
			}
		},
	},
	{
		name: "Java's server",
		fact: "the server of its test: `result:null` and the handle five times, then the result",
		here: "`rpc.Detach` with Repeatable repeats the call with its params, and has the result",
		run: each(odlSchemes, func(t *testing.T, f *odlField, scheme string) {
			server := f.responder(scheme)
			c := f.dial(scheme, server.port)
			server.texts()
			got, err := rpc.Detach[struct {
				Out int `json:"out-number"`
			}](t.Context(), c, "factorial", map[string]int{"in-number": 8}, &rpc.DetachOptions{Repeatable: true}).Get(t.Context())
			if err != nil || got.Out != 40320 {
				t.Errorf("factorial = %v, %v", got, err)
			}
			if texts := server.texts(); len(texts) != 6 || strings.Count(strings.Join(texts, ""), `"in-number"`) != 6 {
				t.Errorf("it got %q, want six texts with params", texts)
			}
		}),
	},
	{
		name: "Python's client",
		fact: "`async:true` has the server choose a handle, anything else truthy is one; polls with the metadata of the first answer",
		here: "a handle is chosen for `true`; one of the client's has to be a UUID; our own keys in its polls are passed over",
		run: func(t *testing.T, f *odlField) {
			them := f.theirs("inocybe.py", "req", f.ours("zmq", transport.OpenDaylight))
			for _, handle := range []any{true, rpc.NewHandle()} {
				if e := them.do("invoke", "method", "slow", "params", []int{300}, "handle", handle); string(e.Result) != `"slept 300"` || len(e.Answers) < 2 {
					t.Errorf("%v: %s %q %s", handle, e.Result, e.Answers, e.Exception)
				}
			}
			if ran := f.took()["slow"]; ran != 2 {
				t.Errorf("executed %d times, want 2", ran)
			}
			e := them.do("invoke", "method", "slow", "params", []int{300}, "handle", "mine")
			has(t, "a handle that is no UUID", string(e.Error), "-32600")
			for _, falsy := range []any{false, nil} {
				if e := them.do("invoke", "method", "slow", "params", []int{100}, "handle", falsy); len(e.Answers) != 1 || string(e.Result) != `"slept 100"` {
					t.Errorf("%v: %q %s", falsy, e.Answers, e.Exception)
				}
			}
		},
	},
	{
		name: "Python's server",
		fact: "acknowledges with neither result nor error; forgets the handle with the last answer; then the same handle is a new call",
		here: "is polled as long as it acknowledges, and not once more",
		run: func(t *testing.T, f *odlField) {
			server := f.theirs("inocybe.py", "rep")
			before := len(server.do("executed").Executed)
			got, err := rpc.Detach[string](t.Context(), f.dial("zmq", server.port), "slow", []int{300}, nil).Get(t.Context())
			if err != nil || got != "slept 300" {
				t.Errorf("slow = %q, %v", got, err)
			}
			time.Sleep(100 * time.Millisecond)
			if ran := server.do("executed").Executed[before:]; len(ran) != 1 {
				t.Errorf("it executed %q", ran)
			}
		},
	},
	{
		name: "D1 driven by get alone",
		fact: "polls only while somebody waits in `get`",
		here: "a future is driven without",
		run: func(t *testing.T, f *odlField) {
			future := rpc.Detach[any](t.Context(), f.dial("zmq", f.responder("zmq").port), "factorial", map[string]int{"in-number": 3}, &rpc.DetachOptions{Repeatable: true})
			select {
			case <-future.Done():
			case <-time.After(10 * time.Second):
				t.Error("nobody polls")
			}
		},
		elsewhere: []string{"rpc.TestD1_DrivenWithoutGet"},
	},
	{
		name: "D2 polls at once",
		fact: "polls again at once, with no pause",
		here: "as a server each poll is held for up to 200 ms, so that 600 ms take three polls or so; our client pauses, and longer each time",
		run: each(odlSchemes, func(t *testing.T, f *odlField, scheme string) {
			e := f.requester(scheme).do("invoke", "method", "slow", "args", []any{600})
			if string(e.Result) != `"slept 600"` || len(e.Answers) < 3 || len(e.Answers) > 6 {
				t.Errorf("%s after %d answers: %s", e.Result, len(e.Answers), e.Exception)
			}
		}),
		elsewhere: []string{"rpc.TestD2_PollsAreSpaced"},
	},
	{
		name:      "D3 one poll too many",
		fact:      "each `get` polls, so that one comes after the result and makes the call again, with no params",
		here:      "a poll that is late gets the result once more, and nothing is executed",
		run:       each(odlSchemes, odlExtraPoll),
		elsewhere: []string{"rpc.TestD3_OnePollAtATime"},
	},
	{
		name: "D4 an unknown handle",
		fact: "is a new call",
		here: "of `rpc.async.get` it is -32050; of a method by its name it has to be a new call, for so begins every one",
		run: func(t *testing.T, f *odlField) {
			has(t, "rpc.async.get", f.requester("zmq").ask(`{"jsonrpc":"2.0","id":1,"method":"rpc.async.get","params":{"async":"`+rpc.NewHandle()+`"}}`), "-32050")
			if ran := f.took(); len(ran) > 0 {
				t.Errorf("executed: %v", ran)
			}
		},
		elsewhere: []string{"rpc.TestD4_PollNeverExecutes"},
	},
	{
		name: "D5 a result with metadata",
		fact: "the result is thrown away, and polled for again",
		here: "is the last answer, to `rpc.Detach`, too; ours have no metadata",
		run: func(t *testing.T, f *odlField) {
			server := f.responder("zmq")
			c := f.dial("zmq", server.port)
			server.texts()
			got, err := rpc.Detach[string](t.Context(), c, "metadata", nil, nil).Get(t.Context())
			if texts := server.texts(); err != nil || got != "with metadata" || len(texts) != 1 {
				t.Errorf("%q, %v after %q", got, err, texts)
			}
		},
		elsewhere: []string{"rpc.TestD5_ResultWithMetadataIsFinal"},
	},
	{
		name: "D6 null and metadata",
		fact: "a result of null with its metadata is polled for without end",
		here: "a last answer of null has no metadata, which ends its polls",
		run: each(odlSchemes, func(t *testing.T, f *odlField, scheme string) {
			e := f.requester(scheme).do("invoke", "method", "void", "args", []any{300}, "timeout", 5)
			if string(e.Result) != "null" || len(e.Answers) < 2 || e.Exception != "" {
				t.Errorf("%s after %q: %s", e.Result, e.Answers, e.Exception)
			}
		}),
		elsewhere: []string{"rpc.TestD6_NullIsNotPending"},
	},
	{
		name: "D7 cancel stays here",
		fact: "the queue goes on polling, the server goes on working",
		here: "polls end; a server of ours is told. One of OpenDaylight has no word for it",
		run: func(t *testing.T, f *odlField) {
			server := f.responder("zmq")
			c := f.dial("zmq", server.port)
			future := rpc.Detach[any](t.Context(), c, "endless", nil, &rpc.DetachOptions{Repeatable: true})
			time.Sleep(150 * time.Millisecond)
			future.Cancel(nil)
			odlQuiet(t, server)
		},
		elsewhere: []string{"rpc.TestD7_CancelReachesTheServer"},
	},
	{
		name: "D8 a timeout twice",
		fact: "`get(timeout)` waits twice as long, and the polls go on",
		here: "one context bounds it, and its end ends the polls",
		run: func(t *testing.T, f *odlField) {
			server := f.responder("zmq")
			ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
			defer cancel()
			begun := time.Now()
			_, err := rpc.Detach[any](ctx, f.dial("zmq", server.port), "endless", nil, &rpc.DetachOptions{Repeatable: true}).Get(t.Context())
			if took := time.Since(begun); !errors.Is(err, context.DeadlineExceeded) || took > 2*time.Second {
				t.Errorf("%v after %v", err, took)
			}
			odlQuiet(t, server)
		},
		elsewhere: []string{"rpc.TestD8_OneDeadline"},
	},
	{
		name:      "D9 no result, no error",
		fact:      "Python's acknowledgement has neither, and Java's parser refuses it",
		here:      "ours has a result of null, which both take; both are understood",
		run:       odlAcknowledged,
		elsewhere: []string{"rpc.TestD9_AckIsAResponse"},
	},
	{
		name:      "D10 forgotten once sent",
		fact:      "a result is forgotten with the first answer that has it, be that lost",
		here:      "it is kept for a minute: another connection gets it",
		run:       odlResultKept,
		elsewhere: []string{"rpc.TestD10_ResultOutlivesItsAnswer"},
	},
	{
		name:      "D11 anybody's handle",
		fact:      "whoever knows a handle gets its result",
		here:      "handles belong to users. Without a login, as over their ZMQ, all are one user, and handles must be random",
		elsewhere: []string{"rpc.TestD11_HandlesHaveOwners"},
	},
	{
		name: "D12 one queue",
		fact: "one queue and thread for a device: calls of 30 s hold up all, and so do polls",
		here: "calls that come with handles hold up nobody on other connections, however many poll",
		run: func(t *testing.T, f *odlField) {
			them := f.requester("zmq")
			for i := range 20 {
				has(t, "an acknowledgement", them.ask(fmt.Sprintf(
					`{"jsonrpc":"2.0","id":%d,"method":"slow","params":[1500],"metadata":{"async":%q}}`, i, rpc.NewHandle())), "pending")
			}
			begun := time.Now()
			same(t, "a call meanwhile", them.call("add", 1, 2), "3")
			if took := time.Since(begun); took > 500*time.Millisecond {
				t.Errorf("a call took %v", took)
			}
		},
		elsewhere: []string{"rpc.TestD12_PollsHoldNoWorker"},
	},
}

// odlExtraPoll: the poll that is late, as Java's client makes it.
func odlExtraPoll(t *testing.T, f *odlField, scheme string) {
	them := f.requester(scheme)
	e := them.do("invoke", "method", "slow", "args", []any{120})
	same(t, "the result", string(e.Result), `"slept 120"`)
	for range 2 {
		same(t, "a late poll", them.ask(`{"jsonrpc":"2.0","id":77,"method":"slow","metadata":{"async":"`+e.Handle+`"}}`), `{"jsonrpc":"2.0","id":77,"result":"slept 120"}`)
	}
	if ran := f.took()["slow"]; ran != 1 {
		t.Errorf("executed %d times", ran)
	}
}

// odlResultKept: who has lost its connection comes back by another.
func odlResultKept(t *testing.T, f *odlField) {
	begun := `{"jsonrpc":"2.0","id":5,"method":"slow","params":[400],"metadata":{"async":"` + rpc.NewHandle() + `"}}`
	poll := strings.Replace(begun, `"params":[400],`, "", 1)
	has(t, "the acknowledgement", f.requester("zmq").ask(begun), `"state":"pending"`)
	other := startODL(t, "inocybe.py", "req", f.ours("zmq", transport.OpenDaylight))
	for pending := true; pending; {
		pending = strings.Contains(other.ask(poll), `"state":"pending"`)
	}
	for _, from := range []*odl{other, f.requester("zmq")} {
		same(t, "a poll", from.ask(poll), `{"jsonrpc":"2.0","id":5,"result":"slept 400"}`)
	}
	if ran := f.took()["slow"]; ran != 1 {
		t.Errorf("executed %d times", ran)
	}
}

// odlQuiet checks that a server gets nothing more.
func odlQuiet(t *testing.T, server *odl) {
	t.Helper()
	if texts := server.texts(); len(texts) < 2 {
		t.Errorf("it got %q, want polls", texts)
	}
	time.Sleep(50 * time.Millisecond)
	server.texts() // what was on its way
	time.Sleep(300 * time.Millisecond)
	if texts := server.texts(); len(texts) > 0 {
		t.Errorf("it got %q after the end", texts)
	}
}
