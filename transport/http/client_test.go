package http_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	stdhttp "net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// A script is a server that answers by a function, and may close after it.
type script struct {
	addr  string
	conns atomic.Int32
}

// serveScript answers each request with what answer returns, as it is; an empty
// one or one that ends in "<close>" closes the connection after it.
func serveScript(t *testing.T, answer func(conn, n int, r *stdhttp.Request, body string) string) *script {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &script{addr: ln.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			conn := int(s.conns.Add(1))
			wg.Go(func() { converse(nc, conn, answer) })
		}
	})
	t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	return s
}

func converse(nc net.Conn, conn int, answer func(conn, n int, r *stdhttp.Request, body string) string) {
	defer func() { _ = nc.Close() }()
	_ = nc.SetDeadline(time.Now().Add(patience))
	in := bufio.NewReader(nc)
	for n := 1; ; n++ {
		r, err := stdhttp.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		text, last := strings.CutSuffix(answer(conn, n, r, string(body)), "<close>")
		if _, err := io.WriteString(nc, text); err != nil || last || text == "" {
			return
		}
	}
}

// result is an answer to the request with that body.
func result(body string) string {
	id := body[strings.Index(body, `"id":`)+5:]
	return `{"jsonrpc":"2.0","id":` + id[:strings.IndexAny(id, ",}")] + `,"result":"ok"}`
}

func sized(head, body string) string {
	return fmt.Sprintf("%s\r\nContent-Length: %d\r\n\r\n%s", head, len(body), body)
}

