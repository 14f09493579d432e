package envelope

import (
	"math/bits"
	"unicode/utf8"
)

// AppendString appends s as a JSON string. It escapes only what must be
// escaped, and replaces each byte that is not part of valid UTF-8 by U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	if !utf8.ValidString(s) {
		return append(appendReplaced(dst, s), '"')
	}
	return append(appendEscaped(dst, s), '"')
}

// appendReplaced appends text with bytes in it that are not UTF-8.
func appendReplaced(dst []byte, s string) []byte {
	for s != "" {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError { // also one that stands there as itself
			dst = append(dst, "\uFFFD"...)
		} else {
			dst = appendEscaped(dst, s[:n])
		}
		s = s[n:]
	}
	return dst
}

// appendEscaped appends valid UTF-8.
func appendEscaped(dst []byte, s string) []byte {
	for {
		n := plainString(s)
		dst = append(dst, s[:n]...)
		if n == len(s) {
			return dst
		}
		dst = appendEscape(dst, s[n])
		s = s[n+1:]
	}
}

// plainString is like [plain].
func plainString(s string) int {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		w := s[i : i+8]
		x := uint64(w[0]) | uint64(w[1])<<8 | uint64(w[2])<<16 | uint64(w[3])<<24 |
			uint64(w[4])<<32 | uint64(w[5])<<40 | uint64(w[6])<<48 | uint64(w[7])<<56
		if hit := special(x); hit != 0 {
			return i + bits.TrailingZeros64(hit)/8
		}
	}
	for i < len(s) && s[i] >= ' ' && s[i] != '"' && s[i] != '\\' {
		i++
	}
	return i
}

// appendEscape appends the escape of a character that must have one.
func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	const digits = "0123456789abcdef"
	return append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
}
