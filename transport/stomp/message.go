package stomp

import (
	"strconv"
	"time"

	"github.com/go-stomp/stomp/v3/frame"

	"github.com/polyport/polyport/transport"
)

// fill makes m the message of a SEND or MESSAGE frame. Of a repeated header that
// a field stands for, the first counts ("Repeated Header Entries"); others are
// kept as they came.
func fill(m *transport.Message, f *frame.Frame) *transport.Message {
	m.Body = f.Body
	var seen known
	for i := range f.Header.Len() {
		name, value := f.Header.GetAt(i)
		k := knownHeader(name)
		if k == 0 {
			m.Headers = append(m.Headers, transport.Header{Name: name, Value: value})
		} else if seen&k == 0 {
			seen |= k
			setField(m, k, value)
		}
	}
	return m
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
	isProtocol // of no interest to the receiver
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
			m.Attempt = 1
		}
	}
}
