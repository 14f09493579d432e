package http_test

import (
	"context"
	"errors"
	"fmt"
	stdhttp "net/http"
	"strings"
	"sync"
	"testing"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

const call = `{"jsonrpc":"2.0","id":1,"method":"Echo","params":["x"]}`

// TestPost: what comes of requests, one by one.
func TestPost(t *testing.T) {
	s := newSite(t, nil, &transport.ListenOptions{Options: transport.Options{Limits: transport.Limits{Message: 1000}}})
	c := browser(t, new(stdhttp.Transport))
	post := func(body string, header ...string) func(t *testing.T) reply {
		return func(t *testing.T) reply { return ask(t, c, "POST", "http://"+s.addr+"/", body, header...) }
	}
	method := func(method, path string, header ...string) func(t *testing.T) reply {
		return func(t *testing.T) reply { return ask(t, c, method, "http://"+s.addr+path, "", header...) }
	}
	const answer = `{"jsonrpc":"2.0","id":1,"result":["x"]}`
	for _, r := range []struct {
		name   string
		do     func(t *testing.T) reply
		status int
		body   string // "…": some words
		header string // that must be there
	}{
		{"a call", post(call, asJSON...), 200, answer, "Content-Type: application/json"},
		{"with a charset", post(call, "Content-Type", "application/json; charset=utf-8"), 200, answer, ""},
		{"as json-rpc", post(call, "Content-Type", "application/json-rpc"), 200, answer, ""},
		{"as jsonrequest", post(call, "Content-Type", "application/jsonrequest"), 200, answer, ""},
		{"as nothing, by no browser", post(call), 200, answer, ""},
		{"as nothing, by a browser", post(call, "Sec-Fetch-Site", "same-origin"), 415, "…", ""},
		{"as a form", post(call, "Content-Type", "application/x-www-form-urlencoded"), 415, "…", ""},
		{"as text", post(call, "Content-Type", "text/plain"), 415, "…", ""},
		{"as nonsense", post(call, "Content-Type", "application/json; ;;="), 415, "…", ""},
		{"a batch", post("["+call+"]", asJSON...), 200, "[" + answer + "]", ""},
		{"a notification", post(`{"jsonrpc":"2.0","method":"Echo"}`, asJSON...), 204, "", "Cache-Control: no-store"},
		{"an error of JSON-RPC", post(`{"jsonrpc":"2.0","id":1,"method":"No"}`, asJSON...), 200, "…", "Content-Type: application/json"},
		{"broken JSON", post(`{`, asJSON...), 200, "…", ""},
		{"nothing", post("", asJSON...), 200, "…", ""},
		{"a body of the limit", post(call+strings.Repeat(" ", 1000-len(call)), asJSON...), 200, answer, ""},
		{"a body over the limit", post(call+strings.Repeat(" ", 1001-len(call)), asJSON...), 413, "…", "Connection: close"},
		{"the default path", method("POST", "/rpc", asJSON...), 200, "…", ""},
		{"another path", method("POST", "/other", asJSON...), 404, "…", ""},
		{"GET", method("GET", "/"), 405, "…", "Allow: GET, OPTIONS, POST"},
		{"PUT", method("PUT", "/"), 405, "…", "Allow: GET, OPTIONS, POST"},
		{"HEAD", method("HEAD", "/"), 405, "", "Allow: GET, OPTIONS, POST"},
		{"OPTIONS", method("OPTIONS", "/"), 204, "", "Allow: GET, OPTIONS, POST"},
		{"health", method("GET", "/health"), 200, `{"status":"ok"}` + "\n", "Content-Type: application/json"},
		{"HEAD of health", method("HEAD", "/health"), 200, "", ""},
		{"POST to health", method("POST", "/health"), 405, "…", "Allow: GET, HEAD"},
		{"too many fields", method("POST", "/", append(asJSON, many(200)...)...), 431, "…", "Connection: close"},
	} {
		t.Run(r.name, func(t *testing.T) {
			got := r.do(t)
			if got.status != r.status || got.body != r.body && (r.body != "…" || len(got.body) < 10) {
				t.Errorf("status %d, body %q, want %d, %q", got.status, got.body, r.status, r.body)
			}
			if name, value, ok := strings.Cut(r.header, ": "); ok && got.header.Get(name) != value {
				if name != "Connection" { // which net/http's client keeps to itself
					t.Errorf("header %s = %q, want %q", name, got.header.Get(name), value)
				}
			}
		})
	}
}

func many(n int) (header []string) {
	for i := range n {
		header = append(header, fmt.Sprint("X-", i), "v")
	}
	return header
}

// TestVersions: the same answers over every version of HTTP, also at once.
func TestVersions(t *testing.T) {
	server, client := certificates(t, "tester")
	plain := newSite(t, nil, nil)
	secure := newSite(t, nil, &transport.ListenOptions{Options: transport.Options{TLS: server}})
	only := func(set func(*stdhttp.Protocols)) *stdhttp.Transport {
		p := new(stdhttp.Protocols)
		set(p)
		return &stdhttp.Transport{TLSClientConfig: client, Protocols: p}
	}
	one := func(p *stdhttp.Protocols) { p.SetHTTP1(true) }
	for _, r := range []struct {
		name, url, proto string
		tr               *stdhttp.Transport
	}{
		{"HTTP/1.1", "http://" + plain.addr, "HTTP/1.1", only(one)},
		{"HTTP/1.1 over TLS", "https://" + secure.addr, "HTTP/1.1", only(one)},
		{"HTTP/2 by ALPN", "https://" + secure.addr, "HTTP/2.0", only(func(p *stdhttp.Protocols) { p.SetHTTP2(true) })},
		{"HTTP/2 by prior knowledge", "http://" + plain.addr, "HTTP/2.0", only(func(p *stdhttp.Protocols) { p.SetUnencryptedHTTP2(true) })},
	} {
		t.Run(r.name, func(t *testing.T) {
			c := browser(t, r.tr)
			var wg sync.WaitGroup
			for n := range 50 {
				wg.Go(func() {
					body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"Echo","params":[%d]}`, n, n)
					got := ask(t, c, "POST", r.url, body, asJSON...)
					if got.status != 200 || got.body != echoed(n) || got.proto != r.proto {
						t.Errorf("status %d, body %q, by %s, want 200, %q, %s", got.status, got.body, got.proto, echoed(n), r.proto)
					}
				})
			}
			wg.Wait()
		})
	}
}

// TestPeerGone: a client that gives up its request has it cancelled.
func TestPeerGone(t *testing.T) {
	s := newSite(t, nil, nil)
	two := new(stdhttp.Protocols)
	two.SetUnencryptedHTTP2(true)
	for name, tr := range map[string]*stdhttp.Transport{"HTTP/1.1": {}, "HTTP/2": {Protocols: two}} {
		t.Run(name, func(t *testing.T) {
			c := browser(t, tr)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r, err := stdhttp.NewRequestWithContext(ctx, "POST", "http://"+s.addr, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"Wait","params":[]}`))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			over := make(chan error, 1)
			go func() {
				resp, err := c.Do(r) //nolint:bodyclose // there is none
				if err == nil {
					err = fmt.Errorf("status %d", resp.StatusCode)
				}
				over <- err
			}()
			within(t, s.began, "Wait")
			cancel()
			if err := within(t, over, "Do"); !errors.Is(err, context.Canceled) {
				t.Errorf("Do = %v, want it canceled", err)
			}
			if err := within(t, s.ended, "the handler's ctx"); !errors.Is(err, transport.ErrClosed) {
				t.Errorf("the handler's ctx ended by %v, want ErrClosed", err)
			}
			if got := ask(t, c, "POST", "http://"+s.addr, call, asJSON...); got.status != 200 {
				t.Errorf("the next call: status %d, want 200", got.status)
			}
		})
	}
}

// TestUsers: who is let in, and as whom.
func TestUsers(t *testing.T) {
	s := newSite(t, nil, &transport.ListenOptions{Authenticator: transport.Users(map[string]string{"alice": "secret", "bob": "other"})})
	c := browser(t, &stdhttp.Transport{MaxConnsPerHost: 1})
	who := func(t *testing.T, header ...string) reply {
		t.Helper()
		return ask(t, c, "POST", "http://"+s.addr, `{"jsonrpc":"2.0","id":1,"method":"Who","params":{}}`, append(header, asJSON...)...)
	}
	basic := func(user, password string) []string {
		r := stdhttp.Request{Header: stdhttp.Header{}}
		r.SetBasicAuth(user, password)
		return []string{"Authorization", r.Header.Get("Authorization")}
	}
	for range 3 { // by one connection, as behind a proxy
		for user, password := range map[string]string{"alice": "secret", "bob": "other"} {
			if got := who(t, basic(user, password)...); got.body != `{"jsonrpc":"2.0","id":1,"result":"`+user+`"}` {
				t.Errorf("%s: status %d, %s", user, got.status, got.body)
			}
		}
		for name, header := range map[string][]string{
			"nobody": nil, "a wrong password": basic("alice", "other"), "no Basic": {"Authorization", "Bearer alice:secret"},
		} {
			got := who(t, header...)
			if got.status != 401 || !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Basic ") || len(got.body) < 10 {
				t.Errorf("%s: status %d, %q, %q, want 401 and how to do better", name, got.status, got.header, got.body)
			}
		}
	}
	if got := ask(t, c, "GET", "http://"+s.addr+"/health", ""); got.status != 200 {
		t.Errorf("health: status %d, want 200 for everybody", got.status)
	}
}

