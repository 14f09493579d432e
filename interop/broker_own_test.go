package interop_test

import (
	"context"
	"testing"
	"time"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/interop/broker"
	"github.com/polyport/polyport/transport"
)

// These are the programs that run through RabbitMQ, ActiveMQ and Proton's broker,
// run through "polyport serve --broker": moving is a change of the URL.

// TestCommandThroughOwnBroker is TestCommandThroughBroker.
func TestCommandThroughOwnBroker(t *testing.T) {
	bin, own := buildCommand(t), startBroker(t)
	anybody := &broker.Broker{Kind: broker.Proton} // asks nobody who he is, and has no TLS
	t.Run("stomp", func(t *testing.T) { commands(t, bin, anybody, "stomp://"+own+"/queue/command", "") })
	t.Run("amqp", func(t *testing.T) { commands(t, bin, anybody, "amqp://"+own+"/command.amqp", "") })
}

// TestServersShareOwnQueue is TestServersShareAQueue.
func TestServersShareOwnQueue(t *testing.T) {
	own := startBroker(t)
	t.Run("stomp", func(t *testing.T) { share(t, "stomp://"+own+"/queue/share", 3_000) })
	t.Run("amqp", func(t *testing.T) { share(t, "amqp://"+own+"/share.amqp", 3_000) })
}

// TestThroughOwnBroker is TestThroughBroker. What the broker does to messages is
// found out, and nothing may be lost by it; that headers are a map is AMQP's.
func TestThroughOwnBroker(t *testing.T) {
	own := startBroker(t)
	for _, tt := range []struct {
		scheme, queues string
		headerSet      bool
	}{
		{"stomp", "stomp://" + own + "/queue/", false},
		{"amqp", "amqp://" + own + "/", true},
	} {
		t.Run(tt.scheme, func(t *testing.T) {
			through := conformance.Broker{Dial: func(ctx context.Context, queue string, o *transport.DialOptions) (transport.Conn, error) {
				return transport.Dial(ctx, tt.queues+queue, o)
			}}
			if err := through.Learn(t.Context()); err != nil {
				t.Fatal(err)
			}
			if through.HoldsReleased || through.HeaderSet != tt.headerSet || len(through.Adds) > 0 {
				t.Errorf("the broker is found to hold what is released (%t), to take headers apart (%t) or to add %v",
					through.HoldsReleased, through.HeaderSet, through.Adds)
			}
			conformance.Run(t, conformance.Harness{URL: tt.scheme + "://broker", Broker: &through, Patience: 30 * time.Second})
		})
	}
}
