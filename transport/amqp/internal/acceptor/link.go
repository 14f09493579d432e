package acceptor

import (
	"crypto/rand"
	"net/url"
	"slices"
	"strings"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/frames"
)

// maxName bounds the names and addresses of links, which are kept.
const maxName = 1024

// linkName is what tells links of one connection apart (section 2.6.1).
type linkName struct {
	name     string
	receiver bool // the peer receives
}

// A link is one of the peer's (section 2.6). The connection's mu protects it.
type link struct {
	session  *session
	key      linkName
	handle   uint32
	state    linkState
	speaking bool // the peer is to be told of its state

	// One of these is set.
	in  *inlet
	out *outlet
}

type linkState uint8

const (
	attached linkState = iota
	dying              // we have detached it, and the peer has not yet
	gone
)

// attach handles an attach (section 2.6.3).
func (c *conn) attach(f *frame) error {
	var a frames.Attach
	a.Parse(&f.fields)
	if err := f.fields.Err(); err != nil {
		return malformed("attach", err)
	}
	c.mu.Lock()
	s, err := c.session(f)
	if s == nil {
		c.mu.Unlock()
		return err
	}
	_, used := s.links[a.Handle]
	dead := c.deadCount
	c.mu.Unlock()
	switch {
	case a.Handle > c.handleMax():
		return broken(framingError, "handle %d is over the maximum, %d", a.Handle, c.handleMax())
	case dead > 2*c.o.Limits.Subscriptions:
		return broken(resourceLimit, "%d links were refused or detached, and the peer has not detached them", dead)
	case used:
		c.end(s, refusal(handleInUse, "handle %d is in use", a.Handle))
		return nil
	case a.Handle > s.handleMax:
		c.end(s, refusal(notAllowed, "handle %d is over the peer's own maximum, %d", a.Handle, s.handleMax))
		return nil
	}
	l := &link{session: s, key: linkName{string(a.Name), a.Receiver}, handle: a.Handle}
	answer, why := c.judge(l, &a)
	out, joined := l.out, false
	var dones []func(error)
	c.say(func(dst []byte) []byte {
		if s.ended {
			return dst
		}
		if why == nil {
			why = c.room(l)
		}
		s.links[l.handle] = l
		if why != nil {
			return l.appendRefused(dst, &a, why)
		}
		if other := c.names[l.key]; other != nil {
			dst, dones = other.detach(dst, refusal(stolen, "the link was attached again"))
		}
		dst = answer.Append(dst, s.channel)
		l.join()
		joined = true
		if out != nil && out.ended != nil {
			dst, _ = l.detach(dst, out.ended)
		}
		return s.appendPending(dst) // with the first credit
	})
	tell(dones, c.unreceived("the link was attached again"))
	if !joined && out != nil && out.consumer != nil {
		out.consumer.Detach()
	}
	return nil
}

// judge makes an inlet or outlet of what a peer asks for, and the answer, or
// says why not.
func (c *conn) judge(l *link, a *frames.Attach) (answer frames.Attach, why *frames.Error) {
	answer = frames.Attach{
		Name: a.Name, Handle: a.Handle, Receiver: !a.Receiver, SendMode: a.SendMode, Source: a.Source, Target: a.Target,
		MaxMessageSize: a.MaxMessageSize,
	}
	if c.broker == nil {
		answer.Source.Capabilities, answer.Target.Capabilities, answer.Source.Copy = 0, 0, false
	}
	switch {
	case len(a.Name) > maxName, len(a.Source.Address) > maxName, len(a.Target.Address) > maxName:
		return answer, refusal(invalidField, "a link's name or address is over %d bytes", maxName)
	case a.ReceiveMode == frames.ReceiveSecond:
		return answer, refusal(notImplemented, "rcv-settle-mode second is not supported; use first")
	case a.Target.Kind == frames.Coordinator:
		return answer, refusal(notImplemented, "transactions are not supported")
	}
	if a.Receiver {
		answer.HasInitialDeliveryCount = true
		why = c.judgeSource(l, &answer)
		return answer, why
	}
	why = c.judgeTarget(l, &answer)
	return answer, why
}

