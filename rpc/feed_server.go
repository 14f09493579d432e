package rpc

import (
	"context"
	"sync"

	"github.com/polyport/polyport/transport"
)

// listenedTo makes the peer of a feed, or of a connection that has an audience besides, a
// subscriber: what it wants its wire knows.
// It needs nobody else to use t.
func (t *subscribers) listenedTo(a transport.Audience) {
	t.feed = t.make("", "", subscribeParams{})
	t.feed.feed = a
	t.hub.add(t.feed)
}

// flush has a feed, if the connection is one, take no more events once all have
// answered, and returns when those that wait were handed over or ctx has ended.
func (t *subscribers) flush(ctx context.Context, answered *sync.WaitGroup) {
	if t.feed == nil {
		return
	}
	answered.Wait() // handlers may publish until then
	t.feed.takeLast()
	defer context.AfterFunc(ctx, t.feed.cancel)()
	t.wg.Wait()
}

// takeLast takes no more events; those that wait are sent.
func (s *subscriber) takeLast() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = true
	s.makeRoom() // for those who need not wait any longer
}

// hangUp ends the connection of a feed, on which there is no other goodbye.
func (s *session) hangUp(why *Error) {
	s.log.Debug("closing a feed", "err", why)
	s.cancel(why)
	_ = s.conn.Close()
}
