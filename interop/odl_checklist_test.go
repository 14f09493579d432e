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
	odluri "github.com/polyport/polyport/rpc/odl"
	"github.com/polyport/polyport/transport"
)

// TestODLChecklist runs what OpenDaylight's own tests are about, as far as it is
// about the wire.
func TestODLChecklist(t *testing.T) { //nolint:tparallel // rows share what they need, in turn
	t.Parallel()
	testODLRows(t, odlChecklist)
}

var odlChecklist = []odlRow{
	// bus/jsonrpc
	{
		name:      "JsonRpcSerializerTest",
		fact:      "forms of the specification; result and error at once; the version; params of texts and numbers; an empty text",
		here:      "each is a row of the table of batches",
		elsewhere: []string{"interop.TestODLBatch", "rpc.TestBatchTable"},
	},
	{
		name: "JsonRpcErrorObjectTest",
		fact: "errors with code, message and data; some of them",
		here: "all arrive as `*rpc.Error`, data of null as none; ours arrive there",
		run: each(odlSchemes, func(t *testing.T, f *odlField, scheme string) {
			err := f.dial(scheme, f.responder(scheme).port).Call(t.Context(), "fail", "oh", nil)
			if e, ok := errors.AsType[*rpc.Error](err); !ok || e.Code != -32000 || e.Message != "oh" {
				t.Errorf("%v", err)
			}
			same(t, "ours", f.requester(scheme).call("fail", "x"), "[code=-32000] oh")
		}),
		elsewhere: []string{"rpc.TestErrorTravels"},
	},
	{
		name: "CompatibilitySerializationTest",
		fact: "an array of one for an object, an object for a list, a primitive for an object",
		here: "Not here: its conversions guess; params have the form that the handler's type says, but for a scalar, which is an array of it",
	},
	{
		name: "RpcComplicatedParamsTest",
		fact: "params that are one object or several",
		here: "an object is params by name, an array params by position",
		run: each(odlSchemes, func(t *testing.T, f *odlField, scheme string) {
			same(t, "one object", f.requester(scheme).call("add", map[string]int{"a": 1, "b": 2}), "3")
			same(t, "two", f.requester(scheme).call("add", 1, 2), "3")
			c := f.dial(scheme, f.responder(scheme).port)
			got, err := rpc.Call[map[string]any](t.Context(), c, "echo", map[string]any{"b": map[string]int{"c": 2}})
			if err != nil || fmt.Sprint(got) != "map[b:map[c:2]]" {
				t.Errorf("echo = %v, %v", got, err)
			}
		}),
	},
	{
		name:      "RpcMessageMapResultTest",
		fact:      "results that are maps",
		here:      "into any Go type",
		elsewhere: []string{"rpc.TestHandlerResults"},
	},
	// bus/api
	{
		name:      "UriParserTest and UriBuilderTest",
		fact:      "endpoints: scheme, host, port, options",
		here:      "package `rpc/odl` reads them, dials and listens at them, and refuses what its two parsers differ about",
		run:       odlEndpoints,
		elsewhere: []string{"rpc/odl.TestParse", "rpc/odl.TestParseRefuses", "rpc/odl.TestString"},
	},
	// bus/transport-zmq
	{
		name:      "ParseTest",
		fact:      "the bytes of READY and SUBSCRIBE",
		here:      "are the same, but for the eight bytes of the signature that nobody reads",
		run:       odlBytes,
		elsewhere: []string{"transport/zmq.TestODLClientHandshake", "transport/zmq.TestODLServerHandshake"},
	},
	{
		name: "Zmtp20NegotiationTest",
		fact: "ZMTP 2.0 of peers before 2014",
		here: "Not here: no program of OpenDaylight speaks less than 3.0 to a peer that has it; it is refused in the handshake",
	},
	{
		name: "ReqRepTest of ZMQ",
		fact: "short and long frames; a connection that fails",
		here: "200 bytes to 1 MiB, both ways; a connection that cannot be made is an error at once that says so",
		run: func(t *testing.T, f *odlField) {
			c, them := f.dial("zmq", f.responder("zmq").port), f.requester("zmq")
			for _, n := range []int{200, 255, 256, 2048, 70_000, 1 << 20} {
				odlEcho(t, c, them, n)
			}
			odlUnreachable(t, "zmq")
		},
	},
	{
		name:      "PubSubTest of ZMQ",
		fact:      "the default topic, another topic, many subscribers",
		here:      "an event leaves for all that want it; theirs want all, ours choose by the method",
		run:       odlManySubscribers,
		elsewhere: []string{"transport/zmq.TestODLPublications", "transport/zmq.TestODLSubscriber"},
	},
	{
		name:      "manual tests of Java and Python",
		fact:      "REQ/REP and PUB/SUB between the two",
		here:      "each of the two with polyport, in both directions",
		run:       func(t *testing.T, f *odlField) { odlSockets(t, f); odlPythonCalls(t, f) },
		elsewhere: []string{"interop.TestODLSwitches"},
	},
	// bus/transport-http
	{
		name: "ReqRepTest of HTTP",
		fact: "small and big messages; a connection that fails",
		here: "up to 256 KiB, which is all that it takes; more is refused before it is sent",
		run: func(t *testing.T, f *odlField) {
			c, them := f.dial("http", f.responder("http").port), f.requester("http")
			for _, n := range []int{1, 1000, 250 << 10} {
				odlEcho(t, c, them, n)
			}
			odlTooLong(t, c, 256<<10)
			odlUnreachable(t, "http")
		},
	},
	{
		name: "ReqRepTest of WebSocket",
		fact: "small and big messages; a connection that fails",
		here: "up to 64 KiB, which is all that a frame may have; more is refused before it is sent; no message is sent in fragments",
		run: func(t *testing.T, f *odlField) {
			c, them := f.dial("ws", f.responder("ws").port), f.requester("ws")
			for _, n := range []int{1, 125, 126, 1000, 60 << 10} {
				odlEcho(t, c, them, n)
			}
			odlTooLong(t, c, 64<<10)
			odlUnreachable(t, "ws")
		},
	},
	{
		name:      "HTTPS and WSS, a missing certificate",
		fact:      "the same by TLS; a server without a certificate",
		here:      "TLS is below the wires, and the same for all; a listener without a certificate does not start",
		run:       odlNoCertificate,
		elsewhere: []string{"interop.TestCurl", "transport.TestListenTLSCertificateSources"},
	},
	{
		name:      "PubSubTest of WebSocket",
		fact:      "small messages, many subscribers",
		here:      "is the row of the switches",
		elsewhere: []string{"interop.TestODLSwitches"},
	},
	{
		name:      "UtilTest of HTTP",
		fact:      "names of transports, the header of Basic, a missing option",
		here:      "the password passes both ways, a wrong one is 401; an option that another needs is missed with words",
		run:       odlPassword,
		elsewhere: []string{"rpc/odl.TestParseRefuses", "rpc/odl.TestAuth"},
	},
	// bus/messagelib
	{
		name: "ReqRepTest",
		fact: "50 round trips on HTTP, WebSocket and ZMQ, with metadata",
		here: "50 each, both ways, and metadata that comes back is passed over",
		run: each(odlSchemes, func(t *testing.T, f *odlField, scheme string) {
			c, them := f.dial(scheme, f.responder(scheme).port), f.requester(scheme)
			for i := range 50 {
				same(t, "a call", them.call("add", i, i), strconv.Itoa(2*i))
				add(t, c, i)
			}
			for range 5 {
				if got, err := rpc.Detach[string](t.Context(), c, "metadata", nil, nil).Get(t.Context()); err != nil || got != "with metadata" {
					t.Errorf("%q, %v", got, err)
				}
			}
		}),
	},
	{
		name:      "ProxyTest, PubSubTest",
		fact:      "requesters by proxy, publishers, subscribers, an invalid subscriber",
		here:      "what proxies put on the wire is what the programs here do. A text that is no event is counted, and ends nothing",
		run:       odlNoEvent,
		elsewhere: []string{"rpc.TestFeedOddities"},
	},
	{
		name: "MethodMatchingTest",
		fact: "names without regard to case and dashes; overloads are tried in turn; what is thrown is -32000",
		here: "names are exact, and a call executes one method, once. Errors have the code that the handler gave them, or -32000",
		run: func(t *testing.T, f *odlField) {
			has(t, "another case", f.requester("zmq").call("Add", 1, 2), "[code=-32601]")
			has(t, "too few", f.requester("zmq").call("add", 1), "[code=-32602]")
			if ran := f.took(); len(ran) > 0 {
				t.Errorf("executed: %v", ran)
			}
			same(t, "an error", f.requester("zmq").call("fail"), "[code=-32000] oh")
		},
		elsewhere: []string{"rpc.TestHandlerErrors"},
	},
	{
		name: "ObjectParameterTest, ReturnTypeTest",
		fact: "numbers, texts, arrays and objects as arguments and results; the wrong ones",
		here: "arrive as they are",
		run: each(odlSchemes, func(t *testing.T, f *odlField, scheme string) {
			them, c := f.requester(scheme), f.dial(scheme, f.responder(scheme).port)
			for _, v := range []string{`1`, `-0.5`, `"ü€😀"`, `true`, `[1,"x",null]`, `{"a":[{}]}`} {
				same(t, "to us", them.ask(`{"jsonrpc":"2.0","id":1,"method":"echo","params":[`+v+`]}`), `{"jsonrpc":"2.0","id":1,"result":[`+v+`]}`)
				got, err := rpc.Call[raw](t.Context(), c, "echo", []raw{raw(v)})
				if err != nil || string(compactJSON(got)) != v {
					t.Errorf("from us: %s, %v, want %s", got, err, v)
				}
			}
			has(t, "a text for a number", them.call("sum", "x"), "[code=-32602]")
		}),
	},
	{
		name: "RpcMethodAnnotationTest, DefaultMethodProxyTest, PayloadAwareSorterTest",
		fact: "names by annotation, default methods, the order of overloads",
		here: "Not here: they are about Java; nothing of it is on the wire",
	},
	{
		name:      "CachingTest",
		fact:      "sessions that are shared, and counted",
		here:      "one client is for many users; `rpc.Pool` shares connections",
		run:       odlOneWrite,
		elsewhere: []string{"rpc.TestPoolShares", "rpc.TestPoolCloseOne"},
	},
	{
		name:      "TransportFactoryTest",
		fact:      "an unknown scheme, an empty URI, a client that is connected",
		here:      "errors that say what is known",
		run:       odlUnknownSchemes,
		elsewhere: []string{"transport.TestDialURLErrors"},
	},
	{
		name: "JsonRpc30Test",
		fact: "the call after a timeout works (it waits until the late answer has come)",
		here: "it need not wait: a late answer meets no call",
		run:  each(odlSchemes, odlLate),
	},
	{
		name: "UtilTest of messagelib",
		fact: "names in pieces, defaults of options, injection",
		here: "Not here: they are about Java; nothing of it is on the wire",
	},
	// removed with the rewrites
	{
		name:      "ParallelRequesterTest, ZMQSessionParallelTest, LoopTest",
		fact:      "many requesters, and one in many threads",
		here:      "callers take turns, and get their own answers; many clients of theirs are served side by side",
		run:       odlSideBySide,
		elsewhere: []string{"queue.TestLockstepConns"},
	},
	{
		name: "ZMQSessionPubSubTopicTest",
		fact: "topics of the first version, in a frame",
		here: "what Python still sends so is understood",
		run: func(t *testing.T, f *odlField) {
			pub := startODL(t, "inocybe.py", "pub")
			hear(t, f, fmt.Sprintf("zmq://127.0.0.1:%d?profile=odl&socket=sub", pub.port), pub, "some topic", `{"jsonrpc":"2.0","method":"changed","params":[1]}`)
		},
	},
	{
		name: "MessageLibraryNegativeTest",
		fact: "wrong types, methods and params",
		here: "-32601 and -32602, nothing executed",
		run: func(t *testing.T, f *odlField) {
			them := f.requester("zmq")
			has(t, "no such method", them.call("gone", 1), "[code=-32601]")
			has(t, "too many", them.call("add", 1, 2, 3), "[code=-32602]")
			has(t, "wrong names", them.call("add", map[string]int{"a": 1, "c": 2}), "[code=-32602]")
			if ran := f.took(); len(ran) > 0 {
				t.Errorf("executed: %v", ran)
			}
		},
	},
	{
		name: "JsonRPCtoRPCBridgeAsyncTest",
		fact: "factorial over five polls",
		here: "six exchanges, and the result",
		run: func(t *testing.T, f *odlField) {
			e := f.theirs("odl_zmq.py", "req", f.responder("zmq").port).do("invoke", "method", "factorial", "args", []any{map[string]int{"in-number": 8}})
			same(t, "their own", fmt.Sprint(len(e.Answers), " ", string(compactJSON(e.Result))), `6 {"out-number":40320}`)
			got, err := rpc.Detach[struct {
				Out int `json:"out-number"`
			}](t.Context(), f.dial("zmq", f.responder("zmq").port), "factorial", map[string]int{"in-number": 8}, &rpc.DetachOptions{Repeatable: true}).Get(t.Context())
			if err != nil || got.Out != 40320 {
				t.Errorf("ours: %v, %v", got, err)
			}
		},
	},
	// provider
	{
		name: "JsonRPCtoRPCBridgeTest",
		fact: "unknown method, simple, lists, factorial, complex, an error: by YANG models",
		here: "the calls are those of the rows above; models are the application's",
		run: func(t *testing.T, f *odlField) {
			c := f.dial("zmq", f.responder("zmq").port)
			isODLError(t, "unknown", c.Call(t.Context(), "gone", nil, nil), rpc.CodeMethodNotFound)
			isODLError(t, "an error", c.Call(t.Context(), "fail", "x", nil), -32000)
			got, err := rpc.Call[struct {
				Out int `json:"out-number"`
			}](t.Context(), c, "factorial", map[string]int{"in-number": 5})
			if err != nil || got.Out != 120 {
				t.Errorf("factorial = %v, %v", got, err)
			}
		},
	},
	{
		name: "RemoteControlTest, JsonRPCTxTest, TxChainTest",
		fact: "read, put, merge, delete, transactions and changes of the data store",
		here: "Not here: they are services of an application; any of them can be handlers of a server",
	},
	{
		name: "JsonRPCTE2ETest, JsonRPCProviderTest, MountpointTest, RemoteRpcInvokerTest",
		fact: "devices that are mounted, and clusters of controllers",
		here: "Not here: mounting is the controller's; a device that it mounts is a server of the profile",
	},
	{
		name: "notifications and their publishers",
		fact: "YANG notifications, by proxy and by mounted devices",
		here: "on the wire they are publications",
		run:  odlPublications,
	},
	{
		name: "HierarchicalEnumHashMapTest, TestModelServiceTest, CodecTests",
		fact: "paths of the data store, bindings, codecs between YANG and JSON",
		here: "Not here: they are about YANG; nothing of it is on the wire",
	},
	// what they do not test
	{
		name:      "untested: batch replies, silence to notifications",
		fact:      "its batches and notifications are answered by pieces and errors",
		here:      "as the specification says",
		elsewhere: []string{"interop.TestODLBatch", "interop.TestODLFacts"},
	},
	{
		name:      "untested: ids, late answers",
		fact:      "ids are not looked at",
		here:      "an answer meets its call or none",
		run:       each(odlSchemes, odlLate),
		elsewhere: []string{"rpc.TestLateAnswerIsDropped", "rpc.TestLockstepForeignAnswer"},
	},
	{
		name:      "untested: concurrent callers",
		fact:      "two threads of a proxy swap their answers",
		here:      "eight callers get their own",
		run:       odlOneWrite,
		elsewhere: []string{"rpc.TestLockstepStorm"},
	},
	{
		name:      "untested: a full queue, timeouts, shutdown",
		fact:      "a full queue blocks its caller; a timeout is applied twice",
		here:      "a queue that is full is an error or waits within the context, as its policy says",
		elsewhere: []string{"queue.TestReject", "queue.TestBlockEndsWithItsContext", "rpc.TestBusy", "rpc.TestLockstepDeadline", "rpc.TestShutdown"},
	},
	{
		name:      "untested: cancel",
		fact:      "cancels a future, and nothing else",
		here:      "polls end, and a server of ours is told",
		elsewhere: []string{"interop.TestODLAsync", "rpc.TestD7_CancelReachesTheServer", "rpc.TestLockstepServerIsTold"},
	},
	{
		name:      "untested: reconnecting with calls under way",
		fact:      "a call whose connection is lost sits out its 30 s",
		here:      "it ends at once as unknown, and the next goes by another connection",
		run:       odlReconnect,
		elsewhere: []string{"rpc.TestLockstepReconnect", "transport/zmq.TestRedial"},
	},
	{
		name:      "untested: handles twice, and expired",
		fact:      "a handle twice is another call; none expires",
		here:      "the same handle is the same call; it expires, and is remembered",
		run:       each(odlSchemes, odlExtraPoll),
		elsewhere: []string{"rpc.TestAsyncFlow"},
	},
	{
		name:      "untested: frames in pieces",
		fact:      "ends the connection",
		here:      "any pieces will do",
		run:       odlInPieces,
		elsewhere: []string{"transport.TestReaderAnySplit", "transport/zmq.TestSlowFrame", "interop.TestODLPrograms"},
	},
	{
		name:      "untested: too long",
		fact:      "ZMQ has no limit, HTTP 256 KiB, WebSocket 64 KiB",
		here:      "every wire has the limit of its listener; over HTTP it is 413",
		run:       odlOversize,
		elsewhere: []string{"rpc.TestTooLargeRequest", "rpc.TestTooLargeResult"},
	},
}

