package http

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/polyport/polyport/transport"
)

// The fields of an event (HTML Standard, section 9.2.5, "Parsing an event stream").
// Lines with other names are passed over, and so base64Field is by all but ends of
// ours: it has the body of an event that no data can say.
const (
	eventField  = "event"
	idField     = "id"
	dataField   = "data"
	base64Field = "base64"
)

// comment is a line that says nothing.
const comment = ":\n"

// keepLine is how much memory is kept for parts of lines.
const keepLine = 64 << 10

// lineEnds end a line, one or both in this order.
const lineEnds = "\r\n"

// isData reports whether the lines of an event's data bring a body over unchanged.
func isData(body []byte) bool { return utf8.Valid(body) && bytes.IndexByte(body, '\r') < 0 }

// eventLen is about how long the event of m is, and never less.
func eventLen(m *transport.Message) int {
	n := len(eventField) + len(idField) + 2*len(": \n") + len(m.To) + len("\n")
	if !m.ID.IsZero() {
		n += len(m.ID.String())
	}
	if isData(m.Body) {
		return n + len(m.Body) + (1+bytes.Count(m.Body, []byte("\n")))*len("data: \n")
	}
	return n + base64.StdEncoding.EncodedLen(len(m.Body)) + len("base64: \n")
}

// appendEvent appends the event of m.
func appendEvent(dst []byte, m *transport.Message) []byte {
	if m.To != "" {
		dst = appendLine(dst, eventField, m.To)
	}
	if id := m.ID.String(); id != "" && !strings.ContainsAny(id, lineEnds+"\x00") {
		dst = appendLine(dst, idField, id)
	}
	if isData(m.Body) {
		for line := range bytes.SplitSeq(m.Body, []byte("\n")) {
			dst = appendLine(dst, dataField, line)
		}
	} else {
		dst = append(dst, base64Field+": "...)
		dst = append(base64.StdEncoding.AppendEncode(dst, m.Body), '\n')
	}
	return append(dst, '\n')
}

func appendLine[V string | []byte](dst []byte, field string, value V) []byte {
	dst = append(append(dst, field...), ": "...)
	return append(append(dst, value...), '\n')
}

// An eventReader cuts the body of an HTTP response into events, and takes no more
// memory than its limits allow. After an interrupted read it goes on where it was.
type eventReader struct {
	stream *transport.Stream
	limits transport.Limits
	chunks chunks

	begun  bool   // the first line is over
	line   []byte // the part of the line under way that the buffer has no room for
	halfLF bool   // the last line ended with CR, so LF is no line of its own
	event  event
}

// An event is one that is being read.
type event struct {
	topic, id string
	data      []byte // each line with its end
	body      []byte // that came as base64
	has       bool   // data, or a body
}

// next returns the next event as a message.
func (r *eventReader) next() (*transport.Message, error) {
	for {
		line, err := r.readLine()
		if err != nil {
			return nil, err
		}
		if len(line) > 0 {
			err = r.take(line)
		}
		if r.line = r.line[:0]; cap(r.line) > keepLine {
			r.line = nil
		}
		if err != nil {
			return nil, err
		}
		if len(line) > 0 {
			continue
		}
		e := r.event
		r.event = event{}
		r.stream.FrameDone()
		if e.has {
			return e.message(), nil
		}
	}
}

