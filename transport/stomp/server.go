package stomp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-stomp/stomp/v3/frame"

	"github.com/polyport/polyport/transport"
)

// Server accepts a STOMP session from the client at the other end of nc.
func (Transport) Server(ctx context.Context, nc net.Conn, o *transport.ListenOptions) (transport.Conn, error) {
	o = o.WithDefaults()
	c := &serverConn{
		conn: newConn(nc, &o.Options), o: o,
		unsettledSlots: make(chan struct{}, o.Limits.Unsettled), several: make(chan struct{}, 1),
	}
	c.nudges.stream, c.nudges.secure = c.stream, c.info.TLS != nil
	c.handle, c.broken = c.act, func(err error) { c.refuse(err, c.frames.current()) }
	c.prepare()
	if err := c.shake(ctx); err != nil {
		return nil, err
	}
	if c.friend.Load() {
		c.info.Profile = transport.OVirt
	}
	c.stream.OnEnd(c.ended)
	if o.Broker != nil {
		c.join(o.Broker)
	}
	return c, nil
}

// shake reads and answers the first frame.
func (c *serverConn) shake(ctx context.Context) error {
	err := c.open(ctx)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = transport.WithReason(transport.ErrSlow, "no CONNECT frame came in time")
	}
	switch {
	case err == nil:
	case errors.Is(err, transport.ErrProtocol), errors.Is(err, transport.ErrTooLarge),
		errors.Is(err, transport.ErrRefused), errors.Is(err, transport.ErrSlow):
		c.refuse(err, c.frames.current())
	default: // the peer is gone
		_ = c.stream.Close(nil)
	}
	return err
}

func (c *serverConn) open(ctx context.Context) error {
	err := c.frames.readHead()
	c.frames.begins = nil
	if err == nil && !slices.Contains(begins, c.frames.current().Command) {
		return c.unannounced(ctx)
	}
	if err != nil {
		return err
	}
	f, err := c.frames.next()
	if err != nil {
		return err
	}
	return c.accept(ctx, f)
}

// serverConn is the end that was dialed.
type serverConn struct {
	conn
	o *transport.ListenOptions

	// friend says that the peer is treated as one of oVirt's, watchful that it will be
	// when it shows that it is one, and unconnected that its CONNECT may still come.
	// The last two are for the goroutine that reads. See ovirt.go.
	friend                atomic.Bool
	watchful, unconnected bool
	shown                 atomic.Pointer[transport.Info] // what Info returns, unless nil
	nudges                nudges

	// session is the broker's view of the connection. It is nil without a broker,
	// and then so are the two below.
	session  transport.BrokerSession
	handing  gauge        // of each SEND that the broker has not decided on
	handed   func(error)  // takes one out
	answered func(error)  // the same, for a message to a private address
	last     *frame.Frame // the DISCONNECT
	expelled atomic.Pointer[expulsion]

	mu sync.Mutex // protects the fields below
	// subs are the peer's subscriptions in the order made.
	subs []*subscription
	// listening is how many of them are for oVirt's events.
	listening int
	// temps are those below tempPrefix that the broker knows without a SUBSCRIBE.
	temps map[string]*subscription
	// turned are those of which the broker was told that there is no room.
	turned []*subscription
	over   bool // the connection has ended
	// unsettled are the messages that the peer is to acknowledge.
	unsettled deliveries
	lastID    uint64        // of a MESSAGE
	temp      *subscription // the last one below tempPrefix that was used
	// orphans are ids of messages that an UNSUBSCRIBE settled: an ACK may have
	// crossed it.
	orphans map[uint64]struct{}

	unsettledSlots chan struct{} // one for each of unsettled
	several        chan struct{} // held by who waits for more than one slot
}

