package broker

// Consumed reports whether somebody consumes the queue of a name.
func (h *Hub) Consumed(name string) bool {
	h.mu.RLock()
	q := h.queues[name]
	h.mu.RUnlock()
	if q == nil {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.consumers > 0 && !q.gone
}
