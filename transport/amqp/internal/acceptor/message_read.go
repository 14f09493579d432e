package acceptor

import (
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/codec"
)

// The sections of a message (section 3.2).
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

// A messageReader makes messages of what transfers carry. It belongs to the
// goroutine that receives.
type messageReader struct {
	limits transport.Limits
	m      transport.Message // being made; its Body is a view
	ttl    time.Duration
	data   []byte // of several data sections
	bodies int
	kind   bodyKind // of the last message
	values bool     // the broker takes what a value section has
	// last are the texts of the last message, most of which the next has, too.
	last struct{ to, replyTo, subject, contentType string }
}

// read returns the message in payload. A payload that is owned is kept, another
// copied. An error that is no fault is about this message alone.
func (r *messageReader) read(payload []byte, owned bool) (*transport.Message, error) {
	r.m, r.ttl, r.data, r.bodies, r.kind = transport.Message{}, 0, nil, 0, asData
	defer func() { r.m, r.data = transport.Message{}, nil }()
	head := 0
	for d := codec.NewDecoder(payload); d.More(); {
		rest := d.Rest()
		v := d.Value()
		if d.Err() != nil {
			return nil, d.Err()
		}
		code := v.Descriptor()
		section := rest[:len(rest)-len(d.Rest())]
		if err := r.section(code, v, section); err != nil {
			return nil, err
		}
		if code != sectionData && code != sectionValue {
			head += len(section)
		}
	}
	if head > r.limits.HeaderBytes {
		return nil, tooLarge(messageSize, "a message has %d bytes beside its body, the limit is %d", head, r.limits.HeaderBytes)
	}
	if len(r.m.Body) > r.limits.Message {
		return nil, tooLarge(messageSize, "a message's body has %d bytes, the limit is %d", len(r.m.Body), r.limits.Message)
	}
	if r.m.Expires.IsZero() && r.ttl > 0 {
		r.m.Expires = time.Now().Add(r.ttl)
	}
	return wrap(&r.m, owned || r.data != nil), nil
}

// wrap returns a message of the receiver's own. A small body is in one piece of
// memory with it, in a size that Go allocates whole.
func wrap(m *transport.Message, owned bool) *transport.Message {
	const tiny, small = 352 - 256, 512 - 256
	var own *transport.Message
	body := m.Body
	switch n := len(body); {
	case owned && n > small:
		own = new(transport.Message)
		*own = *m
		own.Body = slices.Clip(body)
		return own
	case n <= tiny:
		p := new(struct {
			message transport.Message
			body    [tiny]byte
		})
		own, body = &p.message, append(p.body[:0], body...)
	case n <= small:
		p := new(struct {
			message transport.Message
			body    [small]byte
		})
		own, body = &p.message, append(p.body[:0], body...)
	default:
		own, body = new(transport.Message), append(make([]byte, 0, n), body...)
	}
	*own = *m
	own.Body = slices.Clip(body)
	return own
}

// section takes in one section, of which all is the encoded form.
func (r *messageReader) section(code uint64, v codec.Value, all []byte) error {
	switch code {
	case sectionHeader:
		return r.header(v)
	case sectionProperties:
		return r.properties(v)
	case sectionApplication:
		return r.application(v)
	case sectionData:
		return r.body(v, codec.Binary)
	case sectionValue:
		switch k := v.Inner().Kind(); {
		case k == codec.String:
			r.kind = asText
		case r.values && k != codec.Binary && k != codec.Null:
			return r.value(v, all)
		}
		return r.body(v, codec.Binary, codec.String, codec.Null)
	case sectionDeliveryAnnotations, sectionMessageAnnotations, sectionFooter:
		return annotations(v)
	case sectionSequence:
		return fmt.Errorf("%w: the body is a sequence; expected data, or a string or binary value", codec.ErrMalformed)
	}
	return fmt.Errorf("%w: a message has a %v of the unknown type %#02x", codec.ErrMalformed, v.Inner().Kind(), code)
}

// header reads section 3.2.1.
func (r *messageReader) header(v codec.Value) error {
	d := v.Inner().Items()
	r.m.Durable, _ = d.Bool()
	_, _ = d.Ubyte() // priority
	ttl, _ := d.Uint()
	r.ttl = time.Duration(ttl) * time.Millisecond
	_, _ = d.Bool() // first-acquirer
	count, _ := d.Uint()
	r.m.Attempt = int(min(count, 1<<31-1))
	return d.Err()
}

