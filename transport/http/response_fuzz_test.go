package http_test

import (
	"bufio"
	"bytes"
	"io"
	stdhttp "net/http"
	"testing"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/http"
)

// FuzzResponse: a response is read in the same way however it is cut, never takes
// more than its limit, and what net/http reads otherwise is refused.
func FuzzResponse(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.0 200 OK\r\n\r\n{}", "HTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\n{}\r\n0\r\nA: b\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 No\r\nContent-Length: 5000\r\n\r\n",
		"HTTP/1.1 200 OK\nContent-Length: 2\nConnection: close\n\n{}",
	} {
		f.Add([]byte(seed), 1)
	}
	limits := transport.Limits{Message: 1000, HeaderBytes: 1000, Headers: 10}.WithDefaults()
	f.Fuzz(func(t *testing.T, in []byte, size int) {
		status, body, last, err := http.ReadResponse(bytes.NewReader(in), limits)
		status2, body2, last2, err2 := http.ReadResponse(&slow{in: in, size: max(size, 1)}, limits)
		if status != status2 || !bytes.Equal(body, body2) && status < 300 || last != last2 || (err == nil) != (err2 == nil) {
			t.Fatalf("%q: %d, %q, %v, %v; in pieces of %d: %d, %q, %v, %v", in, status, body, last, err, size, status2, body2, last2, err2)
		}
		if len(body) > 4<<10 || status < 300 && len(body) > limits.Message {
			t.Fatalf("%d bytes of body, the limit is %d", len(body), limits.Message)
		}
		if err != nil || status >= 300 {
			return
		}
		r := bufio.NewReader(bytes.NewReader(in))
		for {
			resp, err := stdhttp.ReadResponse(r, nil)
			if err != nil {
				return // it is stricter here and there
			}
			want, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode < 200 {
				continue
			}
			if err == nil && (resp.StatusCode != status || !bytes.Equal(want, body)) {
				t.Fatalf("%q: %d, %q, net/http reads %d, %q", in, status, body, resp.StatusCode, want)
			}
			return
		}
	})
}
