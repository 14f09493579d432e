package mem

import (
	"encoding/binary"
	"time"

	"github.com/polyport/polyport/transport"
)

// The flags of a message. The fields of those that are set follow in this order.
const (
	hasConfirm  = 1 << iota // the sender asks for a confirm; no field
	hasDurable              // no field
	hasDelivery             // the number that settle is to name
	hasSubscription
	hasTo
	hasReplyTo
	hasSubject
	hasContentType
	hasID
	hasCorrelationID
	hasExpires
	hasAttempt
	hasHeaders
	hasEnd // no flag: the first bit that is not one
)

// routing is what a message frame says besides the message.
type routing struct {
	to           string // in place of the message's
	subscription string
	delivery     uint64 // 0: none
	confirm      bool
	number       uint64 // of those received that asked for a confirm
}

// headLen is at least the length of m's head, without the subscription.
func headLen(m *transport.Message, to string) int {
	n := 64 + textLen(to) + textLen(m.ReplyTo) + textLen(m.Subject) + textLen(m.ContentType) +
		idLen(m.ID) + idLen(m.CorrelationID)
	for i := range m.Headers {
		n += textLen(m.Headers[i].Name) + textLen(m.Headers[i].Value)
	}
	return n
}

// appendMessage appends m as a frame.
func appendMessage(dst []byte, m *transport.Message, r routing) []byte {
	at := len(dst)
	dst = append(dst, byte(kindMessage), 0, 0, 0, 0, 0, 0, 0)
	flags := flagsOf(m, r)
	dst = appendNumber(dst, flags)
	if r.delivery != 0 {
		dst = appendNumber(dst, r.delivery)
	}
	dst = appendTextIf(appendTextIf(dst, r.subscription), r.to)
	dst = appendTextIf(appendTextIf(appendTextIf(dst, m.ReplyTo), m.Subject), m.ContentType)
	dst = appendID(appendID(dst, m.ID), m.CorrelationID)
	if flags&hasExpires != 0 {
		dst = binary.AppendVarint(dst, m.Expires.Unix())
		dst = appendNumber(dst, uint64(m.Expires.Nanosecond()))
	}
	if flags&hasAttempt != 0 {
		dst = appendNumber(dst, uint64(m.Attempt))
	}
	if flags&hasHeaders != 0 {
		dst = appendHeaders(dst, m.Headers)
	}
	setLengths(dst[at:], len(m.Body))
	return append(dst, m.Body...)
}

func flagsOf(m *transport.Message, r routing) uint64 {
	return flagIf(hasConfirm, r.confirm) |
		flagIf(hasDurable, m.Durable) |
		flagIf(hasDelivery, r.delivery != 0) |
		flagIf(hasSubscription, r.subscription != "") |
		flagIf(hasTo, r.to != "") |
		flagIf(hasReplyTo, m.ReplyTo != "") |
		flagIf(hasSubject, m.Subject != "") |
		flagIf(hasContentType, m.ContentType != "") |
		flagIf(hasID, !m.ID.IsZero()) |
		flagIf(hasCorrelationID, !m.CorrelationID.IsZero()) |
		flagIf(hasExpires, !m.Expires.IsZero()) |
		flagIf(hasAttempt, m.Attempt > 0) |
		flagIf(hasHeaders, len(m.Headers) > 0)
}

func flagIf(flag uint64, set bool) uint64 {
	if set {
		return flag
	}
	return 0
}

// appendTextIf appends a text unless it is empty.
func appendTextIf(dst []byte, s string) []byte {
	if s == "" {
		return dst
	}
	return appendText(dst, s)
}

func appendHeaders(dst []byte, headers []transport.Header) []byte {
	dst = appendNumber(dst, uint64(len(headers)))
	for i := range headers {
		dst = appendText(appendText(dst, headers[i].Name), headers[i].Value)
	}
	return dst
}

// appendID appends an ID with its kind, or nothing for the zero ID.
func appendID(dst []byte, id transport.ID) []byte {
	if id.IsZero() {
		return dst
	}
	dst = append(dst, byte(id.Kind()))
	switch id.Kind() {
	case transport.IDNumber:
		return appendNumber(dst, id.Number())
	case transport.IDUUID:
		return append(dst, id.Bytes()...)
	case transport.IDBinary:
		return appendText(dst, string(id.Bytes()))
	default:
		return appendText(dst, id.String())
	}
}

// idLen is at least the length of appendID's bytes.
func idLen(id transport.ID) int {
	switch id.Kind() {
	case transport.IDNone:
		return 0
	case transport.IDNumber, transport.IDUUID:
		return 20
	default:
		return 1 + textLen(id.String())
	}
}

// parseMessage makes a Message of a frame with at most the given number of
// headers. The body is f's.
func parseMessage(f frame, headers int) (*transport.Message, routing, error) {
	in := &f.head
	flags := in.number(hasEnd - 1)
	m := &transport.Message{Body: f.body, Durable: flags&hasDurable != 0}
	r := routing{confirm: flags&hasConfirm != 0}
	if flags&hasDelivery != 0 {
		r.delivery = in.number(1<<64 - 1)
	}
	m.Subscription = in.textIf(flags & hasSubscription)
	m.To = in.textIf(flags & hasTo)
	m.ReplyTo = in.textIf(flags & hasReplyTo)
	m.Subject = in.textIf(flags & hasSubject)
	m.ContentType = in.textIf(flags & hasContentType)
	if flags&hasID != 0 {
		m.ID = in.id()
	}
	if flags&hasCorrelationID != 0 {
		m.CorrelationID = in.id()
	}
	if flags&hasExpires != 0 {
		m.Expires = in.time()
	}
	if flags&hasAttempt != 0 {
		m.Attempt = int(in.number(1<<31 - 1))
	}
	if flags&hasHeaders != 0 {
		if err := in.headers(&m.Headers, headers); err != nil {
			return nil, r, err
		}
	}
	r.subscription = m.Subscription
	return m, r, in.end(kindMessage)
}

// textIf reads a text if the flag is set.
func (f *fields) textIf(flag uint64) string {
	if flag == 0 {
		return ""
	}
	return f.text()
}

// headers reads headers, at most limit.
func (f *fields) headers(to *[]transport.Header, limit int) error {
	n := f.number(maxHead)
	if n > uint64(limit) {
		return tooLarge("a frame has %d headers, the limit is %d", n, limit)
	}
	if n > uint64(len(f.rest)/2) { // each takes two bytes
		f.bad = true
		return nil
	}
	headers := make([]transport.Header, n)
	for i := range headers {
		headers[i].Name = f.text()
		headers[i].Value = f.text()
	}
	*to = headers
	return nil
}

// id reads an ID and its kind.
func (f *fields) id() transport.ID {
	var id transport.ID
	switch transport.IDKind(f.number(uint64(transport.IDBinary))) {
	case transport.IDText:
		id = transport.TextID(f.text())
	case transport.IDNumber:
		id = transport.NumberID(f.number(1<<64 - 1))
	case transport.IDUUID:
		var u [16]byte
		copy(u[:], f.cut(16))
		id = transport.UUIDID(u)
	case transport.IDBinary:
		id = transport.BinaryID([]byte(f.text()))
	}
	f.bad = f.bad || id.IsZero()
	return id
}

// time reads a time as the seconds since 1970, which may be negative, and the
// nanoseconds after that.
func (f *fields) time() time.Time {
	n := f.number(1<<64 - 1)
	seconds := int64(n>>1) ^ -int64(n&1) // as encoding/binary has it
	return time.Unix(seconds, int64(f.number(1e9-1)))
}
