package interop_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// TestODLSwitches runs what the profile switches.
func TestODLSwitches(t *testing.T) { //nolint:tparallel // rows share what they need, in turn
	t.Parallel()
	testODLRows(t, odlSwitches)
}

var odlSwitches = []odlRow{
	{
		name: "scalar params taken",
		fact: "sends `\"params\":\"x\"` for one argument, and null for none",
		here: "a scalar is taken for an array of it, null for no params; without the profile both are -32600",
		run: each(odlSchemes, func(t *testing.T, f *odlField, scheme string) {
			const scalar, null = `{"jsonrpc":"2.0","id":1,"method":"sum","params":7}`, `{"jsonrpc":"2.0","id":1,"method":"get_data","params":null}`
			same(t, "a scalar", f.requester(scheme).ask(scalar), `{"jsonrpc":"2.0","id":1,"result":7}`)
			same(t, "null", f.requester(scheme).ask(null), `{"jsonrpc":"2.0","id":1,"result":["hello",5]}`)
			if scheme != "http" { // whose client is refused without the profile
				has(t, "a scalar without the profile", f.strange(scheme).ask(scalar), "-32600")
				has(t, "null without the profile", f.strange(scheme).ask(null), "-32600")
			}
		}),
		elsewhere: []string{"rpc.TestOpenDaylightServer"},
	},
	{
		name: "bare params sent",
		fact: "a method with one argument takes it as it is",
		here: "params that are a scalar in Go are sent so; without the profile that is an error before anything is sent",
		run: each(odlSchemes, func(t *testing.T, f *odlField, scheme string) {
			server := f.responder(scheme)
			server.texts()
			if got, err := rpc.Call[string](t.Context(), f.dial(scheme, server.port), "echo", "x"); err != nil || got != "x" {
				t.Errorf("echo = %q, %v", got, err)
			}
			if texts := server.texts(); len(texts) != 1 || !strings.Contains(texts[0], `"params":"x"`) {
				t.Errorf("it got %q", texts)
			}
			c := f.dialURL(fmt.Sprintf("http://127.0.0.1:%d", f.responder("http").port))
			if err := c.Call(t.Context(), "echo", "x", nil); !errors.Is(err, rpc.ErrParams) {
				t.Errorf("without the profile: %v", err)
			}
		}),
		elsewhere: []string{"rpc.TestOpenDaylightClient"},
	},
	{
		name:      "REQ, REP, PUB and SUB",
		fact:      "knows no other sockets, and of a READY no property but Socket-Type",
		here:      "no other can be dialed in the profile; READY has that property alone",
		run:       odlSockets,
		elsewhere: []string{"transport/zmq.TestODLSockets"},
	},
	{
		name:      "publications without a topic",
		fact:      "a publication is an empty frame and the text; its SUB takes a topic for JSON, closes, and loses what comes until it is back",
		here:      "events leave so, to its SUB and to Python's, which demands two frames; a SUB of the profile takes theirs, and Python's with a topic",
		run:       odlPublications,
		elsewhere: []string{"transport/zmq.TestODLPublications", "rpc.TestOpenDaylightFeed"},
	},
	{
		name: "publications by WebSocket",
		fact: "a publication goes to everybody who is connected",
		here: "what it publishes reaches `Client.Subscribe` (`socket=sub`). What we publish reaches it by ZMQ alone: by WebSocket it says nothing, and cannot be told from who calls",
		run: func(t *testing.T, f *odlField) {
			pub := f.theirs("odl_ws.py", "pub")
			hear(t, f, fmt.Sprintf("ws://127.0.0.1:%d?profile=odl&socket=sub", pub.port), pub, "", `{"jsonrpc":"2.0","method":"changed","params":[1]}`)
		},
	},
	{
		name: "no heart-beats",
		fact: "any command after the handshake ends a ZMQ connection",
		here: "there are none, either way, though Heartbeat is 100 ms: a connection that was idle for 400 ms is there still",
		run: func(t *testing.T, f *odlField) {
			them := f.requester("zmq")
			them.do("ready")
			before := them.do("ready").Connections
			server := startODL(t, "odl_zmq.py", "rep")
			c := f.dial("zmq", server.port)
			add(t, c, 1)
			server.do("log")
			time.Sleep(400 * time.Millisecond)
			add(t, c, 1)
			same(t, "a call after it", them.call("add", 1, 2), "3")
			if n := them.do("ready").Connections; n != before {
				t.Errorf("%d connections instead of %d", n, before)
			}
			for _, n := range server.do("log").Log {
				if n.What == "closed" || n.What == "ready" {
					t.Errorf("our connection: %+v", n)
				}
			}
		},
		elsewhere: []string{"transport/zmq.TestODLNoHeartbeats"},
	},
	{
		name:      "one write a message",
		fact:      "a frame whose header is cut by TCP ends a ZMQ connection, and so does much in flight",
		here:      "8 callers with long and short texts take turns, one message a write: all are answered on one connection",
		run:       odlOneWrite,
		elsewhere: []string{"transport.TestWriterApart", "transport/zmq.TestODLPublicationsApart"},
	},
	{
		name: "fan-out for batches",
		fact: "a batch is answered by pieces, and only as far as it has no notification",
		here: "each request leaves alone, and every future has its own result or error",
		run: each(odlSchemes, func(t *testing.T, f *odlField, scheme string) {
			server := f.responder(scheme)
			c := f.dial(scheme, server.port)
			server.texts()
			var b rpc.Batch
			good, bad := rpc.Add[int](&b, "add", []int{1, 2}), rpc.Add[int](&b, "gone", nil)
			if err := c.Do(t.Context(), &b); err != nil {
				t.Fatalf("Do = %v", err)
			}
			if got, err := good.Get(t.Context()); err != nil || got != 3 {
				t.Errorf("a call of a batch: %v, %v", got, err)
			}
			isODLError(t, "another", errorIn(bad.Get(t.Context())), rpc.CodeMethodNotFound)
			if texts := server.texts(); len(texts) != 2 {
				t.Errorf("it got %q", texts)
			}
		}),
		elsewhere: []string{"rpc.TestOpenDaylightClient"},
	},
	{
		name: "errors without an id",
		fact: "what it cannot parse, and a notification, is answered by -32600 with the id null",
		here: "the only call in flight ends with it; what answers a notification meets no call",
		run: each(odlSchemes, func(t *testing.T, f *odlField, scheme string) {
			c := f.dial(scheme, f.responder(scheme).port)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			isODLError(t, "a call that it cannot parse", c.Call(ctx, "unparsed", nil, nil), rpc.CodeInvalidRequest)
			for range 3 {
				if err := c.Notify(ctx, "nothing", nil); err != nil {
					t.Errorf("Notify = %v", err)
				}
				add(t, c, 1)
			}
		}),
		elsewhere: []string{"rpc.TestOpenDaylightLockstep"},
	},
	{
		name: "requests without a Host",
		fact: "its HTTP client sends none, and keeps its connection",
		here: "call after call, long and short, is answered on one connection; with a password, too",
		run: func(t *testing.T, f *odlField) {
			them := f.requester("http")
			them.do("log")
			for range 3 {
				same(t, "a call", them.call("add", 1, 2), "3")
				same(t, "a long one", them.call("echo", strings.Repeat("x", 100_000)), `["`+strings.Repeat("x", 100_000)+`"]`)
			}
			for _, n := range them.do("log").Log {
				if n.What == "closed" {
					t.Errorf("the connection: %+v", n)
				}
			}
			odlPassword(t, f)
		},
	},
	{
		name: "versions 2 and 2.0",
		fact: "takes \"2.0\", \"2\", 2 and 2.0",
		here: "so do we, and answer \"2.0\"; without the profile all but the first are -32600",
		run: each(odlSchemes, func(t *testing.T, f *odlField, scheme string) {
			for _, version := range []string{`"2.0"`, `"2"`, `2`, `2.0`} {
				text := `{"jsonrpc":` + version + `,"id":1,"method":"add","params":[1,2]}`
				same(t, version, f.requester(scheme).ask(text), `{"jsonrpc":"2.0","id":1,"result":3}`)
				if version != `"2.0"` && scheme != "http" {
					has(t, version+" without the profile", f.strange(scheme).ask(text), "-32600")
				}
			}
			for _, version := range []string{`"1.0"`, `1`, `null`, `"2.00"`, `[2]`} {
				has(t, version, f.requester(scheme).ask(`{"jsonrpc":`+version+`,"id":1,"method":"add","params":[1,2]}`), "-32600")
			}
		}),
		elsewhere: []string{"rpc.TestOpenDaylightServer"},
	},
	{
		name:      "both acknowledgements",
		fact:      "Java's has a result of null, Python's neither result nor error",
		here:      "both are understood; ours is as Java's",
		run:       odlAcknowledgements,
		elsewhere: []string{"rpc.TestOpenDaylightDetach"},
	},
	{
		name: "last answers without metadata",
		fact: "a last answer has none; metadata without `async` hangs its client",
		here: "ours has none, be it a result, null or an error; theirs is taken with and without",
		run: each(odlSchemes, func(t *testing.T, f *odlField, scheme string) {
			them := f.requester(scheme)
			for _, method := range []string{"slow", "void"} {
				e := them.do("invoke", "method", method, "args", []any{300}, "timeout", 5)
				if len(e.Answers) < 2 || e.Exception != "" || strings.Contains(e.Answers[len(e.Answers)-1], "metadata") {
					t.Errorf("%s: %q %s", method, e.Answers, e.Exception)
				}
			}
			e := them.do("invoke", "method", "fail", "args", []any{"x"}, "timeout", 5)
			if len(e.Answers) != 1 || strings.Contains(e.Answers[0], "metadata") || e.Exception == "" {
				t.Errorf("an error: %q %s", e.Answers, e.Exception)
			}
			c := f.dial(scheme, f.responder(scheme).port)
			for _, method := range []string{"metadata", "nothing"} { // with metadata, and without
				if _, err := rpc.Detach[any](t.Context(), c, method, nil, nil).Get(t.Context()); err != nil {
					t.Errorf("%s: %v", method, err)
				}
			}
		}),
		elsewhere: []string{"rpc.TestOpenDaylightFlow"},
	},
	{
		name: "another socket after a timeout",
		fact: "a late answer waits in the queue of its socket, for the next call",
		here: "over ZMQ and HTTP the connection is given up with the call, and the next has another",
		run: each([]string{"zmq"}, func(t *testing.T, f *odlField, scheme string) {
			server := f.responder(scheme)
			server.do("log")
			odlLate(t, f, scheme)
			ready := 0
			for _, n := range server.do("log").Log {
				if n.What == "ready" {
					ready++
				}
			}
			if ready != 2 {
				t.Errorf("%d connections, want two", ready)
			}
		}),
	},
}