// judgeSource makes an outlet: the peer may receive from any address, and what
// is sent there in this connection comes to it.
func (c *conn) judgeSource(l *link, answer *frames.Attach) *frames.Error {
	switch src := &answer.Source; {
	case src.Kind == frames.NoTerminus:
		return refusal(invalidField, "attach has no source")
	case src.Dynamic && len(src.Address) > 0:
		return refusal(invalidField, "a dynamic source has an address; leave it out")
	case src.Dynamic && c.broker == nil:
		src.Address, src.HasAddress = []byte("reply."+rand.Text()), true
	case !src.Dynamic && len(src.Address) == 0:
		return refusal(invalidField, "the source has no address; name one, or ask for a dynamic one")
	}
	l.out = &outlet{link: l, address: string(answer.Source.Address), mode: answer.SendMode, most: answer.MaxMessageSize}
	answer.MaxMessageSize = 0
	if c.broker == nil {
		return nil
	}
	answer.Target.Capabilities = 0
	src := &answer.Source
	if _, served := c.own(node(src)); served && !src.Dynamic {
		src.Capabilities, src.Copy = 0, false
		return nil
	}
	return c.subscribe(l, answer)
}

// judgeTarget makes an inlet: the peer may send to what is served here, or name
// that in each message.
func (c *conn) judgeTarget(l *link, answer *frames.Attach) *frames.Error {
	address := string(answer.Target.Address)
	switch {
	case answer.Target.Kind == frames.NoTerminus:
		return refusal(invalidField, "attach has no target")
	case answer.Target.Dynamic:
		return refusal(notImplemented, "dynamic targets are not supported; this server serves %s", c.served())
	case address != "" && !c.serves(address) && c.broker == nil:
		return refusal(notFound, "no address %.60q; this server serves %s", address, c.served())
	}
	answer.MaxMessageSize = c.maxMessage()
	if c.broker != nil {
		answer.Source.Capabilities, answer.Source.Copy = 0, false
		if own, served := c.own(node(&answer.Target)); served {
			address = own
		} else if address != "" {
			return c.judgeNode(l, answer)
		}
		answer.Target.Capabilities &= frames.Queue
	}
	l.in = &inlet{link: l, address: address}
	return nil
}

// serves reports whether an address is that of a queue served here: its name, or
// the name as RabbitMQ writes it.
func (c *conn) serves(address string) bool {
	return slices.ContainsFunc(c.o.Destinations, func(d string) bool {
		if address == d {
			return true
		}
		if strings.HasPrefix(d, "/") {
			return false
		}
		name, ok := strings.CutPrefix(address, "/queue/")
		if ok && name == d {
			return true
		}
		name, ok = strings.CutPrefix(address, "/queues/")
		return ok && (name == d || name == url.PathEscape(d))
	})
}

// served lists what is served, for people.
func (c *conn) served() string { return strings.Join(c.o.Destinations, ", ") }

// maxMessage is the most bytes of a message that a peer may send.
func (c *conn) maxMessage() uint64 {
	return uint64(c.o.Limits.Message + c.o.Limits.HeaderBytes + 64) // the body's section, and no section being empty
}

// room reports why there cannot be one more link.
func (c *conn) room(l *link) *frames.Error {
	n := c.inletCount
	if l.out != nil {
		n = c.outletCount
	}
	if l.in == nil && l.out == nil || n < c.o.Limits.Subscriptions {
		return nil
	}
	return refusal(resourceLimit, "more than %d links in one direction of a connection", c.o.Limits.Subscriptions)
}

// appendRefused answers an attach by one without what was asked for, and
// detaches (section 2.6.3).
func (l *link) appendRefused(dst []byte, a *frames.Attach, why *frames.Error) []byte {
	l.state, l.in, l.out = dying, nil, nil
	l.session.conn.deadCount++
	answer := frames.Attach{
		Name: a.Name[:min(len(a.Name), maxName)], Handle: a.Handle, Receiver: !a.Receiver, SendMode: a.SendMode,
		HasInitialDeliveryCount: a.Receiver,
	}
	dst = answer.Append(dst, l.session.channel)
	d := frames.Detach{Handle: l.handle, Closed: true, Error: why}
	return d.Append(dst, l.session.channel)
}

