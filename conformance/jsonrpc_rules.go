package conformance

import (
	"strings"
)

// requestRules are about one message at a time. The sections are those of the
// specification of JSON-RPC 2.0.
var requestRules = []Rule{
	{
		Name: "MethodNotFound",
		Text: "A method that does not exist, in this case of letters, is answered by -32601 (section 5.1).",
		check: asks(
			refused(request(noMethod, "", "1"), "1", -32601),
			refused(request(noMethod, `{"a":[]}`, `"x"`), `"x"`, -32601),
			refused(request("ECHO", "[1]", "2"), "2", -32601),
			refused(request("rpc.conformance", "", "3"), "3", -32601),
			refused(request(strings.Repeat("x", 10_000), "", "4"), "4", -32601),
		),
	},
	{
		Name: "Result",
		Text: "A Response has the version, the id, and either a result or an error (section 5).",
		check: asksEcho(
			probe{request("Echo", "[]", "1"), []string{"1=[]"}},
			probe{request("Echo", `[1,"two",null,{"three":[3.5]}]`, `"a"`), []string{`"a"=[1,"two",null,{"three":[3.5]}]`}},
		),
	},
	{
		Name: "ParseError",
		Text: "A body that is not JSON is answered by one -32700 with the id null (section 5.1).",
		check: asks(
			refused(`{`, "null", -32700),
			refused(`nul`, "null", -32700),
			refused(`{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]`, "null", -32700),
			refused(`{"jsonrpc":"2.0","method":"`+noMethod+`","params":[1,],"id":1}`, "null", -32700),
			refused(`{'jsonrpc':'2.0','method':'x','id':1}`, "null", -32700),
			refused(request(noMethod, "", "01"), "null", -32700),
			refused(request("a\nb", "", "1"), "null", -32700),
			refused("\x00", "null", -32700),
		),
	},
	{
		Name:  "EmptyBody",
		Text:  "A body that is empty or blank is not JSON: it is answered by -32700 with the id null.",
		check: asks(refused("", "null", -32700), refused(" \r\n\t", "null", -32700)),
	},
	{
		Name: "TwoTexts",
		Text: "A body with more than one JSON text is answered by one -32700 with the id null, and none of it is executed.",
		check: asks(
			refused(request(noMethod, "", "1")+request(noMethod, "", "2"), "null", -32700),
			refused(request(noMethod, "", "1")+" x", "null", -32700),
			refused("["+request(noMethod, "", "1")+"]]", "null", -32700),
		),
	},
	{
		Name: "InvalidRequest",
		Text: "JSON that is no Request is answered by -32600 with the id null (section 5.1).",
		check: asks(
			refused(`1`, "null", -32600),
			refused(`"x"`, "null", -32600),
			refused(`null`, "null", -32600),
			refused(`true`, "null", -32600),
			refused(`{}`, "null", -32600),
			refused(`{"foo":"boo"}`, "null", -32600),
			refused(`{"jsonrpc":"2.0","method":1,"params":"bar"}`, "null", -32600),
		),
	},
	{
		Name: "InvalidKeepsID",
		Text: "An invalid request whose id can be read is answered by -32600 with that id (section 5).",
		check: asks(
			refused(`{"jsonrpc":"2.0","method":1,"id":4}`, "4", -32600),
			refused(`{"jsonrpc":"2.0","method":null,"id":"x"}`, `"x"`, -32600),
			refused(`{"jsonrpc":"2.0","id":5}`, "5", -32600),
		),
	},
	{
		Name: "Version",
		Text: `A request whose "jsonrpc" is not exactly "2.0" is answered by -32600 (section 4).`,
		check: asks(
			either(`{"method":"`+noMethod+`","id":4}`, "4"),
			either(`{"jsonrpc":"1.0","method":"`+noMethod+`","id":4}`, "4"),
			either(`{"jsonrpc":"3.0","method":"`+noMethod+`","id":4}`, "4"),
			either(`{"jsonrpc":2.0,"method":"`+noMethod+`","id":4}`, "4"),
			either(`{"jsonrpc":null,"method":"`+noMethod+`","id":4}`, "4"),
		),
	},
	{
		Name: "ParamsKind",
		Text: "Params that are neither an array nor an object are refused by -32600 or -32602 with the id (section 4.2).",
		check: asksEcho(
			refused(request("Echo", `"bar"`, "3"), "3", -32600, -32602),
			refused(request("Echo", "7", `"x"`), `"x"`, -32600, -32602),
			refused(request("Echo", "false", "3"), "3", -32600, -32602),
		),
	},
	{
		Name: "UnknownMember",
		Text: "Members of a request that the specification does not know are ignored.",
		check: asks(
			refused(`{"jsonrpc":"2.0","method":"`+noMethod+`","id":1,"trace":"x","meta":[{}]}`, "1", -32601),
			refused(`{"x":1,"jsonrpc":"2.0","method":"`+noMethod+`","id":1}`, "1", -32601),
		),
	},
	{
		Name: "MemberCase",
		Text: "Members are compared in the case that they have: METHOD is no method (section 4).",
		check: asks(
			either(`{"jsonrpc":"2.0","METHOD":"`+noMethod+`","id":1}`, "1"),
			either(`{"jsonrpc":"2.0","Method":"`+noMethod+`","id":1}`, "1"),
			either(`{"JSONRPC":"2.0","method":"`+noMethod+`","id":1}`, "1"),
			either(`{"jſonrpc":"2.0","method":"`+noMethod+`","id":1}`, "1"), // which some fold to s
		),
	},
	{
		Name: "DuplicateMember",
		Text: "Beyond the specification: a member of JSON-RPC that stands twice makes a request invalid, " +
			"for readers differ on which one counts.",
		check: asks(
			either(`{"jsonrpc":"2.0","method":"`+noMethod+`","method":"Echo","id":1}`, "1"),
			either(`{"jsonrpc":"2.0","method":"Echo","method":"`+noMethod+`","id":1}`, "1"),
			either(`{"jsonrpc":"2.0","m\u0065thod":"Echo","method":"`+noMethod+`","id":1}`, "1"),
			refused(`{"jsonrpc":"2.0","method":"`+noMethod+`","id":1,"id":2}`, "null", -32600),
		),
	},
	{
		Name: "InvalidUTF8",
		Text: "What is not UTF-8 is not JSON (RFC 8259, section 8.1): it is answered by -32700 or -32600 and not executed.",
		check: asks(
			notText("{\"jsonrpc\":\"2.0\",\"method\":\"\xff\",\"id\":1}"),
			notText("{\"jsonrpc\":\"2.0\",\"method\":\""+noMethod+"\",\"id\":1,\"\xff\":1}"),
		),
	},
	{
		Name: "Notification",
		Text: "A notification is never answered, also if it fails (section 4.1).",
		check: asks(
			probe{body: request("Echo", "[1,2]", "")},
			probe{body: request(noMethod, "", "")},
			probe{body: request("Echo", "", "")},
			probe{body: request("rpc.conformance", `{"a":1}`, "")},
		),
	},
	{
		Name: "ResponseUnasked",
		Text: "A Response is never answered, or two peers that misunderstand each other would do so for ever.",
		check: asks(
			probe{body: `{"jsonrpc":"2.0","result":5,"id":4}`},
			probe{body: `{"jsonrpc":"2.0","error":{"code":-32600,"message":"x"},"id":null}`},
			probe{body: `{"jsonrpc":"2.0","result":5,"error":{},"id":{}}`},
			probe{body: `[{"jsonrpc":"2.0","result":5,"id":4},{"jsonrpc":"2.0","result":6,"id":5}]`},
		),
	},
	{
		Name: "ResultAndMethod",
		Text: "Beyond the specification: what has a method and a result or an error is neither request nor Response, " +
			"and refused by -32600.",
		check: asks(
			either(`{"jsonrpc":"2.0","method":"`+noMethod+`","result":5,"id":4}`, "4"),
			either(`{"jsonrpc":"2.0","method":"`+noMethod+`","error":{"code":1,"message":"x"},"id":4}`, "4"),
		),
	},
}

