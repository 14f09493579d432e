package rpc

import (
	"errors"
	"runtime"
	"sync"

	"github.com/polyport/polyport/transport"
)

// A gather packs calls that come together into batches. Whoever comes first
// gives the others who are ready a chance to come too, and sends for all; those
// who come while it sends make up the next batch. So one call alone goes as it
// is, at once.
type gather struct {
	c    *Client
	most int

	mu      sync.Mutex // protects the fields below
	waiting []gathered
	sending bool
}

// gathered is a request that waits to be sent.
type gathered struct {
	out   *outgoing
	w     *waiter
	id    uint64 // of w when it was added: it may serve another call since
	epoch uint64
}

// gathers reports whether c's calls are packed into batches.
func (c *Client) gathers() bool {
	return c.s.gather != nil && c.s.lockstep == nil && c.s.mostBatch.Load() != 1
}

// add sends a request with others. What becomes of it its waiter is told.
func (g *gather) add(out *outgoing, w *waiter, epoch uint64) {
	id := g.c.s.calls.mark(w)
	g.mu.Lock()
	g.waiting = append(g.waiting, gathered{out: out, w: w, id: id, epoch: epoch})
	lead := !g.sending
	g.sending = true
	g.mu.Unlock()
	if lead {
		runtime.Gosched()
		g.drain()
	}
}

// drain sends all that waits. If there is no room it leaves that to a goroutine
// that waits for some.
func (g *gather) drain() {
	for {
		part := g.next()
		if part == nil {
			return
		}
		m := g.pack(part)
		if m == nil {
			continue
		}
		err := g.c.s.conn.Send(noWait, &m.out.msg)
		if errors.Is(err, transport.ErrBusy) {
			go g.wait(m)
			return
		}
		g.sent(m, err)
	}
}

// wait sends m when there is room, and goes on with what has come meanwhile.
func (g *gather) wait(m *packed) {
	g.sent(m, g.c.s.conn.Send(g.c.s.ctx, &m.out.msg))
	g.drain()
}

// next takes as much as goes into one message; nil when there is nothing, and the
// next one to come sends again.
func (g *gather) next() []gathered {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.waiting), g.most)
	if n == 0 {
		g.waiting, g.sending = nil, false
		return nil
	}
	part := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	return part
}

// packed is requests in one message.
type packed struct {
	out   *outgoing
	ws    []*waiter
	epoch uint64 // the oldest
}

// pack makes one message of the requests that are still wanted, or returns nil if
// none is.
func (g *gather) pack(part []gathered) *packed {
	m := &packed{epoch: part[0].epoch}
	group := g.c.s.calls.join(part)
	for i, p := range part {
		switch {
		case p.w == nil: // given up meanwhile
			p.out.free()
		case m.out == nil:
			m.out, m.ws = p.out, append(m.ws, p.w)
		default:
			if len(m.ws) == 1 {
				m.out.msg.Body = append(m.out.msg.Body, 0)
				copy(m.out.msg.Body[1:], m.out.msg.Body)
				m.out.msg.Body[0] = '['
			}
			m.out.msg.Body = append(append(m.out.msg.Body, ','), p.out.msg.Body...)
			m.ws = append(m.ws, p.w)
			p.out.free()
		}
		part[i] = gathered{}
	}
	if len(m.ws) > 1 {
		m.out.msg.Body = append(m.out.msg.Body, ']')
		m.out.msg.CorrelationID = group.id
	}
	if m.out == nil {
		return nil
	}
	return m
}

// sent tells those who wait what became of their message.
func (g *gather) sent(m *packed, err error) {
	defer m.out.free()
	calls := &g.c.s.calls
	if err == nil {
		calls.sent(m.epoch, m.ws...)
		return
	}
	e := g.c.s.failed("batch", err)
	calls.fail(e.Err, e.Outcome, m.ws...)
}

// mark notes that w's request is yet to be sent, with others.
func (c *calls) mark(w *waiter) (id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w.gathered = true
	return w.id
}

// giveBack takes a call back; given is false if it has been answered meanwhile,
// and gathered says that its request was still to be sent, and will not be.
func (c *calls) giveBack(w *waiter) (wasGathered, given bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting[w.id] != w {
		return false, false
	}
	c.forget(w)
	return w.gathered, true
}

// join makes a group of the requests that are about to go in one message, and
// takes those out that nobody waits for any more.
func (c *calls) join(part []gathered) *group {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := new(group)
	for i, p := range part {
		if c.waiting[p.id] != p.w {
			part[i].w = nil
			continue
		}
		p.w.gathered = false
		g.all = append(g.all, p.w)
	}
	if g.left = len(g.all); g.left < 2 {
		return nil
	}
	g.id = transport.NumberID(g.all[0].id)
	for _, w := range g.all {
		w.group = g
	}
	if c.groups == nil {
		c.groups = make(map[*group]struct{})
	}
	c.groups[g] = struct{}{}
	return g
}
