package envelope_test

import (
	"strings"
	"testing"

	"github.com/polyport/polyport/rpc/internal/envelope"
)

const (
	badVersion = `member "jsonrpc" must be the string "2.0"`
	badID      = `member "id" must be a string, a number or null`
	noID       = `member "id" is missing`
	badName    = "the name of a member is not Unicode text"
)

// answer is a Response that has something wrong with it.
func answer(id, value, err, reason string) view {
	return view{Kind: envelope.Response, ID: id, Result: value, Error: err, Reason: reason}
}

func TestRequestMembers(t *testing.T) {
	runScan(t, []scanCase{
		{name: "params only", body: `{"jsonrpc":"2.0","id":1,"params":[]}`, want: []view{invalid("1", noMethod)}},
		{name: "version alone", body: `{"jsonrpc":"2.0"}`, want: []view{invalid("", noMethod)}},
		{name: "empty method", body: `{"jsonrpc":"2.0","id":1,"method":""}`, want: []view{request("1", "", "")}},
		{name: "null method", body: `{"jsonrpc":"2.0","id":1,"method":null}`, want: []view{invalid("1", `member "method" must be a string`)}},
		{name: "null method beside a result", body: `{"jsonrpc":"2.0","id":1,"method":null,"result":1}`, want: []view{invalid("1", `member "method" stands beside "result" or "error"`)}},
		{name: "empty text as id", body: `{"jsonrpc":"2.0","id":"","method":"a"}`, want: []view{request(`""`, "a", "")}},
		{name: "escaped id", body: `{"jsonrpc":"2.0","id":"\u0031\ud83d\ude00","method":"a"}`, want: []view{request(`"\u0031\ud83d\ude00"`, "a", "")}},
		{name: "id minus zero", body: `{"jsonrpc":"2.0","id":-0,"method":"a"}`, want: []view{request(`-0`, "a", "")}},
		{name: "metadata null", body: `{"jsonrpc":"2.0","id":1,"method":"a","metadata":null}`, want: []view{invalid("1", `member "metadata" must be an object`)}},
		{name: "metadata an array", body: `{"jsonrpc":"2.0","method":"a","metadata":[]}`, want: []view{invalid("", `member "metadata" must be an object`)}},
		{name: "escaped version", body: `{"jsonrpc":"\u0032\u002e0","method":"a"}`, want: []view{notification("a", "")}},
		{name: "long version", body: `{"jsonrpc":"2.0 ","method":"a"}`, want: []view{invalid("", badVersion)}},
		{name: "null version", body: `{"jsonrpc":null,"method":"a"}`, want: []view{invalid("", badVersion)}},
		{name: "a result is a member of its own object only", body: `{"jsonrpc":"2.0","id":1,"method":"a","params":{"result":1,"id":2,"method":"b"}}`, want: []view{request("1", "a", `{"result":1,"id":2,"method":"b"}`)}},
		{name: "blanks everywhere", body: "\r\n{ \"jsonrpc\" :\t\"2.0\" , \"id\" : 1\n,\"method\": \"a\" ,\"params\" :[ ] } \n", want: []view{request("1", "a", "[ ]")}},
	})
}

