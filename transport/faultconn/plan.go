package faultconn

import "time"

// A ruleState is a rule of one connection.
type ruleState struct {
	Rule
	fired bool // it took effect, and was counted
	spent bool // it happens once, and did
}

// A shape is what the lasting rules, and the flips, do to a run of bytes.
type shape struct {
	latency, jitter, pause, collect time.Duration
	rate                            int64 // bytes a second; 0: no limit
	slice                           bool
	flip                            byte // to be combined with the first byte by exclusive or

	by    [len(kinds)]*ruleState // the rule behind each lasting kind
	flips []*ruleState
}

// delays says whether the bytes have to be kept for later.
func (s *shape) delays() bool {
	return s.latency > 0 || s.jitter > 0 || s.pause > 0 || s.collect > 0 || s.rate > 0
}

func (s *shape) apply(r *ruleState) {
	s.by[r.Kind] = r
	switch r.Kind {
	case Latency:
		s.latency = time.Duration(r.Arg)
	case Jitter:
		s.jitter = time.Duration(r.Arg)
	case Bandwidth:
		s.rate = r.Arg
	case Slice:
		s.slice, s.pause = true, time.Duration(r.Arg)
	case Coalesce:
		s.collect = time.Duration(r.Arg)
	}
}

// A stream is how far one direction has come, as the rules see it.
type stream struct {
	dir   Dir
	start time.Time
	rules []*ruleState // of this direction, in the order of the schedule
	bytes int64        // so many went through, or into the lane
	ops   int64        // so many calls began
}

func (s *stream) position(u Unit, now time.Time) int64 {
	switch u {
	case Byte:
		return s.bytes
	case Op:
		return max(0, s.ops-1)
	default:
		return int64(now.Sub(s.start))
	}
}

// plan looks at the bytes that come next, most of them. It returns how many of
// them are treated alike, which is at least one, and how. If something has to
// happen before the first of them it returns that rule instead.
func (s *stream) plan(now time.Time, most int) (sh shape, span int, event *ruleState) {
	left := int64(most)
	for _, r := range s.rules {
		pos := s.position(r.Unit, now)
		switch {
		case pos < r.At:
			if r.Unit == Byte {
				left = min(left, r.At-pos)
			}
		case kinds[r.Kind].lasting:
			if r.For > 0 && pos-r.At >= r.For {
				continue
			}
			if r.For > 0 && r.Unit == Byte {
				left = min(left, r.At+r.For-pos)
			}
			if r.Kind == Jitter {
				left = min(left, block-s.bytes%block)
			}
			sh.apply(r)
		case r.spent:
		case r.Kind == BitFlip:
			sh.flip ^= 1 << r.Arg
			sh.flips = append(sh.flips, r)
			left = 1
		default:
			return shape{}, 0, r
		}
	}
	return sh, int(left), nil
}

// count notes that n bytes went through.
func (s *stream) count(n int) { s.bytes += int64(n) }

// block is how many bytes have the same jitter. If calls had it, the luck of
// the scheduler in cutting a stream into calls would change what happens.
const block = 64

// chance returns a number below n that depends on nothing but the seed, the
// direction and the block of the bytes that come next.
func (s *stream) chance(seed uint64, n time.Duration) time.Duration {
	if n <= 0 {
		return 0
	}
	h := mix(mix(seed^uint64(s.dir)<<56) ^ uint64(s.bytes/block))
	return time.Duration(h % uint64(n))
}
