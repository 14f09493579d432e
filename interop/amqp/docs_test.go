package amqp_test

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

var (
	pythonBlock = regexp.MustCompile("(?s)```python\n(.*?)```")
	printed     = regexp.MustCompile(`# prints (.*)`)
)

// TestProtonInDocs runs the examples of docs/amqp.md, which say what they print,
// with a server that has the method Math.Sum, the topic clock and a broker.
func TestProtonInDocs(t *testing.T) {
	t.Parallel()
	needProton(t)
	text, err := os.ReadFile("../../docs/amqp.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := pythonBlock.FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 3 {
		t.Fatalf("docs/amqp.md has %d examples in Python, want 3", len(blocks))
	}
	mux := rpc.NewMux(nil)
	rpc.Handle(mux, "Math.Sum", func(_ context.Context, terms []float64) (sum float64, _ error) {
		for _, x := range terms {
			sum += x
		}
		return sum, nil
	})
	hub := broker.New(nil)
	t.Cleanup(func() { _ = hub.Close() })
	l, err := transport.Listen(t.Context(), "amqp://127.0.0.1:0", &transport.ListenOptions{Broker: hub})
	if err != nil {
		t.Fatal(err)
	}
	server := rpc.NewServer(mux, nil)
	start(t, server, l)
	ticking, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ticking.Err() == nil {
			_, _ = server.Publish(ticking, "clock", nonce{})
			time.Sleep(10 * time.Millisecond)
		}
	})
	defer wg.Wait()
	defer stop()
	for _, b := range blocks {
		const there = "127.0.0.1:7070"
		want := printed.FindStringSubmatch(b[1])
		if want == nil || !strings.Contains(b[1], there) {
			t.Errorf("an example does not say what it prints, or does not connect to %s:\n%s", there, b[1])
			continue
		}
		cmd := exec.CommandContext(t.Context(), python, "-c", strings.ReplaceAll(b[1], there, l.Addr().String()))
		cmd.WaitDelay = time.Second
		out, err := cmd.CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != strings.TrimSpace(want[1]) {
			t.Errorf("%v: it printed %s, want %s:\n%s", err, out, want[1], b[1])
		}
	}
}
