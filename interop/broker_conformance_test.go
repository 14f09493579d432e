package interop_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/transport"
)

// brokers returns the STOMP addresses of the brokers that there are.
func brokers(t *testing.T) map[string]string {
	t.Helper()
	urls := map[string]string{}
	for name, env := range map[string]string{
		rabbit3: "RABBITMQ_STOMP_URL", rabbit4: "RABBITMQ4_STOMP_URL", active: "ACTIVEMQ_STOMP_URL",
	} {
		urls[name] = os.Getenv(env)
		if urls[name] == "" {
			t.Run(name, func(t *testing.T) {
				t.Skip(env + " is not set; it would be stomp://user:password@host:port")
			})
			delete(urls, name)
		}
	}
	return urls
}

const (
	rabbit3 = "RabbitMQ 3.10"
	rabbit4 = "RabbitMQ 4.0"
	active  = "ActiveMQ 5.17"
)

// declared is what each broker does to messages. docs/brokers.md has it in
// words.
var declared = map[string]conformance.Broker{
	rabbit3: {Renames: true, HeaderSet: true},
	rabbit4: {Renames: true, HeaderSet: true, Largest: 4<<20 - 1024},
	active:  {Renames: true, HeaderSet: true, Adds: []string{"priority", "timestamp"}, HoldsReleased: true},
}

// TestThroughBroker holds STOMP's client to the contract, at both ends, with a
// broker in between.
func TestThroughBroker(t *testing.T) {
	for name, url := range brokers(t) {
		b := declared[name]
		b.Dial = func(ctx context.Context, queue string, o *transport.DialOptions) (transport.Conn, error) {
			return transport.Dial(ctx, url+"/queue/"+queue, o)
		}
		t.Run(name, func(t *testing.T) {
			conformance.Run(t, conformance.Harness{URL: "stomp://broker", Broker: &b, Patience: 30 * time.Second})
		})
	}
}
