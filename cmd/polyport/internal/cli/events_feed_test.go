package cli_test

import (
	"context"
	"strings"
	"testing"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// feedOf serves in memory, and publishes on the topic x.y as long as somebody
// listens. It returns the URL of the feed.
func feedOf(t *testing.T) (url string) {
	t.Helper()
	l, err := transport.Listen(t.Context(), "mem://", nil)
	if err != nil {
		t.Fatal(err)
	}
	server := rpc.NewServer(rpc.NewMux(nil), &rpc.ServerOptions{Events: &rpc.EventOptions{Policy: rpc.Block}})
	ctx, stop := context.WithCancel(context.Background())
	served, done := make(chan error, 1), make(chan struct{})
	go func() { served <- server.Serve(ctx, l) }()
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; {
			if n, _ := server.Publish(ctx, "x.y", []int{i}); n > 0 {
				i++
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
	return "mem://" + l.Addr().String() + "?socket=sub"
}

func TestEventsOfAFeed(t *testing.T) {
	url := feedOf(t)
	got := run(t, "events", url, "x.#", "--count", "2")
	want := outcome{0, `{"topic":"x.y","params":[0]}` + "\n" + `{"topic":"x.y","params":[1]}` + "\n", ""}
	if got != want {
		t.Errorf("events = %+v, want %+v", got, want)
	}
	got = run(t, "events", url, "x.y.z", "--timeout", "50ms")
	if want := (outcome{0, "", ""}); got != want {
		t.Errorf("events that nobody publishes = %+v, want %+v", got, want)
	}
	got = run(t, "call", url, "m")
	if got.code != 3 || !strings.Contains(got.stderr, "only carries events; to call, dial without ?socket=sub") {
		t.Errorf("call = %+v, want status 3 and what to do", got)
	}
}
