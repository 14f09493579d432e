package acceptor

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/codec"
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
		var at int
		dst, at = codec.BeginList(codec.AppendDescriptor(dst, sectionHeader))
		dst = codec.EndList(codec.AppendBool(dst, true), at, 1)
	}
	dst = appendInfo(dst, m)
	return codec.AppendBinary(codec.AppendDescriptor(dst, sectionData), m.Body)
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
	dst = appendProperties(dst, m)
	if len(m.Headers) > 0 {
		dst = appendHeaders(dst, m.Headers)
	}
	return dst
}

// appendHeaders appends section 3.2.5, whose names differ: of those that repeat,
// the first counts, as it does in Message.Header.
func appendHeaders(dst []byte, headers []transport.Header) []byte {
	dst, at := codec.BeginMap(codec.AppendDescriptor(dst, sectionApplication))
	n := 0
	for i, h := range headers {
		if slices.ContainsFunc(headers[:i], func(e transport.Header) bool { return e.Name == h.Name }) {
			continue
		}
		dst = codec.AppendString(codec.AppendString(dst, h.Name), h.Value)
		n += 2
	}
	return codec.EndMap(dst, at, n)
}

// appendProperties appends section 3.2.4.
func appendProperties(dst []byte, m *transport.Message) []byte {
	dst, at := codec.BeginList(codec.AppendDescriptor(dst, sectionProperties))
	end, count := len(dst), 0 // of the last field that is not null
	said := func(number int, there bool) {
		if there {
			end, count = len(dst), number
		}
	}
	dst = appendID(dst, m.ID)
	said(1, !m.ID.IsZero())
	dst = appendText(codec.AppendNull(dst), m.To)
	said(3, m.To != "")
	dst = appendText(dst, m.Subject)
	said(4, m.Subject != "")
	dst = appendText(dst, m.ReplyTo)
	said(5, m.ReplyTo != "")
	dst = appendID(dst, m.CorrelationID)
	said(6, !m.CorrelationID.IsZero())
	if m.ContentType == "" {
		dst = codec.AppendNull(dst)
	} else {
		dst = codec.AppendSymbol(dst, m.ContentType)
		said(7, true)
	}
	if !m.Expires.IsZero() {
		dst = codec.AppendTimestamp(codec.AppendNull(dst), m.Expires.UnixMilli())
		said(9, true)
	}
	return codec.EndList(dst[:end], at, count)
}

func appendText(dst []byte, text string) []byte {
	if text == "" {
		return codec.AppendNull(dst)
	}
	return codec.AppendString(dst, text)
}

// appendID appends an ID in its own type.
func appendID(dst []byte, id transport.ID) []byte {
	switch id.Kind() {
	case transport.IDText:
		return codec.AppendString(dst, id.String())
	case transport.IDNumber:
		return codec.AppendUlong(dst, id.Number())
	case transport.IDUUID:
		return codec.AppendUUID(dst, [16]byte(id.Bytes()))
	case transport.IDBinary:
		return codec.AppendBinary(dst, id.Bytes())
	}
	return codec.AppendNull(dst)
}
