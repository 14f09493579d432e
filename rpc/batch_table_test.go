package rpc_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/rpc"
)

// An exchange is a body and all that must come back, in the notation of brief.
type exchange struct {
	in  string
	out []string
	ran []string // what was executed for it, in the notation of journal
}

// silent is an exchange in which nothing comes back.
func silent(in string, ran ...string) exchange { return exchange{in: in, ran: ran} }

// answered is an exchange in which one body comes back.
func answered(in, out string, ran ...string) exchange {
	return exchange{in: in, out: []string{out}, ran: ran}
}

// batchTable is the behaviour that sections 4 to 6 of the specification ask of
// a server, and what we decided where they are silent. The numbers of the rows
// are those of the manual.
var batchTable = []struct {
	name   string
	limits rpc.Limits
	cases  []exchange
}{
	{name: "row 1: the specification's batch → answers in the order of its requests", cases: []exchange{
		answered(`[
			{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
			{"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
			{"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
			{"foo": "boo"},
			{"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
			{"jsonrpc": "2.0", "method": "get_data", "id": "9"}
		]`, `["1"=7, "2"=19, null!-32600, "5"!-32601, "9"=["hello",5]]`,
			"sum[1 2 4]", "notify_hello[7]", "subtract[42 23]", "get_data"),
	}},
	{name: "row 2: a batch with broken JSON → one -32700, id null, no array", cases: []exchange{
		answered(`[
			{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
			{"jsonrpc": "2.0", "method"
		]`, `null!-32700`),
		answered(`[{"jsonrpc":"2.0","method":"sum","params":[1],"id":1},]`, `null!-32700`),
		answered(`[{"jsonrpc":"2.0","method":"sum","params":[1],"id":1}`, `null!-32700`),
	}},
	{name: "row 3: an empty array → one -32600, id null, no array", cases: []exchange{
		answered(`[]`, `null!-32600`),
		answered(" [\n] ", `null!-32600`),
	}},
	{name: "row 4: [1] → an array of one -32600, id null", cases: []exchange{
		answered(`[1]`, `[null!-32600]`),
	}},
	{name: "row 5: [1,2,3] → an array of three -32600, id null", cases: []exchange{
		answered(`[1,2,3]`, `[null!-32600, null!-32600, null!-32600]`),
	}},
	{name: "row 6: only notifications → nothing", cases: []exchange{
		silent(`[
			{"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},
			{"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}
		]`, "notify_sum[1 2 4]", "notify_hello[7]"),
	}},
	{name: "row 7: one request in an array → an array of one", cases: []exchange{
		answered(`[{"jsonrpc":"2.0","method":"sum","params":[1,2],"id":1}]`, `[1=3]`, "sum[1 2]"),
	}},
	{name: "row 8: an array in an array → an array of one -32600, id null", cases: []exchange{
		answered(`[[{"jsonrpc":"2.0","method":"sum","params":[1,2],"id":1}]]`, `[null!-32600]`),
		answered(`[[]]`, `[null!-32600]`),
	}},
	{name: "row 9: [null] and [{}] → an array of one -32600, id null", cases: []exchange{
		answered(`[null]`, `[null!-32600]`),
		answered(`[{}]`, `[null!-32600]`),
	}},
	{name: "row 10: a scalar alone → -32600, id null", cases: []exchange{
		answered(`1`, `null!-32600`),
		answered(`"x"`, `null!-32600`),
		answered(`null`, `null!-32600`),
		answered(`true`, `null!-32600`),
	}},
	{name: "row 11: an empty or blank body → -32700, id null", cases: []exchange{
		answered("", `null!-32700`),
		answered(" \r\n\t", `null!-32700`),
	}},
	{name: "row 12: invalid JSON → -32700, id null", cases: []exchange{
		answered(`{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]`, `null!-32700`),
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1,],"id":1}`, `null!-32700`),
		answered(`{'jsonrpc':'2.0','method':'sum','id':1}`, `null!-32700`),
		answered(`nul`, `null!-32700`),
	}},
	{name: "row 13: method is a number → -32600, id null", cases: []exchange{
		answered(`{"jsonrpc": "2.0", "method": 1, "params": "bar"}`, `null!-32600`),
		answered(`{"jsonrpc":"2.0","method":1,"params":[1],"id":4}`, `4!-32600`),
	}},
	{name: "row 14: a notification that fails → nothing", cases: []exchange{
		silent(`{"jsonrpc":"2.0","method":"foobar"}`),
		silent(`{"jsonrpc":"2.0","method":"sum","params":["one"]}`),
		silent(`{"jsonrpc":"2.0","method":"Fail"}`, "Fail"),
		silent(`{"jsonrpc":"2.0","method":"Panic"}`, "Panic"),
		silent(`[{"jsonrpc":"2.0","method":"foobar"},{"jsonrpc":"2.0","method":"sum","params":["one"]},
			{"jsonrpc":"2.0","method":"Fail"},{"jsonrpc":"2.0","method":"Panic"}]`, "Fail", "Panic"),
		answered(`[{"jsonrpc":"2.0","method":"foobar"},{"jsonrpc":"2.0","method":"Fail"},
			{"jsonrpc":"2.0","method":"sum","params":[1],"id":1}]`, `[1=1]`, "Fail", "sum[1]"),
	}},
	{name: "row 15: a valid notification → nothing", cases: []exchange{
		silent(`{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}`, "update[1 2 3 4 5]"),
	}},
	{name: "row 16: scalar params → -32600 with the id", cases: []exchange{
		answered(`{"jsonrpc":"2.0","method":"Echo","params":"bar","id":3}`, `3!-32600`),
		answered(`{"jsonrpc":"2.0","method":"Echo","params":7,"id":"x"}`, `"x"!-32600`),
		answered(`{"jsonrpc":"2.0","method":"Echo","params":false,"id":3}`, `3!-32600`),
	}},
	{name: "row 16: scalar params, tolerant → an array of it", limits: rpc.Limits{ScalarParams: true}, cases: []exchange{
		answered(`{"jsonrpc":"2.0","method":"Echo","params":"bar","id":3}`, `3=["bar"]`, `Echo["bar"]`),
		answered(`{"jsonrpc":"2.0","method":"Echo","params":false,"id":3}`, `3=[false]`, `Echo[false]`),
		answered(`{"jsonrpc":"2.0","method":"sum","params":7,"id":3}`, `3=7`, "sum[7]"),
		answered(`{"jsonrpc":"2.0","method":"subtract","params":7,"id":3}`, `3!-32602`),
		answered(`[{"jsonrpc":"2.0","method":"sum","params":7,"id":3}]`, `[3=7]`, "sum[7]"),
		answered(`{"jsonrpc":"2.0","method":"Echo","params":null,"id":3}`, `3!-32600`),
	}},
	{name: "row 17: params null → -32600 with the id", cases: []exchange{
		answered(`{"jsonrpc":"2.0","method":"get_data","params":null,"id":3}`, `3!-32600`),
	}},
	{name: "row 17: params null, tolerant → as without params", limits: rpc.Limits{NullParams: true}, cases: []exchange{
		answered(`{"jsonrpc":"2.0","method":"get_data","params":null,"id":3}`, `3=["hello",5]`, "get_data"),
		answered(`{"jsonrpc":"2.0","method":"Echo","params":null,"id":3}`, `3=null`, "Echo"),
		answered(`{"jsonrpc":"2.0","method":"Echo","params":7,"id":3}`, `3!-32600`),
	}},
	{name: "row 18: id null with a method → a request, answered with id null", cases: []exchange{
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1,2],"id":null}`, `null=3`, "sum[1 2]"),
		answered(`[{"jsonrpc":"2.0","method":"sum","params":[1,2],"id":null}]`, `[null=3]`, "sum[1 2]"),
	}},
	{name: "row 19: any string or number is an id → echoed byte for byte", cases: []exchange{
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1],"id":1.5}`, `1.5=1`, "sum[1]"),
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1],"id":1.50}`, `1.50=1`, "sum[1]"),
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1],"id":9007199254740993}`, `9007199254740993=1`, "sum[1]"),
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1],"id":123456789012345678901234567890}`,
			`123456789012345678901234567890=1`, "sum[1]"),
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1],"id":1E+400}`, `1E+400=1`, "sum[1]"),
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1],"id":-0}`, `-0=1`, "sum[1]"),
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1],"id":""}`, `""=1`, "sum[1]"),
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1],"id":"\u0041\/\ud83d\ude00😀"}`, `"\u0041\/\ud83d\ude00😀"=1`, "sum[1]"),
		answered(`{"jsonrpc":"2.0","method":"nope","id":9007199254740993}`, `9007199254740993!-32601`),
	}},
	{name: "row 20: id is an object, array or boolean → -32600, id null", cases: []exchange{
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1],"id":{}}`, `null!-32600`),
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1],"id":[1]}`, `null!-32600`),
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1],"id":true}`, `null!-32600`),
	}},
	{name: "row 21: the same id twice in a batch → both executed and answered", cases: []exchange{
		answered(`[{"jsonrpc":"2.0","method":"sum","params":[1],"id":1},{"jsonrpc":"2.0","method":"sum","params":[2],"id":1}]`,
			`[1=1, 1=2]`, "sum[1]", "sum[2]"),
	}},
	{name: "row 22: version missing or another → -32600 with the id", cases: []exchange{
		answered(`{"method":"sum","params":[1],"id":4}`, `4!-32600`),
		answered(`{"jsonrpc":"1.0","method":"sum","params":[1],"id":4}`, `4!-32600`),
		answered(`{"jsonrpc":2.0,"method":"sum","params":[1],"id":4}`, `4!-32600`),
		answered(`{"jsonrpc":"2.0 ","method":"sum","params":[1],"id":4}`, `4!-32600`),
		answered(`{"method":"sum","params":[1]}`, `null!-32600`),
	}},
	{name: "row 23: method beside result or error → -32600 with the id", cases: []exchange{
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1],"result":5,"id":4}`, `4!-32600`),
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1],"error":{"code":1,"message":"x"},"id":4}`, `4!-32600`),
	}},
	{name: "row 24: a response that no call waits for → nothing", cases: []exchange{
		silent(`{"jsonrpc":"2.0","result":5,"id":4}`),
		silent(`{"jsonrpc":"2.0","error":{"code":-32600,"message":"x"},"id":null}`),
		silent(`{"jsonrpc":"2.0","result":5,"error":{},"id":{}}`),
		silent(`{"result":5}`),
		silent(`[{"jsonrpc":"2.0","result":5,"id":4}]`),
	}},
	{name: "row 25: an array of responses that no call waits for → nothing", cases: []exchange{
		silent(`[{"jsonrpc":"2.0","result":5,"id":4},{"jsonrpc":"2.0","result":5,"id":4},{"jsonrpc":"2.0","error":{},"id":null}]`),
	}},
	{name: "row 26: requests and responses in one array → answers to the requests", cases: []exchange{
		answered(`[{"jsonrpc":"2.0","result":5,"id":4},{"jsonrpc":"2.0","method":"sum","params":[1],"id":1},{"jsonrpc":"2.0","error":{},"id":5}]`,
			`[1=1]`, "sum[1]"),
		silent(`[{"jsonrpc":"2.0","result":5,"id":4},{"jsonrpc":"2.0","method":"update","params":[1]}]`, "update[1]"),
	}},
	{name: "row 27: two JSON texts in one body → one -32700, nothing executed", cases: []exchange{
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1],"id":1}{"jsonrpc":"2.0","method":"sum","params":[2],"id":2}`, `null!-32700`),
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1],"id":1} x`, `null!-32700`),
		answered(`[{"jsonrpc":"2.0","method":"sum","params":[1],"id":1}]]`, `null!-32700`),
	}},
	{name: "row 28: members that the specification does not know → ignored", cases: []exchange{
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1],"id":1,"trace":"x","meta":[{}]}`, `1=1`, "sum[1]"),
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1],"id":1,"metadata":{"tenant":"x"}}`, `1=1`, "sum[1]"),
	}},
	{name: "row 29: member names in other case → no members, -32600", cases: []exchange{
		answered(`{"jsonrpc":"2.0","Method":"sum","params":[1],"id":1}`, `1!-32600`),
		answered(`{"JSONRPC":"2.0","METHOD":"sum","PARAMS":[1],"ID":1}`, `null!-32600`),
		answered(`{"jsonrpc":"2.0","method":"get_data","PARAMS":[1],"id":1}`, `1=["hello",5]`, "get_data"),
	}},
	{name: "row 29b: a member twice → -32600", cases: []exchange{
		answered(`{"jsonrpc":"2.0","method":"sum","method":"update","params":[1],"id":1}`, `1!-32600`),
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1],"params":[2],"id":1}`, `1!-32600`),
		answered(`{"jsonrpc":"2.0","method":"sum","params":[1],"id":1,"id":2}`, `null!-32600`),
		answered(`{"jsonrpc":"2.0","m\u0065thod":"sum","method":"update","params":[1],"id":1}`, `1!-32600`),
	}},
	{name: "row 30: an unknown method of the reserved name space → -32601", cases: []exchange{
		answered(`{"jsonrpc":"2.0","method":"rpc.xyz","id":1}`, `1!-32601`),
	}},
	{name: "row 31: params by name, unknown or missing → -32602", cases: []exchange{
		answered(`{"jsonrpc":"2.0","method":"subtract","params":{"minuend":3,"subtrahend":1},"id":1}`, `1=2`, "subtract[3 1]"),
		answered(`{"jsonrpc":"2.0","method":"subtract","params":{"minuend":3},"id":1}`, `1!-32602`),
		answered(`{"jsonrpc":"2.0","method":"subtract","params":{"minuend":3,"subtrahend":1,"more":1},"id":1}`, `1!-32602`),
		answered(`{"jsonrpc":"2.0","method":"subtract","id":1}`, `1!-32602`),
	}},
	{name: "row 32: a batch over the limit → one -32600 with data.max, nothing executed", cases: []exchange{
		silent(repeated(1000, `{"jsonrpc":"2.0","method":"get_data"}`), slices.Repeat([]string{"get_data"}, 1000)...),
		answered(repeated(1001, `{"jsonrpc":"2.0","method":"get_data","id":1}`), `null!-32600{"max":1000}`),
	}},
	{name: "row 32: a batch over a limit of 2 → one -32600 with data.max", limits: rpc.Limits{Batch: 2}, cases: []exchange{
		answered(repeated(2, `{"jsonrpc":"2.0","method":"sum","params":[1],"id":1}`), `[1=1, 1=1]`, "sum[1]", "sum[1]"),
		answered(repeated(3, `{"jsonrpc":"2.0","method":"sum","params":[1],"id":1}`), `null!-32600{"max":2}`),
	}},
	{name: "row 35: a handler panics in a batch → -32603 for that member alone", cases: []exchange{
		answered(`[{"jsonrpc":"2.0","method":"Panic","id":1},{"jsonrpc":"2.0","method":"sum","params":[1],"id":2}]`,
			`[1!-32603, 2=1]`, "Panic", "sum[1]"),
	}},
	{name: "row 36: metadata.async on a method that is not capable of it → a plain answer", cases: []exchange{
		answered(`[{"jsonrpc":"2.0","method":"sum","params":[1],"id":1,"metadata":{"async":"e7a1ccf0-3f6d-4b4e-9d58-3c9f8bb5a6a1"}},
			{"jsonrpc":"2.0","method":"sum","params":[2],"id":2}]`, `[1=1, 2=2]`, "sum[1]", "sum[2]"),
	}},
}

