package mem

import (
	"context"
	"sync"

	"github.com/polyport/polyport/transport"
)

// maxCredit bounds a credit, however much is granted.
const maxCredit = 1 << 30

// A credit is how many messages may be sent. Senders wait for more.
type credit struct {
	mu   sync.Mutex // protects the fields below
	left int
	more chan struct{} // closed when there is more; nil while nobody waits
}

// take takes one. It waits until ctx ends, which an ended ctx means not to, or
// until over or gone is closed; gone may be nil.
func (c *credit) take(ctx context.Context, over, gone <-chan struct{}) error {
	for {
		c.mu.Lock()
		if c.left > 0 {
			c.left--
			c.mu.Unlock()
			return nil
		}
		if c.more == nil {
			c.more = make(chan struct{})
		}
		more := c.more
		c.mu.Unlock()
		select {
		case <-more:
		case <-over:
			return transport.ErrClosed
		case <-gone:
			return transport.WithReason(transport.ErrNoRoute, "the subscriber has left")
		case <-ctx.Done():
			return transport.WithReason(transport.ErrBusy, "the peer has not settled, confirmed or granted more yet")
		}
	}
}

// give adds n.
func (c *credit) give(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = min(c.left+min(n, maxCredit), maxCredit)
	if c.more != nil {
		close(c.more)
		c.more = nil
	}
}
