package http_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/http"
)

// serveXML serves a few methods over TCP until the test ends, and returns the
// address.
func serveXML(t *testing.T, own *http.Options, o *transport.ListenOptions) string {
	t.Helper()
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Math.Sum", func(_ context.Context, terms []float64) (sum float64, _ error) {
		for _, x := range terms {
			sum += x
		}
		return sum, nil
	})
	rpc.Handle(mux, "Echo", func(_ context.Context, p json.RawMessage) (json.RawMessage, error) { return p, nil })
	rpc.Handle(mux, "Later", func(_ context.Context, p struct {
		Time time.Time
		By   int
		Tail []byte `json:",omitempty"`
	},
	) (any, error) {
		return map[string]string{"$dateTime": p.Time.Add(time.Duration(p.By) * time.Hour).Format(time.RFC3339)}, nil
	})
	rpc.Handle(mux, "Fail", func(context.Context, any) (any, error) {
		return nil, &rpc.Error{Code: 42, Message: "no <way>", Data: json.RawMessage(`{"a":1}`)}
	})
	rpc.Handle(mux, "Bell", func(context.Context, any) (string, error) { return "\a", nil })
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := transport.NewListener(ln, http.New(own), o)
	server := rpc.NewServer(mux, nil)
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(context.Background(), l) })
	t.Cleanup(func() {
		_ = l.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		served.Wait()
	})
	return l.Addr().String()
}

// postXML posts a document and returns the status and the body.
func postXML(t *testing.T, url, doc string, header ...string) (int, string) {
	t.Helper()
	r, err := nethttp.NewRequestWithContext(t.Context(), nethttp.MethodPost, url, strings.NewReader(doc))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "text/xml")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	client := nethttp.Client{Transport: &nethttp.Transport{DisableKeepAlives: true, ExpectContinueTimeout: time.Minute}}
	got, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = got.Body.Close() }()
	body, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	if kind := got.Header.Get("Content-Type"); got.StatusCode == nethttp.StatusOK && kind != "text/xml" && r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("the answer is %q, want text/xml", kind)
	}
	return got.StatusCode, string(body)
}

// xmlCall is a methodCall with values.
func xmlCall(method string, values ...string) string {
	var b strings.Builder
	for _, v := range values {
		b.WriteString("<param><value>" + v + "</value></param>")
	}
	return "<?xml version='1.0'?><methodCall><methodName>" + method + "</methodName><params>" + b.String() + "</params></methodCall>"
}

// TestXMLServer: calls of XML-RPC are answered by the handlers that all other
// wires reach.
func TestXMLServer(t *testing.T) {
	url := "http://" + serveXML(t, nil, nil)
	member := func(name, value string) string {
		return "<member><name>" + name + "</name><value>" + value + "</value></member>"
	}
	for _, c := range []struct{ name, doc, want string }{
		{"sum", xmlCall("Math.Sum", "<int>1</int>", "<double>2.5</double>"), "<param><value><double>3.5</double></value></param>"},
		{"by position", xmlCall("Later", "<dateTime.iso8601>19980717T23:08:55</dateTime.iso8601>", "<i4>1</i4>", "<base64>AA==</base64>"), "<dateTime.iso8601>19980718T00:08:55</dateTime.iso8601>"},
		{"by name", xmlCall("Later", "<struct>"+member("$params", "<struct>"+member("By", "<i4>2</i4>")+member("Time", "<dateTime.iso8601>19980717T23:08:55</dateTime.iso8601>")+"</struct>")+"</struct>"), "<dateTime.iso8601>19980718T01:08:55</dateTime.iso8601>"},
		{"every type", xmlCall("Echo", "a", "<nil/>", "<boolean>1</boolean>", "<array><data/></array>", "<struct>"+member("b", "<i8>5000000000</i8>")+"</struct>"), "<array><data><value><string>a</string></value><value><nil/></value><value><boolean>1</boolean></value>" +
			"<value><array><data></data></array></value><value><struct><member><name>b</name><value><i8>5000000000</i8></value></member></struct></value></data></array>"},
		{"unknown method", xmlCall("Nothing"), "<int>-32601</int>"},
		{"wrong params", xmlCall("Math.Sum", "a"), "<int>-32602</int>"},
		{"the same member twice", xmlCall("Echo", "<struct>"+member("b", "1")+member("b", "2")+"</struct>"), "<int>-32602</int>"},
		{"the handler's error", xmlCall("Fail"), `<int>42</int></value></member><member><name>faultString</name><value><string>no &lt;way&gt;: {"a":1}</string>`},
		{"a result that XML has not", xmlCall("Bell"), "<int>-32603</int>"},
		{"no XML", "{}", "<int>-32700</int>"},
		{"nothing", "", "<int>-32700</int>"},
		{"XML of others", "<svg/>", "<int>-32600</int>"},
		{"a type of others", xmlCall("Echo", "<blob/>"), "<int>-32600</int>"},
		{"not a number", xmlCall("Echo", "<double>nan</double>"), "<int>-32602</int>"},
		{"a charset of others", "<?xml version='1.0' encoding='EUC-JP'?><methodCall/>", "<int>-32701</int>"},
		{"list of methods", xmlCall("system.listMethods"), "<value><string>Math.Sum</string></value>"},
		{
			"multicall", xmlCall("system.multicall", "<array><data><value><struct>"+member("methodName", "Math.Sum")+member("params", "<array><data><value><int>2</int></value></data></array>")+"</struct></value>"+
				"<value><struct>"+member("methodName", "system.multicall")+member("params", "<array><data/></array>")+"</struct></value></data></array>"),
			"<array><data><value><array><data><value><int>2</int></value></data></array></value><value><struct><member><name>faultCode</name><value><int>-32601</int>",
		},
		{"multicall of nothing", xmlCall("system.multicall", "<array><data/></array>"), "<value><array><data></data></array></value>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, path := range []string{"", "/", "/rpc", "/RPC2"} {
				if status, body := postXML(t, url+path, c.doc); status != 200 || !strings.Contains(body, c.want) || !strings.Contains(body, "<methodResponse>") {
					t.Errorf("POST %s %s = %d %s, want %s in it", path, c.doc, status, body, c.want)
				}
			}
		})
	}
	if status, body := postXML(t, url, xmlCall("Math.Sum", "1"), "Content-Type", "application/xml; charset=utf-8"); status != 200 || !strings.Contains(body, "-32602") {
		t.Errorf("application/xml: %d %s, want the same as text/xml", status, body)
	}
}

