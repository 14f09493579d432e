package stomp

import (
	"strconv"
	"time"

	"github.com/go-stomp/stomp/v3/frame"

	"github.com/polyport/polyport/transport"
)

// message returns what the last frame, a SEND or MESSAGE, has carried.
func (r *frameReader) message() *transport.Message {
	m := r.parcel
	if m == nil {
		m = new(transport.Message)
	}
	*m = r.carried
	m.Headers = append([]transport.Header(nil), r.carried.Headers...) // the next frame's are read into these
	m.Body = r.frame.Body
	return m
}

// wrap makes room for a body of n bytes, and for the message if there is one.
func (r *frameReader) wrap(n int) {
	if r.frame.Command == frame.SEND || r.frame.Command == frame.MESSAGE {
		r.parcel, r.body = transport.NewMessage(n)
	}
}

// take puts a header line where it belongs. Of a repeated header that a field
// stands for, the first counts ("Repeated Header Entries"); others are kept as
// they came.
func (r *frameReader) take(h *headLine) {
	m := &r.carried
	switch {
	case h.meaning == isProtocol, r.frame.Command != frame.SEND && r.frame.Command != frame.MESSAGE:
		r.frame.Header.Add(h.name, h.value)
	case h.meaning == 0:
		m.Headers = append(m.Headers, transport.Header{Name: h.name, Value: h.value})
	case r.said&h.meaning == 0:
		r.said |= h.meaning
		setField(m, h.meaning, h.value)
	}
}

// known is a set of headers that have a meaning.
type known uint16

const (
	isDestination known = 1 << iota
	isReplyTo
	isContentType
	isSubject
	isSubscription
	isCorrelationID
	isMessageID
	isExpires
	isPersistent
	isRedelivered
	isDeliveryCount
	isProtocol // of no interest to who gets the message
)

// knownHeader returns the meaning of a header, or 0.
func knownHeader(name string) known {
	switch name {
	case frame.Destination:
		return isDestination
	case replyTo:
		return isReplyTo
	case frame.ContentType:
		return isContentType
	case subject:
		return isSubject
	case frame.Subscription:
		return isSubscription
	case correlationID:
		return isCorrelationID
	case amqpMessageID:
		return isMessageID
	case expires:
		return isExpires
	case persistent:
		return isPersistent
	case redelivered:
		return isRedelivered
	case deliveryCount:
		return isDeliveryCount
	case frame.MessageId, frame.ContentLength, frame.Ack, frame.Receipt, frame.ReceiptId, frame.Transaction:
		return isProtocol
	}
	return 0
}

// setField sets the field of m that a header stands for.
func setField(m *transport.Message, k known, value string) {
	switch k {
	case isDestination:
		m.To = value
	case isReplyTo:
		m.ReplyTo = value
	case isContentType:
		m.ContentType = value
	case isSubject:
		m.Subject = value
	case isSubscription:
		m.Subscription = value
	case isCorrelationID:
		m.CorrelationID = transport.TextID(value)
	case isMessageID:
		m.ID = transport.TextID(value)
	case isExpires:
		if ms, err := strconv.ParseInt(value, 10, 64); err == nil && ms > 0 {
			m.Expires = time.UnixMilli(ms)
		}
	case isPersistent:
		m.Durable = value == "true"
	case isRedelivered:
		if value == "true" {
			m.Attempt = max(m.Attempt, 1)
		}
	case isDeliveryCount:
		if n, err := strconv.ParseUint(value, 10, 31); err == nil {
			m.Attempt = max(m.Attempt, int(n))
		}
	}
}
