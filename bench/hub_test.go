package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestMain lets the test's program be a server, as main does.
func TestMain(m *testing.M) {
	if name := os.Getenv(hubServerEnv); name != "" {
		if err := beHubServer(name, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestHub lets every server that needs no other program do all loads; a message
// too few, too many or altered fails.
func TestHub(t *testing.T) {
	t.Setenv(rabbitEnv, "")
	doc := filepath.Join(t.TempDir(), "bench.md")
	if err := os.WriteFile(doc, []byte(hubMark+endMark), 0o600); err != nil {
		t.Fatal(err)
	}
	out, stderr := bench(t, 0, "-hub", "-rounds", "1", "-time", "20ms", "-doc", doc)
	if !strings.Contains(stderr, "RabbitMQ is NOT MEASURED") {
		t.Errorf("stderr = %q", stderr)
	}
	for _, p := range without(allHubPeers(), "") {
		want := len(allHubLoads()) // one is that of its version
		if slices.Contains(slowServers(), p.name) {
			want++
		}
		if got := strings.Count(out, "\n| "+p.name+" | "); got != want {
			t.Errorf("%s has %d rows, want one for each load and that of its version:\n%s", p.name, got, out)
		}
	}
	if text, err := os.ReadFile(doc); err != nil || !strings.Contains(string(text), out) {
		t.Errorf("the document is %s, %v", text, err)
	}
}

// TestHubNotices: a server that loses messages is no result.
func TestHubNotices(t *testing.T) {
	r := &hubRig{load: allHubLoads()[1]}
	r.sent.Store(10)
	r.total.Store(11)
	if err := r.drain(context.Background()); err == nil {
		t.Error("11 of 10 messages went unnoticed")
	}
}
