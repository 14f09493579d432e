package envelope_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/rpc/internal/envelope"
)

func runScan(t *testing.T, cases []scanCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { checkScan(t, c) })
	}
}

func checkScan(t *testing.T, c scanCase) {
	t.Helper()
	msgs, batch, err := envelope.Scan([]byte(c.body), c.limits, nil)
	if batch != c.batch {
		t.Errorf("Scan(%.200q): batch = %v, want %v", c.body, batch, c.batch)
	}
	if diff := cmp.Diff(c.want, views(msgs)); diff != "" {
		t.Errorf("Scan(%.200q): messages (-want +got):\n%s", c.body, diff)
	}
	var got envelope.Fault
	if err != nil {
		got = *err
	}
	if got.Code != c.code || got.Reason != c.reason || got.Max != c.max {
		t.Errorf("Scan(%.200q): fault = %+v, want code %d, reason %q, max %d", c.body, got, c.code, c.reason, c.max)
	}
	if got.Offset < 0 || got.Offset > len(c.body) {
		t.Errorf("Scan(%.200q): fault at %d, which is outside of the body", c.body, got.Offset)
	}
}

const (
	notObject = "a message must be an object"
	noMethod  = `member "method" is missing`
)

// TestBatchRows holds the rules of JSON-RPC 2.0 sections 4 to 6 that concern
// reading, in the order of the table they were collected in; rows about
// execution are tested where calls are executed.
func TestBatchRows(t *testing.T) {
	runScan(t, []scanCase{
		{
			name: "batch row 1: the long example of spec §7",
			body: `[
				{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
				{"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
				{"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
				{"foo": "boo"},
				{"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
				{"jsonrpc": "2.0", "method": "get_data", "id": "9"}
			]`,
			batch: true,
			want: []view{
				request(`"1"`, "sum", "[1,2,4]"),
				notification("notify_hello", "[7]"),
				request(`"2"`, "subtract", "[42,23]"),
				invalid("", `member "jsonrpc" is missing`),
				request(`"5"`, "foo.get", `{"name": "myself"}`),
				request(`"9"`, "get_data", ""),
			},
		},
		{
			name: "batch row 2: a batch with broken JSON",
			body: `[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
				{"jsonrpc": "2.0", "method" ]`,
			batch: true, code: -32700, reason: `']' where a colon should be`,
		},
		{name: "batch row 3: an empty batch", body: `[]`, batch: true, code: -32600, reason: "the batch is empty"},
		{name: "batch row 3: an empty batch with blanks", body: " [ \n] ", batch: true, code: -32600, reason: "the batch is empty"},
		{name: "batch row 4: a batch of one number", body: `[1]`, batch: true, want: []view{invalid("", notObject)}},
		{
			name: "batch row 5: a batch of three numbers", body: `[1,2,3]`, batch: true,
			want: []view{invalid("", notObject), invalid("", notObject), invalid("", notObject)},
		},
		{
			name:  "batch row 6: only notifications",
			body:  `[{"jsonrpc":"2.0","method":"a","params":[1]},{"jsonrpc":"2.0","method":"b"}]`,
			batch: true, want: []view{notification("a", "[1]"), notification("b", "")},
		},
		{
			name:  "batch row 7: one request in an array",
			body:  `[{"jsonrpc":"2.0","id":1,"method":"a"}]`,
			batch: true, want: []view{request("1", "a", "")},
		},
		{
			name:  "batch row 8: nested arrays",
			body:  `[[{"jsonrpc":"2.0","id":1,"method":"a"}],[[]]]`,
			batch: true, want: []view{invalid("", notObject), invalid("", notObject)},
		},
		{name: "batch row 9: null in an array", body: `[null]`, batch: true, want: []view{invalid("", notObject)}},
		{name: "batch row 9: an empty object in an array", body: `[{}]`, batch: true, want: []view{invalid("", `member "jsonrpc" is missing`)}},
		{name: "batch row 10: a number alone", body: `1`, want: []view{invalid("", notObject)}},
		{name: "batch row 10: a string alone", body: `"x"`, want: []view{invalid("", notObject)}},
		{name: "batch row 10: null alone", body: `null`, want: []view{invalid("", notObject)}},
		{name: "batch row 10: true alone", body: ` true `, want: []view{invalid("", notObject)}},
		{name: "batch row 11: an empty body", body: ``, code: -32700, reason: "the text ends where a message should be"},
		{name: "batch row 11: a blank body", body: " \t\r\n", code: -32700, reason: "the text ends where a message should be"},
		{
			name: "batch row 12: broken JSON object (spec §7)",
			body: `{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]`,
			code: -32700, reason: `'p' where a comma or the end of the object should be`,
		},
		{
			name: "batch row 13: method is a number (spec §7)",
			body: `{"jsonrpc": "2.0", "method": 1, "params": "bar"}`,
			want: []view{invalid("", `member "method" must be a string`)},
		},
		{
			name: "batch row 14: notification of an unknown method",
			body: `{"jsonrpc":"2.0","method":"no such"}`,
			want: []view{notification("no such", "")},
		},
		{
			name: "batch row 15: valid notification (spec §7)",
			body: `{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}`,
			want: []view{notification("update", "[1,2,3,4,5]")},
		},
	})
}

