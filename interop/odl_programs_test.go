package interop_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// notExpected is what the bus answers to what is no request.
func notExpected(what string) string {
	return `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Unexpected message type : ` + what + `","data":null}}`
}

// TestODLPrograms holds the programs of testdata/odl to what they are to be like,
// among themselves: the other tests can be no better than they are.
func TestODLPrograms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ program, server, client string }{
		{"odl_zmq.py", "rep", "req"},
		{"odl_http.py", "server", "client"},
		{"odl_ws.py", "rep", "req"},
	} {
		t.Run(c.program, func(t *testing.T) {
			t.Parallel()
			server := startODL(t, c.program, c.server)
			testResponder(t, server, startODL(t, c.program, c.client, server.port))
		})
	}
	t.Run("zmq handshake", func(t *testing.T) {
		t.Parallel()
		testFragileZMQ(t, startODL(t, "odl_zmq.py", "rep").port)
	})
	t.Run("http bytes", func(t *testing.T) {
		t.Parallel()
		testHTTPBytes(t)
	})
	t.Run("ws frames", func(t *testing.T) {
		t.Parallel()
		testSocketFrames(t)
	})
	t.Run("zmq publications", func(t *testing.T) {
		t.Parallel()
		testProgramsPublish(t, "odl_zmq.py", "inocybe.py")
	})
	t.Run("ws publications", func(t *testing.T) {
		t.Parallel()
		testProgramsPublish(t, "odl_ws.py")
	})
	t.Run("inocybe.py", func(t *testing.T) {
		t.Parallel()
		testInocybe(t)
	})
}

// testResponder is how the bus answers, over each of its transports.
func testResponder(t *testing.T, server, client *odl) {
	for _, c := range []struct{ in, want string }{
		{`{"jsonrpc":"2.0","id":1,"method":"add","params":[1,2]}`, `{"jsonrpc":"2.0","id":1,"result":3}`},
		{`{"jsonrpc":2.0,"id":null,"method":"echo","params":"x"}`, `{"jsonrpc":"2.0","id":null,"result":"x"}`},
		{`{"jsonrpc":"2","id":{"a":1},"method":"echo","params":{"b":2}}`, `{"jsonrpc":"2.0","id":{"a":1},"result":{"b":2}}`},
		{`{"jsonrpc":"1.0","id":1,"method":"add","params":[1,2]}`, notExpected("PARSE_ERROR")},
		{`{"jsonrpc":"2.0","method":"add","params":[1,2]}`, notExpected("NOTIFICATION")},
		{`{"jsonrpc":"2.0","id":1,"result":5}`, notExpected("REPLY")},
		{`{"jsonrpc":"2.0","id":1,"metadata":{}}`, notExpected("PARSE_ERROR")}, // no reply at all
		{`{`, notExpected("PARSE_ERROR")},
		{`{"jsonrpc":"2.0","id":1,"method":"gone"}`, `{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"No such method : gone","data":null}}`},
		{`{"jsonrpc":"2.0","id":1,"method":"ADD","params":{"a":1,"b":2}}`, `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"No such method with 1 parameters : ADD","data":null}}`},
		{`{"jsonrpc":"2.0","id":1,"method":"fail","params":"oh"}`, `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"oh","data":null}}`},
		{`{"jsonrpc":"2.0","id":1,"method":"nothing"}`, `{"jsonrpc":"2.0","id":1,"result":null}`},
		{`{"jsonrpc":"2.0","id":1,"method":"silent"}`, `{"jsonrpc":"2.0","id":1,"result":{}}`},
		{`{"jsonrpc":"2.0","id":1,"method":"metadata","metadata":{"a":1}}`, `{"jsonrpc":"2.0","id":1,"result":"with metadata","metadata":{"a":1}}`},
	} {
		same(t, c.in, client.ask(c.in), c.want)
	}
	// A batch is answered by pieces, and as far as there are requests.
	const batch = `[{"jsonrpc":"2.0","id":1,"method":"add","params":[1,2]},{"jsonrpc":"2.0","id":2,"method":"add","params":[3,4]},{"jsonrpc":"2.0","method":"add"},{"jsonrpc":"2.0","id":3,"method":"nothing"}]`
	same(t, "a batch", client.ask(batch), `{"jsonrpc":"2.0","id":1,"result":3}`)
	same(t, "its second answer", client.do("more").short(), `{"jsonrpc":"2.0","id":2,"result":7}`)
	same(t, "its third", client.do("more").short(), notExpected("NOTIFICATION"))
	same(t, "its fourth", client.do("more").short(), "nothing")
	same(t, "an empty batch", client.do("raw", "text", "[]", "timeout", 0.1).short(), "nothing")

	// Its own client: ids from 1, a bare argument, and the next answer is its own.
	same(t, "one argument", client.call("echo", "x"), `"x"`)
	same(t, "two arguments", client.call("add", 1, 2), `3`)
	same(t, "an error", client.call("fail", "oh"), `[code=-32000] oh`)
	sent := server.texts()
	same(t, "what it sent", strings.Join(sent[len(sent)-3:], "\n"), `{"jsonrpc":"2.0","id":1,"method":"echo","params":"x"}
{"jsonrpc":"2.0","id":2,"method":"add","params":[1,2]}
{"jsonrpc":"2.0","id":3,"method":"fail","params":"oh"}`)
	has(t, "a call in vain", client.do("call", "method", "sleep", "args", []int{400}, "timeout", 0.05).Exception, "TimeoutError")
	same(t, "the next call gets its answer", client.call("add", 1, 2), `"slept 400"`)
	same(t, "and so on", client.do("more").short(), `{"jsonrpc":"2.0","id":5,"result":3}`)

	// The asynchronous extension, as its test had it.
	e := client.do("invoke", "method", "factorial", "args", []any{map[string]int{"in-number": 8}})
	same(t, "five acknowledgements and a result", fmt.Sprintf("%d, %s", len(e.Answers)-1, compactJSON(e.Result)), `5, {"out-number":40320}`)
	same(t, "an acknowledgement", e.Answers[0], `{"jsonrpc":"2.0","id":6,"result":null,"metadata":{"async":"`+e.Handle+`"}}`)
	same(t, "a poll", fmt.Sprint(e.Sent.([]any)[1]), `{"jsonrpc":"2.0","id":7,"method":"factorial","metadata":{"async":"`+e.Handle+`"}}`)

	same(t, "what is no object", client.do("raw", "text", "[1]").short(), "closed")
}

