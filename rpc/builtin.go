package rpc

import (
	"bytes"
)

// reserved begins the names of the methods that this package offers by itself
// (specification, section 4.3).
const reserved = "rpc."

// builtins are those methods, by name. Their handlers find the session in their
// context.
var builtins = map[string]*method{}

// builtin registers one. It is for package initialization.
func builtin(h *method) { builtins[h.name] = h }

// find returns the method called name, or nil.
func (s *session) find(name []byte) *method {
	if bytes.HasPrefix(name, []byte(reserved)) {
		return builtins[string(name)]
	}
	return s.mux.find(name)
}

// runAtOnce serves a notification of a batch that must not wait for the others.
func (r *request) runAtOnce() {
	out := newOutgoing()
	out.msg.Body = r.appendAnswer(out.msg.Body)
	out.free()
	r.end(&errHandled)
}

// servesAtOnce reports whether m is served where its request was received, ahead
// of the queue and past the interceptors.
func (s *session) servesAtOnce(m *method) bool {
	return m != nil && m.atOnce && (!m.guarded || len(s.interceptors) == 0)
}
