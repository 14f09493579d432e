package http_test

import (
	"errors"
	"io"
	stdhttp "net/http"
	"strings"
	"testing"
	"time"

	"github.com/polyport/polyport/transport"
)

// TestSmuggling: a request that two servers could read in two ways is refused, and
// its connection closed; or it is read in one way, and nothing that follows in the
// same write is taken for more than it is.
func TestSmuggling(t *testing.T) {
	s := newSite(t, nil, nil)
	const post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	hidden := echo(666) // what must not be served
	body := `{"jsonrpc":"2.0","id":7,"method":"Echo","params":[7]}`
	chunked := "35\r\n" + body + "\r\n0\r\n\r\n"
	for _, r := range []struct {
		name, in string
		statuses []int // of the responses, after which the connection is closed
	}{
		{"two lengths", post + "Content-Length: 53\r\nContent-Length: 0\r\n\r\n" + body + hidden, []int{400}},
		{"a list of lengths", post + "Content-Length: 53, 0\r\n\r\n" + body + hidden, []int{400}},
		{"a signed length", post + "Content-Length: +53\r\n\r\n" + body + hidden, []int{400}},
		{"a length in hexadecimal", post + "Content-Length: 0x35\r\n\r\n" + body + hidden, []int{400}},
		{"a length beyond numbers", post + "Content-Length: 18446744073709551669\r\n\r\n" + body + hidden, []int{400}},
		{"length and chunks", post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked + hidden, []int{200}},
		{"a coding within chunked", post + "Transfer-Encoding: gzip, chunked\r\n\r\n" + chunked + hidden, []int{501}},
		{"chunked twice", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked + hidden, []int{501, 400}},
		{"chunked with a blank before", post + "Transfer-Encoding : chunked\r\n\r\n" + chunked + hidden, []int{400}},
		{"chunked with a control character", post + "Transfer-Encoding: \x0bchunked\r\n\r\n" + chunked + hidden, []int{501, 400}},
		{"chunked in HTTP/1.0", strings.Replace(post, "1.1", "1.0", 1) + "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n" + hidden, []int{400, 200}},
		{"a blank before the colon", post + "Content-Length : 53\r\n\r\n" + body + hidden, []int{400}},
		{"a blank before the name", post + " Content-Length: 53\r\n\r\n" + body + hidden, []int{415}},
		{"a chunk of a negative size", post + "Transfer-Encoding: chunked\r\n\r\n-1\r\n" + body + hidden, []int{400}},
		{"a chunk of an endless size", post + "Transfer-Encoding: chunked\r\n\r\n10000000000000035\r\n" + body + "\r\n0\r\n\r\n" + hidden, []int{400}},
		{"a chunk that is longer than it says", post + "Transfer-Encoding: chunked\r\n\r\n34\r\n" + body + "\r\n0\r\n\r\n" + hidden, []int{400}},
		{"a chunk that ends with a bare line feed", post + "Transfer-Encoding: chunked\r\n\r\n35\r\n" + body + "\n0\r\n\r\n" + hidden, []int{400}},
		{"no Host", strings.Replace(post, "Host: x\r\n", "", 1) + "Content-Length: 0\r\n\r\n" + hidden, []int{400}},
		{"two Hosts", post + "Host: y\r\nContent-Length: 0\r\n\r\n" + hidden, []int{400}},
		{"a carriage return in a field", post + "A: b\rTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n" + hidden, []int{400}},
		{"a NUL in a field", post + "A: b\x00\r\nContent-Length: 0\r\n\r\n" + hidden, []int{400}},
		{"HTTP/0.9", "GET /health\r\n" + hidden, []int{400}},
		{"HTTP/2 in the line", "POST / HTTP/2.0\r\nHost: x\r\n\r\n" + hidden, []int{505, 400}},
		{"a blank in the target", "POST / x HTTP/1.1\r\nHost: x\r\n\r\n" + hidden, []int{400}},
		{"a head without end", post + "A: " + strings.Repeat("x", 200<<10) + "\r\n\r\n" + hidden, []int{431}},
		{"fields without end", post + strings.Repeat("A: b\r\n", 50<<10) + "\r\n" + hidden, []int{431}},
		{"an expectation that nobody knows", post + "Expect: magic\r\nContent-Length: 53\r\n\r\n" + body + hidden, []int{417}},
	} {
		t.Run(r.name, func(t *testing.T) {
			nc, in := s.raw(t)
			go func() { _, _ = io.WriteString(nc, r.in) }()
			resp, err := stdhttp.ReadResponse(in, nil)
			if err != nil {
				t.Fatalf("response: %v", err)
			}
			first, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			known := false
			for _, status := range r.statuses {
				known = known || resp.StatusCode == status
			}
			if !known {
				t.Errorf("status %d, want %v: %s", resp.StatusCode, r.statuses, first)
			}
			rest, err := io.ReadAll(in)
			if errors.Is(err, transport.ErrStalled) || isTimeout(err) {
				t.Errorf("the connection is still open")
			}
			if strings.Contains(string(first)+string(rest), "666") {
				t.Errorf("what was hidden was served: %s%s", first, rest)
			}
		})
	}
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

// TestReadOneWay: what is odd and clear is served, and so is what follows it.
func TestReadOneWay(t *testing.T) {
	s := newSite(t, nil, nil)
	const post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	body := `{"jsonrpc":"2.0","id":7,"method":"Echo","params":[7]}`
	for name, in := range map[string]string{
		"chunks with extensions":      post + "Transfer-Encoding: chunked\r\n\r\n35;a=b;c=\"d\"\r\n" + body + "\r\n0;z\r\nTrailer: x\r\n\r\n",
		"many chunks":                 post + "Transfer-Encoding: chunked\r\n\r\n" + chunks(body, 1),
		"the same length twice":       post + "Content-Length: 53\r\nContent-Length: 53\r\n\r\n" + body,
		"the absolute form":           strings.Replace(post, "POST /", "POST http://x/rpc", 1) + "Content-Length: 53\r\n\r\n" + body,
		"names in other cases":        strings.ToLower(post[17:]) + "",
		"a folded field":              post + "A: b\r\n Content-Length: 1\r\nContent-Length: 53\r\n\r\n" + body,
		"line feeds only":             strings.ReplaceAll(post+"Content-Length: 53\r\n\r\n", "\r\n", "\n") + body,
		"one byte at a time, as said": echo(7),
	} {
		if name == "names in other cases" {
			in = "POST / HTTP/1.1\r\n" + in + "cOnTeNt-LeNgTh: 53\r\n\r\n" + body
		}
		t.Run(name, func(t *testing.T) {
			nc, r := s.raw(t)
			go func() {
				for i := range in {
					_, _ = io.WriteString(nc, in[i:i+1])
				}
				_, _ = io.WriteString(nc, echo(8))
			}()
			if got := next(t, r); got.status != 200 || got.body != echoed(7) {
				t.Fatalf("status %d, %s, want 200, %s", got.status, got.body, echoed(7))
			}
			if strings.Contains(in, "chunked") { // net/http does not say whether there was a length, too
				if rest, err := io.ReadAll(r); isTimeout(err) || len(rest) > 0 {
					t.Errorf("what follows chunks: %q, %v, want the end of the connection", rest, err)
				}
				return
			}
			if got := next(t, r); got.status != 200 || got.body != echoed(8) {
				t.Errorf("what follows: status %d, %s, want 200, %s", got.status, got.body, echoed(8))
			}
		})
	}
}

// TestDrip: a head or a body that does not end is given up.
func TestDrip(t *testing.T) {
	o := &transport.ListenOptions{HandshakeTimeout: 300 * time.Millisecond}
	o.FrameTimeout = 300 * time.Millisecond
	s := newSite(t, nil, o)
	for name, in := range map[string]string{
		"a first head":  "POST / HTTP/1.1\r\nA",
		"a second head": "GET /health HTTP/1.1\r\nHost: x\r\n\r\nPOST / HTTP/1.1\r\nA",
		"a body":        "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n{",
		"HTTP/2":        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			nc, r := s.raw(t)
			stop := make(chan struct{})
			go func() {
				_, _ = io.WriteString(nc, in)
				for tick := time.NewTicker(50 * time.Millisecond); ; {
					select {
					case <-tick.C:
						_, _ = io.WriteString(nc, " ")
					case <-stop:
						tick.Stop()
						return
					}
				}
			}()
			if _, err := io.ReadAll(r); isTimeout(err) {
				t.Errorf("the connection is still open after %v", patience)
			}
			close(stop)
		})
	}
}
