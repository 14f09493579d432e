package rpc_test

import (
	"io"
	"net"
	"testing"
	"time"
)

// sayFrames opens a STOMP session without a library, says frames, and returns
// all that the server says until it closes.
func sayFrames(t *testing.T, h *host, frames string) string {
	t.Helper()
	nc, err := net.Dial("tcp", h.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(nc, "CONNECT\naccept-version:1.2\nhost:localhost\n\n\x00"+frames); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(nc)
	if err != nil {
		t.Fatalf("the server did not close the connection: %v", err)
	}
	return string(got)
}
