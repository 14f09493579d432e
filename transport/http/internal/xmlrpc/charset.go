package xmlrpc

import (
	"bytes"
	"cmp"
	"regexp"
	"strings"
)

var (
	utf8Mark = []byte("\xef\xbb\xbf")
	encoding = regexp.MustCompile(`\sencoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']`)
)

// toUTF8 returns a document without its declaration, in UTF-8. What the
// declaration says of the character set goes before charset.
func toUTF8(doc []byte, charset string) ([]byte, error) {
	if bytes.HasPrefix(doc, []byte("\xfe\xff")) || bytes.HasPrefix(doc, []byte("\xff\xfe")) {
		return nil, unknownCharset("UTF-16")
	}
	marked := bytes.HasPrefix(doc, utf8Mark)
	doc = bytes.TrimLeft(bytes.TrimPrefix(doc, utf8Mark), " \t\r\n") // some old programs begin with an empty line
	declared, rest, err := declaration(doc)
	switch {
	case err != nil:
		return nil, err
	case marked:
		return rest, nil
	}
	switch name := cmp.Or(declared, charset); strings.ToLower(name) {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
		return rest, nil
	case "iso-8859-1", "latin1", "iso_8859-1", "latin-1":
		return fromLatin1(rest), nil
	default:
		return nil, unknownCharset(name)
	}
}

func unknownCharset(name string) error {
	return errorf(CodeCharset, "character set %.40q is not understood; use UTF-8, US-ASCII or ISO-8859-1", name)
}

// declaration cuts off the declaration, and returns the character set in it.
func declaration(doc []byte) (charset string, rest []byte, err error) {
	const most = 200
	if !bytes.HasPrefix(doc, []byte("<?xml ")) {
		return "", doc, nil
	}
	end := bytes.Index(doc[:min(len(doc), most)], []byte("?>"))
	if end < 0 {
		return "", nil, errorf(CodeParse, "the declaration has no end within %d bytes", most)
	}
	if found := encoding.FindSubmatch(doc[:end]); found != nil {
		charset = string(found[1])
	}
	return charset, doc[end+2:], nil
}

// fromLatin1 returns the text, whose bytes are the first 256 characters of
// Unicode, in UTF-8.
func fromLatin1(text []byte) []byte {
	high := 0
	for _, b := range text {
		high += int(b >> 7)
	}
	if high == 0 {
		return text
	}
	out := make([]byte, 0, len(text)+high)
	for _, b := range text {
		out = append(out, string(rune(b))...)
	}
	return out
}
