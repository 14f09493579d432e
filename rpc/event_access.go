package rpc

// mayHear returns why the caller may not subscribe to a filter; the empty one only
// renews.
func (r *request) mayHear(filter string) error {
	may := r.session.subscribers.hub.o.May
	if may == nil || filter == "" {
		return nil
	}
	peer := r.session.conn.Info()
	if r.message.Subscription != "" {
		peer = nil
	}
	return may(peer, filter)
}

// lets reports whether who listens to a feed may have what is published on a topic.
func (h *hub) lets(s *subscriber, topic string) bool {
	return h.o.May == nil || h.o.May(s.of.s.conn.Info(), topic) == nil
}