// accept checks the first frame and answers it.
func (c *serverConn) accept(ctx context.Context, f *frame.Frame) error {
	v, ok := highest(f.Header.Get(frame.AcceptVersion))
	if !ok {
		return malformed("no common version: you accept %.40q; supported are %s",
			f.Header.Get(frame.AcceptVersion), strings.Join(versionNames[:], ", "))
	}
	give, want, beat, peerBeat, err := c.beats(f.Header.Get(frame.HeartBeat))
	if err != nil {
		return err
	}
	if c.info.User, err = c.admit(ctx, f); err != nil {
		return err
	}
	if err := c.write(ctx, "handshake", connected(v, give, want)); err != nil {
		return err
	}
	c.agree(v, beat, peerBeat)
	return nil
}

// beats returns what CONNECTED says to the header heart-beat of CONNECT, and what was
// agreed on.
func (c *serverConn) beats(header string) (give, want, beat, peerBeat time.Duration, err error) {
	if c.friend.Load() {
		give, want, beat, peerBeat = c.friendlyBeats(header)
		return give, want, beat, peerBeat, nil
	}
	offer, wish, err := beats(header)
	if wish > 0 { // nothing towards a client that wants none: some wait for it all the same
		give = c.o.Heartbeat
	}
	if offer > 0 {
		want = c.o.Heartbeat
	}
	return give, want, transport.Negotiate(c.o.Heartbeat, wish), transport.Negotiate(offer, c.o.Heartbeat), err
}

// connected is the CONNECTED frame.
func connected(v version, give, want time.Duration) *frame.Frame {
	return frame.New(frame.CONNECTED, frame.Version, v.String(), frame.HeartBeat, beatHeader(give, want),
		frame.Session, rand.Text(), frame.Server, software)
}

// admit checks the virtual host and the credentials, and returns the user.
func (c *serverConn) admit(ctx context.Context, f *frame.Frame) (user string, err error) {
	host := f.Header.Get(frame.Host)
	if len(c.o.VirtualHosts) > 0 && !slices.Contains(c.o.VirtualHosts, host) {
		return "", transport.WithReason(transport.ErrRefused, fmt.Sprintf("no virtual host %.60q here", host))
	}
	login, passcode := f.Header.Get(frame.Login), f.Header.Get(frame.Passcode)
	if _, versions := f.Header.Contains(frame.AcceptVersion); !versions {
		// The specification of 1.0 writes a blank after the colon.
		login, passcode = strings.TrimPrefix(login, " "), strings.TrimPrefix(passcode, " ")
	}
	return c.o.Admit(ctx, &c.info, transport.Credentials{User: login, Password: passcode, VirtualHost: host})
}

// Info returns what was negotiated, and who the peer was found to be.
func (c *serverConn) Info() *transport.Info {
	if i := c.shown.Load(); i != nil {
		return i
	}
	return &c.info
}

// act handles what a client sends.
func (c *serverConn) act(f *frame.Frame) (m *transport.Message, err error) {
	switch {
	case c.friend.Load():
		c.nudges.heard()
	case c.watchful:
		c.recognise(f)
	}
	switch f.Command {
	case frame.SEND:
		if m, err = c.sent(f); m == nil && err == nil {
			return nil, nil // the broker has it, and says when to confirm
		}
	case frame.SUBSCRIBE:
		err = c.subscribe(f)
	case frame.UNSUBSCRIBE:
		err = c.unsubscribe(f)
	case frame.ACK:
		err = c.acknowledge(f, nil)
	case frame.NACK:
		err = c.acknowledge(f, transport.WithReason(transport.ErrRefused, "the subscriber sent NACK"))
	case frame.DISCONNECT:
		return nil, c.disconnect(f)
	case frame.CONNECT, frame.STOMP:
		err = c.connectLate(f)
	case frame.BEGIN, frame.COMMIT, frame.ABORT:
		err = malformed("%s: transactions are not supported; send each frame without a transaction header", f.Command)
	default:
		err = malformed("unexpected %s from a client that is connected", f.Command)
	}
	switch {
	case err == nil:
		c.receipt(f)
		return m, nil
	case c.stream.Err() != nil: // it has been told
		return nil, err
	case c.friend.Load():
		receipt, asked := f.Header.Contains(frame.Receipt)
		c.complain(err, receipt, asked)
		return nil, nil
	}
	c.refuse(err, f)
	return nil, err
}

