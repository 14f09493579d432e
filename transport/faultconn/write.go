package faultconn

import (
	"errors"
	"net"
	"os"
	"time"
)

// Write writes p as far as the faults allow. It is the contract of [net.Conn]:
// if it returns less than len(p) there is an error. A Write of no bytes
// returns at once and is not counted.
func (c *Conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(p) == 0 {
		return 0, c.writeErr(time.Now())
	}
	ticket := c.out.join()
	defer func() {
		c.out.leave(ticket)
		c.cond.Broadcast()
	}()
	for !c.out.first(ticket) {
		if err := c.writeErr(time.Now()); err != nil {
			return 0, err
		}
		c.wait(c.out.deadline)
	}
	c.out.ops++
	for n := 0; ; {
		k, err := c.writeStep(p[n:])
		n += k
		if n == len(p) || err != nil {
			return n, err
		}
	}
}

// writeErr returns why a Write cannot go on, if so.
func (c *Conn) writeErr(now time.Time) error {
	switch {
	case c.closed:
		return c.opError("write", net.ErrClosed)
	case c.out.broken != nil:
		return c.opError("write", c.out.broken)
	case c.out.failed != nil:
		return c.out.failed
	case passed(c.out.deadline, now):
		return c.opError("write", os.ErrDeadlineExceeded)
	}
	return nil
}

// writeStep writes as much of p as is treated alike, lets an event happen, or
// waits.
func (c *Conn) writeStep(p []byte) (int, error) {
	now := time.Now()
	if err := c.writeErr(now); err != nil {
		return 0, err
	}
	out := &c.out
	if c.hole {
		return c.swallow(p), nil
	}
	sh, span, event := out.plan(now, len(p))
	if event != nil {
		c.happen(event)
		return 0, nil
	}
	p = p[:span]
	if !out.queued && !sh.delays() {
		return c.writeInner(p, &sh)
	}
	c.startQueue()
	p = p[:min(len(p), out.lane.room())]
	if len(p) == 0 {
		c.wait(out.deadline)
		return 0, nil
	}
	data := append([]byte(nil), p...)
	data[0] ^= sh.flip
	jitter := out.chance(c.seed, sh.jitter)
	out.count(len(data))
	c.markFlips(&sh)
	c.markDelays(&sh, jitter)
	out.lane.push(now, data, &sh, jitter)
	c.schedule()
	return len(p), nil
}

// swallow pretends to send.
func (c *Conn) swallow(p []byte) int {
	if c.holeRoom == 0 {
		c.wait(c.out.deadline)
		return 0
	}
	n := len(p)
	if c.holeRoom > 0 {
		n = min(n, c.holeRoom)
		c.holeRoom -= n
	}
	c.out.count(n)
	return n
}

// writeInner writes to the inner connection at once. mu is given up meanwhile.
func (c *Conn) writeInner(p []byte, sh *shape) (int, error) {
	if sh.flip != 0 {
		p = []byte{p[0] ^ sh.flip} // a flip comes in a run of its own
	}
	c.out.writing = true
	c.mu.Unlock()
	n, err := writePieces(c.nc, p, sh.slice)
	c.mu.Lock()
	c.out.writing = false
	if c.out.queued {
		_ = c.nc.SetWriteDeadline(time.Time{})
	}
	if n > 0 {
		c.out.count(n)
		c.markFlips(sh)
	}
	if n > 1 {
		c.mark(sh.by[Slice])
	}
	if err != nil && (c.closed || c.out.broken != nil) {
		err = c.writeErr(time.Now()) // it was our doing
	}
	return n, err
}

func writePieces(nc net.Conn, p []byte, slice bool) (n int, err error) {
	if !slice {
		return nc.Write(p)
	}
	for n < len(p) && err == nil {
		var k int
		k, err = nc.Write(p[n : n+1])
		n += k
	}
	return n, err
}

// startQueue sends all further bytes through the lane. From here on deadlines
// are for Writes, which no longer meet the inner connection.
func (c *Conn) startQueue() {
	if c.out.queued {
		return
	}
	c.out.queued = true
	if !c.out.deadline.IsZero() && !c.out.writing {
		_ = c.nc.SetWriteDeadline(time.Time{})
	}
}

// schedule sees to it that what is in the lane is delivered in time.
func (c *Conn) schedule() {
	out := &c.out
	next := out.endAt
	if !out.lane.empty() {
		next = later(out.lane.due(), out.stall.until)
		if out.stall.forever {
			return
		}
	}
	if out.delivering || out.lane.empty() && out.end == out.done {
		return
	}
	d := time.Until(next)
	if out.timer == nil {
		out.timer = time.AfterFunc(d, c.deliver)
		return
	}
	out.timer.Reset(d)
}

// deliver hands over what is due, then sets the timer for the rest.
func (c *Conn) deliver() {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := &c.out
	if out.delivering {
		return
	}
	out.delivering = true
	for c.deliverStep() {
		c.cond.Broadcast() // there is room
	}
	out.delivering = false
	if out.lane.empty() && !time.Now().Before(out.endAt) {
		_ = c.perform()
	}
	c.schedule()
}

// deliverStep writes the bytes that are due in one piece, if there are any. A
// failure ends the stream, as it does in a kernel: it is the next Write that
// hears of it.
func (c *Conn) deliverStep() bool {
	out, now := &c.out, time.Now()
	if out.stall.active(now) {
		return false
	}
	data := make([]byte, out.lane.arrived(now))
	data = data[:out.lane.pop(now, data)]
	if len(data) == 0 {
		return false
	}
	err := c.hand(data)
	if err == nil {
		return true
	}
	out.lane.clear()
	if out.failed == nil {
		out.failed = err
	}
	c.cond.Broadcast()
	return false
}

// hand writes data to nc. Once the connection has ended it gives up on a peer
// that takes nothing for a while. mu is given up meanwhile.
func (c *Conn) hand(data []byte) error {
	for {
		c.limitLinger()
		c.mu.Unlock()
		n, err := c.nc.Write(data)
		c.mu.Lock()
		data = data[n:]
		if n == 0 || len(data) == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
}
