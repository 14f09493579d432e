package amqp_test

import (
	"context"
	"testing"
	"time"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/interop/broker"
	"github.com/polyport/polyport/transport"
	_ "github.com/polyport/polyport/transport/amqp"
)

// declared is what each broker does to messages of AMQP 1.0.
// docs/brokers.md has it in words.
var declared = map[broker.Kind]conformance.Broker{
	broker.RabbitMQ3: {HeaderSet: true},
	broker.RabbitMQ4: {HeaderSet: true},
	broker.Proton:    {HeaderSet: true},
}

// broken are the rules that a broker keeps us from keeping.
var broken = map[broker.Kind]map[string]string{
	broker.Proton: {
		"FieldText":              "the broker's Python binding ends a text at its first NUL",
		"SettleReleases":         "the broker has no topics: those who subscribe to an address share it, as they do a queue",
		"SettleAfterUnsubscribe": "the broker has no topics: those who subscribe to an address share it, as they do a queue",
		"UnsettledComesBack":     "the broker gives no message again",
		"ReleasedComesBack":      "the broker gives no message again",
		"RejectedIsGone":         "the broker forgets what a consumer that leaves has not taken",
	},
}

// TestThroughBroker holds AMQP's client to the contract, at both ends, with
// a broker in between; one after the other, because a rule counts the goroutines
// that it leaves.
func TestThroughBroker(t *testing.T) {
	broker.EachAMQP(t, func(t *testing.T, b *broker.Broker) {
		through := declared[b.Kind]
		through.Dial = func(ctx context.Context, queue string, o *transport.DialOptions) (transport.Conn, error) {
			return transport.Dial(ctx, b.AMQPURL+"/"+queue, o)
		}
		h := conformance.Harness{
			URL: "amqp://broker", Broker: &through, Patience: 30 * time.Second, Skip: broken[b.Kind],
			Options: &transport.Options{Linger: 20 * time.Second}, // beside other tests a broker may take its time
		}
		if b.Kind == broker.Proton { // whose broken rules fail by waiting
			h.Patience = 6 * time.Second
		}
		conformance.Run(t, h)
	})
}
