package http_test

import (
	"testing"
	"time"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/transport/http"
)

func TestFeedConformance(t *testing.T) {
	const settled = "what a server of Server-Sent Events sends is settled by the request; subscriptions choose among it at the client"
	h := conformance.Harness{
		Transport: http.Transport{}, URL: "http://conformance?format=sse",
		Skip: map[string]string{
			"BeatsAgreed": "over HTTP only the server can show that it lives",
			"FeedEnds":    settled, "FeedPrefix": settled, "FeedAll": settled, "FeedUnsubscribe": settled, "FeedNoRoute": settled,
			"FeedWants": settled, "FeedPlain": settled, "FeedRedial": settled,
		},
	}
	t.Run("pipe", func(t *testing.T) { conformance.Run(t, h) })
	h.Stream, h.Patience = conformance.TCP, 2*time.Second // for what fails, as it is known to
	t.Run("tcp", func(t *testing.T) { conformance.Run(t, h) })
}
