package xmlrpc

import (
	"bytes"
	"errors"

	"github.com/go-json-experiment/json/jsontext"
)

var errNoObject = errors.New("it is not an object")

// members calls each for the members of a JSON object, with the value as it is in
// text.
func members(text []byte, each func(name string, value []byte) error) error {
	d := jsontext.NewDecoder(bytes.NewBuffer(text))
	if d.PeekKind() != '{' {
		return errNoObject
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		key := name.String()
		value, err := next(d, text)
		if err != nil {
			return err
		}
		if err := each(key, value); err != nil {
			return err
		}
	}
	return end(d, text)
}

var errNoArray = errors.New("it is not an array")

// elements calls each for the elements of a JSON array.
func elements(text []byte, each func(value []byte) error) error {
	d := jsontext.NewDecoder(bytes.NewBuffer(text))
	if d.PeekKind() != '[' {
		return errNoArray
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for k := d.PeekKind(); k != ']' && k != 0; k = d.PeekKind() {
		value, err := next(d, text)
		if err != nil {
			return err
		}
		if err := each(value); err != nil {
			return err
		}
	}
	return end(d, text)
}

var errMore = errors.New("something follows it")

// end reads the end of an object or an array, after which text has no more.
func end(d *jsontext.Decoder, text []byte) error {
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	if len(bytes.TrimSpace(text[d.InputOffset():])) > 0 {
		return errMore
	}
	return nil
}

// next returns the next value of d where it is in text, so that it lasts.
func next(d *jsontext.Decoder, text []byte) ([]byte, error) {
	v, err := d.ReadValue()
	if err != nil {
		return nil, err
	}
	end := int(d.InputOffset())
	return text[end-len(v) : end], nil
}

// isKind reports whether a JSON value is of a kind: one of "[{\"".
func isKind(value []byte, k byte) bool { return len(value) > 0 && value[0] == k }

// unquote returns the text of a JSON string, or nil of anything else.
func unquote(value []byte) []byte {
	if !isKind(value, '"') {
		return nil
	}
	text, err := jsontext.AppendUnquote(nil, value)
	if err != nil {
		return nil
	}
	return text
}

// appendString appends s as a JSON string.
func appendString(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s) // which replaces what is not UTF-8
	return dst
}
