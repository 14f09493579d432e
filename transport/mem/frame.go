package mem

import (
	"encoding/binary"
	"fmt"

	"github.com/polyport/polyport/transport"
)

// kind says what a frame is.
type kind byte

const (
	kindHello kind = 1 + iota
	kindWelcome
	kindRefuse
	kindMessage
	kindSubscribe
	kindUnsubscribe
	kindSettle
	kindGrant
	kindConfirm
	kindBeat
	kindGoodbye
	kindEnd // no kind: the first number that is not one
)

func (k kind) String() string {
	return [...]string{
		"frame 0", "hello", "welcome", "refuse", "message", "subscribe", "unsubscribe",
		"settle", "grant", "confirm", "beat", "goodbye",
	}[k]
}

const (
	prefixLen = 8
	// maxHead is the longest head that the prefix can say.
	maxHead = 1<<24 - 1
	// maxBody is the longest body, so that its length is an int everywhere.
	maxBody = 1<<31 - 1
)

// A frame is one that was read. Its head and body are the reader's to keep.
type frame struct {
	kind kind
	head fields
	body []byte
}

// appendFrame appends a frame without a body, whose head is what fill appends.
func appendFrame(dst []byte, k kind, fill func([]byte) []byte) []byte {
	at := len(dst)
	dst = append(dst, byte(k), 0, 0, 0, 0, 0, 0, 0)
	if fill != nil {
		dst = fill(dst)
	}
	setLengths(dst[at:], 0)
	return dst
}

// setLengths completes the prefix of a frame whose head ends where f does.
func setLengths(f []byte, body int) {
	binary.BigEndian.PutUint32(f, uint32(f[0])<<24|uint32(len(f)-prefixLen))
	binary.BigEndian.PutUint32(f[4:], uint32(body))
}

func appendNumber(dst []byte, n uint64) []byte { return binary.AppendUvarint(dst, n) }

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// textLen is at least the length of appendText's bytes for a text that fits in
// a head.
func textLen(s string) int { return len(s) + 4 }

// fields is what is left to read of a head. Texts are parts of it, so a head
// costs one allocation, however many fields it has.
type fields struct {
	rest string
	bad  bool // something was not what it had to be
}

// number reads a number of at most limit; another one is bad.
func (f *fields) number(limit uint64) uint64 {
	if len(f.rest) > 0 && f.rest[0] < 0x80 { // as most are
		n := uint64(f.rest[0])
		f.rest = f.rest[1:]
		f.bad = f.bad || n > limit
		return min(n, limit)
	}
	var n uint64
	for i := 0; i < len(f.rest) && i < binary.MaxVarintLen64; i++ {
		c := f.rest[i]
		if i == binary.MaxVarintLen64-1 && c > 1 {
			break
		}
		n |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			f.rest = f.rest[i+1:]
			f.bad = f.bad || n > limit
			return min(n, limit)
		}
	}
	f.rest, f.bad = "", true
	return 0
}

// text reads a text.
func (f *fields) text() string { return f.cut(f.number(maxHead)) }

// cut reads n bytes.
func (f *fields) cut(n uint64) string {
	if n > uint64(len(f.rest)) {
		f.rest, f.bad = "", true
		return ""
	}
	s := f.rest[:n]
	f.rest = f.rest[n:]
	return s
}

// end reports what is wrong with the head of a frame of which all was read.
func (f *fields) end(k kind) error {
	if f.bad || f.rest != "" {
		return malformed("the head of a %v frame makes no sense", k)
	}
	return nil
}

// malformed is the error for a frame that breaks the rules.
func malformed(format string, args ...any) error {
	return transport.WithReason(transport.ErrProtocol, fmt.Sprintf(format, args...))
}

// tooLarge is the error for what is over a limit.
func tooLarge(format string, args ...any) error {
	return transport.WithReason(transport.ErrTooLarge, fmt.Sprintf(format, args...))
}

// invalid is the error for what cannot be said on this wire.
func invalid(format string, args ...any) error {
	return transport.WithReason(transport.ErrInvalid, fmt.Sprintf(format, args...))
}
