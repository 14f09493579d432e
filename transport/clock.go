package transport

import (
	"sync/atomic"
	"time"
)

// A readClock measures the time that was spent in reads, which is the time for
// which a peer can be blamed: while nobody reads, what it sent waits unread. One
// goroutine starts and stops it, any may read it.
type readClock struct {
	since atomic.Int64 // when the read under way began, or 0
	total atomic.Int64 // of the reads that are over
	heard atomic.Int64 // what the clock showed when bytes last came
}

func (c *readClock) start() { c.since.Store(int64(now()) | 1) }

func (c *readClock) stop(heard bool) {
	total := c.total.Add(int64(now()) - c.since.Swap(0))
	if heard {
		c.heard.Store(total)
	}
}

// read returns the time spent in reads so far.
func (c *readClock) read() time.Duration {
	for {
		total, since := c.total.Load(), c.since.Load()
		if c.total.Load() != total {
			continue // a read ended in between
		}
		if since != 0 {
			total += int64(now()) - since
		}
		return time.Duration(total)
	}
}

// silence returns the time spent in reads since bytes last came; judged is
// false while nobody reads.
func (c *readClock) silence() (d time.Duration, judged bool) {
	if c.since.Load() == 0 {
		return 0, false
	}
	return c.read() - time.Duration(c.heard.Load()), true
}
