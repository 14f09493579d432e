package intercept

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// secrets are the names of members that are not for everybody's eyes, without case
// and marks.
var secrets = []string{
	"password", "passwd", "passphrase", "secret", "token", "authorization", "apikey", "privatekey", "credential", "cookie",
}

const redacted = `"[redacted]"`

// A redactor shows JSON in records.
type redactor struct {
	secrets    []string
	max        int
	positional bool
}

func newRedactor(o LoggingOptions) redactor {
	r := redactor{secrets: slices.Clip(secrets), max: o.MaxBytes, positional: o.Positional}
	for _, s := range o.Secrets {
		if s = plain(s); s != "" {
			r.secrets = append(r.secrets, s)
		}
	}
	return r
}

// plain is a name without what does not count.
func plain(name string) string {
	return strings.Map(func(c rune) rune {
		if c == '_' || c == '-' || c == ' ' {
			return -1
		}
		return c
	}, strings.ToLower(name))
}

func (r *redactor) secret(name string) bool {
	name = plain(name)
	for _, s := range r.secrets {
		if strings.Contains(name, s) {
			return true
		}
	}
	return false
}

// show returns raw without its secrets, up to the limit. It looks no further than
// that into a large value.
func (r *redactor) show(raw []byte) string {
	if len(raw) == 0 {
		return ""
	}
	dec := jsontext.NewDecoder(bytes.NewReader(raw), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	var dst []byte
	name := ""
	for len(dst) <= r.max {
		kind := dec.PeekKind()
		in, n := dec.StackIndex(dec.StackDepth())
		isName, isValue := in == '{' && n%2 == 0, in == '{' && n%2 == 1
		switch {
		case kind == '}' || kind == ']':
		case isValue:
			dst = append(dst, ':')
		case n > 0 && in != 0:
			dst = append(dst, ',')
		}
		if isValue && r.secret(name) || kind == '"' && !r.positional && nameless(dec) {
			if dec.SkipValue() != nil {
				break
			}
			dst = append(dst, redacted...)
			continue
		}
		token, err := dec.ReadToken()
		if err != nil {
			break // the end
		}
		if kind != '"' {
			dst = append(dst, token.String()...)
			continue
		}
		text := token.String()
		if isName {
			name = text
		}
		dst, _ = jsontext.AppendQuote(dst, cut(strings.ToValidUTF8(text, "\ufffd"), r.max))
	}
	return cut(string(dst), r.max)
}

// nameless reports whether the next value is in arrays alone, so that no name tells
// what it is.
func nameless(dec *jsontext.Decoder) bool {
	for i := range dec.StackDepth() {
		if in, _ := dec.StackIndex(i + 1); in == '{' {
			return false
		}
	}
	return true
}

// textOf is the text of an error, which may be a nil pointer.
func textOf(err error, n int) (text string) {
	defer func() {
		if v := recover(); v != nil {
			text = "an error without a text"
		}
	}()
	return cut(err.Error(), n)
}

// cut returns at most n bytes of a text.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "…"
}