// TestXMLSwitchedOff: Options.NoXMLRPC refuses XML, and nothing else.
func TestXMLSwitchedOff(t *testing.T) {
	url := "http://" + serveXML(t, &http.Options{NoXMLRPC: true}, nil)
	if status, body := postXML(t, url, xmlCall("Math.Sum", "<i4>1</i4>")); status != nethttp.StatusUnsupportedMediaType || !strings.Contains(body, "switched off") {
		t.Errorf("POST = %d %s, want 415 and why", status, body)
	}
	if status, body := postXML(t, url, `{"jsonrpc":"2.0","method":"Math.Sum","params":[1],"id":1}`, "Content-Type", "application/json"); status != 200 || !strings.Contains(body, `"result":1`) {
		t.Errorf("POST of JSON = %d %s, want the sum", status, body)
	}
}

// TestXMLHostile: what is made to hurt costs the server little memory, over a
// socket, and the next call is answered.
func TestXMLHostile(t *testing.T) {
	const million = 1_000_000
	o := &transport.ListenOptions{}
	o.Limits.Message = 64 << 20 // so that it is not the length alone that saves us
	url := "http://" + serveXML(t, nil, o)
	narrow := "http://" + serveXML(t, nil, nil)
	var laughs strings.Builder
	laughs.WriteString("<?xml version='1.0'?><!DOCTYPE lolz [<!ENTITY lol0 'lol'>")
	for i := 1; i <= 9; i++ {
		fmt.Fprintf(&laughs, "<!ENTITY lol%d '%s'>", i, strings.Repeat(fmt.Sprintf("&lol%d;", i-1), 10))
	}
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	for range 64 {
		_, _ = z.Write(make([]byte, 1<<20))
	}
	_ = z.Close()
	for _, c := range []struct {
		name, url, doc string
		header         []string
		status         int
		word           string
	}{
		{"billion laughs", url, laughs.String() + "]>" + xmlCall("Echo", "&lol9;"), nil, 200, "-32600"},
		{"10^6 deep", url, "<methodCall><methodName>Echo</methodName><params><param>" + strings.Repeat("<value><array><data>", million), nil, 200, "500 deep"},
		{"many members", narrow, xmlCall("Math.Sum", "<struct>"+strings.Repeat("<member><name/><value/></member>", million/50)+"</struct>"), nil, 200, "-32602"},
		{"10^6 members over the limit", narrow, xmlCall("Echo", "<struct>"+strings.Repeat("<member><name/><value/></member>", million)+"</struct>"), []string{"Expect", "100-continue"}, 413, "4194304"},
		{"10^6 attributes", url, "<methodCall " + strings.Repeat("a='' ", million) + "/>", nil, 200, "1024"},
		{"an entity of a file", url, `<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]>` + xmlCall("Echo", "&a;"), nil, 200, "document types"},
		{"a gzip bomb", url, bomb.String(), []string{"Content-Encoding", "gzip", "Expect", "100-continue"}, 415, "compressed"},
		{"deflated", url, "x", []string{"Content-Encoding", "deflate"}, 415, "compressed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			status, body := postXML(t, c.url, c.doc, c.header...)
			runtime.GC()
			runtime.ReadMemStats(&after)
			if status != c.status || !strings.Contains(body, c.word) {
				t.Errorf("POST = %d %.300s, want %d and %q", status, body, c.status, c.word)
			}
			if after.HeapAlloc > before.HeapAlloc+4<<20 {
				t.Errorf("%d bytes remain in use", after.HeapAlloc-before.HeapAlloc)
			}
			if status, body := postXML(t, c.url, xmlCall("Math.Sum", "<i4>1</i4>")); status != 200 || !strings.Contains(body, "<int>1</int>") {
				t.Errorf("the next call: %d %s", status, body)
			}
		})
	}
}

