package conformance

import (
	"fmt"
	"sync"

	"github.com/polyport/polyport/transport"
)

// A Hub says that the server's end of a wire honours [transport.ListenOptions].Broker,
// and what is different there from one wire to the next. The rules whose names
// begin with Hub hold that end to the contract of [transport.Broker]. They put a
// broker behind it that notes all that it is told, and that does what the rule
// wants; the broker that rules about a [Broker] mean stands between two clients
// and is somebody else's.
//
// Only the server's end is judged. The client's is the one of the same wire, which
// sends to destinations by [transport.Message].To and asks for them by
// [transport.Subscriber]; rules about what it cannot do are skipped.
type Hub struct {
	// Destination spells a queue's name in the words of the wire. Nil means
	// "/queue/NAME".
	Destination func(name string) string
	// Survives says that the connection goes on when the broker refuses or ends a
	// subscription, and the client's Recv does not return the reason.
	Survives bool
}

// hubAddress is what the broker calls its private addresses, but for their number.
const hubAddress = "/reply-queue/conformance-"

// A hub is the broker of a rule. It takes what it is given unless the rule says
// otherwise, and notes everything.
type hub struct {
	r *rig
	// send decides on a message, on the wire's goroutine. Nil means to take it.
	send func(m *transport.Message, done func(error))
	// attach refuses a subscription. Nil means not to.
	attach func(transport.Subscription) error

	joined chan *hubSession

	mu        sync.Mutex // protects the field below
	addresses int
}

// A hubSession is a connection as the hub sees it.
type hubSession struct {
	hub      *hub
	info     *transport.Info
	sent     chan *transport.Message
	attached chan *hubConsumer
	left     chan struct{} // one for each Leave

	mu   sync.Mutex // protects the fields below
	gone bool
	all  []*hubConsumer
}

// A hubConsumer is a subscription as the hub sees it.
type hubConsumer struct {
	session  *hubSession
	want     transport.Subscription
	out      transport.Outlet
	address  string
	ready    chan struct{} // full if Ready was called since it was emptied
	settled  chan hubSettled
	detached chan struct{} // one for each Detach

	mu        sync.Mutex // protects the fields below
	unsettled map[uint64]bool
	gone      bool
}

// hubSettled is a call of Settled.
type hubSettled struct {
	token   uint64
	outcome transport.Outcome
}

func (r *rig) newHub() *hub { return &hub{r: r, joined: make(chan *hubSession, 64)} }

// Join notes a connection.
func (h *hub) Join(info *transport.Info) transport.BrokerSession {
	s := &hubSession{
		hub: h, info: info, sent: make(chan *transport.Message, inboxRoom), attached: make(chan *hubConsumer, 64),
		left: make(chan struct{}, 64),
	}
	h.joined <- s
	return s
}

// Send notes a message, and decides on it.
func (s *hubSession) Send(m *transport.Message, done func(error)) {
	s.here("Send")
	s.sent <- m
	if s.hub.send == nil {
		done(nil)
		return
	}
	s.hub.send(m, done)
}

// Attach notes a subscription.
func (s *hubSession) Attach(want transport.Subscription, out transport.Outlet) (transport.Consumer, error) {
	s.here("Attach")
	if s.hub.attach != nil {
		if err := s.hub.attach(want); err != nil {
			return nil, err
		}
	}
	c := &hubConsumer{
		session: s, want: want, out: out, address: want.Destination,
		ready: make(chan struct{}, 1), settled: make(chan hubSettled, inboxRoom), detached: make(chan struct{}, 64),
		unsettled: make(map[uint64]bool),
	}
	if want.Destination == "" {
		s.hub.mu.Lock()
		s.hub.addresses++
		c.address = fmt.Sprint(hubAddress, s.hub.addresses)
		s.hub.mu.Unlock()
	}
	s.mu.Lock()
	s.all = append(s.all, c)
	s.mu.Unlock()
	s.attached <- c
	return c, nil
}

// Leave notes the end of the connection.
func (s *hubSession) Leave() {
	s.mu.Lock()
	s.gone = true
	all := s.all
	s.mu.Unlock()
	for _, c := range all {
		c.mu.Lock()
		c.gone = true
		c.mu.Unlock()
	}
	s.left <- struct{}{}
}

// here fails the rule if the connection has left.
func (s *hubSession) here(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		s.hub.r.Errorf("%s was called after Leave", what)
	}
}

// Address is a name of the hub's own if the subscription has asked for one.
func (c *hubConsumer) Address() string { return c.address }

// Ready notes that there may be room.
func (c *hubConsumer) Ready() {
	select {
	case c.ready <- struct{}{}:
	default:
	}
}

// Settled notes an outcome. Late ones, after Detach or Leave, may be on their way.
func (c *hubConsumer) Settled(token uint64, o transport.Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.session.hub.r
	switch {
	case c.gone:
		return
	case c.want.Ack == transport.AckNone:
		r.Errorf("Settled(%d) of a subscription that does not acknowledge", token)
	case !c.unsettled[token]:
		r.Errorf("Settled(%d), which was not delivered or has been settled before", token)
	}
	delete(c.unsettled, token)
	c.settled <- hubSettled{token, o}
}

