package xmlrpc

import "unicode/utf8"

// appendText appends text that stands between tags, up to the first character
// that XML has no place for (XML 1.0, section 2.2). That and what follows it is the
// rest.
func appendText(dst, text []byte) (_, rest []byte) {
	plain := 0 // from where on nothing has been appended
	for i, c := range text {
		var escape string
		switch {
		case c == '&':
			escape = "&amp;"
		case c == '<':
			escape = "&lt;"
		case c == '>': // which may not end ]]>
			escape = "&gt;"
		case c == '\r': // which a reader takes for the end of a line
			escape = "&#13;"
		case c < ' ' && c != '\t' && c != '\n', c == 0xef && isNonCharacter(text[i:]):
			return append(dst, text[plain:i]...), text[i:]
		default:
			continue
		}
		dst = append(append(dst, text[plain:i]...), escape...)
		plain = i + 1
	}
	return append(dst, text[plain:]...), nil
}

// isNonCharacter reports whether text begins with U+FFFE or U+FFFF.
func isNonCharacter(text []byte) bool {
	return len(text) >= 3 && text[1] == 0xbf && text[2] >= 0xbe
}

// appendAnyText appends the text of a fault, with a mark in the place of what XML
// has not.
func appendAnyText(dst, text []byte) []byte {
	for {
		if dst, text = appendText(dst, text); len(text) == 0 {
			return dst
		}
		_, n := utf8.DecodeRune(text)
		dst, text = append(dst, "\ufffd"...), text[n:]
	}
}
