package http

import (
	"bytes"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/net/http/httpguts"

	"github.com/polyport/polyport/transport"
)

const (
	statusOK        = http.StatusOK
	statusAccepted  = http.StatusAccepted
	statusNoContent = http.StatusNoContent
	statusTimeout   = http.StatusRequestTimeout
)

// A response is one of HTTP/1 (RFC 9112) that is being read. It takes bytes as they
// come, and memory for no more than the limits.
type response struct {
	limits transport.Limits

	status      int
	reason      string // the server's phrase
	contentType string
	subject     string
	headers     []transport.Header
	last        bool // the server closes the connection after it
	whole       bool

	phase phase
	left  int64 // bytes of the body, or of its chunk, that are still to come
	body  []byte
	trail int // bytes of the trailer so far
}

// phase is how far a response is read.
type phase uint8

const (
	inHead phase = iota
	inBody
	inChunkSize
	inChunk
	inChunkEnd
	inTrailer
)

// toTheEnd as left says that the body ends with the byte stream.
const toTheEnd = math.MaxInt64

// begun reports whether the head is read.
func (r *response) begun() bool { return r.phase != inHead }

// untilEnd reports whether the response is whole when the byte stream ends.
func (r *response) untilEnd() bool { return r.phase == inBody && r.left == toTheEnd }

// take takes what is buffered. more says that it needs more than that.
func (r *response) take(in *transport.Reader) (more bool, err error) {
	switch r.phase {
	case inHead:
		return r.takeHead(in)
	case inBody, inChunk:
		return r.takeBody(in)
	case inTrailer:
		line, more, err := r.line(in, max(r.limits.HeaderBytes-r.trail, 1))
		r.trail += len(line) + 2
		r.whole = !more && err == nil && len(line) == 0
		return more, err
	case inChunkSize:
		line, more, err := r.line(in, longestLine)
		if more || err != nil {
			return more, err
		}
		return false, r.chunk(line)
	default: // inChunkEnd
		line, more, err := r.line(in, longestLine)
		if err == nil && !more && len(line) > 0 {
			err = malformed("a chunk is longer than it said")
		}
		r.phase = inChunkSize
		if more {
			r.phase = inChunkEnd
		}
		return more, err
	}
}

// longestLine is the longest of the lines between chunks.
const longestLine = 1024

// line takes a line without its end.
func (r *response) line(in *transport.Reader, limit int) (line string, more bool, err error) {
	b := in.Buffered()
	i := bytes.IndexByte(b, '\n')
	switch {
	case i > limit, i < 0 && len(b) > limit:
		return "", false, tooLarge("a line between the chunks of an answer has more than %d bytes", limit)
	case i < 0:
		return "", true, nil
	}
	line = strings.TrimSuffix(string(b[:i]), "\r")
	in.Discard(i + 1)
	return line, false, nil
}

// chunk notes the size of the next chunk (RFC 9112, section 7.1).
func (r *response) chunk(line string) error {
	size, _, _ := strings.Cut(line, ";")
	n, err := strconv.ParseUint(strings.TrimRight(size, " \t"), 16, 63)
	switch {
	case err != nil:
		return malformed("%.40q is not the size of a chunk", line)
	case n == 0:
		r.phase = inTrailer
		return nil
	case n > uint64(r.limits.Message) || len(r.body)+int(n) > r.limits.Message:
		return r.overLimit()
	}
	r.phase, r.left = inChunk, int64(n)
	return nil
}

func (r *response) overLimit() error {
	if r.failed() {
		r.whole = true // what there is says enough
		r.last = true
		return nil
	}
	return tooLarge("the answer is longer than the limit, %d bytes", r.limits.Message)
}

// takeBody takes what there is of the body or chunk.
func (r *response) takeBody(in *transport.Reader) (more bool, err error) {
	if r.left > 0 {
		b := in.Buffered()
		if len(b) == 0 {
			return true, nil
		}
		n := int(min(int64(len(b)), r.left))
		room := r.limits.Message - len(r.body)
		if n > room && !r.failed() {
			return false, r.overLimit()
		}
		if n > room {
			r.body = append(r.body, b[:room]...)
			return false, r.overLimit()
		}
		r.grow(n)
		r.body = append(r.body, b[:n]...)
		in.Discard(n)
		if r.left != toTheEnd {
			r.left -= int64(n)
		}
	}
	if r.left > 0 {
		return false, nil
	}
	if r.phase == inChunk {
		r.phase = inChunkEnd
	} else {
		r.whole = true
	}
	return false, nil
}