// Detach notes the end of the subscription.
func (c *hubConsumer) Detach() {
	c.mu.Lock()
	c.gone = true
	c.mu.Unlock()
	c.detached <- struct{}{}
}

// deliver calls Deliver and notes what it has taken.
func (c *hubConsumer) deliver(m *transport.Message, token uint64) bool {
	c.mu.Lock()
	c.unsettled[token] = true // it may be settled before Deliver has returned
	c.mu.Unlock()
	taken := c.out.Deliver(m, token)
	if !taken {
		c.mu.Lock()
		if !c.unsettled[token] {
			c.session.hub.r.Errorf("Settled(%d), which Deliver has not taken", token)
		}
		delete(c.unsettled, token)
		c.mu.Unlock()
	}
	return taken
}

// A hubbed is a pair whose server has a hub behind it.
type hubbed struct {
	*hub
	r              *rig
	client, server transport.Conn
	session        *hubSession
	in, asked      *inbox // of the client and the server
}

// hubbed connects two ends with a hub behind the server, which set may change
// before.
func (r *rig) hubbed(change func(*transport.Options), set func(*hub)) *hubbed {
	r.Helper()
	return r.hubbedBy(r.h.options(change), set)
}

func (r *rig) hubbedBy(o PairOptions, set func(*hub)) *hubbed {
	r.Helper()
	h := r.hubbedQuietly(o, set)
	h.in, h.asked = r.inbox(h.client), r.inbox(h.server)
	return h
}

// hubbedQuietly is hubbedBy without receiving at either end.
func (r *rig) hubbedQuietly(o PairOptions, set func(*hub)) *hubbed {
	r.Helper()
	h := &hubbed{hub: r.newHub(), r: r}
	if set != nil {
		set(h.hub)
	}
	o.Listen.Broker = h.hub
	h.client, h.server = r.pair(o)
	if i := h.client.Info(); i.Lockstep || i.Feed {
		r.skipf("the ends go in lock-step, or one of them only listens")
	}
	h.session = await(r, h.joined, "Join")
	return h
}

// await returns what comes next from a channel, which must come.
func await[T any](r *rig, from <-chan T, what string) T {
	r.Helper()
	select {
	case v := <-from:
		return v
	case <-r.soon().Done():
		r.Fatalf("the broker was not told of %s within %v", what, r.patience())
		panic("unreachable")
	}
}

// still checks that nothing has come from a channel.
func still[T any](r *rig, from <-chan T, what string) {
	r.Helper()
	r.quiet()
	select {
	case v := <-from:
		r.Errorf("the broker was told of %s: %v", what, v)
	default:
	}
}

// place is a destination of the hub, in the words of the wire.
func (h *hubbed) place(n int) string {
	name := fmt.Sprint("conformance-", n)
	if h.r.h.Hub.Destination != nil {
		return h.r.h.Hub.Destination(name)
	}
	return "/queue/" + name
}

// subscribe makes a subscription and returns it as the hub sees it.
func (h *hubbed) subscribe(s transport.Subscription) *hubConsumer {
	h.r.Helper()
	sub := ability[transport.Subscriber](h.r, h.client, "client", "Subscriber")
	if _, err := sub.Subscribe(h.r.soon(), s); err != nil {
		h.r.Fatalf("Subscribe: %v", err)
	}
	return await(h.r, h.session.attached, "the subscription")
}

// must delivers a message, for which there has to be room, if not at once: credit
// may be under way.
func (c *hubConsumer) must(r *rig, m *transport.Message, token uint64) {
	r.Helper()
	for !c.deliver(m, token) {
		await(r, c.ready, fmt.Sprint("room for message ", token))
	}
}

// message is a message of the hub's to a place.
func (h *hubbed) message(n int, body string) *transport.Message {
	return &transport.Message{To: h.place(n), Body: []byte(body)}
}

// settledAs checks what the next call of Settled says.
func (c *hubConsumer) settledAs(r *rig, token uint64, or ...transport.Outcome) {
	r.Helper()
	got := await(r, c.settled, fmt.Sprint("the settlement of message ", token))
	if got.token != token {
		r.Fatalf("Settled(%d), want %d", got.token, token)
	}
	for _, want := range or {
		if got.outcome == want || got.outcome.IsRejected() && want.IsRejected() {
			return
		}
	}
	r.Errorf("Settled(%d, %v), want %v", token, got.outcome, or)
}

// toldWhy checks that the client learns of a refusal by the end of the connection,
// if that is the way of the wire.
func (h *hubbed) toldWhy(reason string) {
	r := h.r
	r.Helper()
	if r.h.Hub.Survives {
		r.quiet()
		r.send(h.client, &transport.Message{Body: []byte("marker")})
		r.nextText(h.asked, "marker")
		return
	}
	if err := r.wantOver(h.in); !says(err, reason) {
		r.Errorf("the client's Recv: err = %v, want one that says %q", err, reason)
	}
}
