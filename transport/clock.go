package transport

import (
	"math"
	"sync/atomic"
	"time"
)

// A readClock measures the time that was spent in reads, which is the time for
// which a peer can be blamed: while nobody reads, what it sent waits unread.
// One goroutine starts and stops it, any may read it.
type readClock struct {
	since atomic.Int64 // when the read under way began, or noRead
	total atomic.Int64 // of the reads that are over
	heard atomic.Int64 // what the clock showed when bytes last came
}

// noRead is the value of since while nobody reads.
const noRead = math.MinInt64

func (c *readClock) start() { c.since.Store(int64(now())) }

func (c *readClock) stop(heard bool) {
	total := c.total.Add(int64(now()) - c.since.Swap(noRead))
	if heard {
		c.heard.Store(total)
	}
}

// read returns the time spent in reads so far, and whether one is under way.
func (c *readClock) read() (d time.Duration, reading bool) {
	for {
		total, since := c.total.Load(), c.since.Load()
		if c.total.Load() != total {
			continue // a read ended in between
		}
		if since == noRead {
			return time.Duration(total), false
		}
		return time.Duration(total) + now() - time.Duration(since), true
	}
}

// silence returns the time spent in reads since bytes last came, and whether
// one is under way.
func (c *readClock) silence() (d time.Duration, reading bool) {
	d, reading = c.read()
	return d - time.Duration(c.heard.Load()), reading
}
