package acceptor

import (
	"strings"
	"unicode/utf8"

	"github.com/polyport/polyport/transport"
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
	return strings.IndexFunc(s, func(r rune) bool { return r > '~' || r < ' ' }) < 0
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
	dst = sections.AppendProperties(dst, m, m.To, m.Subject)
	return sections.AppendBody(sections.AppendHeaders(dst, m.Headers), m.Body)
}
