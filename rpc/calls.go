package rpc

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/polyport/polyport/rpc/internal/envelope"
	"github.com/polyport/polyport/transport"
)

// A waiter waits for the answer to one call.
type waiter struct {
	id     uint64
	answer answer
	ready  chan struct{} // gets one token when answer is set; nil for a member of a [Batch]
	group  *group        // nil for a call that went alone
	view   *view         // of the client that calls, if it is one of a [Pool]
	sent   bool
	// gathered says that the request waits for others to go with.
	gathered bool
	// metadata says that the request went with some that says what travels beside
	// it; talk is that of a call with a handle, nil for others.
	metadata bool
	talk     *metadataTalk
	// future gets the answer of a call that nobody waits for by ready, if it is
	// not nil.
	future interface {
		deliver(a answer) (lent bool)
		delivered() bool
		expired() // until has ended
	}
	until   context.Context // of a call with a future
	watched <-chan struct{} // its key in calls.watches, or nil
}

// answered reports whether the answer is there.
func (w *waiter) answered() bool {
	if w.future != nil {
		return w.future.delivered()
	}
	return len(w.ready) > 0
}

// An answer is what a response held, or why there is none.
type answer struct {
	result, fault []byte // raw, of the message's body
	err           error  // NotSent or Unknown, if neither is there
	outcome       Outcome
	whole         bool // it is the answer to a whole batch
}

// A group is the calls of one batch.
type group struct {
	id    transport.ID  // of the message
	left  int           // members that wait
	ready chan struct{} // nil if each member has its own
	all   []*waiter
}

// calls are the calls of this end that wait for an answer. Their number is
// bounded; answers find them by id alone, on this connection alone.
type calls struct {
	slots   chan struct{} // one for each call in flight
	batches chan struct{} // held by the batch that waits for slots
	// spare are waiters to use again. They are not shared between connections,
	// because channels belong to one testing/synctest bubble.
	spare sync.Pool

	mu      sync.Mutex // protects the fields below
	waiting map[uint64]*waiter
	groups  map[*group]struct{}
	watches map[<-chan struct{}]*watch // by what the ctx calls Done
	lastID  uint64
	epoch   uint64 // how often the connection was lost
	lost    error  // why, the last time
	closed  error  // why no more calls can be made
	names   *names // of calls that have UUIDs for ids; nil where they have numbers
	inTurn  bool   // one waits at a time
	owed    int    // messages before it that may be answered without an id, too
	passive bool   // whoever waits for the last answer could not have received it
}

func (c *calls) init(limit int) {
	c.slots, c.batches = make(chan struct{}, limit), make(chan struct{}, 1)
	c.spare.New = func() any { return &waiter{ready: make(chan struct{}, 1)} }
}

// reserve waits for n places among the calls in flight.
func (c *calls) reserve(ctx context.Context, n int) error {
	for i := range n {
		select {
		case c.slots <- struct{}{}:
			continue
		default:
		}
		select {
		case c.slots <- struct{}{}:
		case <-ctx.Done():
			c.release(i)
			return context.Cause(ctx)
		}
	}
	return nil
}

func (c *calls) release(n int) {
	for range n {
		<-c.slots
	}
}

// wait reports whether any call waits for its answer.
func (c *calls) wait() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting) > 0
}

// any reports whether any call was ever made.
func (c *calls) any() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastID > 0
}

// begin gives ids to calls that are about to be sent, and lets them be
// answered. It returns the epoch for sent.
func (c *calls) begin(g *group, ws ...*waiter) (epoch uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed != nil {
		return 0, c.closed
	}
	if c.waiting == nil {
		c.waiting = make(map[uint64]*waiter)
	}
	for _, w := range ws {
		c.lastID++
		w.id, w.group, w.sent, w.gathered, w.answer = c.lastID, g, false, false, answer{}
		c.waiting[w.id] = w
	}
	if g != nil {
		if c.groups == nil {
			c.groups = make(map[*group]struct{})
		}
		g.left, g.id = len(ws), transport.NumberID(ws[0].id)
		c.groups[g] = struct{}{}
	}
	return c.epoch, nil
}

// sent notes that a call has been sent. If the connection was lost since begin,
// nobody can tell by which it went, and its outcome is unknown.
func (c *calls) sent(epoch uint64, ws ...*waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range ws {
		w.sent = true
		switch {
		case w.view != nil && w.view.over() && c.waiting[w.id] == w:
			c.settle(w, answer{err: ErrClosed, outcome: Unknown})
		case c.epoch != epoch && c.waiting[w.id] == w:
			c.settle(w, answer{err: cmp.Or(c.closed, c.lost), outcome: Unknown})
		case w.future != nil:
			c.watch(w)
		}
	}
}

// abandon takes a call back; false means that it has been answered meanwhile.
func (c *calls) abandon(w *waiter) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting[w.id] != w {
		return false
	}
	c.forget(w)
	return true
}

// forget has w wait no more. It needs mu.
func (c *calls) forget(w *waiter) {
	delete(c.waiting, w.id)
	c.unwatch(w)
	if w.sent && c.inTurn {
		c.owed++
	}
	if w.group != nil {
		c.left(w.group)
	}
}