// add has c add two numbers.
func add(t *testing.T, c *rpc.Client, n int) {
	t.Helper()
	if got, err := rpc.Call[int](t.Context(), c, "add", []int{n, n}); err != nil || got != 2*n {
		t.Errorf("add = %v, %v, want %d", got, err, 2*n)
	}
}

func errorIn[T any](_ T, err error) error { return err }

// isODLError checks that a call was answered by an error.
func isODLError(t *testing.T, what string, err error, code rpc.Code) {
	t.Helper()
	if e, ok := errors.AsType[*rpc.Error](err); !ok || e.Code != code {
		t.Errorf("%s: %v, want the code %d", what, err, code)
	}
}

// odlPublications: events over ZMQ, both ways, with both programs.
func odlPublications(t *testing.T, f *odlField) {
	port, server := f.ours("zmq", transport.OpenDaylight), f.server("zmq")
	java, python := f.theirs("odl_zmq.py", "sub", port), f.theirs("inocybe.py", "sub", port)
	java.do("ready")
	const want = `{"jsonrpc":"2.0","method":"changed","params":[1]}`
	publishTo(t, server, 2)
	same(t, "to Java", heard(java).short(), want)
	e := heard(python)
	same(t, "to Python", e.short(), want)
	same(t, "its topic", e.Topic, "")
	time.Sleep(300 * time.Millisecond) // three heart-beats would be due
	publishTo(t, server, 2)
	same(t, "to Java, later", heard(java).short(), want)
	same(t, "to Python, later", heard(python).short(), want)
	frames := 0
	for _, n := range java.do("log").Log {
		switch n.What {
		case "frame":
			if even := frames%2 == 0; even != n.More || even != (n.Size == 0) {
				t.Errorf("frame %d has %d bytes, more: %t", frames, n.Size, n.More)
			}
			frames++
		case "closed":
			t.Errorf("its connection: %+v", n)
		}
	}
	if frames < 4 {
		t.Errorf("%d frames", frames)
	}
	for _, p := range []struct{ program, topic string }{{"odl_zmq.py", ""}, {"inocybe.py", ""}, {"inocybe.py", "changed"}} {
		pub := startODL(t, p.program, "pub")
		hear(t, f, fmt.Sprintf("zmq://127.0.0.1:%d?profile=odl&socket=sub", pub.port), pub, p.topic, want)
		if n := pub.await("subscribe"); n.Topic != "" {
			t.Errorf("we subscribe to %q", n.Topic)
		}
	}
}

