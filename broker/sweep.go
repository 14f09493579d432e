package broker

import "time"

// sweepEvery is how often the hub looks for what has expired and what nobody uses.
const sweepEvery = time.Second

// sweepLater has the hub swept in a while. It needs mu.
func (h *Hub) sweepLater() {
	if h.sweeper == nil && !h.closed {
		h.sweeper = time.AfterFunc(sweepEvery, h.sweep)
	}
}

// sweep forgets what has expired, and what has been idle for long.
func (h *Hub) sweep() {
	now := time.Now()
	for _, q := range h.all() {
		if q.sweep(now) {
			h.forget(q, now)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, t := range h.topics {
		if !t.used.Swap(false) && t.retained == nil && len(h.topics) > h.o.Topics/2 {
			delete(h.topics, name)
		}
	}
	if h.closed || len(h.queues)+len(h.private)+len(h.subs)+len(h.topics) == 0 {
		h.sweeper = nil
		return
	}
	h.sweeper.Reset(sweepEvery)
}

// all returns the queues of all uses.
func (h *Hub) all() []*queue {
	h.mu.RLock()
	defer h.mu.RUnlock()
	all := make([]*queue, 0, len(h.queues)+len(h.private)+len(h.subs))
	for _, q := range h.queues {
		all = append(all, q)
	}
	for _, q := range h.private {
		all = append(all, q)
	}
	for q := range h.subs {
		all = append(all, q)
	}
	return all
}

// sweep forgets what has expired. It reports whether the queue is of no use.
func (q *queue) sweep(now time.Time) (idle bool) {
	var l later
	q.mu.Lock()
	q.expire(now, &l)
	q.admit(&l)
	q.slim()
	idle = q.idle(now)
	q.serve(nil, &l)
	return idle
}

// idle reports whether nobody has used the queue for long. It needs mu.
func (q *queue) idle(now time.Time) bool {
	if q.use != shared || q.consumers > 0 || q.count > 0 || q.waiting.n > 0 || q.stats.In != q.seen {
		q.used, q.seen = now, q.stats.In
		return false
	}
	return now.Sub(q.used) >= q.hub.o.Idle
}

// forget takes out a queue if it is idle still.
func (h *Hub) forget(q *queue, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.idle(now) && h.queues[q.name] == q {
		q.gone = true
		delete(h.queues, q.name)
	}
}
