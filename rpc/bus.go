package rpc

import (
	"context"
	"strings"

	"github.com/polyport/polyport/transport"
)

// A Bus carries the events of a [Server] beyond it: to the topics of a broker,
// to those who hear them by other wires, and to other servers. All events go by
// the bus, and what comes from the bus goes to the subscribers, whoever has sent
// it. It is safe for concurrent use.
type Bus interface {
	// Publish hands over a message for the topic m.To, a name as Server.Publish
	// has it. Its Subject is the same, its body the notification, its ContentType
	// application/json. The bus owns m; those who hear it must not change its bytes.
	// It returns when the bus has taken m, or why it has not; ctx bounds the
	// wait for room.
	Publish(ctx context.Context, m *transport.Message) error
	// Hear calls hear for every message of any topic, those of Publish included,
	// one after the other, in the order in which one sender has sent them. To is the
	// topic, alone or as "/topic/NAME". hear keeps the bytes of m and does not
	// change them, nor settle m, and it waits for nobody. stop ends that; a call
	// that has begun may still run.
	Hear(hear func(m *transport.Message)) (stop func(), err error)
}

// topicPrefix is how brokers write what is a topic.
const topicPrefix = "/topic/"

// listen has the hub hear the bus, if there is one.
func (h *hub) listen() {
	if h.o.Bus == nil {
		return
	}
	stop, err := h.o.Bus.Hear(h.heard)
	if err != nil {
		h.log.Error("the bus of events cannot be heard: subscribers get nothing", "err", err)
		return
	}
	h.hang = stop
}

// hangUp hears the bus no more. It may be called again.
func (h *hub) hangUp() {
	if h.hang != nil {
		h.once.Do(h.hang)
	}
}

// put hands an event to the bus, which gives it back. It returns how many
// subscribers there are here.
func (h *hub) put(ctx context.Context, topic string, payload any) (n int, err error) {
	e, err := h.encode(topic, payload)
	if err != nil {
		return 0, err
	}
	n = len(h.find(topic))
	return n, h.o.Bus.Publish(ctx, &e.Message)
}

// heard hands what the bus brings to those who subscribed. What cannot be an
// event is counted, and told of when its number has doubled.
func (h *hub) heard(m *transport.Message) {
	topic := strings.TrimPrefix(m.To, topicPrefix)
	if err := checkTopic(topic); err != nil {
		if n := h.unheard.Add(1); n&(n-1) == 0 {
			h.log.Warn("what came by the bus is no event", "count", n, "err", err)
		}
		return
	}
	if h.count.Load() == 0 {
		return
	}
	if subscribers := h.find(topic); len(subscribers) > 0 {
		_, _ = h.give(noWait, subscribers, eventFrom(topic, m))
	}
}

// An event is a notification, encoded once for all who get it.
type event struct {
	transport.Message
	// head is how much of the body is before its metadata or, if it has none, before
	// its end, which is not the same for all.
	head int
}

const openMetadata = `,"metadata":{`

// whole makes e the notification that its body is, which has no metadata.
func (e *event) whole() *event {
	e.head = len(e.Body) - 1
	return e
}

// with ends the body with metadata, the members of an object.
func (e *event) with(members []byte) *event {
	e.head = len(e.Body)
	e.Body = append(append(append(e.Body, openMetadata...), members...), "}}"...)
	return e
}

// appendFor appends the event as a subscriber gets it.
func (e *event) appendFor(dst []byte, s *subscriber) []byte {
	head, rest := e.Body[:e.head], e.Body[e.head:]
	switch {
	case len(rest) == len("}"):
		return append(append(dst, head...), s.tail...)
	case !s.windowed:
		return append(dst, e.Body...)
	}
	dst = append(append(dst, head...), s.tail[:len(s.tail)-len("}}")]...)
	return append(append(dst, ','), rest[len(openMetadata):]...)
}
