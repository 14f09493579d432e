package rpc

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/polyport/polyport/rpc/internal/envelope"
	"github.com/polyport/polyport/transport"
)

// A hub hands what is published on a server to those who subscribed. Those who
// want one topic are found by its name; patterns are tried one by one, each
// once, however many subscribed to it.
type hub struct {
	o     EventOptions
	codec Codec

	count              atomic.Int64 // of subscribers; read without mu
	published, dropped atomic.Uint64

	mu       sync.RWMutex // protects the fields below
	exact    map[string]audience
	patterns map[string]*pattern
	feeds    audience // who subscribe by the means of their wires

	services map[string]*service // whose events are counted

	// What follows is for a hub with a bus.
	log     *slog.Logger
	hang    func() // has the bus stop; nil if it is not heard
	once    sync.Once
	unheard atomic.Uint64 // messages that were no events
}

// An audience is those who gave the same filter.
type audience map[*subscriber]struct{}

type pattern struct {
	words []string
	audience
}

func newHub(o *EventOptions, codec Codec, log *slog.Logger) *hub {
	return &hub{
		o: o.withDefaults(), codec: codec, log: log,
		exact: make(map[string]audience), patterns: make(map[string]*pattern), feeds: make(audience),
	}
}

func (h *hub) add(s *subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count.Add(1)
	if s.feed != nil {
		h.feeds[s] = struct{}{}
		return
	}
	if isPattern(s.filter) {
		p := h.patterns[s.filter]
		if p == nil {
			p = &pattern{words: strings.Split(s.filter, "."), audience: make(audience)}
			h.patterns[s.filter] = p
		}
		p.audience[s] = struct{}{}
		return
	}
	if h.exact[s.filter] == nil {
		h.exact[s.filter] = make(audience)
	}
	h.exact[s.filter][s] = struct{}{}
}

// remove may be called again.
func (h *hub) remove(s *subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.exact[s.filter]
	if p := h.patterns[s.filter]; p != nil {
		all = p.audience
	}
	if s.feed != nil {
		all = h.feeds
	}
	if _, there := all[s]; !there {
		return
	}
	h.count.Add(-1)
	if delete(all, s); len(all) == 0 {
		delete(h.exact, s.filter)
		delete(h.patterns, s.filter)
	}
}

// find returns who subscribed to topic.
func (h *hub) find(topic string) (found []*subscriber) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for s := range h.exact[topic] {
		found = append(found, s)
	}
	for s := range h.feeds {
		if s.feed.Wants(topic) && h.lets(s, topic) {
			found = append(found, s)
		}
	}
	if len(h.patterns) == 0 {
		return found
	}
	words := strings.Split(topic, ".")
	for _, p := range h.patterns {
		if matches(p.words, words) {
			for s := range p.audience {
				found = append(found, s)
			}
		}
	}
	return found
}

func (h *hub) publish(ctx context.Context, topic string, payload any) (n int, err error) {
	if err := checkTopic(topic); err != nil {
		return 0, err
	}
	h.noteService(topic)
	switch {
	case h.o.Bus != nil:
		return h.put(ctx, topic, payload)
	case h.count.Load() == 0:
		return 0, nil
	}
	subscribers := h.find(topic)
	if len(subscribers) == 0 {
		return 0, nil
	}
	e, err := h.encode(topic, payload)
	if err != nil {
		return 0, err
	}
	return h.give(ctx, subscribers, e)
}

// give hands an event to subscribers.
func (h *hub) give(ctx context.Context, subscribers []*subscriber, e *event) (n int, err error) {
	h.published.Add(1)
	var full []*subscriber
	for _, s := range subscribers {
		switch s.offer(e) {
		case taken:
			n++
		case mustWait:
			full = append(full, s)
		case turnedAway:
		}
	}
	for _, s := range full {
		ok, late := s.offerWait(ctx, e)
		if ok {
			n++
		}
		if late != nil {
			err = late
		}
	}
	return n, err
}

func (h *hub) encode(topic string, payload any) (*event, error) {
	e := &event{Message: transport.Message{To: topic, Subject: topic, ContentType: contentType}}
	if payload == nil {
		e.Body = envelope.AppendTail(envelope.AppendRequestOpen(nil, nil, topic))
		return e.whole(), nil
	}
	head := envelope.AppendRequestHead(nil, nil, topic)
	at := len(head)
	head, err := h.codec.Append(head, payload)
	switch {
	case err != nil:
		return nil, err
	case len(head) == at || head[at] != '[' && head[at] != '{':
		return nil, ErrParams
	}
	e.Body = envelope.AppendTail(head)
	return e.whole(), nil
}

func (h *hub) drop(n uint64) { h.dropped.Add(n) }

func (h *hub) statistics() EventStats {
	return EventStats{Subscriptions: int(h.count.Load()), Published: h.published.Load(), Dropped: h.dropped.Load()}
}
