package mem

import (
	"net"

	"github.com/polyport/polyport/transport"
)

// AppendMessage appends a message as a frame of a delivery with a number, by a
// subscription.
func AppendMessage(dst []byte, m *transport.Message, delivery uint64, confirm bool) []byte {
	return appendMessage(dst, m, routing{to: m.To, subscription: m.Subscription, delivery: delivery, confirm: confirm})
}

// HeadLen is the bound on a message's head without the subscription.
func HeadLen(m *transport.Message) int { return headLen(m, m.To) }

// AppendFrame appends a frame of a kind by its number.
func AppendFrame(dst []byte, k byte, head, body string) []byte {
	at := len(dst)
	dst = append(append(dst, k, 0, 0, 0, 0, 0, 0, 0), head...)
	setLengths(dst[at:], len(body))
	return append(dst, body...)
}

// AppendHello appends the hello of a client without credentials.
func AppendHello(dst []byte, newest uint64) []byte {
	h := hello{oldest: min(newest, version), newest: newest, software: "test", limits: transport.Limits{}.WithDefaults()}
	return appendFrame(dst, kindHello, h.append)
}

// AppendReqHello appends the hello of a client that goes in lock-step.
func AppendReqHello(dst []byte) []byte { return appendSocketHello(dst, socketReq) }

// AppendSubHello appends the hello of a client that only listens.
func AppendSubHello(dst []byte) []byte { return appendSocketHello(dst, socketSub) }

func appendSocketHello(dst []byte, socket string) []byte {
	h := hello{oldest: version, newest: version, software: "test", limits: transport.Limits{}.WithDefaults(), socket: socket}
	return appendFrame(dst, kindHello, h.append)
}

// AppendWelcome appends the welcome of a server with a destination.
func AppendWelcome(dst []byte, version uint64, destination string) []byte {
	w := welcome{version: version, software: "test", limits: transport.Limits{}.WithDefaults(), destinations: []string{destination}}
	return appendFrame(dst, kindWelcome, w.append)
}

// Text and Number spell fields of a head.
func Text(s string) string    { return string(appendText(nil, s)) }
func Number(n uint64) string  { return string(appendNumber(nil, n)) }
func KindName(k byte) string  { return kind(k).String() }
func HeadOf(frame []byte) int { return int(frame[1])<<16 | int(frame[2])<<8 | int(frame[3]) }

// A Frame is one that ReadFrames has read.
type Frame struct {
	Kind byte
	Head string
	Body []byte
}

// Parse makes a message of the frame.
func (f Frame) Parse(headers int) (m *transport.Message, delivery uint64, confirm bool, err error) {
	m, r, err := parseMessage(frame{kind: kind(f.Kind), head: fields{rest: f.Head}, body: f.Body}, headers)
	return m, r.delivery, r.confirm, err
}

// ReadFrames reads frames from nc until it fails. retry, if not nil, is asked
// whether to go on after an error.
func ReadFrames(nc net.Conn, head, body int, retry func(error) bool) (frames []Frame, err error) {
	o := (&transport.DialOptions{}).WithDefaults()
	s := transport.NewStream(nc, scheme, &o.Options, head+prefixLen)
	defer s.Fail(transport.ErrClosed)
	r := frameReader{stream: s, head: head, body: body}
	for {
		f, err := r.next()
		if err == nil {
			frames = append(frames, Frame{byte(f.kind), f.head.rest, f.body})
		} else if retry == nil || !retry(err) {
			return frames, err
		}
	}
}
