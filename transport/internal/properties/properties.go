// Package properties writes down what a message says besides its body, for wires
// whose frames have no place for it, between ends that both know this spelling.
//
// Each property is the length of its name in one byte, the name, the length of its
// value in four bytes, the highest first, and the value, as ZMTP has it for the
// metadata of its handshake (https://rfc.zeromq.org/spec/23). They are to, reply-to,
// subject, content-type, id, correlation-id, expires, durable and, with X- before
// its name, each header. The value of an id begins with its kind: t and text, n and
// digits, u and 16 bytes, b and any bytes. Others are passed over.
package properties

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/polyport/polyport/transport"
)

// The names of properties. Those of headers have headerPrefix before them.
const (
	toProperty            = "to"
	replyToProperty       = "reply-to"
	subjectProperty       = "subject"
	contentTypeProperty   = "content-type"
	idProperty            = "id"
	correlationIDProperty = "correlation-id"
	expiresProperty       = "expires"
	durableProperty       = "durable"
	headerPrefix          = "X-"

	// longestHeader is the most bytes in the name of a header.
	longestHeader = 255 - len(headerPrefix)
	// propertyCost is the most bytes of a property of ours but for its value.
	propertyCost = 1 + len(correlationIDProperty) + 4
	// idCost is the most bytes of an ID that is no text.
	idCost = 24
)

// json is the content type of nearly all messages.
const json = "application/json"

// length is at least the length of the properties of m.
func length(m *transport.Message, to string) int {
	n := 8*propertyCost + len(to) + len(m.ReplyTo) + len(m.Subject) + len(m.ContentType) +
		idLen(m.ID) + idLen(m.CorrelationID) + 2*binary.MaxVarintLen64
	for i := range m.Headers {
		n += propertyCost + len(headerPrefix) + len(m.Headers[i].Name) + len(m.Headers[i].Value)
	}
	return n
}

func idLen(id transport.ID) int {
	if id.Kind() == transport.IDText || id.Kind() == transport.IDBinary {
		return 1 + len(id.String())
	}
	return idCost
}

// AppendMessage appends the properties of m, whose destination is to.
func AppendMessage(dst []byte, m *transport.Message, to string) []byte {
	dst = appendTextProperty(dst, contentTypeProperty, m.ContentType)
	dst = appendIDProperty(dst, correlationIDProperty, m.CorrelationID)
	dst = appendIDProperty(dst, idProperty, m.ID)
	dst = appendTextProperty(dst, toProperty, to)
	dst = appendTextProperty(dst, replyToProperty, m.ReplyTo)
	dst = appendTextProperty(dst, subjectProperty, m.Subject)
	if !m.Expires.IsZero() {
		var moment [2 * binary.MaxVarintLen64]byte
		at := binary.AppendVarint(moment[:0], m.Expires.Unix())
		dst = Append(dst, expiresProperty, binary.AppendUvarint(at, uint64(m.Expires.Nanosecond())))
	}
	if m.Durable {
		dst = Append(dst, durableProperty, "")
	}
	for i := range m.Headers {
		h := &m.Headers[i]
		dst = append(append(dst, byte(len(headerPrefix)+len(h.Name))), headerPrefix...)
		dst = append(dst, h.Name...)
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(h.Value)))
		dst = append(dst, h.Value...)
	}
	return dst
}

func appendTextProperty(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return Append(dst, name, value)
}

// The first byte of an ID says which kind it is of.
const (
	textID   = 't'
	numberID = 'n' // digits follow
	uuidID   = 'u'
	binaryID = 'b'
)

func appendIDProperty(dst []byte, name string, id transport.ID) []byte {
	if id.IsZero() {
		return dst
	}
	var small [idCost]byte
	value := small[:0]
	switch id.Kind() {
	case transport.IDNumber:
		value = strconv.AppendUint(append(value, numberID), id.Number(), 10)
	case transport.IDUUID:
		value = append(append(value, uuidID), id.Bytes()...)
	case transport.IDBinary:
		value = append(append(value, binaryID), id.Bytes()...)
	default:
		value = append(append(value, textID), id.String()...)
	}
	return Append(dst, name, value)
}

func parseID(value []byte) (transport.ID, error) {
	if len(value) == 0 {
		return transport.ID{}, malformed("a property has an empty id")
	}
	rest := value[1:]
	switch value[0] {
	case textID:
		return transport.TextID(string(rest)), nil
	case numberID:
		if n, ok := parseDigits(rest); ok {
			return transport.NumberID(n), nil
		}
	case uuidID:
		if len(rest) == 16 {
			return transport.UUIDID([16]byte(rest)), nil
		}
	case binaryID:
		return transport.BinaryID(rest), nil
	}
	return transport.ID{}, malformed("a property has the id %.40q, which is of no kind", value)
}

