package stomp

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-stomp/stomp/v3/frame"

	"github.com/polyport/polyport/transport"
)

const (
	// maxCommand is more than the longest command, UNSUBSCRIBE, and its EOL.
	maxCommand = 16
	// tlsHandshake is the first byte of a TLS connection (RFC 8446, section
	// 5.1).
	tlsHandshake = 0x16
	// noLength is the body length of a frame that did not say one.
	noLength = -1
)

// A frameReader cuts a byte stream into frames, and takes no more memory than
// its limits allow. After an interrupted read it goes on where it was.
type frameReader struct {
	stream  *transport.Stream
	limits  transport.Limits
	version version
	begins  []string // the commands that the first frame may have; nil for later ones
	// lenient keeps unknown commands, and escapes that are none, as they are, and takes
	// bodies of all frames.
	lenient bool
	escaped bool // CONNECTED is escaped, too

	// frame is the one being read; its header is used again for the next. Of a
	// SEND or MESSAGE it has what is the protocol's own, carried all else.
	frame   frame.Frame
	carried transport.Message
	said    known // of carried's fields
	inBody  bool  // the header is read
	length  int   // of the body
	body    []byte
	parcel  *transport.Message // with body
	// uncounted says that the last frame had a body without content-length.
	uncounted bool
	scanned   int // bytes of the buffered header known not to end it
	// head is that of the last frame, which frame, carried and length still have, if
	// it was one that may come over and over; else it is empty.
	head []byte
	// lines are the first header lines of the last frame. Most of one frame's
	// are those of the frame before.
	lines [16]headLine
}

// A headLine is a header line with what it says.
type headLine struct {
	line        string // with its end
	name, value string
	meaning     known
}

// longText is more than the text has of which lines or heads are kept.
const longText = 1024

func newFrameReader(s *transport.Stream, l transport.Limits) *frameReader {
	return &frameReader{stream: s, limits: l, frame: frame.Frame{Header: frame.NewHeader()}}
}

// agree has frames read as the handshake has settled. What was kept of earlier ones
// may have had another meaning.
func (r *frameReader) agree(v version, l transport.Limits) {
	r.version, r.limits, r.head = v, l, nil
	clear(r.lines[:])
}

// next returns the next frame. It is valid until the call after, but its Body
// and strings are the caller's to keep.
func (r *frameReader) next() (*frame.Frame, error) {
	if err := r.readHead(); err != nil {
		return nil, err
	}
	if err := r.readBody(); err != nil {
		return nil, err
	}
	r.uncounted = r.length == noLength && len(r.body) > 0
	r.inBody, r.frame.Body, r.body = false, r.body, nil
	r.stream.FrameDone()
	return &r.frame, nil
}

// readHead reads the command and the header lines, unless the frame whose body is next
// has them.
func (r *frameReader) readHead() error {
	if r.inBody || r.again() {
		return nil
	}
	r.clear()
	for {
		buf := r.skipEOLs()
		if err := r.plausible(buf); err != nil {
			return err
		}
		if n := r.headEnd(buf); n > 0 {
			if n > r.limits.HeaderBytes {
				return r.headTooLong()
			}
			err := r.parseHead(buf[:n])
			if err == nil {
				r.keepHead(buf[:n])
				r.inBody, r.body, r.parcel = true, nil, nil
			}
			r.stream.Reader.Discard(n)
			r.scanned = 0
			return err
		}
		if len(buf) > r.limits.HeaderBytes {
			return r.headTooLong()
		}
		if len(buf) > 0 {
			r.stream.MidFrame()
		}
		if err := r.stream.Reader.Fill(); err != nil {
			return err
		}
	}
}

// keepHead keeps the head of a frame that others like it may follow.
func (r *frameReader) keepHead(head []byte) {
	if c := r.frame.Command; (c == frame.SEND || c == frame.MESSAGE) && len(head) < longText {
		r.head = append(r.head, head...)
	}
}

// again reports whether the next frame has the head of the last one, byte for byte.
// Then it says the same, and need not be read. Who sends much mostly sends such.
func (r *frameReader) again() bool {
	n := len(r.head)
	if n == 0 {
		return false
	}
	if buf := r.skipEOLs(); len(buf) < n || !bytes.Equal(buf[:n], r.head) {
		return false
	}
	r.stream.Reader.Discard(n)
	r.frame.Body, r.inBody, r.body, r.parcel = nil, true, nil, nil
	return true
}