// grow makes room for n bytes, and for all the body if that is not much on the
// word of the peer.
func (r *response) grow(n int) {
	if cap(r.body)-len(r.body) >= n {
		return
	}
	want := max(4*cap(r.body), n, onWord)
	if r.left != toTheEnd {
		want = min(want, len(r.body)+int(r.left)) // which is at least n
	}
	if r.phase == inChunk {
		want = max(want, 2*len(r.body))
	}
	r.body = append(make([]byte, 0, min(max(want, len(r.body)+n), max(r.limits.Message, len(r.body)+n))), r.body...)
}

// takeHead takes the head when all of it is there.
func (r *response) takeHead(in *transport.Reader) (more bool, err error) {
	b := in.Buffered()
	n := headLen(b)
	switch {
	case n > r.limits.HeaderBytes, n == 0 && len(b) > r.limits.HeaderBytes:
		return false, tooLarge("the head of the answer has more than %d bytes", r.limits.HeaderBytes)
	case n == 0 && !couldBeHTTP(b):
		return false, notHTTP(b)
	case n == 0:
		return true, nil
	}
	head := string(b[:n])
	in.Discard(n)
	return false, r.parseHead(head)
}

// headLen returns the length of the head that b begins with, 0 if its end is not
// there.
func headLen(b []byte) int {
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			return 0
		}
		at += i + 1
		switch rest := b[at:]; {
		case len(rest) > 0 && rest[0] == '\n':
			return at + 1
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
			return at + 2
		}
	}
}

const httpSlash = "HTTP/1."

func couldBeHTTP(b []byte) bool {
	n := min(len(b), len(httpSlash))
	return string(b[:n]) == httpSlash[:n]
}

func notHTTP(b []byte) error {
	return malformed("the peer does not answer in HTTP/1: %.20q; is this the right port and protocol?", b[:min(len(b), 20)])
}

// parseHead reads the status line and the fields (RFC 9112, sections 4 and 5).
func (r *response) parseHead(head string) error {
	line, rest := cutLine(head)
	version, status, _ := strings.Cut(line, " ")
	code, reason, _ := strings.Cut(status, " ")
	n, err := strconv.Atoi(code)
	if !couldBeHTTP([]byte(line)) || len(version) != len(httpSlash)+1 {
		return notHTTP([]byte(line))
	}
	if err != nil || len(code) != 3 || n < 100 {
		return malformed("%.60q is no status line", line)
	}
	r.status, r.reason = n, reason
	f := framing{length: -1, keep: version != httpSlash+"0"}
	for count := 0; ; count++ {
		if line, rest = cutLine(rest); line == "" {
			break
		}
		if count >= r.limits.Headers {
			return tooLarge("the answer has more than %d header fields", r.limits.Headers)
		}
		if err := r.field(line, &f); err != nil {
			return err
		}
	}
	return r.frame(&f)
}

// cutLine returns the first line without its end, and the rest.
func cutLine(s string) (line, rest string) {
	line, rest, _ = strings.Cut(s, "\n")
	return strings.TrimSuffix(line, "\r"), rest
}

// framing is what the fields of a head say about where the response ends.
type framing struct {
	length  int64 // -1: not said
	chunked bool
	keep    bool // the connection goes on
}

