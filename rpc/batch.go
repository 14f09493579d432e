package rpc

import (
	"context"
	"fmt"

	"github.com/polyport/polyport/queue"
)

// maxBatch is how many requests a batch may have: what servers accept by
// default.
const maxBatch = 1000

// A Batch is calls and notifications that are sent as one message
// (specification, section 6). The zero value is an empty batch. A Batch is for
// one goroutine and is sent once.
type Batch struct {
	items []item
}

type item struct {
	method string
	params any
	call   member // nil for a notification
}

// A member is a call of a batch, with its future.
type member interface {
	// settle completes the future.
	settle(c *Client, method string, a answer)
}

type typedMember[R any] struct{ queue.Promise[R] }

func (m *typedMember[R]) settle(c *Client, method string, a answer) {
	var r R
	if err := c.decode(a, method, &r); err != nil {
		m.Reject(err)
		return
	}
	m.Resolve(r)
}

// Add adds a call to b and returns a future for its result, which is settled by
// [Client.Do].
func Add[R any](b *Batch, method string, params any) *queue.Future[R] {
	m := new(typedMember[R])
	b.items = append(b.items, item{method: method, params: params, call: m})
	return m.Future()
}

// Notify adds a notification to b.
func (b *Batch) Notify(method string, params any) {
	b.items = append(b.items, item{method: method, params: params})
}

// Len returns how many calls and notifications b has.
func (b *Batch) Len() int { return len(b.items) }

// Do sends b and waits until every future of it is settled. It returns an
// error, a [*CallError], if not one of its calls was answered: why nothing was
// sent, or why no answer came. Otherwise what became of each call is in its
// future alone. ctx bounds all.
func (c *Client) Do(ctx context.Context, b *Batch) error {
	if len(c.s.interceptors) > 0 {
		return c.interceptedBatch(ctx, b)
	}
	return c.sendAll(ctx, nil, b)
}

// sendAll sends a batch. x is nil if it is not intercepted.
func (c *Client) sendAll(ctx context.Context, x *Invocation, b *Batch) error {
	items := b.items
	b.items = nil
	waiters := make([]waiter, len(items)) // in one piece
	ws := make([]*waiter, 0, len(items))
	for i, it := range items {
		if it.call != nil {
			ws = append(ws, &waiters[i])
		}
	}
	failure := c.s.maySend(items)
	if failure == nil {
		failure = c.doAll(ctx, x, items, ws)
	}
	for i, w := range ws {
		if failure != nil {
			w.answer = answer{err: failure.Err, outcome: failure.Outcome}
		}
		if w.answer.err == nil {
			break // an answer
		}
		if i == len(ws)-1 {
			failure = &CallError{Method: "batch", Outcome: w.answer.outcome, Err: w.answer.err}
		}
	}
	settle(c, items, ws)
	if failure != nil {
		return failure
	}
	return nil
}

// settle settles the futures of a batch.
func settle(c *Client, items []item, ws []*waiter) {
	for _, it := range items {
		if it.call != nil {
			it.call.settle(c, it.method, ws[0].answer)
			ws = ws[1:]
		}
	}
}

// do sends a batch and waits until each of ws has its answer, or returns why
// nothing was sent, or may have been sent in vain.
func (c *Client) do(ctx context.Context, x *Invocation, items []item, ws []*waiter) *CallError {
	if len(items) == 0 || len(items) > maxBatch {
		return notSentBatch(fmt.Errorf("rpc: a batch must have 1 to %d requests, not %d", maxBatch, len(items)))
	}
	if ctx.Err() != nil {
		return notSentBatch(context.Cause(ctx))
	}
	if err := c.reserve(ctx, len(ws)); err != nil {
		return notSentBatch(err)
	}
	defer c.release(len(ws))
	g := &group{ready: make(chan struct{}), all: ws}
	if len(ws) == 0 {
		close(g.ready)
	}
	if err := c.sendBatch(ctx, x, items, g, ws); err != nil {
		return err
	}
	c.awaitGroup(ctx, g)
	return nil
}

func notSentBatch(err error) *CallError {
	return &CallError{Method: "batch", Outcome: NotSent, Err: err}
}

// sendBatch encodes and sends a batch, whose calls ws wait for.
func (c *Client) sendBatch(ctx context.Context, x *Invocation, items []item, g *group, ws []*waiter) *CallError {
	out := c.outgoing()
	defer out.free()
	var epoch uint64
	var err error
	if len(ws) > 0 {
		if out.msg.ReplyTo, err = c.replyAddress(ctx); err != nil {
			return c.s.failed("batch", err)
		}
		for _, w := range ws {
			w.view = c.view
		}
		if epoch, err = c.s.calls.begin(g, ws...); err != nil {
			return notSentBatch(err)
		}
		out.msg.CorrelationID = g.id
	}
	metadata := c.accompany(ctx, out, x, c.s.metadata.Load() == metadataTaken)
	var failure *CallError
	if out.msg.Body, err = c.appendBatch(out.msg.Body, items, ws, metadata); err != nil {
		failure = notSentBatch(err)
	} else if err = c.s.conn.Send(ctx, &out.msg); err != nil {
		failure = c.s.failed("batch", err)
	}
	switch {
	case failure == nil:
		c.s.calls.sent(epoch, ws...)
	case len(ws) > 0 && !c.s.calls.abandonGroup(g):
		return nil // answered in spite of it
	}
	return failure
}

func (c *Client) appendBatch(dst []byte, items []item, ws []*waiter, metadata []byte) ([]byte, error) {
	var digits [20]byte
	for n, it := range items {
		dst = append(dst, "[,"[min(n, 1)])
		var id []byte
		if it.call != nil {
			id = c.s.calls.appendID(digits[:0], ws[0].id)
			ws = ws[1:]
		}
		var err error
		if dst, err = c.appendRequest(dst, id, it.method, it.params, metadata); err != nil {
			return dst, fmt.Errorf("%s: %w", it.method, err)
		}
	}
	return append(dst, ']'), nil
}

// awaitGroup waits until every member of g has an answer, or ctx ends.
func (c *Client) awaitGroup(ctx context.Context, g *group) {
	c.s.receiving.follow()
	select {
	case <-g.ready:
	case <-ctx.Done():
		outcome := c.s.revoke(ctx, g.id.Number())
		c.takeBack(ctx, c.s.calls.giveUp(g, answer{err: context.Cause(ctx), outcome: outcome})...)
	}
}

// giveUp gives all members of g that still wait the same answer, and returns
// them.
func (c *calls) giveUp(g *group, a answer) (waited []*waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range g.all {
		if c.waiting[w.id] == w {
			waited = append(waited, w)
		}
	}
	c.settleGroup(g, a)
	return waited
}

// reserveBatch is reserve for calls that need their places together: one batch
// at a time waits for them, lest two hold half each.
func (c *calls) reserveBatch(ctx context.Context, n int) error {
	if n > cap(c.slots) {
		return fmt.Errorf("rpc: a batch of %d calls is over the limit of %d in flight", n, cap(c.slots))
	}
	select {
	case c.batches <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-c.batches }()
	return c.reserve(ctx, n)
}

// abandonGroup takes the calls of a batch back; false means that one has been
// answered meanwhile.
func (c *calls) abandonGroup(g *group) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g.left < len(g.all) {
		return false
	}
	for _, w := range g.all {
		delete(c.waiting, w.id)
	}
	delete(c.groups, g)
	return true
}
