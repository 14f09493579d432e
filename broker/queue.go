package broker

import (
	"sync"
	"time"

	"github.com/polyport/polyport/transport"
)

// use is what a queue is there for.
type use uint8

const (
	shared       use = iota // a queue that has a name
	private                 // the private address of one connection
	subscription            // what waits for one subscriber of topics
)

// A queue holds messages in order and hands each to one of its consumers. The
// buffer of a topic's subscriber is one as well, with a single consumer.
type queue struct {
	hub     *Hub
	use     use
	name    string // a filter, if it is a subscription
	address string
	dead    bool   // the dead-letter queue
	slow    Policy // when it is full; Block for queues
	depth   int
	most    int       // bytes
	only    *consumer // of a subscription

	mu        sync.Mutex // protects the fields below
	items     ring[item] // those that wait, by seq
	seq       uint64
	count     int // of all messages: those that wait and those delivered and not settled
	bytes     int
	reserved  int // bytes of the hub's memory
	mortal    int // of the items: those that expire
	waiting   ring[waiter]
	waitBytes int
	timer     *time.Timer // for the first in waiting
	ready     list        // consumers that may have room
	consumers int
	helped    bool // a goroutine delivers
	gone      bool
	owner     owner
	used      time.Time // when the queue was last seen to be of use
	seen      uint64    // stats.In at that time
	stats     QueueStats
}

// An owner is whom a queue belongs to.
type owner struct {
	user  string
	local bool
	until time.Time // if it has no consumers
}

// An item is a message in a queue.
type item struct {
	m       *transport.Message
	size    int
	seq     uint64
	expires int64 // nanoseconds since 1970, 0 is never
}

// A waiter is a message that waits for room.
type waiter struct {
	item
	done  func(error)
	until time.Time
}

// newItem notes what m takes.
func newItem(m *transport.Message) item {
	it := item{m: m, size: 256 + len(m.Body) + len(m.To) + len(m.ReplyTo) + len(m.Subject) + len(m.ContentType)}
	for i := range m.Headers {
		it.size += 32 + len(m.Headers[i].Name) + len(m.Headers[i].Value)
	}
	if !m.Expires.IsZero() {
		it.expires = m.Expires.UnixNano()
	}
	return it
}

func newQueue(h *Hub, u use, name string) *queue {
	q := &queue{hub: h, use: u, name: name, slow: Block, depth: h.o.SubscriberDepth, most: h.o.SubscriberBytes, used: time.Now()}
	switch u {
	case private:
		q.address = replyPrefix + name
	case subscription:
		q.address = topicPrefix + name
		q.slow = h.o.slow(name)
	default:
		q.address = queuePrefix + name
		q.depth, q.most = h.o.QueueDepth, h.o.QueueBytes
	}
	return q
}

// A verdict is what became of a message that was put into a queue.
type verdict uint8

const (
	taken verdict = iota
	waits         // done will be told
	full          // and it may not wait
	gone          // the queue is no more
	cut           // the subscriber is too slow, and has to go
)

// put adds a message, and delivers what it can. If it is taken, or waits for room,
// done is told, unless it is nil. It waits only if it may.
func (q *queue) put(it item, done func(error), may bool) verdict {
	q.mu.Lock()
	if q.gone {
		q.mu.Unlock()
		return gone
	}
	if q.waiting.n > 0 || !q.fits(it.size) {
		v, told := q.noRoom(it, done, may)
		q.mu.Unlock()
		if told && done != nil {
			done(nil)
		}
		return v
	}
	q.enter(it)
	q.serve(done, new(later))
	return taken
}

// noRoom does with a message what the policy says. told says that done is to be
// told. It needs mu.
func (q *queue) noRoom(it item, done func(error), may bool) (v verdict, told bool) {
	switch q.slow {
	case DropOldest:
		for q.items.n > 0 && !q.fits(it.size) {
			q.drop(q.pop())
		}
		if q.fits(it.size) {
			q.enter(it)
		} else {
			q.stats.Dropped++
			q.hub.count.dropped.Add(1)
		}
		return taken, true
	case Disconnect:
		return cut, false
	}
	if !may {
		return full, false
	}
	if q.waiting.n >= q.hub.o.Waiting || q.waiting.n > 0 && q.waitBytes+it.size > q.most || !q.hub.mayWait(it.size) {
		q.stats.Refused++
		return full, false
	}
	q.waiting.pushBack(waiter{it, done, time.Now().Add(q.hub.o.SendWait)})
	q.waitBytes += it.size
	if q.waiting.n == 1 {
		q.wait(q.hub.o.SendWait)
	}
	return waits, false
}

