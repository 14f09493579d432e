package stomp

import (
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"

	"github.com/go-stomp/stomp/v3/frame"

	"github.com/polyport/polyport/transport"
)

// An agentConn is the end that has dialed oVirt's host agent, vdsm, or a server that
// is like it. It is no [transport.Confirmer]: the agent gives a RECEIPT for
// DISCONNECT alone. docs/ovirt.md has what it takes.
type agentConn struct {
	conn
	to  string // where messages without a destination go
	log *slog.Logger

	mu sync.Mutex // protects the fields below
	// ids are those of the subscriptions as their users know them, by those that the
	// agent knows. These are new on every connection.
	ids   map[string]string
	reply string // the queue for answers, once it is subscribed

	asking sync.Mutex // held while it is being subscribed
}

func newAgentConn(ctx context.Context, nc net.Conn, u *url.URL, o *transport.DialOptions) (transport.Conn, error) {
	c := &agentConn{conn: newConn(nc, &o.Options), to: agentDestination(u), log: o.Logger, ids: make(map[string]string)}
	c.handle = c.act
	c.info.Profile = transport.OVirt
	c.stream.Apart()
	if err := c.connect(ctx, u, o); err != nil {
		c.stream.Fail(err)
		return nil, err
	}
	return c, nil
}

// agentDestination returns the destination that the path of a URL names. The agent's
// have no slash before them.
func agentDestination(u *url.URL) string {
	p := strings.Trim(u.Path, "/")
	if strings.Contains(p, "/") {
		return "/" + p
	}
	return cmp.Or(p, OVirtDestinations[0])
}

// connect shakes hands. The agent wants the one version that it knows, and escapes
// here, too, all that it knows: that leaves out the credentials. It beats when it has to
// and no earlier, so it is asked to at two thirds of the interval by which its silence
// is judged.
func (c *agentConn) connect(ctx context.Context, u *url.URL, o *transport.DialOptions) error {
	offer := v12.String()
	if q := u.Query(); q.Has("version") && q.Get("version") != offer {
		return invalid("URL parameter version=%q; with profile=%s it is %s", q.Get("version"), transport.OVirt, offer)
	}
	host := cmp.Or(o.VirtualHost, u.Query().Get("host"), u.Hostname())
	f := frame.New(frame.CONNECT, frame.AcceptVersion, offer, frame.Host, string(v12.appendText(nil, host)),
		frame.HeartBeat, beatHeader(o.Heartbeat, o.Heartbeat*2/3))
	c.login(f, u)
	if err := c.write(ctx, "handshake", f); err != nil {
		return err
	}
	c.frames.version, c.frames.escaped = v12, true
	answer, v, err := c.connected(offer)
	if err != nil {
		return err
	}
	theirs, wanted, err := beats(answer.Header.Get(frame.HeartBeat))
	if err != nil {
		return err
	}
	c.info.Peer = answer.Header.Get(frame.Server)
	c.agree(v, transport.Negotiate(o.Heartbeat, wanted), transport.Negotiate(theirs, o.Heartbeat))
	return nil
}

// act handles what the agent sends. Its ERROR is no end, and does not say which frame
// it is about.
func (c *agentConn) act(f *frame.Frame) (*transport.Message, error) {
	switch f.Command {
	case frame.MESSAGE:
		m := c.frames.message()
		m.Subscription = c.known(m.Subscription)
		return m, nil
	case frame.ERROR:
		c.log.Warn("the peer refused something that was sent", "remote", c.info.Remote, "err", refusal(f))
		return nil, nil
	case frame.RECEIPT:
		return nil, nil
	}
	return nil, malformed("unexpected %s from a server", f.Command)
}

// known returns a subscription's id as its user knows it.
func (c *agentConn) known(id string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if own, ok := c.ids[id]; ok {
		return own
	}
	return id
}

