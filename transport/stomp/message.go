package stomp

import (
	"strconv"
	"time"

	"github.com/go-stomp/stomp/v3/frame"

	"github.com/polyport/polyport/transport"
)

// message makes a Message of a SEND or MESSAGE frame. The first of repeated
// headers counts ("Repeated Header Entries").
func message(f *frame.Frame) *transport.Message {
	m := &transport.Message{Body: f.Body}
	for i := range f.Header.Len() {
		name, value := f.Header.GetAt(i)
		if known := setField(m, name, value); !known {
			m.Headers = append(m.Headers, transport.Header{Name: name, Value: value})
		}
	}
	return m
}

// setField sets the field of m that a header stands for, if it is the first.
func setField(m *transport.Message, name, value string) (known bool) {
	switch name {
	case frame.Destination:
		first(&m.To, value)
	case replyTo:
		first(&m.ReplyTo, value)
	case frame.ContentType:
		first(&m.ContentType, value)
	case subject:
		first(&m.Subject, value)
	case frame.Subscription:
		first(&m.Subscription, value)
	case correlationID:
		if m.CorrelationID.IsZero() {
			m.CorrelationID = transport.TextID(value)
		}
	case amqpMessageID:
		m.ID = transport.TextID(value)
	case expires:
		if ms, err := strconv.ParseInt(value, 10, 64); err == nil && ms > 0 {
			m.Expires = time.UnixMilli(ms)
		}
	case persistent:
		m.Durable = value == "true"
	case "redelivered":
		if value == "true" {
			m.Attempt = max(m.Attempt, 1)
		}
	case frame.MessageId, frame.ContentLength, frame.Ack, frame.Receipt, frame.ReceiptId, frame.Transaction:
	default:
		return false
	}
	return true
}

func first(field *string, value string) {
	if *field == "" {
		*field = value
	}
}