// certified lets in who has a certificate.
type certified struct{}

func (certified) Authenticate(_ context.Context, c transport.Credentials) (string, error) {
	if c.TLS == nil || len(c.TLS.PeerCertificates) == 0 {
		return "", transport.ErrCertificateRequired
	}
	return c.TLS.PeerCertificates[0].Subject.CommonName, nil
}

// TestCertificate: the subject of a client's certificate is who it is, and one
// without is told what is missing.
func TestCertificate(t *testing.T) {
	server, client := certificates(t, "tester")
	s := newSite(t, nil, &transport.ListenOptions{Options: transport.Options{TLS: server}, Authenticator: certified{}})
	without := client.Clone()
	without.Certificates = nil
	const who = `{"jsonrpc":"2.0","id":1,"method":"Who","params":{}}`
	with := browser(t, &stdhttp.Transport{TLSClientConfig: client, ForceAttemptHTTP2: true})
	if got := ask(t, with, "POST", "https://"+s.addr, who, asJSON...); !strings.Contains(got.body, `"tester"`) || got.proto != "HTTP/2.0" {
		t.Errorf("with a certificate: %+v, want the subject, by HTTP/2", got)
	}
	got := ask(t, browser(t, &stdhttp.Transport{TLSClientConfig: without}), "POST", "https://"+s.addr, who, asJSON...)
	if got.status != 403 || !strings.Contains(got.body, "certificate") {
		t.Errorf("without: %+v, want 403 and a word of the certificate", got)
	}
}

