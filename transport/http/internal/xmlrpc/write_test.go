package xmlrpc_test

import (
	"strings"
	"testing"

	"github.com/polyport/polyport/transport/http/internal/xmlrpc"
)

const declared = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

// answer is a methodResponse with one value.
func answer(value string) string {
	return declared + "<methodResponse><params><param><value>" + value + "</value></param></params></methodResponse>\n"
}

// fault is the value of a fault.
func fault(code, text string) string {
	return "<value><struct><member><name>faultCode</name><value><int>" + code + "</int></value></member>" +
		"<member><name>faultString</name><value><string>" + text + "</string></value></member></struct></value>"
}

func faultAnswer(code, text string) string {
	return declared + "<methodResponse><fault>" + fault(code, text) + "</fault></methodResponse>\n"
}

func readCall(t *testing.T, doc string) *xmlrpc.Call {
	t.Helper()
	c, err := xmlrpc.ReadCall([]byte(doc), "", xmlrpc.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestWriteValue: values of JSON as XML-RPC.
func TestWriteValue(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"null", "null", "<nil/>"},
		{"true", "true", "<boolean>1</boolean>"},
		{"false", "false", "<boolean>0</boolean>"},
		{"int", "6", "<int>6</int>"},
		{"largest int", "2147483647", "<int>2147483647</int>"},
		{"smallest int", "-2147483648", "<int>-2147483648</int>"},
		{"i8", "2147483648", "<i8>2147483648</i8>"},
		{"smallest i8", "-9223372036854775808", "<i8>-9223372036854775808</i8>"},
		{"more than 64 bits", "36893488147419103232", "<double>36893488147419103232.0</double>"},
		{"a double is one with a point", "6.0", "<double>6.0</double>"},
		{"or an exponent", "6e2", "<double>600.0</double>"},
		{"fraction", "-0.5", "<double>-0.5</double>"},
		{"minus zero", "-0", "<double>-0.0</double>"},
		{"no exponents", "1e-7", "<double>0.0000001</double>"},
		{"string", `"a <b> & \"c\""`, `<string>a &lt;b&gt; &amp; "c"</string>`},
		{"empty string", `""`, "<string></string>"},
		{"blanks stay", `" a\t\n "`, "<string> a\t\n </string>"},
		{"carriage return", `"a\r\n"`, "<string>a&#13;\n</string>"},
		{"end of CDATA", `"]]>"`, "<string>]]&gt;</string>"},
		{"far planes", `"\ud83d\ude00\ufffd"`, "<string>\U0001F600\ufffd</string>"},
		{"array", `[1,[],"a"]`, "<array><data><value><int>1</int></value><value><array><data></data></array></value><value><string>a</string></value></data></array>"},
		{"object", `{"a&b":{},"":1}`, "<struct><member><name>a&amp;b</name><value><struct></struct></value></member><member><name></name><value><int>1</int></value></member></struct>"},
		{"time", `{"$dateTime":"1998-07-17T16:08:55.9+02:00"}`, "<dateTime.iso8601>19980717T14:08:55</dateTime.iso8601>"},
		{"bytes", `{"$base64":"AP8="}`, "<base64>AP8=</base64>"},
		{"no tag: not alone", `{"$base64":"AP8=","a":1}`, "<struct><member><name>$base64</name><value><string>AP8=</string></value></member><member><name>a</name><value><int>1</int></value></member></struct>"},
		{"no tag: not first", `{"a":1,"$base64":"AP8="}`, "<struct><member><name>a</name><value><int>1</int></value></member><member><name>$base64</name><value><string>AP8=</string></value></member></struct>"},
		{"no tag: no string", `{"$dateTime":5}`, "<struct><member><name>$dateTime</name><value><int>5</int></value></member></struct>"},
		{"a tag in a list", `[{"$base64":""},1]`, "<array><data><value><base64></base64></value><value><int>1</int></value></data></array>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := readCall(t, call("<value/>")).Answer([]byte(`{"jsonrpc":"2.0","result":` + c.value + `,"id":1}`))
			if string(got) != answer(c.want) {
				t.Errorf("Answer(%s) = %s, want %s", c.value, got, answer(c.want))
			}
		})
	}
}

