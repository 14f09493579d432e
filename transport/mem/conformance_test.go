package mem_test

import (
	"testing"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/transport/mem"
)

func TestConformance(t *testing.T) {
	h := conformance.Harness{Transport: mem.Transport{}, URL: "mem://conformance"}
	t.Run("pipe", func(t *testing.T) { conformance.Run(t, h) })
	h.Stream = conformance.TCP
	t.Run("tcp", func(t *testing.T) { conformance.Run(t, h) })
}
