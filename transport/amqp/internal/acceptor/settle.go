package acceptor

import (
	"cmp"
	"slices"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/frames"
)

// maxReason bounds the text of a rejection.
const maxReason = 1 << 10

// A settlement is what the peer is to be told of one of its deliveries.
type settlement struct {
	id      uint32
	outcome frames.Outcome
	failed  bool          // of Modified
	why     *frames.Error // of Rejected
}

// SettleMessage tells the peer what became of a delivery, and makes room for
// another.
func (l *inlet) SettleMessage(token uint64, o transport.Outcome) error {
	v := settlement{outcome: frames.Accepted}
	switch {
	case o == transport.Released:
		v.outcome = frames.Released
	case o == transport.Failed:
		v.outcome, v.failed = frames.Modified, true
	case o.IsRejected():
		reason := o.Reason()
		v.outcome, v.why = frames.Rejected, refusal(preconditionFails, "%s", reason[:min(len(reason), maxReason)])
	}
	return l.settle(uint32(token), v)
}

func (l *inlet) settle(id uint32, v settlement) error {
	s := l.session
	c := s.conn
	c.mu.Lock()
	if l.state == gone || s.ended {
		c.mu.Unlock()
		return nil
	}
	if _, ok := s.received.take(id); ok {
		v.id = id
		s.settled = append(s.settled, v)
		s.dirtied()
	}
	if l.done++; l.state == attached {
		l.grant()
	}
	// Else the goroutine that reads will say it, before it waits.
	now := len(c.dirty) > 0 && (c.waiting || !c.gathers.Load() && !c.acting)
	c.mu.Unlock()
	if now {
		c.flush()
	}
	return nil
}

// appendSettled appends the outcomes of deliveries, as ranges where neighbours
// have the same.
func (s *session) appendSettled(dst []byte) []byte {
	all := s.settled
	if len(all) == 0 {
		return dst
	}
	byID := func(a, b settlement) int { return cmp.Compare(int32(a.id-b.id), 0) }
	if !slices.IsSortedFunc(all, byID) {
		slices.SortFunc(all, byID)
	}
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].follows(all[n-1]) {
			n++
		}
		dst = all[0].append(dst, s.channel, all[n-1].id)
		all = all[n:]
	}
	clear(s.settled)
	s.settled = s.settled[:0]
	return dst
}

// follows reports whether v can be said together with the one before.
func (v settlement) follows(before settlement) bool {
	return v.id == before.id+1 && v.outcome == before.outcome && v.failed == before.failed && v.why == nil && before.why == nil
}

// append appends a disposition for all from v to last.
func (v settlement) append(dst []byte, channel uint16, last uint32) []byte {
	d := frames.Disposition{
		Receiver: true, First: v.id, Last: last, Settled: true, Outcome: v.outcome, Failed: v.failed, Error: v.why,
	}
	return d.Append(dst, channel)
}

// appendReleased releases all deliveries that have no outcome: somebody else is
// to have them.
func (s *session) appendReleased(dst []byte) []byte {
	if s.ended {
		return dst
	}
	s.received.takeWhere(func(l *inlet) bool { return l != nil }, func(id uint32, _ *inlet) {
		s.settled = append(s.settled, settlement{id: id, outcome: frames.Released})
	})
	return s.appendSettled(dst)
}
