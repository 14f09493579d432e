package zmq

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/go-zeromq/zmq4"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/internal/properties"
)

// propertiesMagic begins the frame of a message's properties, which is the one
// before its body.
var propertiesMagic = []byte("\x01polyport\x01")

// conn is what all connections have in common.
type conn struct {
	stream *transport.Stream
	frames frameReader
	info   transport.Info
	may    transport.Limits // what both ends' limits let this end send
	peer   metadata
	beat   time.Duration // of the peer's own accord; 0 until it is known
	// delimited says that messages go after an empty frame, as those of REQ do.
	delimited bool
	// to is where messages without a destination go, or come from.
	to string
	// arrange makes a message of one whose frames before the last are known.
	arrange func(m *transport.Message, parts []byte, ends []int) error
	// command acts on a command that is about subscriptions. It may be nil.
	command func(command) error
}

func newConn(nc net.Conn, o *transport.Options) *conn {
	c := &conn{info: transport.Info{
		Scheme: scheme, Version: version, Local: nc.LocalAddr(), Remote: nc.RemoteAddr(), Limits: o.Limits,
		TLS: transport.TLSState(nc),
	}}
	c.stream = transport.NewStream(nc, scheme, o, max(o.Limits.HeaderBytes, handshakeCommand)+longestHead)
	c.frames = frameReader{stream: c.stream, limits: o.Limits}
	c.arrange = c.unpack
	return c
}

// agree fixes what the handshake has settled. Heart-beats begin at once with a
// peer of whom it is known that it can: one of ours, or one that speaks ZMTP
// 3.1, which has them. Others would take a PING for an error.
func (c *conn) agree(o *transport.Options, minor byte) {
	c.may = o.Limits
	theirs := max(0, o.Heartbeat)
	if ours := c.peer.ours; ours != nil {
		c.info.Headers, c.info.Peer = true, ours.software
		c.may = both(o.Limits, ours.limits)
		theirs = ours.beat
	}
	if c.odl() {
		return
	}
	c.beat = transport.Negotiate(o.Heartbeat, theirs)
	if c.peer.ours != nil || minor > 0 {
		c.info.Beat, c.info.PeerBeat = c.beat, c.beat
		c.startBeat()
	}
}

// both is the smaller of each two limits.
func both(a, b transport.Limits) transport.Limits {
	a.Message, a.HeaderBytes = min(a.Message, b.Message), min(a.HeaderBytes, b.HeaderBytes)
	a.Headers, a.Subscriptions = min(a.Headers, b.Headers), min(a.Subscriptions, b.Subscriptions)
	return a
}

// Recv returns the next message.
func (c *conn) Recv(ctx context.Context) (*transport.Message, error) {
	return c.stream.Receive(ctx, c.nextMessage)
}

func (c *conn) nextMessage() (*transport.Message, error) {
	for {
		m, cmd, err := c.frames.next()
		switch {
		case err != nil:
			return nil, err
		case m == nil:
			if err := c.obey(cmd); err != nil {
				return nil, err
			}
			continue
		}
		err = c.arrange(m, c.frames.parts, c.frames.ends)
		c.frames.taken()
		switch {
		case err == nil:
			return m, nil
		case !errors.Is(err, errNothing):
			return nil, err
		}
	}
}

// errNothing says that what was received is for the connection alone.
var errNothing = errors.New("zmq: not a message")

// obey acts on a command. Those with names that nobody knows are passed over.
func (c *conn) obey(cmd command) error {
	switch cmd.name {
	case zmq4.CmdPing:
		return c.pong(cmd.body)
	case zmq4.CmdError:
		return refusal(cmd.body)
	case zmq4.CmdSubscribe, zmq4.CmdCancel:
		if c.command == nil {
			return malformed("a command about subscriptions, which this connection does not have")
		}
		return c.command(cmd)
	}
	return nil
}

// unpack is arrange where any message may come after an envelope.
func (c *conn) unpack(m *transport.Message, parts []byte, ends []int) error {
	if len(ends) == 0 {
		m.To = c.to
		return nil
	}
	parts, ends, err := c.properties(m, parts, ends)
	if err != nil {
		return err
	}
	if m.To == "" {
		m.To = c.to
	}
	if len(ends) > 1 || len(parts) > 0 || len(ends) == 1 && !c.delimited {
		m.ReplyTo = envelopeOf(parts, ends)
	}
	return nil
}

