package cli_test

import (
	"context"
	"strings"
	"testing"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// hostAgent publishes as an oVirt host does, as long as somebody listens.
func hostAgent(t *testing.T) (url string) {
	t.Helper()
	l, err := transport.Listen(t.Context(), "stomp://127.0.0.1:0?profile=ovirt", nil)
	if err != nil {
		t.Fatal(err)
	}
	server := rpc.NewServer(rpc.NewMux(nil), nil)
	ctx, stop := context.WithCancel(context.Background())
	served, done := make(chan error, 1), make(chan struct{})
	go func() { served <- server.Serve(ctx, l) }()
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if n, _ := server.Publish(ctx, "|virt|VM_status|1", map[string]string{"status": "Up"}); n > 0 {
				_, _ = server.Publish(ctx, "|net|host_conn|no_id", nil)
			}
		}
	}()
	t.Cleanup(func() {
		stop()
		<-done
		<-served
		_ = l.Close()
		if err := server.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown() = %v", err)
		}
	})
	return "stomp://" + l.Addr().String() + "?profile=ovirt"
}

// TestEventsOfAHost: events of oVirt by their own filters.
func TestEventsOfAHost(t *testing.T) {
	url := hostAgent(t)
	const status = `{"topic":"|virt|VM_status|1","params":{"status":"Up"}}` + "\n"
	const conn = `{"topic":"|net|host_conn|no_id"}` + "\n"
	for filter, want := range map[string]string{
		"*|virt|VM_status|*":    status + status,
		"127.0.0.1|*|*|1":       status + status,
		"*|net|host_conn|no_id": conn + conn,
	} {
		if got := run(t, "events", url, filter, "--count", "2"); got.code != 0 || got.stdout != want {
			t.Errorf("events %s = %+v, want %s", filter, got, want)
		}
	}
	if got := run(t, "events", url, "--count", "4"); got.code != 0 || !strings.Contains(got.stdout, status) || !strings.Contains(got.stdout, conn) {
		t.Errorf("events = %+v, want all of them", got)
	}
	if got := run(t, "events", url, "other|*|*|1", "--timeout", "200ms"); got.code != 0 || got.stdout != "" {
		t.Errorf("events of another host = %+v, want none", got)
	}
	if got := run(t, "events", url, "*|*|*|*", "--timeout", "1s"); got.code != 2 || !strings.Contains(got.stderr, "stands for all events, for which write #") {
		t.Errorf("events of all by stars = %+v, want status 2 and what to write", got)
	}
}