// TestBatchRowsMembers continues [TestBatchRows] with the rows that are about
// single members.
func TestBatchRowsMembers(t *testing.T) {
	const badParams = `member "params" must be an array or an object`
	scalars := &envelope.Limits{ScalarParams: true}
	nulls := &envelope.Limits{NullParams: true}
	twos := &envelope.Limits{Version2: true}
	runScan(t, []scanCase{
		{name: "batch row 16: scalar params, strict", body: `{"jsonrpc":"2.0","id":1,"method":"a","params":7}`, want: []view{invalid("1", badParams)}},
		{name: "batch row 16: scalar params, tolerant", body: `{"jsonrpc":"2.0","id":1,"method":"a","params":7}`, limits: scalars, want: []view{request("1", "a", "7")}},
		{name: "batch row 16: text params, tolerant", body: `{"jsonrpc":"2.0","id":1,"method":"a","params":"n"}`, limits: scalars, want: []view{request("1", "a", `"n"`)}},
		{name: "batch row 16: boolean params, tolerant", body: `{"jsonrpc":"2.0","method":"a","params":false}`, limits: scalars, want: []view{notification("a", `false`)}},
		{name: "batch row 17: null params, strict", body: `{"jsonrpc":"2.0","id":1,"method":"a","params":null}`, want: []view{invalid("1", `member "params" must not be null`)}},
		{name: "batch row 17: null params, tolerant of scalars only", body: `{"jsonrpc":"2.0","id":1,"method":"a","params":null}`, limits: scalars, want: []view{invalid("1", `member "params" must not be null`)}},
		{name: "batch row 17: null params, tolerant", body: `{"jsonrpc":"2.0","id":1,"method":"a","params":null}`, limits: nulls, want: []view{request("1", "a", "")}},
		{name: "batch row 18: null id with a method", body: `{"jsonrpc":"2.0","id":null,"method":"a"}`, want: []view{request("null", "a", "")}},
		{name: "batch row 19: fractional id", body: `{"jsonrpc":"2.0","id":-1.50e+0,"method":"a"}`, want: []view{request("-1.50e+0", "a", "")}},
		{name: "batch row 19: huge id", body: `{"jsonrpc":"2.0","id":123456789012345678901234567890,"method":"a"}`, want: []view{request("123456789012345678901234567890", "a", "")}},
		{name: "batch row 20: id is an object", body: `{"jsonrpc":"2.0","id":{"a":1},"method":"a"}`, want: []view{invalid("", badID)}},
		{name: "batch row 20: id is an array", body: `{"jsonrpc":"2.0","id":[1],"method":"a"}`, want: []view{invalid("", badID)}},
		{name: "batch row 20: id is a boolean", body: `{"jsonrpc":"2.0","id":false,"method":"a"}`, want: []view{invalid("", badID)}},
		{
			name:  "batch row 21: the same id twice in a batch",
			body:  `[{"jsonrpc":"2.0","id":1,"method":"a"},{"jsonrpc":"2.0","id":1,"method":"b"}]`,
			batch: true, want: []view{request("1", "a", ""), request("1", "b", "")},
		},
		{name: "batch row 22: version missing", body: `{"id":1,"method":"a"}`, want: []view{invalid("1", `member "jsonrpc" is missing`)}},
		{name: "batch row 22: version 1.0", body: `{"jsonrpc":"1.0","id":1,"method":"a"}`, want: []view{invalid("1", badVersion)}},
		{name: "batch row 22: version is a number", body: `{"jsonrpc":2.0,"id":1,"method":"a"}`, want: []view{invalid("1", badVersion)}},
		{name: "batch row 22: version is a number, tolerant", body: `{"jsonrpc":2.0,"id":1,"method":"a"}`, limits: twos, want: []view{request("1", "a", "")}},
		{name: "batch row 22: version is a whole number, tolerant", body: `{"jsonrpc":2,"method":"a"}`, limits: twos, want: []view{notification("a", "")}},
		{name: "batch row 22: version is shorter, tolerant", body: `{"jsonrpc":"2","id":1,"result":0}`, limits: twos, want: []view{result("1", "0")}},
		{name: "batch row 22: version is as ever, tolerant", body: `{"jsonrpc":"2.0","id":1,"method":"a"}`, limits: twos, want: []view{request("1", "a", "")}},
		{name: "batch row 22: another version, tolerant", body: `{"jsonrpc":2.00,"id":1,"method":"a"}`, limits: twos, want: []view{invalid("1", badVersion)}},
		{name: "batch row 22: version 1.0, tolerant", body: `{"jsonrpc":"1.0","id":1,"method":"a"}`, limits: twos, want: []view{invalid("1", badVersion)}},
		{name: "batch row 23: method and result", body: `{"jsonrpc":"2.0","id":1,"method":"a","result":1}`, want: []view{invalid("1", `member "method" stands beside "result" or "error"`)}},
		{name: "batch row 23: method and error", body: `{"jsonrpc":"2.0","id":1,"error":{},"method":"a"}`, want: []view{invalid("1", `member "method" stands beside "result" or "error"`)}},
		{name: "batch row 24: response with an id nobody asked with", body: `{"jsonrpc":"2.0","id":"?","result":0}`, want: []view{result(`"?"`, "0")}},
		{
			name:  "batch row 25: array of responses",
			body:  `[{"jsonrpc":"2.0","id":2,"result":null},{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"m"}}]`,
			batch: true, want: []view{result("2", "null"), failure("1", `{"code":-1,"message":"m"}`)},
		},
		{
			name:  "batch row 26: requests and responses mixed",
			body:  `[{"jsonrpc":"2.0","id":2,"result":[]},{"jsonrpc":"2.0","id":2,"method":"a"},{"jsonrpc":"2.0","method":"b"}]`,
			batch: true, want: []view{result("2", "[]"), request("2", "a", ""), notification("b", "")},
		},
		{name: "batch row 27: two texts", body: `{"jsonrpc":"2.0","id":1,"method":"a"}{"jsonrpc":"2.0","id":2,"method":"a"}`, code: -32700, reason: `'{' where the end of the text should be`},
		{name: "batch row 27: two batches", body: "[1]\n[1]", batch: true, code: -32700, reason: `'[' where the end of the text should be`},
		{name: "batch row 27: an empty batch and more", body: "[],", batch: true, code: -32700, reason: `',' where the end of the text should be`},
	})
}

