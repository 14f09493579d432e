package mem

import (
	"context"
	"sync"

	"github.com/polyport/polyport/transport"
)

// maxCredit bounds the credit of a subscription, however much is granted.
const maxCredit = 1 << 30

// A flow is how many messages an end may send. A message by a subscription
// with credit takes one of it; one that is to be settled or confirmed takes one
// of the connection's slots. What a sender needs it takes at once or not at
// all: no two can wait for what the other has.
type flow struct {
	mu      sync.Mutex // protects the fields below, and credit and gone of subscriptions
	slots   int
	most    int           // slots when all are free
	changed chan struct{} // closed when there is more; nil while nobody waits
	more    func()        // called then, too, without mu; may be nil
}

// take takes what a message by each of subs needs, and slots. It waits until
// ctx ends, which an ended ctx means not to, or until over is closed.
func (f *flow) take(ctx context.Context, over <-chan struct{}, subs []*subscription, slots int) error {
	for {
		changed, err := f.try(subs, slots)
		if changed == nil {
			return err
		}
		select {
		case <-changed:
		case <-over:
			return transport.ErrClosed
		case <-ctx.Done():
			return transport.WithReason(transport.ErrBusy, "the peer has not settled, confirmed or granted more yet")
		}
	}
}

// try takes all or nothing. In the second case it returns what is closed when
// to try again, or why not to.
func (f *flow) try(subs []*subscription, slots int) (changed <-chan struct{}, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	enough := f.slots >= slots
	for _, s := range subs {
		if s.gone {
			return nil, transport.WithReason(transport.ErrNoRoute, "the subscriber has left")
		}
		enough = enough && (!s.limited || s.credit > 0)
	}
	switch {
	case slots > f.most:
		return nil, transport.WithReason(transport.ErrBusy, "more messages at once than may be unsettled")
	case !enough:
		if f.changed == nil {
			f.changed = make(chan struct{})
		}
		return f.changed, nil
	}
	f.slots -= slots
	for _, s := range subs {
		if s.limited {
			s.credit--
		}
	}
	return nil, nil
}

// give gives back what take took.
func (f *flow) give(subs []*subscription, slots int) {
	f.giveBack(subs, slots)
	f.tell()
}

// tell tells who does not wait that there is more.
func (f *flow) tell() {
	if f.more != nil {
		f.more()
	}
}

// giveBack is give for what nobody has missed.
func (f *flow) giveBack(subs []*subscription, slots int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slots += slots
	for _, s := range subs {
		if s.limited {
			s.credit = min(s.credit+1, maxCredit)
		}
	}
	f.wake()
}

// grant adds to the credit of a subscription.
func (f *flow) grant(s *subscription, n int) {
	f.mu.Lock()
	s.credit = min(s.credit+n, maxCredit)
	f.wake()
	f.mu.Unlock()
	f.tell()
}

// drop tells those who wait to send by s that it has ended.
func (f *flow) drop(s *subscription) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.gone = true
	f.wake()
}

// wake lets those who wait look again. It needs mu.
func (f *flow) wake() {
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}
