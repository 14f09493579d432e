package faultconn

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// lingerTime is how long bytes that are still under way when the connection
// is closed may wait for the inner connection to take more. It counts from
// each attempt, of which the last one makes no progress.
const lingerTime = 250 * time.Millisecond

// A Conn is a [net.Conn] with faults. It is made by [Wrap].
//
// All methods may be called concurrently. Concurrent Writes are not mixed, and
// concurrent Reads are served one after the other. Deadlines hold in every
// fault, also when they are moved while an operation waits, and so does Close.
type Conn struct {
	nc   net.Conn
	seed uint64

	mu    sync.Mutex // protects what follows; not held while waiting or while nc works
	cond  sync.Cond  // something changed
	in    inbound
	out   outbound
	fired map[Kind]int

	closed   bool // by the user
	hole     bool // nothing gets through any more
	holeRoom int  // bytes that Writes may still pretend to send; below 0: any number
	timers   []*time.Timer
}

// inbound is the state of Read.
type inbound struct {
	stream
	turns
	lane     lane
	deadline time.Time
	stall    stall
	buffer   []byte // where bytes for the lane are read to

	inner       time.Time // the read deadline that nc has from us
	reading     bool      // nc.Read is under way
	interrupted bool      // and was told to come back

	broken  error     // every Read fails with it, at once
	ended   error     // behind the last byte of the lane comes this
	endedAt time.Time // not before this time
}

// outbound is the state of Write.
type outbound struct {
	stream
	turns
	lane       lane
	deadline   time.Time
	stall      stall
	queued     bool        // all bytes go through the lane, for good
	writing    bool        // a Write past the lane is under way
	timer      *time.Timer // delivers
	delivering bool        // a delivery is under way

	broken error     // every Write fails with it
	failed error     // every Write fails with it, as it is: a delivery failed
	end    ending    // what happens behind the last byte of the lane
	endAt  time.Time // not before this time
	done   ending    // what did
}

// Wrap returns a connection that does what nc does, except for the faults of
// the schedule. A nil schedule has none. The connection owns nc from now on:
// see [Conn.Close] and [Conn.NetConn]. Time is counted from here.
//
// Wrap takes a copy of the schedule, and panics if [Schedule.Validate] finds
// something wrong with it.
func Wrap(nc net.Conn, s *Schedule) *Conn {
	if err := s.Validate(); err != nil {
		panic(err)
	}
	now := time.Now()
	c := &Conn{nc: nc, fired: make(map[Kind]int)}
	c.cond.L = &c.mu
	c.in.stream = stream{dir: Read, start: now}
	c.out.stream = stream{dir: Write, start: now}
	if s == nil {
		return c
	}
	c.mu.Lock() // a timer of this moment waits until everything is in place
	defer c.mu.Unlock()
	c.seed = s.Seed
	for _, rule := range s.Rules {
		r := &ruleState{Rule: rule}
		if r.Dir == Read {
			c.in.rules = append(c.in.rules, r)
		} else {
			c.out.rules = append(c.out.rules, r)
		}
		if r.Unit == Time && !kinds[r.Kind].lasting && r.Kind != BitFlip {
			c.timers = append(c.timers, time.AfterFunc(time.Duration(r.At), func() {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.happen(r)
			}))
		}
	}
	return c
}

// NetConn returns the inner connection: to close it after a black hole, or to
// look at it. Using it for anything else confuses the Conn.
func (c *Conn) NetConn() net.Conn { return c.nc }

// Fired returns how many rules of each kind have taken effect so far; kinds
// of which none has are left out. A lasting rule counts once, when it has
// first made a difference: a byte was delayed, or a call cut into slices. The
// caller owns the map.
func (c *Conn) Fired() map[Kind]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.fired)
}

// mark counts that r, which may be nil, took effect.
func (c *Conn) mark(r *ruleState) {
	if r != nil && !r.fired {
		r.fired = true
		c.fired[r.Kind]++
	}
}

func (c *Conn) markFlips(sh *shape) {
	for _, r := range sh.flips {
		r.spent = true
		c.mark(r)
	}
}

// Close ends the connection, as far as the faults let it. It may be called
// more than once and never waits: Reads and Writes fail at once with an error
// that wraps [net.ErrClosed]. Bytes that a fault still delays are delivered
// when they are due, and the end as late as they, then the inner connection is closed; a peer that takes
// none of them for half a second loses the rest. Bytes that are stalled for ever are
// dropped. Whoever cannot wait for all that, such as the end of a test, closes
// [Conn.NetConn] too.
//
// After a black hole the peer must not notice, so the inner connection stays
// open: its owner may close it through [Conn.NetConn], otherwise it is left to
// the garbage collector.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	for _, t := range c.timers {
		t.Stop()
	}
	c.cond.Broadcast()
	if c.hole {
		c.interruptRead()
		if c.out.writing {
			return c.nc.SetWriteDeadline(past)
		}
		c.limitLinger()
		return nil
	}
	if c.out.stall.forever {
		c.out.lane.clear()
	}
	err := c.finish(endFIN)
	if r, ok := c.nc.(closeReader); ok && c.out.done < endFIN {
		_ = r.CloseRead() // the peer need not wait for us to read
	}
	return err
}

// CloseWrite ends the stream to the peer behind the bytes written so far, if
// the inner connection has a CloseWrite method; otherwise the error wraps
// [errors.ErrUnsupported]. Further Writes fail.
func (c *Conn) CloseWrite() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	if _, ok := c.nc.(closeWriter); !ok {
		return c.opError("close", fmt.Errorf("half close of a %T: %w", c.nc, errors.ErrUnsupported))
	}
	if c.out.broken == nil {
		c.out.broken = os.NewSyscallError("write", syscall.EPIPE)
	}
	c.cond.Broadcast()
	return c.finish(endWrite)
}

// SetLinger passes sec on if the inner connection has a SetLinger method;
// otherwise the error wraps [errors.ErrUnsupported]. Bytes that a fault delays
// are delivered all the same.
func (c *Conn) SetLinger(sec int) error {
	l, ok := c.nc.(lingerer)
	if !ok {
		return c.opError("set", fmt.Errorf("linger of a %T: %w", c.nc, errors.ErrUnsupported))
	}
	return l.SetLinger(sec)
}

// LocalAddr returns the address of the inner connection.
func (c *Conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// RemoteAddr returns the address of the inner connection.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// SetDeadline sets both deadlines. The zero time means none.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline bounds Reads, those that wait now included.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.opError("set", net.ErrClosed)
	}
	c.in.deadline = t
	c.cond.Broadcast()
	if c.in.reading && !c.in.interrupted {
		return c.setInner(sooner(t, c.in.lane.due()))
	}
	return nil
}

// SetWriteDeadline bounds Writes, those that wait now included. It does not
// bound how long bytes are under way.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.opError("set", net.ErrClosed)
	}
	c.out.deadline = t
	c.cond.Broadcast()
	if c.out.queued && !c.out.writing {
		return nil
	}
	return c.nc.SetWriteDeadline(t)
}

// wait gives up mu until something changed, the earliest of the times has
// come, or for no reason. A zero time never comes.
func (c *Conn) wait(until ...time.Time) {
	var first time.Time
	for _, t := range until {
		first = sooner(first, t)
	}
	if !first.IsZero() {
		// The lock keeps the signal from coming before the wait began.
		defer time.AfterFunc(time.Until(first), func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.cond.Broadcast()
		}).Stop()
	}
	c.cond.Wait()
}

func passed(deadline, now time.Time) bool {
	return !deadline.IsZero() && !now.Before(deadline)
}
