package stomp

import (
	"strconv"

	"github.com/go-stomp/stomp/v3/frame"

	"github.com/polyport/polyport/transport"
)

// Header names that the specification does not have but brokers do.
const (
	replyTo       = "reply-to"
	correlationID = "correlation-id"
	amqpMessageID = "amqp-message-id" // RabbitMQ's name for the sender's message id
	subject       = "subject"
	expires       = "expires" // milliseconds since 1970, as in JMS
	persistent    = "persistent"
	redelivered   = "redelivered"
	deliveryCount = "x-delivery-count" // RabbitMQ's, of earlier deliveries
	requeue       = "requeue"          // RabbitMQ's, in NACK
	selector      = "selector"
	prefetchCount = "prefetch-count"
	prefetchSize  = "activemq.prefetchSize"
)

// check reports why m cannot be said in version v, and how long it is about.
func check(v version, m *transport.Message, l transport.Limits) (size int, err error) {
	if len(m.Body) > l.Message {
		return 0, tooLarge("the body has %d bytes, the limit is %d", len(m.Body), l.Message)
	}
	size = len(m.Body) + 256
	lines := len(m.Headers) + 4 // subscription, message-id, ack, content-length
	for _, f := range [...]struct{ name, value string }{
		{frame.Destination, m.To},
		{replyTo, m.ReplyTo},
		{frame.ContentType, m.ContentType},
		{correlationID, speakable(m.CorrelationID)},
		{amqpMessageID, speakable(m.ID)},
		{subject, m.Subject},
	} {
		if f.value == "" {
			continue
		}
		if err := v.check(f.name, f.value, false); err != nil {
			return 0, err
		}
		lines++
		size += len(f.value)
	}
	for _, h := range m.Headers {
		if h.Name == "" || knownHeader(h.Name) != 0 {
			return 0, invalid("header name %q is empty or has a field of its own in Message", h.Name)
		}
		if err := v.check("header name", h.Name, true); err != nil {
			return 0, err
		}
		if err := v.check(h.Name, h.Value, false); err != nil {
			return 0, err
		}
		size += len(h.Name) + len(h.Value) + 2
	}
	if size-len(m.Body) > l.HeaderBytes || len(m.Headers) > 0 && lines > l.Headers {
		return 0, tooLarge("the header fields are over the limit of %d in %d bytes", l.Headers, l.HeaderBytes)
	}
	return size, nil
}

// sizeOf is about how many bytes m takes up.
func sizeOf(m *transport.Message) int {
	size := len(m.Body) + 256 + len(m.To) + len(m.ReplyTo) + len(m.ContentType) + len(m.Subject)
	for _, h := range m.Headers {
		size += len(h.Name) + len(h.Value) + 2
	}
	return size
}

// appendMessage appends the header lines that m's fields stand for, and its
// body; the command and what the protocol adds is there already.
func appendMessage(dst []byte, v version, to string, m *transport.Message) []byte {
	dst = v.appendOwn(dst, frame.Destination, to)
	dst = v.appendField(dst, replyTo, m.ReplyTo)
	dst = v.appendField(dst, frame.ContentType, m.ContentType)
	dst = v.appendID(dst, correlationID, m.CorrelationID)
	dst = v.appendID(dst, amqpMessageID, m.ID)
	dst = v.appendField(dst, subject, m.Subject)
	if !m.Expires.IsZero() {
		dst = append(append(dst, expires...), ':')
		dst = append(strconv.AppendInt(dst, m.Expires.UnixMilli(), 10), '\n')
	}
	if m.Durable {
		dst = v.appendOwn(dst, persistent, "true")
	}
	for _, h := range m.Headers {
		if h.Name != "" && knownHeader(h.Name) == 0 { // of what came by another wire
			dst = v.appendHeader(dst, h.Name, h.Value)
		}
	}
	return appendBody(dst, m.Body)
}

// speakable is the part of an ID that has to be checked: a text of any kind.
// Numbers, UUIDs and bytes are written in digits and stand for themselves.
func speakable(id transport.ID) string {
	if id.Kind() == transport.IDText {
		return id.String()
	}
	return ""
}

// appendID appends a header line for an ID, unless there is none.
func (v version) appendID(dst []byte, name string, id transport.ID) []byte {
	switch id.Kind() {
	case transport.IDNone:
		return dst
	case transport.IDText:
		return v.appendOwn(dst, name, id.String())
	}
	return append(id.Append(append(append(dst, name...), ':')), '\n')
}

// appendBody appends content-length, without which a NUL byte in the body would
// end the frame, the empty line, the body and the end.
func appendBody(dst, body []byte) []byte {
	dst = append(dst, frame.ContentLength...)
	dst = append(dst, ':')
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	dst = append(dst, "\n\n"...)
	return append(append(dst, body...), 0)
}

// appendField appends a header line unless its value is empty.
func (v version) appendField(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return v.appendOwn(dst, name, value)
}

// appendOwn appends a header line whose name is known to need no escape.
func (v version) appendOwn(dst []byte, name, value string) []byte {
	dst = append(append(dst, name...), ':')
	return append(v.appendText(dst, value), '\n')
}

// appendHeader appends any header line.
func (v version) appendHeader(dst []byte, name, value string) []byte {
	dst = append(v.appendText(dst, name), ':')
	return append(v.appendText(dst, value), '\n')
}

func appendCommand(dst []byte, command string) []byte {
	return append(append(dst, command...), '\n')
}

// appendFrame appends a whole frame, for those that are rare.
func appendFrame(dst []byte, v version, f *frame.Frame) []byte {
	dst = appendCommand(dst, f.Command)
	if f.Command == frame.CONNECT || f.Command == frame.CONNECTED {
		v = v10 // these are never escaped ("Value Encoding")
	}
	for i := range f.Header.Len() {
		name, value := f.Header.GetAt(i)
		dst = v.appendHeader(dst, name, value)
	}
	return appendBody(dst, f.Body)
}
