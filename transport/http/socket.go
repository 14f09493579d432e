package http

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/internal/properties"
)

const (
	// socketVersion is the version of the protocol (RFC 6455, section 11.6).
	socketVersion = "13"
	// plainProtocol is the sub-protocol of peers whose messages are bodies and
	// nothing else. Those that name none are taken for such.
	plainProtocol = "jsonrpc"
	// ownProtocol is that of two ends of ours: a binary message begins with the
	// length of its properties in four bytes and the properties, and a text has
	// none.
	ownProtocol = "polyport"
)

// propertiesHead is the length of the length of properties.
const propertiesHead = 4

// A socket is an end of a WebSocket.
type socket struct {
	stream *transport.Stream
	frames frameReader
	info   transport.Info
	// ours says that the peer is one of ours, so that messages have fields.
	ours bool
	// masks says that this end is the client, which masks what it sends.
	masks bool
	// to is where messages without a destination go, or come from.
	to string
	// served are the destinations of a server; nil at a client.
	served []string
	// bye is the code by which this end closes.
	bye websocket.StatusCode
}

// newSocket returns a socket over nc, whose handshake is to be made or over.
func newSocket(nc net.Conn, info *transport.Info, o *transport.Options) *socket {
	s := &socket{info: *info}
	s.info.Scheme, s.info.Version, s.info.Limits = schemeSocket, socketVersion, o.Limits
	s.info.Local, s.info.Remote = nc.LocalAddr(), nc.RemoteAddr()
	s.stream = transport.NewStream(nc, schemeSocket, o, o.Limits.HeaderBytes+longestFrameHead+longestControl)
	s.frames = frameReader{stream: s.stream, most: s.most}
	return s
}

// agree fixes what the handshake has settled: the sub-protocol, and the interval of
// the peer's heart-beats, which is negative if it has not said one.
func (s *socket) agree(protocol string, theirs time.Duration, o *transport.Options) {
	if s.odl() {
		s.likeODL()
		return
	}
	s.ours = protocol == ownProtocol
	s.info.Headers = s.ours
	beat := max(0, o.Heartbeat)
	if theirs >= 0 {
		beat = transport.Negotiate(o.Heartbeat, theirs)
	}
	s.info.Beat, s.info.PeerBeat = beat, beat
	if beat > 0 {
		s.stream.StartPing(beat, appendFrame(nil, opPing, nil, s.key()))
	}
}

// most returns the most bytes in a message of a kind.
func (s *socket) most(kind byte) int {
	if s.ours && kind == opBinary {
		return propertiesHead + s.info.Limits.HeaderBytes + s.info.Limits.Message
	}
	return s.info.Limits.Message
}

// key returns a new masking key, which nobody can foresee (section 5.3), or nil at
// a server.
func (s *socket) key() *[4]byte {
	if !s.masks {
		return nil
	}
	key := new([4]byte)
	_, _ = rand.Read(key[:]) // never fails
	return key
}

// Recv returns the next message.
func (s *socket) Recv(ctx context.Context) (*transport.Message, error) {
	return s.stream.Receive(ctx, s.nextMessage)
}

// nextMessage tells a peer that breaks the rules why it is cut off.
func (s *socket) nextMessage() (*transport.Message, error) {
	m, err := s.whole()
	if code, ok := codeFor(err); ok {
		key := s.key()
		s.stream.Abort(err, func(dst []byte) []byte { return appendClose(dst, code, transport.Reason(err), key) })
	}
	return m, err
}

// whole returns the next message, and does what control frames ask for until then.
func (s *socket) whole() (*transport.Message, error) {
	for {
		m, opcode, payload, err := s.frames.next()
		switch {
		case err != nil:
			return nil, err
		case m != nil:
			return s.unpack(m, opcode)
		case opcode == opPing:
			err = s.pong(payload)
		case opcode == opClose:
			err = s.closed(payload)
		}
		if err != nil {
			return nil, err
		}
	}
}

// pong answers a Ping with what it carried (section 5.5.3).
func (s *socket) pong(payload []byte) error {
	key := s.key()
	return s.stream.Control("receive", func(dst []byte) []byte { return appendFrame(dst, opPong, payload, key) })
}

// closed answers a Close frame with its code, and returns what it says (section
// 5.5.1).
func (s *socket) closed(payload []byte) error {
	code, reason, err := parseClose(payload)
	if err != nil {
		return err
	}
	echo, key := payload[:min(len(payload), 2)], s.key()
	err = farewell(code, reason)
	s.stream.Abort(err, func(dst []byte) []byte { return appendFrame(dst, opClose, echo, key) })
	return err
}