// parseDigits reads a number without taking memory.
func parseDigits(text []byte) (n uint64, ok bool) {
	if len(text) == 0 || len(text) > 20 {
		return 0, false
	}
	for _, c := range text {
		if c < '0' || c > '9' || n > (1<<64-1-uint64(c-'0'))/10 {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}

// Set sets the fields of m that the properties p tell, with at most the given
// number of headers. Its errors wrap [transport.ErrProtocol] or
// [transport.ErrTooLarge].
func Set(m *transport.Message, p []byte, headers int) error {
	for n := 0; len(p) > 0; n++ {
		if n > headers+8 {
			return tooLarge("a message has more than %d headers", headers)
		}
		name, value, rest, err := Cut(p)
		if err != nil {
			return err
		}
		p = rest
		if len(name) > len(headerPrefix) && string(name[:len(headerPrefix)]) == headerPrefix {
			if len(m.Headers) >= headers {
				return tooLarge("a message has more than %d headers", headers)
			}
			m.Headers = append(m.Headers, transport.Header{Name: string(name[len(headerPrefix):]), Value: string(value)})
			continue
		}
		if err := setProperty(m, name, value); err != nil {
			return err
		}
	}
	return nil
}

func setProperty(m *transport.Message, name, value []byte) (err error) {
	switch string(name) {
	case contentTypeProperty:
		m.ContentType = json
		if string(value) != json {
			m.ContentType = string(value)
		}
	case correlationIDProperty:
		m.CorrelationID, err = parseID(value)
	case idProperty:
		m.ID, err = parseID(value)
	case toProperty:
		m.To = string(value)
	case replyToProperty:
		m.ReplyTo = string(value)
	case subjectProperty:
		m.Subject = string(value)
	case expiresProperty:
		seconds, n := binary.Varint(value)
		nanos, k := binary.Uvarint(value[max(0, n):])
		if n <= 0 || k <= 0 || nanos >= uint64(time.Second) {
			return malformed("a property has the moment %.40q, which is none", value)
		}
		m.Expires = time.Unix(seconds, int64(nanos)).UTC()
	case durableProperty:
		m.Durable = true
	}
	return err
}

// Check returns about how long the properties of m are, and never less, or why they
// cannot be said to a peer with limits l.
func Check(m *transport.Message, to string, l transport.Limits) (size int, err error) {
	for i := range m.Headers {
		switch name := m.Headers[i].Name; {
		case name == "":
			return 0, invalid("a header without a name")
		case len(name) > longestHeader:
			return 0, invalid("the name of header %.40q… has %d bytes; there is room for %d", name, len(name), longestHeader)
		}
	}
	size = length(m, to)
	if size > l.HeaderBytes || len(m.Headers) > l.Headers {
		return 0, tooLarge("the header fields are over the limit of %d in %d bytes", l.Headers, l.HeaderBytes)
	}
	return size, nil
}

// Append appends a property as ZMTP spells it: the length of its name in
// one byte, the name, the length of its value in four, the value.
func Append[V string | []byte](dst []byte, name string, value V) []byte {
	dst = append(append(dst, byte(len(name))), name...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(value)))
	return append(dst, value...)
}

// Cut returns the first property of p, which is not empty, and what is after
// it. They are parts of p.
func Cut(p []byte) (name, value, rest []byte, err error) {
	const lengths = 1 + 4
	n := int(p[0])
	if len(p) < n+lengths {
		return nil, nil, nil, malformed("a property is cut off")
	}
	v := binary.BigEndian.Uint32(p[1+n:])
	if uint64(v) > uint64(len(p)-n-lengths) {
		return nil, nil, nil, malformed("the value of property %.40q is cut off", p[1:1+n])
	}
	end := lengths + n + int(v)
	return p[1 : 1+n], p[lengths+n : end], p[end:], nil
}

// malformed is the error for what breaks the rules.
func malformed(format string, args ...any) error {
	return transport.WithReason(transport.ErrProtocol, fmt.Sprintf(format, args...))
}

// tooLarge is the error for what is over a limit.
func tooLarge(format string, args ...any) error {
	return transport.WithReason(transport.ErrTooLarge, fmt.Sprintf(format, args...))
}

// invalid is the error for what cannot be said.
func invalid(format string, args ...any) error {
	return transport.WithReason(transport.ErrInvalid, fmt.Sprintf(format, args...))
}
