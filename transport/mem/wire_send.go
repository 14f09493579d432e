package mem

import (
	"context"
	"sync"

	"github.com/polyport/polyport/transport"
)

// check reports why m must not be sent, and how long its frame is about.
func (c *conn) check(m *transport.Message, to string) (size int, err error) {
	if len(m.Body) > c.may.Message {
		return 0, tooLarge("the body has %d bytes, the limit is %d", len(m.Body), c.may.Message)
	}
	if len(m.Headers) > c.may.Headers {
		return 0, tooLarge("the message has %d headers, the limit is %d", len(m.Headers), c.may.Headers)
	}
	head := headLen(m, to) + maxName
	if head > c.may.HeaderBytes {
		return 0, tooLarge("the fields have %d bytes, the limit is %d", head, c.may.HeaderBytes)
	}
	return prefixLen + head + len(m.Body), nil
}

// send sends m without a subscription and has done, which may be nil, called
// when the peer has taken it.
func (c *conn) send(ctx context.Context, m *transport.Message, size int, to string, done func(error)) error {
	if done == nil {
		return c.stream.Write(ctx, "send", size, func(dst []byte) []byte {
			return appendMessage(dst, m, routing{to: to})
		})
	}
	if err := c.flow.take(ctx, c.over, nil, 1); err != nil {
		return c.notSent("send", err)
	}
	promised := false
	err := c.stream.Write(ctx, "send", size, func(dst []byte) []byte {
		promised = true
		c.confirm.add(done)
		return appendMessage(dst, m, routing{to: to, confirm: true})
	})
	if promised {
		return nil // should the write have failed, then done is told
	}
	c.flow.give(nil, 1)
	return err
}

// confirmations are what a conn promised to its senders and owes to its peer.
type confirmations struct {
	asked uint64 // messages of the peer that asked; belongs to Recv

	mu sync.Mutex // protects the fields below
	// waiting are those who want to be told, in the order sent.
	waiting []func(error)
	told    uint64 // how many have been
	// taken is how many of the peer's were, in their order, and early which were
	// before one of these.
	taken uint64
	early map[uint64]struct{}
}

// take notes that the nth of the peer's messages that asked was taken, and returns
// how many were with all before; ok is false if there is nothing new to say.
func (c *confirmations) take(n uint64) (taken uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n != c.taken+1 {
		if c.early == nil {
			c.early = make(map[uint64]struct{})
		}
		c.early[n] = struct{}{}
		return 0, false
	}
	for early := true; early; _, early = c.early[c.taken+1] {
		c.taken++
		delete(c.early, c.taken)
	}
	return c.taken, true
}

func (c *confirmations) add(done func(error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, done)
}

// upTo takes out those whose messages are among the first n; ok is false if
// there are none.
func (c *confirmations) upTo(n uint64) (dones []func(error), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n <= c.told || n-c.told > uint64(len(c.waiting)) {
		return nil, false
	}
	k := n - c.told
	dones, c.waiting, c.told = c.waiting[:k:k], c.waiting[k:], n
	return dones, true
}

// all takes out all.
func (c *confirmations) all() (dones []func(error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	dones, c.waiting = c.waiting, nil
	return dones
}

// take makes a Message of a message frame. It is to be confirmed by took.
func (c *conn) take(f frame) (*transport.Message, routing, error) {
	m, r, err := parseMessage(f, c.info.Limits.Headers)
	if err == nil && r.confirm {
		c.confirm.asked++
		r.number = c.confirm.asked
	}
	return m, r, err
}

// took confirms a message if the peer has asked for it.
func (c *conn) took(r routing) {
	if !r.confirm {
		return
	}
	_ = c.stream.Control("receive", func(dst []byte) []byte {
		n, ok := c.confirm.take(r.number)
		if !ok {
			return dst
		}
		return appendFrame(dst, kindConfirm, func(dst []byte) []byte { return appendNumber(dst, n) })
	}) // should it fail, the next read says why
}

// wasTaken handles confirm.
func (c *conn) wasTaken(f frame) error {
	n := f.head.number(1<<64 - 1)
	if err := f.head.end(f.kind); err != nil {
		return err
	}
	dones, ok := c.confirm.upTo(n)
	if !ok {
		return malformed("confirm of messages that were not sent, or that were confirmed before")
	}
	c.flow.give(nil, len(dones))
	for i, done := range dones {
		done(nil)
		dones[i] = nil
	}
	return nil
}

// control sends a frame that the peer's frames gave rise to.
func (c *conn) control(op string, k kind, head func([]byte) []byte) error {
	return c.stream.Control(op, func(dst []byte) []byte { return appendFrame(dst, k, head) })
}
