package acceptor

import (
	"unicode/utf8"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/codec"
)

// What a message of the broker says of a body that came in a value section, for
// a receiver on AMQP 1.0 to get it as it was sent. Other wires see a text, or
// bytes of which they know nothing.
const (
	textType  = "text/plain;charset=utf-8"
	valueType = "application/x-amqp-value" // the encoded section
)

// A bodyKind is how a body came.
type bodyKind uint8

const (
	asData  bodyKind = iota
	asText           // a value section with a string
	asValue          // a value section with what is neither text nor bytes
)

// value takes in a value section that is neither text nor bytes, of which the
// broker knows what to do: it keeps all of it.
func (r *messageReader) value(v codec.Value, section []byte) error {
	if err := v.Inner().Check(); err != nil {
		return err
	}
	r.kind = asValue
	return r.add(section)
}

// named says in the message what kind of body it has.
func (r *messageReader) named(m *transport.Message) {
	switch {
	case r.kind == asValue:
		m.ContentType = valueType
	case r.kind == asText && m.ContentType == "":
		m.ContentType = textType
	}
}

// isValue reports whether b is one value section.
func isValue(b []byte) bool {
	d := codec.NewDecoder(b)
	v := d.Value()
	return d.Err() == nil && !d.More() && v.Descriptor() == sectionValue && v.Inner().Check() == nil
}

// appendBody appends the body of a message of the broker, whose properties may
// have told its kind.
func appendBody(dst []byte, m *transport.Message) []byte {
	switch {
	case m.ContentType == valueType && isValue(m.Body):
		return append(dst, m.Body...)
	case m.ContentType == textType && utf8.Valid(m.Body):
		return codec.AppendString(codec.AppendDescriptor(dst, sectionValue), m.Body)
	}
	return codec.AppendBinary(codec.AppendDescriptor(dst, sectionData), m.Body)
}