// publishTo publishes an event as soon as there are n who want it. Until then they
// hear probes, which heard passes over.
func publishTo(t *testing.T, server *rpc.Server, n int) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		got, err := server.Publish(t.Context(), "probe", nil)
		if err != nil {
			t.Fatalf("Publish = %v", err)
		}
		if got == n {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d subscribers, want %d", got, n)
		}
	}
	if got, err := server.Publish(t.Context(), "changed", []int{1}); err != nil || got != n {
		t.Fatalf("Publish = %v, %v, want %d", got, err, n)
	}
}

// heard is the next that is no probe.
func heard(sub *odl) (e report) {
	sub.t.Helper()
	for {
		if e = sub.do("next"); !strings.Contains(e.Text, `"probe"`) {
			return e
		}
	}
}

// odlOneWrite: many callers of one connection.
func odlOneWrite(t *testing.T, f *odlField) {
	server := startODL(t, "odl_zmq.py", "rep")
	c := f.dial("zmq", server.port)
	const callers, calls = 8, 40
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for i := range calls {
				want := strings.Repeat(strconv.Itoa(caller), 1+i*i*7) // up to 10 KiB
				if got, err := rpc.Call[string](t.Context(), c, "echo", want); err != nil || got != want {
					t.Errorf("caller %d, call %d: %.20q, %v", caller, i, got, err)
				}
			}
		})
	}
	wg.Wait()
	ready := 0
	for _, n := range server.do("log").Log {
		switch n.What {
		case "closed", "closes":
			t.Errorf("a connection: %+v", n)
		case "ready":
			ready++
		}
	}
	if ready != 1 {
		t.Errorf("%d connections", ready)
	}
}

