package zmq

import (
	"context"

	"github.com/go-zeromq/zmq4"

	"github.com/polyport/polyport/transport"
)

// The profile OpenDaylight: its bus has a decoder of its own for ZMTP 3.0, which
// drops a connection that brings what it does not expect: a frame whose head is
// split, a command after READY. So each message leaves by one write, and there are
// no heart-beats and no properties. Its publications have no topic: subscribers
// take all that there is.

// longestTopic is the longest that its subscribers and publishers can spell: the
// length of the frame is one byte, and the first byte says what it is for.
const longestTopic = 254

// odlSocket is socketOf in the profile.
func odlSocket(name string) (zmq4.SocketType, error) {
	switch name {
	case "", "req":
		return zmq4.Req, nil
	case "sub":
		return zmq4.Sub, nil
	}
	return "", invalid("socket=%.60q: OpenDaylight speaks with socket=req (the default) and sub, and with no other", name)
}

// mayBeODL reports whether a peer that dialed may be a program of OpenDaylight.
// Others have their way at the same port.
func mayBeODL(peer metadata) bool {
	return peer.ours == nil && (peer.socket == zmq4.Req || peer.socket == zmq4.Sub)
}

// likeODL makes c one that gets along with it. The handshake is not over.
func (c *conn) likeODL() {
	c.info.Profile = transport.OpenDaylight
	c.stream.Apart()
}

// odl reports whether c is such a one.
func (c *conn) odl() bool { return c.info.Profile == transport.OpenDaylight }

// An openPublisher is a publisher to a subscriber of OpenDaylight.
type openPublisher struct{ *publisher }

func newOpenPublisher(c *conn) *openPublisher { return &openPublisher{newPublisher(c)} }

// Publish sends m, once, if the peer wants its topic. What it gets begins with an
// empty frame, whatever the topic is.
func (p *openPublisher) Publish(ctx context.Context, m *transport.Message) error {
	return p.publish(ctx, m, "")
}

// Send is Publish.
func (p *openPublisher) Send(ctx context.Context, m *transport.Message) error {
	return p.Publish(ctx, m)
}

// An openReader is a reader of what OpenDaylight publishes. It asks for everything,
// once, because publications have no topic to choose by, and because a publisher
// there takes what ends a subscription for another one.
type openReader struct {
	*reader
	asked bool // protected by reader.mu
}

func newOpenReader(c *conn) *openReader {
	r := &openReader{reader: newReader(c)}
	c.arrange = r.unpackOpen
	r.tell = r.ask
	return r
}

// ask is tell.
func (r *openReader) ask(ctx context.Context, op string, change byte, prefix string) error {
	if len(prefix) > longestTopic {
		return r.notSent(op, tooLarge("the topic has %d bytes; OpenDaylight has room for %d", len(prefix), longestTopic))
	}
	if change == unsubscribeByte || r.asked {
		return r.stream.Over(op)
	}
	err := r.change(ctx, op, subscribeByte, "")
	r.asked = err == nil
	return err
}

// unpackOpen makes an event of a message: an empty frame and the body, a body, or,
// from older publishers, a topic and the body. The subject stays empty: which topic
// it is says the notification.
func (r *openReader) unpackOpen(m *transport.Message, parts []byte, ends []int) error {
	if len(ends) > 1 {
		return malformed("an event has %d frames; it has two at most, of which the last is the body", len(ends)+1)
	}
	m.To = string(parts)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.subs) == 0 {
		return errNothing
	}
	m.Subscription = r.subs[0].id
	return nil
}
