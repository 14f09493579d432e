// Package quickstart_test builds and runs the two programs of the quick start.
package quickstart_test

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// address is where the programs meet. The test puts another one in its place,
// so that it disturbs nobody.
const address = "127.0.0.1:7070"

// build builds the program in a folder with another address, and returns its
// file.
func build(t *testing.T, folder, addr string) string {
	t.Helper()
	source, err := filepath.Abs(filepath.Join(folder, "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), address); n != 1 {
		t.Fatalf("%s names the address %s %d times, want once", source, address, n)
	}
	dir := t.TempDir()
	changed, overlay, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, folder)
	plan, err := json.Marshal(map[string]any{"Replace": map[string]string{source: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{changed: []byte(strings.Replace(string(text), address, addr, 1)), overlay: plan} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-overlay", overlay, "-o", program, "./"+folder)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

func TestQuickstart(t *testing.T) {
	server := exec.CommandContext(t.Context(), build(t, "server", "127.0.0.1:0"))
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening ")
	if !ok {
		t.Fatalf("the server says %q, %v, want listening ADDR", line, err)
	}
	out, err := exec.CommandContext(t.Context(), build(t, "client", addr)).CombinedOutput()
	if err != nil || string(out) != "6 <nil>\n" {
		t.Errorf("the client prints %q, %v, want 6 <nil>", out, err)
	}
}