// repeated is a batch of n times the same.
func repeated(n int, one string) string {
	return "[" + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + "]"
}

// TestBatchTable checks each row on one connection that lives through all of
// them: no bad message may cost it.
func TestBatchTable(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		peers := make(map[rpc.Limits]*peer)
		var j journal
		for _, row := range batchTable {
			if peers[row.limits] == nil {
				peers[row.limits] = serve(t, w, j.mux(), inTurn(row.limits)).peer()
			}
			t.Run(row.name, func(t *testing.T) {
				p := peers[row.limits]
				p.t = t
				for _, c := range row.cases {
					got := p.ask(c.in)
					if diff := cmp.Diff(c.out, got); diff != "" {
						t.Errorf("answers to %.200s (-want +got):\n%s", c.in, diff)
					}
					if diff := cmp.Diff(c.ran, j.take()); diff != "" {
						t.Errorf("executed for %.200s (-want +got):\n%s", c.in, diff)
					}
				}
			})
		}
		for _, row := range clientRows {
			t.Run(row.name, func(t *testing.T) { row.run(t, w) })
		}
	})
}

// TestBatchTableIsComplete makes sure that no row gets lost.
func TestBatchTableIsComplete(t *testing.T) {
	have := make(map[string]bool)
	for _, row := range batchTable {
		have[strings.Fields(row.name)[1]] = true
	}
	for _, row := range clientRows {
		have[strings.Fields(row.name)[1]] = true
	}
	for i := 1; i <= 36; i++ {
		if !have[fmt.Sprintf("%d:", i)] {
			t.Errorf("no row %d", i)
		}
	}
}