// settle gives a waiter its answer. It needs mu.
func (c *calls) settle(w *waiter, a answer) {
	delete(c.waiting, w.id)
	c.unwatch(w)
	if w.future != nil {
		c.passive = !w.future.deliver(a)
		return
	}
	w.answer = a
	if w.ready != nil {
		w.ready <- struct{}{}
	}
	if w.group != nil {
		c.left(w.group)
	}
}

// left notes that one member of g waits no more. It needs mu.
func (c *calls) left(g *group) {
	if g.left--; g.left > 0 {
		return
	}
	delete(c.groups, g)
	if g.ready != nil {
		close(g.ready)
	}
}

// settleGroup gives all members that still wait the same answer. It needs mu.
func (c *calls) settleGroup(g *group, a answer) {
	for _, w := range g.all {
		if c.waiting[w.id] == w && w.group == g { // it may serve another call since
			c.settle(w, a)
		}
	}
}

// lose ends all calls that were sent by a connection that is gone.
func (c *calls) lose(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	c.lost, c.owed = err, 0
	for _, w := range c.waiting {
		if w.sent {
			c.settle(w, answer{err: err, outcome: Unknown})
		}
	}
}

// close ends all calls, and refuses new ones.
func (c *calls) close(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed != nil {
		return
	}
	c.closed = err
	for _, w := range c.waiting {
		if w.sent { // the others will learn from Send
			c.settle(w, answer{err: err, outcome: Unknown})
		}
	}
	c.epoch++
}

// answered hands a response to the call that waits for it.
func (s *session) answered(m *transport.Message, msg *envelope.Message) {
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	s.calls.passive = false
	s.match(m, msg)
	if s.receiving.streak++; len(s.calls.waiting) > 0 || !s.owned || s.calls.passive {
		s.receiving.streak = 0
	}
}

// match finds whose answer msg is. It needs calls.mu.
func (s *session) match(m *transport.Message, msg *envelope.Message) *group {
	c := &s.calls
	a := answer{result: msg.Result, fault: msg.Error, outcome: Answered}
	if msg.Reason != "" {
		a = answer{err: fmt.Errorf("%w: %s", ErrBadAnswer, msg.Reason), outcome: Unknown}
	}
	if id, ok := c.number(msg.ID); ok {
		if w := c.waiting[id]; w != nil {
			g := w.group
			c.owed = 0
			w.talk.hear(msg.Metadata)
			c.settle(w, a)
			return g
		}
	} else if msg.Result == nil && (msg.ID == nil || string(msg.ID) == "null") {
		if g, ok := s.matchUnnamed(m, msg, a); ok {
			return g
		}
	}
	s.stats.stray.Add(1)
	s.log.Debug("answer to no call", "id", string(msg.ID))
	return nil
}

// matchUnnamed is match for a response that names no call. It needs calls.mu.
func (s *session) matchUnnamed(m *transport.Message, msg *envelope.Message, a answer) (g *group, ok bool) {
	if g, ok := s.calls.blame(m, a); ok {
		return g, true
	}
	w := s.refusesMetadata(msg.Error)
	if w == nil {
		w = s.calls.only()
	}
	if w == nil {
		return nil, false
	}
	s.calls.settle(w, a)
	return nil, true
}

// blame ends the call, or the batch, that a message without a usable id
// answers: the one whose message it names or, if it names none, the batch that
// is all that waits. It needs mu.
func (c *calls) blame(m *transport.Message, a answer) (g *group, ok bool) {
	named := !m.CorrelationID.IsZero()
	for g := range c.groups {
		if named && m.CorrelationID.String() == g.id.String() || !named && g.left == len(c.waiting) {
			a.whole = true
			c.settleGroup(g, a)
			return g, true
		}
	}
	if n, ok := number([]byte(m.CorrelationID.String())); ok && c.waiting[n] != nil {
		c.settle(c.waiting[n], a)
		return nil, true
	}
	return nil, false
}

// unusable ends the call whose answer cannot be read, if the message says which
// that is.
func (s *session) unusable(m *transport.Message, why error) bool {
	if m.CorrelationID.IsZero() || m.ReplyTo != "" || !s.conn.Info().Addressed {
		return false // only a reply address tells a request from an answer
	}
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	_, ok := s.calls.blame(m, answer{err: fmt.Errorf("%w: %w", ErrBadAnswer, why), outcome: Unknown})
	return ok
}

// answeredBatch hands out the responses of a batch, and ends the calls of the
// same batch that it lacks.
func (s *session) answeredBatch(m *transport.Message, msgs []envelope.Message) {
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	var g *group
	for i := range msgs {
		if msgs[i].Kind == envelope.Response {
			if of := s.match(m, &msgs[i]); of != nil {
				g = of
			}
		}
	}
	if g != nil {
		s.calls.settleGroup(g, answer{err: ErrNoAnswer, outcome: Unknown})
	}
}

// number reads an id of a call of this end.
func (c *calls) number(id []byte) (n uint64, ok bool) {
	if c.names != nil {
		return c.names.number(id)
	}
	return number(id)
}

// appendID appends the id of a call.
func (c *calls) appendID(dst []byte, n uint64) []byte {
	if c.names != nil {
		return append(append(append(dst, '"'), c.names.of(n).String()...), '"')
	}
	return strconv.AppendUint(dst, n, 10)
}

// number reads an id that this end may have given.
func number(id []byte) (n uint64, ok bool) {
	if len(id) == 0 || len(id) > 19 || id[0] == '0' {
		return 0, false
	}
	for _, c := range id {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}