// join makes an attached link known.
func (l *link) join() {
	c := l.session.conn
	c.names[l.key] = l
	if l.out != nil {
		c.outletCount++
		l.out.known = true
		c.outlets[l.out.address] = append(c.outlets[l.out.address], l.out)
		return
	}
	c.inletCount++
	l.in.grant()
}

// forget makes a link unknown that is no longer attached.
func (l *link) forget() {
	c := l.session.conn
	switch {
	case l.state == dying:
		c.deadCount--
	case l.out != nil:
		c.outletCount--
		rest := slices.DeleteFunc(c.outlets[l.out.address], func(o *outlet) bool { return o == l.out })
		c.outlets[l.out.address] = rest
		if len(rest) == 0 {
			delete(c.outlets, l.out.address)
		}
	case l.in != nil:
		c.inletCount--
	}
	if c.names[l.key] == l {
		delete(c.names, l.key)
	}
	if l.in != nil {
		l.in.reset()
		l.in.orphaned = true
		c.orphans += l.in.handed
		l.in.handed = 0
	}
	l.state = gone
}

// leave takes an attached link out of use, and returns who is to be told that
// its deliveries have no outcome.
func (l *link) leave() []func(error) {
	l.forget()
	s := l.session
	dones := l.withdraw(s.forgetSent(l))
	if s.backlog.link == l {
		s.conn.backlog -= s.backlog.drop()
	}
	s.conn.wake()
	return dones
}

// detach ends an attached link from our side. Its handle stays in use until the
// peer has detached it, too.
func (l *link) detach(dst []byte, why *frames.Error) (b []byte, dones []func(error)) {
	if l.state != attached {
		return dst, nil
	}
	dones = l.leave()
	l.state = dying
	l.session.conn.deadCount++
	d := frames.Detach{Handle: l.handle, Closed: true, Error: why}
	return d.Append(dst, l.session.channel), dones
}

// expel detaches a link whose peer broke the rules.
func (c *conn) expel(l *link, why *frames.Error) {
	var dones []func(error)
	c.say(func(dst []byte) []byte {
		dst, dones = l.detach(dst, why)
		return dst
	})
	tell(dones, c.unreceived(why.Description))
	if c.broker != nil {
		go c.roomy() // what it had under way is nobody's now
	}
}

// detached handles the peer's detach.
func (c *conn) detached(f *frame) error {
	var d frames.Detach
	d.Parse(&f.fields)
	if err := f.fields.Err(); err != nil {
		return malformed("detach", err)
	}
	c.mu.Lock()
	s, err := c.session(f)
	var l *link
	if s != nil {
		l = s.links[d.Handle]
	}
	c.mu.Unlock()
	switch {
	case s == nil:
		return err
	case l == nil:
		c.end(s, refusal(unattachedHandle, "detach of handle %d, which is not attached", d.Handle))
		return nil
	}
	var dones []func(error)
	c.say(func(dst []byte) []byte {
		switch l.state {
		case attached:
			dst = s.appendPending(dst) // the last outcomes
			dones = l.leave()
			answer := frames.Detach{Handle: l.handle, Closed: d.Closed}
			dst = answer.Append(dst, s.channel)
		case dying:
			l.forget()
		}
		if s.links[l.handle] == l {
			delete(s.links, l.handle)
		}
		return dst
	})
	reason := "the receiver detached its link"
	if d.Error != nil {
		reason += ": " + d.Error.Condition + ": " + d.Error.Description
	}
	tell(dones, c.unreceived(reason))
	return nil
}

// unreceived is what senders are told whose receiver has gone.
func (c *conn) unreceived(reason string) error {
	return c.lost(transport.WithReason(transport.ErrNoRoute, reason))
}
