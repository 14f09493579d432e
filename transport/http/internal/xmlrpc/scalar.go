package xmlrpc

import (
	"bytes"
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"time"
)

// scalar appends a value that has no others in it, from after its opening tag to
// its closing one.
func (s *scanner) scalar(dst []byte, name string) ([]byte, error) {
	if err := s.closesText(name); err != nil {
		return dst, err
	}
	if name == "string" {
		return s.quoted(dst)
	}
	text := bytes.TrimSpace(s.text)
	if name == "base64" {
		return appendBase64(dst, text)
	}
	if len(text) > maxScalar {
		return dst, errorf(CodeInvalid, "<%s> has more than %d characters", name, maxScalar)
	}
	var ok bool
	switch name {
	case "int", "i4", "i8", "i1", "i2", "biginteger":
		dst, ok = appendInteger(dst, text)
	case "double", "float":
		dst, ok = appendDouble(dst, text)
	case "boolean":
		dst, ok = appendBoolean(dst, text)
	case "dateTime.iso8601", "dateTime":
		dst, ok = appendTime(dst, string(text))
	case "nil":
		dst, ok = append(dst, "null"...), len(text) == 0
	default:
		return dst, errorf(CodeInvalid, "unknown type <%s>", name)
	}
	if !ok {
		return dst, errorf(CodeParams, "%.40q is no <%s>, or one that JSON has not", text, name)
	}
	return dst, nil
}

// appendInteger appends a whole number, however long.
func appendInteger(dst, text []byte) ([]byte, bool) {
	digits := text
	negative := false
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		digits, negative = text[1:], text[0] == '-'
	}
	if !isDigits(digits) {
		return dst, false
	}
	digits = bytes.TrimLeft(digits, "0")
	switch {
	case len(digits) == 0:
		return append(dst, '0'), true
	case negative:
		dst = append(dst, '-')
	}
	return append(dst, digits...), true
}

func isDigits(text []byte) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(text) > 0
}

// appendDouble appends a number that is seen not to be a whole one.
func appendDouble(dst, text []byte) ([]byte, bool) {
	if len(text) == 0 || strings.Trim(string(text), "+-.0123456789eE") != "" {
		return dst, false // which strconv takes, such as inf and 0x1p-2
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return dst, false
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return appendFloat(dst, f, format), true
}

// appendFloat appends the shortest text for f, with a point or an exponent.
func appendFloat(dst []byte, f float64, format byte) []byte {
	n := len(dst)
	dst = strconv.AppendFloat(dst, f, format, -1, 64)
	if !bytes.ContainsAny(dst[n:], ".e") {
		dst = append(dst, ".0"...)
	}
	return dst
}

func appendBoolean(dst, text []byte) ([]byte, bool) {
	switch string(text) {
	case "0":
		return append(dst, "false"...), true
	case "1":
		return append(dst, "true"...), true
	}
	return dst, false
}

// appendBase64 appends bytes as text, without the white space in it.
func appendBase64(dst, text []byte) ([]byte, error) {
	packed := make([]byte, 0, len(text))
	for _, c := range text {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			packed = append(packed, c)
		}
	}
	n, err := base64.StdEncoding.Decode(packed, packed)
	if err != nil {
		return dst, errorf(CodeParams, "<base64> is not base64: %v", err)
	}
	return append(base64.StdEncoding.AppendEncode(append(dst, '"'), packed[:n]), '"'), nil
}

// appendTime appends a time as RFC 3339 has it. XML-RPC shows it as
// 19980717T14:08:55; others are seen that have dashes, no colons, a fraction or
// a zone.
func appendTime(dst []byte, text string) ([]byte, bool) {
	date, clock, ok := strings.Cut(text, "T")
	if !ok {
		return dst, false
	}
	zone := "Z"
	if at := strings.IndexAny(clock, "Z+-"); at >= 0 {
		clock, zone = clock[:at], strings.ReplaceAll(clock[at:], ":", "")
	}
	if len(zone) == len("+hh") {
		zone += "00"
	}
	compact := strings.ReplaceAll(date, "-", "") + "T" + strings.ReplaceAll(clock, ":", "") + zone
	t, err := time.Parse("20060102T150405Z0700", compact)
	if err != nil {
		return dst, false
	}
	return append(t.AppendFormat(append(dst, '"'), time.RFC3339Nano), '"'), true
}
