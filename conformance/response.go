package conformance

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// show writes a body that a server has sent in short, its ids as they are in the
// body: 7=RESULT, null!-32600, or [7=RESULT, null!-32600] for a batch. What is
// no Response in the sense of section 5 of the specification begins with
// "malformed".
func show(body []byte) string {
	v := jsontext.Value(body)
	if !v.IsValid() {
		return "malformed: not JSON: " + brief(body)
	}
	if v.Kind() != '[' {
		return showOne(v)
	}
	var all []jsontext.Value
	if err := json.Unmarshal(v, &all); err != nil {
		return malformed(err.Error(), v)
	}
	if len(all) == 0 {
		return malformed("an empty array", v)
	}
	shown := make([]string, len(all))
	for i, one := range all {
		shown[i] = showOne(one)
	}
	return "[" + strings.Join(shown, ", ") + "]"
}

func malformed(why string, v jsontext.Value) string {
	return fmt.Sprintf("malformed: %s: %s", why, quote(string(v)))
}

// A response is what section 5 of the specification allows. Absent members are
// nil.
type response struct {
	Version jsontext.Value `json:"jsonrpc"`
	ID      jsontext.Value `json:"id"`
	Result  jsontext.Value `json:"result"`
	Error   jsontext.Value `json:"error"`
}

func showOne(v jsontext.Value) string {
	v = bytes.TrimSpace(v)
	var one response
	if err := json.Unmarshal(v, &one); err != nil {
		return malformed(err.Error(), v)
	}
	var version string
	if json.Unmarshal(one.Version, &version) != nil || version != "2.0" {
		return malformed(`without "jsonrpc":"2.0"`, v)
	}
	switch {
	case one.ID == nil:
		return malformed("without an id", v)
	case (one.Result == nil) == (one.Error == nil):
		return malformed("neither, or both, of result and error", v)
	case one.Error == nil:
		return string(one.ID) + "=" + string(one.Result)
	}
	code, why := errorCode(one.Error)
	if why != "" {
		return malformed(why, v)
	}
	return string(one.ID) + "!" + strconv.FormatInt(code, 10)
}

// errorCode returns the code of an error object, or what is wrong with it by
// section 5.1.
func errorCode(v jsontext.Value) (code int64, why string) {
	var e struct {
		Code    jsontext.Value `json:"code"`
		Message jsontext.Value `json:"message"`
	}
	switch {
	case json.Unmarshal(v, &e) != nil:
		return 0, "an error that is no object"
	case e.Message.Kind() != '"':
		return 0, "an error without a message"
	case json.Unmarshal(e.Code, &code) != nil:
		return 0, "an error without an integer as its code"
	}
	return code, ""
}

// isCall reports whether a body is a request or notification of the server's own.
func isCall(body []byte) bool {
	var m struct {
		Method jsontext.Value `json:"method"`
	}
	return json.Unmarshal(body, &m) == nil && m.Method != nil
}
