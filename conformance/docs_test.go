package conformance_test

import (
	"os"
	"strings"
	"testing"

	"github.com/polyport/polyport/conformance"
)

// TestDocs: the manual has the rules about servers as they are.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../docs/conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	rules := conformance.ServerRules()
	for _, r := range rules {
		if line := "| `" + r.Name + "` | " + r.Text + " |\n"; !strings.Contains(string(text), line) {
			t.Errorf("docs/conformance.md does not say\n%s", line)
		}
	}
	if got := strings.Count(string(text), "\n| `"); got != len(rules) {
		t.Errorf("docs/conformance.md has %d rules, want %d", got, len(rules))
	}
}
