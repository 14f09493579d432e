package acceptor

import (
	"cmp"
	"strconv"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/frames"
)

// disposition handles a disposition (section 2.7.6): of what we have sent, or by
// a sender that does not wait for our outcome.
func (c *conn) disposition(f *frame) error {
	var d frames.Disposition
	d.Parse(&f.fields)
	if err := f.fields.Err(); err != nil {
		return malformed("disposition", err)
	}
	if int32(d.Last-d.First) < 0 {
		return broken(invalidField, "a disposition from delivery %d to %d", d.First, d.Last)
	}
	c.mu.Lock()
	s, err := c.session(f)
	switch {
	case s == nil:
		c.mu.Unlock()
		return err
	case !d.Receiver:
		if d.Settled {
			s.received.takeRange(d.First, d.Last, func(uint32, *inlet) {})
		}
		c.mu.Unlock()
		return nil
	case !d.Settled && d.Outcome == frames.NoOutcome: // it is under way there
		c.mu.Unlock()
		return nil
	}
	var dones []func(error)
	settled := c.settled[:0]
	some := false
	s.sent.takeRange(d.First, d.Last, func(_ uint32, x *sent) {
		some = true
		c.unsettled--
		if x.done != nil {
			dones = append(dones, x.done)
		}
		if x.brokered {
			settled = append(settled, x)
		}
	})
	if some {
		c.wake()
	}
	c.mu.Unlock()
	if some && !d.Settled { // it waits for us to forget the deliveries first
		c.say(func(dst []byte) []byte {
			if s.ended {
				return dst
			}
			ours := frames.Disposition{First: d.First, Last: d.Last, Settled: true, Outcome: d.Outcome, Failed: d.Failed}
			return ours.Append(dst, s.channel)
		})
	}
	tell(dones, c.outcome(&d))
	for i, x := range settled {
		x.out.consumer.Settled(x.token, judgement(&d))
		settled[i] = nil
	}
	c.settled = settled[:0]
	return nil
}

// judgement is what the broker is told of a disposition. What is undeliverable at
// the one who was to have it must not come back to it, so it counts as rejected.
func judgement(d *frames.Disposition) transport.Outcome {
	switch {
	case d.Outcome == frames.Rejected:
		reason := "the receiver rejected the message"
		if e := d.Error; e != nil {
			reason = cmp.Or(e.Description, e.Condition, reason)
		}
		return transport.Rejected(reason)
	case d.Outcome == frames.Released:
		return transport.Released
	case d.Outcome == frames.Modified && d.Undeliverable:
		return transport.Rejected("the receiver says that it cannot be delivered there")
	case d.Outcome == frames.Modified && d.Failed:
		return transport.Failed
	case d.Outcome == frames.Modified:
		return transport.Released
	}
	return transport.Accepted
}

// outcome is what the sender of a message is told of a disposition: nil if it
// was accepted.
func (c *conn) outcome(d *frames.Disposition) error {
	var reason string
	switch d.Outcome {
	case frames.Rejected:
		reason = "the receiver rejected the message"
		if e := d.Error; e != nil {
			reason = cmp.Or(e.Description, e.Condition)
		}
	case frames.Released:
		reason = "the receiver released the message unread"
	case frames.Modified:
		reason = "the receiver did not process the message"
		if d.Failed {
			reason = "the receiver tried and failed"
		}
	default:
		return nil
	}
	return transport.WithReason(transport.ErrRefused, reason)
}

// forgetSent forgets the deliveries by a link, or by any if it is nil, and
// returns who is to be told. It needs mu.
func (s *session) forgetSent(l *link) (dones []func(error)) {
	match := func(x *sent) bool { return x != nil && (l == nil || x.out.link == l) }
	s.sent.takeWhere(match, func(_ uint32, x *sent) {
		s.conn.unsettled--
		if x.done != nil {
			dones = append(dones, x.done)
		}
	})
	return dones
}

// shown is an address fit for a sentence.
func shown(s string) string {
	const most = 100
	return strconv.Quote(s[:min(len(s), most)])
}
