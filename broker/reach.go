package broker

// Reaches is that of [transport.Reacher].
func (s *session) Reaches(to string) bool {
	d, err := s.resolve(to)
	if err != nil || d.Kind != Topic || hasWild(d.Name) {
		return true
	}
	s.hub.mu.RLock()
	defer s.hub.mu.RUnlock()
	return len(s.hub.match(d.Name)) > 0
}
