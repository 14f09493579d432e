package transport

import (
	"io"
)

const (
	firstRead = 4 << 10  // the buffer of an idle connection
	fullRead  = 64 << 10 // the buffer of a busy one
	// onWord is how much memory is taken for a body on the peer's word alone.
	// More is taken as bytes arrive.
	onWord = 512 << 10
	// patience is how many small reads in a row shrink a large buffer.
	patience = 32
)

// A Reader reads from a byte stream into a buffer that grows when it is needed,
// up to a limit, and shrinks when it is not. After an error that is not final,
// such as a passed deadline, reading goes on where it was. A Reader is not safe
// for concurrent use.
type Reader struct {
	src   io.Reader
	max   int
	buf   []byte
	r, w  int // buf[r:w] is unread
	small int // reads in a row that would have fitted the first buffer
}

// NewReader returns a Reader from src that buffers up to limit bytes, and at
// least 4 KiB, that its user has not discarded.
func NewReader(src io.Reader, limit int) *Reader {
	return &Reader{src: src, max: max(limit, firstRead)}
}

// Buffered returns the unread bytes. They are valid until the next call of Fill
// or ReadInto.
func (r *Reader) Buffered() []byte { return r.buf[r.r:r.w] }

// Discard marks n of the buffered bytes as read. It panics if there are fewer.
func (r *Reader) Discard(n int) {
	if n > r.w-r.r {
		panic("transport: Discard of more than is buffered")
	}
	if r.r += n; r.r == r.w {
		r.r, r.w = 0, 0
	}
}

// Unread puts bytes before the unread ones, which were read from the stream before
// the Reader was made, or discarded. They count against the limit; b is copied.
func (r *Reader) Unread(b []byte) {
	buf := make([]byte, max(len(b)+r.w-r.r, firstRead))
	n := copy(buf, b)
	n += copy(buf[n:], r.buf[r.r:r.w])
	r.buf, r.r, r.w = buf, 0, n
}

// Fill reads at least one more byte into the buffer. It returns [ErrTooLarge]
// if as many as the limit wait there unread.
func (r *Reader) Fill() error {
	if err := r.makeRoom(); err != nil {
		return err
	}
	n, err := r.src.Read(r.buf[r.w:])
	r.w += n
	if n > 0 {
		r.judge(n)
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

func (r *Reader) makeRoom() error {
	unread := r.w - r.r
	switch {
	case unread == 0 && r.small > patience && len(r.buf) > firstRead:
		r.buf, r.small = make([]byte, firstRead), 0
	case r.w < len(r.buf):
		return nil
	case unread >= r.max:
		return ErrTooLarge
	case unread <= len(r.buf)/2 && len(r.buf) > 0:
		copy(r.buf, r.buf[r.r:r.w])
	default:
		grown := make([]byte, min(max(2*len(r.buf), firstRead), r.max))
		copy(grown, r.buf[r.r:r.w])
		r.buf = grown
	}
	r.r, r.w = 0, unread
	return nil
}

// judge lets the buffer follow the traffic: a read that filled it asks for a
// larger one, many small ones for a smaller.
func (r *Reader) judge(n int) {
	if n <= firstRead/2 {
		r.small++
		return
	}
	r.small = 0
	if size := len(r.buf); r.w == size && size < min(fullRead, r.max) {
		grown := make([]byte, min(2*size, r.max))
		r.w = copy(grown, r.buf[r.r:r.w])
		r.r, r.buf = 0, grown
	}
}

// ReadInto appends to body until it has n bytes, and returns it. On an error it
// returns what it has, to be handed in again. It takes memory for what has
// arrived, and little more on the word of the peer that n bytes will come.
func (r *Reader) ReadInto(body []byte, n int) ([]byte, error) {
	if cap(body) == 0 && n > r.w-r.r {
		body = make([]byte, 0, min(n, max(onWord, r.w-r.r)))
	}
	take := min(n-len(body), r.w-r.r)
	body = append(body, r.buf[r.r:r.r+take]...)
	r.Discard(take)
	for len(body) < n {
		if len(body) == cap(body) {
			grown := make([]byte, len(body), min(n, 4*cap(body)))
			copy(grown, body)
			body = grown
		}
		m, err := r.src.Read(body[len(body):min(n, cap(body))])
		body = body[:len(body)+m]
		if m == 0 {
			if err == nil {
				err = io.ErrNoProgress
			}
			return body, err
		}
	}
	return body, nil
}