// receipt confirms f if it asks.
func (c *serverConn) receipt(f *frame.Frame) {
	if id, asked := f.Header.Contains(frame.Receipt); asked {
		c.confirm(id)
	}
}

// confirm sends a RECEIPT.
func (c *serverConn) confirm(id string) {
	_ = c.control("send", frame.New(frame.RECEIPT, frame.ReceiptId, id)) // an error ends the stream
}

// refuse tells the client why the connection ends, unless it is gone.
func (c *serverConn) refuse(why error, f *frame.Frame) {
	receipt, asked := f.Header.Contains(frame.Receipt)
	c.stream.Abort(why, func(dst []byte) []byte { return c.appendError(dst, why, receipt, asked) })
}

// appendError appends an ERROR frame, about one that has asked for a receipt or not
// ("ERROR").
func (c *serverConn) appendError(dst []byte, why error, receipt string, asked bool) []byte {
	text := transport.Reason(why)
	line := c.v.headline(text)
	if c.friend.Load() { // which reads no escapes
		line = strings.NewReplacer(":", ";", "\\", " ").Replace(line)
	}
	e := frame.New(frame.ERROR, frame.Version, strings.Join(versionNames[:], ","),
		frame.Message, line, frame.ContentType, "text/plain")
	if asked {
		e.Header.Add(frame.ReceiptId, receipt)
	}
	e.Body = []byte(text + "\n")
	return appendFrame(dst, c.v, e)
}

// headline makes one line of text for a header. Without escapes, which 1.0 lacks
// and a client whose version is not known yet may undo or not, a backslash
// could be misread.
func (v version) headline(text string) string {
	_, escaped := v.escapes('\\')
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == '\\' && !escaped {
			return ' '
		}
		return r
	}, text)
	return strings.ToValidUTF8(text[:min(len(text), 200)], "")
}

// sent makes a Message of a SEND frame.
func (c *serverConn) sent(f *frame.Frame) (*transport.Message, error) {
	if _, in := f.Header.Contains(frame.Transaction); in {
		return nil, malformed("SEND in a transaction: transactions are not supported")
	}
	m := c.frames.message()
	m.Subscription = ""
	if m.To == "" {
		return nil, malformed("SEND without a destination header; this server serves %s", c.served())
	}
	friend := c.friend.Load()
	if !c.serves(m.To) {
		if c.session != nil {
			return nil, c.handOver(m, f)
		}
		if friend {
			return nil, noRoute(noSubscriptionThere)
		}
		return nil, noRoute("no destination %.60q; this server serves %s", m.To, c.served())
	}
	if m.ReplyTo != "" && c.session == nil && !friend && c.find(m.ReplyTo) == nil {
		return nil, noRoute("reply-to %.60q is not subscribed on this connection; SUBSCRIBE it first, or use a name below %s",
			m.ReplyTo, tempPrefix)
	}
	m.SetSettler(c, 0)
	return m, nil
}

func (c *serverConn) served() string {
	names := make([]string, len(c.o.Destinations))
	for i, d := range c.o.Destinations {
		names[i] = destination(d)
	}
	return strings.Join(names, ", ")
}

// SettleMessage ends the connection of a client whose SEND was rejected, with
// the reason: STOMP has no milder way to say so. Other outcomes mean nothing
// here. A client of oVirt's is told without that end.
func (c *serverConn) SettleMessage(_ uint64, o transport.Outcome) error {
	if c.friend.Load() {
		return c.settled(o)
	}
	if !o.IsRejected() {
		return nil
	}
	why := transport.WithReason(transport.ErrProtocol, o.Reason())
	return c.stream.Close(func(dst []byte) []byte { return c.appendError(dst, why, "", false) })
}

// ReplyAddress is the first destination served: what the peer sends there
// arrives here.
func (c *serverConn) ReplyAddress(context.Context) (string, error) {
	return destination(c.o.Destinations[0]), nil
}

// Close ends the session; STOMP gives servers no word for it.
func (c *serverConn) Close() error { return c.stream.Close(nil) }
