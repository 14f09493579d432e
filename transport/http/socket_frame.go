package http

import (
	"encoding/binary"
	"slices"

	"github.com/polyport/polyport/transport"
)

// The opcodes of frames (RFC 6455, section 5.2).
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xa
)

// The bits of the first two bytes of a frame.
const (
	finBit      = 0x80
	reservedBit = 0x70
	opcodeBits  = 0x0f
	controlBit  = 0x08
	maskBit     = 0x80
	lengthBits  = 0x7f
)

const (
	// longestFrameHead is the most bytes before a frame's payload.
	longestFrameHead = 2 + 8 + 4
	// longestControl is the most bytes in the payload of a control frame (section
	// 5.5).
	longestControl = 125
	// onFragment is how much memory a fragment gets on the peer's word alone.
	onFragment = 64 << 10
	// emptyFragments is how many fragments of a message may be empty.
	emptyFragments = 1000
)

// A frameHead is what stands before a payload.
type frameHead struct {
	fin    bool
	opcode byte
	size   int // of the head
	length uint64
	key    [4]byte // zero of a frame that is not masked, which changes nothing
}

// parseFrameHead reads the head that buf begins with. ok is false if it is not all
// there; what is wrong with it is told as soon as it is seen. masked says whether
// the peer has to mask what it sends (section 5.1).
func parseFrameHead(buf []byte, masked bool) (h frameHead, ok bool, err error) {
	if len(buf) == 0 {
		return h, false, nil
	}
	h.fin, h.opcode = buf[0]&finBit != 0, buf[0]&opcodeBits
	control := h.opcode&controlBit != 0
	switch {
	case buf[0]&reservedBit != 0:
		return h, false, malformed("a frame has reserved bits set (%#02x), and no extension was agreed on", buf[0])
	case h.opcode > opBinary && h.opcode < opClose, h.opcode > opPong:
		return h, false, malformed("a frame has the opcode %#x, which has no meaning", h.opcode)
	case control && !h.fin:
		return h, false, malformed("a fragment of a control frame")
	case len(buf) == 1:
		return h, false, nil
	case buf[1]&maskBit != 0 && !masked:
		return h, false, malformed("a server's frame is masked")
	case buf[1]&maskBit == 0 && masked:
		return h, false, malformed("a client's frame is not masked")
	}
	h.size, h.length = 2, uint64(buf[1]&lengthBits)
	if control && h.length > longestControl {
		return h, false, malformed("a control frame has more than %d bytes", longestControl)
	}
	if h.length > longestControl {
		if ok, err = h.longLength(buf); !ok {
			return h, false, err
		}
	}
	if masked {
		if len(buf) < h.size+len(h.key) {
			return h, false, nil
		}
		h.size += copy(h.key[:], buf[h.size:])
	}
	return h, true, nil
}

// longLength reads a length of two or eight bytes, which must need them.
func (h *frameHead) longLength(buf []byte) (ok bool, err error) {
	bytes, least := 2, uint64(longestControl+1)
	if h.length == 127 {
		bytes, least = 8, 1<<16
	}
	if len(buf) < 2+bytes {
		return false, nil
	}
	h.size = 2 + bytes
	if bytes == 2 {
		h.length = uint64(binary.BigEndian.Uint16(buf[2:]))
	} else {
		h.length = binary.BigEndian.Uint64(buf[2:])
	}
	switch {
	case h.length < least:
		return false, malformed("a frame spells its length of %d with %d bytes more than it needs", h.length, bytes)
	case h.length>>63 != 0:
		return false, malformed("a frame has a negative length")
	}
	return true, nil
}

// A frameReader cuts a byte stream into messages and control frames, and takes no
// more memory than its limits allow. After an interrupted read it goes on where it
// was.
type frameReader struct {
	stream *transport.Stream
	masked bool                // the peer is a client
	most   func(kind byte) int // bytes in a message of that kind

	message *transport.Message // whose frames are being read, or nil
	kind    byte               // opText or opBinary
	body    []byte             // what is there of it
	pieces  int                // frames of it that have begun

	inPayload bool // of the data frame with this head
	head      frameHead
	start     int // in body

	control [longestControl]byte
}

// next returns the next message, with nothing but its body set, and its kind; or
// the next control frame, if the message is nil. The payload of that is valid
// until the next call.
func (r *frameReader) next() (m *transport.Message, opcode byte, payload []byte, err error) {
	for {
		if !r.inPayload {
			h, err := r.readHead()
			if err != nil {
				return nil, 0, nil, err
			}
			if h.opcode&controlBit != 0 {
				payload, err := r.readControl(h)
				return nil, h.opcode, payload, err
			}
			if err := r.begin(h); err != nil {
				return nil, 0, nil, err
			}
		}
		if err := r.readPayload(); err != nil {
			return nil, 0, nil, err
		}
		if r.head.fin {
			m, opcode = r.message, r.kind
			m.Body = r.body[:len(r.body):len(r.body)]
			r.message, r.body = nil, nil
			r.stream.FrameDone()
			return m, opcode, nil, nil
		}
	}
}

