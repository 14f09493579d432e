package stomp_test

import (
	"testing"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/internal/hostile"
	"github.com/polyport/polyport/transport/stomp"
)

func TestConformance(t *testing.T) {
	h := conformance.Harness{
		Transport: stomp.Transport{}, URL: "stomp://conformance", Hostile: hostile.STOMP(), Hub: &conformance.Hub{},
	}
	t.Run("pipe", func(t *testing.T) { conformance.Run(t, h) })
	h.Stream = conformance.TCP
	t.Run("tcp", func(t *testing.T) { conformance.Run(t, h) })
}