// Send sends m to its destination, or that of the URL, with those of its fields that
// the agent knows, and its Headers.
func (c *agentConn) Send(ctx context.Context, m *transport.Message) error {
	size, err := check(c.v, m, c.info.Limits)
	if err != nil {
		return c.notSent("send", err)
	}
	back := m.ReplyTo
	if strings.HasPrefix(back, kin) { // it may have been asked of an earlier connection
		if back, err = c.ReplyAddress(ctx); err != nil {
			return err
		}
	}
	return c.stream.Write(ctx, "send", size, func(dst []byte) []byte {
		dst = appendCommand(dst, frame.SEND)
		dst = c.v.appendOwn(dst, frame.Destination, cmp.Or(m.To, c.to))
		dst = c.v.appendField(dst, replyTo, back)
		dst = c.v.appendField(dst, frame.ContentType, m.ContentType)
		for _, h := range m.Headers {
			dst = c.v.appendHeader(dst, h.Name, h.Value)
		}
		return appendBody(dst, m.Body)
	})
}

// Subscribe asks for the messages of a destination.
func (c *agentConn) Subscribe(ctx context.Context, s transport.Subscription) (string, error) {
	s.Destination = cmp.Or(s.Destination, c.to)
	id, err := c.note(&s)
	if err != nil {
		return "", c.notSent("subscribe", err)
	}
	f := frame.New(frame.SUBSCRIBE, frame.Destination, s.Destination, frame.Id, id, frame.Ack, ackModes[s.Ack])
	for _, h := range s.Headers {
		f.Header.Add(h.Name, h.Value)
	}
	if err := c.write(ctx, "subscribe", f); err != nil {
		c.forget(s.ID)
		return "", err
	}
	return s.ID, nil
}

// note adds a subscription, and returns the id by which the agent is to know it.
func (c *agentConn) note(s *transport.Subscription) (id string, err error) {
	if s.Ack != transport.AckNone || s.Credit != 0 {
		return "", transport.WithReason(transport.ErrUnsupported,
			"with profile=ovirt the server neither waits for acknowledgements nor counts credit; subscribe with AckNone and no Credit")
	}
	id = uuid()
	s.ID = cmp.Or(s.ID, id)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, taken := range c.ids {
		if taken == s.ID {
			return "", invalid("subscription id %q is in use", s.ID)
		}
	}
	if len(c.ids) >= c.info.Limits.Subscriptions {
		return "", tooLarge("more than %d subscriptions", c.info.Limits.Subscriptions)
	}
	c.ids[id] = s.ID
	return id, nil
}

// forget removes a subscription, and returns the id by which the agent knows it, or
// "" if there is none.
func (c *agentConn) forget(own string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, o := range c.ids {
		if o == own {
			delete(c.ids, id)
			return id
		}
	}
	return ""
}

// Unsubscribe ends a subscription.
func (c *agentConn) Unsubscribe(ctx context.Context, id string) error {
	theirs := c.forget(id)
	if theirs == "" {
		return c.notSent("subscribe", invalid("no subscription %q", id))
	}
	return c.write(ctx, "subscribe", frame.New(frame.UNSUBSCRIBE, frame.Id, theirs))
}

// ReplyAddress subscribes the connection's own queue for answers, and returns its
// name. It is for nobody else to guess, for the agent hands what comes there to
// whoever has subscribed.
func (c *agentConn) ReplyAddress(ctx context.Context) (string, error) {
	if name := c.replies(); name != "" {
		return name, nil
	}
	c.asking.Lock()
	defer c.asking.Unlock()
	if name := c.replies(); name != "" {
		return name, nil
	}
	name := kin + uuid()[len(kin):]
	if _, err := c.Subscribe(ctx, transport.Subscription{Destination: name}); err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reply = name
	return name, nil
}

// replies returns the queue for answers, or "" if it is not subscribed yet.
func (c *agentConn) replies() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reply
}

// Close ends the session in order. The agent's RECEIPT is not waited for beyond the
// linger time, nor its end of the connection, which does not follow by itself.
func (c *agentConn) Close() error { return c.stream.Close(appendGoodbye) }

// kin is how the queues for answers to this process begin, by which one that an earlier
// connection had is known.
var kin = uuid()[:13]

// uuid returns a random UUID (RFC 9562, section 5.4).
func uuid() string {
	var u [16]byte
	_, _ = rand.Read(u[:]) // never fails
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return transport.UUIDID(u).String()
}
