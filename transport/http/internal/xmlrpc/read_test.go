package xmlrpc_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/polyport/polyport/transport/http/internal/xmlrpc"
)

// call is a methodCall with one value.
func call(value string) string {
	return "<?xml version='1.0'?>\n<methodCall>\n<methodName>Echo</methodName>\n<params>\n<param>\n" + value + "\n</param>\n</params>\n</methodCall>\n"
}

// request is what call becomes.
func request(value string) string {
	return `{"jsonrpc":"2.0","method":"Echo","params":[` + value + `],"id":1}`
}

// read translates a document to JSON-RPC, or to the text of an error.
func read(t *testing.T, doc string) (string, int) {
	t.Helper()
	c, err := xmlrpc.ReadCall([]byte(doc), "", xmlrpc.Limits{})
	if err == nil {
		return string(c.Message), 0
	}
	e, ok := errors.AsType[*xmlrpc.Error](err)
	if !ok {
		t.Fatalf("ReadCall(%.80q) = %v, want an *Error", doc, err)
	}
	return e.Message, e.Code
}

// TestReadValue: values of XML-RPC as JSON.
func TestReadValue(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"int", "<value><int>42</int></value>", "42"},
		{"i4, signed", "<value><i4>-42</i4></value>", "-42"},
		{"plus and zeros", "<value><int> +0042 </int></value>", "42"},
		{"zero", "<value><int>-0</int></value>", "0"},
		{"i8", "<value><i8>9223372036854775807</i8></value>", "9223372036854775807"},
		{"ex:i8", "<value><ex:i8 xmlns:ex='http://ws.apache.org/xmlrpc/namespaces/extensions'>-5</ex:i8></value>", "-5"},
		{"int too large for itself", "<value><int>4294967296</int></value>", "4294967296"},
		{"true", "<value><boolean>1</boolean></value>", "true"},
		{"false", "<value><boolean>0</boolean></value>", "false"},
		{"double", "<value><double>-12.5</double></value>", "-12.5"},
		{"double stays one", "<value><double>6</double></value>", "6.0"},
		{"double without digits before", "<value><double>.5</double></value>", "0.5"},
		{"double without digits after", "<value><double>+1.</double></value>", "1.0"},
		{"double, minus zero", "<value><double>-0.0</double></value>", "-0.0"},
		{"double of Python", "<value><double>1e+100</double></value>", "1e+100"},
		{"double, small", "<value><double>0.000000012</double></value>", "1.2e-08"},
		{"double, vanishing", "<value><double>1e-400</double></value>", "0.0"},
		{"string", "<value><string>a &amp; b</string></value>", `"a & b"`},
		{"untyped", "<value>a b</value>", `"a b"`},
		{"untyped with blanks", "<value>  a b\n</value>", `"  a b\n"`},
		{"string with blanks", "<value>\n <string>  a  </string>\n</value>", `"  a  "`},
		{"empty", "<value></value>", `""`},
		{"empty tag", "<value/>", `""`},
		{"empty string", "<value><string/></value>", `""`},
		{"blank alone", "<value> </value>", `" "`},
		{"CDATA", "<value><string>a<![CDATA[<b> ]] > &amp;]]>c</string></value>", `"a<b> ]] > &amp;c"`},
		{"comment in it", "<value><string>a<!-- <b> -->b</string></value>", `"ab"`},
		{"comments around", "<value><!-- - --><int>1</int><!-- --></value>", "1"},
		{"character references", "<value>&#65;&#x1F600;&#13;&quot;</value>", "\"A\U0001F600\\r\\\"\""},
		{"end of line", "<value>a\r\nb\rc</value>", `"a\nb\nc"`},
		{"quotes and backslash", `<value>"\</value>`, `"\"\\"`},
		{"time", "<value><dateTime.iso8601>19980717T14:08:55</dateTime.iso8601></value>", `"1998-07-17T14:08:55Z"`},
		{"time with dashes", "<value><dateTime.iso8601>1998-07-17T14:08:55Z</dateTime.iso8601></value>", `"1998-07-17T14:08:55Z"`},
		{"time with a zone", "<value><dateTime.iso8601>19980717T14:08:55+02:00</dateTime.iso8601></value>", `"1998-07-17T14:08:55+02:00"`},
		{"time with a short zone", "<value><dateTime.iso8601>19980717T140855-05</dateTime.iso8601></value>", `"1998-07-17T14:08:55-05:00"`},
		{"time with a fraction", "<value><ex:dateTime>19980717T14:08:55.25</ex:dateTime></value>", `"1998-07-17T14:08:55.25Z"`},
		{"base64", "<value><base64>AP8=</base64></value>", `"AP8="`},
		{"base64 in lines", "<value><base64>\nQUJD\r\n REVG\n</base64></value>", `"QUJDREVG"`},
		{"base64, empty", "<value><base64/></value>", `""`},
		{"nil", "<value><nil/></value>", "null"},
		{"ex:nil", "<value><ex:nil></ex:nil></value>", "null"},
		{"array", "<value><array><data><value><i4>1</i4></value> <value>a</value></data></array></value>", `[1,"a"]`},
		{"empty array", "<value><array><data></data></array></value>", "[]"},
		{"empty array without data", "<value><array/></value>", "[]"},
		{
			"struct", "<value><struct><member><name>a b</name><value><int>1</int></value></member>" +
				"\n <member><name></name><value><array><data/></array></value></member></struct></value>", `{"a b":1,"":[]}`,
		},
		{"empty struct", "<value><struct></struct></value>", "{}"},
		{
			"the same member twice is for who decodes", "<value><struct><member><name>a</name><value>1</value></member>" +
				"<member><name>a</name><value>2</value></member></struct></value>", `{"a":"1","a":"2"}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, code := read(t, call(c.value)); got != request(c.want) {
				t.Errorf("ReadCall(%s) = %s (%d), want %s", c.value, got, code, request(c.want))
			}
		})
	}
}

// TestReadRefuses: what is refused, with its code and a word that says why.
func TestReadRefuses(t *testing.T) {
	deep := func(n int) string {
		return strings.Repeat("<value><array><data>", n) + strings.Repeat("</data></array></value>", n)
	}
	for _, c := range []struct {
		name, doc string
		code      int
		word      string
	}{
		{"nothing", "", xmlrpc.CodeParse, "end of the document"},
		{"no XML", "hello", xmlrpc.CodeParse, "end of the document"},
		{"JSON", `{"jsonrpc":"2.0"}`, xmlrpc.CodeParse, "end of the document"},
		{"half", "<methodCall><methodName>a</methodName><params>", xmlrpc.CodeParse, "end of the document"},
		{"half a text", "<methodCall><methodName>a", xmlrpc.CodeParse, "text and </methodName>, got the end"},
		{"half a tag", "<methodCall", xmlrpc.CodeParse, "EOF"},
		{"tags that cross", "<methodCall><methodName>a</methodCall></methodName>", xmlrpc.CodeInvalid, "</methodName>"},
		{"HTML", "<html><body>Not found</body></html>", xmlrpc.CodeInvalid, "expected <methodCall>, got <html>"},
		{"an answer", "<methodResponse><params/></methodResponse>", xmlrpc.CodeInvalid, "<methodResponse>"},
		{"no method", "<methodCall><params/></methodCall>", xmlrpc.CodeInvalid, "<methodName>"},
		{"empty method", "<methodCall><methodName> </methodName></methodCall>", xmlrpc.CodeInvalid, "name"},
		{"more behind", call("<value/>") + "<methodCall>", xmlrpc.CodeParse, "follows"},
		{"text behind", call("<value/>") + "x", xmlrpc.CodeParse, "follows"},
		{"text between", call("x<value/>"), xmlrpc.CodeInvalid, "got text"},
		{"text beside a type", call("<value>x<int>1</int></value>"), xmlrpc.CodeInvalid, "text"},
		{"text behind a type", call("<value><int>1</int>x</value>"), xmlrpc.CodeInvalid, "text"},
		{"two types", call("<value><int>1</int><int>1</int></value>"), xmlrpc.CodeInvalid, "</value>"},
		{"unknown type", call("<value><money>1</money></value>"), xmlrpc.CodeInvalid, "<money>"},
		{"int of letters", call("<value><int>one</int></value>"), xmlrpc.CodeParams, "one"},
		{"int, empty", call("<value><int/></value>"), xmlrpc.CodeParams, "<int>"},
		{"int with a point", call("<value><int>1.0</int></value>"), xmlrpc.CodeParams, "1.0"},
		{"int without end", call("<value><int>" + strings.Repeat("1", 2000) + "</int></value>"), xmlrpc.CodeInvalid, "1024"},
		{"boolean of words", call("<value><boolean>true</boolean></value>"), xmlrpc.CodeParams, "true"},
		{"double that JSON has not", call("<value><double>inf</double></value>"), xmlrpc.CodeParams, "inf"},
		{"double that is none", call("<value><double>nan</double></value>"), xmlrpc.CodeParams, "nan"},
		{"double that no double holds", call("<value><double>1e400</double></value>"), xmlrpc.CodeParams, "1e400"},
		{"double in hexadecimal", call("<value><double>0x1p-2</double></value>"), xmlrpc.CodeParams, "0x1p-2"},
		{"time without a date", call("<value><dateTime.iso8601>14:08:55</dateTime.iso8601></value>"), xmlrpc.CodeParams, "14:08:55"},
		{"time that never was", call("<value><dateTime.iso8601>19980231T14:08:55</dateTime.iso8601></value>"), xmlrpc.CodeParams, "19980231"},
		{"base64 that is none", call("<value><base64>A</base64></value>"), xmlrpc.CodeParams, "base64"},
		{"nil of something", call("<value><nil>0</nil></value>"), xmlrpc.CodeParams, "<nil>"},
		{"member without a name", call("<value><struct><member><value/></member></struct></value>"), xmlrpc.CodeInvalid, "<name>"},
		{"member without a value", call("<value><struct><member><name>a</name></member></struct></value>"), xmlrpc.CodeInvalid, "<value>"},
		{"param without a value", call(""), xmlrpc.CodeInvalid, "<value>"},
		{"control character", call("<value>\x01</value>"), xmlrpc.CodeParse, "U+0001"},
		{"control character by reference", call("<value>&#1;</value>"), xmlrpc.CodeParse, "U+0001"},
		{"not UTF-8", call("<value>\xff</value>"), xmlrpc.CodeParse, "UTF-8"},
		{"UTF-16", "\xff\xfe<\x00?\x00", xmlrpc.CodeCharset, "UTF-16"},
		{"a charset of others", "<?xml version='1.0' encoding='KOI8-R'?><methodCall/>", xmlrpc.CodeCharset, "KOI8-R"},
		{"XML without end", "<?xml " + strings.Repeat(" ", 1000), xmlrpc.CodeParse, "declaration"},
		{"a declaration within", "<methodCall><?xml version='1.0'?>", xmlrpc.CodeInvalid, "declaration"},
		{"processing instruction", "<?php echo ?>" + call(""), xmlrpc.CodeInvalid, "processing"},
		{"document type", "<!DOCTYPE methodCall SYSTEM 'file:///etc/passwd'>" + call(""), xmlrpc.CodeInvalid, "document types"},
		{"entity of HTML", call("<value>&nbsp;</value>"), xmlrpc.CodeParse, "&nbsp;"},
		{"entity of nobody", call("<value>&xxe;</value>"), xmlrpc.CodeParse, "&xxe;"},
		{"as deep as may be", call(deep(501)), xmlrpc.CodeInvalid, "500 deep"},
		{"a tag that is too long", "<methodCall a='" + strings.Repeat(">", 2000) + "'>", xmlrpc.CodeInvalid, "1024"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, code := read(t, c.doc)
			if code != c.code || !strings.Contains(got, c.word) {
				t.Errorf("ReadCall = %d %q, want %d and %q in it", code, got, c.code, c.word)
			}
			if len(got) > 300 {
				t.Errorf("the reason has %d bytes", len(got))
			}
		})
	}
	if got, code := read(t, call(deep(500))); code != 0 {
		t.Errorf("500 arrays in each other: %d %s, want them taken", code, got)
	}
}

// TestReadCharset: the character sets that are understood, by whom they are named.
func TestReadCharset(t *testing.T) {
	const latin = "<methodCall><methodName>Echo</methodName><params><param><value>\xe9\x80</value></param></params></methodCall>"
	const utf8 = "<methodCall><methodName>Echo</methodName><params><param><value>é\u0080</value></param></params></methodCall>"
	for _, c := range []struct{ name, doc, charset string }{
		{"nothing said", utf8, ""},
		{"declared", `<?xml version="1.0" encoding="utf-8"?>` + utf8, ""},
		{"marked", "\ufeff<?xml version='1.0' encoding='iso-8859-1'?>" + utf8, ""},
		{"after an empty line", "\r\n<?xml version='1.0'?>" + utf8, ""},
		{"ASCII", `<?xml version="1.0" encoding = 'US-ASCII' ?>` + strings.ReplaceAll(utf8, "é\u0080", "&#233;&#x80;"), ""},
		{"Latin 1 declared", `<?xml version="1.0" encoding="ISO-8859-1"?>` + latin, ""},
		{"Latin 1 by HTTP", latin, "iso-8859-1"},
		{"the declaration goes first", `<?xml version="1.0" encoding="ISO-8859-1"?>` + latin, "utf-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := xmlrpc.ReadCall([]byte(c.doc), c.charset, xmlrpc.Limits{})
			if want := request("\"é\u0080\""); err != nil || string(got.Message) != want {
				t.Errorf("ReadCall = %v, %v, want %s", got, err, want)
			}
		})
	}
}

// TestReadCall: the shapes of a call.
func TestReadCall(t *testing.T) {
	for _, c := range []struct{ name, doc, want string }{
		{"no params", "<methodCall><methodName>a.b:c/d_1</methodName></methodCall>", `{"jsonrpc":"2.0","method":"a.b:c/d_1","id":1}`},
		{"empty params", "<methodCall><methodName>\n a </methodName><params/></methodCall>", `{"jsonrpc":"2.0","method":"a","id":1}`},
		{
			"two params", "<methodCall><methodName>a</methodName><params><param><value>1</value></param><param><value/></param></params></methodCall>",
			`{"jsonrpc":"2.0","method":"a","params":["1",""],"id":1}`,
		},
		{"by name", namedCall(`<member><name>$params</name><value><struct><member><name>b</name><value><i4>1</i4></value></member></struct></value></member>`), `{"jsonrpc":"2.0","method":"a","params":{"b":1},"id":1}`},
		{"by no name", namedCall(`<member><name>$params</name><value><struct/></value></member>`), `{"jsonrpc":"2.0","method":"a","params":{},"id":1}`},
		{"a struct by position", namedCall(`<member><name>b</name><value><i4>1</i4></value></member>`), `{"jsonrpc":"2.0","method":"a","params":[{"b":1}],"id":1}`},
		{
			"not by name: not alone", namedCall(strings.Repeat(`<member><name>$params</name><value><struct/></value></member>`, 2)),
			`{"jsonrpc":"2.0","method":"a","params":[{"$params":{},"$params":{}}],"id":1}`,
		},
		{"not by name: no struct", namedCall(`<member><name>$params</name><value>b</value></member>`), `{"jsonrpc":"2.0","method":"a","params":[{"$params":"b"}],"id":1}`},
		{
			"not by name: another param", strings.Replace(namedCall(`<member><name>$params</name><value><struct/></value></member>`), "</params>", "<param><value><struct/></value></param></params>", 1),
			`{"jsonrpc":"2.0","method":"a","params":[{"$params":{}},{}],"id":1}`,
		},
		{"list of methods", "<methodCall><methodName>system.listMethods</methodName></methodCall>", `{"jsonrpc":"2.0","method":"rpc.discover","id":1}`},
		{
			"multicall", multicall(`<member><name>methodName</name><value>a</value></member><member><name>params</name><value><array><data><value><i4>1</i4></value></data></array></value></member>`,
				`<member><name>params</name><value><array><data/></array></value></member><member><name>methodName</name><value><string>b</string></value></member>`),
			`[{"jsonrpc":"2.0","method":"a","params":[1],"id":1},{"jsonrpc":"2.0","method":"b","id":2}]`,
		},
		{"multicall of nothing", multicall(), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, code := read(t, c.doc); got != c.want || code != 0 {
				t.Errorf("ReadCall(%s) = %s (%d), want %s", c.doc, got, code, c.want)
			}
		})
	}
	for _, doc := range []string{
		"<methodCall><methodName>system.multicall</methodName></methodCall>",
		"<methodCall><methodName>system.multicall</methodName><params><param><value>a</value></param></params></methodCall>",
		multicall(`<member><name>methodName</name><value><int>1</int></value></member>`),
		multicall(`<member><name>params</name><value><array/></value></member>`),
		multicall(`<member><name>methodName</name><value>a</value></member><member><name>params</name><value><struct/></value></member>`),
		multicall(`<member><name>methodName</name><value>a</value></member><member><name>methodName</name><value>b</value></member>`),
	} {
		if got, code := read(t, doc); code != xmlrpc.CodeParams || !strings.Contains(got, "system.multicall takes") {
			t.Errorf("ReadCall(%s) = %d %s, want %d", doc, code, got, xmlrpc.CodeParams)
		}
	}
}

// namedCall has a struct for its only param.
func namedCall(members string) string {
	return "<methodCall><methodName>a</methodName><params><param><value><struct>" + members + "</struct></value></param></params></methodCall>"
}

func multicall(structs ...string) string {
	var b strings.Builder
	for _, s := range structs {
		b.WriteString("<value><struct>" + s + "</struct></value>")
	}
	return "<methodCall><methodName>system.multicall</methodName><params><param><value><array><data>" + b.String() + "</data></array></value></param></params></methodCall>"
}