func TestResponseMembers(t *testing.T) {
	const e = `{"code":1,"message":"m"}`
	runScan(t, []scanCase{
		{name: "null result", body: `{"jsonrpc":"2.0","id":1,"result":null}`, want: []view{result("1", "null")}},
		{name: "result for a null id", body: `{"jsonrpc":"2.0","id":null,"result":1}`, want: []view{result("null", "1")}},
		{name: "params in a response", body: `{"jsonrpc":"2.0","id":1,"result":1,"params":7}`, want: []view{result("1", "1")}},
		{name: "both", body: `{"jsonrpc":"2.0","id":1,"result":1,"error":` + e + `}`, want: []view{answer("1", "1", e, `members "result" and "error" exclude each other`)}},
		{name: "result and null error", body: `{"jsonrpc":"2.0","id":1,"result":1,"error":null}`, want: []view{answer("1", "1", "null", `members "result" and "error" exclude each other`)}},
		{name: "no id", body: `{"jsonrpc":"2.0","result":1}`, want: []view{answer("", "1", "", noID)}},
		{name: "bad id", body: `{"jsonrpc":"2.0","id":[1],"result":1}`, want: []view{answer("", "1", "", badID)}},
		{name: "id twice", body: `{"jsonrpc":"2.0","id":1,"id":1,"result":1}`, want: []view{answer("", "1", "", `member "id" appears twice`)}},
		{name: "result twice", body: `{"jsonrpc":"2.0","id":1,"result":1,"result":2}`, want: []view{answer("1", "", "", `member "result" appears twice`)}},
		{name: "error twice", body: `{"jsonrpc":"2.0","id":1,"error":{},"error":{}}`, want: []view{answer("1", "", "", `member "error" appears twice`)}},
		{name: "no version", body: `{"id":1,"result":1}`, want: []view{answer("1", "1", "", `member "jsonrpc" is missing`)}},
		{name: "wrong version", body: `{"jsonrpc":"1.0","id":1,"error":` + e + `}`, want: []view{answer("1", "", e, badVersion)}},
		{name: "error a string", body: `{"jsonrpc":"2.0","id":1,"error":"m"}`, want: []view{answer("1", "", `"m"`, `member "error" must be an object`)}},
		{name: "error null", body: `{"jsonrpc":"2.0","id":1,"error":null}`, want: []view{answer("1", "", `null`, `member "error" must be an object`)}},
		{name: "bad name", body: "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1,\"\xff\":0}", want: []view{answer("1", "1", "", badName)}},
		{name: "metadata", body: `{"jsonrpc":"2.0","id":1,"result":1,"metadata":{"a":1}}`, want: []view{{Kind: envelope.Response, ID: "1", Result: "1", Metadata: `{"a":1}`}}},
		{name: "metadata of another type is dropped", body: `{"jsonrpc":"2.0","id":1,"result":1,"metadata":[1]}`, want: []view{result("1", "1")}},
		{name: "metadata twice", body: `{"jsonrpc":"2.0","id":1,"result":1,"metadata":{},"metadata":{}}`, want: []view{answer("1", "1", "", `member "metadata" appears twice`)}},
	})
}

func TestDuplicateMembers(t *testing.T) {
	values := map[string]string{
		"jsonrpc": `"2.0"`, "id": `1`, "method": `"a"`, "params": `[]`, "metadata": `{}`,
	}
	for name, value := range values {
		body := `{"jsonrpc":"2.0","id":1,"method":"a","params":[],"metadata":{},"` + name + `":` + value + `}`
		want := invalid("1", `member "`+name+`" appears twice`)
		if name == "id" {
			want.ID = ""
		}
		t.Run(name, func(t *testing.T) {
			checkScan(t, scanCase{body: body, want: []view{want}})
			// Spelling one of them differently does not help.
			escaped := strings.Replace(body, `,"`+name+`"`, `,"\u00`+hex(name[0])+name[1:]+`"`, 1)
			checkScan(t, scanCase{body: escaped, want: []view{want}})
		})
	}
	runScan(t, []scanCase{
		{name: "unknown", body: `{"jsonrpc":"2.0","id":1,"x":1,"x":2,"method":"a"}`, want: []view{request("1", "a", "")}},
		{name: "thrice", body: `{"jsonrpc":"2.0","id":1,"method":"a","method":"a","method":"a"}`, want: []view{invalid("1", `member "method" appears twice`)}},
		{
			name: "the next element is not blamed", batch: true,
			body: `[{"jsonrpc":"2.0","id":1,"id":1,"method":"a"},{"jsonrpc":"2.0","method":"b"},{"method":"c"}]`,
			want: []view{invalid("", `member "id" appears twice`), notification("b", ""), invalid("", `member "jsonrpc" is missing`)},
		},
	})
}

func hex(c byte) string {
	const digits = "0123456789ABCDEF"
	return string([]byte{digits[c>>4], digits[c&15]})
}

