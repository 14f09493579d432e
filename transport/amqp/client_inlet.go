package amqp

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	goamqp "github.com/Azure/go-amqp"

	"github.com/polyport/polyport/transport"
)

// windowWithout is the credit of a subscription that neither acknowledges nor
// asks for a credit of its own. It is renewed as messages come out of Recv.
const windowWithout = 256

// windowForAnswers is that of the address for answers, for which nobody else
// waits: only their bytes are bounded.
const windowForAnswers = 2048

// An inlet receives by one subscription, or the answers.
type inlet struct {
	c    *clientConn
	sub  transport.Subscription
	open func(context.Context, *inlet) error // gets a link
	// answers says that this is the address for answers, without which the
	// connection is of no use to who calls.
	answers bool
	credit  int
	manual  bool // Settle renews the credit, not Recv

	ctx  context.Context // ends with the subscription
	stop context.CancelFunc

	// settling is held by who settles a message, and exclusively by who ends the
	// link: go-amqp would keep the former waiting for what a peer may never say.
	settling sync.RWMutex

	mu      sync.Mutex // protects the fields below
	seat    *seat
	link    *goamqp.Receiver
	shelf   *shelf // of the link
	accepts bool   // messages have to be accepted, though nobody asked for that
	owed    int    // credit to be renewed
	out     int    // credit that the peer has
	// waiting are the messages to be settled of AckUpTo, in order.
	waiting []*parcel
}

// Subscribe attaches to an address, and waits for the peer's consent.
func (c *clientConn) Subscribe(ctx context.Context, s transport.Subscription) (string, error) {
	if s.Ack > transport.AckUpTo {
		return "", c.opError("subscribe", invalid("no acknowledgement mode %d", s.Ack))
	}
	s.Destination = cmp.Or(s.Destination, c.to)
	in := c.newInlet(s)
	in.open = openAddress(s.Destination)
	if err := c.note(in); err != nil {
		return "", c.opError("subscribe", err)
	}
	if err := in.attach(ctx); err != nil {
		c.mu.Lock()
		delete(c.inlets, in.sub.ID)
		c.mu.Unlock()
		in.stop()
		return "", c.opError("subscribe", err)
	}
	c.start(in)
	return in.sub.ID, nil
}

func (c *clientConn) newInlet(s transport.Subscription) *inlet {
	in := &inlet{c: c, sub: s, manual: s.Ack != transport.AckNone || s.Credit > 0}
	in.credit = cmp.Or(max(0, s.Credit), windowWithout)
	if s.Ack != transport.AckNone {
		in.credit = min(cmp.Or(max(0, s.Credit), c.info.Limits.Unsettled), c.info.Limits.Unsettled)
	}
	in.ctx, in.stop = context.WithCancel(c.receiving)
	return in
}

// note adds an inlet to the table, with an id if it has none.
func (c *clientConn) note(in *inlet) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.over(); err != nil {
		return err
	}
	id := in.sub.ID
	if c.inlets[id] != nil {
		return invalid("subscription id %q is in use", id)
	}
	if len(c.inlets) >= c.info.Limits.Subscriptions {
		return tooLarge("more than %d subscriptions", c.info.Limits.Subscriptions)
	}
	for id == "" || in.sub.ID == "" && c.inlets[id] != nil {
		c.lastID++
		id = strconv.FormatUint(c.lastID, 10)
	}
	in.sub.ID = id
	c.inlets[id] = in
	return nil
}

// start has an inlet that is attached receive.
func (c *clientConn) start(in *inlet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.dead {
		c.pumps.Go(in.run)
	}
}

// Unsubscribe ends a subscription. What it has not settled goes to somebody
// else.
func (c *clientConn) Unsubscribe(ctx context.Context, id string) error {
	c.mu.Lock()
	in := c.inlets[id]
	delete(c.inlets, id)
	c.mu.Unlock()
	if in == nil {
		return c.opError("subscribe", invalid("no subscription %q", id))
	}
	in.stop()
	ctx, cancel := context.WithTimeout(ctx, endPatience)
	defer cancel()
	c.sentAll(ctx)
	in.detach(ctx)
	return nil
}