// readLine returns the next line, without its end. It is valid until the next call.
func (r *eventReader) readLine() ([]byte, error) {
	for {
		piece, err := r.piece()
		if err != nil {
			return nil, err
		}
		if r.halfLF && piece[0] == '\n' {
			piece = piece[1:]
			r.discard(1)
		}
		r.halfLF = false
		i := bytes.IndexAny(piece, lineEnds)
		n := i
		if i < 0 {
			n = len(piece)
		}
		if len(r.line)+n > r.longest() {
			return nil, tooLarge("a line of an event has more than %d bytes", r.longest())
		}
		if i < 0 {
			r.line = append(r.line, piece...)
			r.discard(n)
			continue
		}
		line := piece[:i]
		if len(r.line) > 0 {
			r.line = append(r.line, line...)
			line = r.line
		}
		r.halfLF = piece[i] == '\r'
		r.discard(i + 1) // which leaves the bytes where they are
		if !r.begun {
			r.begun = true
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		return line, nil
	}
}

// longest is the most bytes in a line.
func (r *eventReader) longest() int {
	return len("base64: ") + max(base64.StdEncoding.EncodedLen(r.limits.Message), r.limits.HeaderBytes)
}

// take takes in a line that is not empty.
func (r *eventReader) take(line []byte) error {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	e := &r.event
	switch string(name) {
	case eventField, idField:
		if len(value) > r.limits.HeaderBytes {
			return tooLarge("the %s of an event has %d bytes; the limit is %d", name, len(value), r.limits.HeaderBytes)
		}
		if string(name) == eventField {
			e.topic = string(value)
		} else {
			e.id = string(value)
		}
	case dataField:
		if len(e.data)+len(value) > r.limits.Message {
			return tooLarge("an event has more than %d bytes", r.limits.Message)
		}
		e.data, e.has = append(append(e.data, value...), '\n'), true
	case base64Field:
		body, err := base64.StdEncoding.AppendDecode(nil, value)
		if err != nil {
			return malformed("the base64 of an event makes no sense: %v", err)
		}
		if len(body) > r.limits.Message {
			return tooLarge("an event has %d bytes; the limit is %d", len(body), r.limits.Message)
		}
		e.body, e.has = body, true
	}
	return nil
}

func (e *event) message() *transport.Message {
	body := e.body
	if e.data != nil {
		body = e.data[: len(e.data)-1 : len(e.data)-1]
	}
	return &transport.Message{To: e.topic, Subject: e.topic, ID: transport.TextID(e.id), Body: body}
}

// inEvent reports whether part of an event is there.
func (r *eventReader) inEvent() bool {
	e := &r.event
	return len(r.line) > 0 || e.has || e.topic != "" || e.id != ""
}

// piece returns bytes of the body, at least one, that are in the buffer. They are
// valid until the next call.
func (r *eventReader) piece() ([]byte, error) {
	in := r.stream.Reader
	for {
		buf := in.Buffered()
		n, skip, err := r.chunks.cut(buf)
		switch {
		case err != nil:
			return nil, err
		case skip > 0:
			in.Discard(skip)
			continue
		case n > 0:
			return buf[:n], nil
		}
		if len(buf) > 0 || r.inEvent() {
			r.stream.MidFrame()
		}
		if err := in.Fill(); err != nil {
			return nil, err
		}
	}
}

// discard goes past bytes of a piece.
func (r *eventReader) discard(n int) {
	r.stream.Reader.Discard(n)
	r.chunks.read(n)
}

// chunks finds the body of a response in its bytes (RFC 9112, section 7.1).
type chunks struct {
	used bool   // else all bytes are the body
	left uint64 // of the chunk under way
	tail bool   // the end of a chunk's line is due
	last bool
}

// longestChunkLine is the most bytes in the line before a chunk.
const longestChunkLine = 1 << 10

// cut returns how many bytes at the front of buf are of the body, or how many of
// it are to be passed over. If both are zero it needs more.
func (c *chunks) cut(buf []byte) (n, skip int, err error) {
	switch {
	case !c.used:
		return len(buf), 0, nil
	case c.last:
		return 0, 0, transport.WithReason(transport.ErrClosed, "the peer has ended the events")
	case c.left > 0:
		return int(min(c.left, uint64(len(buf)))), 0, nil
	}
	i := bytes.IndexByte(buf, '\n')
	if i < 0 {
		if len(buf) > longestChunkLine {
			return 0, 0, tooLarge("the line before a chunk has more than %d bytes", longestChunkLine)
		}
		return 0, 0, nil
	}
	line, _, _ := strings.Cut(strings.TrimSuffix(string(buf[:min(i, longestChunkLine)]), "\r"), ";")
	if c.tail {
		if line != "" {
			return 0, 0, malformed("a chunk is longer than it says")
		}
		c.tail = false
		return 0, i + 1, nil
	}
	size, err := strconv.ParseUint(strings.TrimRight(line, " \t"), 16, 63)
	if err != nil {
		return 0, 0, malformed("a chunk has the length %.20q", line)
	}
	c.left, c.tail, c.last = size, true, size == 0
	return 0, i + 1, nil
}

// read says that n bytes of the body were read.
func (c *chunks) read(n int) {
	if c.used {
		c.left -= uint64(n)
	}
}