// mayWait reserves memory for a message that waits for room: in all they may take
// an eighth of what is in the queues.
func (h *Hub) mayWait(size int) bool {
	if h.waiting.Add(int64(size)) <= h.o.Memory/8 {
		return true
	}
	h.waiting.Add(-int64(size))
	return false
}

// unwait takes out the first of those that wait for room. It needs mu.
func (q *queue) unwait() waiter {
	w := q.waiting.popFront()
	q.waitBytes -= w.size
	q.hub.waiting.Add(-int64(w.size))
	return w
}

// wait has waited called in a while. It needs mu.
func (q *queue) wait(d time.Duration) {
	if q.timer == nil {
		q.timer = time.AfterFunc(d, q.waited)
	} else {
		q.timer.Reset(d)
	}
}

// waited tells those that have waited long enough.
func (q *queue) waited() {
	var late []func(error)
	now := time.Now()
	q.mu.Lock()
	for q.waiting.n > 0 && !q.waiting.at(0).until.After(now) {
		late = append(late, q.unwait().done)
		q.stats.Refused++
	}
	if q.waiting.n > 0 {
		q.wait(q.waiting.at(0).until.Sub(now))
	}
	q.mu.Unlock()
	for _, done := range late {
		done(because(transport.ErrBusy, "there was no room in %s for %v", q.address, q.hub.o.SendWait))
	}
}

// What a queue reserves of the hub's memory: nothing for the first bytes, and then
// so many at a time.
const (
	allowance = 16 << 10
	step      = 64 << 10
)

// fits reports whether there is room for so many bytes, and reserves them of the
// hub's memory. One message fits into any empty queue, if there is memory. It needs
// mu.
func (q *queue) fits(size int) bool {
	if q.count > 0 && (q.count >= q.depth || q.bytes+size > q.most) {
		return false
	}
	if need := q.bytes + size - allowance - q.reserved; need > 0 {
		need = (need + step - 1) / step * step
		if q.hub.memory.Add(int64(need)) > q.hub.o.Memory {
			q.hub.memory.Add(-int64(need))
			return false
		}
		q.reserved += need
	}
	return true
}

// enter adds an item at the end. It needs mu.
func (q *queue) enter(it item) {
	q.stats.In++
	q.count++
	q.bytes += it.size
	q.append(it)
}

// append puts an item that is counted already at the end. It needs mu.
func (q *queue) append(it item) {
	q.seq++
	it.seq = q.seq
	q.items.pushBack(it)
	if it.expires != 0 {
		q.mortal++
	}
}

// putBack puts an item to where it came from. It needs mu.
func (q *queue) putBack(it item) {
	q.items.pushFront(it)
	for i := 0; i+1 < q.items.n; i++ {
		a, b := q.items.at(i), q.items.at(i+1)
		if a.seq < b.seq {
			break
		}
		*a, *b = *b, *a
	}
	if it.expires != 0 {
		q.mortal++
	}
}

// pop takes the first item out; it is still counted. It needs mu.
func (q *queue) pop() item {
	it := q.items.popFront()
	if it.expires != 0 {
		q.mortal--
	}
	return it
}

// finish forgets an item that is neither waiting nor with a consumer. It needs mu.
func (q *queue) finish(it item) {
	q.count--
	q.bytes -= it.size
	if q.count == 0 && q.reserved > 0 {
		q.hub.memory.Add(-int64(q.reserved))
		q.reserved = 0
	}
}

// slim gives back what a burst has left behind. It needs mu.
func (q *queue) slim() {
	q.items.slim()
	q.waiting.slim()
	if spare := (q.reserved - q.bytes) / step * step; spare > 0 {
		q.hub.memory.Add(-int64(spare))
		q.reserved -= spare
	}
}

// drop forgets one that there was no room for. It needs mu.
func (q *queue) drop(it item) {
	q.finish(it)
	q.stats.Dropped++
	q.hub.count.dropped.Add(1)
}

// admit lets those in that wait, as there is room, and leaves it to the caller to
// tell them. It needs mu.
func (q *queue) admit(l *later) {
	for q.waiting.n > 0 && q.fits(q.waiting.at(0).size) {
		w := q.unwait()
		q.enter(w.item)
		if w.done != nil {
			l.told = append(l.told, w.done)
		}
	}
}

// close ends a queue. Those who wait are told why; nil says that nobody needs what
// they brought.
func (q *queue) close(why error) {
	q.mu.Lock()
	q.gone = true
	if q.timer != nil {
		q.timer.Stop()
	}
	var late []func(error)
	for q.waiting.n > 0 {
		late = append(late, q.unwait().done)
	}
	q.hub.memory.Add(-int64(q.reserved))
	q.items, q.reserved, q.mortal = ring[item]{}, 0, 0
	q.count, q.bytes = 0, 0
	q.mu.Unlock()
	for _, done := range late {
		done(why)
	}
}
