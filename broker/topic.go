package broker

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/polyport/polyport/transport"
)

// A topic is what is known about one name that was published to.
type topic struct {
	name, address string
	cache         atomic.Pointer[audience]
	in            atomic.Uint64
	used          atomic.Bool // since the last sweep

	mu       sync.Mutex // protects retained; after the hub's mu
	retained *item
}

// An audience is the subscriptions that a topic is for, as of a version of the trie.
type audience struct {
	version uint64
	subs    []*queue
}

// publish gives a message to all whose subscription its topic is for.
func (h *Hub) publish(name string, m *transport.Message, done func(error)) {
	if hasWild(name) {
		done(because(transport.ErrInvalid, "the topic %.100q has * or #, which are for subscriptions", name))
		return
	}
	it, subs := h.audience(name, m)
	var p *publication
	for _, q := range subs {
		switch q.put(it, nil, false) {
		case full:
			if p == nil {
				p = &publication{done: done, left: 1}
			}
			p.offer(q, it)
		case cut:
			h.cut(q)
		}
	}
	if p == nil {
		done(nil)
	} else {
		p.one(nil)
	}
}

// audience makes the item for a message, retains it, and returns who is to get it.
// Who subscribes after that gets what is retained, and before that the message.
func (h *Hub) audience(name string, m *transport.Message) (item, []*queue) {
	h.mu.RLock()
	t := h.topics[name]
	if t == nil {
		h.mu.RUnlock()
		h.know(name)
		h.mu.RLock()
		t = h.topics[name]
	}
	defer h.mu.RUnlock()
	if t == nil { // more topics than may be known
		m.To = topicPrefix + name
		h.count.strange.Add(1)
		return newItem(m), h.root.match(name)
	}
	t.in.Add(1)
	t.used.Store(true)
	if m.To != t.address {
		m.To = t.address
	}
	it := newItem(m)
	if h.o.Retain > 0 {
		h.retain(t, it)
	}
	a := t.cache.Load()
	if a == nil || a.version != h.version {
		a = &audience{h.version, h.root.match(name)}
		t.cache.Store(a)
	}
	return it, a.subs
}

// match is who would get a message to a topic. It needs mu, for reading.
func (h *Hub) match(name string) []*queue {
	if t := h.topics[name]; t != nil {
		if a := t.cache.Load(); a != nil && a.version == h.version {
			return a.subs
		}
	}
	return h.root.match(name)
}

// know makes a topic known, if there is room.
func (h *Hub) know(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || h.topics[name] != nil || len(h.topics) >= h.o.Topics {
		return
	}
	name = string([]byte(name)) // which may be a part of a large message
	address := topicPrefix + name
	h.topics[name] = &topic{name: address[len(topicPrefix):], address: address}
	h.sweepLater()
}

// retain keeps a message as the last one of its topic. It needs mu, for reading.
func (h *Hub) retain(t *topic, it item) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.retained != nil {
		h.retained.topics.Add(-1)
		h.retained.bytes.Add(-int64(t.retained.size))
		t.retained = nil
	}
	if len(it.m.Body) == 0 {
		return
	}
	if h.retained.topics.Add(1) > int64(h.o.Retain) || h.retained.bytes.Add(int64(it.size)) > int64(h.o.RetainBytes) {
		h.retained.topics.Add(-1)
		h.retained.bytes.Add(-int64(it.size))
		h.count.unretained.Add(1)
		return
	}
	t.retained = &it
}

// subscribe adds a subscription, with what is retained for it.
func (h *Hub) subscribe(q *queue) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if q.only.hasLeft() {
		return
	}
	h.root.add(q.name, q)
	h.subs[q] = struct{}{}
	h.version++
	h.sweepLater()
	if h.retained.topics.Load() == 0 {
		return
	}
	var last []*topic
	for _, t := range h.topics {
		if t.retained != nil && matches(q.name, t.name) {
			last = append(last, t)
		}
	}
	slices.SortFunc(last, func(a, b *topic) int { return strings.Compare(a.name, b.name) })
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, t := range last {
		if q.fits(t.retained.size) {
			q.enter(*t.retained)
		} else {
			q.stats.Dropped++
			h.count.dropped.Add(1)
		}
	}
}

// remove takes out a private queue, or the buffer of a subscriber.
func (h *Hub) remove(q *queue) {
	var why error
	h.mu.Lock()
	if q.use == private {
		delete(h.private, q.name)
		why = because(transport.ErrNoRoute, "the connection of the private address %s has ended", q.address)
	} else if _, ok := h.subs[q]; ok {
		delete(h.subs, q)
		h.root.remove(q.name, q)
		h.version++
	}
	h.mu.Unlock()
	q.close(why)
}

// cut ends a subscription that is too slow.
func (h *Hub) cut(q *queue) {
	h.count.disconnected.Add(1)
	h.o.Logger.Warn("broker: a subscriber does not keep up and is disconnected",
		"topics", q.name, "user", q.only.session.info.User, "remote", q.only.session.info.Remote)
	q.only.end(because(transport.ErrBusy, "the subscription to %s has been ended: %d messages wait for it already, "+
		"and the broker does not keep more", q.address, q.depth))
}

// A publication is a message to a topic that some subscribers have no room for yet.
type publication struct {
	done func(error)

	mu   sync.Mutex // protects the fields below
	left int        // of those it waits for, and 1 for the publisher
	err  error
}

// offer gives it to one that had no room.
func (p *publication) offer(q *queue, it item) {
	p.mu.Lock()
	p.left++
	p.mu.Unlock()
	switch q.put(it, p.one, true) {
	case full:
		p.one(because(transport.ErrBusy, "a subscriber to %s has no room, and too many messages wait for it already", q.address))
	case gone:
		p.one(nil)
	}
}

// one tells that one of them needs no waiting for any more.
func (p *publication) one(err error) {
	p.mu.Lock()
	p.left--
	if p.err == nil {
		p.err = err
	}
	left, err := p.left, p.err
	p.mu.Unlock()
	if left == 0 {
		p.done(err)
	}
}
