package envelope_test

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/polyport/polyport/rpc/internal/envelope"
)

// The oracle says what Scan must make of a body. It is slow, and it is written
// from the rules on top of jsontext rather than after the scanner.

// lenient makes jsontext accept what the envelope leaves to the codec.
var lenient = []jsontext.Options{jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)}

func reader(raw []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewReader(raw), lenient...)
}

// An outcome is all that Scan returns.
type outcome struct {
	batch     bool
	code, max int
	msgs      []view
}

func oracle(body []byte, l envelope.Limits) outcome {
	o := outcome{batch: bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("["))}
	if o.code, o.max = wholeBody(body, l); o.code != 0 {
		return o
	}
	for _, raw := range split(body, o.batch) {
		o.msgs = append(o.msgs, oracleMessage(raw, l))
	}
	return o
}

// wholeBody walks over the tokens of body until one breaks the grammar or a
// limit.
func wholeBody(body []byte, l envelope.Limits) (code, limit int) {
	d := reader(body)
	batch, elements := d.PeekKind() == '[', 0
	for first := true; ; first = false {
		if depth := d.StackDepth(); depth == 0 && !first {
			break
		} else if kind := d.PeekKind(); batch && depth == 1 && kind != ']' {
			// A comma, and only a comma, begins an element too many, even if
			// nothing comes after it.
			if elements++; elements > l.Batch && comma(body, d) {
				return envelope.CodeInvalid, l.Batch
			}
		}
		token, err := d.ReadToken()
		if err != nil {
			return envelope.CodeParse, 0
		}
		if k := token.Kind(); (k == '[' || k == '{') && d.StackDepth() > l.Depth {
			return envelope.CodeInvalid, l.Depth
		}
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return envelope.CodeParse, 0
	}
	if batch && elements == 0 {
		return envelope.CodeInvalid, 0
	}
	return 0, 0
}

// comma tells whether what follows the last token that d read is a comma.
func comma(body []byte, d *jsontext.Decoder) bool {
	rest := bytes.TrimLeft(body[d.InputOffset():], " \t\r\n")
	return bytes.HasPrefix(rest, []byte(","))
}

// split returns the elements of a batch, or the body itself.
func split(body []byte, batch bool) []jsontext.Value {
	d := reader(body)
	if !batch {
		v, _ := d.ReadValue()
		return []jsontext.Value{v}
	}
	_, _ = d.ReadToken()
	var elements []jsontext.Value
	for d.PeekKind() != ']' {
		v, _ := d.ReadValue()
		elements = append(elements, v.Clone())
	}
	return elements
}

// unquote returns the text of a raw string and whether it is Unicode.
func unquote(raw jsontext.Value) (string, bool) {
	text, err := jsontext.AppendUnquote(nil, raw)
	return string(text), err == nil
}

// oracleMessage judges one element. Its view has "bad" for any Reason.
func oracleMessage(raw jsontext.Value, l envelope.Limits) view {
	if raw.Kind() != '{' {
		return invalid("", "bad")
	}
	values := map[string][]jsontext.Value{}
	bad := false
	d := reader(raw)
	_, _ = d.ReadToken()
	for d.PeekKind() != '}' {
		name, _ := d.ReadValue()
		text, ok := unquote(name)
		bad = bad || !ok
		value, _ := d.ReadValue()
		values[text] = append(values[text], value.Clone())
	}
	one := func(name string) jsontext.Value {
		if len(values[name]) != 1 {
			return nil
		}
		return values[name][0]
	}
	for _, name := range []string{"jsonrpc", "method", "params", "id", "result", "error", "metadata"} {
		bad = bad || len(values[name]) > 1
	}
	version := one("jsonrpc")
	if text, _ := unquote(version); version.Kind() != '"' || text != "2.0" {
		v := string(version)
		bad = bad || !l.Version2 || v != `"2"` && v != `2` && v != `2.0`
	}
	nameless := !bad && len(values["method"])+len(values["result"])+len(values["error"]) == 0
	id := oracleID(one("id"), l.ID)
	bad = bad || len(values["id"]) > 0 && id == ""

	if len(values["method"]) == 0 && len(values["result"])+len(values["error"]) > 0 {
		v := view{Kind: envelope.Response, ID: id, Result: string(one("result")), Error: string(one("error"))}
		if m := one("metadata"); m.Kind() == '{' {
			v.Metadata = string(m)
		}
		if bad || id == "" || v.Result != "" && v.Error != "" || v.Error != "" && v.Error[0] != '{' {
			v.Reason = "bad"
		}
		return v
	}
	if m := one("metadata"); nameless && m.Kind() == '{' { // as some peers acknowledge a call
		v := invalid(id, "bad")
		v.Metadata = string(m)
		return v
	}
	return oracleCall(one, bad || len(values["result"])+len(values["error"]) > 0, id, l)
}

func oracleCall(one func(string) jsontext.Value, bad bool, id string, l envelope.Limits) view {
	params, metadata := one("params"), one("metadata")
	switch params.Kind() {
	case 0, '[', '{':
	case 'n':
		bad = bad || !l.NullParams
		params = nil
	default:
		bad = bad || !l.ScalarParams
	}
	method := one("method")
	text, ok := "", false
	if method.Kind() == '"' {
		text, ok = unquote(method)
	}
	if bad || !ok || metadata != nil && metadata.Kind() != '{' {
		return invalid(id, "bad")
	}
	v := view{Kind: envelope.Notification, ID: id, Method: text, Params: string(params), Metadata: string(metadata)}
	if id != "" {
		v.Kind = envelope.Request
	}
	return v
}

// oracleID returns the token of an id that can be echoed, or nothing.
func oracleID(id jsontext.Value, limit int) string {
	kind := id.Kind()
	if kind == 'n' {
		return "null"
	}
	ok := kind == '0'
	if kind == '"' {
		_, ok = unquote(id)
	}
	if !ok || len(id) > limit {
		return ""
	}
	return string(id)
}
