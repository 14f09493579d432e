package frames

import (
	"encoding/binary"

	"github.com/polyport/polyport/transport/amqp/internal/codec"
)

const (
	// HeadLen is the length of a frame's head without extensions.
	HeadLen = 8
	// MinMaxSize is what every peer must be able to take (section 2.7.1,
	// max-frame-size).
	MinMaxSize = 512
)

// The types of frames.
const (
	TypeAMQP = 0
	TypeSASL = 1
)

// The descriptors of what frames hold.
const (
	CodeOpen        = 0x10
	CodeBegin       = 0x11
	CodeAttach      = 0x12
	CodeFlow        = 0x13
	CodeTransfer    = 0x14
	CodeDisposition = 0x15
	CodeDetach      = 0x16
	CodeEnd         = 0x17
	CodeClose       = 0x18

	CodeSASLMechanisms = 0x40
	CodeSASLInit       = 0x41
	CodeSASLChallenge  = 0x42
	CodeSASLResponse   = 0x43
	CodeSASLOutcome    = 0x44

	codeError       = 0x1d
	codeSource      = 0x28
	codeTarget      = 0x29
	codeCoordinator = 0x30
)

// A Head is the beginning of each frame.
type Head struct {
	// Size is that of the whole frame, Offset where its body begins.
	Size, Offset uint32
	// Type is TypeAMQP or TypeSASL.
	Type uint8
	// Channel is the session's, in frames of TypeAMQP.
	Channel uint16
}

// ParseHead reads a head from the first HeadLen bytes of b.
func ParseHead(b []byte) Head {
	return Head{
		Size: binary.BigEndian.Uint32(b), Offset: 4 * uint32(b[4]),
		Type: b[5], Channel: binary.BigEndian.Uint16(b[6:]),
	}
}

// Begin appends the head of a frame. The body follows, and End with the same
// at.
func Begin(dst []byte, typ uint8, channel uint16) (frame []byte, at int) {
	return append(dst, 0, 0, 0, 0, 2, typ, byte(channel>>8), byte(channel)), len(dst)
}

// End fills in the size of the frame that begins at.
func End(dst []byte, at int) []byte {
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at))
	return dst
}

// Empty is a frame without a body, a sign of life (section 2.4.5).
var Empty = End(Begin(nil, TypeAMQP, 0))

// begin begins a frame that holds a list of type code.
func begin(dst []byte, typ uint8, channel uint16, code byte) (b []byte, f open) {
	dst, f.frame = Begin(dst, typ, channel)
	dst, f.list = codec.BeginList(codec.AppendDescriptor(dst, code))
	return dst, f
}

// open is a frame that is being written.
type open struct{ frame, list int }

// end ends it; its list has count fields.
func (f open) end(dst []byte, count int) []byte {
	return End(codec.EndList(dst, f.list, count), f.frame)
}

// orNull appends text, or null where there is none.
func orNull(dst []byte, text string) []byte {
	if text == "" {
		return codec.AppendNull(dst)
	}
	return codec.AppendString(dst, text)
}
