package rpc

import (
	"cmp"
	"context"
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
	wg   sync.WaitGroup // of goroutines that send

	mu      sync.Mutex // protects the fields below
	waiting []gathered
	sending bool
	over    bool // the connection has ended
}

// mostBytes is how large requests together may be: large ones gain nothing by
// company, and what each limit allows alone must not become too large.
const mostBytes = 64 << 10

// gathered is a request that waits to be sent.
type gathered struct {
	out   *outgoing
	w     *waiter
	id    uint64 // of w when it was added: it may serve another call since
	epoch uint64
}

// gathers reports whether c's calls are packed into batches. Those of a client
// that calls back over the same connection may have another destination.
func (c *Client) gathers() bool {
	return c.s.gather != nil && c.s.gather.c == c && c.s.lockstep == nil && c.s.mostBatch.Load() != 1
}

// add sends a request with others. What becomes of it its waiter is told.
func (g *gather) add(ctx context.Context, out *outgoing, w *waiter, epoch uint64) {
	id := g.c.s.calls.mark(w)
	g.mu.Lock()
	g.waiting = append(g.waiting, gathered{out: out, w: w, id: id, epoch: epoch})
	lead := !g.sending
	g.sending = true
	g.mu.Unlock()
	if lead {
		runtime.Gosched()
		g.drain(func() bool { return len(w.ready) > 0 || ctx.Err() != nil })
	}
}

// drain sends all that waits. If there is no room it leaves that to a goroutine
// that waits for some, and the rest to one when enough says so: a caller must not
// be kept from its answer by sending for others, who may come without end.
func (g *gather) drain(enough func() bool) {
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
			g.spawn(func() { g.wait(m) })
			return
		}
		g.sent(m, err)
		if enough() {
			if !g.rest() {
				g.spawn(func() { g.drain(never) })
			}
			return
		}
	}
}

func never() bool { return false }

// spawn runs f on a goroutine of its own, or here when the connection has ended,
// and nothing waits for room any more.
func (g *gather) spawn(f func()) {
	g.mu.Lock()
	over := g.over
	if !over {
		g.wg.Add(1)
	}
	g.mu.Unlock()
	if over {
		f()
		return
	}
	go func() {
		defer g.wg.Done()
		f()
	}()
}

// end returns when no goroutine sends any more. It is for when the connection has
// ended.
func (g *gather) end() {
	g.mu.Lock()
	g.over = true
	g.mu.Unlock()
	g.wg.Wait()
}

// rest reports whether nothing waits, and if so has the next one to come send
// again.
func (g *gather) rest() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) > 0 {
		return false
	}
	g.waiting, g.sending = nil, false
	return true
}

// wait sends m when there is room, and goes on with what has come meanwhile.
func (g *gather) wait(m *packed) {
	g.sent(m, g.c.s.conn.Send(g.c.s.ctx, &m.out.msg))
	g.drain(never)
}

// next takes as much as goes into one message; nil when there is nothing, and the
// next one to come sends again.
func (g *gather) next() []gathered {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		g.waiting, g.sending = nil, false
		return nil
	}
	room := mostBytes
	if limit := g.c.s.conn.Info().Limits.Message; limit > 0 {
		room = min(room, limit)
	}
	n, size := 0, len("[")
	for n < min(len(g.waiting), g.most) {
		if size += len(g.waiting[n].out.msg.Body) + len(","); n > 0 && size > room {
			break
		}
		n++
	}
	part := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	return part
}

// packed is requests in one message.
type packed struct {
	out   *outgoing
	ws    []*waiter
	ids   []uint64 // of ws
	epoch uint64   // the oldest
}

// pack makes one message of the requests that are still wanted, or returns nil if
// none is.
func (g *gather) pack(part []gathered) *packed {
	m := new(packed)
	group := g.c.s.calls.join(part)
	for i, p := range part {
		switch {
		case p.w == nil: // given up meanwhile
			p.out.free()
		case m.out == nil:
			m.out, m.ws, m.epoch = p.out, append(m.ws, p.w), p.epoch
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
		if p.w != nil {
			m.ids = append(m.ids, p.id)
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
	var failure *CallError
	if err != nil {
		failure = g.c.s.failed("batch", err)
	}
	g.c.s.calls.sentTogether(m, failure)
}

// sentTogether is sent for the calls of a message, or fails them. A waiter whose
// call was taken back meanwhile may serve another call, which is none of ours.
func (c *calls) sentTogether(m *packed, failure *CallError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, w := range m.ws {
		switch {
		case c.waiting[m.ids[i]] != w:
		case failure != nil:
			c.settle(w, answer{err: failure.Err, outcome: failure.Outcome})
		case c.epoch != m.epoch:
			c.settle(w, answer{err: cmp.Or(c.closed, c.lost), outcome: Unknown})
		default:
			w.sent = true
		}
	}
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