func (r *frameReader) headTooLong() error {
	return tooLarge("the header of a frame is over %d bytes", r.limits.HeaderBytes)
}

// current returns the frame being read, as far as it goes.
func (r *frameReader) current() *frame.Frame { return &r.frame }

// skipEOLs drops the line ends between frames, which serve as heart-beats, and
// returns what is buffered after them.
func (r *frameReader) skipEOLs() []byte {
	buf := r.stream.Reader.Buffered()
	n := 0
	for n < len(buf) && (buf[n] == '\n' || buf[n] == '\r') {
		n++
	}
	r.stream.Reader.Discard(n)
	return buf[n:]
}

// plausible refuses a first line that cannot become a command as soon as it is
// seen, so that garbage is not waited for.
func (r *frameReader) plausible(buf []byte) error {
	for i, c := range buf {
		switch {
		case c == '\n', c == '\r':
			return nil
		case c == tlsHandshake && i == 0:
			return malformed("expected a STOMP command; this looks like TLS, which is not spoken here")
		case c < 'A' || c > 'Z' || i >= maxCommand:
			hint := ""
			if r.uncounted {
				hint = "; a body that holds NUL bytes needs a content-length"
			}
			return malformed("expected a STOMP command, got %.20q%s", buf[:min(len(buf), 20)], hint)
		}
	}
	return nil
}

// headEnd returns the length of the head in buf with its empty line, or 0 if it
// is not all there.
func (r *frameReader) headEnd(buf []byte) int {
	for at := r.scanned; ; {
		i := bytes.IndexByte(buf[at:], '\n')
		if i < 0 {
			r.scanned = len(buf)
			return 0
		}
		at += i + 1
		switch rest := buf[at:]; {
		case len(rest) > 0 && rest[0] == '\n':
			return at + 1
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
			return at + 2
		case len(rest) < 2:
			r.scanned = at - 1 // look at this line's end again
			return 0
		}
	}
}

// clear empties the header but keeps its memory, which only Del does.
func (r *frameReader) clear() {
	h := r.frame.Header
	for h.Len() > 0 {
		name, _ := h.GetAt(h.Len() - 1)
		h.Del(name)
	}
	r.frame.Command, r.frame.Body = "", nil
	clear(r.carried.Headers)
	r.carried, r.said = transport.Message{Headers: r.carried.Headers[:0]}, 0
	r.head = r.head[:0]
}

// parseHead fills in the frame from its head.
func (r *frameReader) parseHead(head []byte) error {
	line, rest, _ := bytes.Cut(head, eol)
	command, err := commandOf(bytes.TrimSuffix(line, cr))
	if err != nil && (!r.lenient || r.begins != nil) {
		return err
	}
	if err != nil {
		command = string(bytes.TrimSuffix(line, cr))
	}
	if r.begins != nil && !slices.Contains(r.begins, command) {
		return malformed("expected CONNECT, got %s", command)
	}
	f := &r.frame
	f.Command = command
	// These are never escaped.
	plain := command == frame.CONNECT || command == frame.STOMP || command == frame.CONNECTED && !r.escaped
	var text string // head from the first line on that is new
	for i := 0; ; i++ {
		known := i < min(len(r.lines), r.limits.Headers) && !plain
		if known && r.lines[i].begins(rest) {
			rest = rest[len(r.lines[i].line):]
			r.take(&r.lines[i])
			continue
		}
		left := len(rest)
		line, rest, _ = bytes.Cut(rest, eol)
		if line = bytes.TrimSuffix(line, cr); len(line) == 0 {
			break
		}
		if i == r.limits.Headers {
			return tooLarge("a frame has more than %d header lines", r.limits.Headers)
		}
		if text == "" {
			text = string(head[len(head)-left:])
		}
		from := len(text) - left
		h, err := r.parseLine(text[from:][:len(line)], plain)
		if err != nil {
			return err
		}
		h.line = text[from : len(text)-len(rest)]
		if known && len(text) < longText {
			r.lines[i] = h
		}
		r.take(&h)
	}
	r.length, err = r.bodyLength()
	return err
}

var eol, cr = []byte{'\n'}, []byte{'\r'}

