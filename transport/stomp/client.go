package stomp

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-stomp/stomp/v3/frame"

	"github.com/polyport/polyport/transport"
)

// replyQueue is the destination for answers to this connection. Every server
// keeps names of this kind apart by connection, so it need not be unique.
const replyQueue = tempPrefix + "rpc"

// defaultHost is the virtual host asked for by default. RabbitMQ knows the one
// of this name and refuses any other, such as the host name that the
// specification recommends; others pass it over ("CONNECT or STOMP Frame").
const defaultHost = "/"

// Client opens a STOMP session with the server or broker at the other end of
// nc.
func (Transport) Client(ctx context.Context, nc net.Conn, u *url.URL, o *transport.DialOptions) (transport.Conn, error) {
	o = o.WithDefaults()
	if o.Profile == transport.OVirt {
		return newAgentConn(ctx, nc, u, o)
	}
	c := &clientConn{conn: newConn(nc, &o.Options), to: destinationOf(u), receipts: make(chan struct{}, o.Limits.Unsettled), log: o.Logger}
	c.handle = c.act
	if err := c.connect(ctx, u, o); err != nil {
		c.stream.Fail(err)
		return nil, err
	}
	c.stream.OnEnd(c.ended)
	return c, nil
}

// destinationOf returns the destination that the path of a URL names. A slash
// within a name stays %2F, as RabbitMQ has it.
func destinationOf(u *url.URL) string {
	p := strings.Trim(cmp.Or(u.RawPath, u.Path), "/")
	if strings.Contains(p, "/") {
		return "/" + p
	}
	return destination(cmp.Or(p, transport.DefaultDestination))
}

// clientConn is the end that dialed.
type clientConn struct {
	conn
	to string // where messages without a destination go

	mu sync.Mutex // protects the fields below
	// subs are the subscriptions by id.
	subs map[string]transport.Subscription
	// unsettled are the received messages to be acknowledged, by their token.
	unsettled map[uint64]unsettled
	// confirms are those who wait for a RECEIPT, by its id.
	confirms map[string]func(error)
	lastID   uint64

	receipts chan struct{} // one for each of confirms

	broker    broker
	replies   sync.Mutex // held while replyQueue is being subscribed
	replyable atomic.Bool
	log       *slog.Logger
}

// unsettled is what the acknowledgement of a message needs.
type unsettled struct {
	sub   string
	frame *frame.Frame
}

func (c *clientConn) connect(ctx context.Context, u *url.URL, o *transport.DialOptions) error {
	offer := cmp.Or(u.Query().Get("version"), strings.Join(versionNames[:], ","))
	if _, ok := highest(offer); !ok {
		return invalid("URL parameter version=%q; known are 1.0, 1.1, 1.2", offer)
	}
	f := frame.New(frame.CONNECT, frame.AcceptVersion, offer, frame.Host, cmp.Or(o.VirtualHost, u.Query().Get("host"), defaultHost),
		frame.HeartBeat, beatHeader(o.Heartbeat, o.Heartbeat))
	c.login(f, u)
	if err := c.write(ctx, "handshake", f); err != nil {
		return err
	}
	answer, v, err := c.connected(offer)
	if err != nil {
		return err
	}
	theirs, wanted, err := beats(answer.Header.Get(frame.HeartBeat))
	if err != nil {
		return err
	}
	c.info.Peer = answer.Header.Get(frame.Server)
	c.broker = brokerOf(c.info.Peer, o.Limits)
	c.agree(v, transport.Negotiate(o.Heartbeat, wanted), transport.Negotiate(theirs, o.Heartbeat))
	return nil
}

// login adds the credentials that a URL has to a CONNECT.
func (c *conn) login(f *frame.Frame, u *url.URL) {
	if u.User == nil {
		return
	}
	password, _ := u.User.Password()
	f.Header.Add(frame.Login, u.User.Username())
	f.Header.Add(frame.Passcode, password)
	c.info.User = u.User.Username()
}

