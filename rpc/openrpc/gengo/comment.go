package gengo

import (
	"bytes"
	"strconv"
	"strings"
	"unicode"
)

// The bounds of a comment.
const maxComment, maxLines = 4000, 60

// clean returns a text without what an editor or compiler could take for
// something else: control characters, marks of direction, breaks of lines that
// are not of Go.
func clean(text string) string {
	if len(text) > maxComment {
		text = text[:maxComment] + "…"
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsGraphic(r), unicode.Is(unicode.Cf, r), r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, text)
}

// oneLine returns a text as it can stand in a line.
func oneLine(text string) string {
	if runes := []rune(text); len(runes) > 100 {
		text = string(runes[:100]) + "…"
	}
	return strings.Join(strings.Fields(clean(text)), " ")
}

// shown returns a method's name as it can stand in a line.
func shown(name string) string {
	if name == oneLine(name) {
		return name
	}
	return strconv.Quote(oneLine(name))
}

// comment writes paragraphs as a comment.
func comment(b *bytes.Buffer, indent string, paragraphs ...string) {
	lines, open := 0, false
	for _, p := range paragraphs {
		p = strings.TrimSpace(clean(p))
		if p == "" {
			continue
		}
		if open {
			b.WriteString(indent + "//\n")
		}
		open = true
		for line := range strings.SplitSeq(p, "\n") {
			if lines++; lines > maxLines {
				return
			}
			b.WriteString(strings.TrimRight(indent+"// "+strings.TrimRight(line, " "), " ") + "\n")
		}
	}
}
