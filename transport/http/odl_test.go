package http_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	stdhttp "net/http"
	"strings"
	"testing"

	"github.com/polyport/polyport/transport"
)

// odlRequest is what OpenDaylight's client sends (Netty's names are lower case).
func odlRequest(body string, fields ...string) string {
	return "POST / HTTP/1.1\r\ncontent-type: application/json\r\naccept: application/json\r\nuser-agent: JSON-RPC 2.0 client\r\n" +
		"connection: keep-alive\r\n" + strings.Join(fields, "") + fmt.Sprintf("content-length: %d\r\n\r\n", len(body)) + body
}

// odlOptions are those of a listener in the profile.
func odlOptions() *transport.ListenOptions {
	return &transport.ListenOptions{Options: transport.Options{Profile: transport.OpenDaylight}}
}

// TestODLRequests: what OpenDaylight's client sends is answered on one connection,
// errors with 200 as well, and without what it could not read.
func TestODLRequests(t *testing.T) {
	s := newSite(t, nil, odlOptions())
	nc, in := s.raw(t)
	for _, c := range []struct{ body, want string }{
		{`{"jsonrpc":"2.0","id":1,"method":"Echo","params":["x"]}`, `{"jsonrpc":"2.0","id":1,"result":["x"]}`},
		{`{"jsonrpc":"2.0","id":2,"method":"nope","params":[]}`, `"code":-32601`},
		{`{`, `"code":-32700`},
		{`[]`, `"code":-32600`},
	} {
		if _, err := io.WriteString(nc, odlRequest(c.body)); err != nil {
			t.Fatal(err)
		}
		if got := next(t, in); got.status != 200 || !strings.Contains(got.body, c.want) ||
			got.header.Get("Content-Type") != "application/json" || got.header.Get("Content-Length") == "" {
			t.Errorf("%s: %d %v %s, want 200 as application/json with a length and %s", c.body, got.status, got.header, got.body, c.want)
		}
	}
	if _, err := io.WriteString(nc, odlRequest(`{"jsonrpc":"2.0","method":"Echo"}`)); err != nil {
		t.Fatal(err)
	}
	if got := next(t, in); got.status != 204 || got.body != "" {
		t.Errorf("a notification: %d %q, want 204", got.status, got.body)
	}
}

// TestODLLargeAnswer: an answer that its client would not take is an error in its
// place.
func TestODLLargeAnswer(t *testing.T) {
	s := newSite(t, nil, odlOptions())
	nc, in := s.raw(t)
	const head, tail = `{"jsonrpc":"2.0","id":1,"method":"Echo","params":["`, `"]}`
	for _, c := range []struct {
		size int
		want string
	}{
		{256<<10 - len(`{"jsonrpc":"2.0","id":1,"result":[""]}`), `"result"`},
		{256<<10 - len(`{"jsonrpc":"2.0","id":1,"result":[""]}`) + 1, "the limit of OpenDaylight is 262144"},
	} {
		_, err := io.WriteString(nc, odlRequest(head+strings.Repeat("x", c.size)+tail))
		if err != nil {
			t.Fatal(err)
		}
		if got := next(t, in); got.status != 200 || !strings.Contains(got.body, c.want) {
			t.Errorf("%d: %d %.200s, want %s", c.size, got.status, got.body, c.want)
		}
	}
}

// TestODLAuth: who shows a password with the first request is let in for all of
// them, and who shows none gets 401 with words.
func TestODLAuth(t *testing.T) {
	o := odlOptions()
	o.Authenticator = transport.Users(map[string]string{"admin": "secret"})
	s := newSite(t, nil, o)
	nc, in := s.raw(t)
	basic := "authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("admin:secret")) + "\r\n"
	for range 2 {
		if _, err := io.WriteString(nc, odlRequest(`{"jsonrpc":"2.0","id":1,"method":"Who"}`, basic)); err != nil {
			t.Fatal(err)
		}
		if got := next(t, in); got.status != 200 || !strings.Contains(got.body, `"admin"`) {
			t.Errorf("%d %s, want admin", got.status, got.body)
		}
	}
	nc, in = s.raw(t)
	_, _ = io.WriteString(nc, odlRequest(`{"jsonrpc":"2.0","id":1,"method":"Who"}`))
	if got := next(t, in); got.status != 401 || !strings.Contains(got.body, "password") {
		t.Errorf("without: %d %s, want 401 with words", got.status, got.body)
	}
}

