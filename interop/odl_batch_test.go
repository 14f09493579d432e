package interop_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/polyport/polyport/rpc"
)

// An odlExchange is a text that a client of OpenDaylight sends to our server in the
// profile, and what comes back: "id=result" or "id!code" of each answer, "empty" of none.
type odlExchange struct{ in, want string }

// odlBatches are the rows of the table of the specification's batches, with what is
// to come back. Where the profile takes what the specification refuses the row says so.
var odlBatches = []struct {
	name  string
	cases []odlExchange
	run   func(t *testing.T, f *odlField, scheme string)
}{
	{name: "1 the specification's batch", cases: []odlExchange{{
		`[
		{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
		{"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
		{"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
		{"foo": "boo"},
		{"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
		{"jsonrpc": "2.0", "method": "get_data", "id": "9"}]`,
		`["1"=7, "2"=19, null!-32600, "5"!-32601, "9"=["hello",5]]`,
	}}},
	{name: "2 broken JSON in a batch", cases: []odlExchange{
		{`[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},{"jsonrpc": "2.0", "method"]`, `null!-32700`},
	}},
	{name: "3 an empty array", cases: []odlExchange{{`[]`, `null!-32600`}}},
	{name: "4 an array of a number", cases: []odlExchange{{`[1]`, `[null!-32600]`}}},
	{name: "5 an array of numbers", cases: []odlExchange{{`[1,2,3]`, `[null!-32600, null!-32600, null!-32600]`}}},
	{name: "6 only notifications", cases: []odlExchange{
		{`[{"jsonrpc":"2.0","method":"notify_sum","params":[1,2,4]},{"jsonrpc":"2.0","method":"notify_hello","params":[7]}]`, `empty`},
	}},
	{name: "7 one request in an array", cases: []odlExchange{{`[{"jsonrpc":"2.0","method":"sum","params":[1,2],"id":1}]`, `[1=3]`}}},
	{name: "8 an array in an array", cases: []odlExchange{{`[[{"jsonrpc":"2.0","method":"sum","params":[1,2],"id":1}]]`, `[null!-32600]`}}},
	{name: "9 null and {} in an array", cases: []odlExchange{{`[null]`, `[null!-32600]`}, {`[{}]`, `[null!-32600]`}}},
	{name: "10 a scalar alone", cases: []odlExchange{
		{`1`, `null!-32600`}, {`"x"`, `null!-32600`}, {`null`, `null!-32600`}, {`true`, `null!-32600`},
	}},
	{name: "11 an empty or blank body", cases: []odlExchange{{``, `null!-32700`}, {"  \r\n", `null!-32700`}}},
	{name: "12 invalid JSON", cases: []odlExchange{{`{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]`, `null!-32700`}}},
	{name: "13 a method that is a number", cases: []odlExchange{{`{"jsonrpc": "2.0", "method": 1, "params": "bar"}`, `null!-32600`}}},
	{name: "14 a notification that fails", cases: []odlExchange{
		{`{"jsonrpc":"2.0","method":"foobar"}`, `empty`},
		{`{"jsonrpc":"2.0","method":"sum","params":["one"]}`, `empty`},
		{`{"jsonrpc":"2.0","method":"fail"}`, `empty`},
		{`[{"jsonrpc":"2.0","method":"foobar"},{"jsonrpc":"2.0","method":"sum","params":[1],"id":1}]`, `[1=1]`},
	}},
	{name: "15 a valid notification", cases: []odlExchange{{`{"jsonrpc":"2.0","method":"update","params":[1,2,3,4,5]}`, `empty`}}},
	{name: "16 scalar params, tolerant", cases: []odlExchange{
		{`{"jsonrpc":"2.0","method":"echo","params":"bar","id":3}`, `3=["bar"]`},
		{`{"jsonrpc":"2.0","method":"echo","params":false,"id":3}`, `3=[false]`},
		{`[{"jsonrpc":"2.0","method":"sum","params":7,"id":3}]`, `[3=7]`},
	}},
	{name: "17 params null, tolerant", cases: []odlExchange{{`{"jsonrpc":"2.0","method":"get_data","params":null,"id":3}`, `3=["hello",5]`}}},
	{name: "18 id null with a method", cases: []odlExchange{{`{"jsonrpc":"2.0","method":"sum","params":[1,2],"id":null}`, `null=3`}}},
	{name: "19 any string or number is an id", cases: []odlExchange{
		{`{"jsonrpc":"2.0","method":"sum","params":[1],"id":1.50}`, `1.50=1`},
		{`{"jsonrpc":"2.0","method":"sum","params":[1],"id":9007199254740993}`, `9007199254740993=1`},
	}},
	{name: "20 id is an object, array or boolean", cases: []odlExchange{
		{`{"jsonrpc":"2.0","method":"sum","params":[1],"id":{}}`, `null!-32600`},
		{`{"jsonrpc":"2.0","method":"sum","params":[1],"id":[1]}`, `null!-32600`},
		{`{"jsonrpc":"2.0","method":"sum","params":[1],"id":true}`, `null!-32600`},
	}},
	{name: "21 the same id twice", cases: []odlExchange{
		{`[{"jsonrpc":"2.0","method":"sum","params":[1],"id":1},{"jsonrpc":"2.0","method":"sum","params":[2],"id":1}]`, `[1=1, 1=2]`},
	}},
	{name: "22 another version, tolerant of 2", cases: []odlExchange{
		{`{"method":"sum","params":[1],"id":4}`, `4!-32600`},
		{`{"jsonrpc":"1.0","method":"sum","params":[1],"id":4}`, `4!-32600`},
		{`{"jsonrpc":2.0,"method":"sum","params":[1],"id":4}`, `4=1`},
	}},
	{name: "23 method beside result or error", cases: []odlExchange{
		{`{"jsonrpc":"2.0","method":"sum","params":[1],"result":5,"id":4}`, `4!-32600`},
		{`{"jsonrpc":"2.0","method":"sum","params":[1],"error":{"code":1,"message":"x"},"id":4}`, `4!-32600`},
	}},
	{name: "24 a response that no call waits for", cases: []odlExchange{
		{`{"jsonrpc":"2.0","result":5,"id":4}`, `empty`}, {`[{"jsonrpc":"2.0","result":5,"id":4}]`, `empty`},
	}},
	{name: "25 an array of responses", cases: []odlExchange{
		{`[{"jsonrpc":"2.0","result":5,"id":4},{"jsonrpc":"2.0","result":5,"id":4},{"jsonrpc":"2.0","error":{},"id":null}]`, `empty`},
	}},
	{name: "26 requests and responses in one array", cases: []odlExchange{
		{`[{"jsonrpc":"2.0","result":5,"id":4},{"jsonrpc":"2.0","method":"sum","params":[1],"id":1}]`, `[1=1]`},
	}},
	{name: "27 two JSON texts in one body", cases: []odlExchange{
		{`{"jsonrpc":"2.0","method":"sum","params":[1],"id":1}{"jsonrpc":"2.0","method":"sum","params":[2],"id":2}`, `null!-32700`},
	}},
	{name: "28 unknown members", cases: []odlExchange{
		{`{"jsonrpc":"2.0","method":"sum","params":[1],"id":1,"trace":"x","metadata":{"tenant":"x"}}`, `1=1`},
	}},
	{name: "29 member names in other case", cases: []odlExchange{
		{`{"JSONRPC":"2.0","METHOD":"sum","PARAMS":[1],"ID":1}`, `null!-32600`},
		{`{"jsonrpc":"2.0","Method":"sum","params":[1],"id":1}`, `1!-32600`},
	}},
	{name: "29b a member twice", cases: []odlExchange{
		{`{"jsonrpc":"2.0","method":"sum","method":"update","params":[1],"id":1}`, `1!-32600`},
	}},
	{name: "30 an unknown method of the reserved name space", cases: []odlExchange{{`{"jsonrpc":"2.0","method":"rpc.xyz","id":1}`, `1!-32601`}}},
	{name: "31 params by name", cases: []odlExchange{
		{`{"jsonrpc":"2.0","method":"subtract","params":{"minuend":3,"subtrahend":1},"id":1}`, `1=2`},
		{`{"jsonrpc":"2.0","method":"subtract","params":{"minuend":3,"other":1},"id":1}`, `1!-32602`},
		{`{"jsonrpc":"2.0","method":"subtract","params":{"minuend":3},"id":1}`, `1!-32602`},
	}},
	{name: "32 a batch over the limit", cases: []odlExchange{
		{"[" + strings.TrimSuffix(strings.Repeat(`{"jsonrpc":"2.0","method":"get_data","id":1},`, 1001), ",") + "]", `null!-32600`},
	}},
	{name: "33 one error object for a batch", run: odlOneErrorForAll},
	{name: "34 an answer that lacks an id", run: odlPiecesForABatch},
	{name: "35 a handler panics", cases: []odlExchange{
		{`[{"jsonrpc":"2.0","method":"panic","id":1},{"jsonrpc":"2.0","method":"sum","params":[1],"id":2}]`, `[1!-32603, 2=1]`},
	}},
	{name: "36 a slow member with a handle", run: odlSlowMember},
}