// connected reads the answer to CONNECT, and returns it with the version that the
// server has chosen of those offered.
func (c *conn) connected(offer string) (*frame.Frame, version, error) {
	c.frames.limits.Message = 64 << 10 // an ERROR may explain itself
	answer, err := c.frames.next()
	if err != nil {
		return nil, 0, err
	}
	switch answer.Command {
	case frame.CONNECTED:
	case frame.ERROR:
		return nil, 0, refusal(answer)
	default:
		return nil, 0, malformed("expected CONNECTED, got %s", answer.Command)
	}
	v, ok := highest(answer.Header.Get(frame.Version))
	if !ok || !strings.Contains(offer, v.String()) {
		return nil, 0, malformed("the server chose version %.20q, offered were %s", answer.Header.Get(frame.Version), offer)
	}
	return answer, v, nil
}

// refusal makes an error of an ERROR frame.
func refusal(f *frame.Frame) error {
	text := f.Header.Get(frame.Message)
	if body := strings.TrimSpace(string(f.Body[:min(len(f.Body), 1024)])); body != "" && body != text {
		text = strings.TrimPrefix(text+": "+body, ": ")
	}
	return transport.WithReason(transport.ErrRefused, cmp.Or(text, "ERROR without a message"))
}

// act handles what a server sends.
func (c *clientConn) act(f *frame.Frame) (*transport.Message, error) {
	switch f.Command {
	case frame.MESSAGE:
		return c.received(f)
	case frame.RECEIPT:
		c.confirm(f.Header.Get(frame.ReceiptId), nil)
		return nil, nil
	case frame.ERROR:
		return nil, c.refused(f)
	}
	return nil, malformed("unexpected %s from a server", f.Command)
}

// refused tells whose frame an ERROR is about, and returns why the connection
// ends, or nil if it goes on.
func (c *clientConn) refused(f *frame.Frame) error {
	err := refusal(f)
	if id := f.Header.Get(frame.ReceiptId); id != "" {
		if c.confirm(id, c.notSent("send", err)) && c.broker.survivesErrors() {
			return nil
		}
		return err
	}
	// One who serves must not be lost to all for an answer to somebody who has
	// gone; one who only calls has to learn that nobody will answer.
	if c.broker.survivesErrors() && c.serves() {
		c.log.Warn("the broker refused something that was sent", "remote", c.info.Remote, "err", err)
		return nil
	}
	return err
}

// serves reports whether there is a subscription to something else than
// answers.
func (c *clientConn) serves() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.subs {
		if s.Destination != replyQueue {
			return true
		}
	}
	return false
}

// received makes a Message of a MESSAGE frame, and keeps what its
// acknowledgement will need.
func (c *clientConn) received(f *frame.Frame) (*transport.Message, error) {
	m := c.frames.message()
	c.mu.Lock()
	defer c.mu.Unlock()
	s, known := c.subs[m.Subscription]
	if !known || s.Ack == transport.AckNone {
		return m, nil
	}
	if len(c.unsettled) >= c.info.Limits.Unsettled {
		return nil, malformed("over %d messages wait for acknowledgement", c.info.Limits.Unsettled)
	}
	ack := c.acknowledgement(f, m.Subscription)
	if ack == nil {
		return m, nil
	}
	if c.unsettled == nil {
		c.unsettled = make(map[uint64]unsettled)
	}
	c.lastID++
	c.unsettled[c.lastID] = unsettled{sub: m.Subscription, frame: ack}
	m.SetSettler(c, c.lastID)
	return m, nil
}

// acknowledgement makes the ACK for a MESSAGE, or returns nil if it lacks the
// id that an ACK has to name.
func (c *clientConn) acknowledgement(f *frame.Frame, sub string) *frame.Frame {
	id := f.Header.Get(frame.MessageId)
	if c.v == v12 {
		id = cmp.Or(f.Header.Get(frame.Ack), id)
	}
	switch {
	case id == "":
		return nil
	case c.v == v12:
		return frame.New(frame.ACK, frame.Id, id)
	}
	return frame.New(frame.ACK, frame.MessageId, id, frame.Subscription, sub)
}

