package broker

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"

	"github.com/polyport/polyport/transport"
)

// Dial connects to the hub from within the process. destination is where messages
// without a To go, and what a subscription without a Destination is to; it may be
// empty. ctx is not used once Dial has returned.
//
// The connection is a [transport.Conn] as a wire's client end to a broker is, and
// besides a [transport.Subscriber], a [transport.ReplyAddresser] and a
// [transport.Confirmer]. Send copies the message, and returns when the hub has it.
// Messages from topics share their body with other subscribers: it must not be
// changed. Subscriptions acknowledge each message or none. One that has no credit
// takes as many messages as [transport.Limits].Unsettled, and 4 MiB of them.
//
// A queue that is consumed here belongs to the process: without [Options].Access
// no peer may consume from it.
//
// Unsubscribe ends a subscription gently. It gets no more messages, and what has
// not come out of Recv goes to somebody else. What has may be settled still, as
// long as the connection is there. To drain a service, Unsubscribe, wait until its
// handlers are done, and Close.
func (h *Hub) Dial(ctx context.Context, destination string) (transport.Conn, error) {
	fail := func(err error) (transport.Conn, error) {
		return nil, &transport.OpError{Op: "dial", Scheme: scheme, Addr: destination, Err: err}
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	if destination != "" {
		if _, err := ParseDestination(destination); err != nil {
			return fail(err)
		}
	}
	c := &conn{
		hub: h, to: destination,
		info: transport.Info{
			Scheme: scheme, Peer: "polyport broker", Addressed: true, Headers: true,
			Limits: transport.Limits{}.WithDefaults(),
		},
		subs: make(map[string]*inlet), arrived: make(chan struct{}, 1), over: make(chan struct{}),
	}
	c.session = h.join(&c.info, true)
	if h.isClosed() {
		c.session.Leave()
		return fail(errClosed())
	}
	return c, nil
}

func (h *Hub) isClosed() bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.closed
}

// A conn is a connection within the process.
type conn struct {
	hub     *Hub
	session *session
	to      string
	info    transport.Info
	arrived chan struct{} // has a token when there may be something in inbox
	over    chan struct{} // closed with err set

	replyMu sync.Mutex // held while the reply address is made
	reply   string

	mu    sync.Mutex // protects the fields below; no Consumer is called with it
	inbox ring[arrival]
	bytes int
	subs  map[string]*inlet
	last  int // the last id that was chosen
	err   error
	// refused is how many of subs have refused a message since they were told to
	// be ready.
	refused int
}

// An arrival is a message that waits for Recv.
type arrival struct {
	m    *transport.Message
	from *inlet
}

// An inlet is a subscription of a conn: the hub's outlet. Its fields below attached
// are protected by the mu of the conn.
type inlet struct {
	c        *conn
	id       string
	acks     bool
	credit   int
	consumer transport.Consumer
	attached chan struct{} // closed when consumer is set

	used    int // of the credit
	refused bool
	ending  bool // unsubscribed
}

// Deliver puts m into the inbox.
func (in *inlet) Deliver(m *transport.Message, token uint64) bool {
	c := in.c
	size := len(m.Body)
	c.mu.Lock()
	if c.err != nil || in.ending || in.used >= in.credit || c.inbox.n > 0 && c.bytes+size > c.hub.o.SubscriberBytes {
		if !in.refused {
			in.refused = true
			c.refused++
		}
		c.mu.Unlock()
		return false
	}
	mine := *m
	mine.Subscription = in.id
	mine.SetSettler(nil, 0)
	if in.acks {
		mine.SetSettler(in, token)
	}
	in.used++
	c.bytes += size
	c.inbox.pushBack(arrival{&mine, in})
	c.mu.Unlock()
	select {
	case c.arrived <- struct{}{}:
	default:
	}
	return true
}

// End ends the connection.
func (in *inlet) End(why error) { in.c.end(why) }

// SettleMessage settles a message.
func (in *inlet) SettleMessage(token uint64, o transport.Outcome) error {
	<-in.attached
	in.consumer.Settled(token, o)
	c := in.c
	c.mu.Lock()
	err := c.err
	ready, done := c.freed(in)
	c.mu.Unlock()
	in.follow(ready, done)
	if err != nil {
		return c.fail("settle", err)
	}
	return nil
}

// freed notes that a message no longer counts against the credit. It needs mu, and
// says what to do without.
func (c *conn) freed(in *inlet) (ready []*inlet, done bool) {
	in.used--
	if c.refused > 0 {
		for _, o := range c.subs { // for the bytes are those of all
			if o.refused && o.used < o.credit {
				o.refused = false
				c.refused--
				ready = append(ready, o)
			}
		}
	}
	return ready, in.ending && in.used == 0
}

// follow tells the hub.
func (in *inlet) follow(ready []*inlet, done bool) {
	for _, o := range ready {
		<-o.attached
		o.consumer.Ready()
	}
	if done {
		in.consumer.Detach()
	}
}