// TestODLBatch holds our server in the profile to the table, as a client of
// OpenDaylight sees it, and our client to the rows that are about one.
func TestODLBatch(t *testing.T) { //nolint:tparallel // rows share what they need, in turn
	t.Parallel()
	f := newODLField(t)
	for _, scheme := range []string{"zmq", "http"} {
		t.Run(scheme, func(t *testing.T) {
			f.use(t)
			them := f.requester(scheme)
			for _, row := range odlBatches {
				t.Run(row.name, func(t *testing.T) {
					f.in(t, func(t *testing.T, f *odlField) {
						for _, c := range row.cases {
							same(t, fmt.Sprintf("answer to %.100s", c.in), briefODL(them.ask(c.in)), c.want)
						}
						if row.run != nil {
							row.run(t, f, scheme)
						}
					})
				})
			}
			if scheme == "zmq" {
				same(t, "connections", strconv.Itoa(them.do("ready").Connections), "1")
			}
		})
	}
}

// briefODL is an answer in short.
func briefODL(text string) string {
	if strings.HasPrefix(text, "[") {
		var all []json.RawMessage
		if err := json.Unmarshal([]byte(text), &all); err != nil {
			return err.Error()
		}
		var each []string
		for _, one := range all {
			each = append(each, briefODL(string(one)))
		}
		return "[" + strings.Join(each, ", ") + "]"
	}
	var a struct {
		ID     json.RawMessage `json:"id"`
		Result json.RawMessage `json:"result"`
		Error  *struct {
			Code int `json:"code"`
		} `json:"error"`
	}
	if !strings.HasPrefix(text, "{") || json.Unmarshal([]byte(text), &a) != nil {
		return text
	}
	if a.Error != nil {
		return fmt.Sprintf("%s!%d", a.ID, a.Error.Code)
	}
	return fmt.Sprintf("%s=%s", a.ID, a.Result)
}