// A bus is a server that answers byte for byte.
type bus struct {
	addr  string
	heard chan string
}

// newBus accepts one connection, reads a request for each answer and writes that.
func newBus(t *testing.T, answers ...string) *bus {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &bus{addr: ln.Addr().String(), heard: make(chan string, len(answers))}
	done := make(chan struct{})
	go func() {
		defer close(done)
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		defer func() { _ = nc.Close() }()
		in := bufio.NewReader(nc)
		for _, answer := range answers {
			text, err := readRequest(in)
			if err != nil {
				return
			}
			b.heard <- text
			if _, err := io.WriteString(nc, answer); err != nil {
				return
			}
		}
		_, _ = io.Copy(io.Discard, in)
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
	return b
}

// readRequest reads one as it came.
func readRequest(in *bufio.Reader) (string, error) {
	var all strings.Builder
	r, err := stdhttp.ReadRequest(bufio.NewReader(io.TeeReader(byteWise{in}, &all)))
	if err != nil {
		return "", err
	}
	_, err = io.Copy(io.Discard, r.Body)
	return all.String(), err
}

// byteWise hands out a byte at a time, so that nobody reads ahead.
type byteWise struct{ *bufio.Reader }

func (b byteWise) Read(p []byte) (int, error) { return b.Reader.Read(p[:min(len(p), 1)]) }

// odlResponse is how OpenDaylight's server answers.
func odlResponse(status, kind, body string) string {
	return "HTTP/1.1 " + status + "\r\nserver: JSON-RPC 2.0 server\r\ncontent-type: " + kind +
		fmt.Sprintf("\r\ncontent-length: %d\r\n\r\n", len(body)) + body
}

// exchange sends one message and returns what came of it.
func exchange(t *testing.T, c transport.Conn, body string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.Send(ctx, &transport.Message{Body: []byte(body)}); err != nil {
		return "", err
	}
	m, err := c.Recv(ctx)
	if err != nil {
		return "", err
	}
	return string(m.Body), nil
}

// dialODL dials in the profile.
func dialODL(t *testing.T, url string) transport.Conn {
	t.Helper()
	c, err := transport.Dial(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if got := c.Info().Profile; got != transport.OpenDaylight {
		t.Errorf("Profile = %q", got)
	}
	return c
}

// TestODLClientRequest: the bytes of a request, without what is meant for us.
func TestODLClientRequest(t *testing.T) {
	for query, want := range map[string]string{
		"?profile=odl": "/", "/?profile=odl&format=json": "/", "/a/b?profile=odl&socket=req&x=1": "/a/b?x=1",
	} {
		b := newBus(t, odlResponse("200 OK", "application/json", `{"jsonrpc":"2.0","id":1,"result":1}`))
		c := dialODL(t, "http://u:p@"+b.addr+query)
		got, err := exchange(t, c, "{}")
		if err != nil || got != `{"jsonrpc":"2.0","id":1,"result":1}` {
			t.Errorf("the answer is %s, %v", got, err)
		}
		wantText := "POST " + want + " HTTP/1.1\r\nHost: " + b.addr + "\r\nAccept: application/json\r\nUser-Agent: polyport\r\n" +
			"Authorization: Basic dTpw\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
		if text := within(t, b.heard, "the request"); text != wantText {
			t.Errorf("%s: the request is\n%q, want\n%q", query, text, wantText)
		}
	}
}

// TestODLClientAnswers: what OpenDaylight's server answers besides results.
func TestODLClientAnswers(t *testing.T) {
	const failed = `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Unexpected message type : PARSE_ERROR","data":null}}`
	const one = `{"jsonrpc":"2.0","id":1,"result":1}`
	for name, c := range map[string]struct {
		answer, want string
		err          error
		words        string
	}{
		"an error":            {odlResponse("200 OK", "application/json", failed), failed, nil, ""},
		"nothing":             {odlResponse("200 OK", "application/json", ""), "", nil, ""},
		"it says close":       {"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 35\r\n\r\n" + one, one, nil, ""},
		"401 with a text":     {odlResponse("401 Unauthorized", "text/plain", "Unauthorized: admin"), "", transport.ErrRefused, "Unauthorized: admin"},
		"413 without a body":  {"HTTP/1.1 413 Request Entity Too Large\r\ncontent-length: 0\r\n\r\n", "", transport.ErrTooLarge, "413"},
		"two responses to it": {strings.Repeat(odlResponse("200 OK", "application/json", one), 2), one, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBus(t, c.answer)
			conn := dialODL(t, "http://"+b.addr+"?profile=odl")
			got, err := exchange(t, conn, "{}")
			if got != c.want || !errors.Is(err, c.err) || err != nil && !strings.Contains(err.Error(), c.words) {
				t.Errorf("the answer is %s, %v, want %s, %v", got, err, c.want, c.err)
			}
			if name != "two responses to it" {
				return
			}
			if _, err := conn.Recv(t.Context()); !errors.Is(err, transport.ErrProtocol) {
				t.Errorf("the second response ends with %v, want ErrProtocol", err)
			}
		})
	}
}

// TestODLClientLimits: what the other end would not take is not sent.
func TestODLClientLimits(t *testing.T) {
	b := newBus(t)
	conn := dialODL(t, "http://"+b.addr+"?profile=odl")
	err := conn.Send(t.Context(), &transport.Message{Body: make([]byte, 256<<10+1)})
	if !errors.Is(err, transport.ErrTooLarge) || !transport.NotSent(err) || !strings.Contains(err.Error(), "OpenDaylight is 262144") {
		t.Errorf("Send = %v, want ErrTooLarge with its limit", err)
	}
}

// upgradeODL asks for a WebSocket as OpenDaylight's client does, and returns the
// head of the answer.
func upgradeODL(t *testing.T, s *site) (net.Conn, *bufio.Reader, reply) {
	t.Helper()
	nc, in := s.raw(t)
	_, err := io.WriteString(nc, "GET / HTTP/1.1\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"+
		"host: "+s.addr+"\r\norigin: http://"+s.addr+"\r\nsec-websocket-version: 13\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	resp, err := stdhttp.ReadResponse(in, nil) //nolint:bodyclose // what follows the head is the WebSocket
	if err != nil {
		t.Fatal(err)
	}
	return nc, in, reply{status: resp.StatusCode, header: resp.Header}
}

// masked is a text frame of a client, with a key of zeros.
func masked(body string) string {
	return clientFrame(0x81, body)
}

// clientFrame is a frame of a client.
func clientFrame(first byte, body string) string {
	switch n := len(body); {
	case n > 125:
		return string([]byte{first, 0x80 | 126, byte(n >> 8), byte(n), 0, 0, 0, 0}) + body
	default:
		return string([]byte{first, 0x80 | byte(n), 0, 0, 0, 0}) + body
	}
}

// unmasked is a text frame of a server.
func unmasked(body string) string {
	if n := len(body); n > 125 {
		return string([]byte{0x81, 126, byte(n >> 8), byte(n)}) + body
	}
	return string([]byte{0x81, byte(len(body))}) + body
}

// expectText reads bytes.
func expectText(t *testing.T, in io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(in, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v, want %q", got[:n], err, want)
	}
}

// TestODLSocket: questions by WebSocket are answered in order, though the next
// comes before the last is answered; a notification by an empty text.
func TestODLSocket(t *testing.T) {
	s := newSite(t, nil, odlOptions())
	nc, in, head := upgradeODL(t, s)
	if head.status != 101 || head.header.Get("Sec-WebSocket-Protocol") != "" || head.header.Get("Polyport-Heartbeat") != "" {
		t.Fatalf("the handshake is %d %v", head.status, head.header)
	}
	say := func(id int, method string) string {
		return masked(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":[]}`, id, method))
	}
	if _, err := io.WriteString(nc, say(1, "Wait")+say(2, "Echo")+say(3, "Echo")+masked(`{"jsonrpc":"2.0","method":"Echo"}`)); err != nil {
		t.Fatal(err)
	}
	within(t, s.began, "the first")
	close(s.gate)
	expectText(t, in, unmasked(`{"jsonrpc":"2.0","id":1,"result":"done"}`)+unmasked(`{"jsonrpc":"2.0","id":2,"result":[]}`)+
		unmasked(`{"jsonrpc":"2.0","id":3,"result":[]}`)+unmasked(""))
}

// TestODLSocketGone: that the peer has gone while its question is under way is
// noticed at once.
func TestODLSocketGone(t *testing.T) {
	s := newSite(t, nil, odlOptions())
	nc, _, _ := upgradeODL(t, s)
	if _, err := io.WriteString(nc, masked(`{"jsonrpc":"2.0","id":1,"method":"Wait","params":["a"]}`)); err != nil {
		t.Fatal(err)
	}
	within(t, s.began, "the call")
	_ = nc.Close()
	within(t, s.ended, "the end of its ctx")
}

// TestODLSocketLimits: a frame that its client would not take is an error in its
// place.
func TestODLSocketLimits(t *testing.T) {
	s := newSite(t, nil, odlOptions())
	nc, in, _ := upgradeODL(t, s)
	const question, answer = `{"jsonrpc":"2.0","id":1,"method":"Echo","params":["%s"]}`, `{"jsonrpc":"2.0","id":1,"result":["%s"]}`
	x := strings.Repeat("x", 64<<10-len(answer)) // which has the length of 64 KiB - 2 in the end
	if _, err := io.WriteString(nc, masked64(fmt.Sprintf(question, x))); err != nil {
		t.Fatal(err)
	}
	expectText(t, in, unmasked(fmt.Sprintf(answer, x)))
	if _, err := io.WriteString(nc, masked64(fmt.Sprintf(question, x+"xxx"))); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 2)
	if _, err := io.ReadFull(in, head); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, head[1])
	if head[1] == 126 {
		expectLen := make([]byte, 2)
		if _, err := io.ReadFull(in, expectLen); err != nil {
			t.Fatal(err)
		}
		body = make([]byte, int(expectLen[0])<<8|int(expectLen[1]))
	}
	if _, err := io.ReadFull(in, body); err != nil || !strings.Contains(string(body), "the limit of OpenDaylight is 65536") {
		t.Errorf("the answer is %s, %v, want an error", body, err)
	}
}

// masked64 is masked with a length of eight bytes.
func masked64(body string) string {
	n := len(body)
	if n < 1<<16 {
		return clientFrame(0x81, body)
	}
	return string([]byte{0x81, 0x80 | 127, 0, 0, 0, 0, 0, byte(n >> 16), byte(n >> 8), byte(n), 0, 0, 0, 0}) + body
}

// TestODLSocketOthers: who names a sub-protocol is none of OpenDaylight's.
func TestODLSocketOthers(t *testing.T) {
	s := newSite(t, nil, odlOptions())
	c, err := transport.Dial(t.Context(), "ws://"+s.addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if info := c.Info(); info.Lockstep || !info.Headers || info.Beat == 0 {
		t.Errorf("Info = %+v, want that of two ends of ours", info)
	}
}

// newSocketBus is a server of WebSocket that answers byte for byte.
func newSocketBus(t *testing.T, frames string) *bus {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &bus{addr: ln.Addr().String(), heard: make(chan string, 100)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		defer func() { _ = nc.Close() }()
		in := bufio.NewReader(nc)
		r, err := stdhttp.ReadRequest(in)
		if err != nil {
			return
		}
		b.heard <- fmt.Sprint(r.Method, " ", r.RequestURI, " ", r.Header["Sec-Websocket-Protocol"], r.Header["Polyport-Heartbeat"])
		_, _ = io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: "+
			acceptKey(r.Header.Get("Sec-WebSocket-Key"))+"\r\n\r\n"+frames)
		first, err := in.ReadByte()
		for err == nil {
			n, _ := in.ReadByte()
			payload := make([]byte, 4+int(n&0x7f))
			if _, err := io.ReadFull(in, payload); err != nil {
				return
			}
			key, text := payload[:4], payload[4:]
			for i := range text {
				text[i] ^= key[i&3]
			}
			b.heard <- fmt.Sprintf("%#x %s", first, text)
			if first&0xf == 8 {
				return
			}
			_, _ = io.WriteString(nc, unmasked("answer"))
			first, err = in.ReadByte()
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
	return b
}

// TestODLSocketClient: the client names no sub-protocol and no heart-beat, sends
// whole text frames, and takes turns.
func TestODLSocketClient(t *testing.T) {
	b := newSocketBus(t, "")
	c := dialODL(t, "ws://"+b.addr+"/?profile=odl")
	if got := within(t, b.heard, "the handshake"); got != "GET / [] []" {
		t.Errorf("the handshake is %s", got)
	}
	if info := c.Info(); !info.Lockstep || info.Beat != 0 || info.Headers {
		t.Errorf("Info = %+v", info)
	}
	got, err := exchange(t, c, "question")
	if err != nil || got != "answer" {
		t.Errorf("the answer is %q, %v", got, err)
	}
	if got := within(t, b.heard, "the question"); got != "0x81 question" {
		t.Errorf("the question is %s", got)
	}
	for _, body := range []string{strings.Repeat("x", 64<<10+1), "\xff"} {
		if err := c.Send(t.Context(), &transport.Message{Body: []byte(body)}); !transport.NotSent(err) || !strings.Contains(err.Error(), "OpenDaylight") {
			t.Errorf("Send of %.10q = %v, want one that was not sent, with words", body, err)
		}
	}
}

// TestODLSocketFeed: what a publisher sends comes as events, without a word from
// here.
func TestODLSocketFeed(t *testing.T) {
	b := newSocketBus(t, unmasked("one")+unmasked("two"))
	c := dialODL(t, "ws://"+b.addr+"?profile=odl&socket=sub")
	sub, ok := transport.As[transport.Subscriber](c)
	if !ok || !c.Info().Feed || c.Info().Lockstep {
		t.Fatalf("Info = %+v, want that of a feed", c.Info())
	}
	id, err := sub.Subscribe(t.Context(), transport.Subscription{Destination: "clock"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"one", "two"} {
		m, err := c.Recv(t.Context())
		if err != nil || string(m.Body) != want || m.To != "" || m.Subject != "" || m.Subscription != id {
			t.Errorf("Recv = %+v, %v, want %s", m, err, want)
		}
	}
	if err := c.Send(t.Context(), &transport.Message{}); !errors.Is(err, transport.ErrUnsupported) || !transport.NotSent(err) {
		t.Errorf("Send = %v, want ErrUnsupported", err)
	}
	if err := sub.Unsubscribe(t.Context(), id); err != nil {
		t.Error(err)
	}
	within(t, b.heard, "the handshake")
	_ = c.Close()
	if got := within(t, b.heard, "the goodbye"); got != "0x88 \x03\xe8" {
		t.Errorf("what was said is %q, want the end and nothing before", got)
	}
	for _, socket := range []string{"pub", "dealer"} {
		if _, err := transport.Dial(t.Context(), "ws://"+s0(t)+"?profile=odl&socket="+socket, nil); !errors.Is(err, transport.ErrInvalid) {
			t.Errorf("socket=%s: %v, want ErrInvalid", socket, err)
		}
	}
}

// s0 is the address of a server that says nothing.
func s0(t *testing.T) string { return newBus(t).addr }
