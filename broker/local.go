package broker

import (
	"context"
	"strings"
	"sync"

	"github.com/polyport/polyport/transport"
)

// scheme is that of connections within the process.
const scheme = "hub"

// Publish sends m to m.To, as one in this process who may do everything. It waits
// until the hub has it, or ctx ends; then it may get there still. The hub owns m
// from then on, its bytes and headers included. The errors are those of
// [transport.BrokerSession].
func (h *Hub) Publish(ctx context.Context, m *transport.Message) error {
	return await(ctx, h.own, m)
}

// await sends m and waits for its done.
func await(ctx context.Context, s *session, m *transport.Message) error {
	a := answers.Get().(*answer)
	s.Send(m, a.done)
	told := a.wait()
	if told != nil {
		select {
		case <-told:
		case <-ctx.Done():
			return ctx.Err() // the answer is still to come: it is not used again
		}
	}
	err := a.err
	a.told, a.over, a.err = nil, false, nil
	answers.Put(a)
	return err
}

// An answer is where a done says what became of a message. It is used again, so
// that a message that is taken at once needs no memory for it.
type answer struct {
	done func(error)

	mu   sync.Mutex // protects the fields below
	over bool
	err  error
	told chan struct{} // closed when it is over, if somebody waits
}

// wait returns nil if it is over, else what will be closed then.
func (a *answer) wait() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over {
		return nil
	}
	a.told = make(chan struct{})
	return a.told
}

var answers = sync.Pool{New: func() any {
	a := new(answer)
	a.done = func(err error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.err, a.over = err, true
		if a.told != nil {
			close(a.told)
		}
	}
	return a
}}

// Hear has hear called with each message to a topic that filter stands for: words
// with dots between them, of which * is any one and # any number. stop ends that;
// a call that has begun may still run. hear must not block, and not change the
// message; it may keep it. Calls for messages of one sender to one topic come in
// order, and one after another. The error is about the filter.
func (h *Hub) Hear(filter string, hear func(*transport.Message)) (stop func(), err error) {
	if !strings.HasPrefix(filter, "/") {
		filter = topicPrefix + filter
	}
	d, err := ParseDestination(filter)
	if err == nil && d.Kind != Topic {
		err = because(transport.ErrInvalid, "%s is not a topic, and only topics can be heard", d)
	}
	if err != nil {
		return nil, err
	}
	c, err := h.own.Attach(transport.Subscription{Destination: filter}, ear(hear))
	if err != nil {
		return nil, err
	}
	return c.Detach, nil
}

// An ear is an outlet with room for everything.
type ear func(*transport.Message)

// Deliver calls the function.
func (e ear) Deliver(m *transport.Message, _ uint64) bool { e(m); return true }

// End does nothing: it is the hub that has been closed.
func (e ear) End(error) {}
