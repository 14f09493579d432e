package http_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	stdhttp "net/http"
	"strings"
	"testing"

	"github.com/polyport/polyport/transport/http"
)

// TestCompat: a client that never says Host, as OpenDaylight's, is served on one
// connection; without Compat it is refused.
func TestCompat(t *testing.T) {
	request := strings.ReplaceAll(echo(7), "Host: x\r\n", "")
	s := newSite(t, &http.Options{Compat: true}, nil)
	nc, in := s.raw(t)
	for n := range 10 {
		text := request
		if n%3 == 1 {
			text = echo(7) // and one that does
		}
		if _, err := io.WriteString(nc, text); err != nil {
			t.Fatal(err)
		}
		if got := next(t, in); got.status != 200 || got.body != echoed(7) {
			t.Fatalf("request %d: status %d, %s, want 200, %s", n, got.status, got.body, echoed(7))
		}
	}
	if _, err := io.WriteString(nc, request+request+request); err != nil { // pipelined
		t.Fatal(err)
	}
	for range 3 {
		if got := next(t, in); got.status != 200 || got.body != echoed(7) {
			t.Fatalf("pipelined: status %d, %s, want 200, %s", got.status, got.body, echoed(7))
		}
	}
	strict := newSite(t, nil, nil)
	nc, in = strict.raw(t)
	_, _ = io.WriteString(nc, request)
	if got := next(t, in); got.status != 400 {
		t.Errorf("without Compat: status %d, want 400", got.status)
	}
}

// TestCompatPasses: all but a missing Host passes as it came, however it is cut.
func TestCompatPasses(t *testing.T) {
	const plain = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
	const added = "POST / HTTP/1.1\r\nHost:\r\nContent-Length: 3\r\n\r\nabc"
	for name, r := range map[string]struct{ in, want string }{
		"a Host is missing":  {plain + plain, added + added},
		"no fields":          {"GET / HTTP/1.1\r\n\r\n" + plain, "GET / HTTP/1.1\r\nHost:\r\n\r\n" + added},
		"a head in a body":   {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 45\r\n\r\n" + plain + plain, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 45\r\n\r\n" + plain + added},
		"HTTP/1.0":           {"GET / HTTP/1.0\r\n\r\n" + plain, "GET / HTTP/1.0\r\n\r\n" + added},
		"HTTP/2":             {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + plain, ""},
		"chunks":             {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + plain, ""},
		"two lengths":        {"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc" + plain, ""},
		"a signed length":    {"POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\nabc" + plain, ""},
		"a folded field":     {"POST / HTTP/1.1\r\nA: b\r\n c\r\n\r\n" + plain, ""},
		"line feeds":         {"POST / HTTP/1.1\nA: b\n\n" + plain, ""},
		"a lone line feed":   {"POST / HTTP/1.1\r\nA: b\nC: d\r\n\r\n" + plain, ""},
		"an upgrade":         {"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n" + plain, ""},
		"no request":         {"what is this?\r\n\r\n" + plain, ""},
		"half a head":        {"POST / HTTP/1.1\r\nA:", ""},
		"a head without end": {strings.Repeat("x", 5000), ""},
	} {
		if r.want == "" {
			r.want = r.in
		}
		for _, size := range []int{1, 2, 7, 1 << 16} {
			got, err := io.ReadAll(http.Tolerate(&slow{in: []byte(r.in), size: size}, 1000))
			if err != nil || string(got) != r.want {
				t.Errorf("%s, in pieces of %d: %q, %v, want %q", name, size, got, err, r.want)
			}
		}
	}
}

// A slow is a net.Conn from which comes what is in it, in pieces.
type slow struct {
	net.Conn
	in   []byte
	size int
}

func (s *slow) Read(p []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.size)], s.in)
	s.in = s.in[n:]
	return n, nil
}

// FuzzCompat: net/http reads what comes out as it would have read what went in, but
// for the Host.
func FuzzCompat(f *testing.F) {
	for _, seed := range []string{
		"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcPOST / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST / HTTP/1.1\r\nContent-Length : 3\r\n\r\nabc", "POST / HTTP/1.1\nContent-Length: 3\n\nabc",
	} {
		f.Add([]byte(seed), 3)
	}
	f.Fuzz(func(t *testing.T, in []byte, size int) {
		out, err := io.ReadAll(http.Tolerate(&slow{in: in, size: max(size, 1)}, 4096))
		if err != nil {
			t.Fatal(err)
		}
		before, after := bufio.NewReader(bytes.NewReader(in)), bufio.NewReader(bytes.NewReader(out))
		for {
			a, errA := stdhttp.ReadRequest(before)
			b, errB := stdhttp.ReadRequest(after)
			if (errA == nil) != (errB == nil) {
				t.Fatalf("%q became %q: %v, %v", in, out, errA, errB)
			}
			if errA != nil {
				return
			}
			bodyA, errA := io.ReadAll(a.Body)
			bodyB, errB := io.ReadAll(b.Body)
			if !bytes.Equal(bodyA, bodyB) || (errA == nil) != (errB == nil) || a.RequestURI != b.RequestURI || a.Method != b.Method {
				t.Fatalf("%q became %q: body %q, %v, then %q, %v", in, out, bodyA, errA, bodyB, errB)
			}
			if errA != nil {
				return
			}
		}
	})
}
