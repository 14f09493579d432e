package interop_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	pythonBlock = regexp.MustCompile("(?s)```python\n(.*?)```")
	printed     = regexp.MustCompile(`# prints (.*)`)
)

// TestPyzmqInDocs runs the examples of docs/zmq.md, which say what they print,
// with a server that has the method Math.Sum and the topic clock.
func TestPyzmqInDocs(t *testing.T) {
	t.Parallel()
	needPyzmq(t)
	text, err := os.ReadFile("../docs/zmq.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := pythonBlock.FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 3 {
		t.Fatalf("docs/zmq.md has %d examples in Python, want 3", len(blocks))
	}
	server, port := startPublisher(t)
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
		cmd := exec.CommandContext(t.Context(), python, "-c", strings.ReplaceAll(b[1], there, fmt.Sprintf("127.0.0.1:%d", port)))
		cmd.WaitDelay = time.Second
		out, err := cmd.CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != strings.TrimSpace(want[1]) {
			t.Errorf("%v: it printed %s, want %s:\n%s", err, out, want[1], b[1])
		}
	}
}
