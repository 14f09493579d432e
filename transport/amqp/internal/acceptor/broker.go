package acceptor

import (
	"errors"
	"strings"
	"sync"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/frames"
)

// A membership is a connection's session at the broker. No message and no
// subscription comes there after its end, which may be found by another goroutine
// than the one that reads.
type membership struct {
	transport.BrokerSession
	mu   sync.RWMutex // held for reading while the session is called
	left bool
}

// with calls f unless the connection has ended.
func (m *membership) with(f func(transport.BrokerSession)) (called bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if !m.left {
		f(m.BrokerSession)
	}
	return !m.left
}

// leave says that the connection has ended.
func (m *membership) leave() {
	m.mu.Lock()
	m.left = true
	m.mu.Unlock()
	m.Leave()
}

// join makes the connection known to the broker, if there is one.
func (c *conn) join() {
	if c.o.Broker != nil {
		c.broker = &membership{BrokerSession: c.o.Broker.Join(&c.info)}
		c.stream.OnRoom(c.roomy)
		c.reader.values = true
	}
}

// node is what an address means to the broker: in the words of the peer, or in
// those of the broker if only a capability says what kind of node it is.
func node(t *frames.Terminus) string {
	address := string(t.Address)
	switch {
	case strings.HasPrefix(address, "/"), strings.Contains(address, "://"):
		return address
	case t.Capabilities&(frames.TemporaryQueue|frames.TemporaryTopic) != 0:
		return "/temp-queue/" + address
	case t.Capabilities&frames.Topic != 0:
		return "/topic/" + address
	case t.Capabilities&frames.Queue != 0:
		return "/queue/" + address
	}
	return address
}

// isTopic reports whether a destination says that it is a topic.
func isTopic(destination string) bool {
	for _, prefix := range [...]string{"/topic/", "/topics/", "topic://", "/exchange/amq.topic/"} {
		if strings.HasPrefix(destination, prefix) {
			return true
		}
	}
	return false
}

// honoured is those of the capabilities that a node has.
func honoured(wanted frames.Capability, destination string) frames.Capability {
	switch {
	case isTopic(destination):
		return wanted & frames.Topic
	case strings.HasPrefix(destination, "/temp-queue/"), strings.HasPrefix(destination, "/reply-queue/"):
		return wanted & frames.TemporaryQueue
	}
	return wanted & frames.Queue
}

// judgeNode makes an inlet for messages to the broker.
func (c *conn) judgeNode(l *link, answer *frames.Attach) *frames.Error {
	t := &answer.Target
	to := node(t)
	if p, ok := c.broker.BrokerSession.(transport.Permitter); ok {
		if err := p.MaySend(to); err != nil {
			return brokers(err)
		}
	}
	c.mu.Lock()
	orphans := c.orphans
	c.mu.Unlock()
	if orphans >= c.o.Limits.Unsettled {
		return refusal(resourceLimit, "%d messages of links that are gone wait for room; wait, too", orphans)
	}
	t.Capabilities = honoured(t.Capabilities, to)
	l.in = &inlet{link: l, address: string(t.Address), node: to}
	return nil
}

// own is the spelling under which this server serves what the broker would take
// for the same queue.
func (c *conn) own(destination string) (address string, ok bool) {
	if c.serves(destination) {
		return destination, true
	}
	name := strings.TrimPrefix(destination, "queue://")
	if strings.HasPrefix(name, "/") {
		return "", false
	}
	name = "/queue/" + name
	return name, c.serves(name)
}

// brokered reports whether a message is the broker's, and what it is sent to.
func (c *conn) brokered(l *inlet, m *transport.Message) (to string, ok bool) {
	switch {
	case c.broker == nil:
		return "", false
	case l.address != "":
		return l.node, l.node != ""
	case m.To == "":
		return "", false
	}
	if address, ok := c.own(m.To); ok {
		m.To = address
		return "", false
	}
	return m.To, true
}

// hand gives a message to the broker. The peer is told of it when the broker
// says what became of it, which makes room for another.
func (c *conn) hand(l *inlet, m *transport.Message, to string) {
	id, settled := l.id, l.settled
	c.reader.named(m)
	m.To, m.Attempt = to, 0
	c.mu.Lock()
	m.ReplyTo = c.global(m.ReplyTo)
	l.handed++
	c.acting = true
	c.mu.Unlock()
	c.broker.with(func(b transport.BrokerSession) {
		b.Send(m, func(err error) { c.took(l, id, settled, err) })
	})
}

// global is what others send to in order to reach the link by which the peer
// receives from an address. It needs mu.
func (c *conn) global(address string) string {
	if links := c.outlets[address]; len(links) > 0 && links[0].global != "" {
		return links[0].global
	}
	return address
}

// took handles the broker's word on a message.
func (c *conn) took(l *inlet, id uint32, settled bool, err error) {
	c.mu.Lock()
	if l.orphaned {
		c.orphans--
	} else {
		l.handed--
	}
	c.mu.Unlock()
	v := settlement{outcome: frames.Accepted}
	if err != nil {
		v = settlement{outcome: frames.Rejected, why: brokers(err)}
		if settled {
			c.expel(l.link, v.why)
		}
	}
	_ = l.settle(id, v) // never fails
}

// forward gives the broker a message of the application to an address from which
// the peer does not receive: the answer to a request whose reply-to is somebody
// else's. The peer's permissions hold for it.
func (c *conn) forward(m *transport.Message, done func(error)) error {
	own := *m
	own.Headers = append([]transport.Header(nil), m.Headers...)
	own.Body = append([]byte(nil), m.Body...)
	own.SetSettler(nil, 0)
	told := make(chan error, 1)
	if done == nil {
		done = func(err error) { told <- err }
	}
	if !c.broker.with(func(b transport.BrokerSession) { b.Send(&own, done) }) {
		return c.notSent(c.endOf())
	}
	select {
	case err := <-told:
		if err != nil {
			return c.notSent(err)
		}
	default: // nobody waits for it
	}
	return nil
}

// brokers is what the peer is told of an error of the broker.
func brokers(err error) *frames.Error {
	reason := transport.Reason(err)
	return refusal(condition(err), "%s", reason[:min(len(reason), maxReason)])
}

func condition(err error) string {
	for _, c := range [...]struct {
		err       error
		condition string
	}{
		{transport.ErrNoRoute, notFound},
		{transport.ErrRefused, unauthorized},
		{transport.ErrBusy, resourceLimit},
		{transport.ErrTooLarge, messageSize},
		{transport.ErrInvalid, invalidField},
		{transport.ErrUnsupported, notImplemented},
		{transport.ErrClosed, detachForced},
	} {
		if errors.Is(err, c.err) {
			return c.condition
		}
	}
	return internalError
}