// unpack makes a message of one whose body has been read.
func (s *socket) unpack(m *transport.Message, kind byte) (*transport.Message, error) {
	switch {
	case kind == opText && !utf8.Valid(m.Body):
		return nil, errNotText
	case kind == opBinary && s.ours:
		if err := s.cutProperties(m); err != nil {
			return nil, err
		}
	}
	m.To = cmp.Or(m.To, s.to)
	if s.served != nil && !slices.Contains(s.served, m.To) {
		return nil, noRoute("no destination %.60q here", m.To)
	}
	return m, nil
}

// cutProperties sets what the properties of a message say, and leaves the body.
func (s *socket) cutProperties(m *transport.Message) error {
	if len(m.Body) < propertiesHead {
		return malformed("a message is shorter than the length of its properties")
	}
	n, rest := binary.BigEndian.Uint32(m.Body), m.Body[propertiesHead:]
	switch {
	case uint64(n) > uint64(len(rest)):
		return malformed("the properties of a message are cut off")
	case int(n) > s.info.Limits.HeaderBytes:
		return tooLarge("the properties of a message have %d bytes; the limit is %d", n, s.info.Limits.HeaderBytes)
	case len(rest)-int(n) > s.info.Limits.Message:
		return tooLarge("a message has %d bytes; the limit is %d", len(rest)-int(n), s.info.Limits.Message)
	}
	m.Body = rest[n:]
	return properties.Set(m, rest[:n], s.info.Limits.Headers)
}

// Send sends m: as a text if its body is UTF-8 and there is nothing else to say.
func (s *socket) Send(ctx context.Context, m *transport.Message) error {
	to, err := s.route(m.To)
	size := len(m.Body)
	switch {
	case err != nil:
	case fits(size, &s.info) != nil:
		err = fits(size, &s.info)
	case s.odl() && !utf8.Valid(m.Body):
		err = invalid("the body is not UTF-8, and OpenDaylight passes over what is no text")
	case s.ours:
		var more int
		more, err = properties.Check(m, to, s.info.Limits)
		size += more
	}
	if err != nil {
		return s.notSent(err)
	}
	key, text := s.key(), utf8.Valid(m.Body)
	return s.stream.Write(ctx, "send", size+propertiesHead+longestFrameHead, func(dst []byte) []byte {
		return s.appendMessage(dst, m, to, text, key)
	})
}

// route returns what the peer is told of a destination.
func (s *socket) route(to string) (string, error) {
	switch {
	case s.served != nil && s.ours:
		return to, nil
	case s.served != nil, to == s.to:
		return "", nil
	case to != "" && !s.ours:
		return "", noRoute("the peer has no destinations but the one that was dialed, so there is no %.60q", to)
	}
	return to, nil
}

// appendMessage appends the frame of m.
func (s *socket) appendMessage(dst []byte, m *transport.Message, to string, text bool, key *[4]byte) []byte {
	kind := byte(opText)
	if !text {
		kind = opBinary
	}
	if !s.ours {
		return appendFrame(dst, kind, m.Body, key)
	}
	at := len(dst)
	dst = append(dst, make([]byte, longestFrameHead+propertiesHead)...)
	start := len(dst)
	dst = properties.AppendMessage(dst, m, to)
	n := len(dst) - start
	if n == 0 && text {
		return appendFrame(dst[:at], opText, m.Body, key)
	}
	binary.BigEndian.PutUint32(dst[start-propertiesHead:], uint32(n))
	start -= propertiesHead
	dst = append(dst, m.Body...)
	var head [longestFrameHead]byte
	h := appendFrameHead(head[:0], opBinary, len(dst)-start, key)
	copy(dst[at:], h)
	dst = dst[:at+len(h)+copy(dst[at+len(h):], dst[start:])]
	if key != nil {
		mask(dst[at+len(h):], *key)
	}
	return dst
}

// Info returns what was negotiated.
func (s *socket) Info() *transport.Info { return &s.info }

// Flush waits until what was sent is written.
func (s *socket) Flush(ctx context.Context) error { return s.stream.Flush(ctx) }

// Gather holds back what is sent while more has been received.
func (s *socket) Gather() { s.stream.Gather() }

// Release lets it go.
func (s *socket) Release() { s.stream.Release() }

// Close says goodbye and ends the connection.
func (s *socket) Close() error {
	key := s.key()
	return s.stream.Close(func(dst []byte) []byte { return appendClose(dst, s.bye, "", key) })
}

// notSent is the error for something that was refused before it was sent.
func (s *socket) notSent(err error) error {
	return &transport.OpError{Op: "send", Scheme: schemeSocket, Addr: s.info.Remote.String(), Err: err}
}

// noRoute is the error for a destination that there is not.
func noRoute(format string, args ...any) error {
	return transport.WithReason(transport.ErrNoRoute, fmt.Sprintf(format, args...))
}
