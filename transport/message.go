package transport

import (
	"encoding/hex"
	"strconv"
	"time"
)

// A Message is one unit that a wire moves whole: a body and what the wire's
// frame can say about it. The zero value is a message with an empty body to the
// connection's own destination.
type Message struct {
	// To is the destination. Empty means the destination that the connection
	// was dialed for; a server's connection has none, so it refuses an empty To
	// with [ErrNoRoute] if [Info.Addressed] is set and ignores To otherwise.
	To string
	// ReplyTo is where answers are wanted, in the words of the sender's side.
	// It is opaque to the receiver, who puts it into the To of the answer.
	ReplyTo string
	// Subject is the method or topic, for peers that look at frames only.
	Subject string
	// ContentType is a media type such as "application/json".
	ContentType string
	// ID names the message, CorrelationID the message that this one answers.
	ID, CorrelationID ID
	// Expires is when the message loses its use; zero means never.
	Expires time.Time
	// Durable asks a broker to keep the message across its restart.
	Durable bool
	// unsettled is set by SetUnsettled. It stands here for its size.
	unsettled bool
	// Headers are further fields in order; names may repeat.
	Headers []Header
	// Body is the payload.
	Body []byte

	// Subscription is, on a received message, the ID of the [Subscription] that
	// it came by, or "".
	Subscription string
	// Attempt is, on a received message, how many earlier deliveries of it are
	// known to have failed.
	Attempt int

	settler Settler
	token   uint64
}

// A Header is one named field of a message.
type Header struct{ Name, Value string }

// Header returns the value of the first header called name, or "".
func (m *Message) Header(name string) string {
	for _, h := range m.Headers {
		if h.Name == name {
			return h.Value
		}
	}
	return ""
}

// Settle tells the wire what became of a received message: [Accepted],
// [Released], [Failed] or a [Rejected] with its reason. Whoever receives a
// message settles it once, when it has done its part, on every wire: where the
// wire acknowledges, this is what does it; where it has credit, this is what
// renews it; where it has neither, Settle does nothing and returns nil. The
// second and later calls do nothing.
func (m *Message) Settle(o Outcome) error {
	s := m.settler
	if s == nil {
		return nil
	}
	m.settler = nil
	return s.SettleMessage(m.token, o)
}

// Unsettled reports whether m came by a [Subscription] whose messages are
// acknowledged, or from a peer that waits for its settlement (SetUnsettled), and
// has not been settled. The other side counts it as under way until then, gives
// no more such messages than it has credit for, and gives m to somebody else
// when the connection ends first.
func (m *Message) Unsettled() bool {
	return m.settler != nil && (m.unsettled || m.Subscription != "")
}

// SetUnsettled says that the peer waits for m's settlement although m came by no
// [Subscription], as an AMQP 1.0 peer does that sends straight to a server. Wires
// call it together with SetSettler.
func (m *Message) SetUnsettled() { m.unsettled = true }

// A Settler carries out [Message.Settle] for a wire. It is called at most once
// for each token, by any goroutine.
type Settler interface {
	SettleMessage(token uint64, o Outcome) error
}

// SetSettler makes s answer for m's settlement. Wires call it before Recv hands
// the message out; token is whatever helps the wire find it again.
func (m *Message) SetSettler(s Settler, token uint64) { m.settler, m.token = s, token }

// An Outcome is what became of a received message. The zero value is Accepted.
type Outcome struct {
	kind   outcomeKind
	reason string
}

type outcomeKind uint8

const (
	accepted outcomeKind = iota
	released
	rejected
	failed
)

// The outcomes without a reason. Accepted: done with. Released: not looked at,
// to be given to somebody else. Failed: tried without success, may be tried
// again.
var (
	Accepted = Outcome{kind: accepted}
	Released = Outcome{kind: released}
	Failed   = Outcome{kind: failed}
)

// Rejected is the outcome of a message that can never be processed; reason is
// told to the sender where the wire can.
func Rejected(reason string) Outcome { return Outcome{kind: rejected, reason: reason} }

// IsRejected reports whether o was made by [Rejected].
func (o Outcome) IsRejected() bool { return o.kind == rejected }

// Reason returns the text given to [Rejected], or "".
func (o Outcome) Reason() string { return o.reason }

// String returns "accepted", "released", "rejected" or "failed".
func (o Outcome) String() string {
	return [...]string{"accepted", "released", "rejected", "failed"}[o.kind]
}

// An ID names a message. IDs are comparable, and keep the kind that they came
// in, because AMQP 1.0 (section 3.2.11) tells four kinds apart and an answer
// must carry the same one. The zero ID means none.
type ID struct {
	kind IDKind
	num  uint64
	text string
}

// IDKind is the type of an [ID] on a wire that has types.
type IDKind uint8

// The kinds of [ID].
const (
	IDNone IDKind = iota
	IDText
	IDNumber
	IDUUID
	IDBinary
)

// TextID returns the ID whose text is s; the empty text is no ID.
func TextID(s string) ID {
	if s == "" {
		return ID{}
	}
	return ID{kind: IDText, text: s}
}

// NumberID returns the ID for an unsigned number.
func NumberID(n uint64) ID { return ID{kind: IDNumber, num: n} }

// UUIDID returns the ID for a UUID.
func UUIDID(u [16]byte) ID { return ID{kind: IDUUID, text: string(u[:])} }

// BinaryID returns the ID for bytes, which it copies.
func BinaryID(b []byte) ID { return ID{kind: IDBinary, text: string(b)} }

// Kind returns the kind of id.
func (id ID) Kind() IDKind { return id.kind }

// IsZero reports whether id names nothing.
func (id ID) IsZero() bool { return id.kind == IDNone }

// Number returns the number of an [IDNumber], else 0.
func (id ID) Number() uint64 { return id.num }

// Bytes returns a copy of the bytes of an [IDUUID] or [IDBinary], else nil.
func (id ID) Bytes() []byte {
	if id.kind != IDUUID && id.kind != IDBinary {
		return nil
	}
	return []byte(id.text)
}

// String returns id as text, for wires that have no other kind: digits, a UUID
// in its usual form, bytes in hexadecimal, "" for none.
func (id ID) String() string {
	if id.kind == IDText {
		return id.text
	}
	return string(id.Append(nil))
}

// Append appends the text that String returns.
func (id ID) Append(dst []byte) []byte {
	switch id.kind {
	case IDNumber:
		return strconv.AppendUint(dst, id.num, 10)
	case IDUUID:
		for i, b := range []byte(id.text) {
			if i == 4 || i == 6 || i == 8 || i == 10 {
				dst = append(dst, '-')
			}
			dst = hex.AppendEncode(dst, []byte{b})
		}
		return dst
	case IDBinary:
		return hex.AppendEncode(dst, []byte(id.text))
	default:
		return append(dst, id.text...)
	}
}