// TestShutdown: what was asked before is answered, and the connection ends.
func TestShutdown(t *testing.T) {
	for name, set := range map[string]func(*stdhttp.Protocols){
		"HTTP/1.1": func(p *stdhttp.Protocols) { p.SetHTTP1(true) },
		"HTTP/2":   func(p *stdhttp.Protocols) { p.SetUnencryptedHTTP2(true) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, nil, nil)
			p := new(stdhttp.Protocols)
			set(p)
			c := browser(t, &stdhttp.Transport{Protocols: p})
			const calls = 10
			replies := make(chan reply, calls)
			for range calls {
				go func() {
					replies <- ask(t, c, "POST", "http://"+s.addr, `{"jsonrpc":"2.0","id":1,"method":"Wait","params":[]}`, asJSON...)
				}()
			}
			for range calls {
				within(t, s.began, "Wait")
			}
			down := make(chan error, 1)
			go func() {
				_ = s.Close()
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				down <- s.server.Shutdown(ctx)
			}()
			<-within1(s.Listener)
			close(s.gate)
			for range calls {
				if got := within(t, replies, "an answer"); got.status != 200 || !strings.Contains(got.body, "done") {
					t.Errorf("what was asked before Shutdown: status %d, %s, want 200, done", got.status, got.body)
				}
			}
			if err := within(t, down, "Shutdown"); err != nil {
				t.Errorf("Shutdown = %v", err)
			}
		})
	}
}

// within1 is closed when the listener accepts no more.
func within1(l *transport.Listener) <-chan struct{} {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		for {
			c, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	return closed
}

// TestCall: our client and our server.
func TestCall(t *testing.T) {
	server, clientTLS := certificates(t, "tester")
	plain := newSite(t, nil, &transport.ListenOptions{Authenticator: transport.Users(map[string]string{"alice": "secret"})})
	secure := newSite(t, nil, &transport.ListenOptions{Options: transport.Options{TLS: server}})
	for _, url := range []string{"http://alice:secret@" + plain.addr, "http://alice:secret@" + plain.addr + "/rpc?x=1&format=json", "https://" + secure.addr} {
		t.Run(strings.SplitN(url, ":", 2)[0], func(t *testing.T) {
			c, err := rpc.Dial(t.Context(), url, &rpc.ClientOptions{
				Conns: 4, Transport: &transport.DialOptions{Options: transport.Options{TLS: clientTLS}},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			var wg sync.WaitGroup
			for n := range 40 {
				wg.Go(func() {
					got, err := rpc.Call[[]int](t.Context(), c, "Echo", []int{n})
					if err != nil || len(got) != 1 || got[0] != n {
						t.Errorf("Call = %v, %v, want [%d]", got, err, n)
					}
					if err := c.Notify(t.Context(), "Echo", []int{n}); err != nil {
						t.Errorf("Notify = %v", err)
					}
				})
			}
			wg.Wait()
		})
	}
	for url, want := range map[string]error{
		"http://alice:wrong@" + plain.addr:          transport.ErrRefused,
		"http://alice:secret@" + plain.addr + "/no": transport.ErrNoRoute,
	} {
		c, err := rpc.Dial(t.Context(), url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Call(t.Context(), "Echo", []int{1}, nil); !errors.Is(err, want) {
			t.Errorf("Call = %v, want %v", err, want)
		}
		_ = c.Close()
	}
}
