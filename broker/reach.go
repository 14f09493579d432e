package broker

// Reaches is that of [transport.Reacher]. It tells nothing to who may not send there.
func (s *session) Reaches(to string) bool {
	d, err := s.resolve(to)
	if err != nil || d.Kind != Topic || hasWild(d.Name) {
		return true
	}
	if a := s.hub.o.Access; a != nil && !s.local && a.May(s.info, Send, d) != nil {
		return true // Send will refuse
	}
	s.hub.mu.RLock()
	defer s.hub.mu.RUnlock()
	return len(s.hub.match(d.Name)) > 0
}
