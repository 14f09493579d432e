package http_test

import (
	"testing"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/internal/hostile"
	"github.com/polyport/polyport/transport/http"
)

func TestConformance(t *testing.T) {
	h := conformance.Harness{
		Transport: conformance.Greeting(http.Transport{}), URL: "http://conformance", HeaderSet: true, Hostile: hostile.HTTP(), ContentType: "application/json",
		Skip: map[string]string{"IdleLives": "over HTTP a server closes a connection that is idle for 2 min; a client dials again"},
	}
	t.Run("pipe", func(t *testing.T) { conformance.Run(t, h) })
	h.Stream = conformance.TCP
	t.Run("tcp", func(t *testing.T) { conformance.Run(t, h) })
}