// odlPassword: Basic, in the first request and in all.
func odlPassword(t *testing.T, f *odlField) {
	o := &transport.ListenOptions{Authenticator: transport.Users(map[string]string{"ann": "secret"})}
	o.Profile = transport.OpenDaylight
	port := serve(t, "http://127.0.0.1:0", o, f.mux())
	same(t, "with a password", startODL(t, "odl_http.py", "client", port, "ann", "secret").call("add", 1, 2), "3")
	wrong := startODL(t, "odl_http.py", "client", port, "ann", "no")
	wrong.ask(`{"jsonrpc":"2.0","id":1,"method":"add","params":[1,2]}`)
	if n := wrong.await("response"); n.Status != 401 {
		t.Errorf("with a wrong password: %+v", n)
	}
	server := startODL(t, "odl_http.py", "server", "ann", "secret")
	add(t, f.dialURL(fmt.Sprintf("http://ann:secret@127.0.0.1:%d?profile=odl", server.port)), 2)
	c := f.dialURL(fmt.Sprintf("http://ann:no@127.0.0.1:%d?profile=odl", server.port))
	if err := c.Call(t.Context(), "add", []int{1, 2}, nil); !errors.Is(err, transport.ErrRefused) {
		t.Errorf("with a wrong password: %v", err)
	}
}
