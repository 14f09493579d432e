package http

import (
	"cmp"
	"strconv"
	"strings"
	"sync"

	"github.com/polyport/polyport/transport"
)

// choices are the subscriptions of an end to which the peer sends what it will.
type choices struct {
	mu     sync.Mutex // protects the fields below
	subs   []subscription
	lastID uint64
	chosen bool // there was one
}

// A subscription is to the topics that begin with its prefix.
type subscription struct{ id, prefix string }

// wants reports whether m, which is about topic, is to be received, and sets the
// subscription by which. Until the first is made all events are.
func (c *choices) wants(m *transport.Message, topic string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.subs {
		if strings.HasPrefix(topic, c.subs[i].prefix) {
			m.Subscription = c.subs[i].id
			return true
		}
	}
	return !c.chosen
}

// wantsAny is wants where nobody knows the topic.
func (c *choices) wantsAny(m *transport.Message) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.subs) > 0 {
		m.Subscription = c.subs[0].id
		return true
	}
	return !c.chosen
}

// choose adds a subscription, and returns its ID.
func (c *choices) choose(s transport.Subscription, limits transport.Limits) (id string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case s.Ack != transport.AckNone, s.Credit > 0, len(s.Headers) > 0:
		return "", transport.WithReason(transport.ErrUnsupported,
			"a subscription to a feed has no acknowledgements, credit and headers")
	case c.find(s.ID) >= 0:
		return "", invalid("there is a subscription %.60q already", s.ID)
	case len(c.subs) >= limits.Subscriptions:
		return "", tooLarge("more than %d subscriptions", limits.Subscriptions)
	case len(s.Destination) > limits.HeaderBytes:
		return "", tooLarge("the topic has %d bytes; the limit is %d", len(s.Destination), limits.HeaderBytes)
	}
	id, c.chosen = cmp.Or(s.ID, c.newID()), true
	c.subs = append(c.subs, subscription{id, s.Destination})
	return id, nil
}

// drop undoes choose.
func (c *choices) drop(id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.find(id)
	if i < 0 {
		return invalid("there is no subscription %.60q", id)
	}
	c.subs = append(c.subs[:i], c.subs[i+1:]...)
	return nil
}

// newID makes an ID that nobody has. It needs mu.
func (c *choices) newID() string {
	for {
		c.lastID++
		if id := strconv.FormatUint(c.lastID, 10); c.find(id) < 0 {
			return id
		}
	}
}

// find returns the place of a subscription, or -1. It needs mu.
func (c *choices) find(id string) int {
	for i := range c.subs {
		if c.subs[i].id == id {
			return i
		}
	}
	return -1
}