// TestEveryNameEscaped spells each known name with each letter escaped.
func TestEveryNameEscaped(t *testing.T) {
	spell := func(name string) string {
		var b strings.Builder
		for i := range len(name) {
			b.WriteString(`\u00` + hex(name[i]))
		}
		return `"` + b.String() + `"`
	}
	checkScan(t, scanCase{
		body: `{` + spell("jsonrpc") + `:"2.0",` + spell("id") + `:1,` + spell("method") + `:"a",` + spell("params") + `:[1],` + spell("metadata") + `:{}}`,
		want: []view{{Kind: envelope.Request, ID: "1", Method: "a", Params: "[1]", Metadata: "{}"}},
	})
	checkScan(t, scanCase{
		body: `{` + spell("jsonrpc") + `:"2.0",` + spell("id") + `:1,` + spell("result") + `:3}`,
		want: []view{result("1", "3")},
	})
	checkScan(t, scanCase{
		body: `{` + spell("jsonrpc") + `:"2.0",` + spell("id") + `:1,` + spell("error") + `:{}}`,
		want: []view{failure("1", "{}")},
	})
}

func TestUnicodeOfEnvelope(t *testing.T) {
	body := func(id, method, name string) string {
		return `{"jsonrpc":"2.0","id":` + id + `,"method":"` + method + `","` + name + `":0}`
	}
	const garbled, garbledID = `member "method" is not Unicode text`, `member "id" is not Unicode text`
	runScan(t, []scanCase{
		{name: "beyond ASCII", body: body(`"ü"`, "é😀", "ß"), want: []view{request(`"ü"`, "é😀", "")}},
		{name: "method: all escapes", body: body("1", `\"\\\/\b\f\n\r\t\u0041\u00e9\ud83d\ude00x`, "x"), want: []view{request("1", "\"\\/\b\f\n\r\tAé😀x", "")}},
		{name: "method: escape of upper and lower case digits", body: body("1", `\uABCD\uabcd`, "x"), want: []view{request("1", "\uabcd\uabcd", "")}},
		{name: "method: NUL is text", body: body("1", `\u0000`, "x"), want: []view{request("1", "\x00", "")}},
		{name: "method: stray byte", body: body("1", "a\xff", "x"), want: []view{invalid("1", garbled)}},
		{name: "method: overlong", body: body("1", "\xc0\xaf", "x"), want: []view{invalid("1", garbled)}},
		{name: "method: stray byte beside an escape", body: body("1", "\\n\xff", "x"), want: []view{invalid("1", garbled)}},
		{name: "method: surrogate alone", body: body("1", `\ud83d`, "x"), want: []view{invalid("1", garbled)}},
		{name: "method: surrogate before text", body: body("1", `\ud83dabcdef`, "x"), want: []view{invalid("1", garbled)}},
		{name: "method: surrogate before another escape", body: body("1", `\ud83d\u0041`, "x"), want: []view{invalid("1", garbled)}},
		{name: "method: surrogate alone before a pair", body: body("1", `\ude00\ud83d\ude00`, "x"), want: []view{invalid("1", garbled)}},
		{name: "method: surrogates the wrong way round", body: body("1", `\ude00\ud83d`, "x"), want: []view{invalid("1", garbled)}},
		{name: "id: stray byte", body: body("\"\xff\"", "a", "x"), want: []view{invalid("", garbledID)}},
		{name: "id: surrogate alone", body: body(`"\ud83d"`, "a", "x"), want: []view{invalid("", garbledID)}},
		{name: "id: stray byte beside an escape", body: body("\"\\n\xff\"", "a", "x"), want: []view{invalid("", garbledID)}},
		{name: "name: stray byte", body: body("1", "a", "x\xff"), want: []view{invalid("1", badName)}},
		{name: "name: surrogate alone", body: body("1", "a", `\ud83d`), want: []view{invalid("1", badName)}},
		{name: "name: long and escaped", body: body("1", "a", strings.Repeat(`\u0041`, 100)), want: []view{request("1", "a", "")}},
		{name: "version: stray byte", body: "{\"jsonrpc\":\"2.0\xff\",\"id\":1,\"method\":\"a\"}", want: []view{invalid("1", badVersion)}},
		{name: "version: escaped and wrong", body: `{"jsonrpc":"\u0032.1","id":1,"method":"a"}`, want: []view{invalid("1", badVersion)}},
	})
}
