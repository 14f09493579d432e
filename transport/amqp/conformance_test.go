package amqp_test

import (
	"testing"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/internal/hostile"
	"github.com/polyport/polyport/transport/amqp"
)

func TestConformance(t *testing.T) {
	h := conformance.Harness{Transport: amqp.Transport{}, URL: "amqp://conformance", HeaderSet: true, Hostile: hostile.AMQP(), Hub: &conformance.Hub{Survives: true}}
	t.Run("pipe", func(t *testing.T) { conformance.Run(t, h) })
	h.Stream = conformance.TCP
	t.Run("tcp", func(t *testing.T) { conformance.Run(t, h) })
}
