package amqp

import (
	"encoding/binary"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/polyport/polyport/transport"
)

// deepest is how far values may be nested within one another.
const deepest = 32

// mostElements is how many elements a compound or an array may claim to have.
// Elements without a width would be claimed for nothing.
const mostElements = 65536

// skip returns what follows the value at the start of b, after a look at all of
// it (part 1, section 1.2). Keys of maps must be plain: a list, a map, an array
// or bytes would end the process of a reader that makes a Go map of them.
func skip(b []byte, depth int) ([]byte, error) {
	if depth == 0 {
		return nil, damaged("values are nested more than %d deep", deepest)
	}
	if len(b) == 0 {
		return nil, damaged("a value is missing")
	}
	if b[0] != 0 {
		return skipData(b[0], b[1:], depth)
	}
	rest, err := skip(b[1:], depth-1) // the descriptor
	if err != nil {
		return nil, err
	}
	return skip(rest, depth-1)
}

// skipData is skip for a value whose constructor has been read.
func skipData(code byte, b []byte, depth int) ([]byte, error) {
	width := 0
	switch code {
	case 0x40, 0x41, 0x42, 0x43, 0x44, 0x45:
	case 0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56:
		width = 1
	case 0x60, 0x61:
		width = 2
	case 0x70, 0x71, 0x72, 0x73, 0x74:
		width = 4
	case 0x80, 0x81, 0x82, 0x83, 0x84:
		width = 8
	case 0x94, 0x98:
		width = 16
	case 0xa0, 0xa1, 0xa3, 0xb0, 0xb1, 0xb3:
		_, rest, err := sized(b, code>>4 == 0xb)
		return rest, err
	case 0xc0, 0xc1, 0xd0, 0xd1, 0xe0, 0xf0:
		wide := code>>4 != 0xc && code>>4 != 0xe
		content, rest, err := sized(b, wide)
		if err != nil {
			return nil, err
		}
		count, content, err := counted(content, wide)
		if err != nil {
			return nil, err
		}
		switch code {
		case 0xe0, 0xf0:
			err = skipArray(content, count, depth)
		case 0xc1, 0xd1:
			err = skipMap(content, count, depth)
		default:
			err = skipList(content, count, depth)
		}
		return rest, err
	default:
		return nil, damaged("unknown constructor %#02x", code)
	}
	if len(b) < width {
		return nil, damaged("%d bytes of a value of %d", len(b), width)
	}
	return b[width:], nil
}

func skipList(b []byte, count int, depth int) (err error) {
	for ; count > 0 && err == nil; count-- {
		b, err = skip(b, depth-1)
	}
	return nothingLeft(b, err)
}

func skipMap(b []byte, count int, depth int) (err error) {
	if count%2 != 0 {
		return damaged("a map of %d elements", count)
	}
	for ; count > 0 && err == nil; count-- {
		if count%2 == 0 && len(b) > 0 && !isPlain(b[0]) {
			return damaged("a map key of the type %#02x", b[0])
		}
		b, err = skip(b, depth-1)
	}
	return nothingLeft(b, err)
}

// isPlain reports whether a constructor is that of a value of fixed width, a
// string or a symbol.
func isPlain(code byte) bool {
	return code >= 0x40 && code < 0xa0 || code&^0x12 == 0xa1
}

func skipArray(b []byte, count int, depth int) (err error) {
	if depth == 1 {
		return damaged("values are nested more than %d deep", deepest)
	}
	for len(b) > 0 && b[0] == 0 { // described
		if b, err = skip(b[1:], depth-1); err != nil {
			return err
		}
	}
	if len(b) == 0 {
		return damaged("an array without a constructor")
	}
	code := b[0]
	b = b[1:]
	for ; count > 0 && err == nil; count-- {
		b, err = skipData(code, b, depth-1)
	}
	return nothingLeft(b, err)
}

func nothingLeft(b []byte, err error) error {
	if err == nil && len(b) > 0 {
		return damaged("%d bytes after the last element", len(b))
	}
	return err
}

// sized cuts b after the bytes whose number it begins with.
func sized(b []byte, wide bool) (content, rest []byte, err error) {
	n, b, err := length(b, wide)
	if err != nil || n > len(b) {
		return nil, nil, damaged("a length over the %d bytes that are left", len(b))
	}
	return b[:n], b[n:], nil
}

