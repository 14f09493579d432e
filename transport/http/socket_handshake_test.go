package http_test

import (
	"context"
	"errors"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/http"
)

// listenHTTP returns a listener on the loopback interface, and its address.
func listenHTTP(t *testing.T, own *http.Options, o *transport.ListenOptions) (*transport.Listener, string) {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := transport.NewListener(ln, http.New(own), o)
	t.Cleanup(func() { _ = l.Close() })
	return l, l.Addr().String()
}

// echoAll sends back what comes by the connections of l.
func echoAll(t *testing.T, l *transport.Listener) {
	t.Helper()
	done := make(chan struct{})
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		defer close(done)
		for {
			c, err := l.Accept(ctx)
			if err != nil {
				return
			}
			for err == nil {
				var m *transport.Message
				if m, err = c.Recv(ctx); err == nil {
					err = c.Send(ctx, &transport.Message{Body: m.Body})
				}
			}
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
}

// TestForeignClient: a client of coder/websocket is served, with and without a
// sub-protocol, and both ends say goodbye.
func TestForeignClient(t *testing.T) {
	l, addr := listenHTTP(t, nil, nil)
	echoAll(t, l)
	for _, c := range []struct {
		offers []string
		want   string
	}{{nil, ""}, {[]string{"jsonrpc"}, "jsonrpc"}, {[]string{"other", "jsonrpc"}, "jsonrpc"}, {[]string{"other"}, ""}} {
		ws, _, err := websocket.Dial(t.Context(), "ws://"+addr, &websocket.DialOptions{
			Subprotocols: c.offers, CompressionMode: websocket.CompressionContextTakeover,
		})
		if err != nil {
			t.Fatal(err)
		}
		ws.SetReadLimit(1 << 20)
		if got := ws.Subprotocol(); got != c.want {
			t.Errorf("offered %q: the sub-protocol is %q, want %q", c.offers, got, c.want)
		}
		for body, kind := range map[string]websocket.MessageType{
			`{"jsonrpc":"2.0"}`: websocket.MessageText, strings.Repeat("ä", 100_000): websocket.MessageText, "\xff": websocket.MessageBinary, "": websocket.MessageText,
		} {
			for _, sent := range []websocket.MessageType{websocket.MessageText, websocket.MessageBinary} {
				if kind == websocket.MessageBinary && sent == websocket.MessageText {
					continue
				}
				if err := ws.Write(t.Context(), sent, []byte(body)); err != nil {
					t.Fatal(err)
				}
				got, b, err := ws.Read(t.Context())
				if err != nil || string(b) != body || got != kind {
					t.Fatalf("Read = %v, %.20q, %v, want %v, %.20q", got, b, err, kind, body)
				}
			}
		}
		if err := ws.Close(websocket.StatusNormalClosure, "done"); err != nil {
			t.Errorf("Close = %v", err)
		}
	}
}

// TestServerSaysGoodbye: the server's Close comes as going away.
func TestServerSaysGoodbye(t *testing.T) {
	l, addr := listenHTTP(t, nil, nil)
	ws, _, err := websocket.Dial(t.Context(), "ws://"+addr+"/rpc", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ws.CloseNow() }()
	c, err := l.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	go func() { closed <- c.Close() }()
	_, _, err = ws.Read(t.Context())
	if websocket.CloseStatus(err) != websocket.StatusGoingAway || <-closed != nil {
		t.Errorf("Read = %v, want going away", err)
	}
}

// TestForeignServer: our client talks to a server of coder/websocket, which knows
// nothing of it.
func TestForeignServer(t *testing.T) {
	for _, protocol := range []string{"", "jsonrpc"} {
		server := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
			ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{protocol}, CompressionMode: websocket.CompressionContextTakeover})
			if err != nil {
				return
			}
			for err == nil {
				var kind websocket.MessageType
				var b []byte
				if kind, b, err = ws.Read(r.Context()); err == nil && string(b) == "go" {
					_ = ws.Close(4321, "as you wish")
				} else if err == nil {
					err = ws.Write(r.Context(), kind, b)
				}
			}
		}))
		c, err := transport.Dial(t.Context(), "ws"+strings.TrimPrefix(server.URL, "http"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if i := c.Info(); i.Headers || i.Beat != 10*time.Second || i.Scheme != "ws" || i.Version != "13" {
			t.Errorf("Info = %+v", i)
		}
		for _, body := range []string{"{}", "\xff", strings.Repeat("x", 30_000)} {
			m := &transport.Message{Body: []byte(body), Subject: "lost"}
			if err := c.Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			if m, err := c.Recv(t.Context()); err != nil || string(m.Body) != body || m.Subject != "" || m.To != "rpc" {
				t.Fatalf("Recv = %+v, %v", m, err)
			}
		}
		if err := c.Send(t.Context(), &transport.Message{To: "elsewhere"}); !errors.Is(err, transport.ErrNoRoute) || !transport.NotSent(err) {
			t.Errorf("Send to a destination that was not dialed = %v, want %v", err, transport.ErrNoRoute)
		}
		_ = c.Send(t.Context(), &transport.Message{Body: []byte("go")})
		if _, err := c.Recv(t.Context()); !errors.Is(err, transport.ErrClosed) || !strings.Contains(err.Error(), `4321: "as you wish"`) {
			t.Errorf("Recv = %v, want the server's words", err)
		}
		_ = c.Close()
		server.Close()
	}
}