// readHead reads the head of a frame and, if it is one of data, goes past it.
func (r *frameReader) readHead() (frameHead, error) {
	in := r.stream.Reader
	for {
		buf := in.Buffered()
		h, ok, err := parseFrameHead(buf, r.masked)
		if ok || err != nil {
			return h, err
		}
		if len(buf) > 0 || r.message != nil {
			r.stream.MidFrame()
		}
		if err := in.Fill(); err != nil {
			return h, err
		}
	}
}

// readControl reads a control frame whose head has been read and is still in the
// buffer. It may stand between the frames of a message (section 5.4).
func (r *frameReader) readControl(h frameHead) ([]byte, error) {
	in := r.stream.Reader
	n := h.size + int(h.length)
	for len(in.Buffered()) < n {
		r.stream.MidFrame()
		if err := in.Fill(); err != nil {
			return nil, err
		}
	}
	payload := r.control[:copy(r.control[:], in.Buffered()[h.size:n])]
	in.Discard(n)
	mask(payload, h.key)
	if r.message == nil {
		r.stream.FrameDone()
	}
	return payload, nil
}

// begin makes ready for the payload of a data frame.
func (r *frameReader) begin(h frameHead) error {
	switch {
	case h.opcode == opContinuation && r.message == nil:
		return malformed("a continuation of nothing")
	case h.opcode != opContinuation && r.message != nil:
		return malformed("a message begins before the last has ended")
	case h.opcode != opContinuation:
		r.kind, r.pieces = h.opcode, 0
	}
	if r.pieces++; r.pieces > len(r.body)+emptyFragments {
		return tooLarge("a message of %d bytes comes in more than %d fragments", len(r.body), r.pieces-1)
	}
	if limit := r.most(r.kind); h.length > uint64(limit-len(r.body)) {
		return tooLarge("a message has at least %d bytes; the limit is %d", uint64(len(r.body))+h.length, limit)
	}
	r.stream.Reader.Discard(h.size)
	switch {
	case r.message != nil:
		r.makeRoom(int(h.length))
	case h.fin:
		r.message, r.body = transport.NewMessage(int(h.length))
	default:
		r.message = new(transport.Message)
	}
	r.inPayload, r.head, r.start = true, h, len(r.body)
	return nil
}

// makeRoom grows the body for a fragment of n bytes: so that many small ones cost
// no more than a large one, and little on the peer's word.
func (r *frameReader) makeRoom(n int) {
	if cap(r.body)-len(r.body) < n {
		r.body = slices.Grow(r.body, max(min(n, onFragment), min(len(r.body), r.most(r.kind)-len(r.body))))
	}
}

func (r *frameReader) readPayload() (err error) {
	in, end := r.stream.Reader, r.start+int(r.head.length)
	if len(in.Buffered()) < end-len(r.body) {
		r.stream.MidFrame()
	}
	if r.body, err = in.ReadInto(r.body, end); err != nil {
		return err
	}
	mask(r.body[r.start:], r.head.key)
	r.inPayload = false
	return nil
}

// appendFrameHead appends the head of a whole message, or of a control frame, with
// a payload of n bytes. A nil key means that it is not masked.
func appendFrameHead(dst []byte, opcode byte, n int, key *[4]byte) []byte {
	masked := byte(0)
	if key != nil {
		masked = maskBit
	}
	dst = append(dst, finBit|opcode)
	switch {
	case n <= longestControl:
		dst = append(dst, masked|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, masked|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, masked|127), uint64(n))
	}
	if key != nil {
		dst = append(dst, key[:]...)
	}
	return dst
}

// appendFrame appends a frame. A nil key means that it is not masked.
func appendFrame(dst []byte, opcode byte, payload []byte, key *[4]byte) []byte {
	dst = append(appendFrameHead(dst, opcode, len(payload), key), payload...)
	if key != nil {
		mask(dst[len(dst)-len(payload):], *key)
	}
	return dst
}

// mask masks p, or unmasks it: each byte with the one of the key whose turn it is
// (section 5.3).
func mask(p []byte, key [4]byte) {
	four := binary.LittleEndian.Uint32(key[:])
	if four == 0 {
		return
	}
	for eight := uint64(four)<<32 | uint64(four); len(p) >= 8; p = p[8:] {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^eight)
	}
	for i := range p {
		p[i] ^= key[i&3]
	}
}