// properties reads section 3.2.4.
func (r *messageReader) properties(v codec.Value) (err error) {
	d, m := v.Inner().Items(), &r.m
	m.ID = id(&d)
	_, _ = d.Binary() // user-id: whom the peer claims to be
	m.To = text(&d, &r.last.to)
	m.Subject = text(&d, &r.last.subject)
	m.ReplyTo = text(&d, &r.last.replyTo)
	m.CorrelationID = id(&d)
	if b, there := d.Symbol(); there {
		m.ContentType = same(&d, b, &r.last.contentType)
	}
	_, _ = d.Symbol() // content-encoding
	if ms, there := d.Timestamp(); there && ms > 0 {
		m.Expires = time.UnixMilli(ms)
	}
	_, _ = d.Timestamp() // creation-time
	_, _ = d.Text()      // group-id
	_, _ = d.Uint()      // group-sequence
	_, _ = d.Text()      // reply-to-group-id
	return d.Err()
}

// text reads a string, which may well be the last one again.
func text(d *codec.Decoder, last *string) string {
	b, there := d.Text()
	if !there {
		return ""
	}
	return same(d, b, last)
}

// same returns b as a string, and remembers it if it is short.
func same(d *codec.Decoder, b []byte, last *string) string {
	const short = 256
	switch {
	case string(b) == *last:
		return *last
	case !utf8.Valid(b):
		d.Failf("%.40q is not UTF-8", b)
		return ""
	case len(b) > short:
		return string(b)
	}
	*last = string(b)
	return *last
}

// id reads a message id of any of the four types (sections 3.2.11 to 3.2.14).
func id(d *codec.Decoder) transport.ID {
	switch v := d.Value(); v.Kind() {
	case codec.String:
		if !utf8.Valid(v.Bytes()) {
			d.Failf("an id is not UTF-8")
		}
		return transport.TextID(string(v.Bytes()))
	case codec.Ulong:
		return transport.NumberID(v.Uint64())
	case codec.UUID:
		return transport.UUIDID([16]byte(v.Bytes()))
	case codec.Binary:
		return transport.BinaryID(v.Bytes())
	case codec.Null, codec.Invalid:
	default:
		d.Failf("an id is a %v; expected ulong, uuid, binary or string", v.Kind())
	}
	return transport.ID{}
}

// application reads section 3.2.5: names and values of simple types.
func (r *messageReader) application(v codec.Value) error {
	d := v.Inner().Items()
	if v.Inner().Kind() != codec.Map {
		return fmt.Errorf("%w: the application properties are a %v", codec.ErrMalformed, v.Inner().Kind())
	}
	n := v.Len() / 2
	if n > r.limits.Headers {
		return tooLarge(resourceLimit, "a message has %d application properties, the limit is %d", n, r.limits.Headers)
	}
	if n == 0 {
		return nil
	}
	if r.m.Headers == nil {
		r.m.Headers = make([]transport.Header, 0, n)
	}
	var scratch [64]byte
	for d.More() {
		name, there := d.Text()
		if !there || !utf8.Valid(name) {
			d.Failf("the name of an application property is no text")
			break
		}
		value := d.Value()
		h := transport.Header{Name: string(name)}
		if k := value.Kind(); k != codec.Null {
			b, ok := value.AppendText(scratch[:0])
			if !ok || k == codec.Described || k == codec.String && !utf8.Valid(b) {
				d.Failf("the application property %.40q is a %v; expected a simple type", name, k)
				break
			}
			h.Value = string(b)
		}
		r.m.Headers = append(r.m.Headers, h)
	}
	return d.Err()
}

// annotations walks over the sections 3.2.2, 3.2.3 and 3.2.10, whose keys are
// symbols or ulongs; go-amqp writes longs. Other keys have ended programs that
// built maps of them.
func annotations(v codec.Value) error {
	v = v.Inner()
	if v.Kind() != codec.Map {
		return fmt.Errorf("%w: annotations are a %v", codec.ErrMalformed, v.Kind())
	}
	d := v.Items()
	for d.More() {
		if k := d.Value().Kind(); d.Err() == nil && k != codec.Symbol && k != codec.Ulong && k != codec.Long {
			d.Failf("the key of an annotation is a %v; expected symbol or ulong", k)
		}
		d.Skip()
	}
	return d.Err()
}

// body takes in a data section (3.2.6), of which there may be several, or a
// value section (3.2.8) that is text or bytes.
func (r *messageReader) body(v codec.Value, kinds ...codec.Kind) error {
	v = v.Inner()
	for _, k := range kinds {
		if v.Kind() == k {
			return r.add(v.Bytes())
		}
	}
	return fmt.Errorf("%w: the body is a %v; expected data, or a string or binary value", codec.ErrMalformed, v.Kind())
}

func (r *messageReader) add(b []byte) error {
	r.bodies++
	switch {
	case len(r.m.Body)+len(b) > r.limits.Message:
		return tooLarge(messageSize, "a message's body has over %d bytes, which is the limit", r.limits.Message)
	case r.bodies == 1:
		r.m.Body = b
		return nil
	case r.data == nil:
		r.data = append(make([]byte, 0, len(r.m.Body)+len(b)), r.m.Body...)
	}
	r.data = append(r.data, b...)
	r.m.Body = r.data
	return nil
}