// TestBatchRowsRest continues [TestBatchRowsMembers].
func TestBatchRowsRest(t *testing.T) {
	call := `{"jsonrpc":"2.0","id":1,"method":"a"}`
	runScan(t, []scanCase{
		{
			name: "batch row 28: unknown members and metadata",
			body: `{"trace":[1],"jsonrpc":"2.0","id":1,"method":"a","":{"method":"b"},"metadata":{"k":"v"}}`,
			want: []view{{Kind: envelope.Request, ID: "1", Method: "a", Metadata: `{"k":"v"}`}},
		},
		{name: "batch row 29: names in another case", body: `{"JSONRPC":"2.0","ID":1,"METHOD":"a"}`, want: []view{invalid("", `member "jsonrpc" is missing`)}},
		{name: "batch row 29: Method in another case", body: `{"jsonrpc":"2.0","id":1,"Method":"a"}`, want: []view{invalid("1", noMethod)}},
		{name: "batch row 29b: method twice", body: `{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}`, want: []view{invalid("1", `member "method" appears twice`)}},
		{name: "batch row 30: reserved method", body: `{"jsonrpc":"2.0","id":1,"method":"rpc.xyz"}`, want: []view{request("1", "rpc.xyz", "")}},
		{name: "batch row 31: params by name", body: `{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":1}}`, want: []view{request("1", "a", `{"x":1}`)}},
		{
			name: "batch row 32: batch over the limit", body: "[" + call + "," + call + "," + call + "]",
			limits: &envelope.Limits{Batch: 2},
			batch:  true, code: -32600, reason: "the batch has more elements than 2", max: 2,
		},
		{
			name: "batch row 33: one object answers a batch", body: `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no batches"}}`,
			want: []view{failure("null", `{"code":-32600,"message":"no batches"}`)},
		},
		{
			name: "batch row 33: one object without an id answers a batch", body: `{"jsonrpc":"2.0","error":{"code":-32600,"message":"no batches"}}`,
			want: []view{{Kind: envelope.Response, Error: `{"code":-32600,"message":"no batches"}`, Reason: noID}},
		},
	})
}

