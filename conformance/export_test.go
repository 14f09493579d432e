package conformance

import (
	"context"
	"testing"
)

// Try tests a rule, in virtual time where it applies, without failing t.
func (r Rule) Try(t *testing.T, h *Harness) Result { return r.try(t.Context(), t, h) }

// JudgeSkip and UnknownSkips are what Run does about Harness.Skip.
func (r Rule) JudgeSkip(got Result, why string) string { return r.judgeSkip(got, why) }

func UnknownSkips(skip map[string]string) []string { return unknownSkips(skip) }

// NewRule makes a rule of a function.
func NewRule(name string, check func(t TB)) Rule {
	return Rule{Name: name, Text: name, check: func(r *rig) { check(r) }}
}

// Alone tests a rule as Check does.
func (r Rule) Alone(ctx context.Context, h *Harness) Result { return r.try(ctx, nil, h) }

// OnFeeds are the rules that are tested on feeds, too.
var OnFeeds = onFeeds

// InStep reports whether a rule is tested in lock-step, too, and how many are.
func InStep(name string) (ok bool, all int) { return inStep[name], len(inStep) }
