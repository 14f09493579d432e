package http_test

import (
	"testing"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/internal/hostile"
	"github.com/polyport/polyport/transport/http"
)

func TestSocketConformance(t *testing.T) {
	h := conformance.Harness{Transport: http.Transport{}, URL: "ws://conformance", Hostile: hostile.WebSocket()}
	t.Run("pipe", func(t *testing.T) { conformance.Run(t, h) })
	h.Stream = conformance.TCP
	t.Run("tcp", func(t *testing.T) { conformance.Run(t, h) })
}
