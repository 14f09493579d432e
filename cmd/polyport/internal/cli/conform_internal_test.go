package cli

import (
	"slices"
	"testing"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/conformance"
)

// TestWiresOfConform: no wire of the program is forgotten.
func TestWiresOfConform(t *testing.T) {
	if got, want := slices.Sorted(slices.Values(wireNames())), app.Wires(); !slices.Equal(got, want) {
		t.Errorf("conform --wire knows %q, the program speaks %q", got, want)
	}
	for _, scheme := range app.Wires() {
		if hostileTo(scheme) == nil {
			t.Errorf("there are no hostile openings for %s", scheme)
		}
	}
}

func TestDoes(t *testing.T) {
	for want, b := range map[string]conformance.Broker{
		"which changes nothing": {},
		"which renames addresses; keeps headers as a set; adds the headers a, b; holds what was released; takes bodies of 4,193,280 bytes at most": {
			Renames: true, HeaderSet: true, Adds: []string{"a", "b"}, HoldsReleased: true, Largest: 4<<20 - 1024,
		},
	} {
		if got := does(&b); got != want {
			t.Errorf("does(%+v) = %q, want %q", b, got, want)
		}
	}
}