const (
	zmqMechanism = "\x7f\x03\x00NULL" + zeros16 + zeros16 + zeros16
	zmqGreeting  = "\xff\x00\x00\x00\x00\x00\x00\x00\x01" + zmqMechanism // of OpenDaylight
	ourGreeting  = "\xff\x00\x00\x00\x00\x00\x00\x00\x00" + zmqMechanism // whose padding is another
	zmqReady     = "\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00"
	zmqAdd       = "\x01\x00\x00\x36" + `{"jsonrpc":"2.0","id":1,"method":"add","params":[1,2]}`
	zmqThree     = "\x01\x00\x00\x23" + `{"jsonrpc":"2.0","id":1,"result":3}`
	zeros16      = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
)

// testFragileZMQ sends bytes to a REP of the bus: pieces by a write each.
func testFragileZMQ(t *testing.T, port int) {
	const greeting, req, answer = zmqGreeting, zmqReady + "\x03REQ", zmqThree
	for _, c := range []struct {
		name   string
		pieces []string
		want   string // after the handshake; nothing means that it closes
	}{
		{"all at once", []string{greeting, req, zmqAdd}, answer},
		{"without the empty frame", []string{greeting, req, zmqAdd[2:]}, answer},
		{"the greeting in pieces that it takes", []string{greeting[:10], greeting[10:11], greeting[11:12], greeting[12:], req, zmqAdd}, answer},
		{"a body in pieces", []string{greeting, req, zmqAdd[:20], zmqAdd[20:]}, answer},
		{"between the frames", []string{greeting, req, zmqAdd[:2], zmqAdd[2:]}, answer},
		{"the signature in pieces", []string{greeting[:5], greeting[5:], req, zmqAdd}, ""},
		{"the rest of the greeting in pieces", []string{greeting[:40], greeting[40:], req, zmqAdd}, ""},
		{"the header of a frame in pieces", []string{greeting, req, zmqAdd[:1], zmqAdd[1:]}, ""},
		{"a PING", []string{greeting, req, "\x04\x07\x04PING\x00\x01", zmqAdd}, ""},
		{"a DEALER", []string{greeting, zmqReady + "\x06DEALER", zmqAdd}, ""},
		{"a SUB", []string{greeting, zmqReady + "\x03SUB", zmqAdd}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var err error
			for _, pause := range []time.Duration{20 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond} { // each piece is to be read by itself
				if err = talkZMQ(dialRaw(t, port), c.pieces, pause, c.want); err == nil {
					return
				}
			}
			t.Error(err)
		})
	}
}