// properties sets what the frame of properties says, if there is one, and
// returns the frames before it. From a peer that is none of ours there is none:
// whatever it looks like is a part of the envelope.
func (c *conn) properties(m *transport.Message, parts []byte, ends []int) ([]byte, []int, error) {
	at, last := 0, len(ends)-1
	if last > 0 {
		at = ends[last-1]
	}
	said, found := bytes.CutPrefix(parts[at:], propertiesMagic)
	if !c.info.Headers || !found {
		return parts, ends, nil
	}
	if err := properties.Set(m, said, c.info.Limits.Headers); err != nil {
		return nil, nil, err
	}
	if strings.HasPrefix(m.ReplyTo, envelopePrefix) {
		return nil, nil, malformed("a reply-to that only this end can give")
	}
	return parts[:at], ends[:last], nil
}

// pack reports how long a message is about, and why it must not be sent.
func (c *conn) pack(m *transport.Message, to string) (size int, err error) {
	if len(m.Body) > c.may.Message {
		return 0, tooLarge("the body has %d bytes, the limit is %d", len(m.Body), c.may.Message)
	}
	if c.info.Headers {
		if strings.HasPrefix(m.ReplyTo, envelopePrefix) {
			return 0, invalid("the reply-to is one that this end gave to itself")
		}
		size, err = properties.Check(m, to, c.may)
	}
	return size + len(m.Body) + 4*longestHead, err
}

// appendMessage appends the frames of m but for its envelope.
func (c *conn) appendMessage(dst []byte, m *transport.Message, to string) []byte {
	if c.info.Headers {
		at := len(dst)
		dst = append(append(dst, hasMore, 0), propertiesMagic...)
		dst = properties.AppendMessage(dst, m, to)
		switch n := len(dst) - at - 2; {
		case n == len(propertiesMagic):
			dst = dst[:at]
		case n <= 255:
			dst[at+1] = byte(n)
		default:
			dst = append(appendHead(dst[:at], hasMore, n), propertiesMagic...)
			dst = properties.AppendMessage(dst, m, to)
		}
	}
	return appendFrame(dst, 0, m.Body)
}

// send sends m, after the envelope that it answers to or the one that this end
// always has.
func (c *conn) send(ctx context.Context, m *transport.Message, to string) error {
	envelope, answers := cutEnvelope(m.To)
	if answers {
		if to = ""; !isEnvelope(envelope) {
			return c.notSent("send", invalid("the destination is no envelope that came with a message"))
		}
	} else if c.delimited {
		envelope = delimiter[len(envelopePrefix):]
	}
	size, err := c.pack(m, to)
	if err != nil {
		return c.notSent("send", err)
	}
	return c.stream.Write(ctx, "send", size+len(envelope), func(dst []byte) []byte {
		return c.appendMessage(append(dst, envelope...), m, to)
	})
}

// Info returns what was negotiated.
func (c *conn) Info() *transport.Info { return &c.info }

// Flush waits until what was sent is written.
func (c *conn) Flush(ctx context.Context) error { return c.stream.Flush(ctx) }

// Gather holds back what is sent while more has been received.
func (c *conn) Gather() { c.stream.Gather() }

// Release lets it go.
func (c *conn) Release() { c.stream.Release() }

// Close ends the connection; ZMTP has no word for it.
func (c *conn) Close() error { return c.stream.Close(nil) }

// notSent is the error for something that was refused before it was sent.
func (c *conn) notSent(op string, err error) error {
	return &transport.OpError{Op: op, Scheme: scheme, Addr: c.info.Remote.String(), Err: err}
}

// shaken returns how a handshake ended, without what only says that zmq4 was
// there.
func shaken(err error) error {
	switch known := sentinel(err); {
	case known != nil:
		return transport.WithReason(known, transport.Reason(err))
	case errors.Is(err, io.EOF):
		return transport.WithReason(transport.ErrClosed, "the peer closed the connection before the handshake was over; "+
			"libzmq does so to one who has a user where it wants none, and the reverse")
	}
	return err
}

// sentinel returns the kind of err if it is about what the peer did.
func sentinel(err error) error {
	for _, kind := range [...]error{transport.ErrProtocol, transport.ErrTooLarge, transport.ErrRefused, transport.ErrInvalid} {
		if errors.Is(err, kind) {
			return kind
		}
	}
	return nil
}