// counted reads the number of elements that the content of a compound begins
// with.
func counted(content []byte, wide bool) (count int, rest []byte, err error) {
	count, rest, err = length(content, wide)
	if err != nil || count > mostElements {
		return 0, nil, damaged("%d elements in %d bytes", count, len(content))
	}
	return count, rest, nil
}

func length(b []byte, wide bool) (n int, rest []byte, err error) {
	switch {
	case wide && len(b) >= 4:
		return int(binary.BigEndian.Uint32(b)), b[4:], nil
	case !wide && len(b) >= 1:
		return int(b[0]), b[1:], nil
	}
	return 0, nil, damaged("a length is missing")
}

// damaged is the error for what is no AMQP.
func damaged(format string, args ...any) error {
	return transport.WithReason(transport.ErrProtocol, fmt.Sprintf(format, args...))
}

// A composite is a described list, such as a performative or a section of a
// message (part 1, section 1.4). Its fields are read in order.
type composite struct {
	code   uint64
	fields []byte
	count  int
}

// compositeOf reads the composite at the start of b, and looks at all of it.
func compositeOf(b []byte) (c composite, rest []byte, err error) {
	rest, err = skip(b, deepest)
	if err != nil {
		return c, nil, err
	}
	if b[0] != 0 {
		return c, nil, damaged("a plain value where a described one belongs")
	}
	var ok bool
	if c.code, ok = number(b[1:]); !ok {
		return c, nil, damaged("a descriptor that is no number")
	}
	list, _ := skip(b[1:], deepest)
	switch list[0] {
	case 0x45:
	case 0xc0, 0xd0:
		wide := list[0] == 0xd0
		content, _, _ := sized(list[1:], wide)
		c.count, c.fields, _ = counted(content, wide)
	default:
		return c, nil, damaged("described by %#x is no list", c.code)
	}
	return c, rest, nil
}

// next returns the next field, or nil if it is absent or null.
func (c *composite) next() []byte {
	if c.count == 0 {
		return nil
	}
	c.count--
	v := c.fields
	c.fields, _ = skip(v, deepest)
	if v[0] == 0x40 {
		return nil
	}
	return v[:len(v)-len(c.fields)]
}

// pass leaves out n fields.
func (c *composite) pass(n int) {
	for range n {
		c.next()
	}
}

// number reads an unsigned number of any width. v is whole, or nil.
func number(v []byte) (n uint64, ok bool) {
	if len(v) == 0 {
		return 0, false
	}
	switch v[0] {
	case 0x43, 0x44:
		return 0, true
	case 0x50, 0x52, 0x53:
		return uint64(v[1]), true
	case 0x60:
		return uint64(binary.BigEndian.Uint16(v[1:])), true
	case 0x70:
		return uint64(binary.BigEndian.Uint32(v[1:])), true
	case 0x80:
		return binary.BigEndian.Uint64(v[1:]), true
	}
	return 0, false
}

// truth reads a boolean; nil is false.
func truth(v []byte) bool {
	return len(v) == 1 && v[0] == 0x41 || len(v) == 2 && v[0] == 0x56 && v[1] == 1
}

// text reads a string or a symbol.
func text(v []byte) (s string, ok bool) {
	if len(v) == 0 || v[0]&^0x12 != 0xa1 {
		return "", false
	}
	content, _, _ := sized(v[1:], v[0]>>4 == 0xb)
	return string(content), utf8.Valid(content)
}

// octets reads binary data, which stays where it is.
func octets(v []byte) (b []byte, ok bool) {
	if len(v) == 0 || v[0]&^0x10 != 0xa0 {
		return nil, false
	}
	b, _, _ = sized(v[1:], v[0] == 0xb0)
	return b, true
}

// moment reads a timestamp.
func moment(v []byte) (t time.Time, ok bool) {
	if len(v) != 9 || v[0] != 0x83 {
		return t, false
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(v[1:]))), true
}

// pairs calls f for each key and value of the map v.
func pairs(v []byte, f func(key, value []byte)) bool {
	if len(v) == 0 || v[0] != 0xc1 && v[0] != 0xd1 {
		return false
	}
	wide := v[0] == 0xd1
	content, _, _ := sized(v[1:], wide)
	count, content, _ := counted(content, wide)
	c := composite{fields: content, count: count}
	for c.count > 0 {
		key := c.fields
		c.count--
		c.fields, _ = skip(key, deepest)
		key = key[:len(key)-len(c.fields)]
		f(key, c.next())
	}
	return true
}