// Grant lets the peer send n more messages by a subscription.
func (c *clientConn) Grant(_ context.Context, id string, n int) error {
	c.mu.Lock()
	in := c.inlets[id]
	c.mu.Unlock()
	if in == nil {
		return c.opError("subscribe", invalid("no subscription %q", id))
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	c.guard.granted.Add(int64(max(0, n)))
	if err := in.issue(n); err != nil {
		return c.opError("subscribe", err)
	}
	return nil
}

// issue gives the peer credit. It needs mu.
func (in *inlet) issue(n int) error {
	if n <= 0 || in.link == nil {
		return nil
	}
	in.out += n
	return in.link.IssueCredit(uint32(n))
}

// renew gives back the credit of n messages that came by link, in handfuls.
func (in *inlet) renew(link *goamqp.Receiver, n int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.link != link {
		return // another link has had its credit
	}
	in.owed += n
	in.pay()
}

// came counts a message that came by link.
func (in *inlet) came(link *goamqp.Receiver) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.link == link {
		in.out--
		in.pay()
	}
}

// pay issues the credit that is owed, if it is enough. RabbitMQ 3 forgets what
// is on its way when it gets new credit, sends more than it may, and go-amqp
// then loses count: it has to use up what it has before it gets more. It needs
// mu.
func (in *inlet) pay() {
	enough := in.owed >= max(1, in.credit/4)
	if in.c.peer.rabbit == 3 {
		enough = in.out <= 0
	}
	if enough {
		_ = in.issue(in.owed) // it fails only while credit is drained, which is never
		in.owed = 0
	}
}

// has reports whether link is still the one in use.
func (in *inlet) has(link *goamqp.Receiver) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.link == link
}

// attach gets a link, and gives it credit.
func (in *inlet) attach(ctx context.Context) error {
	if err := in.c.patiently(ctx, func(ctx context.Context) error { return in.open(ctx, in) }); err != nil {
		return err
	}
	in.mu.Lock()
	in.owed, in.out, in.waiting = 0, 0, nil
	in.c.guard.granted.Add(int64(in.credit))
	s, err := in.shelf, in.issue(in.credit)
	in.mu.Unlock()
	if s == nil || err != nil {
		return err
	}
	select { // whoever is asked for an answer next has credit for it
	case <-s.credited:
		return nil
	case <-in.c.ctx.Done():
		return context.Cause(in.c.ctx)
	case <-ctx.Done():
		return linkErr(ctx.Err())
	}
}

// openAddress gets links that receive from an address.
func openAddress(address string) func(context.Context, *inlet) error {
	return func(ctx context.Context, in *inlet) error {
		p := in.c.peer
		durable := p.declares(address)
		for {
			var o goamqp.ReceiverOptions
			if durable {
				o.SourceDurability = goamqp.DurabilityConfiguration
			}
			if isTopic(address) && p.rabbit == 0 {
				o.SourceCapabilities = []string{"topic"}
			}
			err := in.receive(ctx, address, o)
			if !durable || !isCondition(err, goamqp.ErrCondPreconditionFailed) {
				return err
			}
			address, durable = p.existing(address), false
		}
	}
}

