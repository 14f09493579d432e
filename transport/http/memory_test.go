package http_test

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/transport"
)

// TestNeverReads: a peer that posts without end and reads no answer costs a bounded
// amount of memory, and its connection when WriteStall is over.
func TestNeverReads(t *testing.T) {
	o := new(transport.ListenOptions)
	o.WriteStall = time.Second
	s := newSite(t, nil, o)
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"Echo","params":[%q]}`, strings.Repeat("x", 1<<20))
	request := fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	nc, _ := s.raw(t)
	sent := 0
	for {
		n, err := io.WriteString(nc, request)
		sent += n
		if isTimeout(err) {
			t.Fatalf("the connection is still open after %v", patience)
		}
		if err != nil {
			break
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 16<<20 {
		t.Errorf("%d bytes sent, %d kept, want at most 16 MiB", sent, grown)
	}
}

// TestServer holds a server of JSON-RPC behind HTTP to the rules for those.
func TestServer(t *testing.T) {
	s := newSite(t, nil, nil)
	for _, format := range []string{"json"} {
		url := "http://" + s.addr + "?format=" + format
		conformance.Run(t, conformance.Harness{URL: url, Server: &conformance.Server{
			Dial: func(ctx context.Context, o *transport.DialOptions) (transport.Conn, error) {
				return transport.Dial(ctx, url, o)
			},
		}})
	}
}
