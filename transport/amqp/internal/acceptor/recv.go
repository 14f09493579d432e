package acceptor

import (
	"context"
	"time"

	"github.com/polyport/polyport/transport"
)

// pumpAfter is how long nobody has been in Recv when something else begins to
// receive.
const pumpAfter = 5 * time.Millisecond

// A pump receives while nobody is in Recv: links are attached, credit and
// outcomes come by the same stream as messages, and whoever only sends needs
// them. Messages that it meets wait in a queue, for which there is as much room
// as for what waits to be sent. The connection's mu protects it.
type pump struct {
	receivers int                // goroutines in Recv, or about to be
	visits    uint64             // calls of Recv
	stop      context.CancelFunc // of the one that runs, or nil

	timer *time.Timer
	armed bool
	seen  uint64 // visits when it was armed

	queue []*transport.Message
	bytes int // of the queue
}

// Recv returns the next message.
func (c *conn) Recv(ctx context.Context) (*transport.Message, error) {
	c.mu.Lock()
	c.pump.visits++
	if m := c.queued(); m != nil {
		c.arm()
		c.mu.Unlock()
		return m, nil
	}
	c.pump.receivers++
	if c.pump.stop != nil {
		c.pump.stop()
	}
	c.mu.Unlock()
	m, err := c.stream.Receive(ctx, c.next)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pump.receivers--
	if err != nil && ctx.Err() == nil {
		if last := c.queued(); last != nil {
			m, err = last, nil
		}
	}
	c.arm()
	return m, err
}

// next returns the next message.
func (c *conn) next() (*transport.Message, error) {
	c.mu.Lock()
	m := c.queued()
	c.mu.Unlock()
	if m != nil {
		return m, nil
	}
	for {
		m, err := c.step()
		if m != nil || err != nil {
			return m, err
		}
	}
}

// queued returns the first message in the queue, or nil. It needs mu.
func (c *conn) queued() *transport.Message {
	p := &c.pump
	if len(p.queue) == 0 {
		return nil
	}
	m := p.queue[0]
	p.queue[0], p.queue = nil, p.queue[1:]
	p.bytes -= weight(m)
	return m
}

// weight is about how many bytes a message takes.
func weight(m *transport.Message) int { return 512 + len(m.Body) }

// arm sees to it that the absence of receivers is noticed. It needs mu.
func (c *conn) arm() {
	if p := &c.pump; !p.armed && p.receivers == 0 && p.stop == nil && p.bytes < c.o.SendBuffer {
		p.armed, p.seen = true, p.visits
		p.timer.Reset(pumpAfter)
	}
}

// absent is called some time after arm.
func (c *conn) absent() {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &c.pump
	p.armed = false
	switch {
	case p.receivers > 0:
	case p.visits != p.seen:
		c.arm()
	default:
		c.startPump()
	}
}

// startPump needs mu.
func (c *conn) startPump() {
	if p := &c.pump; p.receivers == 0 && p.stop == nil && c.stream.Err() == nil {
		ctx, cancel := context.WithCancel(context.Background())
		p.stop = cancel
		go c.runPump(ctx, cancel)
	}
}

// runPump receives until somebody wants to receive or the queue is full.
func (c *conn) runPump(ctx context.Context, cancel context.CancelFunc) {
	defer cancel()
	_, _ = c.stream.Receive(ctx, func() (*transport.Message, error) { // an error ends the stream
		for room := true; room && ctx.Err() == nil; {
			m, err := c.step()
			if err != nil {
				return nil, err
			}
			if m == nil {
				continue
			}
			c.mu.Lock()
			c.pump.queue = append(c.pump.queue, m)
			c.pump.bytes += weight(m)
			room = c.pump.bytes < c.o.SendBuffer
			c.mu.Unlock()
		}
		return nil, nil
	})
	c.mu.Lock()
	c.pump.stop = nil
	c.acting = false
	c.arm() // somebody may have made room in the queue
	c.mu.Unlock()
	c.Release()
}