// Recv returns the next message.
func (c *conn) Recv(ctx context.Context) (*transport.Message, error) {
	for {
		c.mu.Lock()
		if c.inbox.n > 0 {
			return c.next(), nil
		}
		c.mu.Unlock()
		select {
		case <-c.arrived:
			continue
		default:
		}
		select {
		case <-c.arrived:
		case <-c.over:
			return nil, c.fail("receive", c.err)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// next takes a message out of the inbox. It is called with mu held, and gives it
// up.
func (c *conn) next() *transport.Message {
	a := c.inbox.popFront()
	c.bytes -= len(a.m.Body)
	var ready []*inlet
	var done bool
	if !a.from.acks {
		ready, done = c.freed(a.from)
	}
	c.mu.Unlock()
	a.from.follow(ready, done)
	return a.m
}

// Send hands a copy of m to the hub.
func (c *conn) Send(ctx context.Context, m *transport.Message) error {
	own, err := c.copy(m)
	if err != nil {
		return c.fail("send", err)
	}
	if err = await(ctx, c.session, own); err == nil {
		return nil
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return &transport.OpError{Op: "send", Scheme: scheme, MaybeSent: true, Err: err}
	}
	return c.fail("send", err)
}

// SendConfirmed hands a copy of m to the hub, and tells done.
func (c *conn) SendConfirmed(_ context.Context, m *transport.Message, done func(error)) error {
	own, err := c.copy(m)
	if err != nil {
		return c.fail("send", err)
	}
	c.session.Send(own, func(err error) {
		if err != nil {
			err = c.fail("send", err)
		}
		done(err)
	})
	return nil
}

// copy is m as the hub may have it, for its sender may use m again.
func (c *conn) copy(m *transport.Message) (*transport.Message, error) {
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	switch {
	case err != nil:
		return nil, err
	case m.To == "" && c.to == "":
		return nil, because(transport.ErrNoRoute, "the message has no destination, and the connection was dialed for none")
	case len(m.Body) > c.info.Limits.Message:
		return nil, because(transport.ErrTooLarge, "a body of %d bytes; the most is %d", len(m.Body), c.info.Limits.Message)
	}
	own, body := transport.NewMessage(len(m.Body))
	body = append(body, m.Body...)
	*own = *m
	own.SetSettler(nil, 0)
	own.Body, own.Headers = body, slices.Clone(m.Headers)
	if own.To == "" {
		own.To = c.to
	}
	return own, nil
}

// Subscribe begins a subscription. Unlike on a wire a refusal is its error.
func (c *conn) Subscribe(ctx context.Context, s transport.Subscription) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", c.fail("subscribe", err)
	}
	if s.Destination == "" {
		s.Destination = c.to
	}
	if s.Destination == "" {
		return "", c.fail("subscribe", because(transport.ErrNoRoute, "no destination, and the connection was dialed for none"))
	}
	in, err := c.attach(s)
	if err != nil {
		return "", c.fail("subscribe", err)
	}
	return in.id, nil
}

// attach begins a subscription; one without a destination is to a private address.
func (c *conn) attach(s transport.Subscription) (*inlet, error) {
	if s.Ack == transport.AckUpTo {
		return nil, because(transport.ErrUnsupported, "subscriptions within the process acknowledge each message or none")
	}
	in := &inlet{c: c, acks: s.Ack == transport.AckEach, credit: s.Credit, attached: make(chan struct{})}
	if in.credit <= 0 {
		in.credit = c.info.Limits.Unsettled
	}
	if err := c.name(in, s.ID); err != nil {
		return nil, err
	}
	consumer, err := c.session.Attach(s, in)
	if err != nil {
		c.mu.Lock()
		delete(c.subs, in.id)
		c.mu.Unlock()
		return nil, err
	}
	in.consumer = consumer
	close(in.attached)
	return in, nil
}

// name gives a subscription its id.
func (c *conn) name(in *inlet, id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id == "" {
		c.last++
		if try := strconv.Itoa(c.last); c.subs[try] == nil {
			id = try
		}
	}
	switch {
	case c.err != nil:
		return c.err
	case c.subs[id] != nil:
		return because(transport.ErrInvalid, "the subscription id %.100q is in use", id)
	}
	in.id = id
	c.subs[id] = in
	return nil
}

// Unsubscribe ends a subscription gently.
func (c *conn) Unsubscribe(_ context.Context, id string) error {
	c.mu.Lock()
	in := c.subs[id]
	if in == nil {
		c.mu.Unlock()
		return c.fail("unsubscribe", because(transport.ErrInvalid, "there is no subscription %.100q", id))
	}
	delete(c.subs, id)
	in.ending = true
	if in.refused {
		c.refused--
	}
	in.refused = true // for good
	var back []*transport.Message
	c.inbox.keep(func(a *arrival) bool {
		if a.from != in || !in.acks {
			return true
		}
		back = append(back, a.m)
		c.bytes -= len(a.m.Body)
		return false
	})
	done := in.used == 0
	c.mu.Unlock()
	<-in.attached
	in.follow(nil, done)
	for _, m := range slices.Backward(back) {
		_ = m.Settle(transport.Released)
	}
	return nil
}

// ReplyAddress returns the connection's private address.
func (c *conn) ReplyAddress(context.Context) (string, error) {
	c.replyMu.Lock()
	defer c.replyMu.Unlock()
	if c.reply == "" {
		in, err := c.attach(transport.Subscription{})
		if err != nil {
			return "", c.fail("subscribe", err)
		}
		c.reply = in.consumer.Address()
	}
	return c.reply, nil
}

// Info returns what the connection is.
func (c *conn) Info() *transport.Info { return &c.info }

// Close ends the connection. What it has not settled goes to somebody else.
func (c *conn) Close() error {
	c.end(transport.ErrClosed)
	c.mu.Lock()
	c.inbox, c.bytes = ring[arrival]{}, 0
	c.mu.Unlock()
	c.session.Leave()
	return nil
}

// end has Recv return why when the inbox is empty. What is to be settled is no
// longer there.
func (c *conn) end(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = why
	c.inbox.keep(func(a *arrival) bool { return !a.from.acks })
	close(c.over)
}

// fail is err as an operation's.
func (c *conn) fail(op string, err error) error {
	return &transport.OpError{Op: op, Scheme: scheme, Err: err}
}
