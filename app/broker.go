package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/broker/brokerrpc"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// BrokerConfig makes the server a broker, too: what its peers send to /queue/NAME
// and /topic/NAME comes to whoever consumes or subscribes there, over any wire.
// Zero numbers mean the defaults of [broker.Options].
type BrokerConfig struct {
	// Enabled has the broker. Without it such destinations are refused.
	Enabled bool `koanf:"enabled"`
	// QueueDepth and QueueBytes bound each queue, SubscriberDepth and
	// SubscriberBytes each subscriber of a topic, and Memory all of them together.
	QueueDepth      int `koanf:"queue_depth"`
	QueueBytes      int `koanf:"queue_bytes"`
	SubscriberDepth int `koanf:"subscriber_depth"`
	SubscriberBytes int `koanf:"subscriber_bytes"`
	Memory          int `koanf:"memory"`
	// SendWait is how long a message waits for room before it is refused.
	SendWait time.Duration `koanf:"send_wait"`
	// Policy is for subscribers that are too slow: drop-oldest, block or
	// disconnect. Empty means drop-oldest.
	Policy string `koanf:"policy"`
	// Attempts is how often a message of a queue is delivered before it goes to
	// the queue DeadLetters; negative for no bound.
	Attempts    int    `koanf:"attempts"`
	DeadLetters string `koanf:"dead_letters"`
	// TTL is how long a message to a queue lives that does not say it itself. Zero
	// means for ever.
	TTL time.Duration `koanf:"ttl"`
	// Retain is of how many topics the last message is kept. Zero means none.
	Retain int `koanf:"retain"`
	// Access are the rules of who may send, consume and subscribe; see
	// [broker.Rules]. Without any everybody may do everything, but consume from a
	// queue that another user consumes.
	Access broker.Rules `koanf:"access"`
	// NoForward keeps calls to methods that the server does not have from the
	// services that consume queues here; see [NewForwarder].
	NoForward bool `koanf:"no_forward"`
	// Operators are the users who may call broker.stats and service.*. Without any
	// nobody may call service.*, and everybody broker.stats unless there is Access.
	Operators []string `koanf:"operators"`
}

// policies are those of [BrokerConfig].Policy.
var policies = map[string]broker.Policy{
	"": broker.DropOldest, "drop-oldest": broker.DropOldest, "block": broker.Block, "disconnect": broker.Disconnect,
}

func (c BrokerConfig) validate() error {
	if _, ok := policies[c.Policy]; !ok {
		return &ConfigError{Key: "broker.policy", Err: fmt.Errorf("expected drop-oldest, block or disconnect, got %q", c.Policy)}
	}
	if err := c.Access.Check(); err != nil {
		return &ConfigError{Key: "broker.access", Err: err}
	}
	return nil
}

// NewHub returns the broker of c, or nil if c has none. [Server.Stop] closes it.
func NewHub(c Config, log *slog.Logger) *broker.Hub {
	b := c.Broker
	if !b.Enabled {
		return nil
	}
	o := &broker.Options{
		QueueDepth: b.QueueDepth, QueueBytes: b.QueueBytes,
		SubscriberDepth: b.SubscriberDepth, SubscriberBytes: b.SubscriberBytes, Memory: int64(b.Memory),
		SendWait: b.SendWait, Slow: policies[b.Policy], Attempts: b.Attempts, DeadLetters: b.DeadLetters,
		TTL: b.TTL, Retain: b.Retain, Logger: log,
	}
	o.Access = b.access()
	return broker.New(o)
}

// access is nil if there are no rules.
func (c BrokerConfig) access() broker.Access {
	if len(c.Access) == 0 {
		return nil
	}
	return c.Access
}

// maySubscribe has the rules hold for those who subscribe by JSON-RPC, too. It is nil
// if there are none.
func (c BrokerConfig) maySubscribe() func(*transport.Info, string) error {
	access := c.access()
	if access == nil {
		return nil
	}
	return func(peer *transport.Info, filter string) error {
		if peer == nil {
			return rpc.Errorf(brokerrpc.CodeDenied, "requests that came through a broker may not subscribe to %.100q: nobody knows whose they are", filter)
		}
		err := access.May(peer, broker.Subscribe, broker.Destination{Kind: broker.Topic, Name: filter})
		if err != nil {
			return rpc.Errorf(brokerrpc.CodeDenied, "%s", transport.Reason(err))
		}
		return nil
	}
}

// A bus carries the events of a server to the topics of its broker, and back.
type bus struct{ hub *broker.Hub }

// Publish sends an event to the topic of its name.
func (b bus) Publish(ctx context.Context, m *transport.Message) error {
	m.To = "/topic/" + m.To
	return b.hub.Publish(ctx, m)
}

// Hear hears all topics.
func (b bus) Hear(hear func(*transport.Message)) (stop func(), err error) {
	return b.hub.Hear("#", hear)
}
