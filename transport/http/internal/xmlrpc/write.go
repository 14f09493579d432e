package xmlrpc

import (
	"bytes"
	"encoding/base64"
	"errors"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// The tags of what JSON has no type for.
const (
	tagTime  = `"$dateTime"`
	tagBytes = `"$base64"`
)

// A writer appends values of one JSON text as XML.
type writer struct {
	d      *jsontext.Decoder
	dst    []byte
	text   []byte // the last string
	limits Limits
	values int
}

// appendValue appends a JSON text as <value>. On an error it returns dst as it
// was.
func appendValue(dst, text []byte, l Limits) ([]byte, error) {
	w := &writer{d: jsontext.NewDecoder(bytes.NewBuffer(text)), dst: dst, limits: l}
	if err := w.value(1); err != nil {
		return dst, w.explain(err)
	}
	return w.dst, nil
}

// explain adds where in the JSON something was, or what is wrong with the JSON.
func (w *writer) explain(err error) error {
	e, ok := errors.AsType[*Error](err)
	switch at := w.d.StackPointer(); {
	case !ok:
		return errorf(CodeInternal, "not valid JSON: %v", err)
	case at != "":
		return errorf(e.Code, "%s, at %.80s", e.Message, at)
	}
	return err
}

func (w *writer) put(s string) { w.dst = append(w.dst, s...) }

// value appends the next value.
func (w *writer) value(depth int) error {
	if w.values++; w.values > w.limits.Values {
		return errorf(CodeInternal, "more than %d values", w.limits.Values)
	}
	if depth > w.limits.Depth {
		return errorf(CodeInternal, "values are more than %d deep in each other", w.limits.Depth)
	}
	w.put("<value>")
	if err := w.typed(depth); err != nil {
		return err
	}
	w.put("</value>")
	return nil
}

func (w *writer) typed(depth int) error {
	switch w.d.PeekKind() {
	case '[':
		return w.array(depth)
	case '{':
		return w.object(depth)
	case '"':
		if err := w.string(); err != nil {
			return err
		}
		return w.element("string")
	}
	raw, err := w.d.ReadValue()
	if err != nil {
		return err
	}
	switch raw.Kind() {
	case 'n':
		w.put("<nil/>")
	case 't':
		w.put("<boolean>1</boolean>")
	case 'f':
		w.put("<boolean>0</boolean>")
	default:
		return w.number(raw)
	}
	return nil
}

func (w *writer) array(depth int) error {
	if _, err := w.d.ReadToken(); err != nil {
		return err
	}
	w.put("<array><data>")
	for w.d.PeekKind() != ']' {
		if err := w.value(depth + 1); err != nil {
			return err
		}
	}
	w.put("</data></array>")
	_, err := w.d.ReadToken()
	return err
}

// object appends a struct, or what a tag means.
func (w *writer) object(depth int) error {
	if _, err := w.d.ReadToken(); err != nil {
		return err
	}
	start := len(w.dst)
	w.put("<struct>")
	for n := 0; w.d.PeekKind() != '}'; n++ {
		name, err := w.d.ReadValue()
		if err != nil {
			return err
		}
		tag := ""
		if n == 0 && (string(name) == tagTime || string(name) == tagBytes) && w.d.PeekKind() == '"' {
			tag = string(name)
		}
		w.put("<member>")
		if err := w.unquote(name); err != nil {
			return err
		}
		if err := w.element("name"); err != nil {
			return err
		}
		if err := w.value(depth + 1); err != nil {
			return err
		}
		w.put("</member>")
		if tag != "" && w.d.PeekKind() == '}' {
			w.dst = w.dst[:start]
			if err := w.tagged(tag); err != nil {
				return err
			}
			_, err := w.d.ReadToken()
			return err
		}
	}
	w.put("</struct>")
	_, err := w.d.ReadToken()
	return err
}

// tagged appends the last string as what its tag says.
func (w *writer) tagged(tag string) error {
	if tag == tagTime {
		t, err := time.Parse(time.RFC3339, string(w.text))
		if err != nil || t.UTC().Year() < 0 || t.UTC().Year() > 9999 {
			return errorf(CodeInternal, "%.40q is no time as RFC 3339 has it", w.text)
		}
		w.put("<dateTime.iso8601>")
		w.dst = t.UTC().AppendFormat(w.dst, "20060102T15:04:05")
		w.put("</dateTime.iso8601>")
		return nil
	}
	n, err := base64.StdEncoding.Decode(w.text, w.text)
	if err != nil {
		return errorf(CodeInternal, "what $base64 holds is not base64: %v", err)
	}
	w.put("<base64>")
	w.dst = base64.StdEncoding.AppendEncode(w.dst, w.text[:n])
	w.put("</base64>")
	return nil
}

// string reads a string into text.
func (w *writer) string() error {
	raw, err := w.d.ReadValue()
	if err != nil {
		return err
	}
	return w.unquote(raw)
}

func (w *writer) unquote(raw jsontext.Value) (err error) {
	w.text, err = jsontext.AppendUnquote(w.text[:0], raw)
	return err
}

// element appends text as an element.
func (w *writer) element(name string) error {
	w.dst = append(append(append(w.dst, '<'), name...), '>')
	var rest []byte
	if w.dst, rest = appendText(w.dst, w.text); len(rest) > 0 {
		bad, _ := utf8.DecodeRune(rest)
		return errorf(CodeInternal, "XML cannot hold the character %U; send such text as bytes, in %s", bad, tagBytes)
	}
	w.dst = append(append(append(w.dst, '<', '/'), name...), '>')
	return nil
}

// number appends a number: what is written like a whole one as int or i8, if it
// is one of 64 bits, all others as double.
func (w *writer) number(raw []byte) error {
	if !bytes.ContainsAny(raw, ".eE") && string(raw) != "-0" {
		n, err := strconv.ParseInt(string(raw), 10, 64)
		switch {
		case err != nil:
			return w.wide(raw)
		case n < math.MinInt32 || n > math.MaxInt32:
			w.put("<i8>")
			w.dst = append(strconv.AppendInt(w.dst, n, 10), "</i8>"...)
		default:
			w.put("<int>")
			w.dst = append(strconv.AppendInt(w.dst, n, 10), "</int>"...)
		}
		return nil
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		return errorf(CodeInternal, "no double holds %.40s", raw)
	}
	w.double(f)
	return nil
}

// wide appends a whole number that has more than 64 bits, if a double is just as
// large.
func (w *writer) wide(raw []byte) error {
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || strconv.FormatFloat(f, 'f', 0, 64) != string(raw) {
		return errorf(CodeInternal, "neither an i8 nor a double holds exactly %.40s; send it as a string", raw)
	}
	w.put("<double>")
	w.dst = append(append(w.dst, raw...), ".0</double>"...)
	return nil
}

// double appends one as the specification has it, without an exponent.
func (w *writer) double(f float64) {
	w.put("<double>")
	w.dst = append(appendFloat(w.dst, f, 'f'), "</double>"...)
}
