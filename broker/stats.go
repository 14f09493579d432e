package broker

import (
	"cmp"
	"slices"
	"strings"
	"sync/atomic"
)

// Stats is what a [Hub] was doing at a moment. Counts are since it was made.
type Stats struct {
	// Connections are those that have joined, those within the process included.
	Connections int `json:"connections"`
	// Consumers are the consumers of queues and private addresses, and the
	// subscribers of topics.
	Consumers int `json:"consumers"`
	// Private is how many private addresses there are.
	Private int `json:"private"`
	// Memory is how many bytes of [Options].Memory are reserved.
	Memory int64 `json:"memory_bytes"`
	// Retained is how many topics have a retained message, RetainedBytes what they
	// take, and Unretained how many were not kept for lack of room.
	Retained      int    `json:"retained"`
	RetainedBytes int    `json:"retained_bytes"`
	Unretained    uint64 `json:"unretained"`
	// Dropped counts messages that a policy has dropped, or that their consumers
	// rejected where there are no dead letters.
	Dropped uint64 `json:"dropped"`
	// Disconnected counts subscribers that the policy has disconnected.
	Disconnected uint64 `json:"disconnected"`
	// Expired and DeadLettered count messages of all queues.
	Expired      uint64 `json:"expired"`
	DeadLettered uint64 `json:"dead_lettered"`
	// Unroutable counts messages to private addresses that are gone.
	Unroutable uint64 `json:"unroutable"`
	// Denied counts what Access, or the ownership of queues, has refused.
	Denied uint64 `json:"denied"`
	// Queues are those that have names, sorted.
	Queues []QueueStats `json:"queues"`
	// Subscriptions are those to topics, by filter, sorted.
	Subscriptions []SubscriptionStats `json:"subscriptions"`
	// Topics are those known by name, sorted.
	Topics []TopicStats `json:"topics"`
}

// QueueStats is about one queue.
type QueueStats struct {
	Name string `json:"name"`
	// Depth is how many messages wait for a consumer, Unsettled how many were
	// delivered and not settled, Bytes what both take, and Waiting how many senders'
	// messages wait for room.
	Depth     int `json:"depth"`
	Unsettled int `json:"unsettled"`
	Bytes     int `json:"bytes"`
	Waiting   int `json:"waiting"`
	Consumers int `json:"consumers"`
	// In counts messages taken in, Out deliveries, and Settled those done with.
	In      uint64 `json:"in"`
	Out     uint64 `json:"out"`
	Settled uint64 `json:"settled"`
	// Redelivered counts messages that came back and are delivered again,
	// DeadLettered those that went to the dead letters, Refused those that there
	// was no room for in time, Expired those whose time was over, and Dropped those
	// that the policy has dropped.
	Redelivered  uint64 `json:"redelivered"`
	DeadLettered uint64 `json:"dead_lettered"`
	Refused      uint64 `json:"refused"`
	Expired      uint64 `json:"expired"`
	Dropped      uint64 `json:"dropped"`
}

// SubscriptionStats is about all subscribers that have asked for the same topics.
// Its counts are those of the subscribers that are there.
type SubscriptionStats struct {
	Filter      string `json:"filter"`
	Subscribers int    `json:"subscribers"`
	// Depth is how many messages wait for them, Bytes what these take.
	Depth   int    `json:"depth"`
	Bytes   int    `json:"bytes"`
	Out     uint64 `json:"out"`
	Dropped uint64 `json:"dropped"`
	// Refused counts messages that they had no room for in time.
	Refused uint64 `json:"refused"`
}

// TopicStats is about one topic.
type TopicStats struct {
	Name string `json:"name"`
	// In counts messages published.
	In uint64 `json:"in"`
	// Subscribers is how many got the last one.
	Subscribers int  `json:"subscribers"`
	Retained    bool `json:"retained"`
}

// counters are those of the hub.
type counters struct {
	dropped, disconnected, expired, dead, unroutable, denied, unretained, strange atomic.Uint64
}

// Stats returns what the hub is doing. It takes each queue's lock for a moment.
func (h *Hub) Stats() Stats {
	s := Stats{
		Consumers: int(h.consumers.Load()), Memory: h.memory.Load(),
		Retained: int(h.retained.topics.Load()), RetainedBytes: int(h.retained.bytes.Load()),
		Unretained: h.count.unretained.Load(), Dropped: h.count.dropped.Load(),
		Disconnected: h.count.disconnected.Load(), Expired: h.count.expired.Load(),
		DeadLettered: h.count.dead.Load(), Unroutable: h.count.unroutable.Load(), Denied: h.count.denied.Load(),
		Queues: []QueueStats{}, Subscriptions: []SubscriptionStats{}, Topics: []TopicStats{},
	}
	byFilter := make(map[string]*SubscriptionStats)
	for _, q := range h.all() {
		switch one := q.snapshot(); q.use {
		case shared:
			s.Queues = append(s.Queues, one)
		case private:
			s.Private++
		case subscription:
			f := byFilter[q.name]
			if f == nil {
				f = &SubscriptionStats{Filter: q.name}
				byFilter[q.name] = f
			}
			f.add(&one)
		}
	}
	for _, f := range byFilter {
		s.Subscriptions = append(s.Subscriptions, *f)
	}
	s.Connections, s.Topics = h.look(s.Topics)
	slices.SortFunc(s.Queues, func(a, b QueueStats) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Subscriptions, func(a, b SubscriptionStats) int { return cmp.Compare(a.Filter, b.Filter) })
	slices.SortFunc(s.Topics, func(a, b TopicStats) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

// look counts connections and appends the topics.
func (h *Hub) look(topics []TopicStats) (connections int, all []TopicStats) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, t := range h.topics {
		one := TopicStats{Name: t.name, In: t.in.Load()}
		if a := t.cache.Load(); a != nil {
			one.Subscribers = len(a.subs)
		}
		t.mu.Lock()
		one.Retained = t.retained != nil
		t.mu.Unlock()
		topics = append(topics, one)
	}
	n := len(h.sessions)
	if _, ok := h.sessions[h.own]; ok {
		n--
	}
	return n, topics
}

func (q *queue) snapshot() QueueStats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.stats
	s.Name, s.Depth, s.Unsettled, s.Bytes = q.name, q.items.n, q.count-q.items.n, q.bytes
	s.Waiting, s.Consumers = q.waiting.n, q.consumers
	return s
}

func (f *SubscriptionStats) add(q *QueueStats) {
	f.Subscribers++
	f.Depth += q.Depth + q.Unsettled
	f.Bytes += q.Bytes
	f.Out += q.Out
	f.Dropped += q.Dropped
	f.Refused += q.Refused
}
