package rpc

import (
	"sync"
	"sync/atomic"

	"github.com/polyport/polyport/transport"
)

// pauseAt is how many bytes of answers may wait for a peer that does not read
// before no more of its requests are started.
const pauseAt = 1 << 20

// lateReplies are the answers for which the send buffer had no room. They are
// sent, in order, by a goroutine that lives as long as there are any, so that a
// peer that does not read its answers holds up no worker. The number of answers
// is bounded by that of the requests in flight. That of refusals is bounded by
// making the receiving goroutine, which alone refuses, wait: no peer that keeps
// to our limits has so many.
type lateReplies struct {
	s    *session
	most int // refusals

	mu       sync.Mutex // protects the fields below
	queue    []lateReply
	refusals int           // in queue
	moved    chan struct{} // closed when one has left; nil if nobody waits
	bytes    int
	paused   bool
	working  atomic.Bool // read without mu
	over     bool        // the connection has ended: nothing can be sent
	wg       sync.WaitGroup
}

type lateReply struct {
	out     *outgoing
	message *transport.Message
	n       int // requests answered, 0 for a refusal
}

// behind reports whether answers wait, so that a new one has to go behind them.
func (l *lateReplies) behind() bool { return l.working.Load() }

func (l *lateReplies) add(r lateReply) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.n == 0 {
		l.waitToRefuse()
	}
	if l.over {
		l.s.serving.leave(r.n)
		l.s.answeredPeer(r.message, r.out, r.n)
		return
	}
	if r.n == 0 {
		l.refusals++
	}
	l.queue = append(l.queue, r)
	l.bytes += len(r.out.msg.Body)
	if l.bytes > pauseAt && !l.paused {
		l.paused = true
		l.s.lanes.pause()
	}
	if !l.working.Swap(true) {
		l.wg.Go(l.work)
	}
}

func (l *lateReplies) work() {
	for {
		r, ok := l.next()
		if !ok {
			return
		}
		size := len(r.out.msg.Body)
		_ = l.s.send(l.s.ctx, r.out) // an error is logged there, and all that can be done
		l.s.serving.leave(r.n)
		l.s.answeredPeer(r.message, r.out, r.n)
		l.sent(size, r.n == 0)
	}
}

// waitToRefuse waits until one more refusal may wait, or the connection ends.
// It is entered and left with mu held.
func (l *lateReplies) waitToRefuse() {
	if l.refusals >= l.most && l.s.gatherer != nil {
		l.s.gatherer.Release() // the peer may wait for what is held back
	}
	for l.refusals >= l.most && l.s.ctx.Err() == nil {
		if l.moved == nil {
			l.moved = make(chan struct{})
		}
		moved := l.moved
		l.mu.Unlock()
		select {
		case <-moved:
		case <-l.s.ctx.Done():
		}
		l.mu.Lock()
	}
}

func (l *lateReplies) next() (r lateReply, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.queue = nil
		l.working.Store(false)
		return r, false
	}
	r = l.queue[0]
	l.queue[0] = lateReply{}
	l.queue = l.queue[1:]
	return r, true
}

func (l *lateReplies) sent(size int, refusal bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bytes -= size
	if refusal {
		l.refusals--
	}
	if l.moved != nil {
		close(l.moved)
		l.moved = nil
	}
	if l.paused && l.bytes <= pauseAt/2 {
		l.paused = false
		l.s.lanes.resume()
	}
}

// end lets no more answers wait and returns when the goroutine has ended. It is
// for when the connection has.
func (l *lateReplies) end() {
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
	l.wg.Wait()
}