// either is a request that is refused by -32600, with its id or with null.
func either(body, id string) probe { return probe{body, []string{id + "!-32600", "null!-32600"}} }

// notText is a request with id 1 that is not UTF-8.
func notText(body string) probe {
	return probe{body, []string{"null!-32700", "1!-32700", "null!-32600", "1!-32600"}}
}

// idRules are about ids.
var idRules = []Rule{
	{
		Name: "ID",
		Text: "The id comes back as it was sent: a string or a number, however large (section 5).",
		check: asks(
			refused(request(noMethod, "", "0"), "0", -32601),
			refused(request(noMethod, "", "-1"), "-1", -32601),
			refused(request(noMethod, "", "9007199254740993"), "9007199254740993", -32601),
			refused(request(noMethod, "", "18446744073709551616"), "18446744073709551616", -32601),
			refused(request(noMethod, "", `""`), `""`, -32601),
			refused(request(noMethod, "", `"1"`), `"1"`, -32601),
			refused(request(noMethod, "", `"größer 😀"`), `"größer 😀"`, -32601),
			refused(request(noMethod, "", `"01234567-89ab-cdef-0123-456789abcdef"`), `"01234567-89ab-cdef-0123-456789abcdef"`, -32601),
		),
	},
	{
		Name:  "IDFraction",
		Text:  "An id with a fraction should not be sent, but comes back with it (section 4).",
		check: asks(refused(request(noMethod, "", "1.5"), "1.5", -32601)),
	},
	{
		Name: "IDBytes",
		Text: "Beyond the specification: the id comes back byte for byte.",
		check: asks(
			refused(request(noMethod, "", "1.50"), "1.50", -32601),
			refused(request(noMethod, "", "1E+40"), "1E+40", -32601),
			refused(request(noMethod, "", "-0"), "-0", -32601),
			refused(request(noMethod, "", "123456789012345678901234567890"), "123456789012345678901234567890", -32601),
			refused(request(noMethod, "", `"\u0041\/\ud83d\ude00"`), `"\u0041\/\ud83d\ude00"`, -32601),
		),
	},
	{
		Name: "IDNull",
		Text: "A request with the id null is no notification: it is answered (section 4).",
		check: asks(
			refused(request(noMethod, "", "null"), "null", -32601),
		),
	},
	{
		Name: "IDKind",
		Text: "An id that is no string, number or null makes a request invalid: -32600 with the id null (section 4).",
		check: asks(
			refused(request(noMethod, "", "true"), "null", -32600),
			refused(request(noMethod, "", "{}"), "null", -32600),
			refused(request(noMethod, "", "[1]"), "null", -32600),
		),
	},
}