// raw is a JSON text as it is.
type raw []byte

func (r raw) MarshalJSON() ([]byte, error)     { return r, nil }
func (r *raw) UnmarshalJSON(text []byte) error { *r = append((*r)[:0], text...); return nil }

// odlEcho sends a text of n bytes both ways.
func odlEcho(t *testing.T, c *rpc.Client, them *odl, n int) {
	t.Helper()
	text := strings.Repeat("x", n)
	if got, err := rpc.Call[string](t.Context(), c, "echo", text); err != nil || got != text {
		t.Errorf("from us, %d bytes: %.20q, %v", n, got, err)
	}
	same(t, fmt.Sprintf("to us, %d bytes", n), them.call("echo", text), `["`+text+`"]`)
}

// odlTooLong sends what OpenDaylight would not take.
func odlTooLong(t *testing.T, c *rpc.Client, most int) {
	t.Helper()
	err := c.Call(t.Context(), "echo", strings.Repeat("x", most), nil)
	if !errors.Is(err, transport.ErrTooLarge) || rpc.OutcomeOf(err) != rpc.NotSent {
		t.Errorf("%d bytes: %v", most, err)
	}
	add(t, c, 1) // it is there still
}

// odlEndpoints dials the programs by URIs of OpenDaylight, and listens for them.
func odlEndpoints(t *testing.T, f *odlField) {
	at := func(uri string, args ...any) *odluri.Endpoint {
		e, err := odluri.Parse(fmt.Sprintf(uri, args...))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	for _, scheme := range odlSchemes {
		c, err := at("%s://127.0.0.1:%d?timeout=5000&proxyRetryCount=2", scheme, f.responder(scheme).port).Dial(t.Context(), nil)
		if err != nil {
			t.Errorf("%s: %v", scheme, err)
			continue
		}
		add(t, c, 3)
		_ = c.Close()
	}
	server := startODL(t, "odl_http.py", "server", "ann", "secret")
	c, err := at("http://127.0.0.1:%d?auth&auth-username=ann&auth-password=secret", server.port).Dial(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	add(t, c, 4)
	_ = c.Close()
	free, err := transport.Listen(t.Context(), "zmq://127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	port := portOf(free)
	_ = free.Close()
	l, err := at("zmq://127.0.0.1:%d", port).Listen(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	start(t, rpc.NewServer(f.mux(), nil), l)
	same(t, "a call to it", startODL(t, "odl_zmq.py", "req", port).call("sum", 7), "7")
}

// odlUnreachable dials where nobody is.
func odlUnreachable(t *testing.T, scheme string) {
	t.Helper()
	l, err := transport.Listen(t.Context(), "zmq://127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	port := portOf(l)
	_ = l.Close()
	begun := time.Now()
	c, err := rpc.Dial(t.Context(), fmt.Sprintf("%s://127.0.0.1:%d?profile=odl", scheme, port), nil)
	if err == nil {
		err = c.Call(t.Context(), "add", []int{1, 2}, nil)
		_ = c.Close()
	}
	if err == nil || time.Since(begun) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(begun))
	}
}

// odlBytes compares our handshake with that of the programs, byte for byte.
func odlBytes(t *testing.T, f *odlField) {
	for _, c := range []struct {
		url  string
		want string
	}{
		{"zmq://%s?profile=odl", zmqReady + "\x03REQ"},
		{"zmq://%s?profile=odl&socket=sub", zmqReady + "\x03SUB" + "\x00\x01\x01"},
	} {
		server := newRawZMQ(t, strings.Contains(c.url, "sub"))
		client, err := rpc.Dial(t.Context(), fmt.Sprintf(c.url, server.addr()), nil)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(c.url, "sub") {
			s, err := client.Subscribe(t.Context(), "changed.*", nil)
			if err != nil {
				t.Error(err)
			}
			t.Cleanup(func() { _ = s.Close() })
		}
		same(t, "our handshake", fmt.Sprintf("%q", server.read(t, len(ourGreeting)+len(c.want))), fmt.Sprintf("%q", ourGreeting+c.want))
		_ = client.Close()
	}
}

// odlManySubscribers: three SUBs of OpenDaylight, and three of ours.
func odlManySubscribers(t *testing.T, f *odlField) {
	const text = `{"jsonrpc":"2.0","method":"changed","params":[1]}`
	o := &transport.ListenOptions{}
	o.Profile = transport.OpenDaylight
	l, err := transport.Listen(t.Context(), "zmq://127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	server := rpc.NewServer(f.mux(), nil)
	start(t, server, l)
	var subs []*odl
	for range 3 {
		subs = append(subs, startODL(t, "odl_zmq.py", "sub", portOf(l)))
	}
	publishTo(t, server, 3)
	for _, s := range subs {
		same(t, "to one of many", heard(s).short(), text)
	}
	pub := startODL(t, "odl_zmq.py", "pub")
	var wg sync.WaitGroup
	for filter, want := range map[string]string{"changed": "changed", "#": "changed", "other": "other"} {
		c := f.dialURL(fmt.Sprintf("zmq://127.0.0.1:%d?profile=odl&socket=sub", pub.port))
		s, err := c.Subscribe(t.Context(), filter, nil)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer s.Close()
			for e, err := range s.Events() {
				if err != nil || e.Topic != want {
					t.Errorf("%s hears %q, %v", filter, e.Topic, err)
				}
				return
			}
		})
	}
	pub.do("subscribers", "n", 3)
	pub.do("publish", "text", text)
	pub.do("publish", "text", strings.Replace(text, "changed", "other", 1))
	wg.Wait()
}

// odlPythonCalls: Python's client at our server, our client at Python's.
func odlPythonCalls(t *testing.T, f *odlField) {
	e := f.theirs("inocybe.py", "req", f.ours("zmq", transport.OpenDaylight)).do("call", "method", "add", "params", []int{1, 2})
	same(t, "Python's client", string(e.Result), "3")
	add(t, f.dial("zmq", f.theirs("inocybe.py", "rep").port), 4)
}

// odlNoCertificate: a listener by TLS needs one.
func odlNoCertificate(t *testing.T, _ *odlField) {
	for _, scheme := range []string{"https", "zmqs"} {
		l, err := transport.Listen(t.Context(), scheme+"://127.0.0.1:0?profile=odl", nil)
		if err == nil {
			_ = l.Close()
			t.Errorf("%s listens without a certificate", scheme)
			continue
		}
		has(t, "why", err.Error(), "certificate")
	}
}

// odlNoEvent: what is no event ends nothing.
func odlNoEvent(t *testing.T, f *odlField) {
	pub := startODL(t, "odl_zmq.py", "pub")
	c := f.dialURL(fmt.Sprintf("zmq://127.0.0.1:%d?profile=odl&socket=sub", pub.port))
	s, err := c.Subscribe(t.Context(), "#", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	pub.do("subscribers", "n", 1)
	for _, text := range []string{`{"jsonrpc":"2.0","id":1,"result":1}`, `no JSON`, `[]`, `{"jsonrpc":"2.0","method":"changed","params":[1]}`} {
		pub.do("publish", "text", text)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	for e, err := range s.Events() {
		if err != nil || e.Topic != "changed" {
			t.Errorf("%q, %v", e.Topic, err)
		}
		return
	}
	t.Error("no event came")
}

// odlUnknownSchemes: what cannot be dialed.
func odlUnknownSchemes(t *testing.T, _ *odlField) {
	for _, url := range []string{"", "gopher://127.0.0.1?profile=odl", "tcp://127.0.0.1:1?profile=odl", "zmq://127.0.0.1:1?profile=other"} {
		if c, err := rpc.Dial(t.Context(), url, nil); err == nil {
			_ = c.Close()
			t.Errorf("%q is dialed", url)
		}
	}
}

// odlSideBySide: a client of theirs waits for a long call, others do not.
func odlSideBySide(t *testing.T, f *odlField) {
	port := f.ours("zmq", transport.OpenDaylight)
	slow := startODL(t, "odl_zmq.py", "req", port)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { same(t, "the slow one", slow.call("slow", 1000), `"slept 1000"`) })
	for f.took()["slow"] == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	begun := time.Now()
	for i := range 10 {
		same(t, "the others", f.requester("zmq").call("add", i, i), strconv.Itoa(2*i))
	}
	if took := time.Since(begun); took > 950*time.Millisecond {
		t.Errorf("they took %v", took)
	}
}

// odlReconnect: their server drops our connection.
func odlReconnect(t *testing.T, f *odlField) {
	server := startODL(t, "odl_zmq.py", "rep")
	c := f.dial("zmq", server.port)
	add(t, c, 1)
	failed := make(chan error, 1)
	go func() { failed <- c.Call(t.Context(), "sleep", 5000, nil) }()
	for len(server.do("executed").Executed) < 2 {
		time.Sleep(5 * time.Millisecond)
	}
	server.do("drop")
	select {
	case err := <-failed:
		if rpc.OutcomeOf(err) != rpc.Unknown {
			t.Errorf("the call under way: %v", err)
		}
	case <-time.After(3 * time.Second):
		t.Error("the call under way sits out its time")
	}
	add(t, c, 2)
}

// odlInPieces: our server takes a byte at a time.
func odlInPieces(t *testing.T, f *odlField) {
	nc := dialRaw(t, f.ours("zmq", transport.OpenDaylight))
	for _, b := range []byte(zmqGreeting + zmqReady + "\x03REQ" + zmqAdd) {
		if _, err := nc.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Microsecond)
	}
	want := ourGreeting + zmqReady + "\x03REP" + zmqThree
	got, err := readUntil(nc, len(want))
	if err != nil || string(got) != want {
		t.Errorf("%v: %q, want %q", err, got, want)
	}
}

// odlOversize: what is longer than our limit.
func odlOversize(t *testing.T, f *odlField) {
	o := &transport.ListenOptions{}
	o.Profile = transport.OpenDaylight
	o.Limits.Message = 1000
	text := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"echo","params":%q}`, strings.Repeat("x", 1000))
	zmq := startODL(t, "odl_zmq.py", "req", serve(t, "zmq://127.0.0.1:0", o, f.mux()))
	same(t, "over ZMQ", zmq.ask(text), "closed")
	http := startODL(t, "odl_http.py", "client", serve(t, "http://127.0.0.1:0", o, f.mux()))
	http.ask(text)
	if n := http.await("response"); n.Status != 413 {
		t.Errorf("over HTTP: %+v", n)
	}
}