func dialXML(t *testing.T, address string, o *rpc.ClientOptions) *rpc.Client {
	t.Helper()
	c, err := rpc.Dial(t.Context(), "http://"+address+"/RPC2?format=xmlrpc", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestXMLClient: our client calls by XML-RPC as by anything else.
func TestXMLClient(t *testing.T) {
	c := dialXML(t, serveXML(t, nil, nil), &rpc.ClientOptions{Conns: 4})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if sum, err := rpc.Call[float64](ctx, c, "Math.Sum", []float64{1, 2.5}); err != nil || sum != 3.5 {
		t.Errorf("Math.Sum = %v, %v", sum, err)
	}
	const text = "é <&> \r\n ]]> "
	if got, err := rpc.Call[[]any](ctx, c, "Echo", []any{text, nil, true, -1.5}); err != nil || fmt.Sprint(got) != fmt.Sprint([]any{text, nil, true, -1.5}) {
		t.Errorf("Echo = %v, %v", got, err)
	}
	at := time.Date(1998, 7, 17, 23, 8, 55, 0, time.UTC)
	if got, err := rpc.Call[time.Time](ctx, c, "Later", []any{map[string]any{"$dateTime": at}, 1, map[string]any{"$base64": []byte{0}}}); err != nil || !got.Equal(at.Add(time.Hour)) {
		t.Errorf("Later = %v, %v", got, err)
	}
	_, err := rpc.Call[int](ctx, c, "Fail", []int{})
	if e, ok := errors.AsType[*rpc.Error](err); !ok || e.Code != 42 || e.Message != `no <way>: {"a":1}` {
		t.Errorf("Fail = %v", err)
	}
	if err := c.Notify(ctx, "Echo", []int{1}); err != nil {
		t.Errorf("Notify = %v", err)
	}
	if _, err = rpc.Call[int](ctx, c, "Echo", []string{"\a"}); rpc.OutcomeOf(err) != rpc.NotSent || !errors.Is(err, transport.ErrInvalid) || !strings.Contains(err.Error(), "U+0007") {
		t.Errorf("Echo of a bell = %v, want not sent, and why", err)
	}
	var b rpc.Batch
	sum, fail := rpc.Add[int](&b, "Math.Sum", []int{1, 2}), rpc.Add[int](&b, "Fail", []int{})
	b.Notify("Echo", []int{1})
	if err := c.Do(ctx, &b); err != nil {
		t.Errorf("Do = %v", err)
	}
	if n, err := sum.Get(ctx); err != nil || n != 3 {
		t.Errorf("Math.Sum in a batch = %v, %v", n, err)
	}
	if _, err := fail.Get(ctx); rpc.OutcomeOf(err) != rpc.Answered || err == nil {
		t.Errorf("Fail in a batch = %v", err)
	}
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			if n, err := rpc.Go[int](ctx, c, "Math.Sum", []int{i, 1}).Get(ctx); err != nil || n != i+1 {
				t.Errorf("future %d = %v, %v", i, n, err)
			}
		})
	}
	wg.Wait()
}

// TestXMLClientBadAnswer: an answer that is none leaves the call unknown, and the
// next one has another connection.
func TestXMLClientBadAnswer(t *testing.T) {
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	answers := []string{"<html>", "", strings.Repeat("<a>", 1000), "<methodResponse><params><param><value>ok</value></param></params></methodResponse>"}
	var served sync.WaitGroup
	served.Go(func() {
		for _, body := range answers {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			if r, err := nethttp.ReadRequest(bufio.NewReader(nc)); err == nil {
				_, _ = io.Copy(io.Discard, r.Body)
				fmt.Fprintf(nc, "HTTP/1.0 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			}
			_ = nc.Close()
		}
	})
	defer served.Wait()
	defer func() { _ = ln.Close() }()
	c := dialXML(t, ln.Addr().String(), nil)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for i := range answers {
		got, err := rpc.Call[string](ctx, c, "Echo", []string{"a"})
		if i == len(answers)-1 {
			if err != nil || got != "ok" {
				t.Errorf("the last call = %q, %v", got, err)
			}
		} else if rpc.OutcomeOf(err) != rpc.Unknown || !errors.Is(err, transport.ErrProtocol) {
			t.Errorf("call %d = %v, want unknown and ErrProtocol", i, err)
		}
	}
}
