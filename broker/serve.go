package broker

import (
	"strconv"
	"time"
)

// turns is how many messages a goroutine delivers that came for another reason,
// before one of the queue's own goes on.
const turns = 64

// serve delivers what can be delivered. done, if not nil, is told that its message
// is the broker's, and l is run. It is called with mu held, and gives it up. Several
// goroutines may be in here, each with another consumer.
func (q *queue) serve(done func(error), l *later) {
	for n := 0; q.next(l); n++ {
		if n == turns && !q.helped {
			q.helped = true
			q.hub.helpers.Go(q.help)
		}
		if n >= turns {
			break
		}
		q.handOver(done, l)
		done = nil
	}
	q.mu.Unlock()
	if done != nil {
		done(nil)
	}
	l.run(q)
}

// help delivers until nothing can be.
func (q *queue) help() {
	var l later
	q.mu.Lock()
	for q.next(&l) {
		q.handOver(nil, &l)
	}
	q.helped = false
	q.mu.Unlock()
	l.run(q)
}

// next reports whether there are a message and a consumer for it. It needs mu.
func (q *queue) next(l *later) bool {
	if q.items.n == 0 || q.ready.first == nil || q.gone {
		return false
	}
	if q.mortal > 0 {
		q.expire(time.Now(), l)
	}
	return q.items.n > 0
}

// handOver gives the first message to the consumer whose turn it is. It needs mu,
// and lets go of it in between; done is told then.
func (q *queue) handOver(done func(error), l *later) {
	c, it := q.ready.first, q.pop()
	q.ready.remove(c)
	c.busy, c.again = true, false
	var token uint64
	if c.acks {
		token = c.hold(it)
		c.flying = token
	}
	q.mu.Unlock()
	if done != nil {
		done(nil)
	}
	l.run(q)
	ok := c.out.Deliver(it.m, token)
	q.mu.Lock()
	c.busy = false
	if q.gone {
		return
	}
	q.delivered(c, it, token, ok, l)
	if !c.left && (ok || c.again) {
		q.ready.add(c)
	}
	if q.waiting.n > 0 {
		q.admit(l)
	}
}

// delivered notes what came of a delivery. It needs mu.
func (q *queue) delivered(c *consumer, it item, token uint64, ok bool, l *later) {
	if ok {
		q.stats.Out++
	}
	switch {
	case c.acks && ok && !c.left:
	case c.acks:
		if _, held := c.take(token); !held {
			break // settled before it was detached
		}
		if ok {
			q.retry(it, true, l)
		} else {
			q.putBack(it)
		}
	case ok:
		q.stats.Settled++
		q.finish(it)
	default:
		q.putBack(it)
	}
}

// retry puts a message back after an attempt that failed, to where it came from or
// to the end; or buries it if that was the last one. It needs mu.
func (q *queue) retry(it item, front bool, l *later) {
	if n := q.hub.o.Attempts; n > 0 && it.m.Attempt+1 >= n && !q.dead {
		q.bury(it, "delivered "+strconv.Itoa(it.m.Attempt+1)+" times without success", l)
		return
	}
	m := *it.m // others may have the same
	m.Attempt++
	it.m = &m
	q.stats.Redelivered++
	if front {
		q.putBack(it)
	} else {
		q.append(it)
	}
}

// expire takes out what has expired. It needs mu.
func (q *queue) expire(now time.Time, l *later) {
	if q.mortal == 0 {
		return
	}
	at := now.UnixNano()
	q.items.keep(func(it *item) bool {
		if it.expires == 0 || it.expires > at {
			return true
		}
		q.mortal--
		q.stats.Expired++
		q.hub.count.expired.Add(1)
		if q.hub.o.Expired == DeadLetter && q.use == shared && !q.dead {
			q.bury(*it, "expired", l)
		} else {
			q.finish(*it)
		}
		return false
	})
}

// later is what is to be done when mu is no longer held.
type later struct {
	told   []func(error) // dones of messages that are the broker's now
	graves []grave
}

// run does it.
func (l *later) run(q *queue) {
	if l.told == nil && l.graves == nil {
		return
	}
	told, graves := l.told, l.graves
	l.told, l.graves = nil, nil
	for _, done := range told {
		done(nil)
	}
	for _, g := range graves {
		q.hub.deadLetter(q, g)
	}
}
