package faultconn

import (
	"fmt"
	"math"
)

// A Rule is one fault and what triggers it.
type Rule struct {
	// Dir is the direction that is counted, and that suffers. Cut, Reset and
	// BlackHole end both.
	Dir Dir
	// Unit is what At and For count.
	Unit Unit
	// At is how many bytes, calls or nanoseconds pass unharmed: 0 means that
	// the very first is hit. The fault happens when the next one is due, not
	// as soon as the last harmless one has passed; only Cut, Reset, HalfClose,
	// BlackHole and Stall of unit Time need no traffic.
	At int64
	// For is how many bytes, calls or nanoseconds a lasting kind stays in
	// force. 0 means to the end, and is all that other kinds may say.
	For int64
	// Kind is what happens.
	Kind Kind
	// Arg is how much of it; see the kind.
	Arg int64
}

// validate returns what is wrong with the rule, if anything.
func (r Rule) validate() error {
	switch {
	case !r.Dir.valid():
		return fmt.Errorf("%v is no direction", r.Dir)
	case !r.Unit.valid():
		return fmt.Errorf("%v is no unit", r.Unit)
	case !r.Kind.valid():
		return fmt.Errorf("%v is no kind", r.Kind)
	case r.At < 0 || r.For < 0 || r.At > math.MaxInt64-r.For:
		return fmt.Errorf("%d+%d is out of range", r.At, r.For)
	case r.For > 0 && !kinds[r.Kind].lasting:
		return fmt.Errorf("%v happens once, it cannot last", r.Kind)
	case r.Arg < kinds[r.Kind].min || r.Arg > kinds[r.Kind].max:
		return fmt.Errorf("%v cannot have the argument %d", r.Kind, r.Arg)
	}
	return nil
}

// A Schedule is everything that will go wrong with a connection. It is plain
// data: whoever has it, or its text, can have the same faults again. A nil
// *Schedule, like the zero Schedule, is a connection without faults.
//
// Any number of connections may be wrapped with one Schedule; each runs it
// from the start.
type Schedule struct {
	// Seed decides what is left to chance, which is the jitter.
	Seed uint64
	// Rules are the faults. Of two rules of one lasting kind that are in force
	// at the same time the later in the list counts.
	Rules []Rule
}

// Validate returns an error that wraps [ErrSyntax] and names the first rule
// that makes no sense, if one does: a zero or unknown Dir, Unit or Kind, a
// negative or too large number, a For where nothing lasts.
func (s *Schedule) Validate() error {
	if s == nil {
		return nil
	}
	for i, r := range s.Rules {
		if err := r.validate(); err != nil {
			return fmt.Errorf("%w: rule %d: %w", ErrSyntax, i+1, err)
		}
	}
	return nil
}

// Random returns a schedule with one rule for each of the kinds, or for one to
// three different kinds if none is given. The same seed and kinds always give
// the same schedule.
//
// Its rules count bytes, so that what they do depends only on the bytes of a
// conversation, not on how they are cut into calls. Most triggers are near the
// start and all are below byte 4096; stalls last between 10 ms and about 2 minutes.
// A kind that does not exist gives a rule that Validate objects to.
func Random(seed uint64, kinds ...Kind) *Schedule {
	d := dice(seed)
	if len(kinds) == 0 {
		kinds = d.pick(Kinds(), 1+int(d.roll(3)))
	}
	s := &Schedule{Seed: seed}
	for _, k := range kinds {
		s.Rules = append(s.Rules, d.rule(k))
	}
	return s
}

// rule makes up a rule of kind k.
func (d *dice) rule(k Kind) Rule {
	r := Rule{Dir: Read, Unit: Byte, At: d.roll(1 << d.roll(13)), Kind: k}
	if d.roll(2) == 0 {
		r.Dir = Write
	}
	if k.valid() && kinds[k].lasting && d.roll(2) == 0 {
		r.For = 1 + d.roll(2048)
	}
	const ms = 1e6
	switch k {
	case Latency:
		r.Arg = ms * (1 + d.roll(200))
	case Jitter:
		r.Arg = ms * (1 + d.roll(100))
	case Bandwidth:
		r.Arg = 1000 << d.roll(11) // 1 kB/s to 1 MB/s
	case Slice:
		r.Arg = ms * max(0, d.roll(40)-30) // mostly no pause
	case Coalesce:
		r.Arg = ms * (1 + d.roll(50))
	case BlackHole:
		r.Arg = laneLimit * d.roll(2)
	case Stall:
		r.Arg = 10 * ms << d.roll(13) // up to 41 s
		r.Arg += d.roll(2 * r.Arg)    // up to 2 min
	case BitFlip:
		r.Arg = d.roll(8)
	}
	return r
}

// dice are the state of a splitmix64 generator. It is here because a seed must
// mean the same for ever, which no library promises.
type dice uint64

func (d *dice) next() uint64 {
	*d += 0x9e3779b97f4a7c15
	return mix(uint64(*d))
}

// roll returns a number below n, n being at least 1.
func (d *dice) roll(n int64) int64 {
	return int64(d.next() % uint64(n))
}

// pick returns n of the kinds.
func (d *dice) pick(from []Kind, n int) []Kind {
	for i := range n {
		j := i + int(d.roll(int64(len(from)-i)))
		from[i], from[j] = from[j], from[i]
	}
	return from[:n]
}

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