// TestWriteFaults: answers that are faults.
func TestWriteFaults(t *testing.T) {
	result := func(s string) string { return `{"jsonrpc":"2.0","result":` + s + `,"id":1}` }
	fail := func(s string) string { return `{"jsonrpc":"2.0","error":` + s + `,"id":1}` }
	for _, c := range []struct{ name, answer, code, text string }{
		{"error", fail(`{"code":-32601,"message":"method \"a\" not found"}`), "-32601", `method "a" not found`},
		{"with a text as data", fail(`{"code":7,"message":"no","data":"because <b>"}`), "7", "no: because &lt;b&gt;"},
		{"with data", fail(`{"data":{"a":[1]},"code":7,"message":"no"}`), "7", `no: {"a":[1]}`},
		{"with null for data", fail(`{"code":7,"message":"no","data":null}`), "7", "no"},
		{"a large code", fail(`{"code":5000000000,"message":"no"}`), "-32000", "no"},
		{"what XML has not is marked", fail(`{"code":7,"message":"a\u0001\ufffeb\u001b[0m"}`), "7", "a\ufffd\ufffdb\ufffd[0m"},
		{"a control character", result(`{"a":["\u001b[0m"]}`), "-32603", "XML cannot hold the character U+001B; send such text as bytes, in \"$base64\", at /a/0"},
		{"in a name", result(`{"\u0000":1}`), "-32603", "at /\x00"},
		{"a non-character", result(`"\uffff"`), "-32603", "XML cannot hold the character U+FFFF; send such text as bytes, in \"$base64\""},
		{"half a surrogate pair", result(`"\ud800"`), "-32603", "no answer of JSON-RPC"},
		{"no UTF-8", result("\"\xff\""), "-32603", "no answer of JSON-RPC"},
		{"a number that no double holds", result("1e400"), "-32603", "no double holds 1e400"},
		{"a number that no double holds exactly", result("18446744073709551615"), "-32603", "neither an i8 nor a double holds exactly 18446744073709551615; send it as a string"},
		{"the same member twice", result(`{"a":1,"a":2}`), "-32603", "duplicate"},
		{"a time that is none", result(`{"$dateTime":"yesterday"}`), "-32603", `"yesterday" is no time as RFC 3339 has it`},
		{"a time before there were years", result(`{"$dateTime":"0000-01-01T00:00:00+23:00"}`), "-32603", "is no time"},
		{"bytes that are none", result(`{"$base64":"?"}`), "-32603", "base64"},
		{"too deep", result(strings.Repeat("[", 501) + strings.Repeat("]", 501)), "-32603", "500 deep"},
		{"no answer", "", "-32603", "no answer of JSON-RPC"},
		{"no JSON", "{", "-32603", "no answer of JSON-RPC"},
		{"neither", `{"jsonrpc":"2.0","id":1}`, "-32603", "neither a result nor an error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := string(readCall(t, call("<value/>")).Answer([]byte(c.answer)))
			begin := strings.TrimSuffix(faultAnswer(c.code, ""), "</string></value></member></struct></value></fault></methodResponse>\n")
			if !strings.HasPrefix(got, begin) || !strings.Contains(got, strings.ReplaceAll(c.text, "\x00", "\ufffd")) {
				t.Errorf("Answer(%s) = %s, want a fault %s %s", c.answer, got, c.code, c.text)
			}
			if _, err := roundFault(got); err != nil {
				t.Errorf("the fault cannot be read: %v", err)
			}
		})
	}
}

// roundFault reads a methodResponse as a client does.
func roundFault(doc string) (string, error) {
	q, err := xmlrpc.NewQuestion([]byte(`{"jsonrpc":"2.0","method":"a","id":1}`), xmlrpc.Limits{})
	if err != nil {
		return "", err
	}
	got, err := q.Answer([]byte(doc), "")
	return string(got), err
}

// TestAnswerMany: answers to system.multicall, in the order of its calls.
func TestAnswerMany(t *testing.T) {
	a := `<member><name>methodName</name><value>a</value></member>`
	c := readCall(t, multicall(a, a, a, a))
	got := string(c.Answer([]byte(`[{"jsonrpc":"2.0","result":[2],"id":2},{"jsonrpc":"2.0","error":{"code":5,"message":"no"},"id":3},` +
		`{"jsonrpc":"2.0","result":"\u0001","id":1},{"jsonrpc":"2.0","result":0,"id":9},{"jsonrpc":"2.0","error":{"code":-32600,"message":"?"},"id":null}]`)))
	want := answer("<array><data>" + fault("-32603", "XML cannot hold the character U+0001; send such text as bytes, in \"$base64\"") +
		"<value><array><data><value><array><data><value><int>2</int></value></data></array></value></data></array></value>" +
		fault("5", "no") + fault("-32603", "the call was not answered") + "</data></array>")
	if got != want {
		t.Errorf("Answer = %s, want %s", got, want)
	}
	if got, want := string(c.Answer([]byte(`{"jsonrpc":"2.0","error":{"code":-32600,"message":"too many"},"id":null}`))), faultAnswer("-32600", "too many"); got != want {
		t.Errorf("Answer = %s, want %s", got, want)
	}
	if got, want := string(readCall(t, multicall()).Answer(nil)), answer("<array><data></data></array>"); got != want {
		t.Errorf("Answer to nothing = %s, want %s", got, want)
	}
}

// TestAnswerList: the answer to system.listMethods is made of an OpenRPC document.
func TestAnswerList(t *testing.T) {
	c := readCall(t, "<methodCall><methodName>system.listMethods</methodName></methodCall>")
	got := string(c.Answer([]byte(`{"jsonrpc":"2.0","result":{"openrpc":"1.4.0","methods":[{"name":"a","params":[]},{"params":[],"name":"b"}]},"id":1}`)))
	want := answer("<array><data><value><string>a</string></value><value><string>b</string></value></data></array>")
	if got != want {
		t.Errorf("Answer = %s, want %s", got, want)
	}
	if got := string(c.Answer([]byte(`{"jsonrpc":"2.0","error":{"code":-32601,"message":"no"},"id":1}`))); got != faultAnswer("-32601", "no") {
		t.Errorf("Answer = %s, want the fault", got)
	}
}
