package zmq_test

import (
	"testing"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/internal/hostile"
	"github.com/polyport/polyport/transport/zmq"
)

func TestConformance(t *testing.T) {
	for _, socket := range []string{"dealer", "req", "sub"} {
		t.Run(socket, func(t *testing.T) {
			h := conformance.Harness{Transport: zmq.Transport{}, URL: "zmq://conformance?socket=" + socket, Hostile: hostile.ZMQ()}
			t.Run("pipe", func(t *testing.T) { conformance.Run(t, h) })
			h.Stream = conformance.TCP
			t.Run("tcp", func(t *testing.T) { conformance.Run(t, h) })
		})
	}
}