// receive makes a receiving link, which the peer is asked to send settled by if
// that is wanted. Not every peer does.
func (in *inlet) receive(ctx context.Context, address string, o goamqp.ReceiverOptions) error {
	s, err := in.c.inletSeat(ctx)
	if err != nil {
		return err
	}
	o.Credit = -1
	o.Name = rand.Text()
	shelf := in.c.guard.hold.expect(o.Name)
	if in.sub.Ack == transport.AckNone {
		o.RequestedSenderSettleMode = goamqp.SenderSettleModeSettled.Ptr()
	}
	link, err := s.NewReceiver(ctx, address, &o)
	if err != nil && o.RequestedSenderSettleMode != nil && !isLoss(err) && !isOwn(err) && ctx.Err() == nil {
		o.RequestedSenderSettleMode = nil
		o.Name = rand.Text()
		shelf.forget()
		shelf = in.c.guard.hold.expect(o.Name)
		link, err = s.NewReceiver(ctx, address, &o)
	}
	if err != nil {
		shelf.forget()
		in.c.mu.Lock()
		in.c.forget(s)
		in.c.mu.Unlock()
		in.c.leaveSoon(s)
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.seat, in.link, in.shelf = s, link, shelf
	in.accepts = in.sub.Ack == transport.AckNone && o.RequestedSenderSettleMode == nil
	return nil
}

// detach ends the link, and its session if that has no other. RabbitMQ 3 never
// answers the end of a link alone.
func (in *inlet) detach(ctx context.Context) {
	in.settling.Lock()
	in.mu.Lock()
	s, link, shelf := in.seat, in.link, in.shelf
	in.seat, in.link, in.shelf = nil, nil, nil
	in.mu.Unlock()
	in.settling.Unlock()
	if s == nil {
		return
	}
	defer in.c.guard.hold.hurry()()
	if in.c.peer.rabbit == 0 || !in.c.last(s) {
		brief, cancel := context.WithTimeout(ctx, detachPatience)
		_ = link.Close(brief) // the peer stops sending even if it does not say so
		cancel()
	}
	in.c.leave(ctx, s)
	for link.Prefetched() != nil {
		in.c.guard.taken.Add(1)
	}
	shelf.forget()
}

// run passes on what comes, and gets another link when one is lost.
func (in *inlet) run() {
	for in.ctx.Err() == nil {
		in.mu.Lock()
		link, shelf := in.link, in.shelf
		in.mu.Unlock()
		if link == nil {
			return // unsubscribed
		}
		raw, err := link.Receive(in.ctx, nil)
		switch {
		case err == nil:
			in.take(link, shelf, raw)
		case in.ctx.Err() == nil && !in.again(err):
			return
		}
	}
}

// again gets another link after one is lost, however often that takes.
func (in *inlet) again(why error) bool {
	if _, ended := errors.AsType[*goamqp.ConnError](why); ended || in.c.over() != nil {
		return false
	}
	if in.answers {
		if in.c.ctx.Err() == nil {
			in.c.fail(transport.WithReason(transport.ErrClosed, "the address for answers is lost: "+transport.Reason(linkErr(why))))
		}
		return false
	}
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		in.detach(in.ctx)
		select {
		case <-time.After(pause):
		case <-in.ctx.Done():
			return false
		case <-in.c.ctx.Done():
			return false
		}
		in.c.log.Warn("a subscription is lost", "destination", in.sub.Destination, "remote", in.c.info.Remote, "err", why)
		if why = in.attach(in.ctx); why == nil {
			return true
		}
	}
}

// take makes a message of what came, for Recv.
func (in *inlet) take(link *goamqp.Receiver, s *shelf, raw *goamqp.Message) {
	in.came(link)
	defer s.taken()
	p := &parcel{in: in, link: link, shelf: s, raw: raw}
	for _, b := range raw.Data {
		p.size += len(b)
	}
	d, err := in.c.decode(raw)
	switch {
	case errors.Is(err, transport.ErrTooLarge):
		_ = p.dispose(transport.Rejected(transport.Reason(err)))
		p.err = err
	case err != nil:
		in.c.log.Warn("a message that cannot be read", "destination", in.sub.Destination, "remote", in.c.info.Remote, "err", err)
		_ = p.dispose(transport.Rejected(transport.Reason(err)))
		p.leave()
		in.renew(link, 1)
		return
	default:
		p.message = &d.Message
		p.message.Subscription = in.sub.ID
		p.message.Attempt = in.c.peer.attempt(d)
		p.message.To = cmp.Or(p.message.To, in.sub.Destination)
		if in.answers && in.c.peer.rabbit > 0 && strings.HasSuffix(in.c.answersTo(), "/"+p.message.Subject) {
			p.message.Subject = "" // it was how the answer got here
		}
	}
	if in.accepts {
		_ = p.dispose(transport.Accepted)
	}
	if in.sub.Ack == transport.AckUpTo {
		in.mu.Lock()
		in.waiting = append(in.waiting, p)
		in.mu.Unlock()
	}
	if in.ctx.Err() != nil || in.c.ctx.Err() != nil && in.sub.Ack != transport.AckNone {
		p.leave()
		return // it goes to somebody else
	}
	in.c.inbox.push(p)
}

// attempt is how many deliveries of a message are known to have failed.
// RabbitMQ counts none, but says when there was one.
func (p peer) attempt(d *decoded) int {
	if d.attempts == 0 && p.rabbit > 0 && d.hasHeader && !d.firstAcquirer {
		return 1
	}
	return int(min(d.attempts, 1<<30))
}

// decode reads a message as guard has wrapped it.
func (c *clientConn) decode(raw *goamqp.Message) (*decoded, error) {
	if raw.Value != nil {
		return nil, tooLarge("a message of over %d bytes", c.guard.most)
	}
	var b []byte
	if len(raw.Data) == 1 {
		b = raw.Data[0]
	} else {
		b = slices.Concat(raw.Data...)
	}
	return decode(b, &c.info.Limits)
}