// SettleMessage sends ACK for an accepted message and, as far as the broker has
// a use for it, NACK for any other.
func (c *clientConn) SettleMessage(token uint64, o transport.Outcome) error {
	f := c.unsettle(token)
	if f == nil {
		return nil // settled together with a later one
	}
	if o != transport.Accepted {
		if c.v == v10 {
			return c.notSent("settle", transport.WithReason(transport.ErrUnsupported, "STOMP 1.0 has no NACK"))
		}
		if f = c.broker.nack(f, o); f == nil {
			return nil
		}
	}
	return c.control("settle", f)
}

// unsettle returns the frame that acknowledges a message, and forgets it and
// all that the frame covers; nil if it is forgotten already.
func (c *clientConn) unsettle(token uint64) *frame.Frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	u, ok := c.unsettled[token]
	if !ok {
		return nil
	}
	delete(c.unsettled, token)
	if c.subs[u.sub].Ack == transport.AckUpTo {
		maps.DeleteFunc(c.unsettled, func(t uint64, o unsettled) bool { return t < token && o.sub == u.sub })
	}
	return u.frame
}

// Send sends m to its destination, or that of the URL.
func (c *clientConn) Send(ctx context.Context, m *transport.Message) error {
	return c.send(ctx, m, "")
}

func (c *clientConn) send(ctx context.Context, m *transport.Message, receipt string) error {
	size, err := check(c.v, m, c.info.Limits)
	if err == nil {
		err = c.broker.check(c.info.Peer, m, size)
	}
	if err != nil {
		return c.notSent("send", err)
	}
	if m.ReplyTo == replyQueue && !c.replyable.Load() { // it was asked of an earlier connection
		if _, err := c.ReplyAddress(ctx); err != nil {
			return err
		}
	}
	return c.stream.Write(ctx, "send", size, func(dst []byte) []byte {
		dst = appendCommand(dst, frame.SEND)
		dst = c.v.appendField(dst, frame.Receipt, receipt)
		return appendMessage(dst, c.v, cmp.Or(m.To, c.to), m)
	})
}

// SendConfirmed sends m with a receipt header.
func (c *clientConn) SendConfirmed(ctx context.Context, m *transport.Message, done func(error)) error {
	if err := c.acquire(ctx, c.receipts, "too many messages wait for their receipt"); err != nil {
		return c.notSent("send", err)
	}
	c.mu.Lock()
	c.lastID++
	id := strconv.FormatUint(c.lastID, 10)
	if c.confirms == nil {
		c.confirms = make(map[string]func(error))
	}
	c.confirms[id] = done
	c.mu.Unlock()
	err := c.send(ctx, m, id)
	if err == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, waiting := c.confirms[id]; !waiting {
		return nil // done has been told
	}
	delete(c.confirms, id)
	<-c.receipts
	return err
}

// confirm tells who waits for a receipt, if anybody does.
func (c *clientConn) confirm(id string, err error) bool {
	c.mu.Lock()
	done := c.confirms[id]
	delete(c.confirms, id)
	c.mu.Unlock()
	if done == nil {
		return false
	}
	<-c.receipts
	done(err)
	return true
}

// ended tells all who wait that no receipt will come.
func (c *clientConn) ended(err error) {
	c.mu.Lock()
	confirms := c.confirms
	c.confirms, c.unsettled = nil, nil
	c.mu.Unlock()
	for _, done := range confirms {
		<-c.receipts
		done(c.lost(err))
	}
}

