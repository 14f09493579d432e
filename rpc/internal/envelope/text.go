package envelope

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// Strings are most of what most bodies hold, so they are read eight bytes at a
// time: a word of eight bytes is compared with all that can end a run of plain
// text in a handful of instructions without a branch.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special returns zero if the eight bytes of x are plain text. Otherwise its
// lowest set bit is the high bit of the first byte that is a quote, a
// backslash or a control character. (Bits above that one may be wrong: the
// subtractions borrow from bytes above a hit, never below.)
func special(x uint64) uint64 {
	// Flipping one bit makes the quote 0x20 and leaves control characters
	// below 0x20, so one comparison with 0x21 finds both.
	q := x ^ ones*0x02
	k := x ^ ones*'\\'
	return ((q-ones*0x21)&^q | (k-ones)&^k) & highs
}

// text reads the rest of a string, whose opening quote is before i.
func (s *scanner) text(i int) (end int, escaped bool) {
	b := s.body
	// Names and ids mostly end in their first word, which is worth a look
	// before a call.
	if i+8 <= len(b) {
		if hit := special(binary.LittleEndian.Uint64(b[i:])); hit != 0 {
			if end = i + bits.TrailingZeros64(hit)/8; b[end] == '"' {
				return end + 1, false
			}
		}
	}
	for {
		i = plain(b, i)
		if i < len(b) && b[i] == '"' {
			return i + 1, escaped
		}
		escaped = true
		if i = s.escape(i); i < 0 {
			return stop, escaped
		}
	}
}

// plain returns the index of the first byte from i on that is not plain text,
// or len(b).
func plain(b []byte, i int) int {
	for i+8 <= len(b) {
		if hit := special(binary.LittleEndian.Uint64(b[i:])); hit != 0 {
			return i + bits.TrailingZeros64(hit)/8
		}
		// What does not end in its first word may be long, and is skipped two
		// words at a time until something is in them, which the loop around
		// this one finds.
		for i += 8; i+16 <= len(b); i += 16 {
			w := b[i : i+16]
			if special(binary.LittleEndian.Uint64(w))|special(binary.LittleEndian.Uint64(w[8:])) != 0 {
				break
			}
		}
	}
	for i < len(b) && b[i] >= ' ' && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// isText is utf8.Valid, made quick for what is ASCII and short.
func isText(b []byte) bool {
	for i, c := range b {
		if c >= utf8.RuneSelf {
			return utf8.Valid(b[i:])
		}
	}
	return true
}

// escape reads the escape at i, where the plain text of a string ends without
// a quote.
func (s *scanner) escape(i int) int {
	b := s.body
	if i >= len(b) {
		return s.want(i, "the end of a string")
	}
	if b[i] != '\\' {
		return s.want(i, "an escape")
	}
	if i++; i >= len(b) {
		return s.want(i, "an escape")
	}
	switch b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		for range 4 {
			if i++; i >= len(b) || !isHex(b[i]) {
				return s.want(i, "a hexadecimal digit")
			}
		}
		return i + 1
	default:
		return s.want(i, "an escape")
	}
}

func isHex(c byte) bool {
	return c-'0' <= 9 || (c|0x20)-'a' <= 5
}

// unescape appends the text between the quotes of a valid string to dst and
// returns the extended slice. It reports whether the text is Unicode; half a
// surrogate pair is not, and becomes U+FFFD, whereas other bytes that are not
// UTF-8 are kept.
func unescape(dst, text []byte) (extended []byte, ok bool) {
	start := len(dst)
	ok = true
	for i := 0; i < len(text); {
		if n := plain(text, i); n > i {
			dst = append(dst, text[i:n]...)
			i = n
			continue
		}
		if text[i+1] != 'u' {
			dst = append(dst, unescaped(text[i+1]))
			i += 2
			continue
		}
		r := hex4(text[i+2:])
		i += 6
		if utf16.IsSurrogate(r) {
			var n int
			r, n = pair(r, text[i:])
			i += n
			ok = ok && n > 0
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst, ok && utf8.Valid(dst[start:])
}

// pair completes the surrogate r with the escape that rest begins with and
// returns the length of that, or U+FFFD and 0 if they make no pair.
func pair(r rune, rest []byte) (rune, int) {
	if len(rest) < 6 || rest[0] != '\\' || rest[1] != 'u' {
		return utf8.RuneError, 0
	}
	if r = utf16.DecodeRune(r, hex4(rest[2:])); r == utf8.RuneError {
		return r, 0
	}
	return r, 6
}

// unescaped returns the byte that a backslash before c stands for.
func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	default:
		return c
	}
}

// hex4 returns the value of the four hexadecimal digits that b begins with.
func hex4(b []byte) rune {
	var r rune
	for _, c := range b[:4] {
		if c >= 'A' {
			c = c&^0x20 - 'A' + 10 + '0'
		}
		r = r<<4 | rune(c-'0')
	}
	return r
}