// dialScript returns a client of a script.
func dialScript(t *testing.T, s *script, suffix string) *rpc.Client {
	t.Helper()
	c, err := rpc.Dial(t.Context(), "http://"+s.addr+suffix, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestAnswers: every way in which a server may frame its answer.
func TestAnswers(t *testing.T) {
	const ok, json = "HTTP/1.1 200 OK", "\r\nContent-Type: application/json"
	for name, answer := range map[string]func(body string) string{
		"with a length":      func(b string) string { return sized(ok+json, result(b)) },
		"without a type":     func(b string) string { return sized(ok, result(b)) },
		"after 100 Continue": func(b string) string { return "HTTP/1.1 100 Continue\r\n\r\n" + sized(ok+json, result(b)) },
		"in chunks": func(b string) string {
			return ok + json + "\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(result(b), 7)
		},
		"with line feeds only":  func(b string) string { return strings.ReplaceAll(sized(ok+json, result(b)), "\r\n", "\n") },
		"to the end":            func(b string) string { return ok + json + "\r\n\r\n" + result(b) + "<close>" },
		"and closed":            func(b string) string { return sized(ok+json+"\r\nConnection: close", result(b)) + "<close>" },
		"by HTTP/1.0":           func(b string) string { return sized("HTTP/1.0 200 OK"+json, result(b)) + "<close>" },
		"by HTTP/1.0 and alive": func(b string) string { return sized("HTTP/1.0 200 OK"+json+"\r\nConnection: Keep-Alive", result(b)) },
		"with an error status":  func(b string) string { return sized("HTTP/1.1 500 Internal Server Error"+json, result(b)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := serveScript(t, func(_, _ int, _ *stdhttp.Request, body string) string { return answer(body) })
			c := dialScript(t, s, "")
			for n := range 20 {
				if got, err := rpc.Call[string](t.Context(), c, "X", []int{n}); err != nil || got != "ok" {
					t.Fatalf("call %d = %q, %v, want ok", n, got, err)
				}
			}
		})
	}
}

// chunks cuts a body into chunks of n bytes.
func chunks(body string, n int) string {
	var b strings.Builder
	for len(body) > 0 {
		k := min(n, len(body))
		_, _ = fmt.Fprintf(&b, "%x;name=value\r\n%s\r\n", k, body[:k])
		body = body[k:]
	}
	return b.String() + "0\r\nTrailer: x\r\n\r\n"
}

// TestFailures: an answer that is none is an error of its kind, with the server's
// words, and the call may have been executed.
func TestFailures(t *testing.T) {
	long := strings.Repeat("word ", 100_000)
	for _, r := range []struct {
		name, answer string
		want         error
		words        string
	}{
		{"400", sized("HTTP/1.1 400 Bad Request", "what was that?"), transport.ErrProtocol, "400 Bad Request: what was that?"},
		{"401", sized("HTTP/1.1 401 Unauthorized", ""), transport.ErrRefused, "401 Unauthorized"},
		{"403", sized("HTTP/1.1 403 Forbidden", "a certificate is needed"), transport.ErrRefused, "a certificate is needed"},
		{"404", sized("HTTP/1.1 404 Not Found", "no"), transport.ErrNoRoute, "404"},
		{"413", sized("HTTP/1.1 413 Too Large", "no"), transport.ErrTooLarge, "413"},
		{"429", sized("HTTP/1.1 429 Slowly", "no"), transport.ErrBusy, "429"},
		{"503", sized("HTTP/1.1 503 No", "later"), transport.ErrBusy, "later"},
		{"500 in JSON", sized("HTTP/1.1 500 No\r\nContent-Type: application/json", `{"message":"oh"}`), transport.ErrProtocol, "oh"},
		{"500 at length", sized("HTTP/1.1 500 No", long), transport.ErrProtocol, "word word"}, //nolint:dupword // as it is
		{"500 in chunks at length", "HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(long, 1000), transport.ErrProtocol, "500"},
		{"301", sized("HTTP/1.1 301 Moved\r\nLocation: http://elsewhere/", ""), transport.ErrProtocol, "301"},
		{"101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", transport.ErrProtocol, "protocol"},
		{"not HTTP", "SSH-2.0-OpenSSH_9.2\r\n", transport.ErrProtocol, "right port"},
		{"HTTP/2", "HTTP/2 200 OK\r\n\r\n", transport.ErrProtocol, "HTTP/1"},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", transport.ErrProtocol, "length"},
		{"length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", transport.ErrProtocol, "both"},
		{"a bad length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", transport.ErrProtocol, "length"},
		{"another coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", transport.ErrProtocol, "coding"},
		{"compressed", sized("HTTP/1.1 200 OK\r\nContent-Encoding: gzip", "x"), transport.ErrProtocol, "coding"},
		{"a folded field", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", transport.ErrProtocol, "field"},
		{"a blank before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\nx", transport.ErrProtocol, "field"},
		{"a bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", transport.ErrProtocol, "chunk"},
		{"a chunk that is longer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n", transport.ErrProtocol, "chunk"},
		{"too long", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", transport.ErrTooLarge, "limit"},
		{"a chunk too long", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffff\r\n", transport.ErrTooLarge, "limit"},
		{"a head too long", "HTTP/1.1 200 OK\r\nA: " + long + "\r\n\r\n", transport.ErrTooLarge, "head"},
		{"nothing", "<close>", transport.ErrClosed, ""},
		{"half an answer", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf<close>", transport.ErrClosed, "middle"},
	} {
		t.Run(r.name, func(t *testing.T) {
			s := serveScript(t, func(int, int, *stdhttp.Request, string) string { return r.answer })
			err := dialScript(t, s, "").Call(t.Context(), "X", nil, nil)
			if !errors.Is(err, r.want) || !strings.Contains(err.Error(), r.words) || len(err.Error()) > 1000 {
				t.Errorf("Call = %v, want %v with %q", err, r.want, r.words)
			}
			if o := rpc.OutcomeOf(err); o != rpc.Unknown {
				t.Errorf("outcome %v, want Unknown", o)
			}
		})
	}
}

// TestRequest: what the server gets.
func TestRequest(t *testing.T) {
	for suffix, want := range map[string]string{
		"": "POST /rpc", "/": "POST /", "/calc?format=json": "POST /calc", "/a%2Fb?x=1&y=": "POST /a%2Fb?x=1&y=",
	} {
		got := make(chan *stdhttp.Request, 1)
		s := serveScript(t, func(_, _ int, r *stdhttp.Request, body string) string {
			got <- r
			return sized("HTTP/1.1 200 OK", result(body))
		})
		if err := dialScript(t, s, suffix).Call(t.Context(), "X", nil, nil); err != nil {
			t.Errorf("Call = %v", err)
		}
		r := within(t, got, "the request")
		if line := r.Method + " " + r.RequestURI; line != want || r.Host != s.addr || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%q: %s, Host %s, %v, want %s and JSON", suffix, line, r.Host, r.Header, want)
		}
	}
}