// Subscribe asks for the messages of a destination.
func (c *clientConn) Subscribe(ctx context.Context, s transport.Subscription) (string, error) {
	f, err := c.subscribing(&s)
	if err != nil {
		return "", c.notSent("subscribe", err)
	}
	if err := c.write(ctx, "subscribe", f); err != nil {
		c.mu.Lock()
		delete(c.subs, s.ID)
		c.mu.Unlock()
		return "", err
	}
	return s.ID, nil
}

// ackModes are the words for [transport.AckMode].
var ackModes = map[transport.AckMode]string{
	transport.AckNone: "auto", transport.AckEach: "client-individual", transport.AckUpTo: "client",
}

// subscribing notes a subscription and makes its frame.
func (c *clientConn) subscribing(s *transport.Subscription) (*frame.Frame, error) {
	s.Destination = cmp.Or(s.Destination, c.to)
	mode, ok := ackModes[s.Ack]
	if !ok {
		return nil, invalid("no acknowledgement mode %d", s.Ack)
	}
	if err := c.note(s); err != nil {
		return nil, err
	}
	f := frame.New(frame.SUBSCRIBE, frame.Id, s.ID, frame.Destination, s.Destination, frame.Ack, mode)
	if s.Ack != transport.AckNone || s.Credit > 0 {
		credit := strconv.Itoa(cmp.Or(s.Credit, c.info.Limits.Unsettled))
		f.Header.Add(prefetchCount, credit)
		f.Header.Add(prefetchSize, credit)
	}
	if c.broker.survivesErrors() {
		f.Header.Add(frame.Receipt, "subscribe-"+s.ID) // or a refusal could not be told from others
	}
	for _, h := range s.Headers {
		f.Header.Add(h.Name, h.Value)
	}
	return f, nil
}

// note adds a subscription to the table, with an id if it has none.
func (c *clientConn) note(s *transport.Subscription) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, taken := c.subs[s.ID]
	if taken && s.ID != "" {
		return invalid("subscription id %q is in use", s.ID)
	}
	if len(c.subs) >= c.info.Limits.Subscriptions {
		return tooLarge("more than %d subscriptions", c.info.Limits.Subscriptions)
	}
	for taken = s.ID == ""; taken; _, taken = c.subs[s.ID] {
		c.lastID++
		s.ID = strconv.FormatUint(c.lastID, 10)
	}
	if c.subs == nil {
		c.subs = make(map[string]transport.Subscription)
	}
	c.subs[s.ID] = *s
	return nil
}

// Unsubscribe ends a subscription.
func (c *clientConn) Unsubscribe(ctx context.Context, id string) error {
	c.mu.Lock()
	s, known := c.subs[id]
	delete(c.subs, id)
	// The server forgets these, too: an ACK would be for something unknown.
	maps.DeleteFunc(c.unsettled, func(_ uint64, u unsettled) bool { return u.sub == id })
	c.mu.Unlock()
	if !known {
		return c.notSent("subscribe", invalid("no subscription %q", id))
	}
	return c.write(ctx, "subscribe", frame.New(frame.UNSUBSCRIBE, frame.Id, id, frame.Destination, s.Destination))
}

// ReplyAddress subscribes this connection's reply queue, where that is needed,
// and returns its name.
func (c *clientConn) ReplyAddress(ctx context.Context) (string, error) {
	if c.replyable.Load() {
		return replyQueue, nil
	}
	c.replies.Lock()
	defer c.replies.Unlock()
	if !c.replyable.Load() && !c.broker.listensUnasked() {
		if _, err := c.Subscribe(ctx, transport.Subscription{Destination: replyQueue}); err != nil {
			return "", err
		}
	}
	c.replyable.Store(true)
	return replyQueue, nil
}

// Close ends the session in order ("Graceful Shutdown").
func (c *clientConn) Close() error { return c.stream.Close(appendGoodbye) }

func appendGoodbye(dst []byte) []byte {
	return append(dst, "DISCONNECT\nreceipt:bye\ncontent-length:0\n\n\x00"...)
}
