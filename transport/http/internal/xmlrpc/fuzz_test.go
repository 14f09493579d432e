package xmlrpc_test

import (
	"encoding/xml"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/polyport/polyport/transport/http/internal/xmlrpc"
)

// FuzzRead: whatever comes is refused with an *Error, or becomes JSON that is at
// most twice as long.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"", "<", "<methodCall>", call("<value/>"), call("<value><int>+01</int></value>"), call("<value><double>-1.5e3</double></value>"),
		call("<value><dateTime.iso8601>19980717T14:08:55</dateTime.iso8601></value>"), call("<value><base64>AP8=</base64></value>"),
		call("<value><struct><member><name>a</name><value><array><data><value><nil/></value></data></array></value></member></struct></value>"),
		call("<value>a<![CDATA[<]]>&amp;&#10;<!-- --></value>"), "<?xml version='1.0' encoding='ISO-8859-1'?>" + call("<value>\xe9</value>"),
		"<!DOCTYPE a [<!ENTITY a 'a'>]>" + call("<value>&a;</value>"), multicall("<member><name>methodName</name><value>a</value></member>"),
		answer("<boolean>1</boolean>"), faultAnswer("1", "no"), answer("<array><data>" + fault("1", "no") + "<value><array><data><value/></data></array></value></data></array>"),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		check := func(what string, message []byte, err error) {
			switch _, ok := errors.AsType[*xmlrpc.Error](err); {
			case err != nil && !ok:
				t.Errorf("%s: %v is no *Error", what, err)
			case err == nil && len(message) > 0 && !jsontext.Value(message).IsValid(jsontext.AllowDuplicateNames(true)):
				t.Errorf("%s of %q is not JSON: %s", what, doc, message)
			case len(message) > 2*len(doc)+200:
				t.Errorf("%s made %d bytes of %d", what, len(message), len(doc))
			}
		}
		if c, err := xmlrpc.ReadCall(doc, "", xmlrpc.Limits{}); err != nil {
			check("ReadCall", nil, err)
		} else {
			check("ReadCall", c.Message, nil)
		}
		for _, message := range []string{`{"jsonrpc":"2.0","method":"a","id":1}`, `[{"jsonrpc":"2.0","method":"a","id":1},{"jsonrpc":"2.0","method":"b","id":2}]`} {
			got, err := question(t, message).Answer(doc, "")
			check("Answer", got, err)
		}
	})
}

// FuzzText: text is what encoding/xml takes it for.
func FuzzText(f *testing.F) {
	for _, seed := range []string{
		"", "a", " a\n", "\r\n", "&amp;", "a&lt;b&gt;&quot;&apos;&amp;", "&amp;&#65;", "&amp", "&amp;\xff", "&#65;", "a]]>b", "]]", ">", "\x00", "\x7f", "\xff", "\ufffe", "\ufffd", "é\U0001F600", "<![CDATA[a]]>b", "a<!-- b -->c", "<!-- -->a", "&#xFFFF;",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var want struct {
			Value string `xml:"params>param>value"`
		}
		doc := "<methodCall><methodName>Echo</methodName><params><param><value>" + text + "</value></param></params></methodCall>"
		unmarshal := xml.Unmarshal([]byte(doc), &want)
		c, err := xmlrpc.ReadCall([]byte(doc), "", xmlrpc.Limits{})
		if err != nil {
			if e, ok := errors.AsType[*xmlrpc.Error](err); unmarshal == nil && (!ok || e.Code == xmlrpc.CodeParse) && !strings.Contains(text, "</value>") {
				t.Errorf("%q is refused: %v; encoding/xml takes it for %q", text, err, want.Value)
			}
			return
		}
		if strings.Contains(text, "</") || strings.Contains(text, "/>") {
			return // a type of its own
		}
		quoted, _ := jsontext.AppendQuote(nil, want.Value)
		if got := string(c.Message); unmarshal != nil || got != request(string(quoted)) {
			t.Errorf("%q became %s; encoding/xml takes it for %s, %v", text, got, quoted, unmarshal)
		}
	})
}

// FuzzRoundTrip: what can be said in XML-RPC comes back as it was, as params and as
// a result, and a second time in the same words.
func FuzzRoundTrip(f *testing.F) {
	for _, seed := range []string{
		"null", "true", "6", "6.0", "-0", "1e400", "1e-400", "18446744073709551615", "9223372036854775807", "1e21", "0.1", "5e-324",
		`""`, `" a "`, `"\r\n\t"`, `"\u0000"`, `"]]>"`, `"\ufffe"`, `"é\ud83d\ude00"`, "[]", "{}", "[[],{}]", `{"a":{"":[1,null]}}`, `{"a":1,"a":2}`,
		`{"$base64":"AP8="}`, `{"$dateTime":"1998-07-17T14:08:55Z"}`, `{"$base64":"AP8=","a":1}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if !jsontext.Value(value).IsValid(jsontext.AllowDuplicateNames(true)) {
			return // it would not be one param
		}
		q, err := xmlrpc.NewQuestion([]byte(`{"jsonrpc":"2.0","method":"a","params":[`+value+`],"id":1}`), xmlrpc.Limits{})
		if err != nil {
			return // it cannot be said
		}
		c, err := xmlrpc.ReadCall(q.Document, "", xmlrpc.Limits{})
		if err != nil {
			t.Fatalf("%s became %s, which is refused: %v", value, q.Document, err)
		}
		first := params(t, c.Message)
		if !strings.Contains(value, "$") && !strings.Contains(value, `\u0024`) && !reflect.DeepEqual(plain(t, "["+value+"]"), plain(t, first)) {
			t.Errorf("%s came back as %s", value, first)
		}
		q, err = xmlrpc.NewQuestion([]byte(`{"jsonrpc":"2.0","method":"a","params":`+first+`,"id":1}`), xmlrpc.Limits{})
		if err != nil {
			t.Fatalf("%s: %v", first, err)
		}
		if c, err = xmlrpc.ReadCall(q.Document, "", xmlrpc.Limits{}); err != nil {
			t.Fatalf("%s: %v", q.Document, err)
		}
		if second := params(t, c.Message); second != first {
			t.Errorf("%s came back as %s, and that as %s", value, first, second)
		}
		back, err := q.Answer(c.Answer([]byte(`{"jsonrpc":"2.0","result":`+first+`,"id":1}`)), "")
		if want := `{"jsonrpc":"2.0","result":` + first + `,"id":1}`; err != nil || string(back) != want {
			t.Errorf("the result %s came back as %s, %v", first, back, err)
		}
	})
}

// params returns the params of a request, [] if there are none.
func params(t *testing.T, message []byte) string {
	t.Helper()
	var r struct{ Params jsontext.Value }
	if err := json.Unmarshal(message, &r, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatalf("%s: %v", message, err)
	}
	if r.Params == nil {
		return "[]"
	}
	return string(r.Params)
}

// plain is a JSON text as values of Go.
func plain(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}
