package broker

import (
	"github.com/polyport/polyport/transport"
)

// An Action is what a peer wants to do with a destination.
type Action uint8

// The actions.
const (
	// Send is to send to a queue or a topic.
	Send Action = iota
	// Consume is to take messages from a queue.
	Consume
	// Subscribe is to listen to topics.
	Subscribe
)

// String returns "send to", "consume from" or "subscribe to".
func (a Action) String() string {
	return [...]string{"send to", "consume from", "subscribe to"}[a]
}

// Access says who may do what. Those in this process, by [Hub.Dial], [Hub.Publish]
// and [Hub.Hear], may do everything. Private queues are nobody's business: everybody
// may have them, and only who was told the address can send there.
type Access interface {
	// May returns nil if the peer of a connection may do a with d, whose kind is
	// [Queue] or [Topic]; else an error that wraps [transport.ErrRefused], and says
	// in words for the peer's person what is missing. It is called for each message
	// and each subscription, by any goroutine, and must not block.
	May(peer *transport.Info, a Action, d Destination) error
}

// refused is the error for what a peer may not do.
func refused(peer *transport.Info, a Action, d Destination, what string) error {
	user := "nobody has logged in"
	if peer.User != "" {
		user = "user " + peer.User
	}
	return because(transport.ErrRefused, "%s may not %s %s: %s", user, a, d, what)
}
