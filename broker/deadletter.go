package broker

import (
	"strings"
	"time"

	"github.com/polyport/polyport/transport"
)

// A grave is a dead letter on its way.
type grave struct {
	m      *transport.Message
	reason string
}

// bury takes a message out of a queue for good. It goes to the dead letters if it
// was in a queue that has a name. It needs mu.
func (q *queue) bury(it item, reason string, l *later) {
	q.finish(it)
	if q.use != shared || q.dead {
		q.stats.Dropped++
		q.hub.count.dropped.Add(1)
		return
	}
	q.stats.DeadLettered++
	l.graves = append(l.graves, grave{it.m, reason})
}

// The headers of a dead letter.
const (
	// HeaderDeathReason says why a message is among the dead letters.
	HeaderDeathReason = "x-death-reason"
	// HeaderDeathQueue is the queue that it was in.
	HeaderDeathQueue = "x-death-queue"
)

// maxReason is how many bytes of a reason are kept.
const maxReason = 255

// deadLetter puts a message into the dead-letter queue.
func (h *Hub) deadLetter(from *queue, g grave) {
	m := *g.m
	m.Headers = make([]transport.Header, 0, len(g.m.Headers)+2)
	for _, o := range g.m.Headers {
		if o.Name != HeaderDeathReason && o.Name != HeaderDeathQueue {
			m.Headers = append(m.Headers, o)
		}
	}
	m.Headers = append(m.Headers,
		transport.Header{Name: HeaderDeathReason, Value: strings.ToValidUTF8(g.reason[:min(len(g.reason), maxReason)], "")},
		transport.Header{Name: HeaderDeathQueue, Value: from.name})
	m.Attempt, m.Expires = 0, time.Time{}
	h.count.dead.Add(1)
	for {
		q, err := h.queue(h.o.DeadLetters)
		if err != nil || h.hand(q, &m, func(error) {}) {
			return
		}
	}
}
