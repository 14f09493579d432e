package mem_test

import (
	"testing"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/internal/hostile"
	"github.com/polyport/polyport/transport/mem"
)

func TestConformance(t *testing.T) {
	h := conformance.Harness{Transport: mem.Transport{}, URL: "mem://conformance", Hostile: hostile.Mem(), Hub: new(conformance.Hub)}
	t.Run("pipe", func(t *testing.T) { conformance.Run(t, h) })
	h.Stream = conformance.TCP
	t.Run("tcp", func(t *testing.T) { conformance.Run(t, h) })
}

// TestLockstepConformance: the same suite, with both ends in lock-step.
func TestLockstepConformance(t *testing.T) {
	h := conformance.Harness{Transport: mem.Transport{}, URL: "mem://conformance?socket=req", Hostile: hostile.Mem()}
	t.Run("pipe", func(t *testing.T) { conformance.Run(t, h) })
	h.Stream = conformance.TCP
	t.Run("tcp", func(t *testing.T) { conformance.Run(t, h) })
}

// TestFeedConformance: the same suite, with a client that only listens.
func TestFeedConformance(t *testing.T) {
	h := conformance.Harness{Transport: mem.Transport{}, URL: "mem://conformance?socket=sub", Hostile: hostile.Mem()}
	t.Run("pipe", func(t *testing.T) { conformance.Run(t, h) })
	h.Stream = conformance.TCP
	t.Run("tcp", func(t *testing.T) { conformance.Run(t, h) })
}
