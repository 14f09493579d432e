package conformance

import (
	"fmt"
	"maps"
	"slices"
	"testing"
)

// Run tests a wire, or a server, against every rule that the harness is for, each as a subtest of its name with the
// rule's text as its attribute "rule". What does not apply is skipped with the
// reason. Subtests run one after the other, and must not run beside other tests
// of the same process, for they count goroutines and bytes.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for _, wrong := range unknownSkips(h.Skip) {
		t.Errorf("%s", wrong)
	}
	for _, r := range h.rules() {
		t.Run(r.Name, func(t *testing.T) {
			t.Attr("rule", r.Text)
			if why, known := h.Skip[r.Name]; known {
				r.expectFailure(t, &h, why)
				return
			}
			r.Check(t, &h)
		})
	}
}

// expectFailure tests a rule that is known not to hold.
func (r Rule) expectFailure(t *testing.T, h *Harness, why string) {
	t.Helper()
	if wrong := r.judgeSkip(r.try(t.Context(), t, h), why); wrong != "" {
		t.Errorf("%s", wrong)
		return
	}
	t.Skip(why)
}

// judgeSkip returns what is wrong with an entry of Skip, or "".
func (r Rule) judgeSkip(got Result, why string) string {
	switch {
	case why == "":
		return fmt.Sprintf("Skip names the rule %s without a reason", r.Name)
	case got.Verdict == Passed:
		return fmt.Sprintf("Skip names the rule %s (%s), which holds: take it off the list", r.Name, why)
	case got.Verdict == Skipped:
		return fmt.Sprintf("Skip names the rule %s (%s), which does not apply: %s", r.Name, why, got.Log)
	}
	return ""
}

// unknownSkips returns what is wrong with the names in skip.
func unknownSkips(skip map[string]string) (wrong []string) {
	for _, name := range slices.Sorted(maps.Keys(skip)) {
		if r, ok := Lookup(name); !ok || r.Name != name {
			wrong = append(wrong, fmt.Sprintf("Skip names the rule %q, which there is not", name))
		}
	}
	return wrong
}
