package cli

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/polyport/polyport/app"
)

type version struct{ common }

func (v *version) run(_ context.Context, e *environment) error { //nolint:unparam // it is a verb
	ours := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		ours = info.Main.Version
	}
	if v.JSON {
		writeJSON(e.stdout, map[string]any{"version": ours, "go": runtime.Version(), "wires": app.Wires()})
		return nil
	}
	fmt.Fprintf(e.stdout, "polyport %s (%s; wires: %s)\n", ours, runtime.Version(), strings.Join(app.Wires(), ", "))
	return nil
}

// help is in the grammar for the list of verbs; Run turns it into --help.
type help struct {
	common

	Verb string `arg:"" optional:"" help:"The verb."`
}

func (*help) run(context.Context, *environment) error { return nil }
