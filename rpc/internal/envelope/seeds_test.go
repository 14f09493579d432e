package envelope_test

import "strings"

// seeds are the bodies that fuzzing begins with: the examples of JSON-RPC 2.0
// section 7, and what hostile or careless peers send.
func seeds() []string {
	return []string{
		// The specification's.
		`{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}`,
		`{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}`,
		`{"jsonrpc": "2.0", "result": 19, "id": 4}`,
		`{"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": "1"}`,
		`{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]`,
		`{"jsonrpc": "2.0", "method": 1, "params": "bar"}`,
		`[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},{"jsonrpc": "2.0", "method"`,
		`[]`, `[1]`, `[1,2,3]`,
		`[{"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},{"foo": "boo"},{"jsonrpc": "2.0", "method": "get_data", "id": "9"}]`,

		// Kinds and members.
		`{"jsonrpc":"2.0","id":null,"method":"a","params":null}`,
		`{"jsonrpc":"2.0","id":9007199254740993,"method":"a","params":true,"metadata":{"async":{"k":"v"}}}`,
		`{"jsonrpc":"2.0","id":[1],"result":{"a":null},"metadata":[]}`,
		`{"jsonrpc":"2.0","id":1,"method":"a","method":"b","id":2}`,
		`{"jsonrpc":"2.0","id":1,"result":1,"error":{}}`,
		`{"jsonrpc":"1.0","id":1,"method":"a","result":1}`,
		`{"JSONRPC":"2.0","METHOD":"a","x":{"method":"b"}}`,
		`{"jsonrpc":"2.0","id":"0123456789","method":"a"}`,
		`{"jsonrpc":"2.0","id":1,"error":"text"}`,
		`[null,true,"x",-1.5e+3,[],{},[[1]]]`,

		// Strings.
		`{"\u006asonrpc":"\u0032.0","\u006d\u0065thod":"\ud83d\ude00\n\/","id":"\u0031"}`,
		`{"jsonrpc":"2.0","method":"\ud83d","id":"\udead\ud83d"}`,
		"{\"jsonrpc\":\"2.0\",\"method\":\"\xff\xc0\xaf\",\"id\":\"\xe2\x82\"}",
		"{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"\xed\xa0\x80\":1}",
		"{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"params\":[\"\xff\",\"\\ud800\",\"é漢😀\"]}",
		`{"jsonrpc":"2.0","method":"` + strings.Repeat("x", 40) + `"}`,
		"[\"12345678\x00\"]", "[\"1234567\x1f\"]", `["\x"]`, `["\u12g4"]`, "[\"\\", `"\u`,

		// The rest of the grammar.
		`[0,-0,0.5,1e5,1E-5,10,123456789012345678901234567890]`,
		`[01]`, `[1.]`, `[.5]`, `[-]`, `[1e]`, `[+1]`, `[1,]`, `[,1]`, `[1 2]`, `[tru]`, `[nulL]`, `[falsey]`, `[NaN]`,
		`{"a":[}`, `{"a":{]`, `{"a":1,}`, `{"a"1}`, `{a:1}`, `{"a":1]`, `[1}`,
		" \t\r\n{ \"a\" : [ 1 , { \"b\" : [ ] } ] , \"c\" : { } } \n", "\xef\xbb\xbf{}", "\x0c{}", ``, ` `,
		`{}{}`, `[][]`, `1 2`, `{"jsonrpc":"2.0","method":"a"}x`,
		strings.Repeat(`[{"a":`, 40) + `1` + strings.Repeat(`}]`, 40),
		strings.Repeat(`[`, 1001), strings.Repeat(`{"a":`, 1001),
		`[` + strings.Repeat(`1,`, 1000) + `1]`,
	}
}
