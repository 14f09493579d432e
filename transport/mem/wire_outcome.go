package mem

import (
	"cmp"

	"github.com/polyport/polyport/transport"
)

// The outcomes as settle frames have them.
const (
	outcomeAccepted = iota
	outcomeReleased
	outcomeFailed
	outcomeRejected
)

const maxOutcome = outcomeRejected

// maxReason bounds the text of a rejection.
const maxReason = 1 << 10

func outcomeNumber(o transport.Outcome) uint64 {
	switch {
	case o == transport.Released:
		return outcomeReleased
	case o == transport.Failed:
		return outcomeFailed
	case o.IsRejected():
		return outcomeRejected
	}
	return outcomeAccepted
}

// outcomeOf is the outcome that a settle frame says.
func outcomeOf(number uint64, reason string) transport.Outcome {
	switch number {
	case outcomeReleased:
		return transport.Released
	case outcomeFailed:
		return transport.Failed
	case outcomeRejected:
		return transport.Rejected(reason)
	}
	return transport.Accepted
}

// refusal makes of an outcome what the sender is told: nil if the message was
// accepted.
func refusal(number uint64, reason string) error {
	switch number {
	case outcomeAccepted:
		return nil
	case outcomeReleased:
		return transport.WithReason(transport.ErrRefused, "the receiver released the message unread")
	case outcomeFailed:
		return transport.WithReason(transport.ErrRefused, "the receiver tried and failed")
	}
	return transport.WithReason(transport.ErrRefused, cmp.Or(reason, "the receiver rejected the message"))
}
