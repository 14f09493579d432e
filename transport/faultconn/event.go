package faultconn

import (
	"io"
	"syscall"
	"time"
)

// closeWriter and lingerer are what a connection needs to be half closed and
// to be reset. A closeReader can be closed while bytes are still to be sent.
type (
	closeReader interface{ CloseRead() error }
	closeWriter interface{ CloseWrite() error }
	lingerer    interface{ SetLinger(sec int) error }
)

// past is a deadline that interrupts whoever waits.
var past = time.Unix(1, 0)

// A stall is when one direction stands still.
type stall struct {
	until   time.Time
	forever bool
}

func (s *stall) active(now time.Time) bool { return s.forever || now.Before(s.until) }

// An ending is what the peer gets to see behind the last byte. The later ones
// include the earlier.
type ending uint8

const (
	endNone  ending = iota
	endWrite        // the stream ends, the connection does not
	endFIN
	endRST
)

// happen makes the event of r take place, unless it cannot: it did already,
// the connection has ended, or nothing gets through any more anyway. Then it
// is not counted. mu is held.
func (c *Conn) happen(r *ruleState) {
	spent := r.spent
	r.spent = true
	if spent || c.closed || c.hole || c.in.broken != nil || c.out.end >= endFIN {
		return
	}
	switch r.Kind {
	case Cut:
		c.endRead(io.EOF)
		c.out.broken = injected("write", syscall.EPIPE)
		_ = c.finish(endFIN)
	case Reset:
		if _, ok := c.nc.(lingerer); !ok {
			return
		}
		c.in.broken = injected("read", syscall.ECONNRESET)
		c.out.broken = injected("write", syscall.ECONNRESET)
		_ = c.finish(endRST)
	case HalfClose:
		if !c.halfClose(r.Dir) {
			return
		}
	case BlackHole:
		c.hole, c.holeRoom = true, int(r.Arg)
		if r.Arg == 0 {
			c.holeRoom = -1
		}
		c.interruptRead()
	case Stall:
		c.stallFor(r.Dir, time.Duration(r.Arg))
	}
	c.mark(r)
	c.cond.Broadcast()
}

// halfClose reports whether it could be done.
func (c *Conn) halfClose(dir Dir) bool {
	if dir == Read {
		if c.in.ended != nil {
			return false
		}
		c.endRead(io.EOF)
		c.interruptRead()
		return true
	}
	if _, ok := c.nc.(closeWriter); !ok || c.out.broken != nil {
		return false
	}
	c.out.broken = injected("write", syscall.EPIPE)
	_ = c.finish(endWrite)
	return true
}

func (c *Conn) stallFor(dir Dir, d time.Duration) {
	s := &c.in.stall
	if dir == Write {
		s = &c.out.stall
		c.startQueue()
	} else {
		c.interruptRead()
	}
	s.forever = s.forever || d == 0
	s.until = later(s.until, time.Now().Add(d))
}

// endRead makes err the last thing that Reads return.
func (c *Conn) endRead(err error) {
	if c.in.ended == nil {
		c.in.ended = err
	}
}

// interruptRead makes a Read of nc that waits come back.
func (c *Conn) interruptRead() {
	if c.in.reading {
		c.in.interrupted = true
		_ = c.setInner(past)
	}
}

// setInner gives nc a read deadline.
func (c *Conn) setInner(t time.Time) error {
	if t.Equal(c.in.inner) {
		return nil
	}
	c.in.inner = t
	return c.nc.SetReadDeadline(t)
}

// finish lets the peer see the ending, behind what is under way and as late as
// bytes would be. If that is now, the error is that of nc; mu is given up
// meanwhile.
func (c *Conn) finish(e ending) error {
	out := &c.out
	if c.hole {
		return nil
	}
	now := time.Now()
	if e > out.end {
		out.end = e
		if sh, _, _ := out.plan(now, 1); sh.delays() && out.failed == nil {
			out.endAt = out.lane.arrival(now, 0, &sh, 0)
			c.mark(sh.by[Latency])
		}
	}
	if e >= endFIN {
		c.interruptRead()
	}
	if out.delivering || !out.lane.empty() || out.endAt.After(now) {
		c.limitLinger()
		c.schedule()
		return nil
	}
	return c.perform()
}

// limitLinger bounds a delivery to a peer that does not read, once the
// connection has ended.
func (c *Conn) limitLinger() {
	if c.closed || c.out.end >= endFIN {
		_ = c.nc.SetWriteDeadline(time.Now().Add(lingerTime))
	}
}

// perform does to nc what the ending says, once. mu is given up meanwhile.
func (c *Conn) perform() error {
	e := c.out.end
	if e == c.out.done {
		return nil
	}
	c.out.done = e
	c.mu.Unlock()
	defer c.mu.Lock()
	switch e {
	case endWrite:
		return c.nc.(closeWriter).CloseWrite()
	case endRST:
		_ = c.nc.(lingerer).SetLinger(0)
	}
	return c.nc.Close()
}
