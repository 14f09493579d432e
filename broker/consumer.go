package broker

import (
	"cmp"
	"slices"
	"time"

	"github.com/polyport/polyport/transport"
)

// A consumer is an outlet of a queue. It implements [transport.Consumer]. Its
// fields are protected by the queue's mu.
type consumer struct {
	q       *queue
	session *session
	out     transport.Outlet
	acks    bool
	own     string // the peer's own name of its private address

	prev, next *consumer // in the queue's list of those ready
	listed     bool
	busy       bool   // in a call of Deliver
	flying     uint64 // the token of that call
	again      bool   // Ready was called during it
	left       bool   // detached
	held       []holding
	free       []uint32 // of held
}

// A holding is a message that was delivered and not settled.
type holding struct {
	item
	turn uint32 // how often its place was used; part of the token
	used bool
}

// hold keeps an item until it is settled. It needs mu.
func (c *consumer) hold(it item) (token uint64) {
	var i uint32
	if n := len(c.free); n > 0 {
		i, c.free = c.free[n-1], c.free[:n-1]
	} else {
		i = uint32(len(c.held))
		c.held = append(c.held, holding{})
	}
	h := &c.held[i]
	h.item, h.used = it, true
	h.turn++
	return uint64(h.turn)<<32 | uint64(i)
}

// take returns the item of a token, unless it was taken before. It needs mu.
func (c *consumer) take(token uint64) (it item, ok bool) {
	i := uint32(token)
	if uint64(i) >= uint64(len(c.held)) || !c.held[i].used || uint64(c.held[i].turn) != token>>32 {
		return it, false
	}
	h := &c.held[i]
	it, h.item, h.used = h.item, item{}, false
	c.free = append(c.free, i)
	return it, true
}

// Address is what reaches this consumer, or the destination in the broker's words.
func (c *consumer) Address() string { return c.q.address }

// Ready says that the outlet may have room.
func (c *consumer) Ready() {
	q := c.q
	q.mu.Lock()
	switch {
	case c.left || c.listed:
	case c.busy:
		c.again = true
	default:
		q.ready.add(c)
		if q.items.n > 0 {
			q.serve(nil, new(later))
			return
		}
	}
	q.mu.Unlock()
}

// Settled says what became of a message.
func (c *consumer) Settled(token uint64, o transport.Outcome) {
	var l later
	q := c.q
	q.mu.Lock()
	it, ok := c.take(token)
	switch {
	case !ok || c.left:
		q.mu.Unlock()
		return
	case o == transport.Accepted:
		q.stats.Settled++
		q.finish(it)
	case o == transport.Released:
		q.stats.Redelivered++
		q.putBack(it)
	case o == transport.Failed:
		q.retry(it, false, &l)
	default:
		q.bury(it, "rejected: "+o.Reason(), &l)
	}
	if q.waiting.n > 0 {
		q.admit(&l)
	}
	if q.items.n > 0 && q.ready.first != nil {
		q.serve(nil, &l)
		return
	}
	q.mu.Unlock()
	l.run(q)
}

// Detach ends the subscription.
func (c *consumer) Detach() {
	c.session.forget(c)
	_ = c.detach()
}

// detach is Detach, without the session. It reports whether this is the first time.
func (c *consumer) detach() bool {
	var l later
	q := c.q
	q.mu.Lock()
	if c.left {
		q.mu.Unlock()
		return false
	}
	c.left = true
	q.ready.remove(c)
	q.consumers--
	q.used = time.Now()
	q.owner.until = q.used.Add(q.hub.o.Idle)
	q.hub.consumers.Add(-1)
	if q.use != shared {
		q.mu.Unlock()
		q.hub.remove(q)
		return true
	}
	c.giveBack(&l)
	q.admit(&l)
	q.serve(nil, &l)
	return true
}

// hasLeft reports whether it was detached.
func (c *consumer) hasLeft() bool {
	c.q.mu.Lock()
	defer c.q.mu.Unlock()
	return c.left
}

// giveBack gives back what was not settled, save what is just being delivered. It
// needs mu.
func (c *consumer) giveBack(l *later) {
	var back []item
	for i := range c.held {
		h := &c.held[i]
		if token := uint64(h.turn)<<32 | uint64(i); h.used && (!c.busy || token != c.flying) {
			it, _ := c.take(token)
			back = append(back, it)
		}
	}
	slices.SortFunc(back, func(a, b item) int { return cmp.Compare(a.seq, b.seq) })
	for _, it := range back {
		c.q.retry(it, true, l)
	}
}

// end tells the peer that the subscription has ended, and why.
func (c *consumer) end(why error) {
	c.session.forget(c)
	if c.detach() {
		c.out.End(why)
	}
}

// A list is one of consumers, in the order in which it is their turn. The zero
// value is empty.
type list struct{ first, last *consumer }

func (l *list) add(c *consumer) {
	c.listed, c.prev, c.next = true, l.last, nil
	if l.last == nil {
		l.first = c
	} else {
		l.last.next = c
	}
	l.last = c
}

func (l *list) remove(c *consumer) {
	if !c.listed {
		return
	}
	if c.prev == nil {
		l.first = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next == nil {
		l.last = c.prev
	} else {
		c.next.prev = c.prev
	}
	c.listed, c.prev, c.next = false, nil, nil
}
