package interop_test

import (
	"context"
	"testing"
	"time"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/interop/broker"
	"github.com/polyport/polyport/transport"
	_ "github.com/polyport/polyport/transport/amqp"
)

// amqpDeclared is what each broker does to messages of AMQP 1.0.
// docs/brokers.md has it in words.
var amqpDeclared = map[broker.Kind]conformance.Broker{
	broker.RabbitMQ3: {HeaderSet: true},
	broker.RabbitMQ4: {HeaderSet: true},
	broker.Proton:    {HeaderSet: true},
}

// TestThroughBrokerAMQP holds AMQP's client to the contract, at both ends, with
// a broker in between.
func TestThroughBrokerAMQP(t *testing.T) {
	broker.EachAMQP(t, func(t *testing.T, b *broker.Broker) {
		through := amqpDeclared[b.Kind]
		through.Dial = func(ctx context.Context, queue string, o *transport.DialOptions) (transport.Conn, error) {
			return transport.Dial(ctx, b.AMQPURL+"/"+queue, o)
		}
		conformance.Run(t, conformance.Harness{URL: "amqp://broker", Broker: &through, Patience: 10 * time.Second})
	})
}
