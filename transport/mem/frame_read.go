package mem

import (
	"encoding/binary"

	"github.com/polyport/polyport/transport"
)

// A frameReader cuts a byte stream into frames and takes no more memory than
// its limits allow. After an interrupted read it goes on where it was.
type frameReader struct {
	stream *transport.Stream
	// head and body are the longest ones allowed; only the body of a message
	// may have any length.
	head, body int

	frame  frame // the one being read
	inBody bool  // its head is read
	length int   // of its body
}

// next returns the next frame but beats.
func (r *frameReader) next() (frame, error) {
	for {
		if !r.inBody {
			if err := r.readHead(); err != nil {
				return frame{}, err
			}
		}
		if err := r.readBody(); err != nil {
			return frame{}, err
		}
		r.stream.FrameDone()
		f := r.frame
		r.frame, r.inBody = frame{}, false
		if f.kind != kindBeat {
			return f, nil
		}
	}
}

// readHead reads the prefix and the head.
func (r *frameReader) readHead() error {
	for {
		buf := r.stream.Reader.Buffered()
		head, err := r.judge(buf)
		if err != nil {
			return err
		}
		if n := prefixLen + head; len(buf) >= n {
			r.frame = frame{kind: kind(buf[0]), head: fields{rest: string(buf[prefixLen:n])}}
			r.length = int(binary.BigEndian.Uint32(buf[4:]))
			r.inBody = true
			r.stream.Reader.Discard(n)
			return nil
		}
		if len(buf) > 0 {
			r.stream.MidFrame()
		}
		if err := r.stream.Reader.Fill(); err != nil {
			return err
		}
	}
}

// judge refuses a frame as early as it can be told that it is wrong, and
// returns the length of its head, or 0 while that is not known.
func (r *frameReader) judge(buf []byte) (head int, err error) {
	if len(buf) == 0 {
		return 0, nil
	}
	k := kind(buf[0])
	if k == 0 || k >= kindEnd {
		return 0, malformed("expected a frame, got one that begins with the byte %#x", buf[0])
	}
	if len(buf) < prefixLen {
		return 0, nil
	}
	head = int(binary.BigEndian.Uint32(buf) & maxHead)
	body := uint64(binary.BigEndian.Uint32(buf[4:]))
	switch {
	case head > r.head:
		return 0, tooLarge("the head of a %v frame has %d bytes, the limit is %d", k, head, r.head)
	case body > 0 && k != kindMessage:
		return 0, malformed("a %v frame must not have a body", k)
	case body > uint64(r.body):
		return 0, tooLarge("the body has %d bytes, the limit is %d", body, r.body)
	}
	return head, nil
}

// readBody reads what the prefix promised.
func (r *frameReader) readBody() (err error) {
	in := r.stream.Reader
	if len(in.Buffered()) < r.length-len(r.frame.body) {
		r.stream.MidFrame()
	}
	r.frame.body, err = in.ReadInto(r.frame.body, r.length)
	return err
}
