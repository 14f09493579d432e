package conformance

import (
	"net"
	"slices"
	"sync"

	"github.com/polyport/polyport/transport/faultconn"
	"github.com/polyport/polyport/transport/mem"
)

// faulty makes a byte stream on whose client end things go wrong as the rules
// say, in the words of [faultconn.Parse].
// It fails the rule if they do not.
func (r *rig) faulty(rules string) (client, server net.Conn) {
	r.Helper()
	s, err := faultconn.Parse(rules)
	if err != nil {
		r.Fatalf("%v", err)
	}
	a, b := mem.Pipe()
	faults := faultconn.Wrap(a, s)
	r.Cleanup(func() {
		for _, rule := range s.Rules {
			if faults.Fired()[rule.Kind] == 0 && r.skipped == "" {
				r.Errorf("%v: the fault has not happened, so nothing was shown", rule)
			}
		}
	})
	return faults, b
}

// reset ends a byte stream as a host that has lost all memory of it does.
func reset(nc net.Conn) {
	if l, ok := nc.(interface{ SetLinger(sec int) error }); ok {
		_ = l.SetLinger(0)
	}
	_ = nc.Close()
}

// A tap is a net.Conn that keeps a copy of what is written to it and notes when
// it is closed.
type tap struct {
	net.Conn

	mu      sync.Mutex // protects the fields below
	written []byte
	closed  bool
}

func (t *tap) Write(p []byte) (int, error) {
	n, err := t.Conn.Write(p)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.written = append(t.written, p[:n]...)
	return n, err
}

func (t *tap) Close() error {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	return t.Conn.Close()
}

func (t *tap) CloseWrite() error {
	if h, ok := t.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return nil
}

func (t *tap) state() (written []byte, closed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clip(t.written), t.closed
}