// begins reports whether text begins with a line that was seen before.
func (h *headLine) begins(text []byte) bool {
	n := len(h.line)
	return n > 0 && len(text) >= n && string(text[:n]) == h.line
}

// parseLine splits a header line.
func (r *frameReader) parseLine(line string, plain bool) (h headLine, err error) {
	name, value, ok := strings.Cut(line, ":")
	if !ok || name == "" {
		return h, malformed("header line %.60q has no name and colon", line)
	}
	if strings.IndexByte(line, 0) >= 0 {
		return h, malformed("header line %.60q holds a NUL byte", line)
	}
	v := r.version
	if plain {
		v = v10
	} else if v == v10 {
		value = strings.TrimLeft(value, " ")
	}
	if h.name, err = v.unescape(name); err != nil {
		return h, err
	}
	if h.value, err = v.unescape(value); err != nil {
		if !r.lenient {
			return h, err
		}
		h.value = value
	}
	h.meaning = knownHeader(h.name)
	return h, nil
}

// bodyLength returns what the frame says of its body's length.
func (r *frameReader) bodyLength() (int, error) {
	text, ok := r.frame.Header.Contains(frame.ContentLength)
	if !ok {
		return noLength, nil
	}
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 63)
	if err != nil {
		return 0, malformed("content-length %.30q is not a number of bytes", text)
	}
	if limit := r.bodyLimit(); n > uint64(limit) {
		return 0, r.tooLong(fmt.Sprintf("content-length %d", n))
	}
	return int(n), nil
}

// bodyLimit is the most bytes that the frame's body may have. Only three
// commands have bodies ("Body").
func (r *frameReader) bodyLimit() int {
	switch r.frame.Command {
	case frame.SEND, frame.MESSAGE, frame.ERROR:
		return r.limits.Message
	case frame.CONNECT, frame.STOMP:
		return 0
	}
	if r.lenient {
		return r.limits.Message
	}
	return 0
}

// tooLong is the error for a body over the limit.
func (r *frameReader) tooLong(what string) error {
	if r.bodyLimit() == 0 {
		return malformed("a %s frame must not have a body", r.frame.Command)
	}
	return tooLarge("%s is over the limit of %d bytes", what, r.limits.Message)
}

// readBody reads the body and the NUL byte after it.
func (r *frameReader) readBody() error {
	if r.length == noLength {
		return r.readToNUL()
	}
	return r.readCounted()
}

func (r *frameReader) readCounted() error {
	in, n := r.stream.Reader, r.length+1
	if r.body == nil {
		r.wrap(n)
	}
	if len(in.Buffered()) < n-len(r.body) {
		r.stream.MidFrame()
	}
	var err error
	if r.body, err = in.ReadInto(r.body, n); err != nil {
		return err
	}
	if r.body[r.length] != 0 {
		return malformed("the body of a %s frame does not end in a NUL byte after its content-length of %d", r.frame.Command, r.length)
	}
	r.body = r.body[:r.length:r.length]
	return nil
}

func (r *frameReader) readToNUL() error {
	in := r.stream.Reader
	for {
		buf := in.Buffered()
		end := bytes.IndexByte(buf, 0)
		part := buf
		if end >= 0 {
			part = buf[:end]
		}
		if len(r.body)+len(part) > r.bodyLimit() {
			return r.tooLong("a body without content-length")
		}
		if need := len(r.body) + len(part); need > cap(r.body) {
			grown := make([]byte, len(r.body), min(max(need, 2*cap(r.body)), r.bodyLimit()))
			copy(grown, r.body)
			r.body = grown
		}
		r.body = append(r.body, part...)
		if end >= 0 {
			in.Discard(end + 1)
			return nil
		}
		in.Discard(len(buf))
		r.stream.MidFrame()
		if err := in.Fill(); err != nil {
			return err
		}
	}
}

// commandOf returns the library's constant for a command.
func commandOf(line []byte) (string, error) {
	for _, c := range [...]string{
		frame.SEND, frame.MESSAGE, frame.ACK, frame.NACK, frame.SUBSCRIBE, frame.UNSUBSCRIBE, frame.RECEIPT, frame.ERROR,
		frame.CONNECT, frame.STOMP, frame.CONNECTED, frame.DISCONNECT, frame.BEGIN, frame.COMMIT, frame.ABORT,
	} {
		if string(line) == c {
			return c, nil
		}
	}
	return "", malformed("unknown command %.20q", line)
}
