package acceptor

import (
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/codec"
	"github.com/polyport/polyport/transport/amqp/internal/frames"
)

const (
	// maxFrame is the largest frame that is taken, which the peer is told.
	maxFrame = 1 << 20
	// whole is the largest frame that is looked at when all of it has come; of
	// a larger one, which must be a transfer, the message goes into a buffer of
	// its own. It bounds performatives, too.
	whole = 64 << 10
	// opening is the largest frame before the connection is open, generously:
	// section 2.7.1 has 512.
	opening = 16 << 10
)

// A frame is one that has been read. All in it is valid until the next one.
type frame struct {
	frames.Head
	// code is the performative's, and fields are its fields; 0 if the frame is
	// empty.
	code   uint64
	fields codec.Decoder
	// payload is what follows the performative. If it is owned it is valid for
	// good.
	payload []byte
	owned   bool
}

// A frameReader cuts a byte stream into frames, and takes memory for what has
// come, not for what the peer says will. After an interrupted read it goes on
// where it was.
type frameReader struct {
	stream *transport.Stream
	most   uint32 // bytes of a frame
	// idle is called before a read that may have to wait, busy after it.
	idle, busy func()

	frame   frame
	discard int    // bytes of the last frame in the reader's buffer
	head    []byte // of a large frame, to the end of the performative
	payload []byte // of a large frame, as far as it has come
}

// next returns the next frame.
func (r *frameReader) next() (*frame, error) {
	r.drop()
	if r.head != nil {
		return r.large()
	}
	buf, err := r.fill(frames.HeadLen)
	if err != nil {
		return nil, err
	}
	f := &r.frame
	*f = frame{Head: frames.ParseHead(buf)}
	switch {
	case f.Size > r.most:
		return nil, tooLarge(framingError, "a frame says to have %d bytes, the limit is %d", f.Size, r.most)
	case f.Offset < frames.HeadLen, f.Offset > f.Size:
		return nil, broken(framingError, "the data offset of a frame of %d bytes is %d bytes", f.Size, f.Offset)
	case f.Size > whole:
		return r.beginLarge()
	}
	if buf, err = r.fill(int(f.Size)); err != nil {
		return nil, err
	}
	r.discard = int(f.Size)
	r.stream.FrameDone()
	if f.Offset == f.Size {
		return f, nil
	}
	return f, r.parse(buf[f.Offset:f.Size])
}

// drop discards the last frame.
func (r *frameReader) drop() {
	r.stream.Reader.Discard(r.discard)
	r.discard = 0
}

// fill returns what is buffered when it is n bytes at least.
func (r *frameReader) fill(n int) ([]byte, error) {
	in := r.stream.Reader
	for {
		buf := in.Buffered()
		if len(buf) >= n {
			return buf, nil
		}
		if len(buf) > 0 {
			r.stream.MidFrame()
		}
		r.idle()
		err := in.Fill()
		r.busy()
		if err != nil {
			return nil, err
		}
	}
}

// beginLarge reads a large frame up to the end of its performative, which it
// keeps.
func (r *frameReader) beginLarge() (*frame, error) {
	f := &r.frame
	for n := int(f.Offset) + 16; ; {
		buf, err := r.fill(n)
		if err != nil {
			return nil, err
		}
		size, ok := frames.PerformativeLen(buf[f.Offset:n])
		end := int(f.Offset) + size
		switch {
		case !ok || size == 0:
			return nil, broken(decodeError, "a frame's body does not begin with a performative")
		case end > int(f.Size), end > whole:
			return nil, tooLarge(framingError, "a performative says to have %d bytes", size)
		case end > n:
			n = end
			continue
		}
		r.head = append([]byte(nil), buf[:end]...)
		r.stream.Reader.Discard(end)
		return r.large()
	}
}

// large reads the rest of a large frame.
func (r *frameReader) large() (*frame, error) {
	f := &r.frame
	in, n := r.stream.Reader, int(f.Size)-len(r.head)
	for len(r.payload) < n {
		r.stream.MidFrame()
		r.idle()
		var err error
		r.payload, err = in.ReadInto(r.payload, n)
		r.busy()
		if err != nil {
			return nil, err
		}
	}
	r.stream.FrameDone()
	body := r.head[f.Offset:]
	f.payload, f.owned = r.payload, true
	r.head, r.payload = nil, nil
	if err := r.parse(body); err != nil {
		return nil, err
	}
	if f.code != frames.CodeTransfer {
		return nil, tooLarge(framingError, "a frame of %d bytes is no transfer", f.Size)
	}
	return f, nil
}

// parse finds the performative at the beginning of a frame's body.
func (r *frameReader) parse(body []byte) error {
	f := &r.frame
	d := codec.NewDecoder(body)
	v := d.Value()
	if d.Err() != nil {
		return malformed("frame", d.Err())
	}
	if v.Kind() != codec.Described || v.Inner().Kind() != codec.List {
		return broken(decodeError, "a frame's body does not begin with a performative")
	}
	if !f.owned {
		f.payload = d.Rest()
	}
	f.code, f.fields = v.Descriptor(), v.Items()
	return nil
}

// header reads a protocol header (section 2.2).
func (r *frameReader) header() (h [8]byte, err error) {
	r.drop()
	buf, err := r.fill(1)
	for n := 1; err == nil; n++ {
		if h = [8]byte{}; n <= 4 && buf[n-1] != "AMQP"[n-1] {
			return h, broken("", "expected the protocol header of AMQP 1.0, got %.20q", buf[:min(len(buf), 20)])
		}
		if n == len(h) {
			copy(h[:], buf)
			r.stream.Reader.Discard(len(h))
			r.stream.FrameDone()
			return h, nil
		}
		buf, err = r.fill(n + 1)
	}
	return h, err
}
