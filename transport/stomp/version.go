package stomp

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/polyport/polyport/transport"
)

// version is a protocol version. Its order is that of the versions.
type version uint8

const (
	v10 version = iota
	v11
	v12
)

var versionNames = [...]string{"1.0", "1.1", "1.2"}

func (v version) String() string { return versionNames[v] }

// highest returns the newest version in a comma list, as in accept-version. An
// empty list means 1.0, which has no such header.
func highest(list string) (v version, ok bool) {
	if list == "" {
		return v10, true
	}
	for name := range strings.SplitSeq(list, ",") {
		for i, known := range versionNames {
			if strings.TrimSpace(name) == known {
				v, ok = max(v, version(i)), true
			}
		}
	}
	return v, ok
}

// escapes says how a version writes the bytes that would end a name or a value
// (1.2 "Value Encoding"; 1.1 has no \r and 1.0 nothing at all).
func (v version) escapes(c byte) (letter byte, ok bool) {
	switch {
	case v == v10:
		return 0, false
	case c == '\n':
		return 'n', true
	case c == ':':
		return 'c', true
	case c == '\\':
		return '\\', true
	case c == '\r' && v == v12:
		return 'r', true
	}
	return 0, false
}

// special are the bytes that may need an escape.
var special = [256]bool{'\n': true, ':': true, '\\': true, '\r': true, 0: true}

// appendText appends a header's name or value with escapes. What check refuses, as
// a broker may have it from another wire, becomes a blank.
func (v version) appendText(dst []byte, s string) []byte {
	from := 0
	for i := range len(s) {
		if special[s[i]] {
			switch letter, ok := v.escapes(s[i]); {
			case ok:
				dst = append(append(dst, s[from:i]...), '\\', letter)
			case s[i] == '\\', s[i] == ':':
				continue
			default:
				dst = append(append(dst, s[from:i]...), ' ')
			}
			from = i + 1
		}
	}
	return append(dst, s[from:]...)
}

// check reports why a name or value cannot be said in this version.
func (v version) check(what, s string, isName bool) error {
	for i := range len(s) {
		c := s[i]
		if !special[c] {
			continue
		}
		if _, ok := v.escapes(c); ok || c == '\\' || c == ':' && !isName {
			continue
		}
		return invalid("%s %.40q has the byte %q, which STOMP %s cannot express", what, s, c, v)
	}
	return nil
}

// unescape undoes appendText for a part of a header line. s has no escape in
// versions that have none.
func (v version) unescape(s string) (string, error) {
	if v == v10 || strings.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	var out bytes.Buffer
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			out.WriteByte(s[i])
			continue
		}
		i++
		switch {
		case i < len(s) && s[i] == 'n':
			out.WriteByte('\n')
		case i < len(s) && s[i] == 'c':
			out.WriteByte(':')
		case i < len(s) && s[i] == '\\':
			out.WriteByte('\\')
		case i < len(s) && s[i] == 'r' && v == v12:
			out.WriteByte('\r')
		default:
			known := [...]string{"none", `\n \c \\`, `\n \c \\ \r`}[v]
			return "", malformed("undefined escape in header line %.60q; STOMP %s has %s", s, v, known)
		}
	}
	return out.String(), nil
}

// The errors of this package say what was wrong and what was expected.

func malformed(format string, args ...any) error {
	return transport.WithReason(transport.ErrProtocol, fmt.Sprintf(format, args...))
}

func tooLarge(format string, args ...any) error {
	return transport.WithReason(transport.ErrTooLarge, fmt.Sprintf(format, args...))
}

func invalid(format string, args ...any) error {
	return transport.WithReason(transport.ErrInvalid, fmt.Sprintf(format, args...))
}

func noRoute(format string, args ...any) error {
	return transport.WithReason(transport.ErrNoRoute, fmt.Sprintf(format, args...))
}
