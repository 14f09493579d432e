package amqp

import (
	"slices"
	"strings"
	"unicode/utf8"

	goamqp "github.com/Azure/go-amqp"

	"github.com/polyport/polyport/transport"
)

// framing is what a message in a frame takes up at most besides its body and
// the texts of its fields.
const framing = 512

// check reports why m cannot be said, and how long it is about.
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

// A draft is go-amqp's message with all that it points to, in one piece of memory.
type draft struct {
	message                         goamqp.Message
	header                          goamqp.MessageHeader
	properties                      goamqp.MessageProperties
	data                            [1][]byte
	to, replyTo, subject, mediaType string
}

// encode makes go-amqp's message of m, for to, with a subject. It shares nothing with m. Of
// headers with the same name only the first can be said, for they are a map.
func encode(m *transport.Message, to, subject string) *goamqp.Message {
	d := &draft{to: to, replyTo: m.ReplyTo, subject: subject, mediaType: m.ContentType}
	d.header = goamqp.MessageHeader{Durable: m.Durable, Priority: 4} // without one RabbitMQ 4 takes it for durable
	d.properties = goamqp.MessageProperties{
		MessageID: anyID(m.ID), CorrelationID: anyID(m.CorrelationID),
		To: optional(&d.to), ReplyTo: optional(&d.replyTo), Subject: optional(&d.subject), ContentType: optional(&d.mediaType),
	}
	if !m.Expires.IsZero() {
		at := m.Expires
		d.properties.AbsoluteExpiryTime = &at
	}
	d.data[0] = append(make([]byte, 0, len(m.Body)), m.Body...)
	d.message = goamqp.Message{Header: &d.header, Properties: &d.properties, Data: d.data[:]}
	if len(m.Headers) > 0 {
		d.message.ApplicationProperties = make(map[string]any, len(m.Headers))
		for _, h := range slices.Backward(m.Headers) {
			d.message.ApplicationProperties[h.Name] = h.Value
		}
	}
	return &d.message
}

// optional returns s, or nil if there is nothing to say.
func optional(s *string) *string {
	if *s == "" {
		return nil
	}
	return s
}

// anyID is an ID as go-amqp has it.
func anyID(id transport.ID) any {
	switch id.Kind() {
	case transport.IDText:
		return id.String()
	case transport.IDNumber:
		return id.Number()
	case transport.IDUUID:
		return goamqp.UUID(id.Bytes())
	case transport.IDBinary:
		return id.Bytes()
	}
	return nil
}
