package conformance

import (
	"context"
	"slices"
	"time"

	"github.com/polyport/polyport/transport"
)

// A Server is a server of JSON-RPC 2.0 that somebody else runs, in this process
// or anywhere. It is judged from outside, by what it answers to a client, so any
// program at the other end of a wire will do.
type Server struct {
	// Dial connects to the server. Its requests go where a message without a To
	// goes. o is never nil.
	Dial func(ctx context.Context, o *transport.DialOptions) (transport.Conn, error)
	// HandshakeTimeout is how long the server gives a peer for the wire's
	// handshake. The rule about silent peers is skipped unless
	// [Harness].Patience is longer. Zero means 10 s.
	HandshakeTimeout time.Duration
	// Queued says that the server consumes a queue of a broker, to which Dial
	// connects. Then a message that is too large for the server may get no
	// answer: it costs the server its connection to the broker, and not the
	// client.
	Queued bool
}

// ServerRules returns the rules that a server of JSON-RPC 2.0 is asked about from
// outside, in the order in which they run. Those whose Text begins with "Beyond
// the specification" are what this project asks of a server where the
// specification is silent or says "should".
func ServerRules() []Rule {
	all := slices.Concat(requestRules, idRules, batchRules, endureRules, presenceRules)
	for i := range all {
		all[i].needs |= needsAnswers
	}
	return all
}

func (s *Server) handshakeTimeout() time.Duration {
	if s.HandshakeTimeout > 0 {
		return s.HandshakeTimeout
	}
	return 10 * time.Second
}

// rules returns the rules that a harness is for.
func (h *Harness) rules() []Rule {
	if h.Server != nil {
		return ServerRules()
	}
	return Rules()
}

// visit connects a client to the server, with the harness's options changed by
// change, which may be nil. It is closed when the rule is over.
func (r *rig) visit(change func(*transport.Options)) transport.Conn {
	r.Helper()
	c, err := r.h.Server.Dial(r.soon(), r.h.options(change).Dial)
	if err != nil {
		r.Fatalf("cannot connect: %v", err)
	}
	r.Cleanup(func() { r.closeAll(c) })
	return c
}