// talkZMQ sends pieces, and expects a REP's handshake and an answer, or if that is ""
// that the connection ends without.
func talkZMQ(nc net.Conn, pieces []string, pause time.Duration, answer string) error {
	const first = 11 // bytes leave without being asked
	got, err := readUntil(nc, first)
	if err != nil {
		return err
	}
	for _, p := range pieces {
		_, _ = io.WriteString(nc, p)
		time.Sleep(pause)
	}
	want := zmqGreeting + zmqReady + "\x03REP" + answer
	more, err := readUntil(nc, len(want)-first)
	got = append(got, more...)
	if answer == "" && err == nil {
		_, err = nc.Read(make([]byte, 1))
	}
	switch {
	case answer != "" && (err != nil || string(got) != want):
		return fmt.Errorf("%w: %q, want %q", err, got, want)
	case answer == "" && (err == nil || errors.Is(err, os.ErrDeadlineExceeded) || bytes.Contains(got, []byte("jsonrpc"))):
		return fmt.Errorf("%q, %w, want it to close", got, err)
	}
	return nil
}

// testHTTPBytes is what the programs of HTTP say and take.
func testHTTPBytes(t *testing.T) {
	server := startODL(t, "odl_http.py", "server", "ann", "secret")
	const body, login = `{"jsonrpc":"2.0","id":1,"method":"add","params":[1,2]}`, "authorization: Basic YW5uOnNlY3JldA==\r\n"
	response := func(body string) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nserver: JSON-RPC 2.0 server\r\ncontent-length: %d\r\n\r\n%s", len(body), body)
	}
	post := func(head, body string) string {
		return fmt.Sprintf("%scontent-length: %d\r\n\r\n%s", head, len(body), body)
	}
	const three = `{"jsonrpc":"2.0","id":1,"result":3}`
	for _, c := range []struct{ name, in, want string }{
		{
			"any method, path and type, and a connection that is to be closed and is not",
			post("PUT /x HTTP/1.1\r\ncontent-type: text/plain\r\nConnection: close\r\n"+login, body) + post("POST / HTTP/1.1\r\n", body), response(three) + response(three),
		},
		{"two responses to a batch", post("POST / HTTP/1.1\r\n"+login, "["+body+","+body+"]"), response(three) + response(three)},
		{"a GET", "GET / HTTP/1.1\r\n" + login + "\r\n", response(notExpected("PARSE_ERROR"))},
		{"a wrong password", post("POST / HTTP/1.1\r\n", body), "HTTP/1.1 401 Unauthorized\r\ncontent-type: text/plain\r\nserver: JSON-RPC 2.0 server\r\ncontent-length: 12\r\n\r\nUnauthorized"},
		{"too long", "POST / HTTP/1.1\r\n" + login + "content-length: 262145\r\n\r\n", "HTTP/1.1 413 Request Entity Too Large\r\ncontent-length: 0\r\n\r\n"},
	} {
		nc := dialRaw(t, server.port)
		if _, err := io.WriteString(nc, c.in); err != nil {
			t.Fatal(err)
		}
		got, err := readUntil(nc, len(c.want))
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %v: %q, want %q", c.name, err, got, c.want)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client := startODL(t, "odl_http.py", "client", l.Addr().(*net.TCPAddr).Port, "ann", "secret")
	go func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		want := post("POST / HTTP/1.1\r\ncontent-type: application/json\r\naccept: application/json\r\nuser-agent: JSON-RPC 2.0 client\r\nconnection: keep-alive\r\n"+login, body)
		answer := `"as expected"`
		if got, err := readUntil(nc, len(want)); err != nil || string(got) != want {
			answer = fmt.Sprintf("%v: %q", err, got)
		}
		_, _ = io.WriteString(nc, response(answer))
	}()
	same(t, "its request", client.ask(body), `"as expected"`)
}

