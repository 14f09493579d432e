package amqp

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"

	"github.com/polyport/polyport/transport"
)

// The descriptors of a message's sections (part 3, section 3.2).
const (
	sectionHeader              = 0x70
	sectionDeliveryAnnotations = 0x71
	sectionMessageAnnotations  = 0x72
	sectionProperties          = 0x73
	sectionApplication         = 0x74
	sectionData                = 0x75
	sectionSequence            = 0x76
	sectionValue               = 0x77
	sectionFooter              = 0x78
)

// decoded is a message as it came, with what only the transport looks at.
type decoded struct {
	transport.Message

	attempts      uint64
	firstAcquirer bool
	hasHeader     bool
}

// decode reads a message's sections (part 3, section 3.2). b belongs to the
// message from then on.
func decode(b []byte, l *transport.Limits) (*decoded, error) {
	d := new(decoded)
	bodies := 0
	for len(b) > 0 {
		code, value, rest, err := section(b)
		if err != nil {
			return nil, err
		}
		b = rest
		switch code {
		case sectionHeader:
			err = d.header(value)
		case sectionProperties:
			err = d.properties(value)
		case sectionApplication:
			err = d.application(value, l)
		case sectionData, sectionValue:
			bodies++
			err = d.body(value, bodies)
		case sectionDeliveryAnnotations, sectionMessageAnnotations, sectionFooter:
		case sectionSequence:
			err = damaged("the body is a sequence; expected data, or a string or bytes as a value")
		default:
			err = damaged("an unknown section %#x", code)
		}
		if err != nil {
			return nil, err
		}
	}
	switch {
	case bodies == 0:
		return nil, damaged("a message without a body")
	case len(d.Body) > l.Message:
		return nil, tooLarge("a body of %d bytes, the limit is %d", len(d.Body), l.Message)
	}
	return d, nil
}

// section reads the described value at the start of b.
func section(b []byte) (code uint64, value, rest []byte, err error) {
	if len(b) == 0 || b[0] != 0 {
		return 0, nil, nil, damaged("a section is a described value")
	}
	// Bytes are looked at once, here; for others skip looks at every element.
	rest, err = skip(b, deepest)
	if err != nil {
		return 0, nil, nil, err
	}
	code, ok := number(b[1:])
	if !ok {
		return 0, nil, nil, damaged("a section whose descriptor is no number")
	}
	value, _ = skip(b[1:], deepest)
	return code, value[:len(value)-len(rest)], rest, nil
}

// listOf reads the fields of a section that is a list.
func listOf(v []byte) (c composite, err error) {
	switch {
	case len(v) > 0 && v[0] == 0x45:
	case len(v) > 0 && (v[0] == 0xc0 || v[0] == 0xd0):
		wide := v[0] == 0xd0
		content, _, _ := sized(v[1:], wide)
		c.count, c.fields, _ = counted(content, wide)
	default:
		return c, damaged("a section that is no list")
	}
	return c, nil
}

func (d *decoded) header(v []byte) error {
	c, err := listOf(v)
	if err != nil {
		return err
	}
	d.hasHeader = true
	d.Durable = truth(c.next())
	c.pass(2) // priority, ttl
	d.firstAcquirer = truth(c.next())
	d.attempts, _ = number(c.next())
	return nil
}

func (d *decoded) properties(v []byte) error {
	c, err := listOf(v)
	if err != nil {
		return err
	}
	d.ID = idOf(c.next())
	c.pass(1) // user-id
	d.To, _ = text(c.next())
	d.Subject, _ = text(c.next())
	d.ReplyTo, _ = text(c.next())
	d.CorrelationID = idOf(c.next())
	d.ContentType, _ = text(c.next())
	c.pass(1) // content-encoding
	if t, ok := moment(c.next()); ok && t.UnixMilli() > 0 {
		d.Expires = t
	}
	return nil
}

// idOf reads a message-id of any of its kinds.
func idOf(v []byte) transport.ID {
	if len(v) == 0 {
		return transport.ID{}
	}
	switch v[0] {
	case 0x44, 0x53, 0x80:
		n, _ := number(v)
		return transport.NumberID(n)
	case 0x98:
		return transport.UUIDID([16]byte(v[1:]))
	}
	if b, ok := octets(v); ok {
		return transport.BinaryID(b)
	}
	s, _ := text(v)
	return transport.TextID(s)
}

// application reads the application-properties as headers.
func (d *decoded) application(v []byte, l *transport.Limits) (err error) {
	size := 0
	ok := pairs(v, func(key, value []byte) {
		name, _ := text(key)
		h := transport.Header{Name: name, Value: plain(value)}
		size += len(h.Name) + len(h.Value)
		if len(d.Headers) == l.Headers || size > l.HeaderBytes {
			err = tooLarge("the application-properties are over the limit of %d in %d bytes", l.Headers, l.HeaderBytes)
			return
		}
		d.Headers = append(d.Headers, h)
	})
	if !ok {
		return damaged("application-properties that are no map")
	}
	return err
}

// plain writes a simple value as text. Those that have no usual form, such as
// decimals, become "".
func plain(v []byte) string {
	if s, ok := text(v); ok {
		return s
	}
	if n, ok := number(v); ok {
		return strconv.FormatUint(n, 10)
	}
	if b, ok := octets(v); ok {
		return string(b)
	}
	if len(v) == 0 {
		return ""
	}
	switch v[0] {
	case 0x41, 0x42, 0x56:
		return strconv.FormatBool(truth(v))
	case 0x51, 0x54, 0x55:
		return strconv.Itoa(int(int8(v[1])))
	case 0x61:
		return strconv.Itoa(int(int16(binary.BigEndian.Uint16(v[1:]))))
	case 0x71:
		return strconv.Itoa(int(int32(binary.BigEndian.Uint32(v[1:]))))
	case 0x81, 0x83:
		return strconv.FormatInt(int64(binary.BigEndian.Uint64(v[1:])), 10)
	case 0x72:
		return strconv.FormatFloat(float64(math.Float32frombits(binary.BigEndian.Uint32(v[1:]))), 'g', -1, 32)
	case 0x82:
		return strconv.FormatFloat(math.Float64frombits(binary.BigEndian.Uint64(v[1:])), 'g', -1, 64)
	case 0x98:
		return transport.UUIDID([16]byte(v[1:])).String()
	}
	return ""
}

// body takes in the n-th section of the body.
func (d *decoded) body(v []byte, n int) error {
	content, ok := octets(v)
	if !ok && len(v) > 0 && v[0] != 0x40 {
		if v[0]&^0x12 != 0xa1 {
			return damaged("the body is a value of the type %#02x; expected data, or a string or bytes as a value", v[0])
		}
		content, _, _ = sized(v[1:], v[0]>>4 == 0xb)
	}
	if n == 1 {
		d.Body = slices.Clip(content)
		return nil
	}
	d.Body = append(d.Body, content...)
	return nil
}
