package faultconn

import (
	"errors"
	"net"
	"os"
	"time"
)

// readAhead is how many bytes are taken from the inner connection at once when
// they have to be kept for later.
const readAhead = 4 << 10

// errAgain says that there is nothing yet.
var errAgain = errors.New("faultconn: again")

// Read reads what the faults let through. It is the contract of [net.Conn];
// a Read of no bytes returns at once and is not counted.
func (c *Conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(p) == 0 {
		if c.closed {
			return 0, c.opError("read", net.ErrClosed)
		}
		return 0, nil
	}
	ticket := c.in.join()
	defer func() {
		c.in.leave(ticket)
		c.cond.Broadcast()
	}()
	for !c.in.first(ticket) {
		if err := c.readErr(time.Now()); err != nil {
			return 0, err
		}
		c.wait(c.in.deadline)
	}
	c.in.ops++
	for {
		n, err := c.readStep(p)
		if !errors.Is(err, errAgain) {
			return n, err
		}
	}
}

// readErr returns why a Read must not wait, whatever there is to read.
func (c *Conn) readErr(now time.Time) error {
	switch {
	case c.closed:
		return c.opError("read", net.ErrClosed)
	case passed(c.in.deadline, now):
		return c.opError("read", os.ErrDeadlineExceeded)
	case c.in.broken != nil:
		return c.opError("read", c.in.broken)
	}
	return nil
}

// readStep returns bytes, an error, or errAgain after something happened.
func (c *Conn) readStep(p []byte) (int, error) {
	now := time.Now()
	if err := c.readErr(now); err != nil {
		return 0, err
	}
	in := &c.in
	switch {
	case c.hole, in.stall.forever:
		c.wait(in.deadline)
		return 0, errAgain
	case in.stall.active(now):
		c.wait(in.deadline, in.stall.until)
		return 0, errAgain
	}
	if n := in.lane.pop(now, p); n > 0 {
		return n, nil
	}
	switch {
	case in.ended != nil && in.lane.empty():
		if now.Before(in.endedAt) {
			c.wait(in.deadline, in.endedAt)
			return 0, errAgain
		}
		return 0, in.ended
	case in.ended != nil, in.lane.room() == 0:
		c.wait(in.deadline, in.lane.due())
		return 0, errAgain
	}
	return c.take(p, now)
}

// take reads from the inner connection: to p if nothing has to wait, otherwise
// to the lane.
func (c *Conn) take(p []byte, now time.Time) (int, error) {
	in := &c.in
	sh, span, event := in.plan(now, max(len(p), readAhead))
	if event != nil {
		c.happen(event)
		return 0, errAgain
	}
	buf, direct := p, in.lane.empty() && !sh.delays()
	switch {
	case !direct:
		if in.buffer == nil {
			in.buffer = make([]byte, readAhead)
		}
		buf = in.buffer[:min(readAhead, in.lane.room())]
	case sh.slice:
		buf = p[:1]
	}
	n, err := c.readInner(buf[:min(len(buf), span)])
	n = c.received(buf[:n], direct)
	if direct && n == 1 && len(p) > 1 {
		c.mark(sh.by[Slice])
	}
	if err != nil {
		err = c.innerErr(err)
	}
	switch {
	case n > 0:
		return n, nil // if there was an error, the next Read comes to it
	case err != nil:
		return 0, err
	}
	return 0, errAgain
}

// readInner reads from nc, until the deadline or until the next delayed byte
// is due. mu is given up meanwhile.
func (c *Conn) readInner(p []byte) (int, error) {
	if err := c.setInner(sooner(c.in.deadline, c.in.lane.due())); err != nil {
		return 0, err
	}
	c.in.reading, c.in.interrupted = true, false
	c.mu.Unlock()
	n, err := c.nc.Read(p)
	c.mu.Lock()
	c.in.reading = false
	return n, err
}

// received deals with bytes that nc gave us, and returns how many of them a
// Read may return now. What holds for them is what the rules say now, not what
// they said before the wait.
func (c *Conn) received(p []byte, direct bool) (n int) {
	in, now := &c.in, time.Now()
	for len(p) > 0 {
		sh, span, event := in.plan(now, len(p))
		if event != nil {
			c.happen(event)
		}
		if c.hole || in.ended != nil || in.broken != nil {
			return n // the rest comes behind the end
		}
		if event != nil {
			continue
		}
		run := p[:span]
		p = p[span:]
		run[0] ^= sh.flip
		jitter := in.chance(c.seed, sh.jitter)
		in.count(span)
		c.markFlips(&sh)
		direct = direct && !sh.delays() && !in.stall.active(now)
		if direct {
			n += span
			continue
		}
		c.markDelays(&sh, jitter)
		in.lane.push(now, append([]byte(nil), run...), &sh, jitter)
	}
	return n
}

// markDelays counts the rules that are behind a detour through the lane.
func (c *Conn) markDelays(sh *shape, jitter time.Duration) {
	for k, r := range sh.by {
		if Kind(k) != Jitter || jitter > 0 {
			c.mark(r)
		}
	}
}

// innerErr turns an error of nc into what a Read returns: errAgain if that has
// to wait, or if we provoked it.
func (c *Conn) innerErr(err error) error {
	now := time.Now()
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		if passed(c.in.inner, now) {
			return errAgain
		}
		return err // a deadline that is not ours
	}
	if c.closed || c.out.end >= endFIN {
		return errAgain
	}
	if c.in.ended == nil {
		sh, _, _ := c.in.plan(now, 1)
		c.in.ended = err
		c.in.endedAt = c.in.lane.arrival(now, 0, &sh, 0)
		c.mark(sh.by[Latency])
	}
	return errAgain
}
