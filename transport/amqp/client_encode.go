package amqp

import (
	"strings"
	"unicode/utf8"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/sections"
)

// check reports why m cannot be said, and how long it is at most.
func check(m *transport.Message, l *transport.Limits) (size int, err error) {
	if len(m.Body) > l.Message {
		return 0, tooLarge("the body has %d bytes, the limit is %d", len(m.Body), l.Message)
	}
	size = 128
	for _, f := range [...]struct{ name, value string }{
		{"to", m.To},
		{"reply-to", m.ReplyTo},
		{"subject", m.Subject},
		{"message-id", idText(m.ID)},
		{"correlation-id", idText(m.CorrelationID)},
	} {
		if !utf8.ValidString(f.value) {
			return 0, invalid("%s %.40q is not UTF-8", f.name, f.value)
		}
		size += len(f.value)
	}
	if i := strings.IndexFunc(m.ContentType, func(r rune) bool { return r >= utf8.RuneSelf }); i >= 0 {
		return 0, invalid("content-type %.40q is not ASCII, as a symbol must be", m.ContentType)
	}
	size += len(m.ContentType)
	for _, h := range m.Headers {
		if !utf8.ValidString(h.Name) || !utf8.ValidString(h.Value) {
			return 0, invalid("the header %.40q is not UTF-8", h.Name)
		}
		size += len(h.Name) + len(h.Value) + 10
	}
	size += len(m.ID.Bytes()) + len(m.CorrelationID.Bytes())
	if size > l.HeaderBytes || len(m.Headers) > l.Headers {
		return 0, tooLarge("the header fields are over the limit of %d in %d bytes", l.Headers, l.HeaderBytes)
	}
	return size + len(m.Body), nil
}

// idText is the part of an ID that may not be UTF-8.
func idText(id transport.ID) string {
	if id.Kind() == transport.IDText {
		return id.String()
	}
	return ""
}

// appendMessage appends the sections of m (part 3, section 3.2), for to, with a
// subject. Of headers with the same name only the first can be said, for they are
// a map. There is always a header section: without one RabbitMQ 4 takes a message
// for durable.
func appendMessage(dst []byte, m *transport.Message, to, subject string) []byte {
	dst = sections.AppendHeader(dst, m.Durable)
	dst = sections.AppendProperties(dst, m, to, subject)
	return sections.AppendBody(sections.AppendHeaders(dst, m.Headers), m.Body)
}
