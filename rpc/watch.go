package rpc

import "context"

// A watch waits for the end of a ctx on behalf of all calls behind futures that
// were made with it: many share one, and to register for each call by itself
// costs a good part of the call.
type watch struct {
	calls int // that wait
	stop  func() bool
}

// watch has w.future told when w.until ends while w waits. It needs mu.
func (c *calls) watch(w *waiter) {
	key := w.until.Done()
	if key == nil || c.waiting[w.id] != w {
		return
	}
	t := c.watches[key]
	if t == nil {
		if c.watches == nil {
			c.watches = make(map[<-chan struct{}]*watch)
		}
		t = new(watch)
		t.stop = context.AfterFunc(w.until, func() { c.expire(key, t) })
		c.watches[key] = t
	}
	t.calls++
	w.watched = key
}

// unwatch undoes watch. It needs mu.
func (c *calls) unwatch(w *waiter) {
	if w.watched == nil {
		return
	}
	t := c.watches[w.watched]
	if t.calls--; t.calls == 0 {
		t.stop()
		delete(c.watches, w.watched)
	}
	w.watched = nil
}

// expire tells all calls that t stands for.
func (c *calls) expire(key <-chan struct{}, t *watch) {
	c.mu.Lock()
	var late []*waiter
	if c.watches[key] == t { // or its calls have gone, and others came
		for _, w := range c.waiting {
			if w.watched == key {
				late = append(late, w)
			}
		}
	}
	c.mu.Unlock()
	for _, w := range late {
		w.future.expired()
	}
}
