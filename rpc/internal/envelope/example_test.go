package envelope_test

import (
	"fmt"
	"strconv"

	"github.com/polyport/polyport/rpc/internal/envelope"
)

func ExampleScan() {
	body := []byte(`[
		{"jsonrpc":"2.0","id":"a","method":"Math.Sum","params":[1,2,3]},
		{"jsonrpc":"2.0","method":"log","params":{"text":"hi"}},
		{"jsonrpc":"2.0","id":7,"result":6},
		{"id":8,"method":"Math.Sum"}
	]`)
	msgs, batch, err := envelope.Scan(body, nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("batch:", batch)
	for _, m := range msgs {
		fmt.Printf("%s: id=%s method=%s params=%s result=%s reason=%q\n", m.Kind, m.ID, m.Method, m.Params, m.Result, m.Reason)
	}
	// Output:
	// batch: true
	// request: id="a" method=Math.Sum params=[1,2,3] result= reason=""
	// notification: id= method=log params={"text":"hi"} result= reason=""
	// response: id=7 method= params= result=6 reason=""
	// invalid: id=8 method= params= result= reason="member \"jsonrpc\" is missing"
}

func ExampleScan_fault() {
	_, _, err := envelope.Scan([]byte(`[1, 2, 3]`), &envelope.Limits{Batch: 2}, nil)
	fmt.Println(err.Code, err.Reason, err.Max)
	_, _, err = envelope.Scan([]byte(`{"jsonrpc": 2.`), nil, nil)
	fmt.Println(err.Code, err.Reason)
	// Output:
	// -32600 the batch has more elements than 2 2
	// -32700 the text ends where a digit should be
}

func ExampleFault_Error() {
	_, _, err := envelope.Scan([]byte(`{'jsonrpc'}`), nil, nil)
	fmt.Println(err)
	// Output: envelope: '\'' where the name of a member should be at byte 1
}

func ExampleKind_String() {
	fmt.Println(envelope.Request, envelope.Notification, envelope.Response, envelope.Invalid)
	// Output: request notification response invalid
}

func ExampleElements() {
	for _, e := range envelope.Elements([]byte(`[1, "two", [3]]`), nil) {
		fmt.Printf("%s\n", e)
	}
	// Output:
	// 1
	// "two"
	// [3]
}

func ExampleMembers() {
	envelope.Members([]byte(`{"from": 1, "\u0074o": [2, 3]}`), func(name, value []byte) bool {
		fmt.Printf("%s = %s\n", name, value)
		return true
	})
	// Output:
	// from = 1
	// to = [2, 3]
}

func ExampleIsArray() {
	fmt.Println(envelope.IsArray([]byte(`[1]`)), envelope.IsArray([]byte(`{}`)), envelope.IsArray(nil))
	// Output: true false false
}

func ExampleIsObject() {
	fmt.Println(envelope.IsObject([]byte(`{}`)), envelope.IsObject([]byte(`"{"`)), envelope.IsObject(nil))
	// Output: true false false
}

func ExampleAppendRequest() {
	fmt.Printf("%s\n", envelope.AppendRequest(nil, 1, "Math.Sum", []byte(`[1,2]`)))
	// Output: {"jsonrpc":"2.0","id":1,"method":"Math.Sum","params":[1,2]}
}

// Params are encoded where they belong, with no copy.
func ExampleAppendRequestHead() {
	dst := envelope.AppendRequestHead(nil, []byte(`"x1"`), "Sleep")
	dst = append(dst, '[')
	dst = strconv.AppendInt(dst, 250, 10)
	dst = append(dst, ']')
	dst = envelope.AppendTail(dst)
	fmt.Printf("%s\n", dst)
	// Output: {"jsonrpc":"2.0","id":"x1","method":"Sleep","params":[250]}
}

func ExampleAppendRequestOpen() {
	dst := envelope.AppendRequestOpen(nil, []byte("5"), "rpc.discover")
	fmt.Printf("%s\n", envelope.AppendTail(dst))
	// Output: {"jsonrpc":"2.0","id":5,"method":"rpc.discover"}
}

func ExampleAppendMetadata() {
	dst := envelope.AppendRequestOpen(nil, []byte("5"), "Task.Run")
	dst = envelope.AppendMetadata(dst, []byte(`{"async":{"key":"k"}}`))
	fmt.Printf("%s\n", envelope.AppendTail(dst))
	// Output: {"jsonrpc":"2.0","id":5,"method":"Task.Run","metadata":{"async":{"key":"k"}}}
}

func ExampleAppendTail() {
	fmt.Printf("%s\n", envelope.AppendTail(append(envelope.AppendResultHead(nil, nil), "[]"...)))
	// Output: {"jsonrpc":"2.0","id":null,"result":[]}
}

func ExampleAppendNotification() {
	fmt.Printf("%s\n", envelope.AppendNotification(nil, "clock", []byte(`{"now":12}`)))
	// Output: {"jsonrpc":"2.0","method":"clock","params":{"now":12}}
}

func ExampleAppendResult() {
	fmt.Printf("%s\n", envelope.AppendResult(nil, []byte("9007199254740993"), []byte(`6`)))
	// Output: {"jsonrpc":"2.0","id":9007199254740993,"result":6}
}

func ExampleAppendResultHead() {
	dst := envelope.AppendResultHead(nil, []byte("1"))
	dst = strconv.AppendBool(dst, true)
	fmt.Printf("%s\n", envelope.AppendTail(dst))
	// Output: {"jsonrpc":"2.0","id":1,"result":true}
}

func ExampleAppendError() {
	fmt.Printf("%s\n", envelope.AppendError(nil, nil, envelope.CodeInvalid, "Invalid Request", []byte(`{"max":1000}`)))
	// Output: {"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request","data":{"max":1000}}}
}

func ExampleAppendString() {
	fmt.Printf("%s\n", envelope.AppendString(nil, "say \"hi\"\n"))
	// Output: "say \"hi\"\n"
}
