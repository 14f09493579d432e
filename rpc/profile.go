package rpc

import (
	"github.com/polyport/polyport/rpc/internal/envelope"
	"github.com/polyport/polyport/transport"
)

// habits are how the programs of a [transport.Profile] differ, in what they say and
// take, from JSON-RPC 2.0 and from what polyport adds to it.
type habits struct {
	// tolerant takes requests of the versions "2" and 2, and params that are null
	// or another scalar.
	tolerant bool
	// trueForNull answers true where a method has no result.
	trueForNull bool
	// bareOne answers a batch that has one answer by that answer alone.
	bareOne bool
	// again says that a request that comes again while it is under way is a second try
	// of theirs, and not a second call.
	again bool
	// busy and notReady are what they say for CodeBusy and CodeShuttingDown; 0 for
	// nothing of their own.
	busy, notReady Code

	// plain sends calls with nothing beside them; passes is the header that goes
	// along nevertheless.
	plain  bool
	passes string
	// noHandles sends no metadata for [Detach] either.
	noHandles bool
	// noBatches sends the requests of a batch each alone.
	noBatches bool
	// noNotifications says why none may be sent; "" if some may.
	noNotifications string
	// named gives calls UUIDs for ids.
	named bool
	// inTurn has one call at a time in flight on each connection, so that an error
	// without an id is the answer to it.
	inTurn bool
	// bareParams sends params that are a scalar as they are.
	bareParams bool
	// unnamedTopics says that what is published has its topic in the method alone, so
	// that a wire cannot select by it.
	unnamedTopics bool
	// events is where they are published, "" if [Client.Subscribe] asks the server.
	events string
}

var (
	standard = habits{}
	ovirt    = habits{
		trueForNull: true, bareOne: true, again: true, busy: 1100, notReady: 99,
		plain: true, passes: "ovirtCorrelationId", noHandles: true, noBatches: true, named: true, events: "jms.queue.events",
		noNotifications: "a notification ends the dispatcher of an oVirt host agent, for all its clients; make it a call",
	}
	opendaylight = habits{
		tolerant: true,
		plain:    true, noBatches: true, inTurn: true, bareParams: true, unnamedTopics: true,
	}
)

// habitsOf returns those of a profile.
func habitsOf(p transport.Profile) *habits {
	switch p {
	case transport.OVirt:
		return &ovirt
	case transport.OpenDaylight:
		return &opendaylight
	default:
		return &standard
	}
}

// habits returns those of the peer. What a client has dialed it knows; a server may
// find out by what the peer sends.
func (s *session) habits() *habits {
	if s.own != nil {
		return s.own
	}
	return habitsOf(s.conn.Info().Profile)
}

// adopt makes the habits of the peer those of a client.
func (s *session) adopt(h *habits) {
	s.own = h
	if h.plain && !s.plain {
		s.plain, s.passes = true, h.passes
	}
	if h.noBatches {
		s.mostBatch.Store(1)
	}
	if h.named {
		s.calls.names = newNames()
	}
	s.calls.inTurn = h.inTurn
}

// limits are what messages of the peer are held to.
func (s *session) limits() *envelope.Limits {
	if s.habits().tolerant {
		return &s.tolerant
	}
	return &s.envelope
}

// tolerating returns l for peers of more tolerant programs.
func tolerating(l envelope.Limits) envelope.Limits {
	l.NullParams, l.ScalarParams, l.Version2 = true, true, true
	return l
}