// field reads one.
func (r *response) field(line string, f *framing) error {
	name, value, ok := strings.Cut(line, ":")
	if !ok || !httpguts.ValidHeaderFieldName(name) {
		return malformed("%.60q is no header field", line)
	}
	value = strings.Trim(value, " \t")
	if !httpguts.ValidHeaderFieldValue(value) {
		return malformed("the header field %.60q has characters that it must not have", name)
	}
	switch name = strings.ToLower(name); name {
	case "content-type":
		r.contentType = value
	case "polyport-subject":
		r.subject = value
	case "content-length":
		n, err := strconv.ParseUint(value, 10, 63)
		if err != nil || f.length >= 0 && f.length != int64(n) {
			return malformed("the answer has the length %.40q", value)
		}
		f.length = int64(n)
	case "transfer-encoding":
		if f.chunked || !strings.EqualFold(value, "chunked") {
			return malformed("the answer has the transfer coding %.40q, which was not asked for", value)
		}
		f.chunked = true
	case "content-encoding":
		if value != "" && !strings.EqualFold(value, "identity") {
			return malformed("the answer has the content coding %.40q, which was not asked for", value)
		}
	case "connection":
		f.connection(value)
	default:
		if !isOurs(name) && !r.has(name) {
			r.headers = append(r.headers, transport.Header{Name: name, Value: value})
		}
	}
	return nil
}

func (r *response) has(name string) bool {
	for _, h := range r.headers {
		if h.Name == name {
			return true
		}
	}
	return false
}

func (f *framing) connection(value string) {
	for option := range strings.SplitSeq(value, ",") {
		switch option = strings.TrimSpace(option); {
		case strings.EqualFold(option, "close"):
			f.keep = false
		case strings.EqualFold(option, "keep-alive"):
			f.keep = true
		}
	}
}

// frame decides where the body ends (RFC 9112, section 6.3).
func (r *response) frame(f *framing) error {
	r.last = r.last || !f.keep
	switch {
	case r.status == http.StatusSwitchingProtocols:
		return malformed("the server wants to go over to another protocol, which was not asked for")
	case r.status < 200: // and the response follows
		*r = response{limits: r.limits}
		return nil
	case f.chunked && f.length >= 0:
		return malformed("the answer has both a length and a transfer coding")
	case r.status == statusNoContent, r.status == http.StatusNotModified, f.length == 0 && !f.chunked:
		r.whole = true
		return nil
	case f.chunked:
		r.phase = inChunkSize
		return nil
	case f.length < 0:
		r.phase, r.left, r.last = inBody, toTheEnd, true
	default:
		r.phase, r.left = inBody, f.length
	}
	if r.failed() {
		r.limits.Message = min(r.limits.Message, enough)
	} else if f.length > int64(r.limits.Message) {
		return tooLarge("the answer has %d bytes, the limit is %d", f.length, r.limits.Message)
	}
	return nil
}

// enough is how much is read of what a server says about an error.
const enough = 4 << 10

// failed reports whether the response is an error for which its words suffice.
func (r *response) failed() bool { return r.status >= 300 && !r.mayAnswer() }

// mayAnswer reports whether an error of HTTP may be an answer in JSON-RPC.
func (r *response) mayAnswer() bool {
	return r.status >= 300 && strings.HasPrefix(r.contentType, "application/json")
}

// failure is the error that the response is.
func (r *response) failure() error {
	kind := transport.ErrProtocol
	switch r.status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired, http.StatusMisdirectedRequest:
		kind = transport.ErrRefused
	case http.StatusNotFound, http.StatusGone:
		kind = transport.ErrNoRoute
	case http.StatusRequestEntityTooLarge, http.StatusRequestHeaderFieldsTooLarge, http.StatusRequestURITooLong:
		kind = transport.ErrTooLarge
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		kind = transport.ErrBusy
	case http.StatusUnsupportedMediaType, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		kind = transport.ErrUnsupported
	}
	why := fmt.Sprintf("the server answered %d %s", r.status, http.StatusText(r.status))
	if words := r.words(); words != "" {
		why += ": " + words
	}
	return transport.WithReason(kind, why)
}

// words is the beginning of the body, if it is meant to be read.
func (r *response) words() string {
	if strings.HasPrefix(r.contentType, "text/html") {
		return ""
	}
	text := strings.Map(func(c rune) rune {
		if unicode.IsSpace(c) {
			return ' '
		}
		if !unicode.IsPrint(c) {
			return -1
		}
		return c
	}, string(r.body[:min(len(r.body), 300)]))
	return strings.TrimSpace(text)
}