// testSocketFrames is what the program of WebSocket takes.
func testSocketFrames(t *testing.T) {
	server := startODL(t, "odl_ws.py", "rep")
	nc := dialRaw(t, server.port)
	_, err := io.WriteString(nc, "GET /any HTTP/1.1\r\nupgrade: websocket\r\nconnection: upgrade\r\nhost: x\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	const text, zero = `{"jsonrpc":"2.0","id":1,"method":"add","params":[1,2]}`, "\x00\x00\x00\x00" // no mask
	for _, frame := range []string{
		"\x82" + "\xb6" + zero + text, // bytes
		"\x80" + "\xb6" + zero + text, // what continues another
		"\x81" + "\xb6" + zero + text,
	} {
		if _, err := io.WriteString(nc, frame); err != nil {
			t.Fatal(err)
		}
	}
	const want = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n" +
		"\x81\x23" + `{"jsonrpc":"2.0","id":1,"result":3}`
	got, err := readUntil(nc, len(want))
	if err != nil || string(got) != want {
		t.Errorf("%v: %q, want %q", err, got, want)
	}
	_, _ = io.WriteString(nc, "\x81\xff\x00\x00\x00\x00\x00\x01\x00\x01"+zero) // 64 KiB and one
	if more, err := io.ReadAll(nc); len(more) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%q, %v, want it to close", more, err)
	}
}

// testProgramsPublish has a publisher of each program send to a subscriber of each.
func testProgramsPublish(t *testing.T, programs ...string) {
	const text = `{"jsonrpc":"2.0","method":"changed","params":[1],"metadata":{"a":1}}`
	for _, from := range programs {
		for _, to := range programs {
			t.Run(from+" to "+to, func(t *testing.T) {
				pub := startODL(t, from, "pub")
				sub := startODL(t, to, "sub", pub.port)
				pub.do("subscribers", "n", 1)
				pub.do("publish", "text", text)
				same(t, "a publication", sub.do("next").short(), text)
				if from == "inocybe.py" && to == "odl_zmq.py" { // a topic is taken for JSON
					pub.do("publish", "text", text, "topic", "changed")
					same(t, "one with a topic", sub.do("next").short(), "closed")
				}
			})
		}
	}
}

// testInocybe is the flow of the Python server with its client.
func testInocybe(t *testing.T) {
	server := startODL(t, "inocybe.py", "rep")
	client := startODL(t, "inocybe.py", "req", server.port)
	for _, c := range []struct{ in, want string }{
		{`{"jsonrpc":"2.0","id":1,"method":"add","params":[1,2]}`, `{"jsonrpc":"2.0","id":1,"result":3}`},
		{`{"jsonrpc":"2.0","method":"add","params":{"a":1,"b":2}}`, `{"jsonrpc":"2.0","id":null,"result":3}`},
		{`{"jsonrpc":"2.0","id":1,"method":"add","params":[1,2],"metadata":{"async":"h"}}`, `{"jsonrpc":"2.0","id":1,"result":3}`},
		{`{"jsonrpc":"2.0","id":1,"method":"add","params":[1,2],"more":1}`, `{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Invalid request: unknown members","data":["more"]}}`},
		{`{"jsonrpc":"2.0","id":1,"method":"rpc.x"}`, `{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Invalid request","data":null}}`},
		{`[]`, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid request: no object","data":null}}`},
		{`{"jsonrpc":"2.0","id":1,"method":"add","params":3}`, `{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Invalid request: params","data":null}}`},
		{`{"jsonrpc":"2.0","id":1,"method":"slow","params":[50],"metadata":{"async":"h"}}`, `{"jsonrpc":"2.0","id":1,"metadata":{"async":"h"}}`},
		{`{"jsonrpc":"2.0","id":2,"method":"no matter","metadata":{"async":"h"}}`, `{"jsonrpc":"2.0","id":2,"metadata":{"async":"h"}}`},
	} {
		same(t, c.in, client.ask(c.in), c.want)
	}
	e := client.do("invoke", "method", "slow", "params", []int{80})
	same(t, "a handle of the server's", string(e.Result), `"slept 80"`)
	if len(e.Answers) < 2 || strings.Contains(e.Answers[0], "result") || strings.Contains(e.Answers[len(e.Answers)-1], "metadata") {
		t.Errorf("its answers: %q", e.Answers)
	}
	strict := startODL(t, "inocybe.py", "rep", "strict")
	has(t, "metadata to a strict server", startODL(t, "inocybe.py", "req", strict.port).ask(`{"jsonrpc":"2.0","id":1,"method":"add","params":[1,2],"metadata":{}}`), `"data":["metadata"]`)
}
