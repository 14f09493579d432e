package interop_test

import (
	"context"
	"testing"
	"time"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/interop/broker"
	"github.com/polyport/polyport/transport"
)

// declared is what each broker does to messages. docs/brokers.md has it in
// words.
var declared = map[broker.Kind]conformance.Broker{
	broker.RabbitMQ3: {Renames: true, HeaderSet: true},
	broker.RabbitMQ4: {Renames: true, HeaderSet: true, Largest: 4<<20 - 1024},
	broker.ActiveMQ:  {Renames: true, HeaderSet: true, Adds: []string{"priority", "timestamp"}, HoldsReleased: true},
}

// TestThroughBroker holds STOMP's client to the contract, at both ends, with a
// broker in between.
func TestThroughBroker(t *testing.T) {
	broker.Each(t, func(t *testing.T, b *broker.Broker) {
		through := declared[b.Kind]
		through.Dial = func(ctx context.Context, queue string, o *transport.DialOptions) (transport.Conn, error) {
			return transport.Dial(ctx, b.URL+"/queue/"+queue, o)
		}
		conformance.Run(t, conformance.Harness{URL: "stomp://broker", Broker: &through, Patience: 30 * time.Second})
	})
}