// TestProbes holds bodies that existing peers were probed with and that some
// of them execute, misread, or die of.
func TestProbes(t *testing.T) {
	call := func(id string) string { return `{"jsonrpc":"2.0","id":` + id + `,"method":"a"}` }
	runScan(t, []scanCase{
		{name: "probe: id 2^53+1", body: call("9007199254740993"), want: []view{request("9007199254740993", "a", "")}},
		{name: "probe: id above int64", body: call("9223372036854775808"), want: []view{request("9223372036854775808", "a", "")}},
		{name: "probe: id -1", body: call("-1"), want: []view{request("-1", "a", "")}},
		{name: "probe: id 1.5", body: call("1.5"), want: []view{request("1.5", "a", "")}},
		{name: "probe: id null", body: call("null"), want: []view{request("null", "a", "")}},
		{name: "probe: id true", body: call("true"), want: []view{invalid("", badID)}},
		{name: "probe: no id", body: `{"jsonrpc":"2.0","method":"a"}`, want: []view{notification("a", "")}},
		{name: "probe: malformed JSON", body: `{"jsonrpc":"2.0","id":1,"method":"a"`, code: -32700, reason: "the text ends where a comma or the end of the object should be"},
		{name: "probe: null", body: `null`, want: []view{invalid("", notObject)}},
		{name: "probe: []", body: `[]`, batch: true, code: -32600, reason: "the batch is empty"},
		{name: "probe: [1,2]", body: `[1,2]`, batch: true, want: []view{invalid("", notObject), invalid("", notObject)}},
		{name: "probe: no version", body: `{"id":1,"method":"a"}`, want: []view{invalid("1", `member "jsonrpc" is missing`)}},
		{name: "probe: wrong version", body: `{"jsonrpc":"3.0","id":1,"method":"a"}`, want: []view{invalid("1", badVersion)}},
		{name: "probe: method a number", body: `{"jsonrpc":"2.0","id":1,"method":1}`, want: []view{invalid("1", `member "method" must be a string`)}},
		{name: "probe: scalar params", body: `{"jsonrpc":"2.0","id":1,"method":"a","params":"x"}`, want: []view{invalid("1", `member "params" must be an array or an object`)}},
		{name: "probe: unknown method", body: `{"jsonrpc":"2.0","id":1,"method":"?"}`, want: []view{request("1", "?", "")}},
		{name: "probe: METHOD", body: `{"jsonrpc":"2.0","id":1,"METHOD":"a"}`, want: []view{invalid("1", noMethod)}},
		{name: "probe: duplicate method", body: `{"jsonrpc":"2.0","id":1,"method":"a","method":"a"}`, want: []view{invalid("1", `member "method" appears twice`)}},
		{name: "probe: unknown member", body: `{"jsonrpc":"2.0","id":1,"method":"a","x":[{}]}`, want: []view{request("1", "a", "")}},
		{name: "probe: name in another case in params", body: `{"jsonrpc":"2.0","id":1,"method":"a","params":{"A":7}}`, want: []view{request("1", "a", `{"A":7}`)}},
		{name: "probe: same id twice in flight", body: "[" + call("1") + "," + call("1") + "]", batch: true, want: []view{request("1", "a", ""), request("1", "a", "")}},
		{
			name: "probe: params five million deep", body: `{"jsonrpc":"2.0","id":1,"method":"a","params":` + strings.Repeat("[", 5_000_000),
			code: -32600, reason: "the text is nested deeper than 1000", max: 1000,
		},
		{name: "probe: leading zero in params", body: `{"jsonrpc":"2.0","id":1,"method":"a","params":{"a":01}}`, code: -32700, reason: `'1' where the end of a number that begins with 0 should be`},
		{name: "probe: unbalanced params", body: `{"jsonrpc":"2.0","id":1,"method":"a","params":{"a":[}}`, code: -32700, reason: `'}' where a value should be`},
		{name: "probe: control character in params", body: "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\",\"params\":[\"\x01\"]}", code: -32700, reason: `byte 0x01 where an escape should be`},
		{name: "probe: invalid UTF-8 in params", body: "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\",\"params\":[\"\xff\"]}", want: []view{request("1", "a", "[\"\xff\"]")}},
		{name: "probe: escaped member name", body: `{"jsonrpc":"2.0","id":1,"\u006dethod":"a"}`, want: []view{request("1", "a", "")}},
	})
}

// TestSpecExamples holds what is left of the examples of JSON-RPC 2.0
// section 7.
func TestSpecExamples(t *testing.T) {
	runScan(t, []scanCase{
		{name: "spec §7: positional parameters", body: `{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}`, want: []view{request("1", "subtract", "[42, 23]")}},
		{name: "spec §7: its answer", body: `{"jsonrpc": "2.0", "result": 19, "id": 1}`, want: []view{result("1", "19")}},
		{name: "spec §7: named parameters", body: `{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}`, want: []view{request("3", "subtract", `{"subtrahend": 23, "minuend": 42}`)}},
		{name: "spec §7: a notification without params", body: `{"jsonrpc": "2.0", "method": "foobar"}`, want: []view{notification("foobar", "")}},
		{
			name: "spec §7: method not found", body: `{"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": "1"}`,
			want: []view{failure(`"1"`, `{"code": -32601, "message": "Method not found"}`)},
		},
		{
			name: "spec §7: parse error", body: `{"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": null}`,
			want: []view{failure("null", `{"code": -32700, "message": "Parse error"}`)},
		},
	})
}
