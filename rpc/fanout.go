package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
)

// codeNoBatches is how jsonrpsee says that it takes no batches.
const codeNoBatches Code = -32005

// fanWidth is how many calls of a batch are under way at once when each goes
// alone.
const fanWidth = 64

// refusesBatch reports whether a is a peer's refusal of a whole batch, of which
// it has executed nothing, and remembers how many requests it takes. n is how
// many there were, 0 if that is not known.
func (s *session) refusesBatch(a answer, n int) bool {
	if !a.whole || a.fault == nil {
		return false
	}
	e, ok := errors.AsType[*Error](decodeError(s.codec, a.fault))
	if !ok || e.Code != CodeInvalidRequest && e.Code != codeNoBatches {
		return false
	}
	most := int64(1)
	var limit struct {
		Max int64 `json:"max"`
	}
	if json.Unmarshal(e.Data, &limit) == nil && limit.Max > 1 && limit.Max < int64(n) {
		most = limit.Max
	}
	s.mostBatch.Store(most)
	return true
}

// doAll sends a batch in as many messages as the peer takes it in, and waits
// until each of ws has its answer; or returns why nothing was sent.
func (c *Client) doAll(ctx context.Context, x *Invocation, items []item, ws []*waiter) *CallError {
	most := int(c.s.mostBatch.Load())
	switch {
	case len(items) == 0 || len(items) > maxBatch:
	case most == 1:
		c.doEach(ctx, x, items, ws)
		return nil
	case most > 1 && len(items) > most:
		return c.doParts(ctx, x, items, ws, most)
	}
	failure := c.do(ctx, x, items, ws)
	if failure == nil && len(ws) > 0 && c.s.refusesBatch(ws[0].answer, len(items)) {
		return c.doAll(ctx, x, items, ws)
	}
	return failure
}

// doParts sends a batch in parts of most requests. A part that is not sent keeps
// those after it from being sent.
func (c *Client) doParts(ctx context.Context, x *Invocation, items []item, ws []*waiter, most int) *CallError {
	first := true
	for len(items) > 0 {
		n := min(most, len(items))
		calls := 0
		for _, it := range items[:n] {
			if it.call != nil {
				calls++
			}
		}
		failure := c.doAll(ctx, x, items[:n], ws[:calls])
		if failure != nil && first {
			return failure
		}
		if failure != nil {
			for i, w := range ws {
				o := NotSent // the parts after this one
				if i < calls {
					o = failure.Outcome
				}
				w.answer = answer{err: failure.Err, outcome: o}
			}
			return nil
		}
		first, items, ws = false, items[n:], ws[calls:]
	}
	return nil
}

// doEach sends the requests of a batch one by one, for a peer that takes no
// batches.
func (c *Client) doEach(ctx context.Context, x *Invocation, items []item, ws []*waiter) {
	var wg sync.WaitGroup
	room := make(chan struct{}, fanWidth)
	for _, it := range items {
		room <- struct{}{}
		if it.call == nil {
			if err := c.notify(ctx, x, it.method, it.params); err != nil {
				c.s.log.Debug("a notification of a batch was not sent", "method", it.method, "err", err)
			}
			<-room
			continue
		}
		w := ws[0]
		ws = ws[1:]
		wg.Go(func() {
			defer func() { <-room }()
			w.answer = c.exchange(ctx, x, it.method, it.params)
		})
	}
	wg.Wait()
}

// exchange makes one call and returns its answer as it is.
func (c *Client) exchange(ctx context.Context, x *Invocation, method string, params any) answer {
	w := c.s.calls.spare.Get().(*waiter)
	if err := c.start(ctx, w, x, method, params); err != nil {
		c.s.calls.spare.Put(w)
		if e, ok := errors.AsType[*CallError](err); ok {
			return answer{err: e.Err, outcome: e.Outcome}
		}
		return answer{err: err, outcome: OutcomeOf(err)}
	}
	metadata := w.metadata
	a := c.await(ctx, w)
	if metadata && a.fault != nil {
		_ = c.s.learn(decodeError(c.s.codec, a.fault), func() error {
			a = c.exchange(ctx, x, method, params)
			return c.decode(a, method, nil)
		})
	}
	return a
}