// odlOneErrorForAll: without the profile a batch leaves as one, and a server that
// takes none answers it by one error. In the profile it does not leave.
func odlOneErrorForAll(t *testing.T, f *odlField, scheme string) {
	if scheme != "zmq" {
		return
	}
	server := f.theirs("inocybe.py", "rep")
	server.texts()
	for _, profile := range []string{"", "&profile=odl"} {
		c := f.dialURL(fmt.Sprintf("zmq://127.0.0.1:%d?socket=req%s", server.port, profile))
		var b rpc.Batch
		first, second := rpc.Add[int](&b, "add", []int{1, 2}), rpc.Add[int](&b, "gone", nil)
		if err := c.Do(t.Context(), &b); err != nil {
			t.Fatalf("Do%s = %v", profile, err)
		}
		if got, err := first.Get(t.Context()); err != nil || got != 3 {
			t.Errorf("a call of a batch%s: %v, %v", profile, got, err)
		}
		isODLError(t, "another", errorIn(second.Get(t.Context())), rpc.CodeMethodNotFound)
	}
	if texts := server.texts(); len(texts) != 5 || !strings.HasPrefix(texts[0], "[") {
		t.Errorf("it got %q, want a batch that is made again by pieces, and then pieces", texts)
	}
}

// odlPiecesForABatch: without the profile OpenDaylight's answer to a batch is that to
// its first element; the others are not answered, and their calls fail.
func odlPiecesForABatch(t *testing.T, f *odlField, scheme string) {
	c := f.dialURL(fmt.Sprintf("%s://127.0.0.1:%d%s", scheme, f.responder(scheme).port, map[string]string{"zmq": "?socket=req"}[scheme]))
	var b rpc.Batch
	first, second := rpc.Add[int](&b, "add", []int{1, 2}), rpc.Add[int](&b, "add", []int{3, 4})
	if err := c.Do(t.Context(), &b); err != nil {
		t.Logf("Do = %v", err)
	}
	if got, err := first.Get(t.Context()); err != nil && rpc.OutcomeOf(err) != rpc.Unknown || err == nil && got != 3 {
		t.Errorf("the call that was answered: %v, %v", got, err)
	}
	if got, err := second.Get(t.Context()); err == nil && got != 7 || err != nil && rpc.OutcomeOf(err) != rpc.Unknown {
		t.Errorf("the call that was not: %v, %v", got, err)
	}
	if got, err := rpc.Call[int](t.Context(), c, "add", []int{5, 6}); err != nil || got != 11 {
		t.Errorf("the call after it: %v, %v", got, err)
	}
}

// odlSlowMember: an acknowledgement fills the slot of a slow member.
func odlSlowMember(t *testing.T, f *odlField, scheme string) {
	handle := rpc.NewHandle()
	slow := `{"jsonrpc":"2.0","method":"slow","params":[300],"id":1,"metadata":{"async":"` + handle + `"}}`
	answer := f.requester(scheme).ask("[" + slow + `,{"jsonrpc":"2.0","method":"sum","params":[2],"id":2}]`)
	same(t, "the batch", briefODL(answer), `[1=null, 2=2]`)
	has(t, "the acknowledgement", answer, `"metadata":{"async":"`+handle+`"`)
	for {
		answer = f.requester(scheme).ask("[" + slow + "]")
		if !strings.Contains(answer, "metadata") {
			break
		}
	}
	same(t, "the last answer", answer, `[{"jsonrpc":"2.0","id":1,"result":"slept 300"}]`)
}
