package acceptor

import (
	"strings"
	"unicode/utf8"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/codec"
	"github.com/polyport/polyport/transport/amqp/internal/sections"
)

// check reports why m cannot be said, or how many bytes it takes at most.
func check(m *transport.Message, l transport.Limits) (size int, err error) {
	if len(m.Body) > l.Message {
		return 0, oversize("the body has %d bytes, the limit is %d", len(m.Body), l.Message)
	}
	// Sections, the fields of fixed size, and what goes before each text.
	size = 128 + 10*len(m.Headers)
	for _, f := range [...]struct{ name, value string }{
		{"to", m.To},
		{"reply-to", m.ReplyTo},
		{"subject", m.Subject},
		{"content-type", m.ContentType},
		{"message-id", speakable(m.ID)},
		{"correlation-id", speakable(m.CorrelationID)},
	} {
		if !utf8.ValidString(f.value) {
			return 0, invalid("%s %.40q is not UTF-8", f.name, f.value)
		}
		size += len(f.value)
	}
	if !isASCII(m.ContentType) {
		return 0, invalid("content-type %.40q is not ASCII", m.ContentType)
	}
	for i, h := range m.Headers {
		switch {
		case h.Name == "":
			return 0, invalid("a header has no name")
		case !utf8.ValidString(h.Name), !utf8.ValidString(h.Value):
			return 0, invalid("the header %.40q is not UTF-8", h.Name)
		}
		size += len(h.Name) + len(h.Value)
		if i == l.Headers {
			return 0, oversize("%d headers, the limit is %d", len(m.Headers), l.Headers)
		}
	}
	size += len(m.ID.Bytes()) + len(m.CorrelationID.Bytes())
	if size > l.HeaderBytes {
		return 0, oversize("the header fields are over the limit of %d bytes", l.HeaderBytes)
	}
	return size + len(m.Body), nil
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// speakable is the part of an ID that has to be checked: a text.
func speakable(id transport.ID) string {
	if id.Kind() == transport.IDText {
		return id.String()
	}
	return ""
}

// appendMessage appends the sections that m stands for (section 3.2).
func appendMessage(dst []byte, m *transport.Message) []byte {
	if m.Durable {
		dst = sections.AppendHeader(dst, true)
	}
	return sections.AppendBody(appendInfo(dst, m), m.Body)
}

// appendDelivered is appendMessage for a message of the broker, with how often and
// how long it has been under way (section 3.2.1).
func appendDelivered(dst []byte, m *transport.Message) []byte {
	dst, at := codec.BeginList(codec.AppendDescriptor(dst, sectionHeader))
	dst = codec.AppendNull(codec.AppendBool(dst, m.Durable)) // priority
	if ttl := left(m); ttl > 0 {
		dst = codec.AppendUint(dst, ttl)
	} else {
		dst = codec.AppendNull(dst)
	}
	dst = codec.AppendBool(dst, m.Attempt == 0) // first-acquirer
	dst = codec.EndList(codec.AppendUint(dst, uint32(max(m.Attempt, 0))), at, 5)
	if m.ContentType == valueType {
		bare := *m
		bare.ContentType = ""
		return appendBody(appendInfo(dst, &bare), m)
	}
	return appendBody(appendInfo(dst, m), m)
}

// appendInfo appends the sections between header and body.
func appendInfo(dst []byte, m *transport.Message) []byte {
	return sections.AppendHeaders(sections.AppendProperties(dst, m, m.To, m.Subject), m.Headers)
}
