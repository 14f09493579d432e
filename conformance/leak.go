package conformance

import (
	"context"
	"regexp"
	"runtime"
	"strings"
	"time"
)

// goroutines is a set of goroutines by their numbers, or the number of the
// bubble of which all goroutines but the test's own are in question.
type goroutines struct {
	known  map[string]bool
	bubble string
}

var (
	goroutineHead  = regexp.MustCompile(`^goroutine (\d+) `)
	goroutineState = regexp.MustCompile(`^goroutine \d+.*synctest bubble (\d+)`)
)

// countGoroutines notes which goroutines there are.
func countGoroutines(virtual bool) goroutines {
	if virtual {
		b := make([]byte, 256)
		b = b[:runtime.Stack(b, false)]
		if m := goroutineState.FindSubmatch(b); m != nil {
			return goroutines{bubble: string(m[1])}
		}
	}
	g := goroutines{known: map[string]bool{}}
	for _, s := range stacks() {
		g.known[goroutineHead.FindString(s)] = true
	}
	return g
}

// stacks returns the stack of every goroutine but this one.
func stacks() []string {
	for size := 1 << 20; ; size *= 2 {
		b := make([]byte, size)
		if n := runtime.Stack(b, true); n < size {
			return strings.Split(strings.TrimSpace(string(b[:n])), "\n\n")[1:]
		}
	}
}

// left waits until no goroutine is left that was not there before, and returns
// the stacks of those that are when ctx ends.
func (g goroutines) left(ctx context.Context) string {
	for pause := time.Millisecond; ; pause *= 2 {
		var left []string
		for _, s := range stacks() {
			if g.suspect(s) {
				left = append(left, s)
			}
		}
		if len(left) == 0 {
			return ""
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return strings.Join(left, "\n\n")
		}
	}
}

func (g goroutines) suspect(stack string) bool {
	if strings.Contains(stack, "testing.tRunner(") || strings.Contains(stack, "testing/synctest.") {
		return false // those that wait for this test
	}
	if g.bubble == "" {
		return !g.known[goroutineHead.FindString(stack)]
	}
	m := goroutineState.FindStringSubmatch(stack)
	return m != nil && m[1] == g.bubble
}
