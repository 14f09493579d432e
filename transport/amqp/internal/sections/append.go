package sections

import (
	"slices"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/codec"
)

// The descriptors of the sections that are written.
const (
	header      = 0x70
	properties  = 0x73
	application = 0x74
	data        = 0x75
)

// AppendHeader appends section 3.2.1, which says no more than whether the
// message is durable.
func AppendHeader(dst []byte, durable bool) []byte {
	dst, at := codec.BeginList(codec.AppendDescriptor(dst, header))
	return codec.EndList(codec.AppendBool(dst, durable), at, 1)
}

// AppendProperties appends section 3.2.4 of m, with another address and subject
// in place of its own. Texts must be UTF-8, and the content type ASCII.
func AppendProperties(dst []byte, m *transport.Message, to, subject string) []byte {
	dst, at := codec.BeginList(codec.AppendDescriptor(dst, properties))
	end, count := len(dst), 0 // of the last field that is not null
	said := func(number int, there bool) {
		if there {
			end, count = len(dst), number
		}
	}
	dst = appendID(dst, m.ID)
	said(1, !m.ID.IsZero())
	dst = appendText(codec.AppendNull(dst), to)
	said(3, to != "")
	dst = appendText(dst, subject)
	said(4, subject != "")
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

// AppendHeaders appends section 3.2.5, whose names differ: of those that repeat,
// the first counts, as it does in Message.Header. Without headers it appends
// nothing.
func AppendHeaders(dst []byte, headers []transport.Header) []byte {
	if len(headers) == 0 {
		return dst
	}
	dst, at := codec.BeginMap(codec.AppendDescriptor(dst, application))
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

// AppendBody appends section 3.2.6.
func AppendBody(dst, body []byte) []byte {
	return codec.AppendBinary(codec.AppendDescriptor(dst, data), body)
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
