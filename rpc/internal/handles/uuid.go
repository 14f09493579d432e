package handles

import (
	"crypto/rand"
	"encoding/hex"
)

// A UUID names a call (RFC 9562).
type UUID [16]byte

// Random returns a new UUID of version 4.
func Random() (u UUID) {
	_, _ = rand.Read(u[:]) // it does not fail
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u
}

// Parse reads the 36 characters of a UUID, in either case.
func Parse(text string) (u UUID, ok bool) {
	if len(text) != 36 {
		return UUID{}, false
	}
	var digits [32]byte
	n := 0
	for i := range len(text) {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if text[i] != '-' {
				return UUID{}, false
			}
			continue
		}
		digits[n] = text[i]
		n++
	}
	_, err := hex.Decode(u[:], digits[:])
	return u, err == nil
}

// Secret reports whether u may be one that nobody can guess: version 4, with
// 122 random bits.
func (u UUID) Secret() bool { return u[6]>>4 == 4 && u[8]>>6 == 2 }

// String returns the usual form in lower case.
func (u UUID) String() string {
	text := make([]byte, 0, 36)
	for i, n := range []int{4, 2, 2, 2, 6} {
		if i > 0 {
			text = append(text, '-')
		}
		text = hex.AppendEncode(text, u[:n])
		copy(u[:], u[n:])
	}
	return string(text)
}
