package queue

import (
	"fmt"
	"log/slog"
	"time"
)

// Options adjusts a [Queue]. A nil *Options means the defaults.
type Options struct {
	// Depth is how many jobs may wait in all lanes together. Jobs that run do
	// not count. Zero or less means 1024.
	Depth int
	// Workers is how many jobs may run at once. A goroutine is started when a
	// job first needs it and kept until Close. Zero or less means 256.
	Workers int
	// Policy is what happens to a job that finds no place. The zero value is
	// [Reject].
	Policy Policy
	// BlockFor is how long a submitter waits under the policy [BlockFor]; the
	// other policies ignore it. Zero or less means 200 ms.
	BlockFor time.Duration
	// Logger receives one record, with the stack, for each job that panics.
	// Nil discards it.
	Logger *slog.Logger
}

func (o *Options) depth() int {
	if o == nil || o.Depth <= 0 {
		return 1024
	}
	return o.Depth
}

func (o *Options) workers() int {
	if o == nil || o.Workers <= 0 {
		return 256
	}
	return o.Workers
}

func (o *Options) policy() Policy {
	if o == nil {
		return Reject
	}
	return o.Policy
}

func (o *Options) blockFor() time.Duration {
	if o == nil || o.BlockFor <= 0 {
		return 200 * time.Millisecond
	}
	return o.BlockFor
}

func (o *Options) logger() *slog.Logger {
	if o == nil || o.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.Logger
}

// LaneOptions adjusts a [Lane]. A nil *LaneOptions means the defaults.
type LaneOptions struct {
	// Depth is how many jobs of the lane may wait. Zero or less, or more than
	// the queue's depth, means the queue's depth: then one lane can take every
	// place there is, so give the lanes of peers that are not trusted less.
	Depth int
	// Width is how many jobs of the lane may run at once. One means strictly
	// in order: a job starts when the one before it has ended. Zero or less
	// means no limit but the queue's workers.
	Width int
}

func (o *LaneOptions) depth(most int) int {
	if o == nil || o.Depth <= 0 || o.Depth > most {
		return most
	}
	return o.Depth
}

func (o *LaneOptions) width() int {
	if o == nil || o.Width < 0 {
		return 0
	}
	return o.Width
}

// A Policy says what happens to a job that finds no place in a [Queue]. Its
// text forms are reject, block, block-for and drop-oldest.
type Policy int

const (
	// Reject refuses the job at once with [ErrFull].
	Reject Policy = iota
	// Block makes the submitter wait for a place until its context ends.
	Block
	// BlockFor is Block for [Options.BlockFor] at the most, then Reject.
	BlockFor
	// DropOldest makes room by dropping the job that has waited longest in the
	// same lane, with [ErrDropped]. When other lanes hold the places, so that
	// this one has nothing to drop, it is Reject. It suits events, of which the
	// newest is worth most, and no calls.
	DropOldest
)

var policyNames = [...]string{"reject", "block", "block-for", "drop-oldest"}

func (p Policy) valid() bool { return p >= 0 && int(p) < len(policyNames) }

// String returns the text form, or Policy(n) for a value that is none of the
// constants.
func (p Policy) String() string {
	if !p.valid() {
		return fmt.Sprintf("Policy(%d)", int(p))
	}
	return policyNames[p]
}

// MarshalText returns the text form. It fails for a value that is none of the
// constants.
func (p Policy) MarshalText() ([]byte, error) {
	if !p.valid() {
		return nil, fmt.Errorf("queue: unknown policy %d", int(p))
	}
	return []byte(policyNames[p]), nil
}

// UnmarshalText sets p to the policy of that text form, in lower case; any
// other text is an error and leaves p as it is.
func (p *Policy) UnmarshalText(text []byte) error {
	for i, name := range policyNames {
		if string(text) == name {
			*p = Policy(i)
			return nil
		}
	}
	return fmt.Errorf("queue: unknown policy %q", text)
}
