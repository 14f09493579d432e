package rpc

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/polyport/polyport/transport"
)

// An EventPolicy says what becomes of an event for a subscriber whose buffer is
// full.
type EventPolicy uint8

// The policies. What is dropped is counted, and the subscriber is told how much
// it missed, in its place in the order; but not on a feed, which has no way to say
// it.
const (
	// DropOldest drops the events that have waited longest.
	DropOldest EventPolicy = iota
	// DropNewest drops the event that finds no room.
	DropNewest
	// Block makes Publish wait for room within its ctx, and then drop the event.
	// All other subscribers have got it by then.
	Block
	// Disconnect ends the subscription, not the connection, and drops what
	// waits. On a feed ([transport.Info].Feed) it closes the connection.
	Disconnect
)

// String returns "drop-oldest", "drop-newest", "block" or "disconnect".
func (p EventPolicy) String() string {
	names := [...]string{"drop-oldest", "drop-newest", "block", "disconnect"}
	if int(p) >= len(names) {
		return fmt.Sprintf("EventPolicy(%d)", uint8(p))
	}
	return names[p]
}

// EventOptions adjust how a [Server] publishes. A nil pointer means the
// defaults.
type EventOptions struct {
	// Buffer is how many events may wait for one subscriber. Zero means 1024.
	Buffer int
	// Bytes is how much they may take up together; one event may always wait.
	// Zero means 4 MiB. An event that waits for many is held once.
	Bytes int
	// Policy says what happens when there is no room.
	Policy EventPolicy
	// Subscriptions is how many there may be of one connection. Further ones
	// are refused with [CodeBusy]. Zero means 1024.
	Subscriptions int
	// Lease is how long a subscription lives that is not renewed, where a
	// connection to a broker carries those of many callers: none of them can be
	// seen leaving. Zero means 2 minutes.
	Lease time.Duration
	// Bus carries the events beyond the server, and brings those of others. Publish
	// then returns how many subscribers the server itself had, and what kept the bus
	// from taking the event; they get it when the bus gives it back. What it brings
	// waits for nobody: [Block] drops it as DropNewest does. Nil means none.
	Bus Bus
	// May says whether a peer may subscribe to what filter stands for. Its error is
	// the answer to rpc.subscribe, with the code of an [*Error]. The peer is nil if
	// the request came through a broker, for then nobody knows whose it is. On a feed
	// nobody asks: there May is asked with the topic of each event that the peer
	// wants, and those that it may not have do not come. It is called by many
	// goroutines at once, and must not block. Nil lets everybody.
	May func(peer *transport.Info, filter string) error
}

func (o *EventOptions) withDefaults() EventOptions {
	if o == nil {
		o = new(EventOptions)
	}
	full := *o
	full.Buffer, full.Bytes = or(o.Buffer, 1024), or(o.Bytes, 4<<20)
	full.Subscriptions = or(o.Subscriptions, 1024)
	if full.Lease <= 0 {
		full.Lease = 2 * time.Minute
	}
	return full
}

// EventStats are counts of a [Server].
type EventStats struct {
	// Subscriptions is how many there are now. A feed counts as one.
	Subscriptions int
	// Published is how many events had a subscriber, Dropped how many of their
	// deliveries were given up.
	Published, Dropped uint64
}

// Publish sends an event to all who subscribed to its topic, and returns how
// many that were. It may be called from anywhere, handlers included.
//
// A topic is words with dots between them, up to 255 bytes in all; it must not
// begin with "rpc.". The payload becomes the params of a notification whose
// method is the topic, so it must encode to an array or an object; nil sends
// none. It is encoded once, and only if somebody subscribed.
//
// Publish hands the event over and does not wait for subscribers: what a
// subscriber cannot take at once waits in its buffer, and if that is full its
// [EventPolicy] decides. ctx bounds the wait of [Block]; its end is returned as
// the error, with the number of those who got the event all the same. What one
// goroutine publishes comes to each subscriber in that order.
func (s *Server) Publish(ctx context.Context, topic string, payload any) (subscribers int, err error) {
	return s.events.publish(ctx, topic, payload)
}

// EventStats returns the counts of events since the server was made.
func (s *Server) EventStats() EventStats { return s.events.statistics() }

// Publish is [Server.Publish] on the server that serves the request. Where a
// client serves it, there is nobody to get the event.
func (q Request) Publish(ctx context.Context, topic string, payload any) (subscribers int, err error) {
	if q.r.session.subscribers.hub == nil {
		return 0, checkTopic(topic)
	}
	return q.r.session.subscribers.hub.publish(ctx, topic, payload)
}

// An Event is one that a [Subscription] received.
type Event struct {
	// Topic is what it was published on.
	Topic string
	// Params is the payload as it came: an array, an object, or nil.
	Params json.RawMessage

	codec    Codec
	metadata []byte // an object, or nil
}

// Decode decodes the payload into what v points to. Without a payload it leaves
// v as it is.
func (e Event) Decode(v any) error {
	if e.Params == nil {
		return nil
	}
	return orJSON(e.codec).Decode(e.Params, v)
}

// GapError says that events are missing from a [Subscription] at this place. It
// does not end the subscription.
type GapError struct {
	// Dropped is how many events were dropped because the subscriber was too
	// slow; 0 means that nobody knows how many are missing, if any: the
	// connection was lost, and the subscription has just been renewed.
	Dropped uint64
}

// Error returns "rpc: N events were dropped" or "rpc: events may have been
// lost with the connection".
func (e *GapError) Error() string {
	if e.Dropped == 0 {
		return "rpc: events may have been lost with the connection"
	}
	return fmt.Sprintf("rpc: %d events were dropped", e.Dropped)
}