// TestAnswersToUpgrade: what a server answers to our request for a WebSocket, and
// what comes of it.
func TestAnswersToUpgrade(t *testing.T) {
	const switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	for _, c := range []struct {
		name, answer string
		kind         error
		says         string
	}{
		{"no HTTP", "220 smtp.example ESMTP\r\n", transport.ErrProtocol, "220 smtp"},
		{"a wrong key", switching + "Sec-WebSocket-Accept: x\r\n\r\n", transport.ErrProtocol, "Sec-WebSocket-Accept"},
		{"a page", "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>", transport.ErrProtocol, "200 OK"},
		{"not found", "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nnada!", transport.ErrNoRoute, "nada!"},
		{"who are you", "HTTP/1.1 401 Unauthorized\r\n\r\n", transport.ErrRefused, "401"},
		{"elsewhere", "HTTP/1.1 301 Moved\r\nLocation: ws://other/\r\nContent-Length: 0\r\n\r\n", transport.ErrProtocol, "ws://other/"},
		{"an extension", switching + "Sec-WebSocket-Accept: KEY\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n", transport.ErrProtocol, "extension"},
		{"another sub-protocol", switching + "Sec-WebSocket-Accept: KEY\r\nSec-WebSocket-Protocol: chat\r\n\r\n", transport.ErrProtocol, "chat"},
		{"a head without end", "HTTP/1.1 101 x\r\n" + strings.Repeat("A: b\r\n", 20_000), transport.ErrTooLarge, "head"},
		{"nothing", "", transport.ErrClosed, "closed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				nc, err := ln.Accept()
				if err != nil {
					return
				}
				r := make([]byte, 4096)
				n, _ := nc.Read(r)
				_, key, _ := strings.Cut(string(r[:n]), "Sec-Websocket-Key: ")
				key, _, _ = strings.Cut(key, "\r\n")
				_, _ = nc.Write([]byte(strings.ReplaceAll(c.answer, "KEY", acceptKey(key))))
				_ = nc.(*net.TCPConn).CloseWrite()
				for err == nil {
					_, err = nc.Read(r)
				}
				_ = nc.Close()
			}()
			conn, err := transport.Dial(t.Context(), "ws://"+ln.Addr().String(), nil)
			if conn != nil {
				_ = conn.Close()
			}
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("Dial = %v, want %v with %q in it", err, c.kind, c.says)
			}
			_ = ln.Close()
			<-done
		})
	}
}

// TestRequestsForSockets: who gets a WebSocket, and what others are told.
func TestRequestsForSockets(t *testing.T) {
	users := transport.Users(map[string]string{"alice": "secret"})
	own := &http.Options{Origins: []string{"https://app.example"}}
	for _, c := range []struct {
		name    string
		own     *http.Options
		o       *transport.ListenOptions
		path    string
		headers map[string]string
		status  int
	}{
		{name: "no page", status: 101},
		{name: "another path", path: "/rpc", status: 101},
		{name: "a path that is not served", path: "/other", status: 404},
		{name: "a page of the same host", headers: map[string]string{"Origin": "http://HOST"}, status: 101},
		{name: "a page of another host", headers: map[string]string{"Origin": "http://evil.example"}, status: 403},
		{name: "a page of a host like it", headers: map[string]string{"Origin": "http://HOST.evil.example"}, status: 403},
		{name: "a page of nowhere", headers: map[string]string{"Origin": "null"}, status: 403},
		{name: "a page that is named", own: own, headers: map[string]string{"Origin": "https://app.example"}, status: 101},
		{name: "its host without TLS", own: own, headers: map[string]string{"Origin": "http://app.example"}, status: 403},
		{name: "any page", own: &http.Options{Origins: []string{"*"}}, headers: map[string]string{"Origin": "http://evil.example"}, status: 101},
		{
			name: "any page, with the user's password", own: &http.Options{Origins: []string{"*"}}, o: &transport.ListenOptions{Authenticator: users},
			headers: map[string]string{"Origin": "http://evil.example", "Authorization": "Basic YWxpY2U6c2VjcmV0"}, status: 403,
		},
		{name: "nobody", o: &transport.ListenOptions{Authenticator: users}, status: 401},
		{name: "a user", o: &transport.ListenOptions{Authenticator: users}, headers: map[string]string{"Authorization": "Basic YWxpY2U6c2VjcmV0"}, status: 101},
		{name: "an old version", headers: map[string]string{"Sec-WebSocket-Version": "8"}, status: 400},
		{name: "a key that is none", headers: map[string]string{"Sec-WebSocket-Key": "x"}, status: 400},
		{name: "another protocol", headers: map[string]string{"Upgrade": "h2c"}, status: 426},
		{name: "a body", headers: map[string]string{"Content-Length": "5"}, status: 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, addr := listenHTTP(t, c.own, c.o)
			accepted := make(chan transport.Conn, 1)
			ctx, stop := context.WithCancel(t.Context())
			go func() {
				conn, _ := l.Accept(ctx)
				accepted <- conn
			}()
			nc, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			headers := map[string]string{
				"Host": addr, "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
			}
			request := "GET /" + strings.TrimPrefix(c.path, "/") + " HTTP/1.1\r\n"
			for name, value := range c.headers {
				headers[name] = strings.ReplaceAll(value, "HOST", addr)
			}
			for name, value := range headers {
				request += name + ": " + value + "\r\n"
			}
			_, _ = nc.Write([]byte(request + "\r\n"))
			answer := make([]byte, 4096)
			n, _ := nc.Read(answer)
			status := strings.Fields(string(answer[:n]) + " - -")[1]
			if diff := cmp.Diff(itoa(c.status), status); diff != "" {
				t.Errorf("the server answered %q", answer[:n])
			}
			_ = nc.Close()
			if c.status != 101 {
				stop()
			}
			if conn := <-accepted; conn != nil {
				_ = conn.Close()
			} else if c.status == 101 {
				t.Error("there is no connection")
			}
			stop()
		})
	}
}
